"""How long the sound of each utterance is, from the headers of files, several at a time and in order.

Utterances of a single channel are found here, too: a manifest cannot say which, and all are mixed when it is read.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections import OrderedDict, deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from duolect.audio import AudioInfo, audio_info
from duolect.audio.parquet import file_of
from duolect.data.corpora.base import Checkpoint, Entry, WholeFile
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import AudioError

OVERSHOOT = 0.5
"""Seconds a segment may end after its file: it is cut there. Beyond, it is skipped (as Kaldi's extract-segments)."""

_ROUNDING = 0.01  # seconds: durations in corpora are rounded
_CHANNEL_FIELDS = ("channel", "channel_id")
_CHANNEL = re.compile(r"(?:(?:ch|chan|channel)?[ _-]?(\d{1,3})(?:\.0)?|left|right|[lrab])")
_AHEAD = 16  # entries for each thread
_REMEMBERED = 64  # files: segments of one recording come one after the other


class _Headers:
    """Headers of files, each read once by a pool of threads as long as it is among the last ones asked for."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self.read: OrderedDict[Path, Future[AudioInfo | str]] = OrderedDict()

    def ask(self, path: Path) -> Future[AudioInfo | str]:
        if path not in self.read:
            self.read[path] = self.pool.submit(_header, path)
            if len(self.read) > _REMEMBERED:
                self.read.popitem(last=False)
        self.read.move_to_end(path)
        return self.read[path]


def with_durations(
    entries: Iterable[Entry], *, workers: int, trusted: bool = False, believed: bool = False
) -> Generator[Entry]:
    """The same entries in the same order, each utterance with a duration that its file has room for.

    An unknown duration (NaN) goes to the end of the file. Utterances whose file is missing or cannot be read, that
    begin after its end or end more than `OVERSHOOT` seconds after it, or whose field `channel` or `channel_id` names
    one of its channels where it has several, come as `Skipped`; those that end a little after it are cut there.
    `trusted`: only files of unknown durations are looked at, and those of which a channel is named; `believed`: nor
    each `WholeFile`. Some headers are read ahead by `workers` threads; memory does not grow with the number of entries.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="headers") as pool:
        headers = _Headers(pool)
        waiting: deque[tuple[Entry, Future[AudioInfo | str] | None]] = deque()
        try:
            for entry in entries:
                one_channel = isinstance(entry, Utterance) and math.isfinite(_channels(entry))
                if believed and isinstance(entry, WholeFile) and math.isnan(entry.duration) and not one_channel:
                    entry = dataclasses.replace(entry, duration=entry.told)
                told = trusted and isinstance(entry, Utterance) and math.isfinite(entry.duration)
                asked = isinstance(entry, Utterance) and (one_channel or not told)
                waiting.append((entry, headers.ask(entry.audio_filepath) if asked else None))
                # At once what is known: a checkpoint must not wait for what comes after it.
                while waiting and (len(waiting) > _AHEAD * workers or _known(waiting[0][1])):
                    yield _settle(*waiting.popleft())
            while waiting:
                yield _settle(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _known(header: Future[AudioInfo | str] | None) -> bool:
    return header is None or header.done()


def _header(path: Path) -> AudioInfo | str:
    """What the file says of itself, or what is wrong with it."""
    try:
        return audio_info(path)
    except AudioError as error:
        said = str(error).removeprefix(f"{path}:").strip().rstrip(".")
        return f"{'cannot be read' if path.exists() or file_of(path).exists() else 'audio is missing'}: {said}"


def _settle(entry: Entry, header: Future[AudioInfo | str] | None) -> Entry:
    if header is None or isinstance(entry, Skipped | Checkpoint):
        return entry
    found = header.result()
    if isinstance(found, str):
        return _skipped(entry, found)
    if found.channels > 1 and _channels(entry) <= found.channels:
        return _skipped(entry, one_channel_of(found.channels))
    length = found.duration
    if entry.offset >= length:
        return _skipped(entry, f"begins after the end of its file: at {entry.offset:.3f} s of {length:.3f} s")
    rest = length - entry.offset
    if math.isnan(entry.duration) or rest + _ROUNDING < entry.duration <= rest + OVERSHOOT:
        return dataclasses.replace(entry, duration=round(rest, 6))
    if entry.duration > rest + _ROUNDING:
        end = entry.offset + entry.duration
        return _skipped(entry, f"ends after the end of its file: at {end:.3f} s of {length:.3f} s")
    return entry


def one_channel_of(channels: int) -> str:
    """Why an utterance that is one channel of a file cannot be imported."""
    return f"one channel of {channels}: a manifest has no place for that; write the channels to files of their own"


def _channels(utterance: Utterance) -> float:
    """How many channels a file must have at least for the one that an utterance names; infinity where it names none.

    They are counted from 0 or from 1, or called left and right, or A and B; anything else is no channel of a file.
    """
    for key, value in utterance.fields.items():
        if key.lower() in _CHANNEL_FIELDS and (found := _CHANNEL.fullmatch(str(value).strip().lower())) is not None:
            return int(found[1] or 2)
    return math.inf


def _skipped(utterance: Utterance, reason: str) -> Skipped:
    return Skipped(utterance.id, str(utterance.audio_filepath), reason)
