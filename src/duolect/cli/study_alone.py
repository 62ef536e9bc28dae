"""Studies that are not made of stages, under the names they have in `duolect study`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from duolect.cli.arguments import command_line, console, parse, require_writable


@dataclass(frozen=True, kw_only=True)
class Search:
    """All ways to search with the same models: tuned on dev, scored on test, as one table with speed and effort.

    Writes report.md and report.html; what stands from an earlier or interrupted call is used again.
    """

    system: Path
    """System folder with the models."""
    dev: Path
    """The development set, on which scales are tuned."""
    test: Path
    """The test set, which is only scored."""
    out: Path = Path("runs/search")
    """Folder of tuning records, hypotheses and report."""
    only: tuple[str, ...] = ()
    """Names of the lines wanted (default: all that the system can run)."""
    workers: int = 1
    """Processes that tune side by side; each holds the models and uses one core."""


@dataclass(frozen=True, kw_only=True)
class Integration:
    """Every way to put speech into an LLM: interfaces, adapters and fine-tuning, each trained, recognised and scored.

    Takes corpus, acoustic model and language model from the demo's folder and makes what is missing there. Writes
    report.md and report.html; what stands from an earlier or interrupted call is used again.
    """

    out: Path = Path("runs/integration")
    """Folder of trained speech LLMs, hypotheses and report."""
    demo: Path = Path("runs/demo")
    """Folder of `duolect demo`."""
    steps: int = 500
    """Optimiser steps of each speech LLM."""
    only: tuple[str, ...] = ()
    """Names of the variants wanted (default: all)."""
    seed: int = 1
    """Of everything that is random."""


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """A pre-trained LLM against the same one with random weights, as the LLM of a speech LLM, all else equal.

    Text is sampled from the LLM and spoken by synthetic voices, and on that an acoustic model and the speech LLMs are
    trained. Writes report.md and report.html; what stands from an earlier or interrupted call is used again.
    """

    llm: str
    """Folder or hub name of a causal LLM that writes English."""
    out: Path = Path("runs/pretraining")
    """Folder of text, corpus, trained models, hypotheses and report."""
    train: int = 4000
    """Sentences to train on."""
    dev: int = 120
    """Sentences to measure on while training."""
    test: int = 300
    """Sentences to recognise and score."""
    acoustic_steps: int = 900
    """Optimiser steps of the acoustic model."""
    steps: int = 900
    """Optimiser steps of each speech LLM."""
    finetune: tuple[str, ...] = ("full",)
    """What of the LLM is trained, a pair of lines for each: full, frozen, lora, …"""
    seed: int = 1
    """Of text, speech and acoustic model."""
    seeds: tuple[int, ...] = (1,)
    """Of the speech LLMs, all of which are trained with each."""


def _search(arguments: list[str]) -> int:
    asked = parse("study search", Search, arguments)
    require_writable(asked.out / "report.md")
    from duolect.studies.search import run_search_study

    run_search_study(
        asked.system,
        asked.dev,
        asked.test,
        asked.out,
        only=asked.only,
        workers=asked.workers,
        console=console(),
        command=command_line("study search", arguments),
    )
    return 0


def _integration(arguments: list[str]) -> int:
    asked = parse("study integration", Integration, arguments)
    require_writable(asked.out / "report.md")
    from duolect.studies.integration import run_integration_study

    run_integration_study(
        asked.out,
        demo=asked.demo,
        only=asked.only,
        steps=asked.steps,
        seed=asked.seed,
        console=console(),
        command=command_line("study integration", arguments),
    )
    return 0


def _pretraining(arguments: list[str]) -> int:
    asked = parse("study pretraining", Pretraining, arguments)
    require_writable(asked.out / "report.md")
    from duolect.configs import from_json, to_json
    from duolect.studies.pretraining import PretrainingConfig, run_pretraining_study

    settings = {name: value for name, value in to_json(asked).items() if name not in ("llm", "out")}
    run_pretraining_study(
        asked.llm,
        asked.out,
        config=from_json(PretrainingConfig, settings, "study pretraining"),
        console=console(),
        command=command_line("study pretraining", arguments),
    )
    return 0


ALONE: dict[str, Callable[[list[str]], int]] = {
    "search": _search,
    "integration": _integration,
    "pretraining": _pretraining,
}
