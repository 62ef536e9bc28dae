"""Settings of the synthetic corpus; frozen before systems are compared on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from duolect.errors import ConfigError

Size = Literal["tiny", "demo", "small"]


@dataclass(frozen=True, kw_only=True)
class SoundConfig:
    """How hard the recordings are. Bounds are (least, most), drawn uniformly; shares are probabilities.

    `noise_weights` of white, pink and brown noise and of babble; `snr_db` speech over noise; `rt60` (s) and `direct_db`
    of rooms; `telephone_band` (Hz); `level_db` the peak below full scale; `pause` (s) before and after the speech.
    """

    noise_weights: tuple[float, float, float, float] = (0.2, 0.3, 0.15, 0.35)
    snr_db: tuple[float, float] = (10.0, 35.0)
    room_share: float = 0.25
    rt60: tuple[float, float] = (0.15, 0.6)
    direct_db: tuple[float, float] = (0.0, 9.0)
    telephone_share: float = 0.05
    telephone_band: tuple[float, float] = (300.0, 3400.0)
    level_db: tuple[float, float] = (1.0, 20.0)
    pause: tuple[float, float] = (0.05, 0.3)

    def __post_init__(self) -> None:
        for name in ("snr_db", "rt60", "direct_db", "telephone_band", "level_db", "pause"):
            low, high = getattr(self, name)
            if low > high:
                raise ConfigError(f"sound: {name} must be (least, most), not ({low}, {high}).")
        for name in ("room_share", "telephone_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"sound: {name} must be from 0 to 1, not {getattr(self, name)}.")
        if min(self.noise_weights) < 0 or sum(self.noise_weights) <= 0:
            raise ConfigError(f"sound: noise_weights must be positive, not {self.noise_weights}.")


@dataclass(frozen=True, kw_only=True)
class SpeakingConfig:
    """How texts become recordings: seed and sound, and for each split `babble_tracks` of `babble_seconds`."""

    seed: int = 1
    babble_tracks: int = 6
    babble_seconds: float = 12.0
    sound: SoundConfig = field(default_factory=SoundConfig)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"synthetic corpus: seed must be 0 or more, not {self.seed}.")
        if self.babble_tracks < 1:
            raise ConfigError(f"synthetic corpus: babble_tracks must be at least 1, not {self.babble_tracks}.")
        if self.babble_seconds <= 0:
            raise ConfigError(f"synthetic corpus: babble_seconds must be positive, not {self.babble_seconds}.")


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """All that determines the corpus: numbers of utterances and LM sentences, the seed, the sound.

    `unseen_share` is the part of dev and test whose sentence templates are in neither training audio nor LM text;
    `babble_tracks` of `babble_seconds` are made for each split. `version` changes when the same settings give another
    corpus than before.
    """

    train: int
    dev: int
    test: int
    lm_sentences: int
    seed: int = 1
    unseen_share: float = 0.3
    babble_tracks: int = 6
    babble_seconds: float = 12.0
    sound: SoundConfig = field(default_factory=SoundConfig)
    version: int = 5

    def __post_init__(self) -> None:
        for name in ("train", "dev", "test", "lm_sentences"):
            if getattr(self, name) < 1:
                raise ConfigError(f"synthetic corpus: {name} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= self.unseen_share <= 1:
            raise ConfigError(f"synthetic corpus: unseen_share must be from 0 to 1, not {self.unseen_share}.")
        _ = self.speaking  # validates what belongs to it

    @property
    def speaking(self) -> SpeakingConfig:
        """What of it says how texts are spoken."""
        return SpeakingConfig(
            seed=self.seed, babble_tracks=self.babble_tracks, babble_seconds=self.babble_seconds, sound=self.sound
        )


def synthetic_config(size: Size, seed: int = 1) -> SyntheticConfig:
    """The settings of a size: `tiny` for tests, `demo` (about 4.5 h), `small` (about 25 h)."""
    if size == "tiny":
        return SyntheticConfig(
            train=24, dev=8, test=8, lm_sentences=300, seed=seed, babble_tracks=1, babble_seconds=4.0
        )
    if size == "demo":
        return SyntheticConfig(train=5200, dev=200, test=400, lm_sentences=80_000, seed=seed)
    if size == "small":
        return SyntheticConfig(train=34_000, dev=600, test=1200, lm_sentences=400_000, seed=seed, babble_tracks=16)
    raise ConfigError(f"synthetic corpus: size must be 'tiny', 'demo' or 'small', not {size!r}.")
