"""What can be asked of a comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from duolect.errors import ConfigError
from duolect.evaluation import Normaliser
from duolect.evaluation.word_classes import RARE
from duolect.models.precision import WeightPrecision


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """How systems are recognised, scored and shown. Validated when made: ConfigError names the field."""

    title: str = ""
    """The report's heading; empty: made of the manifest's name."""
    normaliser: Normaliser = "plain"
    by: tuple[str, ...] = ()
    """Fields of the manifest to break the error rates down by, besides those that are chosen by themselves."""
    blocks: str = "auto"
    """Field whose utterances are drawn together for intervals and tests; "auto" and "none" as for `find_blocks`."""
    within: float = 0.05
    """How much worse than the best WER, relatively, a system may be to be recommended for its speed."""
    nonspeech: Path | None = None
    """Manifest of sounds in which nobody speaks."""
    train: tuple[Path, ...] = ()
    """Manifests (.jsonl) or plain texts that the systems were trained on: which words are new or rare."""
    rare: int = RARE
    """How often a rare word occurs there at most."""
    utterances: int = 100
    """How many utterances the page shows."""
    embed_audio: int = 0
    """How many of them carry their recording; the others link to it."""
    device: str = "cpu"
    precision: WeightPrecision = "stored"
    batch_seconds: float = 60.0
    max_seconds: float = 120.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.within) and self.within >= 0):
            raise ConfigError(f"within: expected a fraction of 0 or more, not {self.within}.")
        for name, least in (("rare", 1), ("utterances", 0), ("embed_audio", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: expected a number of at least {least}, not {getattr(self, name)}.")
