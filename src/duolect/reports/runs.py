"""Hypothesis files as comparisons: one of all utterances, and one for each value of a field of theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from duolect.data.manifest import read_manifest
from duolect.errors import ConfigError, ScoringError
from duolect.evaluation import (
    Blocks,
    HypothesisRow,
    Normaliser,
    PanelConfig,
    RunRecord,
    TranslationMetric,
    compare_panels,
    compare_translations,
    manifest_references,
    normaliser_function,
    panel_of,
    read_run,
    score_translations,
)
from duolect.evaluation.results import bare_name
from duolect.evaluation.score import require_form
from duolect.evaluation.translation import METRICS
from duolect.reports.comparison import Comparison, SystemResult, system_result
from duolect.reports.division import Part, Run, fields_by_id, part_blocks, parts_by
from duolect.reports.panel import PanelComparison, PanelResult
from duolect.reports.recordings import whole_recordings, with_durations
from duolect.reports.translations import TranslationComparison, TranslationResult

Metric = Literal["auto", "wer", "bleu", "chrf"]
"""What hypothesis files are scored by."""


def compare_files(
    files: Sequence[Path],
    *,
    manifest: Path | None = None,
    by: str | None = None,
    normaliser: Normaliser = "plain",
    metric: Metric = "auto",
    blocks: str = "auto",
    allow_empty: bool = False,
) -> list[Comparison] | list[TranslationComparison]:
    """The comparison of hypothesis files of the same utterances, the first of them the baseline; then, where `by` names
    a field (corpus, speaker …), one for each of its values.

    manifest: references come from here rather than from the files, and every utterance of it must have been recognised.
    metric: "auto" is the word error rate for transcripts, BLEU and chrF for translations. Several languages of
    translations, each of which has scores of its own, have a table each and none together.
    blocks: a field (speaker, session …) whose utterances are drawn together for intervals and tests of word errors;
    "auto", or "none", as for `find_blocks`.
    A value of `by` whose references have no words has no WER and is left out; where none at all have any, that is an
    error, or with allow_empty no comparison.
    Raises ScoringError for files that cannot be compared, ConfigError where no utterance has the field.
    """
    runs = _read(files)
    translated = _translated(runs)
    metrics: tuple[TranslationMetric, ...] = METRICS if metric == "auto" else (metric,) if metric != "wer" else ()
    as_translations = metric in METRICS or (translated and metric == "auto")
    references = _references(manifest, translated or as_translations)
    runs, references = whole_recordings(runs, references, lambda run: run.name)
    if as_translations:
        runs = _with_languages(runs, manifest)
    fields = fields_by_id(runs, manifest)
    title = "All utterances" if by else "Translation scores" if as_translations else "Word error rates"
    parts = parts_by(title, runs, references, by, fields)
    if as_translations and by == "target_lang":
        parts = parts[1:]
    if as_translations and blocks not in ("auto", "none"):
        raise ConfigError("--blocks: belongs to word errors; BLEU and chrF are resampled by utterances.")
    if as_translations:
        return [_translations(part.title, part.runs, part.references, metrics) for part in parts]
    for run in runs:
        require_form(run.record, normaliser, run.name)
    # A group without reference words (silence, noise) has no WER, and is no fault.
    must = () if allow_empty else parts[:1]
    kept = [part for part in parts if part in must or _scored(part, normaliser)]
    return [
        _comparison(part.title, part.runs, part.references, normaliser, part_blocks(blocks, part, fields, by))
        for part in kept
    ]


def panel_files(
    files: Sequence[Path],
    *,
    manifest: Path | None = None,
    by: str | None = None,
    normaliser: Normaliser = "plain",
    metric: Metric = "auto",
    thresholds: PanelConfig | None = None,
    blocks: str = "auto",
) -> list[PanelComparison]:
    """The hallucination panels of hypothesis files, the first file the baseline; then, where `by` names a field, those
    of each of its values, titled by the value. Utterances without reference words are in it, as non-speech.

    Arguments and errors are those of `compare_files`, a `metric` of translations saying that the files hold some; the
    durations that rows lack are taken from the manifest.
    """
    runs = _read(files)
    translated = _translated(runs) or metric in METRICS
    references: Mapping[str, str | None] | None
    if manifest is not None:
        runs = with_durations(runs, {utterance.id: utterance.duration for utterance in read_manifest(manifest)})
    if translated:
        runs = [dataclasses.replace(run, rows=[_with_silence(row) for row in run.rows]) for run in runs]
        references = None if manifest is None else _known_translations(manifest)
    else:
        runs, spoken = whole_recordings(runs, _references(manifest, translated), lambda run: run.name)
        references = None if spoken is None else dict(spoken)
    config = dataclasses.replace(thresholds or PanelConfig(), **({"transcripts": False} if translated else {}))
    fields = fields_by_id(runs, manifest)
    parts = parts_by("All utterances", runs, references, by, fields)
    return [_panels(part, normaliser, config, part_blocks(blocks, part, fields, by), f"{by}: ") for part in parts]


def _panels(
    part: Part[str | None], normaliser: Normaliser, config: PanelConfig, blocks: Blocks | None, prefix: str
) -> PanelComparison:
    results: list[PanelResult] = []
    for run in part.runs:
        try:
            panel = panel_of(
                run.rows,
                normaliser=normaliser,
                references=part.references,
                skipped=run.record.skipped,
                thresholds=config,
                blocks=blocks,
            )
            paired = compare_panels(results[0].panel, panel) if results else {}
        except ScoringError as error:
            raise ScoringError(f"{run.name}: {error}") from error
        rows = run.rows
        if part.references is not None:
            rows = [dataclasses.replace(row, reference=part.references[row.id]) for row in rows]
        results.append(PanelResult(name=run.name, panel=panel, paired=paired, rows=rows))
    return PanelComparison(title=part.title.removeprefix(prefix), systems=results)


def _references(manifest: Path | None, translated: bool) -> dict[str, str] | None:
    return None if manifest is None else manifest_references(manifest, "translation" if translated else "text")


def _known_translations(manifest: Path) -> dict[str, str | None]:
    """id → translation; one that is missing is unknown, but where nothing is said it is known to be empty."""
    return {u.id: u.translation or (None if u.text.strip() else "") for u in read_manifest(manifest)}


def _with_silence(row: HypothesisRow) -> HypothesisRow:
    """A row of a translation system for sound without speech has no reference, but an empty transcript."""
    silent = row.reference is None and row.fields.get("transcript") == ""
    return dataclasses.replace(row, reference="") if silent else row


def _with_languages(runs: Sequence[Run], manifest: Path | None) -> list[Run]:
    """Rows that do not say which language they are written in take it from the manifest or another file, since BLEU
    splits Chinese, Japanese and Korean in ways of their own."""
    fields = fields_by_id(runs, manifest)
    known = {key: each["target_lang"] for key, each in fields.items() if each.get("target_lang")}

    def said(row: HypothesisRow) -> HypothesisRow:
        if row.fields.get("target_lang") or row.id not in known:
            return row
        return dataclasses.replace(row, fields={**row.fields, "target_lang": known[row.id]})

    return [dataclasses.replace(run, rows=[said(row) for row in run.rows]) for run in runs]


def _scored(part: Part[str], normaliser: Normaliser) -> bool:
    """Whether some utterance has reference words."""
    normalised = normaliser_function(normaliser)
    first = part.runs[0]
    entries = (entry.reference or "" for entry in (*first.rows, *first.record.skipped))
    known = part.references.values() if part.references is not None else entries
    return any(normalised(text).split() for text in known)


def _translated(runs: Sequence[Run]) -> bool:
    """Whether the files are of translations, as their sidecars say. Raises ScoringError where only some are."""
    translations = [run for run in runs if run.record.target == "translation"]
    others = [run for run in runs if run.record.target != "translation"]
    if translations and others:
        raise ScoringError(
            f"{translations[0].name} holds translations, but {others[0].name} transcripts; they cannot be compared."
        )
    return bool(translations)


def _read(files: Sequence[Path]) -> list[Run]:
    stems = [bare_name(file) for file in files]
    runs = []
    for file, stem in zip(files, stems, strict=True):
        rows, record = read_run(file)
        name = stem if stems.count(stem) == 1 else str(file)
        runs.append(Run(name, rows, record or RunRecord(system=name)))
    return runs


def _comparison(
    title: str,
    runs: Sequence[Run],
    references: Mapping[str, str] | None,
    normaliser: Normaliser,
    blocks: Blocks | None,
) -> Comparison:
    lines: list[SystemResult] = []
    for run in runs:
        baseline = lines[0].score if lines else None
        try:
            lines.append(
                system_result(
                    run.name,
                    run.rows,
                    run.record,
                    baseline=baseline,
                    normaliser=normaliser,
                    references=references,
                    blocks=blocks,
                )
            )
        except ScoringError as error:
            raise ScoringError(f"{run.name}: {error}") from error
    return Comparison(title=title, systems=lines, baseline=runs[0].name)


def _translations(
    title: str, runs: Sequence[Run], references: Mapping[str, str] | None, metrics: Sequence[TranslationMetric]
) -> TranslationComparison:
    lines: list[TranslationResult] = []
    for run in runs:
        record = run.record
        try:
            score = score_translations(run.rows, metrics, references=references, skipped=record.skipped)
            paired = compare_translations(lines[0].score, score) if lines else None
        except ScoringError as error:
            raise ScoringError(f"{run.name}: {error}") from error
        memory = record.device_memory if record.device_memory is not None else record.host_memory
        lines.append(
            TranslationResult(name=run.name, score=score, paired=paired, timing=record.timing, peak_memory=memory)
        )
    return TranslationComparison(title=title, systems=lines)
