"""`duolect score`: word error rates with intervals and a paired test."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from duolect.cli.arguments import PathOption, parse
from duolect.errors import ConfigError, ScoringError

if TYPE_CHECKING:
    from duolect.evaluation import HypothesisRow, RunRecord
    from duolect.reports import Comparison

Normaliser = Literal["plain", "none"]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Word error rates of hypothesis files on the same utterances, as one table.

    95 % intervals by the bootstrap, a paired test against the first file, and speed and memory where the file that
    `duolect recognize` writes beside each is there. Utterances that were skipped in recognition count as deleted.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="HYPS.jsonl...")]
    """Hypothesis files; the first is the baseline."""
    manifest: PathOption = None
    """Take the references from here rather than from the files; every utterance of it must have been recognised."""
    normaliser: Normaliser = "plain"
    """Applied to both sides: plain lower-cases and drops punctuation, none only splits at spaces."""
    by: Annotated[str | None, tyro.conf.arg(metavar="FIELD")] = None
    """A field of the utterances (corpus, speaker …): one more table for each of its values."""
    markdown: bool = False
    """Print Markdown."""


@dataclass(frozen=True)
class _Run:
    name: str
    rows: list[HypothesisRow]
    record: RunRecord


def run(arguments: list[str]) -> int:
    """Run the command; see `Score`."""
    asked = parse("score", Score, arguments)
    if not asked.files:
        raise ConfigError("no hypothesis file is given.")
    from duolect.evaluation import manifest_references
    from duolect.reports import markdown_table, print_table

    runs = _read(asked.files)
    references = manifest_references(asked.manifest) if asked.manifest is not None else None
    tables = [_comparison("All utterances" if asked.by else "Word error rates", runs, references, asked.normaliser)]
    if asked.by is not None:
        groups = _groups(asked.by, runs, asked.manifest)
        for value in sorted(set(groups.values())):
            ids = {key for key, found in groups.items() if found == value}
            part = None if references is None else {key: references[key] for key in ids if key in references}
            tables.append(_comparison(f"{asked.by}: {value}", _restricted(runs, ids), part, asked.normaliser))
    for number, table in enumerate(tables):
        if asked.markdown:
            print(f"{'' if len(tables) == 1 else f'### {table.title}' + chr(10) * 2}{markdown_table(table)}")
        else:
            print("\n" if number else "", end="")
            print_table(table)
    return 0


def _read(files: Sequence[Path]) -> list[_Run]:
    from duolect.evaluation import RunRecord, read_run

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
    from duolect.reports import Comparison, SystemResult, system_result

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
    from duolect.data.manifest import read_manifest

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
