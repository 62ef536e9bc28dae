"""Recordings that were recognised in chunks and are scored whole, as the leaderboard does with Earnings-22 since 2026.

A chunk's row has the fields `parent_id` (the recording) and `chunk_index` (0, 1, …); its reference is the recording's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise

from duolect.errors import ScoringError
from duolect.evaluation.results import HypothesisRow, Skipped

PARENT, INDEX = "parent_id", "chunk_index"


def has_chunks(rows: Sequence[HypothesisRow], references: Mapping[str, str] | None = None) -> bool:
    """Whether there are chunks of recordings, each with its whole recording's reference. Chunks with references of
    their own are utterances like any other."""
    texts: dict[str, str | None] = {}
    for row in rows:
        if _is_chunk(row):
            text = _reference(row, references)
            if texts.setdefault(str(row.fields[PARENT]), text) != text:
                return False
    return bool(texts)


def missing_chunks(rows: Sequence[HypothesisRow]) -> dict[str, int]:
    """Recording → how many chunks between 0 and its last are not there; their words are deleted ones in the score."""
    found: dict[str, list[int]] = {}
    for row in rows:
        if _is_chunk(row):
            found.setdefault(str(row.fields[PARENT]), []).append(_index(row))
    return {parent: gone for parent, seen in found.items() if (gone := max(seen) + 1 - len(set(seen)))}


def merge_chunks(
    rows: Sequence[HypothesisRow],
    references: Mapping[str, str] | None = None,
    skipped: Sequence[Skipped] = (),
) -> tuple[list[HypothesisRow], dict[str, str] | None, list[Skipped]]:
    """One row for each recording, its id `parent_id`: texts joined by spaces in the order of the chunks, durations and
    `time`s summed, the rest from the first chunk. Rows that are no chunks stay. `references` and `skipped` come back
    with the same ids: a chunk that was skipped gives no words to its recording.

    Raises ScoringError for an index that is given twice or is no index, and for chunks that disagree on the reference.
    """
    chunks: dict[str, list[HypothesisRow]] = {}
    merged = []
    for row in rows:
        if _is_chunk(row):
            chunks.setdefault(str(row.fields[PARENT]), []).append(row)
        else:
            merged.append(row)
    merged += [_whole(parent, sorted(chunks[parent], key=_index), references) for parent in sorted(chunks)]
    if not chunks:
        return merged, None if references is None else dict(references), list(skipped)
    whole = {row.reference for row in merged if row.id in chunks}
    lost = [entry for entry in skipped if _reference(entry, references) not in whole]
    if references is not None:
        gone = {row.id for each in chunks.values() for row in each} | (
            {entry.id for entry in skipped} - {entry.id for entry in lost}
        )
        references = {key: text for key, text in references.items() if key not in gone}
        references |= {row.id: row.reference or "" for row in merged if row.id in chunks}
    return merged, references, lost


def _whole(parent: str, chunks: list[HypothesisRow], references: Mapping[str, str] | None) -> HypothesisRow:
    for one, other in pairwise(chunks):
        if _index(one) == _index(other):
            raise ScoringError(f"chunk {_index(one)} of {parent!r} is there twice ({one.id!r} and {other.id!r}).")
    texts = {_reference(chunk, references) for chunk in chunks}
    if len(texts) > 1:
        raise ScoringError(f"the chunks of {parent!r} have different references; the whole recording's was expected.")
    durations = [chunk.duration for chunk in chunks]
    times = [chunk.fields.get("time") for chunk in chunks]
    fields = {key: value for key, value in chunks[0].fields.items() if key not in (PARENT, INDEX, "time")}
    if all(isinstance(time, int | float) for time in times):
        fields["time"] = sum(time for time in times if isinstance(time, int | float))
    return dataclasses.replace(
        chunks[0],
        id=parent,
        text=" ".join(chunk.text.strip() for chunk in chunks if chunk.text.strip()),
        reference=texts.pop(),
        duration=sum(d for d in durations if d is not None) if None not in durations else None,
        score=None,
        terms={},
        flags=tuple(dict.fromkeys(flag for chunk in chunks for flag in chunk.flags)),
        fields=fields,
    )


def _is_chunk(row: HypothesisRow) -> bool:
    return row.fields.get(PARENT) is not None and INDEX in row.fields


def _index(row: HypothesisRow) -> int:
    index = row.fields.get(INDEX)
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise ScoringError(f"utterance {row.id!r}: {INDEX!r} must be an integer from 0; it is {index!r}.")
    return index


def _reference(entry: HypothesisRow | Skipped, references: Mapping[str, str] | None) -> str | None:
    return entry.reference if references is None else references.get(entry.id)
