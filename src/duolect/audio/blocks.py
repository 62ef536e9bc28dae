"""Long sounds block by block, in memory for one block: the same samples as a whole read gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from duolect.audio.decoders import SoundBytes, SoundSource, open_sound
from duolect.audio.files import SAMPLE_RATE, read_part
from duolect.errors import AudioError

BLOCK_SECONDS = 30
_JITTER = SAMPLE_RATE // 200
_NEAR_END = SAMPLE_RATE // 2


def sound_seconds(path: SoundSource) -> float:
    """How long a sound claims to last; where it is seen to be truncated, how long what is there lasts.

    Raises AudioError when it is missing, empty, not audio, or has no samples.
    """
    with open_sound(path, whole=False) as sound:
        return sound.frames / sound.rate


def sound_blocks(path: SoundSource, block_seconds: int = BLOCK_SECONDS) -> Iterator[np.ndarray]:
    """The samples of a sound, float32 at 16 kHz, in blocks of `block_seconds` (the last one shorter), read by seeking.

    All that can be read is given. Then, where it is truncated or damaged, AudioError is raised and says from
    which second on; as it is at once where it cannot be opened.
    """
    path = path if isinstance(path, SoundBytes) else Path(path)
    at, block = 0, block_seconds * SAMPLE_RATE
    with open_sound(path, whole=False) as sound:
        while at * sound.rate < sound.frames * SAMPLE_RATE:
            try:
                samples = read_part(path, sound, at, at + block)
            except AudioError:
                break
            yield samples
            at += len(samples)
            missing = block - len(samples)
            # Containers whose times are in milliseconds give some samples less in the middle.
            if missing and (missing > _JITTER or sound.frames * SAMPLE_RATE < (at + _NEAR_END) * sound.rate):
                if sound.damage is not None:
                    raise AudioError(sound.damage)
                return
        else:
            if sound.damage is not None:
                raise AudioError(sound.damage)
            return
    yield from _rest(path, at, at + block)


def _rest(path: Path | SoundBytes, at: int, end: int) -> Iterator[np.ndarray]:
    """Second by second from `at` on, up to the one before `end` that cannot be read; then its AudioError.

    The sound is opened anew, for a decoder that has failed may not be able to seek any more.
    """
    with open_sound(path, whole=False) as sound:
        for begin in range(at, end, SAMPLE_RATE):
            try:
                yield read_part(path, sound, begin, begin + SAMPLE_RATE)
            except AudioError as error:
                reason = str(error).removeprefix(f"{path}: ").removesuffix(".")
                second = begin // SAMPLE_RATE
                raise AudioError(f"{path}: from {second} s on it cannot be read ({reason}).") from error
