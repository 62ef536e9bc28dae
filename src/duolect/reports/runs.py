"""Hypothesis files as comparisons: one of all utterances, and one for each value of a field of theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolect.data.manifest import read_manifest
from duolect.errors import ConfigError, ScoringError
from duolect.evaluation import HypothesisRow, Normaliser, RunRecord, manifest_references, read_run
from duolect.reports.comparison import Comparison, SystemResult, system_result


@dataclass(frozen=True)
class _Run:
    name: str
    rows: list[HypothesisRow]
    record: RunRecord


def compare_files(
    files: Sequence[Path],
    *,
    manifest: Path | None = None,
    by: str | None = None,
    normaliser: Normaliser = "plain",
) -> list[Comparison]:
    """The comparison of hypothesis files of the same utterances, the first of them the baseline; then, where `by` names
    a field (corpus, speaker …), one for each of its values.

    manifest: references come from here rather than from the files, and every utterance of it must have been recognised.
    Raises ScoringError for files that cannot be compared, ConfigError where no utterance has the field.
    """
    runs = _read(files)
    references = manifest_references(manifest) if manifest is not None else None
    tables = [_comparison("All utterances" if by else "Word error rates", runs, references, normaliser)]
    if by is not None:
        groups = _groups(by, runs, manifest)
        for value in sorted(set(groups.values())):
            ids = {key for key, found in groups.items() if found == value}
            part = None if references is None else {key: references[key] for key in ids if key in references}
            tables.append(_comparison(f"{by}: {value}", _restricted(runs, ids), part, normaliser))
    return tables


def _read(files: Sequence[Path]) -> list[_Run]:
    stems = [file.stem for file in files]
    runs = []
    for file, stem in zip(files, stems, strict=True):
        rows, record = read_run(file)
        name = stem if stems.count(stem) == 1 else str(file)
        runs.append(_Run(name, rows, record or RunRecord(system=name)))
    return runs


def _comparison(
    title: str, runs: Sequence[_Run], references: Mapping[str, str] | None, normaliser: Normaliser
) -> Comparison:
    lines: list[SystemResult] = []
    for run in runs:
        baseline = lines[0].score if lines else None
        try:
            lines.append(
                system_result(
                    run.name, run.rows, run.record, baseline=baseline, normaliser=normaliser, references=references
                )
            )
        except ScoringError as error:
            raise ScoringError(f"{run.name}: {error}") from error
    return Comparison(title=title, systems=lines, baseline=runs[0].name)


def _groups(field: str, runs: Sequence[_Run], manifest: Path | None) -> dict[str, str]:
    """id → the field's value, from the rows of all runs and the manifest; a skipped utterance may have it nowhere."""
    found: dict[str, Any] = {}
    known: set[str] = set()
    for key, fields in _all_fields(runs, manifest):
        known |= fields.keys()
        if field in fields:
            found[key] = fields[field]
    if not found:
        what = f"known are {', '.join(sorted(known))}" if known else "they have none"
        raise ConfigError(f"--by: no utterance has a field {field!r}; {what}.")
    skipped = {entry.id for run in runs for entry in run.record.skipped}
    ids = {row.id for run in runs for row in run.rows} | skipped
    return {key: str(found.get(key, "not given")) for key in ids}


def _all_fields(runs: Sequence[_Run], manifest: Path | None) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for run in runs:
        for row in run.rows:
            yield row.id, {name: value for name, value in row.fields.items() if not isinstance(value, list | dict)}
    for utterance in read_manifest(manifest) if manifest is not None else ():
        own = {"speaker": utterance.speaker, "lang": utterance.lang}
        yield utterance.id, {**utterance.fields, **{name: value for name, value in own.items() if value is not None}}


def _restricted(runs: Sequence[_Run], ids: set[str]) -> list[_Run]:
    """The runs on some utterances only; time and memory are those of the whole and say nothing about a part."""
    restricted = []
    for run in runs:
        record = dataclasses.replace(
            run.record,
            skipped=tuple(entry for entry in run.record.skipped if entry.id in ids),
            audio_seconds=0.0,
            wall_seconds=0.0,
            host_memory=None,
            device_memory=None,
        )
        restricted.append(_Run(run.name, [row for row in run.rows if row.id in ids], record))
    return restricted
