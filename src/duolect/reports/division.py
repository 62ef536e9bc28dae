"""Hypothesis files divided by a field of their utterances: all of them, then the part of each of the field's values."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from duolect.data.manifest import read_manifest
from duolect.errors import ConfigError
from duolect.evaluation import Blocks, HypothesisRow, RunRecord, Skipped
from duolect.evaluation.blocks import find_blocks, utterance_fields

Text = TypeVar("Text", str, str | None)


@dataclass(frozen=True)
class Run:
    """A hypothesis file, or a part of it."""

    name: str
    rows: list[HypothesisRow]
    record: RunRecord


@dataclass(frozen=True)
class Part(Generic[Text]):
    """Some utterances of the test set, in all runs."""

    title: str
    runs: Sequence[Run]
    references: Mapping[str, Text] | None
    whole: bool = True


def parts_by(
    title: str,
    runs: Sequence[Run],
    references: Mapping[str, Text] | None,
    by: str | None,
    fields: Mapping[str, Mapping[str, Any]],
) -> list[Part[Text]]:
    """All utterances; then those of each value of the field `by`, sorted. fields: id → field → value.

    Raises ConfigError where no utterance has the field.
    """
    parts = [Part(title, runs, references)]
    if by is None:
        return parts
    values = _values("--by", by, fields)
    # A skipped utterance of a file of before may have the field nowhere.
    of = {entry.id: values.get(entry.id, "not given") for run in runs for entry in (*run.rows, *run.record.skipped)}
    divided = [_divided(run, of) for run in runs]
    texts: dict[str, dict[str, Text]] = {value: {} for value in of.values()}
    for key, text in references.items() if references is not None else ():
        if key in of:
            texts[of[key]][key] = text
    for value in sorted(texts):
        known = None if references is None else texts[value]
        parts.append(Part(f"{by}: {value}", [each[value] for each in divided], known, whole=False))
    return parts


def part_blocks(wanted: str, part: Part[Any], fields: Mapping[str, Mapping[str, Any]], by: str | None) -> Blocks | None:
    """The blocks of a part's utterances; none where the part, a value of `by`, is itself the one block. Raises
    ConfigError where none of all utterances has the field asked for."""
    ids = [row.id for row in part.runs[0].rows]
    # Files of before say nothing of what was skipped: it hides no block, and is one of its own.
    ids += [entry.id for entry in part.runs[0].record.skipped if fields.get(entry.id)]
    found = find_blocks({key: fields.get(key, {}) for key in ids}, wanted)
    if found is None and wanted not in ("auto", "none"):
        _values("--blocks", wanted, fields)
    return None if found is not None and found.name == by and not part.whole else found


def fields_by_id(runs: Sequence[Run], manifest: Path | None) -> dict[str, dict[str, Any]]:
    """id → what the files, and the manifest where there is one, say of an utterance; lists and objects left out."""
    found: dict[str, dict[str, Any]] = {}
    for key, fields in _all_fields(runs, manifest):
        found.setdefault(key, {}).update(fields)
    return found


def _all_fields(runs: Sequence[Run], manifest: Path | None) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for run in runs:
        for entry in (*run.rows, *run.record.skipped):
            yield entry.id, {name: value for name, value in entry.fields.items() if not isinstance(value, list | dict)}
    if manifest is not None:
        yield from utterance_fields(read_manifest(manifest)).items()


def _values(option: str, field: str, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """id → the field's value, of the utterances that have the field. Raises ConfigError where none has."""
    found = {key: str(each[field]) for key, each in fields.items() if each.get(field) is not None}
    if not found:
        known = sorted({name for each in fields.values() for name in each})
        what = f"known are {', '.join(known)}" if known else "they have none"
        raise ConfigError(f"{option}: no utterance has a field {field!r}; {what}.")
    return found


def _divided(run: Run, of: Mapping[str, str]) -> dict[str, Run]:
    """Value → the run on its utterances (id → value: `of`) only, in one pass, since there may be thousands of values.

    Time and memory are those of the whole and say nothing about a part.
    """
    rows: dict[str, list[HypothesisRow]] = {value: [] for value in of.values()}
    skipped: dict[str, list[Skipped]] = {value: [] for value in rows}
    for row in run.rows:
        rows[of[row.id]].append(row)
    for entry in run.record.skipped:
        skipped[of[entry.id]].append(entry)
    record = dataclasses.replace(
        run.record, skipped=(), audio_seconds=0.0, wall_seconds=0.0, host_memory=None, device_memory=None
    )
    return {
        value: Run(run.name, rows[value], dataclasses.replace(record, skipped=tuple(skipped[value]))) for value in rows
    }
