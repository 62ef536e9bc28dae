"""The manifest: JSON lines, one utterance each, in the form that NeMo and the Open ASR leaderboard use.

Known keys are `audio_filepath`, `duration` (seconds), `text`, and optionally `offset` (seconds), `speaker`, `lang`,
`translation`, `target_lang` (the language of the translation) and `id`; paths may be relative to the manifest. All
further keys are kept as `Utterance.fields`.
"""

from __future__ import annotations

import difflib
import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duolect.errors import ManifestError
from duolect.storage import atomic_file, finite_number

REQUIRED = ("audio_filepath", "duration", "text")
OPTIONAL = ("offset", "speaker", "lang", "translation", "target_lang", "id")
KNOWN = REQUIRED + OPTIONAL
# What recognition adds to the line of an utterance (docs/hypothesis-files.md), and NeMo's transcribe_speech.py.
_RESULTS = frozenset(
    ("reference", "score", "terms", "flags", "run", "time", "scales", "length_exponent", "nbest", "pred_text")
)
_TEXTS = ("lang", "translation", "target_lang")
# "audio_path" is a misspelt "audio_filepath" (0.833); "speaker_id" (0.824) is a key of its own in many corpora.
_RESEMBLANCE = 0.83


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One utterance: `duration` seconds of a file from `offset` seconds on, and what is said there.

    `audio_filepath` is absolute once read; `fields` holds all further keys; `line` is the manifest's line (from 1;
    0 when it came from elsewhere) and takes no part in comparisons.
    """

    audio_filepath: Path
    duration: float
    text: str
    offset: float = 0.0
    speaker: str | None = None
    lang: str | None = None
    translation: str | None = None
    target_lang: str | None = None
    id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False)
    line: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", f"{self.audio_filepath.stem}-{self.line}")


def read_manifest(path: str | os.PathLike[str]) -> Iterator[Utterance]:
    """Read utterances one by one, in the order of the file; blank lines are passed over.

    An utterance without an id gets "<stem of the audio file>-<line>". Audio files are not opened.
    Raises ManifestError naming file and line for bad JSON, a wrong type, a missing or misspelt key, a duration that is
    not positive, or an id that was there before; naming the file when it is missing or holds no utterance.
    """
    path = Path(path)
    base = os.path.abspath(path.parent)
    seen: dict[str, int] = {}
    try:
        with open(path, "rb") as handle:
            for line, raw in enumerate(handle, start=1):
                if not (raw := raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw).strip():
                    continue
                try:
                    utterance = _parse(_decode(raw), base, line)
                    if (first := seen.setdefault(utterance.id, line)) != line:
                        raise _Fault(f"the id {utterance.id!r} was already used in line {first}; ids must differ.")
                except _Fault as fault:
                    raise ManifestError(f"{path}:{line}: {fault}") from fault
                yield utterance
    except OSError as error:
        raise ManifestError(f"{path}: the manifest cannot be read ({error.strerror or error}).") from error
    if not seen:
        raise ManifestError(f"{path}: the manifest is empty; expected one JSON object a line.")


def load_manifest(path: str | os.PathLike[str]) -> list[Utterance]:
    """All utterances of a manifest, checked; raises ManifestError as `read_manifest` does."""
    return list(read_manifest(path))


def write_manifest(path: str | os.PathLike[str], utterances: Iterable[Utterance]) -> None:
    """Write a manifest, whole or not at all; audio paths are relative to it where they lie below its folder.

    What is written can be read back: ManifestError names the first utterance of which that is not true (a duration that
    is not positive, an id used twice, a further field with the name of a known one), or says that there is none.
    """
    path = Path(path)
    base = os.path.abspath(path.parent)
    seen: set[str] = set()
    with atomic_file(path) as handle:
        for utterance in utterances:
            try:
                if utterance.id in seen:
                    raise ManifestError("this id was already used; ids must differ.")
                text = manifest_line(utterance, base)
            except ManifestError as fault:
                raise ManifestError(f"{path}: utterance {utterance.id!r} cannot be written: {fault}") from fault
            seen.add(utterance.id)
            handle.write(text + "\n")
        if not seen:
            raise ManifestError(f"{path}: there is no utterance to write.")


def manifest_line(utterance: Utterance, base: str) -> str:
    """The line of an utterance, without its end, in a manifest of the folder `base` (absolute).

    Raises ManifestError where what is written could not be read back: a duration that is not positive, a further field
    with the name of a known one.
    """
    try:
        record = _record(utterance, base)
        _parse(record, base, 0)
        return json.dumps(record, ensure_ascii=False, allow_nan=False)
    except (_Fault, TypeError, ValueError) as fault:
        raise ManifestError(str(fault)) from fault


def resembles_known(key: str) -> bool:
    """Whether a further key would be taken for a misspelt one of those that are known."""
    return key not in KNOWN and _nearest(key, _RESEMBLANCE) is not None


def field_name(key: str) -> str:
    """What a further key is called in a manifest: as it is, or with "source_" where that name means something, there or
    in the hypothesis files that it is to be kept in."""
    return f"source_{key}" if key in KNOWN or key in _RESULTS or resembles_known(key) else key


class _Fault(Exception):
    """What is wrong with a line, without its place."""


def _no_constant(name: str) -> float:
    raise _Fault(f"not valid JSON: {name} is not a number.")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _decode(raw: bytes) -> Any:
    try:
        return _DECODER.decode(raw.decode("utf-8").strip())
    except UnicodeDecodeError as error:
        raise _Fault(f"not valid UTF-8 (byte {error.start + 1}).") from error
    except json.JSONDecodeError as error:
        raise _Fault(f"not valid JSON ({error.msg}, column {error.colno}).") from error
    except RecursionError as error:
        raise _Fault("not valid JSON (nested too deeply).") from error


def _parse(record: Any, base: str, line: int) -> Utterance:
    if not isinstance(record, dict):
        raise _Fault(f"expected a JSON object, found {_show(record)}.")
    for key in REQUIRED:
        if key not in record:
            near = [k for k in record if k not in KNOWN and _nearest(k, 0.5) == key]
            raise _Fault(f"the key {key!r} is missing" + (f"; is {near[0]!r} meant to be it?" if near else "."))
    fields = {}
    for key, value in record.items():
        if key not in KNOWN:
            right = _nearest(key, _RESEMBLANCE)
            if right is not None and right not in record:
                raise _Fault(f"unknown key {key!r}; did you mean {right!r}?")
            fields[key] = value
    audio = _string(record, "audio_filepath")
    if not audio or "\0" in audio:
        raise _Fault(f"audio_filepath must be the path of a file, not {_show(audio)}.")
    duration = _number(record, "duration")
    if duration <= 0:
        raise _Fault(f"duration must be a positive number of seconds, not {_show(record['duration'])}.")
    offset = 0.0 if record.get("offset") is None else _number(record, "offset")
    if offset < 0:
        raise _Fault(f"offset must be a number of seconds from 0 on, not {_show(record['offset'])}.")
    return Utterance(
        audio_filepath=Path(os.path.normpath(os.path.join(base, audio))),
        duration=duration,
        text=_string(record, "text"),
        offset=offset,
        speaker=_name(record, "speaker"),
        **{key: _string(record, key) for key in _TEXTS if record.get(key) is not None},
        id=_name(record, "id") or "",
        fields=fields,
        line=line,
    )


def _record(utterance: Utterance, base: str) -> dict[str, Any]:
    audio = os.path.abspath(utterance.audio_filepath)
    if audio.startswith(base.rstrip(os.sep) + os.sep):
        audio = os.path.relpath(audio, base)
    record: dict[str, Any] = {"audio_filepath": audio, "duration": utterance.duration, "text": utterance.text}
    if utterance.offset:
        record["offset"] = utterance.offset
    for key in ("speaker", *_TEXTS, "id"):
        if (value := getattr(utterance, key)) is not None:
            record[key] = value
    for key, value in utterance.fields.items():
        if key in KNOWN:
            raise _Fault(f"the further field {key!r} has the name of a known key.")
        record[key] = value
    return record


@functools.lru_cache(maxsize=1024)
def _nearest(key: str, resemblance: float) -> str | None:
    near = difflib.get_close_matches(key.lower(), KNOWN, n=1, cutoff=resemblance)
    return near[0] if near else None


def _string(record: Mapping[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str):
        raise _Fault(f"{key} must be a string, not {_show(value)}.")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise _Fault(f"{key} holds half of a surrogate pair, which is not a character.")
    return value


def _name(record: Mapping[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise _Fault(f"{key} must be a string that is not blank, not {_show(value)}.")
    return _string(record, key)


def _number(record: Mapping[str, Any], key: str) -> float:
    number = finite_number(record[key])
    if number is None:
        raise _Fault(f"{key} must be a finite number of seconds, not {_show(record[key])}.")
    return number


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
