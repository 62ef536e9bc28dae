"""The Open ASR leaderboard's own result files: read, and scored as its `score_results` does.

A file is `MODEL_{org}-{name}_DATASET_{dataset}_{set}_{split}.jsonl`, a line
`{"audio_filepath", "duration", "time", "text", "pred_text", "parent_id"?, "chunk_index"?}`: `time` is the seconds of
the utterance's batch divided by the batch's size. Until June 2026 texts were written normalised, since then raw.
Source: huggingface/open_asr_leaderboard, `normalizer/eval_utils.py`, at b4fe3e4 and d1e99b2.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from duolect.errors import ScoringError
from duolect.evaluation.chunks import merge_chunks, missing_chunks
from duolect.evaluation.normalisers import Normaliser, normaliser_function
from duolect.evaluation.rows import HypothesisRow, text_lines
from duolect.evaluation.score import Score, score_run
from duolect.storage import files_below, finite_number
from duolect.text.chunks import INDEX, PARENT

CURRENT: Normaliser = "open-asr-2026-08"
FIRST: Normaliser = "open-asr-2026-03"
Form = Literal["raw", "normalised", "either"]

# A normalised text stays as it is when normalised again, but for one in hundreds ("one 1st" …).
_SLIPS, _ENOUGH, _LOOKED_AT = 0.02, 50, 1000


@dataclass(frozen=True, kw_only=True)
class SetResult:
    """One test set of one model."""

    name: str
    """`{dataset}_{set}_{split}`, as in the file's name."""
    file: Path
    score: Score
    audio_seconds: float | None
    seconds: float | None
    """None, and no RTFx, where a line lacks its duration or time, but for those of utterances that were not recognised:
    neither a text nor a time is theirs, and they count in neither sum."""

    @property
    def wer(self) -> float:
        """Per cent, rounded to two decimals as the leaderboard does before it averages."""
        return round(100 * self.score.wer, 2)

    @property
    def rtfx(self) -> float | None:
        """Seconds of audio per second."""
        if self.audio_seconds is None or self.seconds is None:
            return None
        return self.audio_seconds / self.seconds


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """All test sets of one model, in the order of their names."""

    model: str
    sets: tuple[SetResult, ...]
    notes: tuple[str, ...] = ()
    """What a reader of the numbers must know."""

    @property
    def wer(self) -> float:
        """The leaderboard's average: the plain mean of the sets' rounded rates, in per cent."""
        return sum(result.wer for result in self.sets) / len(self.sets)

    @property
    def rtfx(self) -> float | None:
        """All audio by all time, so that long sets weigh more; None where a set has none."""
        audio = [result.audio_seconds for result in self.sets if result.audio_seconds is not None]
        seconds = [result.seconds for result in self.sets if result.seconds is not None]
        if len(audio) < len(self.sets) or len(seconds) < len(self.sets):
            return None
        return sum(audio) / sum(seconds)

    def summary(self) -> dict[str, Any]:
        """Plain values for a JSON file; the WERs of `sets` are fractions, `average_wer` is in per cent."""
        return {
            "model": self.model,
            "average_wer": self.wer,
            "rtfx": self.rtfx,
            "sets": {result.name: {**result.score.summary(), "rtfx": result.rtfx} for result in self.sets},
            "notes": list(self.notes),
        }


def score_leaderboard(
    folder: str | os.PathLike[str], normaliser: Normaliser = CURRENT, *, model: str | None = None
) -> list[ModelResult]:
    """Score the result files in a folder and those within it; one result for each model.

    Under `open-asr-2026-03`, files with normalised texts are counted as they are, as the leaderboard did; raw ones are
    normalised first, as its scripts did before writing. Under the others all texts are normalised.
    model: only this one ("org/name").
    Raises ScoringError for a folder without such files, a damaged line (FILE:LINE), a set that is there twice, and for
    files that were written under both regimes.
    """
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(path for path in files_below(folder) if path.suffix == ".jsonl"):
        name, data = model_and_set(path)
        other = found.setdefault(name, {}).setdefault(data, path)
        if other != path:
            raise ScoringError(f"{path}: the set {data} of {name} is also in {other}; a set is scored once.")
    if not found:
        raise ScoringError(f"{folder}: holds no result file of the leaderboard (MODEL_…_DATASET_….jsonl).")
    if model is not None:
        wanted = {name: files for name, files in found.items() if _slug(name) == _slug(model)}
        if not wanted:
            raise ScoringError(f"{folder}: holds no results of {model}; there are those of {', '.join(found)}.")
        found = wanted
    rows = {path: read_leaderboard_file(path) for files in found.values() for path in files.values()}
    forms = {path: stored_form(each) for path, each in rows.items()}
    _one_regime(forms)
    return [_model_result(name, files, rows, forms, normaliser, model or name) for name, files in sorted(found.items())]


def model_and_set(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The model ("org/name") and the set of a result file, from its name; names with a "-" in `org` come out wrong, as
    they do on the leaderboard. Raises ScoringError for another name."""
    stem = Path(path).name.removesuffix(".jsonl")
    model, between, data = stem.removeprefix("MODEL_").partition("_DATASET_")
    if not stem.startswith("MODEL_") or not between or not model or not data:
        raise ScoringError(f"{path}: is no result file of the leaderboard; MODEL_…_DATASET_….jsonl was expected.")
    return model.replace("-", "/", 1), data


def read_leaderboard_file(path: str | os.PathLike[str]) -> list[HypothesisRow]:
    """The lines of a result file; the id is `audio_filepath` where that tells the lines apart, else the line's number.
    `time`, `parent_id` and `chunk_index` are among the fields.

    Raises ScoringError "FILE:LINE: …" for a line that is not of the form, ScoringError where there is none.
    """
    rows = [_row(line, number, f"{path}:{number}") for number, line in text_lines(path, "result file")]
    if not rows:
        raise ScoringError(f"{path}: there is no result in this file.")
    if len({row.id for row in rows}) == len(rows):
        return rows
    return [dataclasses.replace(row, id=f"line {row.fields['line']}") for row in rows]


def stored_form(rows: Sequence[HypothesisRow]) -> Form:
    """Whether a file's texts are raw, or were normalised under the rules of March 2026 before they were written, as
    rows spread over the file tell. "either": there are too few to tell, and it does not matter."""
    normalised = normaliser_function(FIRST)
    looked_at = rows[:: math.ceil(len(rows) / _LOOKED_AT)]
    texts = [text for row in looked_at for text in (row.reference or "", row.text)]
    changed = sum(normalised(text) != " ".join(text.split()) for text in texts)
    if not changed:
        return "normalised" if len(rows) >= _ENOUGH else "either"
    return "raw" if changed > _SLIPS * len(texts) else "normalised"


def _model_result(
    name: str,
    files: Mapping[str, Path],
    rows: Mapping[Path, list[HypothesisRow]],
    forms: Mapping[Path, Form],
    normaliser: Normaliser,
    shown: str,
) -> ModelResult:
    sets, notes = [], []
    for data, path in sorted(files.items()):
        as_stored = normaliser == FIRST and forms[path] != "raw"
        try:
            notes += _oddities(rows[path], data)
            score = score_run(merge_chunks(rows[path])[0], normaliser, normalised_already=as_stored)
        except ScoringError as error:
            raise ScoringError(f"{path}: {error}") from error
        if score.empty_references or score.marked_references:
            dropped = score.empty_references + score.marked_references
            notes.append(f"{data}: {dropped} references that are empty or not to be scored are left out.")
        if forms[path] == "normalised" and normaliser != FIRST:
            notes.append(f"{data}: the texts were normalised when written, under the regime of {FIRST}.")
        speed, said = _speed(rows[path])
        notes += [f"{data}: {note}" for note in said]
        sets.append(
            SetResult(
                name=data,
                file=path,
                score=score,
                audio_seconds=speed[0] if speed is not None else None,
                seconds=speed[1] if speed is not None else None,
            )
        )
    without = [each.name for each in sets if each.rtfx is None]
    if without and len(sets) > 1:
        notes.append(f"RTFx: there is none of all sets together, since these have none: {', '.join(without)}.")
    return ModelResult(model=shown, sets=tuple(sets), notes=tuple(notes))


def _speed(rows: Sequence[HypothesisRow]) -> tuple[tuple[float, float] | None, list[str]]:
    """Seconds of audio and of time, of what was recognised (None: not known), and what must be said of them."""
    heard = [row for row in rows if row.text.strip() or row.fields.get("time")]
    known = [(row.duration, row.fields["time"]) for row in heard if row.duration and row.fields.get("time")]
    if not known or len(known) < len(heard):
        lacking = len(heard) - len(known) if known else len(rows)
        return None, [f"no RTFx, since {lacking:,} of {len(rows):,} lines lack their duration or time."]
    speed = math.fsum(duration for duration, _ in known), math.fsum(time for _, time in known)
    unheard = len(rows) - len(heard)
    return speed, [f"{unheard:,} lines without text and time do not count in the RTFx."] if unheard else []


def _oddities(rows: Sequence[HypothesisRow], data: str) -> list[str]:
    notes = [
        f"{data}: {count} chunks of {parent} are missing; their words count as deleted."
        for parent, count in sorted(missing_chunks(rows).items())
    ]
    lines = Counter((row.fields.get("audio_filepath"), row.reference, row.text) for row in rows)
    twice = sum(count - 1 for (name, _, _), count in lines.items() if name)
    if twice:
        notes.append(f"{data}: {twice} lines are there more than once, and are scored as often.")
    return notes


def _one_regime(forms: Mapping[Path, Form]) -> None:
    raw = next((path for path, form in forms.items() if form == "raw"), None)
    normalised = next((path for path, form in forms.items() if form == "normalised"), None)
    if raw is not None and normalised is not None:
        raise ScoringError(
            f"{normalised.name} holds normalised texts, as results had until June 2026, but {raw.name} raw ones; "
            "score the two regimes in folders of their own."
        )


def _row(line: str, number: int, where: str) -> HypothesisRow:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ScoringError(f"{where}: not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ScoringError(f"{where}: expected an object, found {type(value).__name__}.")
    text, hypothesis = value.get("text"), value.get("pred_text")
    if not isinstance(text, str) or not (isinstance(hypothesis, str) or (hypothesis is None and "pred_text" in value)):
        raise ScoringError(f"{where}: 'text' and 'pred_text' must be strings; they are {text!r} and {hypothesis!r}.")
    for key in ("duration", "time"):
        if value.get(key) is not None and not _seconds(value[key]):
            raise ScoringError(f"{where}: {key!r} must be a number of seconds or null; it is {value[key]!r}.")
    kept = {key: value[key] for key in ("audio_filepath", "time", PARENT, INDEX) if key in value} | {"line": number}
    name = value.get("audio_filepath")
    return HypothesisRow(
        id=name if isinstance(name, str) and name else f"line {number}",
        text=hypothesis or "",
        reference=text,
        duration=value.get("duration"),
        fields=kept,
    )


def _seconds(value: Any) -> bool:
    number = finite_number(value)
    return number is not None and number >= 0


def _slug(model: str) -> str:
    return model.replace("/", "-")
