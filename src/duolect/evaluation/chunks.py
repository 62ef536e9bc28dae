"""Recordings that were recognised in chunks and are scored whole, as the leaderboard does with Earnings-22 since 2026.

A chunk's row has the fields `parent_id` (the recording) and `chunk_index` (0, 1, …); its reference is the recording's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise

from duolect.errors import ScoringError
from duolect.evaluation.results import HypothesisRow, Skipped
from duolect.text.chunks import INDEX, PARENT, is_whole_text, parent_of, same_text
from duolect.text.spacing import join_parts


def has_chunks(
    rows: Sequence[HypothesisRow], references: Mapping[str, str] | None = None, skipped: Sequence[Skipped] = ()
) -> bool:
    """Whether there are chunks of recordings, each with its whole recording's reference. Chunks with references of
    their own are utterances like any other. White space makes no difference.

    Raises ScoringError where the chunks of some recordings have all one reference, and those of fewer have not.
    """
    texts: dict[str, list[str]] = {}
    parents = [parent_of(row.fields) for row in rows] + [entry.parent_id for entry in skipped]
    for entry, parent in zip([*rows, *skipped], parents, strict=True):
        if parent is not None:
            text = _reference(entry, references)
            texts.setdefault(parent, []).extend([] if text is None else [text])
    apart = [parent for parent, said in texts.items() if said and not same_text(said)]
    shared = [parent for parent, said in texts.items() if is_whole_text(said)]
    if 0 < len(apart) <= len(shared):  # where most differ, some say the same thing twice
        raise ScoringError(
            f"the chunks of {shared[0]!r} have all one reference, as if it were the whole recording's, but those of "
            f"{apart[0]!r} have different ones; leave out {PARENT!r} where chunks have references of their own."
        )
    return bool(texts) and not apart


def missing_chunks(rows: Sequence[HypothesisRow]) -> dict[str, int]:
    """Recording → how many chunks between 0 and its last are not there; their words are deleted ones in the score."""
    found: dict[str, list[int]] = {}
    for row in rows:
        if (parent := parent_of(row.fields)) is not None:
            found.setdefault(parent, []).append(_index(row))
    return {parent: gone for parent, seen in found.items() if (gone := max(seen) + 1 - len(set(seen)))}


def merge_chunks(
    rows: Sequence[HypothesisRow],
    references: Mapping[str, str] | None = None,
    skipped: Sequence[Skipped] = (),
) -> tuple[list[HypothesisRow], dict[str, str] | None, list[Skipped]]:
    """One row for each recording, its id `parent_id`: texts joined in the order of the chunks, by spaces where the
    script has some, durations and `time`s summed, the rest from the first chunk. Rows that are no chunks stay.
    `references` and `skipped` come back with the same ids: a chunk that was skipped gives no words to its recording,
    and a recording of which all chunks were is skipped, once.

    Raises ScoringError for an index that is given twice or is no index, and for chunks that disagree on the reference.
    """
    chunks: dict[str, list[HypothesisRow]] = {}
    merged = []
    for row in rows:
        if (parent := parent_of(row.fields)) is not None:
            chunks.setdefault(parent, []).append(row)
        else:
            merged.append(row)
    whole = [_whole(parent, sorted(chunks[parent], key=_index), references) for parent in sorted(chunks)]
    lost = _lost(skipped, whole, references)
    if references is not None:
        old = {entry.id for entry in (*rows, *skipped)} - {entry.id for entry in (*merged, *lost)}
        new = {entry.id: entry.reference or "" for entry in (*whole, *lost)}
        references = {key: text for key, text in references.items() if key not in old} | new
    return merged + whole, references, lost


def _lost(
    skipped: Sequence[Skipped], whole: Sequence[HypothesisRow], references: Mapping[str, str] | None
) -> list[Skipped]:
    """What stays skipped when chunks are joined: utterances that are no chunks, and recordings without any other."""
    heard, texts = {row.id for row in whole}, {_spaced(row.reference) for row in whole}
    lost: dict[str, Skipped] = {}
    for entry in skipped:
        text, parent = _reference(entry, references), entry.parent_id
        if parent is not None and parent not in heard:
            fields = {key: value for key, value in entry.fields.items() if key not in (PARENT, INDEX)}
            whole_entry = dataclasses.replace(entry, id=parent, reference=text, parent_id=None, fields=fields)
            lost.setdefault(parent, whole_entry)
        elif parent is None and _spaced(text) not in texts:  # lists of before do not say whose chunks they name
            lost[entry.id] = dataclasses.replace(entry, reference=text)
    return list(lost.values())


def _whole(parent: str, chunks: list[HypothesisRow], references: Mapping[str, str] | None) -> HypothesisRow:
    for one, other in pairwise(chunks):
        if _index(one) == _index(other):
            raise ScoringError(f"chunk {_index(one)} of {parent!r} is there twice ({one.id!r} and {other.id!r}).")
    texts = [_reference(chunk, references) for chunk in chunks]
    if len(set(map(_spaced, texts))) > 1:
        raise ScoringError(f"the chunks of {parent!r} have different references; the whole recording's was expected.")
    durations = [chunk.duration for chunk in chunks]
    times = [chunk.fields.get("time") for chunk in chunks]
    fields = {key: value for key, value in chunks[0].fields.items() if key not in (PARENT, INDEX, "time")}
    if all(isinstance(time, int | float) for time in times):
        fields["time"] = sum(time for time in times if isinstance(time, int | float))
    return dataclasses.replace(
        chunks[0],
        id=parent,
        text=join_parts(chunk.text for chunk in chunks),
        reference=texts[0],
        duration=sum(d for d in durations if d is not None) if None not in durations else None,
        score=None,
        terms={},
        flags=tuple(dict.fromkeys(flag for chunk in chunks for flag in chunk.flags)),
        fields=fields,
    )


def _index(row: HypothesisRow) -> int:
    index = row.fields.get(INDEX)
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise ScoringError(f"utterance {row.id!r}: {INDEX!r} must be an integer from 0; it is {index!r}.")
    return index


def _reference(entry: HypothesisRow | Skipped, references: Mapping[str, str] | None) -> str | None:
    return entry.reference if references is None else references.get(entry.id)


def _spaced(text: str | None) -> str | None:
    return None if text is None else " ".join(text.split())
