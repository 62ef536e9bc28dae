"""The comparison from sources to report: recognise what is missing, score, and gather what there is to say."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from duolect.configs import to_json
from duolect.data import Utterance, load_manifest
from duolect.errors import ConfigError, DuolectError, ScoringError
from duolect.evaluation import Blocks, HypothesisRow, Panel, RunRecord, panel_of, read_run
from duolect.evaluation.blocks import find_blocks, utterance_fields
from duolect.evaluation.pairs import all_pairs
from duolect.evaluation.score import require_form, texts_of
from duolect.reports.cells import escape_markdown
from duolect.reports.compare.evidence import Evidence, fields_of, require_fields
from duolect.reports.compare.fields import fields_part
from duolect.reports.compare.inputs import Source, distinct_slugs
from duolect.reports.compare.matrix import matrix_part
from duolect.reports.compare.measured import cost_part, panel_part
from duolect.reports.compare.options import CompareOptions
from duolect.reports.compare.recommendation import recommendation_part, sentences
from duolect.reports.compare.utterances import utterances_part
from duolect.reports.compare.vocabulary import read_vocabulary, vocabulary_part
from duolect.reports.compare.words import words_part
from duolect.reports.comparison import Comparison, SystemResult, system_result
from duolect.reports.page import write_page
from duolect.reports.parts import ReportPart
from duolect.reports.progress import stage_bar
from duolect.reports.recordings import whole_recordings, with_durations
from duolect.reports.table import markdown_table, print_table
from duolect.storage import atomic_file, file_hash
from duolect.systems.lines import HowRecognized, Line, recognize_lines
from duolect.systems.measurement import Measure
from duolect.systems.methods import METHODS
from duolect.text.chunks import PARENT

HYPOTHESES = "hypotheses"


@dataclass(frozen=True, kw_only=True)
class Report:
    """A comparison with everything that is shown of it."""

    comparison: Comparison
    parts: Sequence[ReportPart]
    said: Sequence[str]
    """The recommendation as sentences."""
    failures: Mapping[str, str]
    """Source name → why it is not in the comparison or, where it is, why its run on non-speech is not."""
    raw: Sequence[Mapping[str, Any]]
    """One row for each system: what it scored, and all that made it."""


@dataclass(frozen=True)
class _Run:
    """A hypothesis file as read."""

    source: Source
    file: Path
    rows: list[HypothesisRow]
    record: RunRecord


def compare(
    sources: Sequence[Source],
    manifest: Path,
    folder: Path,
    options: CompareOptions | None = None,
    *,
    measure: Measure | None = None,
    console: Console | None = None,
    command: str = "duolect compare",
    date: str | None = None,
) -> Report:
    """Recognise `manifest` with the systems among `sources`, score all of them, and gather the report.

    Hypotheses go to `folder`/hypotheses and are taken up again where the same models and search made them from the same
    manifest. A system that cannot be loaded or run is named in `failures`, and the others go on; a hypothesis file that
    does not belong to the manifest stops everything before any time is spent.

    Raises ManifestError for a bad manifest, ScoringError for hypotheses that do not belong to it, ConfigError for an
    unknown field, DuolectError where no source gives hypotheses.
    """
    options, console = options or CompareOptions(), console or Console(stderr=True)
    utterances = {utterance.id: utterance for utterance in load_manifest(manifest)}
    silent = {u.id: u for u in load_manifest(options.nonspeech)} if options.nonspeech is not None else {}
    vocabulary = read_vocabulary(options.train, options.normaliser, options.rare) if options.train else None
    blocks = find_blocks(utterance_fields(utterances.values()), options.blocks)
    if blocks is None and options.blocks not in ("auto", "none"):
        raise ConfigError(f"--blocks: no utterance of the manifest has a field {options.blocks!r}.")
    require_fields(options.by, fields_of(utterances.values()))
    given = {source.name: _read(source, source.path) for source in sources if source.file}
    for run in given.values():
        _check(run, utterances, options)

    made, failures = _recognized(
        [source for source in sources if not source.file], manifest, folder, options, measure, console, command, date
    )
    runs: dict[str, _Run] = {}
    for source in sources:
        run = given.get(source.name) or made.get((source.name, False))
        if run is not None:
            runs[source.name] = run
    if not runs:
        name, why = next(iter(failures.items()))
        raise DuolectError(f"{name}: {why}")
    for run in runs.values():
        if run.record.target == "translation":
            raise ScoringError(
                f"{run.source.name}: holds translations; `duolect score` compares them by BLEU and chrF."
            )

    texts = {key: utterance.text for key, utterance in utterances.items()}
    timed = with_durations(runs.values(), {key: utterance.duration for key, utterance in utterances.items()})
    whole, joined = whole_recordings(timed, texts, lambda run: str(run.file))
    runs, references = dict(zip(runs, whole, strict=True)), joined or texts
    if references.keys() != utterances.keys():
        blocks = _blocks_of_recordings(references, utterances, options.blocks)
    systems: list[SystemResult] = []
    for name, run in runs.items():
        systems.append(_scored(run, references, options, blocks, systems[0] if systems else None))
        console.print(f"  {name}: WER {100 * systems[-1].score.wer:.2f} %", highlight=False, markup=False)
    comparison = Comparison(
        title=options.title or f"Comparison on {manifest.name}",
        systems=systems,
        baseline=systems[0].name,
        notes=_notes(runs, failures, manifest),
        provenance=_provenance(manifest, options, systems[0], command, date),
    )
    evidence = Evidence(
        comparison=comparison,
        records={name: run.record for name, run in runs.items()},
        pairs=all_pairs({system.name: system.score for system in systems}),
        utterances=utterances,
        panels={name: _panel(run, references, options, blocks) for name, run in runs.items()},
        nonspeech={
            name: _panel(run, {key: u.text for key, u in silent.items()}, options, None)
            for (name, quiet), run in made.items()
            if quiet and name in runs
        },
        vocabulary=vocabulary,
        options=options,
    )
    parts = [part for part in _parts(evidence, folder) if part is not None]
    return Report(
        comparison=comparison,
        parts=parts,
        said=sentences(evidence),
        failures=failures,
        raw=[_raw(run, system, parts, manifest) for run, system in zip(runs.values(), systems, strict=True)],
    )


def write_report(report: Report, folder: Path, console: Console | None = None) -> None:
    """Write report.html, report.md and results.jsonl into `folder`, each whole or not at all; print the table to
    standard output and the recommendation to `console`.

    Raises DuolectError where the folder cannot be written.
    """
    console = console or Console(stderr=True)
    write_page(report.comparison, folder / "report.html", utterances=0, parts=report.parts)
    with atomic_file(folder / "report.md") as handle:
        handle.write(_markdown(report))
    with atomic_file(folder / "results.jsonl") as handle:
        for row in report.raw:
            handle.write(json.dumps(_finite(row), ensure_ascii=False, allow_nan=False) + "\n")
    print_table(report.comparison)
    for sentence in report.said:
        console.print(f"  {sentence}", highlight=False, markup=False)
    compared = [system.name for system in report.comparison.systems]
    for sentence in _failed(report.failures, compared, "Not compared"):
        console.print(f"  {sentence}", highlight=False, markup=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, markup=False)


def _recognized(
    sources: Sequence[Source],
    manifest: Path,
    folder: Path,
    options: CompareOptions,
    measure: Measure | None,
    console: Console,
    command: str,
    date: str | None,
) -> tuple[dict[tuple[str, bool], _Run], dict[str, str]]:
    """((source name, whether of non-speech) → run, name → why there is none, or none of non-speech)."""
    lines: dict[tuple[str, bool], Line] = {}
    slugs = distinct_slugs(sources)
    for source in sources:
        for quiet in (False, True) if options.nonspeech is not None else (False,):
            below = folder / HYPOTHESES / ("nonspeech" if quiet else "")
            lines[source.name, quiet] = Line(
                name=f"{source.name}, non-speech" if quiet else source.name,
                folder=source.path,
                out=below / f"{slugs[source.name]}.jsonl",
                method=source.method,
                manifest=options.nonspeech if quiet else None,
            )
    how = HowRecognized(
        device=options.device,
        precision=options.precision,
        batch_seconds=options.batch_seconds,
        max_seconds=options.max_seconds,
        measure=measure,
        command=command,
        date=date,
    )
    bar = partial(stage_bar, console.is_terminal)
    outcomes = recognize_lines(list(lines.values()), manifest, how, bar, apart=True)
    found, failures = {}, {}
    by_name = {source.name: source for source in sources}
    for (name, quiet), outcome in zip(lines, outcomes, strict=True):
        if outcome.error is None:
            found[name, quiet] = _read(by_name[name], outcome.line.out)
        else:
            failures.setdefault(name, outcome.error)
    return found, failures


def _read(source: Source, file: Path) -> _Run:
    rows, record = read_run(file)
    return _Run(source, file, rows, record or RunRecord(system=source.name))


def _check(run: _Run, utterances: Mapping[str, Utterance], options: CompareOptions) -> None:
    """Refuse hypotheses of other utterances, or texts that were normalised in another way than asked for."""
    try:
        texts_of(run.rows, {key: utterance.text for key, utterance in utterances.items()}, run.record.skipped)
    except ScoringError as error:
        raise ScoringError(f"{run.file}: {error}") from error
    require_form(run.record, options.normaliser, str(run.file))


def _blocks_of_recordings(
    references: Mapping[str, str], utterances: Mapping[str, Utterance], wanted: str
) -> Blocks | None:
    """The blocks of recordings, which have the fields of their first chunks, and of utterances that are no chunks."""
    fields = utterance_fields(utterances.values())
    for found in list(fields.values()):
        fields.setdefault(str(found.get(PARENT)), {k: value for k, value in found.items() if k != PARENT})
    return find_blocks({key: fields.get(key, {}) for key in references}, wanted)


def _scored(
    run: _Run,
    references: Mapping[str, str],
    options: CompareOptions,
    blocks: Blocks | None,
    baseline: SystemResult | None,
) -> SystemResult:
    method = METHODS.get(run.record.method or "")
    try:
        return system_result(
            run.source.name,
            run.rows,
            run.record,
            description=method.description if method is not None else "",
            baseline=baseline.score if baseline is not None else None,
            normaliser=options.normaliser,
            references=references,
            blocks=blocks,
        )
    except ScoringError as error:
        raise ScoringError(f"{run.source.name}: {error}") from error


def _panel(run: _Run, references: Mapping[str, str], options: CompareOptions, blocks: Blocks | None) -> Panel:
    return panel_of(
        run.rows,
        normaliser=options.normaliser,
        references=references,
        skipped=run.record.skipped,
        blocks=blocks,
    )


def _parts(evidence: Evidence, folder: Path) -> list[ReportPart | None]:
    makers: list[Callable[[Evidence], ReportPart | None]] = [
        recommendation_part,
        matrix_part,
        panel_part,
        cost_part,
        vocabulary_part,
        fields_part,
        words_part,
    ]
    return [*(make(evidence) for make in makers), utterances_part(evidence, folder)]


def _notes(runs: Mapping[str, _Run], failures: Mapping[str, str], manifest: Path) -> list[str]:
    notes = _failed(failures, runs, "Not in this comparison")
    ours = file_hash(manifest)
    other = [n for n, run in runs.items() if run.record.manifest_hash not in (None, ours)]
    if other:
        notes.append(
            f"Recognised from another manifest with the same ids than {manifest}, whose references are used here: "
            f"{', '.join(other)}."
        )
    unknown = [name for name, run in runs.items() if run.record.config_hash is None]
    if unknown:
        notes.append(f"How they were made is not known, since no .run.json lies beside the file: {', '.join(unknown)}.")
    return notes


def _failed(failures: Mapping[str, str], compared: Collection[str], otherwise: str) -> list[str]:
    """What failed and why: of a system that was compared only its run on non-speech, of the others what `otherwise`
    says."""
    return [
        f"{'Not run on non-speech' if name in compared else otherwise}: {name}: {why}" for name, why in failures.items()
    ]


def _provenance(
    manifest: Path, options: CompareOptions, first: SystemResult, command: str, date: str | None
) -> dict[str, Any]:
    score = first.score
    given = {
        "command": command,
        "date": date,
        "manifest": str(manifest),
        "manifest_hash": file_hash(manifest),
        "normaliser": f"{score.normaliser} {score.normaliser_version}".strip(),
        "aligner": score.aligner,
        "bootstrap": f"{score.replicas:,} replicas, seed {score.seed}",
        "nonspeech": str(options.nonspeech) if options.nonspeech is not None else None,
        "training_text": [str(file) for file in options.train] or None,
    }
    return {key: value for key, value in given.items() if value is not None}


def _raw(run: _Run, system: SystemResult, parts: Sequence[ReportPart], manifest: Path) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": system.name,
        "source": str(run.source.path),
        "method": run.record.method,
        "hypotheses": str(run.file),
        "hypotheses_hash": file_hash(run.file),
        "manifest": str(manifest),
        "manifest_hash": file_hash(manifest),
        "score": system.score.summary(),
        "rtfx": system.timing.rtfx,
        "peak_memory": system.peak_memory,
        "record": to_json(dataclasses.replace(run.record, skipped=())),
        "skipped": [dataclasses.asdict(each) for each in run.record.skipped],
    }
    for part in parts:
        row |= part.raw.get(system.name, {})
    return row


def _markdown(report: Report) -> str:
    lead = next((part.markdown for part in report.parts if part.anchor == "lead"), "")
    others = [part for part in report.parts if part.anchor != "lead" and part.markdown]
    sections = [
        f"# {escape_markdown(report.comparison.title)}",
        lead,
        f"## Results\n\n{markdown_table(report.comparison)}",
    ]
    sections += [f"## {part.title}\n\n{part.markdown}" for part in others]
    if report.comparison.notes:
        sections.append("## Notes\n\n" + "\n".join(f"* {escape_markdown(note)}" for note in report.comparison.notes))
    return "\n\n".join(section.strip() for section in sections if section.strip()) + "\n"


def _finite(value: Any) -> Any:
    """The value for JSON, which has neither NaN nor infinity: null stands for them."""
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
