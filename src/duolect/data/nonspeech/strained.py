"""Speech under strain: what was said stays known, but its recording is long, half silent or full of noise.

N samples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from duolect.audio.files import SAMPLE_RATE
from duolect.data.augment import active_level
from duolect.data.loader import read_samples
from duolect.data.manifest import Utterance
from duolect.data.nonspeech.config import StressConfig
from duolect.data.nonspeech.noise import dither
from duolect.data.nonspeech.sounds import limited, make_sound
from duolect.data.stream import stable_seed

CLEAN = "clean"
_JOINED = "joined "
_SILENCES = ("before", "after", "inside")
_FRAME = SAMPLE_RATE // 50


@dataclasses.dataclass(frozen=True)
class Strain:
    """One recording to be: of which utterances, under which condition; `fields` go into its line of the manifest."""

    id: str
    condition: str
    utterances: tuple[Utterance, ...]
    sound: str | None = None
    snr: float | None = None
    take: int = 0

    @property
    def single(self) -> bool:
        """Whether it is of a condition that changes single utterances, rather than joining several."""
        return not self.condition.startswith(_JOINED)


def plan(utterances: Sequence[Utterance], config: StressConfig) -> Iterator[Strain]:
    """All recordings of the config, condition by condition.

    The same utterances, drawn by the seed, are in every condition that changes single ones, unchanged in the first:
    so conditions can be compared. Joined recordings go on from a random place of the manifest, one speaker after
    another where it names them, and begin again where it ends; they last as long as all of it if that is shorter.
    """
    drawn = sorted(_shuffled(len(utterances), "single", config.seed)[: config.utterances])
    chosen = [utterances[n] for n in drawn]
    for utterance in chosen:
        yield Strain(utterance.id, CLEAN, (utterance,))
    for where in _SILENCES:
        for utterance in chosen:
            yield Strain(f"{utterance.id}+silence-{where}", f"silence {where}", (utterance,))
    for snr in config.snr:
        for number, utterance in enumerate(chosen):
            sound = config.masks[number % len(config.masks)]
            yield Strain(f"{utterance.id}+{sound}{snr:+g}dB", f"in noise {snr:g} dB", (utterance,), sound, snr, number)
    order = sorted(range(len(utterances)), key=lambda n: (utterances[n].speaker or "", n))
    for seconds in config.joined:
        starts = _shuffled(len(order), f"joined/{seconds:g}", config.seed)[: config.recordings]
        for number, start in enumerate(starts):
            parts = tuple(_filled([utterances[n] for n in order[start:] + order[:start]], seconds, config.gap))
            yield Strain(f"joined-{seconds:g}s-{number:03d}", f"{_JOINED}{seconds:g} s", parts)


def strained_samples(strain: Strain, config: StressConfig) -> np.ndarray:
    """The samples of a recording, float32 (N,); they depend on the strain and the config alone.

    Raises AudioError for an utterance that cannot be read.
    """
    rng = np.random.default_rng(stable_seed("strained", config.seed, strain.id, strain.condition))
    parts = [read_samples(utterance) for utterance in strain.utterances]
    if strain.snr is not None and strain.sound is not None:
        return mixed(parts[0], strain.snr, strain.sound, seed=config.seed, take=strain.take)
    if len(parts) == 1 and strain.condition.startswith("silence "):
        return with_silence(parts[0], strain.condition.removeprefix("silence "), config.silence, rng)
    pause = round(config.gap * SAMPLE_RATE)
    pieces = [dither(pause, rng).astype(np.float32) if n % 2 else parts[n // 2] for n in range(2 * len(parts) - 1)]
    return np.concatenate(pieces)


def mixed(samples_N: np.ndarray, snr_db: float, sound: str, *, seed: int = 0, take: int = 0) -> np.ndarray:
    """Speech with one of the sounds, the speech's active level `snr_db` over the sound's mean; float32 (N,).

    All of it is made softer where it would exceed -1 dBFS.
    """
    noise_N = make_sound(sound, len(samples_N) / SAMPLE_RATE, seed=seed, take=take).astype(np.float64)
    power = max(float(np.mean(np.square(noise_N))), 1e-20)
    scale = np.sqrt(active_level(samples_N) * 10 ** (-snr_db / 10) / power)
    return limited(samples_N + scale * noise_N).astype(np.float32)


def with_silence(samples_N: np.ndarray, where: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Speech with dithered silence "before", "after" or "inside" it: there at the quietest place of its middle half."""
    silence = dither(round(seconds * SAMPLE_RATE), rng).astype(np.float32)
    place = {"before": 0, "after": len(samples_N)}.get(where, quietest_place(samples_N))
    return np.concatenate([samples_N[:place], silence, samples_N[place:]])


def quietest_place(samples_N: np.ndarray) -> int:
    """The middle of the 20 ms frame of least energy in the middle half; the middle of what is too short for that."""
    first, last = len(samples_N) // 4, 3 * len(samples_N) // 4
    frames = (last - first) // _FRAME
    if not frames:
        return len(samples_N) // 2
    part = samples_N[first : first + frames * _FRAME].astype(np.float64).reshape(frames, _FRAME)
    return first + int(np.square(part).sum(axis=1).argmin()) * _FRAME + _FRAME // 2


def joined_text(utterances: Sequence[Utterance]) -> tuple[str, str | None]:
    """Text and translation of utterances that follow one another; None where one of them has no translation."""
    text = " ".join(utterance.text.strip() for utterance in utterances)
    translations = [utterance.translation for utterance in utterances if utterance.translation]
    return text, " ".join(translations) if len(translations) == len(utterances) else None


def _filled(utterances: Sequence[Utterance], seconds: float, gap: float) -> Iterator[Utterance]:
    total = -gap
    for utterance in utterances:
        yield utterance
        total += gap + utterance.duration
        if total >= seconds:
            return


def _shuffled(count: int, what: str, seed: int) -> list[int]:
    return sorted(range(count), key=lambda n: stable_seed("stress", seed, what, n))
