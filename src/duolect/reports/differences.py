"""Utterances on which systems differ, and where exactly: what the page shows beside the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from duolect.evaluation import HypothesisRow, align, is_same, normaliser_function
from duolect.reports.comparison import Comparison, SystemResult

_LONG = 40  # words; longer utterances are hard to compare by eye and are taken only when there are no others


@dataclass(frozen=True)
class Part:
    """One step of an alignment: `reference` is empty for an insertion, `hypothesis` for a deletion."""

    kind: Literal["same", "substituted", "deleted", "inserted"]
    reference: str
    hypothesis: str


@dataclass(frozen=True)
class HeardBy:
    """What one system made of an utterance."""

    system: str
    parts: list[Part]
    errors: int
    flags: tuple[str, ...]
    skipped: bool


@dataclass(frozen=True)
class Example:
    """One utterance as all systems heard it, in the comparison's order; texts are normalised as they were scored."""

    id: str
    reference: str
    duration: float | None
    heard: list[HeardBy]


def mark(reference: str, hypothesis: str, *, merge_compounds: bool = False) -> list[Part]:
    """The alignment of two (normalised) texts with each step named; a merged compound is "same"."""
    parts = []
    for r, h in align(reference, hypothesis, merge_compounds=merge_compounds):
        if is_same(r, h):
            parts.append(Part("same", r or "", h or ""))
        elif h is None:
            parts.append(Part("deleted", r or "", ""))
        else:
            parts.append(Part("substituted" if r is not None else "inserted", r or "", h))
    return parts


def examples(comparison: Comparison, limit: int = 10) -> list[Example]:
    """Up to `limit` utterances on which the systems make different numbers of errors; none without hypothesis rows.

    No system is favoured: utterances are grouped by which systems did best on them, and the groups take turns, each
    giving its utterance with the widest spread of errors. Deterministic.
    """
    if len(comparison.systems) < 2 or any(not system.rows for system in comparison.systems):
        return []
    return examples_of(comparison.systems, differing(comparison.systems, limit))


def examples_of(
    systems: Sequence[SystemResult], ids: Sequence[str], durations: Mapping[str, float] | None = None
) -> list[Example]:
    """The utterances of these ids, which all systems were scored on, as they heard them. durations: id → seconds,
    where no row says them."""
    rows = [{row.id: row for row in system.rows} for system in systems]
    errors_SK = [_errors(system, ids).tolist() for system in systems]
    texts_SK = [[system.score.texts_N[n][0] for n in _places(system, ids)] for system in systems]
    return [
        _example(
            systems,
            [by_id.get(key) for by_id in rows],
            key,
            [texts_K[k] for texts_K in texts_SK],
            [errors_K[k] for errors_K in errors_SK],
            (durations or {}).get(key),
        )
        for k, key in enumerate(ids)
    ]


def differing(systems: Sequence[SystemResult], limit: int) -> list[str]:
    """The ids of up to `limit` utterances on which the systems make different numbers of errors, as for `examples`."""
    common = set(systems[0].score.ids).intersection(*(system.score.ids for system in systems[1:]))
    ids = [key for key in systems[0].score.ids if key in common]
    if not ids:
        return []
    errors_SN = np.stack([_errors(system, ids) for system in systems])
    words = {key: int(n) for key, n in zip(systems[0].score.ids, systems[0].score.counts_N4[:, 3], strict=True)}
    lowest_N, spread_N = errors_SN.min(axis=0), np.ptp(errors_SN, axis=0)
    groups: dict[tuple[bool, ...], list[tuple[bool, int, str]]] = {}
    for n in np.flatnonzero(spread_N):
        best = tuple(bool(value) for value in errors_SN[:, n] == lowest_N[n])
        groups.setdefault(best, []).append((words[ids[n]] > _LONG, -int(spread_N[n]), ids[n]))
    queues = sorted(sorted(group) for group in groups.values())
    chosen: list[str] = []
    while len(chosen) < limit and any(queues):
        chosen += [queue.pop(0)[2] for queue in queues if queue][: limit - len(chosen)]
    return chosen


def _errors(system: SystemResult, ids: Sequence[str]) -> np.ndarray:
    return system.score.counts_N4[_places(system, ids), :3].sum(axis=1)


def _places(system: SystemResult, ids: Sequence[str]) -> list[int]:
    place = {key: n for n, key in enumerate(system.score.ids)}
    return [place[key] for key in ids]


def _example(
    systems: Sequence[SystemResult],
    rows: Sequence[HypothesisRow | None],
    key: str,
    references: Sequence[str],
    errors: Sequence[int],
    seconds: float | None,
) -> Example:
    """references, errors: of each system, as they were scored; a reference is known also where all skipped it."""
    heard = []
    for system, row, reference, count in zip(systems, rows, references, errors, strict=True):
        said = normaliser_function(system.score.normaliser)(row.text) if row is not None else ""
        parts = mark(reference, said, merge_compounds=system.score.merge_compounds)
        heard.append(
            HeardBy(
                system=system.name,
                parts=parts,
                errors=count,
                flags=row.flags if row is not None else (),
                skipped=row is None,
            )
        )
    duration = next((row.duration for row in rows if row is not None and row.duration is not None), seconds)
    return Example(id=key, reference=references[0], duration=duration, heard=heard)
