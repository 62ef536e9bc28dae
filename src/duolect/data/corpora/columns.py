"""Which column of a table is what of an utterance: as the user says, else by name and type."""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolect.data.column_names import COLUMN_NAMES, seconds_in
from duolect.data.corpora.base import WholeFile
from duolect.data.manifest import KNOWN, Utterance, field_name
from duolect.errors import ConfigError

if TYPE_CHECKING:
    import datasets
    import pyarrow

NONE = "none"
"""As the name of a column: there is none, whatever the columns are called."""

# What they are called in the data sets of the hub, the most telling name first; case does not matter.
_NAMES = {
    "audio": ("audio", "wav", "speech", "sound", "audio_filepath", "file_name", "path", "file"),
    **COLUMN_NAMES,
}
_TEXT = ("string", "large_string")
_BINARY = ("binary", "large_binary")
_WHOLE = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_REAL = ("float32", "float64")
_FITS = {
    "text": _TEXT,
    "id": _TEXT + _WHOLE,
    "speaker": _TEXT + _WHOLE,
    "lang": _TEXT,
    "translation": _TEXT,
    "target_lang": _TEXT,
    "duration": _WHOLE + _REAL,
}
_ROUND_DIGITS = 6  # a duration that was kept in 32 bits says no more


@dataclass(frozen=True)
class ColumnOptions:
    """The columns of a table, by name; what is not given is guessed, and "none" says that there is none."""

    audio_column: str | None = None
    """Column with the sound: its bytes, or the path of a file."""
    text_column: str | None = None
    """Column with the transcript; "none" for sound without one."""
    id_column: str | None = None
    """Column with a name for each utterance; "none" counts them."""
    speaker_column: str | None = None
    """Column with the speaker."""
    lang_column: str | None = None
    """Column with the language of the transcript."""
    translation_column: str | None = None
    """Column with the translation."""
    target_lang_column: str | None = None
    """Column with the language of the translation."""
    duration_column: str | None = None
    """Column with the seconds (or, where its name ends in "_ms", milliseconds); "none" measures the sound."""


@dataclass(frozen=True)
class Columns:
    """The columns of one table: those that are known, and the further ones that become fields of the manifest.

    `names` maps ClassLabel columns to what their numbers stand for; `kinds` further columns to types of Hugging Face.
    """

    audio: str
    text: str | None = None
    id: str | None = None
    speaker: str | None = None
    lang: str | None = None
    translation: str | None = None
    target_lang: str | None = None
    duration: str | None = None
    kinds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """All columns but the sound's, each once."""
        known = (self.text, self.id, self.speaker, self.lang, self.translation, self.target_lang, self.duration)
        return list(dict.fromkeys([*(name for name in known if name), *self.kinds]))

    def described(self) -> dict[str, Any]:
        """What was taken for what: for import.json."""
        known = {key: getattr(self, key) for key in _NAMES if getattr(self, key) is not None}
        return known | {"fields": list(self.kinds)}

    def record(self, row: Mapping[str, Any], fallback_id: str) -> dict[str, Any]:
        """The keys of a manifest but for the sound's, from a row; "duration" is left out where the row has none.

        Further fields that are null or not finite are left out; those with a name that manifests know are called
        "source_" + name. `fallback_id` names a row without an id.
        """
        found: dict[str, Any] = {"text": self._string(row, self.text) or ""}
        for key in ("speaker", "lang", "translation", "target_lang"):
            if (value := self._string(row, getattr(self, key))) is not None and (value.strip() or key == "translation"):
                found[key] = value
        name = self._string(row, self.id)
        found["id"] = name if name and name.strip() else fallback_id
        if (seconds := self.seconds(row)) is not None:
            found["duration"] = seconds
        for column in self.kinds:
            if (value := self._plain(row.get(column), column)) is not None:
                found[_column_name(column)] = value
        return found

    def _string(self, row: Mapping[str, Any], column: str | None) -> str | None:
        value = None if column is None else self._plain(row.get(column), column)
        return None if value is None else str(value)

    def seconds(self, row: Mapping[str, Any]) -> float | None:
        """How long a row says its sound is; None where it does not."""
        value = None if self.duration is None else row.get(self.duration)
        if value is None or not math.isfinite(value) or value <= 0:
            return None
        assert self.duration is not None
        return round(float(value) * seconds_in(self.duration), _ROUND_DIGITS)

    def _plain(self, value: Any, column: str) -> Any:
        if column in self.names and isinstance(value, int):
            return self.names[column][value] if 0 <= value < len(self.names[column]) else None
        if isinstance(value, datetime.date | datetime.time | datetime.datetime):
            return value.isoformat()
        return None if isinstance(value, float) and not math.isfinite(value) else value

    def shard_columns(self) -> dict[str, pyarrow.DataType]:
        """The columns that a copy of the table has beside "audio", by the keys that `record` gives."""
        import pyarrow as pa

        known = {key: pa.string() for key in ("text", "id", "speaker", "lang", "translation", "target_lang")}
        present = {key: kind for key, kind in known.items() if key in ("text", "id") or getattr(self, key)}
        return {**present, "duration": pa.float64(), **{_column_name(c): _arrow(k) for c, k in self.kinds.items()}}


def _column_name(column: str) -> str:
    """What a further column is called in a manifest; "audio" is that of the sound in a shard."""
    return "source_audio" if column == "audio" else field_name(column)


def utterance_of(record: Mapping[str, Any], audio: Path, duration: float) -> Utterance:
    """The utterance of a `Columns.record`, with its sound at `audio`; a `WholeFile` where the table tells seconds."""
    fields = {key: value for key, value in record.items() if key not in KNOWN}
    known = {key: value for key, value in record.items() if key in KNOWN and key != "duration"}
    if "duration" in record:
        return WholeFile(audio_filepath=audio, duration=duration, told=record["duration"], **known, fields=fields)
    return Utterance(audio_filepath=audio, duration=duration, **known, fields=fields)


def choose_columns(features: datasets.Features, wanted: ColumnOptions, where: str) -> Columns:
    """The columns of a table with these features; what `wanted` leaves open goes by name and type.

    Raises ConfigError naming the columns there are, where the sound or the transcript is not found, a named column is
    not there, or it cannot be what it is said to be.
    """
    import datasets

    chosen: dict[str, str | None] = {}
    for key in _NAMES:
        given = getattr(wanted, f"{key}_column")
        if given == NONE and key != "audio":
            chosen[key] = None
        elif given is None:
            chosen[key] = _guess(key, features, {name for name in chosen.values() if name})
        elif given not in features:
            raise ConfigError(f"{where}: {key}_column: there is no {given!r}; it has {_listed(features)}.")
        elif not _fits(key, features[given]):
            raise ConfigError(f"{where}: {key}_column: {given!r} is {_type(features[given])}, which cannot be that.")
        else:
            chosen[key] = given
    for key, what in (("audio", "the sound"), ("text", "the transcript")):
        if chosen[key] is None and getattr(wanted, f"{key}_column") != NONE:
            raise ConfigError(
                f"{where}: no column is known to hold {what}; say which one with --{key}-column"
                f"{' (or none)' if key == 'text' else ''}. It has {_listed(features)}."
            )
    taken = {name for name in chosen.values() if name}
    kinds = {name: kind for name, feature in features.items() if name not in taken and (kind := _scalar(feature))}
    names = {name: tuple(f.names) for name, f in features.items() if isinstance(f, datasets.ClassLabel) and f.names}
    assert chosen["audio"] is not None
    return Columns(**chosen, kinds=kinds, names=names)  # ty: ignore[invalid-argument-type]


def _guess(key: str, features: datasets.Features, taken: Iterable[str]) -> str | None:
    fitting = [name for name, feature in features.items() if name not in taken and _fits(key, feature)]
    if key == "audio":  # sound itself, whatever it is called, rather than the path of a file
        sounds = [name for name in fitting if _scalar(features[name]) is None]
        if len(sounds) == 1:
            return sounds[0]
        fitting = sounds or fitting
    by_name = {name.lower(): name for name in reversed(fitting)}
    return next((by_name[name] for name in _NAMES[key] if name in by_name), None)


def _fits(key: str, feature: Any) -> bool:
    import datasets

    if key == "audio":
        return is_sound(feature) or getattr(feature, "dtype", None) in _TEXT
    if isinstance(feature, datasets.ClassLabel):
        return key in ("speaker", "lang", "target_lang")
    return isinstance(feature, datasets.Value) and feature.dtype in _FITS[key]


def is_sound(feature: Any) -> bool:
    """Whether a column holds sound itself: Audio, a struct with bytes, or bytes."""
    import datasets

    if isinstance(feature, datasets.Value):
        return feature.dtype in _BINARY
    return isinstance(feature, datasets.Audio) or (isinstance(feature, dict) and "bytes" in feature)


def _scalar(feature: Any) -> str | None:
    """The type of a column that can be a field of a manifest, as Hugging Face names it; None for others."""
    import datasets

    if isinstance(feature, datasets.ClassLabel):
        return "string"
    if not isinstance(feature, datasets.Value):
        return None
    kind = feature.dtype
    if kind.startswith(("date", "time")):
        return "string"
    return kind if kind in (*_TEXT, *_WHOLE, *_REAL, "bool") else None


def _arrow(kind: str) -> Any:
    import pyarrow as pa

    if kind in _TEXT:
        return pa.string()
    return pa.bool_() if kind == "bool" else pa.int64() if kind in _WHOLE[:-1] else getattr(pa, kind)()


def _type(feature: Any) -> str:
    return "sound" if is_sound(feature) else str(getattr(feature, "dtype", None) or type(feature).__name__)


def _listed(features: datasets.Features) -> str:
    return "the columns " + ", ".join(f"{name} ({_type(feature)})" for name, feature in features.items())
