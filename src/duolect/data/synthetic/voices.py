"""The speakers of the corpus: espeak-ng accents with voice qualities; no quality speaks in more than one split."""

from __future__ import annotations

import dataclasses
import random
from typing import Literal

from duolect.audio import Voice
from duolect.errors import ConfigError

Split = Literal["train", "dev", "test"]

ACCENTS: dict[str, tuple[str, ...]] = {"en": ("en-gb", "en-us", "en-gb-x-rp"), "de": ("de",)}
"""Language → the voices of espeak-ng that speak it."""
# Near copies of a quality (steph and steph2, linda and belinda, Gene and Gene2 …) are on the same side.
VARIANTS: dict[Split, tuple[str | None, ...]] = {
    "train": (
        *(None, "m1", "m2", "m4", "m5", "m6", "m8", "f1", "f2", "f3", "f5"),
        *("Alex", "Andy", "Annie", "adam", "david", "edward", "michel", "paul"),
    ),
    "dev": ("Andrea", "Gene", "max"),
    "test": ("m3", "m7", "f4", "benjamin", "pablo"),
}
_RATES, _PITCHES, _RANGES = (140, 205), (30, 70), (25, 75)
_RATE_JITTER, _PITCH_JITTER = 14, 5


@dataclasses.dataclass(frozen=True)
class Speaker:
    """One voice: accent and quality, with the habitual rate (words a minute), pitch and pitch range of that speaker."""

    accent: str
    variant: str | None
    rate: int
    pitch: int
    range: int

    @property
    def name(self) -> str:
        """What espeak-ng calls the voice; the speaker's id in the manifests."""
        return f"{self.accent}+{self.variant}" if self.variant else self.accent

    def voice(self, rng: random.Random) -> Voice:
        """The speaker's voice for one utterance, a little faster or slower, higher or lower than usual."""
        rate = min(max(round(self.rate + rng.uniform(-_RATE_JITTER, _RATE_JITTER)), _RATES[0]), _RATES[1])
        pitch = round(self.pitch + rng.uniform(-_PITCH_JITTER, _PITCH_JITTER))
        return Voice(name=self.accent, variant=self.variant, rate=rate, pitch=pitch, range=self.range)


def speakers(split: Split, language: str = "en") -> tuple[Speaker, ...]:
    """All speakers of a split, always the same ones: a speaker's habits follow from accent and quality.

    Raises ConfigError for a language of which there are none.
    """
    if language not in ACCENTS:
        raise ConfigError(f"synthetic voices speak {' and '.join(ACCENTS)}, not {language!r}.")
    accents, found = ACCENTS[language], []
    for place, variant in enumerate(VARIANTS[split]):
        for step in range(len(accents)):
            accent = accents[(place + step) % len(accents)]
            rng = random.Random(f"duolect/speaker/{accent}/{variant}")
            rate, pitch, spread = (round(rng.uniform(*bounds)) for bounds in (_RATES, _PITCHES, _RANGES))
            found.append(Speaker(accent, variant, rate, pitch, spread))
    return tuple(found)
