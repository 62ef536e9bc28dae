"""Like the sounds of surroundings, from filtered noise and tones: wind, rain, surf, an engine, a telephone, birds."""

from __future__ import annotations

import numpy as np

from duolect.audio.files import SAMPLE_RATE
from duolect.data.nonspeech.noise import add_at, band_noise, decay, shaped_noise, slow_curve


def wind(count: int, rng: np.random.Generator) -> np.ndarray:
    """Low noise that comes in gusts, with a whistle in the strongest."""
    gusts = slow_curve(count, rng.uniform(0.7, 2.5), rng) ** 2
    low = shaped_noise(count, lambda hertz: 1 / (1 + (hertz / 200) ** 2), rng)
    middle = rng.uniform(500, 1200)
    return (0.1 + gusts) * low + 0.15 * gusts**2 * band_noise(count, middle, 1.2 * middle, rng)


def rain(count: int, rng: np.random.Generator) -> np.ndarray:
    """A hiss with drops on a surface, some hundred a second."""
    sound = 0.3 * band_noise(count, 1000, 7500, rng)
    drops = max(1, int(rng.uniform(50, 300) * count / SAMPLE_RATE))
    for place, hertz, strength in zip(
        rng.integers(0, count, drops), rng.uniform(800, 6000, drops), rng.exponential(0.5, drops), strict=True
    ):
        length = 160
        ring = np.sin(2 * np.pi * hertz * np.arange(length) / SAMPLE_RATE)
        add_at(sound, int(place), strength * ring * decay(length, 0.002))
    return sound


def waves(count: int, rng: np.random.Generator) -> np.ndarray:
    """Surf: broad noise that swells every few seconds and grows brighter as it does."""
    swell = slow_curve(count, rng.uniform(1.5, 4), rng) ** 2
    dark = shaped_noise(count, lambda hertz: 1 / (1 + hertz / 300), rng)
    return (0.1 + swell) * dark + 0.4 * swell**2 * band_noise(count, 1500, 7000, rng)


def engine(count: int, rng: np.random.Generator) -> np.ndarray:
    """A motor of changing speed: harmonics of its firing rate, and noise in their rhythm."""
    rate = rng.uniform(20, 60) * (0.7 + 0.6 * slow_curve(count, rng.uniform(1, 4), rng))
    phase = 2 * np.pi * np.cumsum(rate) / SAMPLE_RATE
    sound = np.zeros(count)
    for harmonic in range(1, 25):
        sound += rng.uniform(0.3, 1) / harmonic**0.8 * np.sin(harmonic * phase + 2 * np.pi * rng.random())
    return sound + 0.3 * (1 + np.cos(phase)) * band_noise(count, 200, 3000, rng)


def telephone(count: int, rng: np.random.Generator) -> np.ndarray:
    """A ringing telephone: two tones, on and off."""
    low, high = ((400.0, 450.0), (440.0, 480.0), (425.0, 425.0))[int(rng.integers(3))]
    time = np.arange(count) / SAMPLE_RATE
    on, period = rng.uniform(0.4, 1.5), rng.uniform(2, 3.5)
    tone = np.sin(2 * np.pi * low * time) + np.sin(2 * np.pi * high * time)
    ringing = (time + rng.uniform(0, 0.3)) % period < on
    return tone * ringing * (1 + 0.8 * np.sin(2 * np.pi * 20 * time)) + 0.003 * rng.standard_normal(count)


def birds(count: int, rng: np.random.Generator) -> np.ndarray:
    """Chirps: short tones whose pitch sweeps, in groups, over faint wind."""
    sound, place = 0.01 * shaped_noise(count, lambda hertz: 1 / (1 + hertz / 300), rng), 0
    while place < count:
        start, end = rng.uniform(2000, 6000, 2)
        length = int(rng.uniform(0.04, 0.2) * SAMPLE_RATE)
        strength = rng.uniform(0.2, 1)
        chirp = np.sin(2 * np.pi * np.cumsum(np.linspace(start, end, length)) / SAMPLE_RATE) * np.hanning(length)
        for _ in range(int(rng.integers(1, 7))):
            add_at(sound, place, strength * chirp)
            place += int(length * rng.uniform(1.1, 1.6))
        place += int(rng.uniform(0.1, 1.5) * SAMPLE_RATE)
    return sound
