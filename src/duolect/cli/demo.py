"""`duolect demo`: the whole comparison on a corpus made on the spot."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from duolect.cli.arguments import command_line, console, parse, require_writable


@dataclass(frozen=True)
class Demo:
    """Make a speech corpus, train an acoustic model, a language model and a speech LLM on it, tune, recognise, compare.

    Prints one table and writes report.html. What stands from an earlier or interrupted call is used again.
    """

    out: Path = Path("runs/demo")
    """Folder of corpus, runs, hypotheses and report."""
    size: Literal["tiny", "demo", "small"] = "demo"
    """Of the corpus: tiny for a trial of the machinery, demo about 4.5 h, small about 25 h of speech."""
    seed: int = 1
    """Of corpus and trainings."""
    steps: Annotated[tuple[int, int, int] | None, tyro.conf.arg(metavar="AM LM SLLM")] = None
    """Training steps of acoustic model, language model and speech LLM, where others than the demo's are wanted."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Demo`."""
    asked = parse("demo", Demo, arguments)
    require_writable(asked.out / "report.html")
    from duolect.studies.demo import DemoSteps, run_demo

    steps = (
        DemoSteps(**dict(zip(("acoustic", "language", "speech_llm"), asked.steps, strict=True)))
        if asked.steps
        else None
    )
    run_demo(
        asked.out,
        size=asked.size,
        seed=asked.seed,
        steps=steps,
        console=console(),
        command=command_line("demo", arguments),
    )
    return 0
