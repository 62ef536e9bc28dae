"""Where sound is read from: a file, bytes in memory, or a part of either; what was measured of it is kept."""

from __future__ import annotations

import contextlib
import io
import mmap
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from duolect.audio.mpeg import Data
from duolect.audio.spliced import Spliced

_Found = TypeVar("_Found")

_MEASURED = 1 << 13  # files of which is kept what was measured, some hundred bytes each


@dataclass(frozen=True, slots=True)
class SoundBytes:
    """A sound file in memory, and the name that messages give it."""

    name: str
    data: bytes = field(repr=False)
    measured: dict[tuple[str, int, int], Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What `once` keeps, for as long as these bytes are held."""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `begin` to `end` of a file that holds several recordings; messages name the file."""

    file: Path | SoundBytes
    begin: int
    end: int

    def __str__(self) -> str:
        return str(self.file)


SoundSource = str | os.PathLike[str] | SoundBytes
"""What can be read: a sound file, a row of a parquet file (`audio.parquet`), or a sound file in memory."""

Place = Path | SoundBytes | Part
"""What is opened: a source once it is found."""


def open_binary(place: Place) -> BinaryIO:
    """A handle that reads the bytes."""
    if isinstance(place, Part):
        spliced: Any = Spliced(open_binary(place.file), place.begin, place.end)
        return spliced
    return open(place, "rb") if isinstance(place, Path) else io.BytesIO(place.data)


def scan(place: Place, look: Callable[[Data], _Found]) -> _Found:
    """What `look` says of all the bytes, which are mapped, not read."""
    if isinstance(place, Part):
        part = place
        return scan(part.file, lambda data: look(memoryview(data)[part.begin : part.end]))
    if isinstance(place, SoundBytes):
        return look(place.data)
    with (
        open(place, "rb") as handle,
        mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as data,
    ):
        return look(data)


def once(place: Place, what: str, measure: Callable[[], _Found]) -> _Found:
    """What `measure` says of a file, kept for some: the parts of a long recording are read one after the other."""
    file, begin, end = (place.file, place.begin, place.end) if isinstance(place, Part) else (place, 0, -1)
    if isinstance(file, SoundBytes):
        if (what, begin, end) not in file.measured:
            file.measured[what, begin, end] = measure()
        return file.measured[what, begin, end]
    seen = file.stat()
    key = what, file, begin, end, seen.st_size, seen.st_mtime_ns
    with contextlib.suppress(KeyError):
        return _measured[key]
    found = _measured[key] = measure()
    if len(_measured) > _MEASURED:
        _measured.popitem(last=False)
    return found


_measured: OrderedDict[tuple[str, Path, int, int, int, int], Any] = OrderedDict()
