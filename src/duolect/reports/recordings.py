"""Runs made ready to be scored and shown: with the durations of their rows, and chunks joined to their recordings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from duolect.errors import ScoringError
from duolect.evaluation import HypothesisRow
from duolect.evaluation.chunks import has_chunks, merge_chunks
from duolect.evaluation.score import texts_of

Run = TypeVar("Run", bound=Any)
"""A dataclass with `rows` and their `record`."""


def with_durations(runs: Iterable[Run], seconds: Mapping[str, float]) -> list[Run]:
    """Runs whose rows have the seconds (id → duration) of the manifest where they do not say their own."""

    def known(row: HypothesisRow) -> HypothesisRow:
        return row if row.duration is not None else dataclasses.replace(row, duration=seconds.get(row.id))

    return [dataclasses.replace(run, rows=[known(row) for row in run.rows]) for run in runs]


def whole_recordings(
    runs: Iterable[Run], references: Mapping[str, str] | None, place: Callable[[Run], str]
) -> tuple[list[Run], Mapping[str, str] | None]:
    """Chunks whose reference is their whole recording's joined to recordings; runs without such stay as they are.

    Raises ScoringError, with the `place` of a run, where its chunks and the references do not belong together.
    """
    whole, joined = [], references
    for run in runs:
        rows: list[HypothesisRow] = run.rows
        try:
            if has_chunks(rows, references, run.record.skipped):
                texts_of(rows, references, run.record.skipped)
                rows, joined, skipped = merge_chunks(rows, references, run.record.skipped)
                record = dataclasses.replace(run.record, skipped=tuple(skipped))
                run = dataclasses.replace(run, rows=rows, record=record)
        except ScoringError as error:
            raise ScoringError(f"{place(run)}: {error}") from error
        whole.append(run)
    return whole, joined
