"""What a report is made from: systems with their scores, speed, memory and hypotheses, and how they were trained."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duolect.errors import ScoringError
from duolect.evaluation import (
    Blocks,
    HypothesisRow,
    Normaliser,
    Paired,
    RunRecord,
    Score,
    Timing,
    compare_scores,
    score_run,
)
from duolect.reports.cost import cost_details


@dataclass(frozen=True, kw_only=True)
class SystemResult:
    """One line of the table."""

    name: str
    description: str = ""
    score: Score
    paired: Paired | None = None
    """Against the comparison's baseline; None for the baseline itself."""
    timing: Timing
    peak_memory: int | None = None
    """Bytes; of the accelerator where there is one, else resident in the host. `provenance["memory"]` says which."""
    details: Mapping[str, str] = field(default_factory=dict)
    """Further columns of the table: their titles, and what stands in this line."""
    rows: Sequence[HypothesisRow] = field(default=(), repr=False)
    """With references: the page shows them aligned."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What made it. The legend speaks of device, precision, threads, batch and beam where they are given."""


@dataclass(frozen=True, kw_only=True)
class TrainingCurve:
    """A training run's log: records with "step" and whatever was measured there; see `read_curve`."""

    name: str
    records: Sequence[Mapping[str, Any]] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything a report shows. Validated when made: ScoringError for no system, equal names, an unknown baseline."""

    title: str
    systems: Sequence[SystemResult]
    baseline: str
    """The name of the system that the others are tested against."""
    curves: Sequence[TrainingCurve] = ()
    summary: Sequence[str] = ()
    """Plain sentences for the top of the page; empty: `findings` writes them."""
    notes: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """What holds for all systems: command, date, device, threads, seed, corpus, versions …"""

    def __post_init__(self) -> None:
        names = [system.name for system in self.systems]
        if not names:
            raise ScoringError(f"comparison {self.title!r}: there is no system to compare.")
        for name in names:
            if names.count(name) > 1:
                raise ScoringError(f"comparison {self.title!r}: two systems are named {name!r}.")
        if self.baseline not in names:
            raise ScoringError(f"comparison {self.title!r}: the baseline {self.baseline!r} is none of its systems.")

    @property
    def reference(self) -> SystemResult:
        """The baseline's result."""
        return next(system for system in self.systems if system.name == self.baseline)

    @property
    def ranked(self) -> list[SystemResult]:
        """The systems from the most to the least accurate; equal ones in the order given."""
        return sorted(self.systems, key=lambda system: system.score.wer)


def system_result(
    name: str,
    rows: Sequence[HypothesisRow],
    record: RunRecord,
    *,
    description: str = "",
    baseline: Score | None = None,
    normaliser: Normaliser = "plain",
    references: Mapping[str, str] | None = None,
    blocks: Blocks | None = None,
) -> SystemResult:
    """Score a run and gather its line of the table.

    references: id → text where the rows carry none. blocks: utterances that are drawn together. Errors are those of
    `score_run` and `compare_scores`.
    """
    score = score_run(rows, normaliser, references=references, skipped=record.skipped, blocks=blocks)
    if references is not None:
        rows = [dataclasses.replace(row, reference=references[row.id]) for row in rows]
    memory = record.device_memory if record.device_memory is not None else record.host_memory
    given = {
        "config": record.config_hash,
        "run": record.hash,
        "method": record.method,
        "device": record.device,
        "precision": record.precision,
        "threads": record.threads,
        "batch": record.batch,
        "beam": record.beam,
        "pruning": record.pruning,
        "seed": record.seed,
        "memory": None if memory is None else ("accelerator" if record.device_memory is not None else "host"),
        "search": record.search or None,
        "command": record.command,
        "date": record.date,
    }
    return SystemResult(
        name=name,
        description=description,
        score=score,
        paired=compare_scores(baseline, score) if baseline is not None else None,
        timing=record.timing,
        peak_memory=memory,
        details=cost_details(record),
        rows=rows,
        provenance={key: value for key, value in given.items() if value is not None},
    )


def read_curve(path: str | os.PathLike[str], name: str) -> TrainingCurve:
    """Read a run's log.jsonl. A last line cut short (the run still goes on) is passed over.

    Raises ScoringError naming file and line for any other line that is not a JSON object with a "step".
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ScoringError(f"{path}: the training log cannot be read ({error}).") from error
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line) if line.strip() else None
        except ValueError as error:
            if number == len(lines):
                break
            raise ScoringError(f"{path}:{number}: not valid JSON ({error}).") from error
        if record is None:
            continue
        if not isinstance(record, dict) or not isinstance(record.get("step"), int | float):
            raise ScoringError(f"{path}:{number}: expected an object with a number under 'step'.")
        records.append(record)
    return TrainingCurve(name=name, records=tuple(records))
