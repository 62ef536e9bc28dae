"""Sound inside parquet files: `FILE.parquet#ROW` names the sound file that stands in one row (counted from 0).

The sound is a column of encoded sound files: struct{bytes, path}, as the data sets of Hugging Face have it, or plain
binary. It is the column "audio" or "wav", else the only column of that kind; `FILE.parquet#ROW:COLUMN` names another.
A parquet file is read by whole row groups, so a few of them are kept in each process: rows that are near one another
should be read one after the other.
"""

from __future__ import annotations

import os
import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from duolect.errors import AudioError

AUDIO_NAMES = ("audio", "wav")
"""Columns that are taken for the sound where several could be."""

_ADDRESS = re.compile(r"(?P<file>.+\.parquet)#(?P<row>\d+)(?::(?P<column>.+))?", re.IGNORECASE | re.DOTALL)
_OPEN_FILES = 8
_KEPT_BYTES = 256 << 20  # of row groups, but always the last one


@dataclass(frozen=True, slots=True)
class RowAddress:
    """One row of a parquet file, and the column of its sound (None: found by name and type)."""

    file: Path
    row: int
    column: str | None = None


def row_address(path: str | os.PathLike[str]) -> RowAddress | None:
    """What `FILE.parquet#ROW[:COLUMN]` names; None for any other path."""
    found = _ADDRESS.fullmatch(os.fspath(path))
    return None if found is None else RowAddress(Path(found["file"]), int(found["row"]), found["column"])


def file_of(path: str | os.PathLike[str]) -> Path:
    """The file on disk that holds the sound `path`: the parquet file for a row of one, else `path` itself."""
    address = row_address(path)
    return Path(path) if address is None else address.file


def row_bytes(address: RowAddress) -> bytes:
    """The encoded sound file in one row.

    Raises AudioError when the file is missing or damaged or has no column of sound, or where there is no such row or
    no sound in it.
    """
    with _lock:
        column = _opened(address.file, address.column).group(address)
    kept, place = column
    value = kept[place].as_py()
    value = value.get("bytes") if isinstance(value, dict) else value
    if value is None:
        raise AudioError(f"{address.file}#{address.row}: this row has no sound in it.")
    return value


def open_parquet(path: Path) -> Any:
    """A `pyarrow.parquet.ParquetFile`. Raises AudioError when it is missing or damaged, or pyarrow is not installed."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise AudioError(f"{path}: parquet files need pyarrow: pip install pyarrow.") from error
    try:
        return parquet.ParquetFile(path)
    except FileNotFoundError as error:
        raise AudioError(f"{path}: there is no such parquet file.") from error
    except (OSError, arrow.ArrowException) as error:
        raise AudioError(f"{path}: is not a whole parquet file ({one_line(error)}).") from error


def read_group(path: Path, file: Any, group: int, columns: list[str]) -> Any:
    """Columns of one row group of an open file as a `pyarrow.Table`; of a column of sound "NAME.bytes" alone.

    In this thread alone: pyarrow's own threads do not live on in forked workers. Raises AudioError where it is damaged.
    """
    import pyarrow as arrow

    try:
        return file.read_row_group(group, columns=columns, use_threads=False)
    except (OSError, arrow.ArrowException) as error:
        raise AudioError(f"{path}: row group {group} cannot be read ({one_line(error)}).") from error


def sound_column(path: Path, schema: Any, wanted: str | None = None) -> str:
    """The column of sound as `read_group` takes it: "NAME.bytes" or "NAME".

    Raises AudioError naming the columns there are when `wanted` is none, or none or several could be meant.
    """
    found = {field.name: part for field in schema if (part := _sound_part(field.type)) is not None}
    if wanted is None:
        wanted = next((name for name in AUDIO_NAMES if name in found), None)
    if wanted is None and len(found) == 1:
        wanted = next(iter(found))
    if wanted is None or wanted not in found:
        missing = "no column of sound" if wanted is None else f"no column of sound {wanted!r}"
        missing = "several columns of sound, none of them named audio," if wanted is None and found else missing
        raise AudioError(f"{path}: has {missing} among its columns {', '.join(schema.names)}.")
    return wanted + found[wanted]


def address_suffix(path: Path, schema: Any, column: str) -> str:
    """What follows `FILE.parquet#ROW` to name the sound in a column: nothing where it would be found without."""
    try:
        found = sound_column(path, schema)
    except AudioError:
        return f":{column}"
    return "" if found in (column, f"{column}.bytes") else f":{column}"


def one_line(error: Exception) -> str:
    """An error's message, short enough for one sentence."""
    return " ".join(str(error).split()).rstrip(".")[:160]


def _sound_part(kind: Any) -> str | None:
    """ ".bytes" for a struct of sound, "" for plain binary, None for what is no sound."""
    from pyarrow import types

    if types.is_binary(kind) or types.is_large_binary(kind):
        return ""
    if types.is_struct(kind) and (index := kind.get_field_index("bytes")) >= 0:
        return ".bytes" if _sound_part(kind.field(index).type) == "" else None
    return None


class _Opened:
    """An open parquet file and the row groups of its sound that were read last."""

    def __init__(self, path: Path, column: str | None) -> None:
        self.path, self.file = path, open_parquet(path)
        self.column = sound_column(path, self.file.schema_arrow, column)
        metadata = self.file.metadata
        self.ends = list(accumulate(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)))

    def group(self, address: RowAddress) -> tuple[Any, int]:
        """The sound of the row group that holds the row, and the row's place in it."""
        if not self.ends or address.row >= self.ends[-1]:
            rows = self.ends[-1] if self.ends else 0
            raise AudioError(f"{address.file}#{address.row}: there is no such row; the file has {rows}, from 0 on.")
        group = bisect_right(self.ends, address.row)
        key = (id(self), group)
        if key in _groups:
            _groups.move_to_end(key)
        else:
            _groups[key] = read_group(self.path, self.file, group, [self.column]).column(0)
            while len(_groups) > 1 and sum(kept.nbytes for kept in _groups.values()) > _KEPT_BYTES:
                _groups.popitem(last=False)
        return _groups[key], address.row - (self.ends[group - 1] if group else 0)


def _opened(path: Path, column: str | None) -> _Opened:
    try:
        stat = path.stat()
    except OSError as error:
        raise AudioError(f"{path}: there is no such parquet file.") from error
    key = (path, column, stat.st_mtime_ns, stat.st_size)  # a file that was written anew is another one
    if key in _files:
        _files.move_to_end(key)
        return _files[key]
    opened = _files[key] = _Opened(path, column)
    while len(_files) > _OPEN_FILES:
        _, oldest = _files.popitem(last=False)
        for group in [group for group in _groups if group[0] == id(oldest)]:
            del _groups[group]
    return opened


_lock = threading.Lock()
_files: OrderedDict[Any, _Opened] = OrderedDict()
_groups: OrderedDict[tuple[int, int], Any] = OrderedDict()


def _forget() -> None:
    """A forked child opens files of its own: another thread may have held the lock, or been reading, at the fork."""
    global _lock, _files, _groups
    _lock, _files, _groups = threading.Lock(), OrderedDict(), OrderedDict()


os.register_at_fork(after_in_child=_forget)
