"""What a stress set consists of."""

from __future__ import annotations

import dataclasses
import math

from duolect.data.nonspeech.sounds import SOUNDS
from duolect.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class StressConfig:
    """Sound without speech, and speech under strain. Times in seconds."""

    seed: int = 0
    """Draws everything that is random; each recording from its own part of it."""
    kinds: tuple[str, ...] = tuple(SOUNDS)
    """The sounds that are made here; none: ()."""
    seconds: tuple[float, ...] = (1.0, 3.0, 10.0, 30.0)
    """How long each of them is made."""
    takes: int = 1
    """Variants of each sound and length."""
    utterances: int = 50
    """Utterances of speech drawn for each condition that changes single ones; fewer where there are no more."""
    snr: tuple[float, ...] = (10.0, 0.0)
    """Level of the speech over the noise in dB; of speech in noise, one condition each."""
    masks: tuple[str, ...] = ("pink", "babble", "band")
    """The sounds that speech is mixed with, in turn."""
    silence: float = 10.0
    """Silence put before, behind or into an utterance."""
    joined: tuple[float, ...] = (30.0, 60.0)
    """Utterances are joined until they last as long as this, one condition each."""
    recordings: int = 10
    """Recordings of each such length."""
    gap: float = 0.3
    """Silence between joined utterances."""
    piece: float = 30.0
    """Files of sounds that are given are cut into pieces of at most this."""

    def __post_init__(self) -> None:
        for name in ("kinds", "masks"):
            unknown = [kind for kind in getattr(self, name) if kind not in SOUNDS]
            if unknown:
                raise ConfigError(f"stress set: {name} has {unknown[0]!r}; known are {', '.join(SOUNDS)}.")
        for name, low, high in (("seconds", 0.1, 3600.0), ("joined", 1.0, 36_000.0), ("snr", -40.0, 80.0)):
            values = getattr(self, name)
            wrong = [value for value in values if not (math.isfinite(value) and low <= value <= high)]
            if wrong or len(set(values)) < len(values):
                raise ConfigError(f"stress set: {name} must be different numbers from {low:g} to {high:g}.")
        for name, low, high in (("silence", 0.1, 3600.0), ("gap", 0.0, 60.0), ("piece", 1.0, 3600.0)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"stress set: {name} must be from {low:g} to {high:g} s, not {getattr(self, name)}.")
        for name in ("takes", "utterances", "recordings"):
            if getattr(self, name) < 1:
                raise ConfigError(f"stress set: {name} must be at least 1, not {getattr(self, name)}.")
        if self.snr and not self.masks:
            raise ConfigError("stress set: snr needs at least one sound in masks.")
