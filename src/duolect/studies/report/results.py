"""What stands of a study: every run scored, and the rows of its table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from duolect.data import load_manifest
from duolect.errors import DuolectError
from duolect.evaluation import (
    Blocks,
    HypothesisRow,
    Panel,
    RunRecord,
    Skipped,
    Timing,
    blocks_of_rows,
    panel_of,
    read_run,
    score_run,
    score_translations,
)
from duolect.evaluation.blocks import find_blocks, utterance_fields
from duolect.evaluation.chunks import has_chunks, merge_chunks
from duolect.evaluation.cost import peak_memory, pooled_timing
from duolect.evaluation.pairs import holm
from duolect.storage import read_json
from duolect.studies.stages import Made, Stage, Store, in_order
from duolect.studies.stages.recognition import HYPOTHESES, Recognition
from duolect.studies.stages.training import Combined, Training
from duolect.studies.study import FACTS, Claim, Entry, Study
from duolect.studies.verdicts import Difference, Scored, Verdict, decide, difference, pooled
from duolect.training.final import TrainingSummary, read_summary


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """An entry's system with one seed."""

    seed: int
    stage: Stage
    made: Made
    hypotheses: Path
    record: RunRecord
    score: Scored
    panel: Panel | None = None
    rows: Sequence[HypothesisRow] = field(repr=False)
    trained: Mapping[str, TrainingSummary] = field(default_factory=dict)
    """The trainings that its system is put together from, but not those that these started from."""


@dataclass(frozen=True, kw_only=True)
class EntryResult:
    """A row of the table: the runs that stand, and seed → why there is none of the others."""

    entry: Entry
    runs: Mapping[int, RunResult]
    missing: Mapping[int, str]
    facts: Mapping[str, str] = field(default_factory=dict)
    against: Difference | None = None
    """Against the row that it is tested against (`Study.base`), with the seeds that both have."""
    p_holm: float | None = None
    """Its p-value, corrected for the number of entries."""

    @cached_property
    def score(self) -> Scored | None:
        """That of all seeds together; None where no run stands."""
        return pooled([run.score for run in self.runs.values()]) if self.runs else None

    @property
    def timing(self) -> Timing | None:
        """Of all runs together; None where they cannot be pooled."""
        try:
            return pooled_timing([run.record for run in self.runs.values()])
        except DuolectError:
            return None

    @property
    def memory(self) -> int | None:
        """The largest of the runs, bytes."""
        found = [peak[0] for run in self.runs.values() if (peak := peak_memory(run.record)) is not None]
        return max(found, default=None)

    @property
    def trained(self) -> int | None:
        """Parameters that were trained, of all parts of the system; None where nothing was."""
        first = next((run for run in self.runs.values() if run.trained), None)
        return None if first is None else sum(summary.trainable for summary in first.trained.values())

    @property
    def training_seconds(self) -> float | None:
        """The mean over seeds of what training the parts took."""
        found = [sum(s.seconds for s in run.trained.values()) for run in self.runs.values() if run.trained]
        return sum(found) / len(found) if found else None


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study found: rows in the order of its entries, claims with their verdict (None: a row is missing)."""

    study: Study
    rows: Sequence[EntryResult]
    verdicts: Sequence[tuple[Claim, Verdict | None]]
    records: Mapping[str, Made]
    """Key → record of every stage that stands."""
    outdated: Sequence[Stage]
    """Stages made by other code than today's, or from older inputs than those that stand."""

    def row(self, name: str) -> EntryResult:
        """The row of that entry."""
        return next(row for row in self.rows if row.entry.name == name)

    @property
    def standing(self) -> list[EntryResult]:
        """The rows that have a run."""
        return [row for row in self.rows if row.runs]


def gather(study: Study, store: Store) -> StudyResult:
    """Score what stands of a study. A run that cannot be scored is missing, with the reason."""
    stages = in_order(study.stages)
    drawn: dict[str, Blocks | None] = {}
    rows = [_row(entry, study, store, drawn) for entry in study.entries]
    rows = _tested(study, rows)
    return StudyResult(
        study=study,
        rows=rows,
        verdicts=[(claim, _verdict(claim, rows)) for claim in study.claims],
        records={stage.key: made for stage in stages if (made := store.made(stage)) is not None},
        outdated=[stage for stage in stages if store.outdated(stage)],
    )


def _row(entry: Entry, study: Study, store: Store, drawn: dict[str, Blocks | None]) -> EntryResult:
    runs: dict[int, RunResult] = {}
    missing: dict[int, str] = {}
    for seed, stage in entry.runs.items():
        try:
            found = _run(seed, stage, study, store, drawn)
        except DuolectError as error:
            missing[seed] = str(error)
            continue
        if found is None:
            missing[seed] = "not made"
        else:
            runs[seed] = found
    facts = dict(entry.facts)
    for stage in entry.measured:
        path = store.folder(stage) / FACTS
        if store.made(stage) is not None and path.exists():
            facts |= {str(column): str(text) for column, text in read_json(path).items()}
    return EntryResult(entry=entry, runs=runs, missing=missing, facts=facts)


def _run(seed: int, stage: Stage, study: Study, store: Store, drawn: dict[str, Blocks | None]) -> RunResult | None:
    made = store.made(stage)
    if made is None:
        return None
    path = store.folder(stage) / HYPOTHESES
    rows, record = read_run(path)
    if record is None:
        raise DuolectError(f"{path}: the record of the run is not beside it.")
    skipped: Sequence[Skipped] = record.skipped
    if has_chunks(rows, None, skipped):  # of recordings whose reference each of them has: they are scored whole
        blocks = blocks_of_rows(rows, skipped)
        rows, _, skipped = merge_chunks(rows, None, skipped)
    else:
        blocks = _blocks(stage, rows, record, store, drawn)
    if study.metric == "bleu":
        score: Scored = score_translations(rows, skipped=skipped)
    else:
        score = score_run(rows, skipped=skipped, blocks=blocks)
    asked = trainings_of(stage, record.parameters)
    return RunResult(
        seed=seed,
        stage=stage,
        made=made,
        hypotheses=path,
        record=record,
        score=score,
        panel=panel_of(rows, skipped=skipped, blocks=blocks) if study.panel else None,
        rows=rows,
        trained={t.name: s for t in asked if (s := read_summary(store.folder(t))) is not None},
    )


def _blocks(
    stage: Stage, rows: Sequence[HypothesisRow], record: RunRecord, store: Store, drawn: dict[str, Blocks | None]
) -> Blocks | None:
    """Found in the manifest that was recognised, once for each; where it is not known, in what is said of all that was
    to be recognised (files of before say nothing of what was skipped)."""
    said = {row.id: row.fields for row in rows} | {lost.id: lost.fields for lost in record.skipped if lost.fields}
    if not isinstance(stage, Recognition):
        return find_blocks(said)
    manifest = store.folder(stage.uses()["corpus"]) / f"{stage.split}.jsonl"
    if str(manifest) not in drawn:
        if not manifest.exists():
            return find_blocks(said)  # runs may have skipped others
        drawn[str(manifest)] = find_blocks(utterance_fields(load_manifest(manifest)))
    return drawn[str(manifest)]


def trainings_of(stage: Stage, asked: Collection[str] = ()) -> list[Training]:
    """The trainings that a stage's system is put together from, but not those that these started from.

    `asked`: the components that the search asks, where only theirs are wanted; empty: all.
    """
    if isinstance(stage, Training):
        return [stage]
    left_out = {"corpus"} | (stage.uses().keys() - set(asked) if asked and isinstance(stage, Combined) else set())
    found = [t for name, used in stage.uses().items() if name not in left_out for t in trainings_of(used, asked)]
    return list({training.key: training for training in found}.values())


def _tested(study: Study, rows: Sequence[EntryResult]) -> list[EntryResult]:
    """With the differences to the rows that they are tested against, and p-values corrected for their number."""
    named, against = {row.entry.name: row for row in rows}, {}
    for row in rows:
        base = study.base(row.entry)
        if base is None:
            continue
        baseline = named[base.name]
        both = [seed for seed in row.runs if seed in baseline.runs]
        if both:
            against[row.entry.name] = difference(
                [row.runs[seed].score for seed in both], [baseline.runs[seed].score for seed in both]
            )
    corrected = dict(zip(against, holm([found.p_value for found in against.values()]), strict=True))
    return [_with(row, against.get(row.entry.name), corrected.get(row.entry.name)) for row in rows]


def _with(row: EntryResult, against: Difference | None, p_holm: float | None) -> EntryResult:
    known: dict[str, Any] = {"against": against, "p_holm": p_holm}
    return EntryResult(entry=row.entry, runs=row.runs, missing=row.missing, facts=row.facts, **known)


def _verdict(claim: Claim, rows: Sequence[EntryResult]) -> Verdict | None:
    named = {row.entry.name: row for row in rows}
    better, worse = named[claim.better], named[claim.worse]
    both = [seed for seed in better.runs if seed in worse.runs]
    if not both:
        return None
    first, second = ([runs[seed].score for seed in both] for runs in (better.runs, worse.runs))
    return decide(first, second, claim.margin, one_sided=claim.one_sided)
