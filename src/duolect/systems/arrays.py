"""Samples that a program hands over: arrays, tensors, what data sets of Hugging Face hold; to float32 at 16 kHz.

N samples
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from duolect.audio import SAMPLE_RATE
from duolect.errors import AudioError

Audio = str | Path | np.ndarray | Tensor | Mapping[str, Any]
"""A sound file; samples at 16 kHz; samples of any rate, {"array": samples, "sampling_rate": 44100}; or a decoder of
torchcodec."""

_DECODE = "get_all_samples"
"""What torchcodec's decoders have, and the columns of sound in data sets of Hugging Face."""
_LOUDEST = 32.0
"""Floating-point samples beyond are no sound in [-1, 1], not even one that clips."""


def recordings(audio: Any) -> list[Audio]:
    """The recordings that are given, be it a single one, or what seems to be meant as one."""
    single = isinstance(audio, str | Path | np.ndarray | Tensor | Mapping | bytes | bytearray)
    single = single or any(hasattr(audio, name) for name in ("read", _DECODE))
    return [audio] if single else list(audio)


def as_samples(audio: object, name: str) -> np.ndarray:
    """Samples, float32 (N,), at 16 kHz: of an array or tensor, a mapping {"array", "sampling_rate"}, or a decoder of
    torchcodec.

    Integers are divided by their full scale (int16: 32768; unsigned ones around their middle). Floating-point samples
    lie in [-1, 1]; louder ones are taken up to 32, since some formats clip late. Raises AudioError, which calls it
    `name`, for anything else.
    """
    rate: object = SAMPLE_RATE
    if hasattr(audio, _DECODE):
        audio, rate = _decoded(audio, name)
    elif isinstance(audio, Mapping):
        if not {"array", "sampling_rate"} <= audio.keys():
            raise AudioError(
                f'{name}: expected {{"array": samples, "sampling_rate": 16000}}, found a mapping of '
                f"{', '.join(map(repr, audio)) or 'nothing'}."
            )
        audio, rate = audio["array"], audio["sampling_rate"]
    samples = _scaled(_array(audio, name), name)
    if rate == SAMPLE_RATE:
        return samples
    if not isinstance(rate, int | float | np.number) or not (math.isfinite(rate) and rate > 0):
        raise AudioError(f"{name}: sampling_rate must be above 0 Hz, not {rate!r}.")
    import soxr

    return np.require(soxr.resample(samples, float(rate), SAMPLE_RATE, quality="HQ"), np.float32, ["C", "W"])


def _decoded(decoder: Any, name: str) -> tuple[Tensor, int]:
    """The mean of the channels, and the rate."""
    try:
        found = decoder.get_all_samples()
    except (RuntimeError, ValueError, OSError) as error:
        raise AudioError(
            f"{name}: cannot be decoded ({' '.join(str(error).split()) or type(error).__name__})."
        ) from error
    return found.data.mean(0), int(found.sample_rate)


def _array(audio: object, name: str) -> np.ndarray:
    expected = "expected one channel of samples at 16 kHz"
    if isinstance(audio, Tensor):
        audio = audio.detach().cpu()
        audio = (audio.float() if audio.is_floating_point() else audio.resolve_conj().resolve_neg()).numpy()
    if not isinstance(audio, np.ndarray | list | tuple):
        raise AudioError(f"{name}: {expected} or a file's name, found {type(audio).__name__}.")
    try:
        samples = np.asarray(audio)
    except ValueError as error:  # parts of different lengths
        raise AudioError(
            f'{name}: {expected}, found parts of different lengths; samples of another rate are {{"array": samples, '
            '"sampling_rate": 44100}.'
        ) from error
    if samples.ndim != 1:
        raise AudioError(f"{name}: {expected}, found an array of shape {samples.shape}.")
    if samples.dtype.kind not in "iuf" and len(samples):
        raise AudioError(f"{name}: {expected}, as integers or floating-point numbers, found {samples.dtype}.")
    return samples


def _scaled(samples: np.ndarray, name: str) -> np.ndarray:
    if samples.dtype.kind in "iu":
        if samples.dtype.itemsize == 8:
            raise AudioError(
                f"{name}: has samples of {samples.dtype}, of which nobody knows the full scale; expected uint8, int16 "
                "or int32, or floating-point numbers in [-1, 1]."
            )
        full = 1 << (8 * samples.dtype.itemsize - 1)
        samples = (samples.astype(np.float64) - (full if samples.dtype.kind == "u" else 0)) / full
    elif len(samples):
        if not np.isfinite(samples).all():
            raise AudioError(f"{name}: has samples that are not finite numbers.")
        if (loudest := float(np.abs(samples).max())) > _LOUDEST:
            raise AudioError(
                f"{name}: has samples of up to {loudest:g}; expected floating-point numbers in [-1, 1] (divide those "
                "of 16 bits by 32768), or integers."
            )
    # In memory of their own order that may be written to: torch takes no other.
    return np.require(samples, np.float32, ["C", "W"])
