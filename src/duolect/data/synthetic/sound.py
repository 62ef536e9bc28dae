"""From a sentence to a recording: a voice, a room, noise or other people talking, a telephone line, a level.

Everything random about a recording is drawn beforehand into its `Scene`, or follows from the scene's seed; the samples
do not depend on which process makes them or on what it made before.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Literal

import numpy as np

from duolect.audio import SAMPLE_RATE, Voice, speak
from duolect.data.augment import active_level, add_noise, reverberate
from duolect.data.synthetic.config import SoundConfig

Noise = Literal["white", "pink", "brown", "babble"]
_CEILING = 0.89  # peak (-1 dBFS) that no recording exceeds


@dataclasses.dataclass(frozen=True)
class Scene:
    """How one sentence is recorded. Times in seconds, levels in dB; `rt60` None is no room, `band` None the full band.

    `direct_db` is the direct sound over the reverberation; `level_db` the peak below full scale.
    """

    text: str
    voice: Voice
    seed: int
    noise: Noise
    snr_db: float
    rt60: float | None
    direct_db: float
    band: tuple[float, float] | None
    level_db: float
    pauses: tuple[float, float]


def draw_scene(text: str, voice: Voice, rng: random.Random, config: SoundConfig) -> Scene:
    """A random scene for a text and voice, within the bounds of `config`."""
    kinds, weights = ("white", "pink", "brown", "babble"), config.noise_weights
    place, index = rng.random() * sum(weights), 0
    while place >= weights[index]:
        place, index = place - weights[index], index + 1
    return Scene(
        text=text,
        voice=voice,
        seed=int(rng.random() * 2**48),
        noise=kinds[index],
        snr_db=round(rng.uniform(*config.snr_db), 1),
        rt60=round(rng.uniform(*config.rt60), 2) if rng.random() < config.room_share else None,
        direct_db=round(rng.uniform(*config.direct_db), 1),
        band=config.telephone_band if rng.random() < config.telephone_share else None,
        level_db=round(rng.uniform(*config.level_db), 1),
        pauses=(round(rng.uniform(*config.pause), 2), round(rng.uniform(*config.pause), 2)),
    )


def record(scene: Scene, babble: Sequence[np.ndarray]) -> np.ndarray:
    """The samples of a scene, int16 (N,) at 16 kHz; `babble` are the tracks of other people talking to choose from."""
    rng = np.random.default_rng(scene.seed)
    before, after = (round(pause * SAMPLE_RATE) for pause in scene.pauses)
    samples_N = np.pad(_trim(speak(scene.text, scene.voice)), (before, after))
    if scene.rt60 is not None:
        samples_N = reverberate(samples_N, rt60=scene.rt60, direct_db=scene.direct_db, rng=rng)
    if scene.noise == "babble":
        samples_N = _among_talkers(samples_N, scene.snr_db, babble[int(rng.integers(len(babble)))], rng)
    else:
        samples_N = add_noise(samples_N, snr_db=scene.snr_db, colour=scene.noise, rng=rng)
    if scene.band is not None:
        samples_N = _band_pass(samples_N, *scene.band)
    peak = max(float(np.abs(samples_N).max()), 1e-9)
    level = min(10 ** (-scene.level_db / 20), _CEILING)
    return np.rint(samples_N * (32767 * level / peak)).astype(np.int16)


def babble_track(texts: Sequence[str], voices: Sequence[Voice], seconds: float) -> np.ndarray:
    """Several people talking at once, float32 (seconds * 16000,); each of `voices` says its share of `texts`."""
    count = round(seconds * SAMPLE_RATE)
    mix = np.zeros(count)
    for place, voice in enumerate(voices):
        talk = np.zeros(0, dtype=np.float32)
        for text in texts[place :: len(voices)]:
            talk = np.concatenate([talk, speak(text, voice)])
            if len(talk) >= count:
                break
        # A short text is said again: babble has no gaps.
        mix += np.resize(talk, count) / np.sqrt(max(active_level(talk), 1e-12))
    return mix.astype(np.float32)


def _trim(samples_N: np.ndarray) -> np.ndarray:
    # espeak-ng ends with up to 0.3 s of silence; how much room there is around the speech is the scene's to say.
    loud = np.flatnonzero(np.abs(samples_N) > 1e-3)
    return samples_N[loud[0] : loud[-1] + 1] if len(loud) else samples_N


def _among_talkers(samples_N: np.ndarray, snr_db: float, track: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    start = int(rng.integers(len(track)))
    noise = np.resize(np.roll(track, -start), len(samples_N)).astype(np.float64)
    power = max(float(np.mean(np.square(noise))), 1e-12)
    scale = np.sqrt(active_level(samples_N) * 10 ** (-snr_db / 10) / power)
    return (samples_N + scale * noise).astype(np.float32)


def _band_pass(samples_N: np.ndarray, low: float, high: float) -> np.ndarray:
    # Half a cosine of 100 Hz at either edge, so that the filter does not ring.
    spectrum = np.fft.rfft(samples_N)
    frequency = np.fft.rfftfreq(len(samples_N), 1 / SAMPLE_RATE)
    gain = np.clip((frequency - low) / 100, 0, 1) * np.clip((high - frequency) / 100, 0, 1)
    return np.fft.irfft(spectrum * np.sin(gain * np.pi / 2) ** 2, len(samples_N)).astype(np.float32)
