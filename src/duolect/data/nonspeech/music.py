"""Music-like sound without a voice: chords, plucked strings, drums, and all of them together."""

from __future__ import annotations

import numpy as np

from duolect.audio.files import SAMPLE_RATE
from duolect.data.nonspeech.noise import add_at, band_noise, decay

_SCALE = (0, 2, 4, 5, 7, 9, 11)
# Degrees of the scale that the chords of a bar stand on.
_PROGRESSIONS = ((0, 4, 5, 3), (0, 5, 3, 4), (1, 4, 0, 0), (5, 3, 0, 4))


def chords(count: int, rng: np.random.Generator) -> np.ndarray:
    """Sustained triads, a bar each, of an organ or strings."""
    key, bar, progression = _style(rng)
    partials = rng.uniform(0.2, 1, 6) / np.arange(1, 7)
    sound = np.zeros(count)
    for number, place in enumerate(range(0, count, bar)):
        envelope = np.minimum(1, np.minimum(np.arange(bar), np.arange(bar)[::-1]) / (0.05 * SAMPLE_RATE))
        for note in _triad(progression[number % 4]):
            add_at(sound, place, envelope * _tone(_hertz(key + note), bar, partials, rng))
    return sound


def plucked(count: int, rng: np.random.Generator) -> np.ndarray:
    """Broken chords of a plucked string."""
    key, bar, progression = _style(rng)
    step, order = bar // 8, rng.permutation(8) % 4
    partials = 1 / np.arange(1, 9) ** rng.uniform(0.7, 1.5)
    sound = np.zeros(count)
    for number, place in enumerate(range(0, count, step)):
        triad = _triad(progression[number // 8 % 4])
        notes = (*triad, triad[0] + 12)
        length = min(3 * step, SAMPLE_RATE)
        tone = _tone(_hertz(key + 12 + notes[order[number % 8]]), length, partials, rng)
        add_at(sound, place, rng.uniform(0.6, 1) * tone * decay(length, length / SAMPLE_RATE / 4))
    return sound


def drums(count: int, rng: np.random.Generator) -> np.ndarray:
    """A drum kit: bass drum, snare and hi-hat in a pattern of sixteen steps."""
    _, bar, _ = _style(rng)
    step = bar // 16
    kicks = {0, 8, int(rng.integers(16)), int(rng.integers(16))}
    snares = {4, 12} | ({int(rng.integers(16))} if rng.random() < 0.5 else set())
    every = int(rng.choice((1, 2, 4)))
    sound = np.zeros(count)
    for number, place in enumerate(range(0, count, step)):
        beat = number % 16
        if beat in kicks:
            length = int(0.25 * SAMPLE_RATE)
            sweep = 45 + 90 * decay(length, 0.03)
            add_at(sound, place, np.sin(2 * np.pi * np.cumsum(sweep) / SAMPLE_RATE) * decay(length, 0.08))
        if beat in snares:
            length = int(0.2 * SAMPLE_RATE)
            add_at(sound, place, 0.4 * band_noise(length, 300, 6000, rng) * decay(length, 0.05))
        if beat % every == 0:
            length = int(0.06 * SAMPLE_RATE)
            add_at(sound, place, 0.15 * band_noise(length, 5000, 7900, rng) * decay(length, 0.015))
    return sound


def band(count: int, rng: np.random.Generator) -> np.ndarray:
    """Chords, broken chords and drums together, each in a style of its own."""
    parts = [chords(count, rng), plucked(count, rng), drums(count, rng)]
    return sum((part / max(float(np.sqrt(np.mean(np.square(part)))), 1e-12) for part in parts), np.zeros(count))


def _style(rng: np.random.Generator) -> tuple[float, int, tuple[int, ...]]:
    """Key (MIDI number), samples in a bar of four beats, and chords."""
    beats_per_minute = rng.uniform(70, 150)
    bar = int(4 * 60 / beats_per_minute * SAMPLE_RATE)
    return float(rng.integers(48, 60)), bar, _PROGRESSIONS[int(rng.integers(len(_PROGRESSIONS)))]


def _triad(degree: int) -> tuple[int, ...]:
    return tuple(_SCALE[(degree + third) % 7] + 12 * ((degree + third) // 7) for third in (0, 2, 4))


def _hertz(note: float) -> float:
    return 440.0 * 2 ** ((note - 69) / 12)


def _tone(hertz: float, count: int, partials: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(count) / SAMPLE_RATE
    tone = np.zeros(count)
    for place, strength in enumerate(partials, start=1):
        if hertz * place < SAMPLE_RATE / 2:
            tone += strength * np.sin(2 * np.pi * (hertz * place * time + rng.random()))
    return tone
