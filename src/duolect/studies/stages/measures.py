"""Stages that give further columns of a study's table (FACTS): perplexities, rates of each test set, ratios of cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from rich.console import Console

from duolect.data import Utterance, read_manifest
from duolect.errors import DuolectError, ScoringError
from duolect.evaluation import Normaliser, RunRecord, read_run, score_run
from duolect.evaluation.cost import efficiency
from duolect.storage import write_json
from duolect.studies.stages.base import Stage
from duolect.studies.stages.recognition import HYPOTHESES
from duolect.studies.stages.training import SYSTEM
from duolect.studies.study import FACTS
from duolect.systems import load
from duolect.systems.perplexity import measure_perplexity

AVERAGE = "mean of sets"


@dataclass(frozen=True, kw_only=True)
class Perplexity(Stage):
    """How well a language model foretells the transcripts of a part of a corpus, per label of its own and per word.

    Sentence ends count, as a word of their own.
    """

    kind: ClassVar[str] = "perplexity"
    rooms: ClassVar[tuple[str, ...]] = ("text", "nn", "models")

    language: Stage
    corpus: Stage
    split: str = "test"
    normaliser: Normaliser = "plain"

    def uses(self) -> Mapping[str, Stage]:
        """The system with the language model, and the corpus."""
        return {"language": self.language, "corpus": self.corpus}

    def settings(self) -> Any:
        """Which part, and what is done to its text."""
        return {"split": self.split, "normaliser": self.normaliser}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Measure it; all figures are in perplexity.json."""
        system = load(inputs["language"] / SYSTEM)
        manifest = inputs["corpus"] / f"{self.split}.jsonl"
        report = measure_perplexity({self.name: system}, [manifest], normaliser=self.normaliser)
        write_json(folder / "perplexity.json", report.to_json())
        row = report.rows[0]
        bounds = "" if row.interval is None else f" [{row.interval.low:.2f}, {row.interval.high:.2f}]"
        facts = {"PPL per label": f"{row.sums.per_token:.2f}", "PPL per word": f"{row.sums.per_word:.2f}{bounds}"}
        if report.left_out:
            facts["Sentences not spelled"] = str(len(report.left_out))
        write_json(folder / FACTS, facts)


@dataclass(frozen=True, kw_only=True)
class SetRates(Stage):
    """The word error rate of each test set of a manifest that holds several, told apart by a `field`, and their mean.

    `runs` are recognitions of the manifest, one of each seed, whose errors are added up. Recordings that were
    recognised in chunks are scored whole; the mean is that of the leaderboard: of rates rounded to two decimals.
    """

    kind: ClassVar[str] = "rates"
    rooms: ClassVar[tuple[str, ...]] = ("evaluation",)

    runs: Sequence[Stage]
    corpus: Stage
    field: str
    normaliser: Normaliser
    split: str = "test"

    def uses(self) -> Mapping[str, Stage]:
        """The recognitions, and the corpus."""
        return {"corpus": self.corpus} | {f"run {number}": run for number, run in enumerate(self.runs, start=1)}

    def settings(self) -> Any:
        """What tells the sets apart, and how they are scored."""
        return {"field": self.field, "normaliser": self.normaliser, "split": self.split}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Score them. Raises ScoringError for an utterance of no set."""
        utterances = read_manifest(inputs["corpus"] / f"{self.split}.jsonl")
        place = {u.id: _set_of(u, self.field) for u in utterances}
        errors: dict[str, np.ndarray] = {name: np.zeros(4, dtype=np.int64) for name in sorted(set(place.values()))}
        for run in self.uses().keys() - {"corpus"}:
            rows, record = read_run(inputs[run] / HYPOTHESES)
            for name in errors:
                lost = [s for s in (record.skipped if record is not None else ()) if place.get(s.id) == name]
                of_set = [row for row in rows if place.get(row.id) == name]
                errors[name] += score_run(of_set, self.normaliser, skipped=lost).counts_N4.sum(axis=0)
        rates = {name: round(100 * found[:3].sum() / found[3], 2) for name, found in errors.items()}
        mean = sum(rates.values()) / len(rates)
        write_json(folder / FACTS, {AVERAGE: f"{mean:.2f}"} | {name: f"{rate:.2f}" for name, rate in rates.items()})


def _set_of(utterance: Utterance, field: str) -> str:
    value = utterance.fields.get(field)
    if value is None:
        raise ScoringError(f"utterance {utterance.id!r} has no {field!r}, which names its test set.")
    return str(value)


@dataclass(frozen=True, kw_only=True)
class CostRatios(Stage):
    """What a recognition costs against that of a baseline: labels per second, memory, operations, parameters."""

    kind: ClassVar[str] = "cost"
    rooms: ClassVar[tuple[str, ...]] = ("evaluation",)

    run: Stage
    baseline: Stage

    def uses(self) -> Mapping[str, Stage]:
        """The two recognitions."""
        return {"run": self.run, "baseline": self.baseline}

    def settings(self) -> Any:
        """None: the two decide."""
        return {}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Divide; what cannot be compared is left out."""
        found = efficiency(_record(inputs["run"]), _record(inputs["baseline"]))
        ratios = {
            "Tokens/s": found.tokens,
            "Memory": found.memory,
            "Operations": found.flops,
            "Parameters": found.parameters,
        }
        write_json(
            folder / FACTS, {f"{name}, ratio": f"{value:.2f}" for name, value in ratios.items() if value is not None}
        )


def _record(folder: Path) -> RunRecord:
    record = read_run(folder / HYPOTHESES)[1]
    if record is None:
        raise DuolectError(f"{folder}: the record of the run is not beside its hypotheses.")
    return record
