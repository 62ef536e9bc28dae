"""Sound files to mono float32 samples at one rate, and back; whatever is wrong with a file is one sentence."""

from __future__ import annotations

import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from duolect.audio.decoders import Sound, SoundBytes, SoundSource, open_sound
from duolect.errors import AudioError
from duolect.storage import atomic_file

SAMPLE_RATE = 16_000
"""Of all sound in this project, once it is read."""

# Read on both sides of a part, so that the resampler's filter, and codecs that lean on what came before, find there
# what a whole read would show them.
_MARGIN_SECONDS = 0.2
_FORMATS = {".wav": "WAV", ".flac": "FLAC"}


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of itself: seconds, Hz, number of channels."""

    duration: float
    sample_rate: int
    channels: int


def audio_info(path: SoundSource) -> AudioInfo:
    """The duration, sampling rate and channels of a sound (see `read_audio`), from its header where that tells them;
    else the frames of the file are counted.

    Raises AudioError when the file is missing, empty, not audio, has no samples, or is seen to be truncated.
    """
    with open_sound(path) as sound:
        return AudioInfo(sound.frames / sound.rate, sound.rate, sound.channels)


def read_audio(
    path: SoundSource,
    *,
    sample_rate: int = SAMPLE_RATE,
    offset: float = 0.0,
    duration: float | None = None,
) -> np.ndarray:
    """Samples, float32 (N,), of a sound or of the part from `offset` on for `duration` seconds (None: to the end).

    A sound is a file, a row of a parquet file (FILE.parquet#ROW), or a sound file in memory (`SoundBytes`).
    Channels are averaged, the rate becomes `sample_rate` (soxr, high quality). libsndfile reads wav, flac, ogg, opus,
    mp3 and more; other formats go through torchcodec where it is installed. A part is read by seeking, in memory for
    the part alone, with 0.2 s around it: it equals the stretch [offset, offset + duration), in samples rounded, of a
    whole read, but for the rounding of resampler and lossy codecs. Where the file ends earlier the result is shorter.

    Raises AudioError in one sentence when the file is missing, empty, truncated (as far as its format can tell: an mp3
    without a length in its header cannot), not audio, without samples, with samples that are not finite, or ends
    before `offset`.
    """
    path = path if isinstance(path, SoundBytes) else Path(path)
    if not (math.isfinite(offset) and offset >= 0):
        raise AudioError(f"{path}: offset must be 0 or more seconds, not {offset}.")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise AudioError(f"{path}: duration must be above 0 seconds, not {duration}.")
    begin = round(offset * sample_rate)
    end = None if duration is None else begin + max(1, round(duration * sample_rate))
    with open_sound(path) as sound:
        if offset * sound.rate >= sound.frames:
            raise AudioError(
                f"{path}: lasts {sound.frames / sound.rate:.3f} s, but the part to read begins at {_seconds(offset)}."
            )
        samples = read_part(path, sound, begin, end, sample_rate)
    if not len(samples):
        raise AudioError(f"{path}: ends before {_seconds(offset)}, where the part to read begins.")
    return samples


def _seconds(offset: float) -> str:
    return f"{offset:.3f} s" if offset < 1e9 else f"{offset:g} s"


def read_part(
    path: Path | SoundBytes, sound: Sound, begin: int, end: int | None, sample_rate: int = SAMPLE_RATE
) -> np.ndarray:
    """Samples `begin` to `end` (None: to the end), counted at `sample_rate`, of an open sound; see `read_audio`.

    Fewer, or none, where the sound ends earlier. Raises AudioError where it cannot be decoded, or is not finite.
    """
    # `up` samples at the new rate last as long as `down` at the file's: only there do both grids meet, and a part that
    # begins elsewhere would come out shifted by a fraction of a sample.
    common = math.gcd(sound.rate, sample_rate)
    up, down = sample_rate // common, sound.rate // common
    margin = math.ceil(_MARGIN_SECONDS * sample_rate / up)
    first = max(0, begin // up - margin)
    samples = sound.read(first * down, None if end is None else (-(-end // up) + margin) * down)
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: has samples that are not finite numbers (NaN or infinity).")
    if up != down:
        import soxr

        samples = soxr.resample(samples, down, up, quality="HQ")
    samples = samples[begin - first * up : None if end is None else end - first * up]
    return np.ascontiguousarray(samples, dtype=np.float32)


def write_audio(path: str | os.PathLike[str], samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono samples (N,) in [-1, 1] as 16-bit .wav or .flac, by the suffix; the file appears whole or not at all.

    Louder samples are clipped. 16-bit samples that `read_audio` gave are written unchanged.
    Raises AudioError for another suffix, another shape, no samples, or samples that are not finite.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise AudioError(
            f"{path}: can be written as {' or '.join(_FORMATS)}, not as {path.suffix or 'a name without suffix'}."
        )
    if samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
        raise AudioError(f"{path}: expected finite samples of one channel to write, found shape {samples.shape}.")
    whole = np.clip(np.rint(np.asarray(samples, dtype=np.float64) * 32768), -32768, 32767).astype(np.int16)
    encoded = io.BytesIO()
    import soundfile

    soundfile.write(encoded, whole, sample_rate, format=_FORMATS[path.suffix.lower()], subtype="PCM_16")
    with atomic_file(path, "wb") as handle:
        handle.write(encoded.getvalue())
