"""Stages that give further columns of a study's table (FACTS): perplexities, rates of each test set, ratios of cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from duolect.data import read_manifest
from duolect.errors import DuolectError, ScoringError
from duolect.evaluation import (
    HypothesisRow,
    Normaliser,
    RunRecord,
    Skipped,
    read_run,
    score_run,
    score_translations,
)
from duolect.evaluation.blocks import utterance_fields
from duolect.evaluation.cost import efficiency
from duolect.evaluation.translation import pooled_translations
from duolect.storage import write_json
from duolect.studies.stages.base import Stage
from duolect.studies.stages.recognition import HYPOTHESES
from duolect.studies.stages.training import SYSTEM
from duolect.studies.study import FACTS, Metric
from duolect.systems import load
from duolect.systems.perplexity import measure_perplexity

AVERAGE = "mean of sets"


@dataclass(frozen=True, kw_only=True)
class Perplexity(Stage):
    """How well a language model foretells the transcripts of a part of a corpus, per label of its own and per word.

    Sentence ends count, as a word of their own.
    """

    kind: ClassVar[str] = "perplexity"
    rooms: ClassVar[tuple[str, ...]] = ("text", "nn", "models", "systems", "evaluation")

    language: Stage
    corpus: Stage
    split: str = "test"
    normaliser: Normaliser = "plain"

    def uses(self) -> Mapping[str, Stage]:
        """The system with the language model, and that part of the corpus."""
        return {"language": self.language, "corpus": self.corpus.part(self.split)}

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
    """The rate of each test set of a manifest that holds several, told apart by a `field`, and their mean.

    `runs` are recognitions of the manifest, one of each seed, whose errors (or matches, for BLEU) are added up.
    Recordings that were recognised in chunks are scored whole; the mean is that of the leaderboard: of rates rounded to
    two decimals. BLEU is that of texts as they are, whatever the `normaliser`.
    """

    kind: ClassVar[str] = "rates"
    rooms: ClassVar[tuple[str, ...]] = ("evaluation",)

    runs: Sequence[Stage]
    corpus: Stage
    field: str
    normaliser: Normaliser
    split: str = "test"
    metric: Metric = "wer"

    def uses(self) -> Mapping[str, Stage]:
        """The recognitions, and what they heard."""
        return {"corpus": self.corpus.part(self.split)} | {
            f"run {number}": run for number, run in enumerate(self.runs, start=1)
        }

    def settings(self) -> Any:
        """What tells the sets apart, and how they are scored."""
        said = {"field": self.field, "normaliser": self.normaliser, "split": self.split}
        return said | ({} if self.metric == "wer" else {"metric": self.metric})

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Score them. Raises ScoringError for an utterance of no set."""
        fields = utterance_fields(read_manifest(inputs["corpus"] / f"{self.split}.jsonl"))
        place = {name: _set_of(name, said, self.field) for name, said in fields.items()}
        runs = [read_run(inputs[run] / HYPOTHESES) for run in sorted(self.uses().keys() - {"corpus"})]
        rates = {}
        for name in sorted(set(place.values())):
            of_set = [
                (
                    [row for row in rows if place.get(row.id) == name],
                    [skipped for skipped in (record.skipped if record else ()) if place.get(skipped.id) == name],
                )
                for rows, record in runs
            ]
            rates[name] = round(_bleu(of_set) if self.metric == "bleu" else _wer(of_set, self.normaliser), 2)
        mean = sum(rates.values()) / len(rates)
        write_json(folder / FACTS, {AVERAGE: f"{mean:.2f}"} | {name: f"{rate:.2f}" for name, rate in rates.items()})


_Run = tuple[list[HypothesisRow], list[Skipped]]


def _wer(runs: Sequence[_Run], normaliser: Normaliser) -> float:
    counts_4 = sum(score_run(rows, normaliser, skipped=lost).counts_N4.sum(axis=0) for rows, lost in runs)
    return float(100 * counts_4[:3].sum() / counts_4[3])


def _bleu(runs: Sequence[_Run]) -> float:
    # One replica: no interval is asked for.
    scores = [score_translations(rows, ["bleu"], skipped=lost, replicas=1) for rows, lost in runs]
    return pooled_translations(scores).metrics["bleu"].value


def _set_of(name: str, said: Mapping[str, Any], field: str) -> str:
    if field not in said:
        raise ScoringError(f"utterance {name!r} has no {field!r}, which names its test set.")
    return str(said[field])


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
