"""Hypothesis files as the Open ASR leaderboard's result files, and what a model's repository shows of them.

A result file is written for each test set (see `leaderboard`), raw as the leaderboard wants them since June 2026, or
normalised as its scripts wrote them before; beside them `.eval_results/open_asr_leaderboard.yaml` and a table for the
model card.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from duolect.errors import ScoringError
from duolect.evaluation.leaderboard import CURRENT, FIRST, ModelResult, score_leaderboard
from duolect.evaluation.normalisers import Normaliser, normaliser_function
from duolect.evaluation.regimes import regime_of
from duolect.evaluation.results import HypothesisRow, RunRecord, Skipped, bare_name, read_run
from duolect.evaluation.score import require_same_ids
from duolect.storage import atomic_file
from duolect.text.chunks import INDEX, PARENT

RESULTS = "results"
YAML = ".eval_results/open_asr_leaderboard.yaml"
CARD = "README-snippet.md"
_BOARD = "hf-audio/open-asr-leaderboard"


class BoardSet(NamedTuple):
    """A set of the leaderboard: its name, and its split."""

    name: str
    split: str

    @property
    def key(self) -> str:
        """As manifests and hypothesis files are named."""
        return f"{self.name}_{self.split}"

    @property
    def task(self) -> str:
        """What the leaderboard calls its score: a cleaned set goes under the name of the set that it replaced."""
        name = self.name.split("_cleaned")[0]
        return f"{name}_{self.split.removeprefix('test.')}_wer" if "." in self.split else f"{name}_wer"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What was written, and the scores that it gives."""

    files: tuple[Path, ...]
    result: ModelResult
    notes: tuple[str, ...] = ()
    """What whoever submits must know beside `result.notes`: sets that are missing, times that were shared out."""


def write_submission(
    files: Sequence[str | os.PathLike[str]],
    folder: str | os.PathLike[str],
    model: str,
    normaliser: Normaliser = CURRENT,
    *,
    references: Mapping[str, str] | None = None,
    date: datetime.date | None = None,
) -> Submission:
    """Write the result files of `model` ("org/name") from hypothesis files, and what its repository shows.

    An utterance's fields `dataset` and `split` say which set it is of (`duolect import open-asr-leaderboard` puts them
    there), else the file's name does: `ami_cleaned_test.jsonl`. References are the rows' own, or `references` (id →
    text), whose utterances are then all in one of the files, and no others; those whose reference is empty or not to be
    scored are left out, as the leaderboard does. `time` is a row's own field; without it the run's seconds are shared
    out by duration, and a note says so. An utterance that could not be recognised is written with an empty text. Sets
    that `folder` has already are kept and count.

    Raises ScoringError for a normaliser that is not the leaderboard's, a set that it has not or that is in two files,
    data of its other regime, texts that were normalised before, a missing reference, and other utterances than
    `references`; DuolectError where the folder cannot be written.
    """
    if normaliser not in (FIRST, CURRENT):
        raise ScoringError(f"a submission is scored under {FIRST} or {CURRENT}; {normaliser} was given.")
    if model.count("/") != 1 or not all(model.split("/")):
        raise ScoringError(f"the model id must be ORGANISATION/NAME; it is {model!r}.")
    known = known_sets(normaliser)
    found: dict[BoardSet, tuple[Path, list[dict[str, Any]]]] = {}
    notes: list[str] = []
    runs = [(file, *read_run(file)) for file in map(Path, files)]
    if references is not None:
        rows = [row for _, each, _ in runs for row in each]
        require_same_ids(references, rows, [entry for _, _, record in runs if record for entry in record.skipped])
    for file, rows, record in runs:
        _require_written_form(file, record, normaliser)
        times, said = _times(rows, record)
        notes += [f"{file.name}: {note}" for note in said]
        for row, kind in _with_sets(file, rows, record.skipped if record else (), known, normaliser):
            if found.setdefault(kind, (file, []))[0] != file:
                raise ScoringError(f"{file}: the set {kind.key} is also in {found[kind][0]}; it is submitted once.")
            line = _line(row, times.get(row.id), references, normaliser, file)
            if line is not None:
                found[kind][1].append(line)
    empty = [kind.key for kind, (_, lines) in found.items() if not lines]
    if empty or not found:
        raise ScoringError(f"nothing to score in {', '.join(empty) or 'these files'}: every reference is empty.")
    return _write(Path(folder), model, normaliser, found, notes, date or datetime.date.today())


def _require_written_form(file: Path, record: RunRecord | None, normaliser: Normaliser) -> None:
    done = record.normaliser if record is not None else None
    if done not in (None, "none") and (done != normaliser or normaliser == CURRENT):
        raise ScoringError(
            f"{file}: its texts are normalised under {done!r}; results of {normaliser} are made of hypotheses as the "
            "system wrote them."
        )


def known_sets(normaliser: Normaliser) -> dict[BoardSet, str]:
    """The sets of a regime of the leaderboard → how result files name them, `{dataset}_{set}_{split}`."""
    from duolect.data.corpora.open_asr_leaderboard import CHUNKED, CHUNKS, HUB, SETS

    first = normaliser == FIRST
    regime = "open-asr-2026-03" if first else "open-asr-2026-08"
    hub = HUB[regime].replace("/", "-")
    sets = {BoardSet(name, split): f"{hub}_{name}_{split}" for name, split in SETS[regime]}
    # A data set of its own, so that the place of the set's name is empty.
    return sets if first else sets | {BoardSet(CHUNKED, "test"): f"{CHUNKS.replace('/', '-')}__test"}


def _with_sets(
    file: Path,
    rows: Sequence[HypothesisRow],
    skipped: Sequence[Skipped],
    known: Mapping[BoardSet, str],
    normaliser: Normaliser,
) -> Iterator[tuple[HypothesisRow, BoardSet]]:
    """The rows with the set of each, then what was skipped as rows without text."""
    named = next((kind for kind in known if kind.key == bare_name(file)), None)
    seen = set()
    for row in rows:
        regime = row.fields.get("regime", normaliser)
        if regime != normaliser:
            raise ScoringError(f"{file}: {row.id!r} is of the sets of {regime}, but {normaliser} was asked for.")
        kind = _said(row.fields) or named
        if kind is None or kind not in known:
            what = f"there is no set {kind.key}" if kind else f"neither its name nor {row.id!r} says of which set it is"
            raise ScoringError(f"{file}: {what}; the sets of {normaliser} are {_listed(known)}.")
        seen.add(kind)
        yield row, kind
    there = {str(row.fields[PARENT]) for row in rows if PARENT in row.fields}
    chunked = bool(there)
    for entry in skipped:
        kind, parent = _said(entry.fields), entry.parent_id
        if parent in there or (chunked and parent is None and kind is None):
            continue  # a chunk that is not there gives its recording no words, as an empty one would
        if kind is not None and kind not in known:
            raise ScoringError(f"{file}: there is no set {kind.key}; the sets of {normaliser} are {_listed(known)}.")
        if kind is None and len(seen) > 1:
            raise ScoringError(
                f"{file}: of which set {entry.id!r} is, which could not be recognised, is not known; "
                "submit a file for each set."
            )
        # A recording without any other chunk must be there, or it would not count.
        fields = {} if parent is None else {PARENT: parent, INDEX: 0}
        there |= {parent} if parent is not None else set()
        yield HypothesisRow(id=entry.id, text="", reference=entry.reference, fields=fields), kind or next(iter(seen))


def _said(fields: Mapping[str, Any]) -> BoardSet | None:
    given = fields.get("dataset"), fields.get("split")
    return BoardSet(str(given[0]), str(given[1])) if None not in given else None


def _times(rows: Sequence[HypothesisRow], record: RunRecord | None) -> tuple[dict[str, float], list[str]]:
    """id → seconds, in the leaderboard's sense, and what must be said of them; empty where nothing was measured."""
    own = {row.id: row.fields["time"] for row in rows if isinstance(row.fields.get("time"), int | float)}
    if len(own) == len(rows):
        return own, []
    lacking = f"{len(rows) - len(own):,} of {len(rows):,} lines lack their time"
    lasting = {row.id: row.duration for row in rows if row.duration}
    if record is None or record.wall_seconds <= 0 or len(lasting) < len(rows):
        if own:
            return own, [f"{lacking}, so theirs is null."]
        return {}, ["neither its lines nor a record beside it say how long recognition took, so 'time' is null."]
    share = record.wall_seconds / sum(lasting.values())
    region = f" ({record.region})" if record.region else ""
    since = f" since {lacking}," if own else ""
    note = (
        f"'time' is the run's {record.wall_seconds:.1f} s{region} shared out by duration,{since} not the time of each "
        "batch."
    )
    return {key: share * duration for key, duration in lasting.items()}, [note]


def _line(
    row: HypothesisRow,
    time: float | None,
    references: Mapping[str, str] | None,
    normaliser: Normaliser,
    file: Path,
) -> dict[str, Any] | None:
    """A line of a result file; None where the leaderboard does not score it."""
    reference = references[row.id] if references is not None else row.reference
    if reference is None:
        raise ScoringError(f"{file}: utterance {row.id!r} is without a reference; give the manifest that has it.")
    normalised = normaliser_function(normaliser)
    text = " ".join(normalised(reference).split())
    if not text or text in regime_of(normaliser).not_scored:
        return None
    raw = normaliser == CURRENT
    line = {
        "audio_filepath": row.id,
        "duration": row.duration,
        "time": time,
        "text": reference if raw else text,
        "pred_text": row.text if raw else normalised(row.text),
    }
    return line | {key: row.fields[key] for key in (PARENT, INDEX) if key in row.fields}


def _write(
    folder: Path,
    model: str,
    normaliser: Normaliser,
    found: Mapping[BoardSet, tuple[Path, list[dict[str, Any]]]],
    notes: list[str],
    day: datetime.date,
) -> Submission:
    known, paths = known_sets(normaliser), {}
    for kind, (_, lines) in found.items():
        paths[kind] = folder / RESULTS / f"MODEL_{model.replace('/', '-')}_DATASET_{known[kind]}.jsonl"
        with atomic_file(paths[kind]) as handle:
            for line in lines:
                handle.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    (result,) = score_leaderboard(folder / RESULTS, normaliser, model=model)
    wers = {kind: each.wer for kind in known for each in result.sets if each.name == known[kind]}
    missing = [kind.key for kind in known if kind not in wers]
    if missing:
        notes.append(f"the average is of {len(wers)} of {len(known)} sets; not there: {', '.join(missing)}.")
    whole = None if missing else sum(wers.values()) / len(wers)
    for name, text in ((YAML, _yaml(wers, whole, day)), (CARD, _card(result, wers, whole, normaliser))):
        with atomic_file(folder / name) as handle:
            handle.write(text)
    return Submission(files=(*paths.values(), folder / YAML, folder / CARD), result=result, notes=tuple(notes))


def _yaml(wers: Mapping[BoardSet, float], average: float | None, day: datetime.date) -> str:
    values = {} if average is None else {"mean_wer": round(average, 2)}
    values |= {kind.task: wer for kind, wer in wers.items()}
    entries = [
        f"- dataset:\n    id: {_BOARD}\n    task_id: {task}\n  value: {value:.2f}\n  date: '{day.isoformat()}'\n"
        f"  source:\n    url: https://huggingface.co/datasets/{_BOARD}\n    name: {_BOARD.split('/')[1]}\n"
        f"    user: {_BOARD.split('/')[0]}\n"
        for task, value in values.items()
    ]
    return "\n".join(entries)


def _card(result: ModelResult, wers: Mapping[BoardSet, float], average: float | None, normaliser: Normaliser) -> str:
    score = result.sets[0].score
    lines = ["| Set | WER % |", "| --- | ---: |"] + [f"| {kind.key} | {wer:.2f} |" for kind, wer in wers.items()]
    lines += [] if average is None else [f"| **average** | **{average:.2f}** |"]
    speed = [] if result.rtfx is None else [f"RTFx {result.rtfx:.1f}, pooled over the sets."]
    made = f"Scored with Duolect under `{normaliser}` ({score.normaliser_version}; {score.aligner})."
    return "\n".join(["### Open ASR leaderboard", "", *lines, "", *speed, made]) + "\n"


def _listed(known: Mapping[BoardSet, str]) -> str:
    return ", ".join(kind.key for kind in known)
