"""Cutting long sounds into pieces that models can take, at pauses, while they are being read.

The level of a frame of 10 ms is held against a floor that follows the recording: the 10th percentile of the levels
within half a minute on both sides, but at most 20 dB above the quietest fifth of a second there. What stays below floor
and margin is a pause. Pieces end in pauses of half a second and more, and what is silent beyond their padding is in no
piece. A stretch of speech longer than a piece may be is parted, in this order of preference, in the middle of a shorter
pause, at a dip of the level that is deep for that very stretch, where a model hears nothing (`find_gap`), or, where all
of that fails, into pieces that overlap.

Frames are counted from 0 at the beginning of the sound; a frame has 160 samples at 16 kHz.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from duolect.audio.files import SAMPLE_RATE
from duolect.errors import AudioError, ConfigError

FRAME = SAMPLE_RATE // 100
_CHUNK = 10 * 100  # frames that share a floor
_AROUND = 3  # chunks on both sides that this floor is estimated from
_LOWEST_FLOOR = -75.0  # dB of full scale: below it is what rounding to 16 bits leaves
_ABOVE_QUIETEST = 20.0  # dB: where there are few pauses, the percentile is that of speech
_MARGINS = (4.0, 10.0)  # dB above the floor; a steady noise varies by less than the first
_SHORT_PAUSE = 20  # frames: a shorter one may be the closure of a stop consonant
_DIP = 10.0  # dB below the median of its surroundings: a pause in a louder background
_FEWEST = 5  # frames above the floor that are more than a click
_STEADY = 2 * 100  # frames: steady sound of less may be a vowel

FindGap = Callable[[np.ndarray, int, int], int | None]
"""(samples, low, high) → the sample between `low` and `high` at which to part them; None: there is no good one."""


@dataclass(frozen=True, kw_only=True)
class SegmentConfig:
    """How to cut, in seconds: pieces of at most `longest`, with `padding` of silence on both sides; a sound of less
    than `shortest` gets more of it. A silence of `silence` ends a piece, and beyond the padding is left out, unless
    `keep_silence`: then pieces are as long as they can be, and together the whole recording. Pieces of speech without
    any pause share `overlap` with the one before.
    """

    longest: float = 30.0
    shortest: float = 1.0
    silence: float = 0.5
    padding: float = 0.25
    overlap: float = 4.0
    keep_silence: bool = False

    def __post_init__(self) -> None:
        for name in ("longest", "shortest", "silence", "padding", "overlap"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigError(f"segments: {name} must be 0 or more seconds, not {value}.")
        if self.longest < 1:
            raise ConfigError(f"segments: longest must be at least 1 second, not {self.longest}.")
        if self.silence < 0.1:
            raise ConfigError(f"segments: silence must be at least 0.1 seconds, not {self.silence}.")


@dataclass(frozen=True)
class Piece:
    """Samples of a sound from sample `begin` on; the first `overlap` of them are the last of the piece before."""

    begin: int
    samples: np.ndarray
    overlap: int = 0

    @property
    def end(self) -> int:
        """The sample after the last one."""
        return self.begin + len(self.samples)


def cut(blocks: Iterable[np.ndarray], config: SegmentConfig, find_gap: FindGap | None = None) -> Iterator[Piece]:
    """The pieces of a sound that comes as `blocks` of samples at 16 kHz, in any sizes; in memory for two minutes of it.

    A piece has at most `config.longest` seconds. Where `blocks` raise AudioError, the pieces of what came before are
    given first. The pieces do not depend on the sizes of the blocks.
    """
    source = _Source(blocks)
    cutter = _Cutter(config, find_gap)
    for samples, levels, heard in _activity(source.chunks()):
        cutter.add(samples, levels, heard)
        yield from cutter.pieces()
    yield from cutter.pieces(final=True)
    if source.error is not None:
        raise source.error


def hears_nothing(samples: np.ndarray) -> bool:
    """Whether in a whole recording, samples at 16 kHz, nothing is louder than its background: `cut` gives no piece.

    In less than two seconds background and speech cannot be told apart, and there only what is hardly louder than what
    rounding to 16 bits leaves is nothing.
    """
    if len(samples) < _STEADY * FRAME:
        return not (frame_levels(samples) > _LOWEST_FLOOR + _MARGINS[0]).any()
    return next(cut([samples], SegmentConfig()), None) is None


class _Source:
    """Blocks as chunks of one size; an AudioError ends them and is kept."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self.blocks, self.error = blocks, None

    def chunks(self) -> Iterator[np.ndarray]:
        size, held = _CHUNK * FRAME, np.zeros(0, np.float32)
        try:
            for block in self.blocks:
                held = np.concatenate([held, block]) if len(held) else block
                while len(held) >= size:
                    yield held[:size]
                    held = held[size:]
        except AudioError as error:
            self.error: AudioError | None = error
        if len(held):
            yield held


def frame_levels(samples: np.ndarray) -> np.ndarray:
    """The level of each frame of 10 ms in dB of full scale; the last frame may be a part of one."""
    frames = -(-len(samples) // FRAME)
    squares = np.zeros(frames * FRAME)
    squares[: len(samples)] = np.square(samples, dtype=np.float64)
    return 10 * np.log10(squares.reshape(frames, FRAME).mean(1) + 1e-10)


def _activity(chunks: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each chunk its samples, the levels of its frames, and which of them are above the floor."""
    past: deque[np.ndarray] = deque(maxlen=_AROUND)
    waiting: deque[tuple[np.ndarray, np.ndarray]] = deque()

    def first() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        samples, levels = waiting.popleft()
        around = np.concatenate([*past, levels, *(later for _, later in waiting)])
        past.append(levels)
        low, high = np.percentile(around, [10, 95])
        low = max(min(low, _smooth(around).min() + _ABOVE_QUIETEST), _LOWEST_FLOOR)
        return samples, levels, levels > low + np.clip((high - low) / 4, *_MARGINS)

    for samples in chunks:
        waiting.append((samples, frame_levels(samples)))
        if len(waiting) > _AROUND:
            yield first()
    while waiting:
        yield first()


def _smooth(levels: np.ndarray) -> np.ndarray:
    """Means over a fifth of a second; of the whole where it is shorter."""
    width = min(_SHORT_PAUSE, len(levels))
    sums = np.concatenate([[0.0], np.cumsum(levels)])
    return (sums[width:] - sums[:-width]) / width


class _Cutter:
    """What has been read and is in no finished piece yet; its frame 0 is frame `origin` of the sound."""

    def __init__(self, config: SegmentConfig, find_gap: FindGap | None) -> None:
        self.config, self.find_gap = config, find_gap
        longest = whole_parts(config.longest, SAMPLE_RATE // FRAME)
        self.longest = longest
        self.shortest, self.overlap = (
            min(_frames(config.shortest), longest // 2),
            min(_frames(config.overlap), longest // 4),
        )
        self.silence = _frames(config.silence)
        self.padding = min(_frames(config.padding), self.silence // 2, longest // 8)
        self.origin = self.shared = 0  # shared: frames at the beginning that are in the piece before, too
        self.samples, self.levels, self.heard = np.zeros(0, np.float32), np.zeros(0), np.zeros(0, bool)

    def add(self, samples: np.ndarray, levels: np.ndarray, heard: np.ndarray) -> None:
        """What comes next."""
        self.samples = np.concatenate([self.samples, samples])
        self.levels = np.concatenate([self.levels, levels])
        self.heard = np.concatenate([self.heard, heard])

    def pieces(self, *, final: bool = False) -> Iterator[Piece]:
        """The pieces that what is still to come cannot change; all of them when nothing is to come."""
        while (bounds := self._bounds(final)) is not None:
            begin, end, following, shared = bounds
            if end > begin:
                overlap = max(0, self.shared - begin) * FRAME
                yield Piece((self.origin + begin) * FRAME, self.samples[begin * FRAME : end * FRAME].copy(), overlap)
            self._drop(following)
            self.shared = shared

    def _drop(self, frames: int) -> None:
        self.samples, self.levels = self.samples[frames * FRAME :], self.levels[frames:]
        self.heard, self.origin = self.heard[frames:], self.origin + frames

    def _bounds(self, final: bool) -> tuple[int, int, int, int] | None:
        """Begin and end of the next piece, where to go on, and how many frames of that are shared; None: not yet."""
        there = len(self.heard)
        if self.config.keep_silence:
            if there > self.longest:
                return self._part(0)
            return (0, there, there, 0) if final and there > self.shared else None
        heard = np.flatnonzero(self.heard)
        if not len(heard):  # nothing but what may become padding
            self._drop(there if final else max(0, there - self.shortest))
            self.shared = 0
            return None
        begin = 0 if self.shared else max(0, int(heard[0]) - self.padding)
        gaps = np.flatnonzero(np.diff(heard) > self.silence)
        last = int(heard[gaps[0]] if len(gaps) else heard[-1])
        whole = bool(len(gaps)) or final or there - 1 - last >= self.silence
        end = min(last + 1 + self.padding, there)
        if end - begin > self.longest and last + 1 - begin <= self.longest:
            end = begin + self.longest
        if end - begin > self.longest or (not whole and there - begin > self.longest):
            return self._part(begin)
        if not whole:
            return None
        if (heard <= last).sum() < _FEWEST or last < self.shared:
            return end, end, end, 0
        missing = self.shortest - (end - begin)
        if missing > 0:
            end = min(last + 1 + min(self.silence // 2, self.padding + missing // 2), there)
            begin = begin if self.shared else max(0, end - self.shortest)
        return begin, end, end, 0

    def _part(self, begin: int) -> tuple[int, int, int, int]:
        """The same for a stretch that is too long, from `begin` on."""
        low, high = begin + max(self.shortest, self.shared - begin + 1), begin + self.longest
        at = self._pause(begin, low, high)
        if at is None:
            at = self._dip(max(low, begin + self.longest // 2), high)
        if at is None and self.find_gap is not None:
            middle = max(low, begin + self.longest // 2)
            samples = self.samples[begin * FRAME : high * FRAME]
            found = self.find_gap(samples, (middle - begin) * FRAME, (high - begin) * FRAME)
            at = None if found is None else min(max(begin + round(found / FRAME), middle), high)
        if at is not None:
            return begin, at, at, 0
        return begin, high, high - self.overlap, self.overlap

    def _pause(self, begin: int, low: int, high: int) -> int | None:
        """The middle of the longest pause; a late one is worth more than an early one."""
        heard = np.flatnonzero(self.heard[low:high])
        edges = np.concatenate([[-1], heard, [high - low]])
        lengths = np.diff(edges) - 1
        middles = low + edges[:-1] + 1 + lengths // 2
        worth = np.minimum(lengths, self.silence) * (0.5 + 0.5 * (middles - begin) / (high - begin))
        worth[lengths < _SHORT_PAUSE] = 0.0
        return int(middles[worth.argmax()]) if worth.any() else None

    def _dip(self, low: int, high: int) -> int | None:
        """The middle of the quietest fifth of a second, where it is a good deal quieter than the rest."""
        levels = self.levels[low:high]
        if len(levels) < 2 * _SHORT_PAUSE:
            return None
        smooth = _smooth(levels)
        at = int(smooth.argmin())
        return low + at + _SHORT_PAUSE // 2 if smooth[at] <= np.median(levels) - _DIP else None


def whole_parts(seconds: float, rate: int) -> int:
    """How many whole parts, of which a second has `rate`, last no longer than so many seconds."""
    parts = round(seconds * rate)
    return parts if parts / rate <= seconds else parts - 1


def _frames(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE / FRAME)
