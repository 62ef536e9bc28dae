"""How long the sound of each utterance is, from the headers of files, several at a time and in order."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from duolect.audio import audio_info
from duolect.audio.parquet import file_of
from duolect.data.corpora.base import Checkpoint, Entry, WholeFile
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import AudioError

OVERSHOOT = 0.5
"""Seconds a segment may end after its file: it is cut there. Beyond, it is skipped (as Kaldi's extract-segments)."""

_ROUNDING = 0.01  # seconds: durations in corpora are rounded
_AHEAD = 16  # entries for each thread
_REMEMBERED = 64  # files: segments of one recording come one after the other


class _Headers:
    """Durations of files, each read once by a pool of threads as long as it is among the last ones asked for."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.read: OrderedDict[Path, Future[float | str]] = OrderedDict()

    def ask(self, path: Path) -> Future[float | str]:
        if path not in self.read:
            self.read[path] = self.pool.submit(_length, path)
            if len(self.read) > _REMEMBERED:
                self.read.popitem(last=False)
        self.read.move_to_end(path)
        return self.read[path]


def with_durations(
    entries: Iterable[Entry], *, workers: int, trusted: bool = False, believed: bool = False
) -> Generator[Entry]:
    """The same entries in the same order, each utterance with a duration that its file has room for.

    An unknown duration (NaN) goes to the end of the file. Utterances whose file is missing or cannot be read, that
    begin after its end or end more than `OVERSHOOT` seconds after it come as `Skipped`; those that end a little after
    it are cut there. `trusted`: only files of unknown durations are looked at; `believed`: nor each `WholeFile`. Some
    headers are read ahead by `workers` threads; memory does not grow with the number of entries.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="headers") as pool:
        headers = _Headers(pool)
        waiting: deque[tuple[Entry, Future[float | str] | None]] = deque()
        try:
            for entry in entries:
                if believed and isinstance(entry, WholeFile) and math.isnan(entry.duration):
                    entry = dataclasses.replace(entry, duration=entry.told)
                asked = isinstance(entry, Utterance) and not (trusted and math.isfinite(entry.duration))
                waiting.append((entry, headers.ask(entry.audio_filepath) if asked else None))
                # At once what is known: a checkpoint must not wait for what comes after it.
                while waiting and (len(waiting) > _AHEAD * workers or _known(waiting[0][1])):
                    yield _settle(*waiting.popleft())
            while waiting:
                yield _settle(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _known(header: Future[float | str] | None) -> bool:
    return header is None or header.done()


def _length(path: Path) -> float | str:
    """Seconds, or what is wrong with the file."""
    try:
        return audio_info(path).duration
    except AudioError as error:
        said = str(error).removeprefix(f"{path}:").strip().rstrip(".")
        return f"{'cannot be read' if path.exists() or file_of(path).exists() else 'audio is missing'}: {said}"


def _settle(entry: Entry, header: Future[float | str] | None) -> Entry:
    if header is None or isinstance(entry, Skipped | Checkpoint):
        return entry
    length = header.result()
    if isinstance(length, str):
        return _skipped(entry, length)
    if entry.offset >= length:
        return _skipped(entry, f"begins after the end of its file: at {entry.offset:.3f} s of {length:.3f} s")
    rest = length - entry.offset
    if math.isnan(entry.duration) or rest + _ROUNDING < entry.duration <= rest + OVERSHOOT:
        return dataclasses.replace(entry, duration=round(rest, 6))
    if entry.duration > rest + _ROUNDING:
        end = entry.offset + entry.duration
        return _skipped(entry, f"ends after the end of its file: at {end:.3f} s of {length:.3f} s")
    return entry


def _skipped(utterance: Utterance, reason: str) -> Skipped:
    return Skipped(utterance.id, str(utterance.audio_filepath), reason)
