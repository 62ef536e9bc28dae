"""How parquet shards are read: which columns mean what, and how far their order is shuffled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from duolect.audio.parquet import sound_column
from duolect.data.column_names import COLUMN_NAMES
from duolect.errors import ConfigError, ManifestError


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of a table that hold an utterance's parts; None: found by the usual names, where there is one.

    audio: encoded sound files, struct{bytes, path} or binary · text: the transcript · duration: seconds, or
    milliseconds where its name ends in "_ms"; without one the sound's header tells · speaker, id, lang, translation,
    target_lang: as in a manifest; without an id it is "<shard's name>-<row>".
    """

    audio: str | None = None
    text: str | None = None
    duration: str | None = None
    speaker: str | None = None
    id: str | None = None
    lang: str | None = None
    translation: str | None = None
    target_lang: str | None = None

    def __post_init__(self) -> None:
        for each in fields(self):
            if getattr(self, each.name) == "":
                raise ConfigError(f"columns: {each.name} must be the name of a column, or null to have it found.")

    def found(self, path: Path, schema: Any) -> Mapping[str, str]:
        """The column of each part in a parquet file of this schema; that of the audio as `read_group` takes it.

        Raises AudioError without a column of sound, ManifestError without one of text, or one that was named.
        """
        columns = {"audio": sound_column(path, schema, self.audio)}
        by_name = {name.lower(): name for name in reversed(schema.names)}
        for part, names in COLUMN_NAMES.items():
            wanted = getattr(self, part)
            if wanted is not None and wanted not in schema.names:
                raise ManifestError(
                    f"{path}: has no column {wanted!r} for the {part}; its columns are {', '.join(schema.names)}."
                )
            name = wanted or next((by_name[name] for name in names if name in by_name), None)
            if name is not None:
                columns[part] = name
        if "text" not in columns:
            raise ManifestError(
                f"{path}: has no column {' or '.join(COLUMN_NAMES['text'][:2])} for the text; say with "
                f"shards.columns.text which it is of {', '.join(schema.names)}."
            )
        return columns


@dataclass(frozen=True, kw_only=True)
class ShardsConfig:
    """Reading parquet shards in place.

    Each epoch takes the shards in an order of its own, `open_shards` of them at a time and a row group of each in turn,
    and shuffles and batches about `buffer` utterances together. Their encoded sound is in memory, on each process: 4000
    utterances of 10 s in 16 bit at 16 kHz are 1.3 GB. Both settings are part of the order, which is the same for any
    number of processes and workers.
    """

    columns: Columns = field(default_factory=Columns)
    buffer: int = 4000
    open_shards: int = 8

    def __post_init__(self) -> None:
        for name in ("buffer", "open_shards"):
            if getattr(self, name) < 1:
                raise ConfigError(f"shards: {name} must be at least 1, not {getattr(self, name)}.")
