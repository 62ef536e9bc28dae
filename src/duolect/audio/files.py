"""Sound files to mono float32 samples at one rate, and back; whatever is wrong with a file is one sentence."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
import soundfile
import soxr

from duolect.errors import AudioError
from duolect.storage import atomic_file

SAMPLE_RATE = 16_000
_MARGIN_SECONDS = (
    0.1  # read on both sides of a part, so that the resampler's filter sees what a whole read would show it
)
_SUBTYPES = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16")}


@dataclass(frozen=True)
class AudioInfo:
    """What a file says of itself: seconds, Hz, number of channels."""

    duration: float
    sample_rate: int
    channels: int


def audio_info(path: str | os.PathLike[str]) -> AudioInfo:
    """The duration, sampling rate and channels of a file, without decoding it where the format tells.

    Raises AudioError when the file is missing, empty or not audio.
    """
    path = Path(path)
    _check_file(path)
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError) as error:
        decoder = _torchcodec(path, error)
        metadata = decoder.metadata
        seconds = metadata.duration_seconds or metadata.duration_seconds_from_header or 0.0
        return AudioInfo(float(seconds), int(metadata.sample_rate), int(metadata.num_channels))
    return AudioInfo(info.frames / info.samplerate, info.samplerate, info.channels)


def read_audio(
    path: str | os.PathLike[str],
    *,
    sample_rate: int = SAMPLE_RATE,
    offset: float = 0.0,
    duration: float | None = None,
) -> np.ndarray:
    """Samples, float32 (N,), of a file or of the part from `offset` on for `duration` seconds (None: to the end).

    Channels are averaged, the rate becomes `sample_rate` (soxr, high quality). libsndfile reads wav, flac, ogg, opus,
    mp3 and more; other formats go through torchcodec where it is installed. A part is read by seeking, with a little
    sound around it, so that it equals the same stretch of a whole read up to the resampler's rounding. Where the file
    ends before offset + duration the result is shorter.

    Raises AudioError in one sentence when the file is missing, empty, truncated, not audio, without samples, with
    samples that are not finite, or ends before `offset`.
    """
    path = Path(path)
    if not (math.isfinite(offset) and offset >= 0):
        raise AudioError(f"{path}: offset must be 0 or more seconds, not {offset}.")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise AudioError(f"{path}: duration must be above 0 seconds, not {duration}.")
    _check_file(path)
    try:
        part = _read_soundfile(path, offset, duration)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        part = _read_torchcodec(path, offset, duration, error)
    if not np.isfinite(part.samples).all():
        raise AudioError(f"{path}: has samples that are not finite numbers (NaN or infinity).")
    samples = part.samples
    if part.rate != sample_rate:
        samples = soxr.resample(samples, part.rate, sample_rate, quality="HQ")
    start = round(offset * sample_rate) - round(part.start / part.rate * sample_rate)
    end = len(samples) if duration is None else min(len(samples), start + round(duration * sample_rate))
    if duration is not None and part.ends_here:
        whole = round((part.start + len(part.samples)) / part.rate * sample_rate) - round(offset * sample_rate)
        end = min(end, start + whole)
    return np.ascontiguousarray(samples[start:end], dtype=np.float32)


def write_audio(path: str | os.PathLike[str], samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> None:
    """Write mono samples (N,) in [-1, 1] as 16-bit .wav or .flac, by the suffix; the file appears whole or not at all.

    Raises AudioError for another suffix, another shape or samples that are not finite. Louder samples are clipped.
    """
    path = Path(path)
    if path.suffix.lower() not in _SUBTYPES:
        raise AudioError(
            f"{path}: can be written as {' or '.join(_SUBTYPES)}, not as {path.suffix or 'a name without suffix'}."
        )
    if samples.ndim != 1 or not np.isfinite(samples).all():
        raise AudioError(f"{path}: expected finite samples of one channel, found shape {samples.shape}.")
    kind, subtype = _SUBTYPES[path.suffix.lower()]
    with atomic_file(path, "wb") as handle:
        soundfile.write(cast("BinaryIO", handle), np.clip(samples, -1, 1), sample_rate, format=kind, subtype=subtype)


@dataclass(frozen=True)
class _Part:
    """Mono samples at the file's own rate, from frame `start` on; `ends_here`: the file has no more."""

    samples: np.ndarray
    rate: int
    start: int
    ends_here: bool


def _check_file(path: Path) -> None:
    if not path.exists():
        raise AudioError(f"{path}: there is no such audio file.")
    if path.is_dir():
        raise AudioError(f"{path}: is a folder, not an audio file.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: the audio file is empty (0 bytes).")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{path}: may not be read (permission denied).")


def _read_soundfile(path: Path, offset: float, duration: float | None) -> _Part:
    with soundfile.SoundFile(str(path)) as file:
        rate, frames = file.samplerate, file.frames
        if frames == 0:
            raise AudioError(f"{path}: the audio file has no samples.")
        if offset * rate >= frames:
            raise AudioError(f"{path}: lasts {frames / rate:.3f} s, but the part to read begins at {offset:.3f} s.")
        margin = round(_MARGIN_SECONDS * rate)
        start = max(0, round(offset * rate) - margin) if offset else 0
        stop = frames if duration is None else min(frames, math.ceil((offset + duration) * rate) + margin)
        try:
            if start:
                file.seek(start)
            samples = file.read(stop - start, dtype="float32", always_2d=True).mean(axis=1, dtype=np.float32)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: is damaged and cannot be decoded ({_reason(error)}).") from error
    if len(samples) < stop - start or (stop == frames and _is_cut(path)):
        heard = (start + len(samples)) / rate
        raise AudioError(f"{path}: is truncated; it breaks off after {heard:.3f} s.")
    return _Part(samples, rate, start, stop == frames)


def _is_cut(path: Path) -> bool:
    """Whether a RIFF file is shorter than its header says, or an Ogg file lacks its last page; libsndfile is silent."""
    with open(path, "rb") as handle:
        head = handle.read(8)
        if head[:4] == b"RIFF":
            promised = int.from_bytes(head[4:8], "little")
            streamed = promised in (0, 0xFFFFFFFF)  # a header written before the length was known
            return not streamed and promised + 8 > path.stat().st_size + 1
        if head[:4] == b"OggS":
            handle.seek(max(0, path.stat().st_size - 65_307))  # the longest page
            tail = handle.read()
            page = tail.rfind(b"OggS")
            return page < 0 or len(tail) < page + 6 or not tail[page + 5] & 4  # the flag "end of stream"
    return False


def _torchcodec(path: Path, cause: Exception) -> Any:
    """torchcodec's decoder of a file libsndfile cannot open; AudioError where there is none or it cannot either."""
    try:
        from torchcodec.decoders import AudioDecoder
    except (ImportError, OSError, RuntimeError) as error:
        raise AudioError(
            f"{path}: is not audio that libsndfile reads ({_reason(cause)}); for m4a, aac or video install"
            " duolect[codecs] and FFmpeg."
        ) from error
    try:
        return AudioDecoder(str(path), num_channels=None)
    except (RuntimeError, ValueError) as error:
        raise AudioError(f"{path}: is not an audio file ({_reason(cause)}).") from error


def _read_torchcodec(path: Path, offset: float, duration: float | None, cause: Exception) -> _Part:
    decoder = _torchcodec(path, cause)
    begin = max(0.0, offset - _MARGIN_SECONDS)
    end = None if duration is None else offset + duration + _MARGIN_SECONDS
    try:
        heard = decoder.get_samples_played_in_range(begin, end)
    except (RuntimeError, ValueError, IndexError) as error:
        raise AudioError(f"{path}: cannot be decoded from {offset:.3f} s on ({_reason(error)}).") from error
    samples = heard.data.mean(dim=0).float().numpy()
    if len(samples) == 0:
        raise AudioError(f"{path}: the audio file has no samples from {offset:.3f} s on.")
    start = round(heard.pts_seconds * heard.sample_rate)
    if start + len(samples) <= round(offset * heard.sample_rate):
        raise AudioError(f"{path}: ends before {offset:.3f} s, where the part to read begins.")
    total = decoder.metadata.duration_seconds
    reaches = end is None or (total is not None and end >= total)
    return _Part(samples, heard.sample_rate, start, reaches)


def _reason(error: Exception) -> str:
    text = str(getattr(error, "error_string", "") or error)
    return " ".join(text.split()).rstrip(".")[:160]
