"""A line of a hypothesis file: one utterance's result.

`{"id", "reference"?, "text", "score"?, "terms"?, "flags"?, "duration"?, "run"?, …}`; keys beyond these are kept
(docs/hypothesis-files.md). NeMo writes the line of the manifest with `pred_text` added: there `text` is the reference.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duolect.errors import ScoringError
from duolect.storage import finite_number

_HASH = re.compile("[0-9a-f]{16}")
_KNOWN = ("id", "reference", "text", "score", "terms", "flags", "duration", "run")
_OF_NEMO = ("id", "reference", "text", "pred_text", "duration")


@dataclass(frozen=True, kw_only=True)
class HypothesisRow:
    """One utterance's result. Texts are raw (not normalised); log scores are natural logarithms."""

    id: str
    text: str
    reference: str | None = None
    score: float | None = None
    """The search's combined score."""
    terms: Mapping[str, float] = field(default_factory=dict)
    """Unweighted log probability per scorer."""
    flags: tuple[str, ...] = ()
    """What a reader must know of this hypothesis, such as "truncated"."""
    duration: float | None = None
    """Seconds of audio."""
    run: str | None = None
    """`RunRecord.hash` of the run that made it."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """All further keys of the line."""


def read_rows(path: str | os.PathLike[str]) -> Iterator[HypothesisRow]:
    """Read a hypothesis file lazily, line by line; blank lines are passed over, as is a byte order mark.

    Raises ScoringError "FILE:LINE: …" for what is not a row, for an id that occurred before, and for a line of NeMo's
    form among others.
    """
    seen: dict[str, int] = {}
    first: tuple[int, bool] | None = None
    for number, line in text_lines(path, "hypothesis file"):
        where = f"{path}:{number}"
        value = _decoded(line, where)
        form = _is_nemo(value)
        first = first or (number, form)
        if form != first[1]:
            which = (
                f"has 'pred_text', but line {first[0]} has not" if form else f"has no 'pred_text' as line {first[0]}"
            )
            raise ScoringError(f"{where}: {which}; all lines must have it, 'text' being the reference then, or none.")
        row = _row_of(_from_nemo(value, number, where) if form else value, where)
        if row.id in seen:
            raise ScoringError(f"{where}: the id {row.id!r} is already on line {seen[row.id]}.")
        seen[row.id] = number
        yield row
    if not seen:
        raise ScoringError(f"{path}: there is no hypothesis in this file.")


def text_lines(path: str | os.PathLike[str], what: str) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file that are not blank, with their numbers (from 1), without a byte order mark.

    Raises ScoringError naming the file that cannot be read, with `what` it is, or file and line of what is not UTF-8.
    """
    try:
        handle = open(path, "rb")  # noqa: SIM115  (closed by the with below)
    except OSError as error:
        raise ScoringError(f"{path}: the {what} cannot be read ({error.strerror}).") from error
    with handle:
        for number, raw in enumerate(handle, start=1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ScoringError(f"{path}:{number}: not UTF-8 text (byte {error.start + 1}).") from error
            if line.strip():
                yield number, line


def line_of(row: HypothesisRow, stamp: str | None) -> str:
    """The row as a line, without its end; `stamp` is the run of a row that names none.

    Raises ScoringError for a score or field that is not a finite number.
    """
    known = {
        "id": row.id,
        "reference": row.reference,
        "text": row.text,
        "score": row.score,
        "terms": dict(row.terms) or None,
        "flags": list(row.flags) or None,
        "duration": row.duration,
        "run": row.run or stamp,
    }
    line = {key: value for key, value in known.items() if value is not None}
    line |= kept_fields(row.fields)
    try:
        return json.dumps(line, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise ScoringError(f"utterance {row.id!r}: a score or field is not a finite number.") from error


def kept_fields(fields: Mapping[str, Any], taken: Container[str] = ()) -> dict[str, Any]:
    """Further fields by what a line calls them: "source_NAME" where NAME means something there (`run`, `score` …), or
    is `taken` by who writes it."""
    found = {}
    for key, value in fields.items():
        name = key
        while name in (*_KNOWN, "pred_text") or name in taken or (name != key and name in fields):
            name = f"source_{name}"
        found[name] = value
    return found


def row_of(line: str, where: str) -> HypothesisRow:
    """The row that `line_of` wrote. Raises ScoringError, which begins with `where`, for what is none."""
    return _row_of(_decoded(line, where), where)


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")


def _decoded(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line, parse_constant=_no_constant)
    except ValueError as error:
        raise ScoringError(f"{where}: not valid JSON ({error}).") from error
    if not isinstance(value, dict):
        raise ScoringError(f"{where}: expected an object with at least id and text, found {type(value).__name__}.")
    return value


def _is_nemo(value: Mapping[str, Any]) -> bool:
    """Whether a line has NeMo's form. In one of our own, which names its run, `pred_text` is the manifest's."""
    run = value.get("run")
    return "pred_text" in value and not (isinstance(run, str) and _HASH.fullmatch(run))


def _from_nemo(value: Mapping[str, Any], number: int, where: str) -> dict[str, Any]:
    """The line with the keys of ours. An id that is missing is the one that the manifest's reader gives the line."""
    for key in ("pred_text", "text"):
        # A system may hear nothing, which the leaderboard's files, of this form too, write as null.
        if value.get(key) is not None and not isinstance(value[key], str):
            raise ScoringError(f"{where}: {key!r} must be a string; it is {value[key]!r}.")
    name, reference, audio = value.get("id"), value.get("reference"), value.get("audio_filepath")
    if name is None and isinstance(audio, str):
        name = f"{Path(audio).stem}-{number}"
    further = kept_fields({key: own for key, own in value.items() if key not in _OF_NEMO})
    return further | {
        **({} if name is None else {"id": name}),
        "reference": value.get("text") if reference is None else reference,
        "text": value["pred_text"] or "",
        "duration": value.get("duration"),
    }


def _row_of(value: Mapping[str, Any], where: str) -> HypothesisRow:
    name, spoken = _required(value, "id", where), _required(value, "text", where)
    reference, run = value.get("reference"), value.get("run")
    for key, text in (("reference", reference), ("run", run)):
        if text is not None and not isinstance(text, str):
            raise ScoringError(f"{where}: {key!r} must be a string; it is {text!r}.")
    terms, flags = value.get("terms") or {}, value.get("flags") or []
    if not isinstance(terms, dict):
        raise ScoringError(f"{where}: 'terms' must be an object of numbers; it is {terms!r}.")
    if not isinstance(flags, list) or not all(isinstance(flag, str) for flag in flags):
        raise ScoringError(f"{where}: 'flags' must be a list of strings; it is {flags!r}.")
    return HypothesisRow(
        id=name,
        text=spoken,
        reference=reference,
        score=_number(value.get("score"), f"{where}: 'score'"),
        terms={name: _number(term, f"{where}: the term {name!r}") or 0.0 for name, term in terms.items()},
        flags=tuple(flags),
        duration=_number(value.get("duration"), f"{where}: 'duration'"),
        run=run,
        fields={key: further for key, further in value.items() if key not in _KNOWN},
    )


def _required(value: Mapping[str, Any], key: str, where: str) -> str:
    """The string under a key; an id may be an integer, of which manifests, too, take the digits."""
    found = value.get(key)
    if key == "id" and isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    if not isinstance(found, str):
        said = "missing" if key not in value else f"{found!r}"
        raise ScoringError(f"{where}: {key!r} must be a string; it is {said}.")
    return found


def _number(value: Any, what: str) -> float | None:
    if value is None:
        return None
    number = finite_number(value)
    if number is None:
        raise ScoringError(f"{what} must be a finite number; it is {value!r:.60}.")
    return number
