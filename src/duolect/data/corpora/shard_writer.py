"""Shards of audio: parquet files of sound and text, of which one row can be fetched without reading the rest.

    FOLDER/shards/NAME-00000.parquet, NAME-00001.parquet …      addressed as `FOLDER/shards/NAME-00003.parquet#17`

The columns are those of a Hugging Face data set ("audio" = struct{bytes, path}; `datasets` opens the folder as it is).
Row groups hold about 1 MiB: that is what fetching one row costs. A shard appears whole or not at all.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolect.errors import DuolectError
from duolect.storage import atomic_file

if TYPE_CHECKING:
    import pyarrow

GROUP_BYTES = 1 << 20
"""Of sound in a row group."""
GROUP_ROWS = 256
AUDIO = "audio"


def shard_path(folder: Path, name: str, number: int) -> Path:
    """Where shard `number` (from 0) of `name` is, below `folder`."""
    return folder / "shards" / f"{name}-{number:05d}.parquet"


def shard_schema(columns: Mapping[str, pyarrow.DataType]) -> pyarrow.Schema:
    """The schema of a shard: "audio" first, then `columns`, all of which may be null; readable by `datasets`."""
    import pyarrow as pa

    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features: dict[str, Any] = {AUDIO: {"decode": True, "_type": "Audio"}}
    features |= {name: {"dtype": _dtype(kind), "_type": "Value"} for name, kind in columns.items()}
    described = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    return pa.schema([(AUDIO, audio), *columns.items()], metadata={"huggingface": described})


def _dtype(kind: pyarrow.DataType) -> str:
    """What Hugging Face calls a type of Arrow's."""
    return {"double": "float64", "float": "float32"}.get(str(kind), str(kind))


class ShardWriter:
    """Writes rows into one shard after the other; use it as a context, which drops a shard that is half done.

    `number` is the shard that comes next, or that is being written. What stands there as shards `first`, `first` + 1 …
    is removed when the context begins, and written anew: rows that come in the same order make the same files.
    """

    def __init__(self, folder: Path, name: str, schema: pyarrow.Schema, *, shard_bytes: int, first: int = 0) -> None:
        """`shard_bytes` of sound, or a little more, are in each shard but the last of a name."""
        self.folder, self.name, self.schema, self.shard_bytes, self.number = folder, name, schema, shard_bytes, first
        self._file = contextlib.ExitStack()
        self._parquet: Any = None
        self._group: list[Mapping[str, Any]] = []
        self._group_bytes = self._bytes = self._rows = 0

    def __enter__(self) -> ShardWriter:
        # What a killed import left, or one with other settings; nobody else writes here (an import holds its folder).
        ours = re.compile(rf"\.?{re.escape(self.name)}-(\d{{5,}})\.parquet(?:\.\w+\.part)?")
        for path in shard_path(self.folder, self.name, 0).parent.glob("*"):
            if (match := ours.fullmatch(path.name)) and (path.suffix == ".part" or int(match[1]) >= self.number):
                path.unlink(missing_ok=True)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._parquet is not None:
            with contextlib.suppress(Exception):  # there is an error already, or nobody wants the rest of the rows
                self._parquet.close()
            self._parquet = None
            dropped = DuolectError("dropped")
            with contextlib.suppress(DuolectError):
                self._file.__exit__(DuolectError, dropped, None)

    @property
    def rows(self) -> int:
        """Rows of the shard that is being written."""
        return self._rows

    @property
    def full(self) -> bool:
        """Whether the shard has all the sound it is to have; `close` it before the next row."""
        return self._bytes >= self.shard_bytes

    def add(self, sound: bytes, path: str | None, row: Mapping[str, Any]) -> Path:
        """One more row, with the encoded `sound` as it is; its address. Columns that `row` lacks are null.

        Raises DuolectError where it cannot be written (a full disk).
        """
        address = Path(f"{shard_path(self.folder, self.name, self.number)}#{self._rows}")
        self._group.append({**row, AUDIO: {"bytes": sound, "path": path}})
        self._rows += 1
        self._bytes += len(sound)
        self._group_bytes += len(sound)
        if self._group_bytes >= GROUP_BYTES or len(self._group) >= GROUP_ROWS:
            self._write_group()
        return address

    def close(self) -> None:
        """Finish the shard that is being written, if it has rows: it is on disk for good when this returns."""
        if not self._rows:
            return
        if self._group:
            self._write_group()
        with self._said():
            self._parquet.close()
        self._parquet = None
        self._file.close()
        self.number += 1
        self._bytes = self._rows = 0

    def _write_group(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        with self._said():
            if self._parquet is None:
                handle = self._file.enter_context(atomic_file(shard_path(self.folder, self.name, self.number), "wb"))
                words = [name for name in self.schema.names if name != AUDIO]
                # Encoded sound does not get smaller, and a dictionary of it would be the sound once more.
                self._parquet = pyarrow.parquet.ParquetWriter(
                    handle,
                    self.schema,
                    compression={f"{AUDIO}.bytes": "NONE", f"{AUDIO}.path": "ZSTD"} | dict.fromkeys(words, "ZSTD"),
                    use_dictionary=words,
                )
            table = pa.Table.from_pylist(self._group, schema=self.schema)
            self._parquet.write_table(table, row_group_size=len(self._group))
        self._group, self._group_bytes = [], 0

    @contextlib.contextmanager
    def _said(self) -> Any:
        try:
            yield
        except OSError as error:
            path = shard_path(self.folder, self.name, self.number)
            raise DuolectError(f"{path}: could not be written ({error.strerror or error}).") from error
