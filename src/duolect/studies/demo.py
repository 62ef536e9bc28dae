"""The whole comparison, from sound to report, on a corpus made on the spot.

Question: on the same data, is a speech LLM (integration) better than an acoustic model whose hypotheses a language
model scores (combination), and what does CTC add to each? Everything is trained from scratch on the synthetic corpus,
whose test voices, test sentences and part of whose test templates are in neither training audio nor LM text.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
from rich.console import Console

from duolect.data import load_manifest
from duolect.data.synthetic import Corpus, Size, make_corpus
from duolect.recipes.demo import demo_acoustic, demo_language, demo_speech_llm
from duolect.reports import Comparison, read_curve, save_png
from duolect.reports.progress import StageBar
from duolect.storage import atomic_file
from duolect.studies.comparison import Line, publish, results
from duolect.studies.tuning import tuned_system
from duolect.systems import METHODS, combine
from duolect.training import train_recipe

TUNING = {"rounds": 2, "nbest": 32}  # more of either takes off less than a point here


@dataclass(frozen=True, kw_only=True)
class DemoSteps:
    """Optimiser steps of the three trainings; the defaults fit 15 minutes on two CPU cores with everything else."""

    acoustic: int = 1400
    language: int = 400
    speech_llm: int = 500


def run_demo(
    folder: str | Path = "runs/demo",
    *,
    size: Size = "demo",
    seed: int = 1,
    steps: DemoSteps | None = None,
    console: Console | None = None,
    command: str = "duolect demo",
) -> Comparison:
    """Make the corpus, train, tune on dev, recognise test, and write `folder`/report.html; returns what it shows.

    What stands in `folder` from an earlier or interrupted call is reused.
    """
    folder, steps = Path(folder), steps or DemoSteps()
    console = console or Console(stderr=True)
    clock = Clock(console)
    corpus, acoustic, language = train_demo_parts(
        folder, size=size, seed=seed, steps=steps, console=console, clock=clock
    )
    speech_llm = folder / "speech_llm"
    recipe = demo_speech_llm(
        train=corpus.train,
        dev=corpus.dev,
        acoustic=acoustic,
        language=language,
        steps=steps.speech_llm,
        seed=seed,
    )
    with clock("training: speech llm"):
        train_recipe(recipe, speech_llm, device="cpu", console=console)
    system = combine(acoustic=acoustic / "system", language=language / "system", speech_llm=speech_llm / "system")
    methods = tuple(METHODS)
    with clock("tuning on dev"):
        system = tuned_system(system, methods, corpus.dev, folder / "system", console, **TUNING)
    with clock("recognition of test"):
        today = date.today().isoformat()
        lines = [Line(name=n, system=system.with_method(n), description=METHODS[n].description) for n in methods]
        found = results(lines, corpus.test, folder / "hypotheses", console, command=command, date=today)
    comparison = Comparison(
        title="Duolect demo: integration and combination on a synthetic corpus",
        systems=found,
        baseline=found[0].name,
        curves=[read_curve(run / "log.jsonl", run.name.replace("_", " ")) for run in (acoustic, language, speech_llm)],
        notes=_notes(corpus, clock),
        provenance={
            "command": command,
            "date": today,
            "threads": torch.get_num_threads(),
            "seed": seed,
            "corpus": f"synthetic, size {size}: "
            + ", ".join(f"{split} {hours:.2f} h" for split, hours in corpus.hours.items()),
        },
    )
    save_png(comparison, folder / "report.png")
    publish(comparison, folder, console)
    return comparison


def train_demo_parts(
    folder: str | Path,
    *,
    size: Size,
    seed: int,
    steps: DemoSteps | None,
    console: Console,
    clock: Clock | None = None,
) -> tuple[Corpus, Path, Path]:
    """(corpus, run folder of the acoustic model, run folder of the language model) of the demo in `folder`.

    What stands there is reused, what is missing is made.
    """
    folder, steps = Path(folder), steps or DemoSteps()
    clock = clock or Clock(console)
    with clock("corpus"):
        corpus = _corpus(folder / "corpus", size, seed, console)
        dev_text = _dev_text(corpus, folder / "dev.txt")
    acoustic, language = folder / "acoustic", folder / "language"
    with clock("training: acoustic"):
        recipe = demo_acoustic(train=corpus.train, dev=corpus.dev, steps=steps.acoustic, seed=seed)
        train_recipe(recipe, acoustic, device="cpu", console=console)
    with clock("training: language"):
        text = (corpus.lm_text,)
        recipe = demo_language(text=text, dev=dev_text, units=acoustic, steps=steps.language, seed=seed)
        train_recipe(recipe, language, device="cpu", console=console)
    return corpus, acoustic, language


def _corpus(folder: Path, size: Size, seed: int, console: Console) -> Corpus:
    with StageBar(console, "speaking the corpus") as advance:
        return make_corpus(folder, size, seed=seed, progress=advance)


def _dev_text(corpus: Corpus, path: Path) -> Path:
    text = "".join(f"{utterance.text}\n" for utterance in load_manifest(corpus.dev))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with atomic_file(path) as handle:
            handle.write(text)
    return path


def _notes(corpus: Corpus, clock: Clock) -> list[str]:
    test = load_manifest(corpus.test)
    heard = {u.text for u in load_manifest(corpus.train)} | set(corpus.lm_text.read_text("utf-8").splitlines())
    shared = sum(u.text in heard for u in test)
    unseen = sum(not u.fields.get("seen_template", True) for u in test)
    times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in clock.seconds.items())
    fair = (
        f"Of {len(test)} test sentences {shared} occur in the training audio or the LM text; {unseen} follow templates "
        "that occur in neither. Test voices are in neither training nor dev. Scales were tuned on dev."
    )
    return [fair, f"Time of this call: {times}."]


class Clock:
    """Announces each stage and remembers how long it took."""

    def __init__(self, console: Console) -> None:
        self.console, self.name = console, ""
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> Clock:
        self.name = name
        return self

    def __enter__(self) -> None:
        self.console.rule(self.name, align="left")
        self.start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds[self.name] = time.perf_counter() - self.start
