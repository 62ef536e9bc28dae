"""Silence and noise: each function gives `count` samples, float64 (N,) at 16 kHz, drawn from a generator alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from duolect.audio.files import SAMPLE_RATE
from duolect.data.augment import coloured_noise

LEAST_STEP = 1 / 32768
"""The smallest step of 16-bit sound."""


def digital_silence(count: int, rng: np.random.Generator) -> np.ndarray:
    """Zeros, as between the tracks of a file."""
    return np.zeros(count)


def dither(count: int, rng: np.random.Generator) -> np.ndarray:
    """What a converter gives without a signal: triangular noise of one 16-bit step."""
    return (rng.random(count) - rng.random(count)) * LEAST_STEP


def room_tone(count: int, rng: np.random.Generator) -> np.ndarray:
    """A quiet room through a microphone: pink noise 65 dB below full scale."""
    return coloured_noise(count, "pink", rng) * 10 ** (-65 / 20)


def white(count: int, rng: np.random.Generator) -> np.ndarray:
    """White noise."""
    return coloured_noise(count, "white", rng)


def pink(count: int, rng: np.random.Generator) -> np.ndarray:
    """Noise that falls by 3 dB an octave."""
    return coloured_noise(count, "pink", rng)


def brown(count: int, rng: np.random.Generator) -> np.ndarray:
    """Noise that falls by 6 dB an octave."""
    return coloured_noise(count, "brown", rng)


def hum(count: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum of 50 or 60 Hz with its harmonics, over faint noise."""
    base = 50.0 if rng.random() < 0.5 else 60.0
    time = np.arange(count) / SAMPLE_RATE
    sound = np.zeros(count)
    for harmonic in range(1, 31):
        strength = rng.uniform(0.3, 1.0) / harmonic * (1.0 if harmonic % 2 else 0.5)
        sound += strength * np.sin(2 * np.pi * (base * harmonic * time + rng.random()))
    return sound + 0.01 * coloured_noise(count, "pink", rng)


def clicks(count: int, rng: np.random.Generator) -> np.ndarray:
    """Impulses at random times, 2 to 12 a second, each ringing for some milliseconds."""
    number = max(1, int(rng.poisson(rng.uniform(2, 12) * count / SAMPLE_RATE)))
    sound = 0.002 * rng.standard_normal(count)
    for _ in range(number):
        length = int(rng.uniform(0.002, 0.03) * SAMPLE_RATE)
        time = np.arange(length) / SAMPLE_RATE
        ring = np.sin(2 * np.pi * rng.uniform(400, 5000) * time) + 0.5 * rng.standard_normal(length)
        add_at(sound, int(rng.integers(count)), rng.uniform(0.2, 1) * ring * decay(length, length / SAMPLE_RATE / 4))
    return sound


def bursts(count: int, rng: np.random.Generator) -> np.ndarray:
    """Bursts of noise in random bands with pauses between them: door, paper, breath, traffic."""
    sound, place = 0.002 * coloured_noise(count, "pink", rng), 0
    while place < count:
        length = int(rng.uniform(0.08, 1.2) * SAMPLE_RATE)
        low = float(np.exp(rng.uniform(np.log(100), np.log(3000))))
        high = min(7900.0, low * rng.uniform(1.5, 6))
        burst = band_noise(length, low, high, rng) * np.hanning(length) ** rng.uniform(0.3, 2)
        add_at(sound, place, rng.uniform(0.2, 1) * burst)
        place += length + int(rng.uniform(0.05, 1.0) * SAMPLE_RATE)
    return sound


def shaped_noise(count: int, gain: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Noise of power 1 with the amplitude spectrum `gain` (of frequencies in Hz)."""
    spectrum = np.fft.rfft(rng.standard_normal(count)) * gain(np.fft.rfftfreq(count, 1 / SAMPLE_RATE))
    noise = np.fft.irfft(spectrum, count)
    return noise / max(float(np.sqrt(np.mean(np.square(noise)))), 1e-12)


def band_noise(count: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Noise of power 1 between `low` and `high` Hz, with soft edges of a fifth of an octave."""

    def gain(frequency: np.ndarray) -> np.ndarray:
        octaves = np.log2(np.maximum(frequency, 1.0))
        rise, fall = (octaves - np.log2(low)) / 0.2, (np.log2(high) - octaves) / 0.2
        return np.clip(1 + rise, 0, 1) * np.clip(1 + fall, 0, 1)

    return shaped_noise(count, gain, rng)


def slow_curve(count: int, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random curve in [0, 1] that takes a new value every `seconds`: gusts, swell, speed."""
    knots = max(2, int(np.ceil(count / SAMPLE_RATE / seconds)) + 2)
    place = np.arange(count) / SAMPLE_RATE / seconds
    whole = place.astype(int)
    share = (1 - np.cos(np.pi * (place - whole))) / 2
    values = rng.random(knots)
    return values[whole] * (1 - share) + values[whole + 1] * share


def decay(count: int, seconds: float) -> np.ndarray:
    """An exponential that falls to 1/e within `seconds`."""
    return np.exp(-np.arange(count) / SAMPLE_RATE / seconds)


def add_at(sound: np.ndarray, place: int, part: np.ndarray) -> None:
    """Add `part` to `sound` from sample `place` on; what goes beyond its end is cut off."""
    end = min(len(sound), place + len(part))
    if end > place:
        sound[place:end] += part[: end - place]
