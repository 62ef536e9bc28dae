"""Augmentation: SpecAugment on features; speed, noise and rooms on the wave. Each utterance draws from its own seed.

Tensor names: B utterances, T frames, F feature bins, M masks; N samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from duolect.audio.files import SAMPLE_RATE
from duolect.errors import ConfigError

Colour = Literal["white", "pink", "brown"]
# Amplitude falls with frequency as f ** -exponent.
_COLOURS: dict[str, float] = {"white": 0.0, "pink": 0.5, "brown": 1.0}


@dataclass(frozen=True, kw_only=True)
class SpecAugmentConfig:
    """SpecAugment with the schedule of "LLMs and Speech: Integration vs. Combination" (RETURNN's `specaugment`).

    `steps` are the training steps at which the switches s0, s1, s2 go from 0 to 1; `scale` multiplies all three, so
    that a short training sees all of it. An utterance of T frames gets from s1+s2 to max(T // time_density, 2) *
    (s0+s1+2*s2) time masks of 1 to `time_width` frames, and from s1+s2 to 2*s0+s1+2*s2 frequency masks of 1 to
    F * `frequency_fraction` bins. Nothing is masked before steps[0]; with steps[0] = 0 this is the original schedule.
    """

    kind: Literal["scheduled"] = "scheduled"
    steps: tuple[int, int, int] = (5000, 15000, 25000)
    scale: float = 1.0
    time_density: int = 100
    time_width: int = 20
    frequency_fraction: float = 0.2

    def __post_init__(self) -> None:
        if len(self.steps) != 3 or list(self.steps) != sorted(self.steps) or self.steps[0] < 0:
            raise ConfigError(f"spec_augment: steps must be three ascending step numbers, not {self.steps}.")
        if self.scale < 0:
            raise ConfigError(f"spec_augment: scale must not be negative, not {self.scale}.")
        if self.time_density < 1 or self.time_width < 1:
            raise ConfigError("spec_augment: time_density and time_width must be at least 1.")
        if not 0 < self.frequency_fraction <= 1:
            raise ConfigError(f"spec_augment: frequency_fraction must be in (0, 1], not {self.frequency_fraction}.")

    def spans(self, generator: torch.Generator, frames: int, bins: int, step: int) -> tuple[Tensor, Tensor] | None:
        """Starts and ends (2, M) of the masks of an utterance of `frames` over time and over `bins`; None while off."""
        s0, s1, s2 = (int(step >= self.scale * start) for start in self.steps)
        if not s0:
            return None
        most = max(frames // self.time_density, 2) * (s0 + s1 + 2 * s2)
        time = _spans(generator, frames, s1 + s2, most, self.time_width)
        widest = max(1, int(bins * self.frequency_fraction))
        return time, _spans(generator, bins, s1 + s2, 2 * s0 + s1 + 2 * s2, widest)


@dataclass(frozen=True, kw_only=True)
class SpecAugmentPolicyConfig:
    """SpecAugment as Park et al. (arXiv 1904.08779) have it: the same number of masks for every utterance and step.

    `frequency_masks` masks of 0 to `frequency_width` bins and `time_masks` masks of 0 to `time_width` frames, but of at
    most `time_fraction` of the utterance, each drawn evenly and lying anywhere. The defaults are those of arXiv
    2501.02370 (and of its authors' Conformer): one mask of 27 bins, one of 100 frames.
    """

    kind: Literal["policy"] = "policy"
    frequency_masks: int = 1
    frequency_width: int = 27
    time_masks: int = 1
    time_width: int = 100
    time_fraction: float = 1.0

    def __post_init__(self) -> None:
        for name in ("frequency_masks", "frequency_width", "time_masks", "time_width"):
            if getattr(self, name) < 0:
                raise ConfigError(f"spec_augment: {name} must be 0 or more, not {getattr(self, name)}.")
        if not 0 < self.time_fraction <= 1:
            raise ConfigError(f"spec_augment: time_fraction must be in (0, 1], not {self.time_fraction}.")

    def spans(self, generator: torch.Generator, frames: int, bins: int, step: int) -> tuple[Tensor, Tensor]:
        """See `SpecAugmentConfig.spans`."""
        longest = min(self.time_width, int(frames * self.time_fraction))
        time = _placed(generator, frames, self.time_masks, longest)
        return time, _placed(generator, bins, self.frequency_masks, min(self.frequency_width, bins))


AnySpecAugmentConfig = SpecAugmentConfig | SpecAugmentPolicyConfig
"""Every kind of SpecAugment, told apart by `kind`."""


def spec_augment(
    features_BTF: Tensor, lengths_B: Tensor, seeds_B: Tensor, step: int, config: AnySpecAugmentConfig
) -> Tensor:
    """Features with random spans of frames and of bins set to 0 (their mean, once normalised); for training only.

    Arguments and masks are those of `spec_augment_masks`.
    """
    return hide(features_BTF, spec_augment_masks(lengths_B, *features_BTF.shape[1:], seeds_B, step, config))


def hide(features_BTF: Tensor, masks: tuple[Tensor, Tensor] | None) -> Tensor:
    """Features set to 0 where one of the masks time_BT and frequency_BF is true."""
    if masks is None:
        return features_BTF
    time_BT, frequency_BF = masks
    return features_BTF.masked_fill(time_BT[:, :, None] | frequency_BF[:, None, :], 0.0)


def spec_augment_masks(
    lengths_B: Tensor, frames: int, bins: int, seeds_B: Tensor, step: int, config: AnySpecAugmentConfig
) -> tuple[Tensor, Tensor] | None:
    """Masks time_BT and frequency_BF, true where SpecAugment hides; None while it is off.

    `lengths_B` are valid frames, `seeds_B` int64 seeds, `step` the optimiser step. All numbers are drawn on the CPU,
    for each utterance from its seed and its own length alone: the masks do not depend on the batch, its padding or the
    device. Source: Park et al., arXiv 1904.08779; how many and how wide, say the configs.
    """
    time, frequency = [], []
    for length, seed in zip(lengths_B.tolist(), seeds_B.tolist(), strict=True):
        spans = config.spans(torch.Generator().manual_seed(seed), length, bins, step)
        if spans is None:
            return None
        time.append(spans[0])
        frequency.append(spans[1])
    if not time:
        return None
    return _mask(time, frames).to(lengths_B.device), _mask(frequency, bins).to(lengths_B.device)


def _spans(generator: torch.Generator, size: int, least: int, most: int, widest: int) -> Tensor:
    """Starts and ends (2, M) of `least` to `most` spans in [0, size), with different starts; ends at most `size`."""
    least, most = min(least, size), min(most, size)
    count = int(torch.randint(least, most + 1, (), generator=generator))
    starts_M = torch.randperm(size, generator=generator)[:count]
    widths_M = torch.randint(1, widest + 1, (count,), generator=generator)
    return torch.stack((starts_M, (starts_M + widths_M).clamp_(max=size)))


def _placed(generator: torch.Generator, size: int, count: int, widest: int) -> Tensor:
    """Starts and ends (2, M) of `count` spans of 0 to `widest` places, wholly in [0, size)."""
    widths_M = torch.randint(0, widest + 1, (count,), generator=generator)
    starts_M = (torch.rand(count, generator=generator) * (size - widths_M + 1)).long().clamp_(max=size - widths_M)
    return torch.stack((starts_M, starts_M + widths_M))


def _mask(spans: list[Tensor], size: int) -> Tensor:
    """Boolean (B, size), true inside the spans of each row: +1 at starts, -1 at ends, summed up."""
    rows_M = torch.repeat_interleave(torch.arange(len(spans)), torch.tensor([s.shape[1] for s in spans]))
    starts_M, ends_M = torch.cat(spans, dim=1)
    change = torch.zeros(len(spans), size + 1, dtype=torch.int32)
    one_M = torch.ones_like(rows_M, dtype=torch.int32)
    change.index_put_((rows_M, starts_M), one_M, accumulate=True)
    change.index_put_((rows_M, ends_M), -one_M, accumulate=True)
    return change.cumsum(dim=1)[:, :size] > 0


@dataclass(frozen=True, kw_only=True)
class WaveAugmentConfig:
    """What `augment_wave` does to a recording, each with its own probability; the defaults do nothing.

    `speed`: factors of which one is drawn (1.1 = shorter and higher; the paper has 0.7 to 1.1 in steps of 0.1);
    `room_rt60`: range of reverberation times in seconds, `room_direct_db`: range of direct-to-reverberant ratios in dB;
    `noise_snr`: range of signal-to-noise ratios in dB, `noise_colours`: the spectra of which one is drawn.
    """

    speed: tuple[float, ...] = ()
    room_probability: float = 0.0
    room_rt60: tuple[float, float] = (0.1, 0.6)
    room_direct_db: tuple[float, float] = (0.0, 12.0)
    noise_probability: float = 1.0
    noise_snr: tuple[float, float] | None = None
    noise_colours: tuple[Colour, ...] = ("white", "pink", "brown")

    def __post_init__(self) -> None:
        if any(not 0.25 <= factor <= 4 for factor in self.speed):
            raise ConfigError(f"wave_augment: speed factors must be between 0.25 and 4, not {self.speed}.")
        for name in ("room_probability", "noise_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"wave_augment: {name} must be between 0 and 1, not {getattr(self, name)}.")
        for name in ("room_rt60", "room_direct_db", "noise_snr"):
            span = getattr(self, name)
            if span is not None and (len(span) != 2 or span[0] > span[1]):
                raise ConfigError(f"wave_augment: {name} must be a range (low, high), not {span}.")
        if self.room_rt60[0] <= 0:
            raise ConfigError(f"wave_augment: room_rt60 must be positive seconds, not {self.room_rt60}.")
        if not self.noise_colours or any(colour not in _COLOURS for colour in self.noise_colours):
            raise ConfigError(f"wave_augment: noise_colours must be some of {', '.join(_COLOURS)}.")


def augment_wave(samples_N: np.ndarray, seed: int, config: WaveAugmentConfig) -> np.ndarray:
    """Speed, room, noise, in this order, for float32 samples at 16 kHz; the same seed gives the same samples.

    The result is scaled down where it would leave [-1, 1] though the input did not; its length is N / speed.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    peak = max(1.0, float(np.abs(samples_N).max(initial=0.0)))
    if config.speed:
        samples_N = change_speed(samples_N, config.speed[rng.integers(len(config.speed))])
    if rng.random() < config.room_probability:
        rt60, direct_db = rng.uniform(*config.room_rt60), rng.uniform(*config.room_direct_db)
        samples_N = reverberate(samples_N, rt60=rt60, direct_db=direct_db, rng=rng)
    if config.noise_snr is not None and rng.random() < config.noise_probability:
        colour = config.noise_colours[rng.integers(len(config.noise_colours))]
        samples_N = add_noise(samples_N, snr_db=rng.uniform(*config.noise_snr), colour=colour, rng=rng)
    loudest = float(np.abs(samples_N).max(initial=0.0))
    return samples_N * np.float32(peak / loudest) if loudest > peak else samples_N


def change_speed(samples_N: np.ndarray, factor: float) -> np.ndarray:
    """Samples played `factor` times as fast (tempo and pitch together), by resampling: about N / factor of them."""
    if factor == 1.0:
        return samples_N
    import soxr

    return soxr.resample(samples_N, SAMPLE_RATE * factor, SAMPLE_RATE, quality="HQ").astype(np.float32, copy=False)


def active_level(samples_N: np.ndarray, sample_rate: int = SAMPLE_RATE) -> float:
    """Mean power where there is speech: of the 20 ms frames at most 30 dB below the loudest; 0 for silence."""
    frame = max(1, sample_rate // 50)
    padded = np.pad(samples_N.astype(np.float64), (0, -len(samples_N) % frame))
    power = np.square(padded).reshape(-1, frame).mean(axis=1)
    loudest = power.max(initial=0.0)
    return float(power[power >= loudest * 1e-3].mean()) if loudest > 0 else 0.0


def coloured_noise(count: int, colour: Colour, rng: np.random.Generator, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Noise of power 1, float64 (count,): flat in its spectrum, or falling by 3 (pink) or 6 dB (brown) an octave.

    Below 20 Hz every spectrum is flat, so that the power lies where it can be heard.
    """
    if not count:
        return np.zeros(0)
    size = _fast_size(count)
    noise = rng.standard_normal(size)
    if exponent := _COLOURS[colour]:
        frequency = np.maximum(np.fft.rfftfreq(size, 1 / sample_rate), 20.0)
        noise = np.fft.irfft(np.fft.rfft(noise) * frequency**-exponent, size)
    noise = noise[:count]
    return noise / max(np.sqrt(np.mean(np.square(noise))), 1e-12)


def add_noise(
    samples_N: np.ndarray,
    *,
    snr_db: float,
    rng: np.random.Generator,
    colour: Colour = "pink",
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Samples with noise `snr_db` dB below the level of the active speech; silence stays as it is. float32 (N,)."""
    noise = coloured_noise(len(samples_N), colour, rng, sample_rate)
    scale = np.sqrt(active_level(samples_N, sample_rate) * 10 ** (-snr_db / 10))
    return (samples_N + scale * noise).astype(np.float32)


def room_response(
    rt60: float, direct_db: float, rng: np.random.Generator, sample_rate: int = SAMPLE_RATE, reflections: int = 8
) -> np.ndarray:
    """Impulse response of a simple room, of energy 1: the direct sound at delay 0, early reflections, a decaying tail.

    `rt60` (s) is the time in which the tail falls by 60 dB; `direct_db` the energy of the direct sound over all else.
    Early reflections arrive within 2 to 50 ms, the diffuse tail from 5 ms on. float64 (rt60 * sample_rate,).
    """
    count = max(int(rt60 * sample_rate), int(0.06 * sample_rate))
    times = np.arange(count) / sample_rate
    decay = 10 ** (-3 * times / rt60)
    rest = rng.standard_normal(count) * decay * np.clip((times - 0.005) / 0.02, 0, 1)
    rest /= max(np.sqrt(np.sum(np.square(rest))), 1e-12)
    places = (rng.uniform(0.002, 0.05, reflections) * sample_rate).astype(int)
    early = np.zeros(count)
    np.add.at(early, places, rng.choice((-1.0, 1.0), reflections) * rng.uniform(0.3, 1.0, reflections) * decay[places])
    early /= max(np.sqrt(np.sum(np.square(early))), 1e-12)
    rest += early
    rest *= np.sqrt(10 ** (-direct_db / 10) / max(np.sum(np.square(rest)), 1e-12))
    rest[0] = 1.0
    return rest / np.sqrt(np.sum(np.square(rest)))


def reverberate(
    samples_N: np.ndarray,
    *,
    rt60: float,
    rng: np.random.Generator,
    direct_db: float = 6.0,
    sample_rate: int = SAMPLE_RATE,
) -> np.ndarray:
    """Samples heard in a simple room (see `room_response`): as many, not delayed, equally loud. float32 (N,)."""
    if not len(samples_N):
        return samples_N
    response = room_response(rt60, direct_db, rng, sample_rate)
    size = _fast_size(len(samples_N) + len(response) - 1)
    wet = np.fft.irfft(np.fft.rfft(samples_N, size) * np.fft.rfft(response, size), size)[: len(samples_N)]
    before, after = active_level(samples_N, sample_rate), active_level(wet, sample_rate)
    return (wet * np.sqrt(before / after) if after > 0 else wet).astype(np.float32)


def _fast_size(size: int) -> int:
    """The smallest 2^a, 3*2^a or 5*2^a that is at least `size`: lengths at which an FFT is fast."""
    return min(factor << max(0, (-(-size // factor) - 1).bit_length()) for factor in (1, 3, 5))
