"""All sounds without speech that are made here, by name, and one of them as samples at a level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from duolect.audio.files import SAMPLE_RATE
from duolect.data.nonspeech import babble, environment, music, noise
from duolect.data.stream import stable_seed
from duolect.errors import ConfigError

PEAK = 0.89
"""-1 dBFS, which no sound exceeds."""
_LEVELS = (-40.0, -18.0)


@dataclass(frozen=True)
class Sound:
    """How one is made, what it belongs to, and whether its level is its own: silence stays silent."""

    condition: str
    make: Callable[[int, np.random.Generator], np.ndarray]
    own_level: bool = False


SOUNDS: dict[str, Sound] = {
    "zeros": Sound("silence", noise.digital_silence, own_level=True),
    "dither": Sound("silence", noise.dither, own_level=True),
    "room": Sound("silence", noise.room_tone, own_level=True),
    "white": Sound("noise", noise.white),
    "pink": Sound("noise", noise.pink),
    "brown": Sound("noise", noise.brown),
    "hum": Sound("noise", noise.hum),
    "clicks": Sound("noise", noise.clicks),
    "bursts": Sound("noise", noise.bursts),
    "chords": Sound("music", music.chords),
    "plucked": Sound("music", music.plucked),
    "drums": Sound("music", music.drums),
    "band": Sound("music", music.band),
    "babble": Sound("babble", babble.babble),
    "backwards": Sound("babble", babble.backwards),
    "wind": Sound("environment", environment.wind),
    "rain": Sound("environment", environment.rain),
    "waves": Sound("environment", environment.waves),
    "engine": Sound("environment", environment.engine),
    "telephone": Sound("environment", environment.telephone),
    "birds": Sound("environment", environment.birds),
}


def make_sound(name: str, seconds: float, *, seed: int = 0, take: int = 0) -> np.ndarray:
    """Samples of a sound, float32 (seconds × 16000,) in [-0.89, 0.89]; the same arguments give the same samples.

    take: the number of a variant. The level is drawn from -40 to -18 dBFS (root mean square), and lower where peaks
    ask for it; silence keeps its own. Raises ConfigError for an unknown name or less than 0.1 s.
    """
    if name not in SOUNDS:
        raise ConfigError(f"there is no sound {name!r}; known are {', '.join(SOUNDS)}.")
    if not 0.1 <= seconds <= 3600:
        raise ConfigError(f"a sound lasts from 0.1 to 3600 s, not {seconds}.")
    count = round(seconds * SAMPLE_RATE)
    rng = np.random.default_rng(stable_seed("nonspeech", seed, name, count, take))
    sound, level = SOUNDS[name], rng.uniform(*_LEVELS)
    samples_N = sound.make(count, rng)
    if not sound.own_level:
        samples_N = samples_N * (10 ** (level / 20) / max(float(np.sqrt(np.mean(np.square(samples_N)))), 1e-12))
    return limited(samples_N).astype(np.float32)


def limited(samples_N: np.ndarray) -> np.ndarray:
    """The samples, all of them softer where the loudest one exceeds -1 dBFS."""
    loudest = float(np.abs(samples_N).max(initial=0.0))
    return samples_N * (PEAK / loudest) if loudest > PEAK else samples_N
