"""Files that hold several recordings, one after the other (`cat a.mp3 b.mp3`), or one that is damaged on its way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from duolect.audio import flac, mpeg, ogg
from duolect.audio.sources import Part, Place, SoundBytes, once, open_binary, scan
from duolect.errors import AudioError

if TYPE_CHECKING:
    from duolect.audio.decoders import Sound

_SCANS = {"MP3": mpeg.links, "FLAC": flac.links}

Open = Callable[[Place, contextlib.ExitStack], "Sound"]


@dataclass(frozen=True, slots=True)
class Links:
    """The recordings of a file, and what is wrong behind the last one."""

    parts: tuple[Part, ...]
    fault: ogg.Fault | None = None


def is_ogg_sound(place: Place) -> bool:
    """Whether a file is an Ogg file of sound alone: others can read videos."""
    with open_binary(place) as handle:
        begins = handle.read(4) == b"OggS"
    return begins and all(link.alone for link in ogg_pages(place).links)


def ogg_pages(place: Place) -> ogg.Pages:
    """What is found in an Ogg file when all its pages are gone through."""
    return once(place, "ogg", lambda: scan(place, ogg.scan))


def links(file: Path | SoundBytes, form: str) -> Links | None:
    """The recordings of a file of libsndfile's format `form`; None for one that a decoder can be given as it is."""
    if form in _SCANS:
        found = once(file, f"{form} links", lambda: scan(file, _SCANS[form]))
        return Links(tuple(Part(file, begin, end) for begin, end in found)) if found else None
    if form != "OGG":
        return None
    pages = ogg_pages(file)
    if len(pages.links) == 1 and pages.fault != "damaged":
        return None
    return Links(tuple(Part(file, link.begin, link.end) for link in pages.links if link.last_page), pages.fault)


@dataclass(frozen=True, slots=True)
class _Lengths:
    rate: int
    channels: int
    frames: tuple[int, ...]
    fault: str | None


class Chain:
    """The recordings of a file as one sound, up to what cannot be read with the first; see `decoders.Sound`."""

    format = ""

    def __init__(self, file: Path | SoundBytes, several: Links, opener: Open) -> None:
        """`opener` opens one of them. Raises AudioError where not even the first can be read."""
        self.file, self.links, self.opener = file, several, opener
        lengths = once(file, "links", self._measure)
        self.rate, self.channels = lengths.rate, lengths.channels
        self.starts = (0, *accumulate(lengths.frames))
        self.frames = self.starts[-1]
        seconds = f"{self.frames / self.rate:.3f} s"
        self.damage = lengths.fault and f"{file}: {lengths.fault.format(seconds)}."

    def read(self, start: int, stop: int | None) -> np.ndarray:
        """See `decoders.Sound`."""
        stop = self.frames if stop is None else min(stop, self.frames)
        pieces = [np.zeros(0, dtype=np.float32)]
        for part, begin, end in zip(self.links.parts, self.starts, self.starts[1:], strict=False):
            if start < end and begin < stop:
                with contextlib.ExitStack() as stack:
                    sound = self.opener(part, stack)
                    try:
                        pieces.append(sound.read(max(start, begin) - begin, min(stop, end) - begin))
                    except AudioError as error:
                        if not begin:
                            raise
                        said = str(error).removeprefix(f"{self.file}: ")
                        where = f"{self.file}: the recording that begins at {begin / self.rate:.3f} s"
                        raise AudioError(f"{where}: {said}") from error
        return np.concatenate(pieces)

    def _measure(self) -> _Lengths:
        import soundfile

        rate, channels, frames, fault, broken = 0, 0, [], None, False
        for part in self.links.parts:
            with contextlib.ExitStack() as stack:
                try:
                    sound = self.opener(part, stack)
                except (soundfile.SoundFileError, AudioError):
                    fault = "another recording follows after {}, which cannot be read"
                    break
                if rate not in (0, sound.rate):
                    fault = f"another recording follows after {{}}, which has {sound.rate} Hz and not {rate} Hz"
                    break
                rate, channels = sound.rate, max(channels, sound.channels)
                frames.append(sound.frames)
                broken = sound.damage is not None
        if not frames:
            raise AudioError(f"{self.file}: is damaged at its beginning; nothing of it can be read.")
        if fault is None and self.links.fault == "damaged":
            fault = "is damaged; from {} on it cannot be read"
        elif fault is None and broken:
            fault = "is truncated; it breaks off after {}"
        return _Lengths(rate, channels, tuple(frames), fault)
