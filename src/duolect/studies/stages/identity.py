"""What the user's data are known by: the contents of files, and of sound those of a sample.

Where they lie is no part of it, so that what was made from a corpus stands when that is moved. A manifest alone does
not tell: that of noisy copies of a corpus may have the bytes of that of the corpus.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from duolect.data.shards import list_shards
from duolect.storage import file_hash

SAMPLED = 200
"""Sound files of a manifest, and shards of a folder, that are looked into."""
_BYTES = 4096
"""That are read in the middle of each, where sound is: headers are often alike."""


def content(path: Path) -> str:
    """Hash of a file, which is read again only when it has changed: a study asks for the same keys many times."""
    stat = path.stat()
    return _content(path.absolute(), stat.st_mtime_ns, stat.st_size)


@cache
def _content(path: Path, changed: int, size: int) -> str:
    return file_hash(path)


def manifest_identity(path: Path) -> list[str]:
    """Hashes of a manifest and of the sound it names."""
    stat = path.stat()
    return [content(path), _sound(path.absolute(), stat.st_mtime_ns, stat.st_size)]


@cache
def _sound(path: Path, changed: int, size: int) -> str:
    return _glimpses(dict.fromkeys(_sampled_sound(path, size)))


def shards_identity(folder: Path) -> list[Any]:
    """Names and sizes of the parquet files of a folder, and a hash of what some of them hold."""
    files = list_shards([folder])
    base = os.path.abspath(folder)
    sizes = tuple((file.relative_to(base).as_posix(), file.stat().st_size) for file in files)
    return [*map(list, sizes), _shards(tuple(files[:: -(-len(files) // SAMPLED)]), sizes)]


@cache
def _shards(files: tuple[Path, ...], sizes: tuple[tuple[str, int], ...]) -> str:
    return _glimpses(files)


def _sampled_sound(manifest: Path, size: int) -> Iterator[Path]:
    """The files named by the lines at SAMPLED places of a manifest; a line that is none is for those who read it."""
    with open(manifest, "rb") as handle:
        for place in sorted({size * number // SAMPLED for number in range(SAMPLED)}):
            handle.seek(place)
            if place:
                handle.readline()  # the rest of a line
            try:
                yield manifest.parent / json.loads(handle.readline().decode("utf-8-sig"))["audio_filepath"]
            except (ValueError, TypeError, KeyError):
                continue


def _glimpses(files: Iterable[Path]) -> str:
    """16 hex digits of sizes and of some bytes; a file that cannot be read, or is not there, counts as such."""
    digest = hashlib.sha256()
    for file in files:
        try:
            with open(file, "rb") as handle:
                size = os.fstat(handle.fileno()).st_size
                handle.seek(max(0, (size - _BYTES) // 2))
                digest.update(f"{size} ".encode() + handle.read(_BYTES))
        except (OSError, ValueError):
            digest.update(b"none ")
    return digest.hexdigest()[:16]
