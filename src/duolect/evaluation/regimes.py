"""Scoring regimes: a name decides how texts are normalised, which references are left out, how errors are counted.

The Open ASR leaderboard has changed all three (docs/scoring.md). In March 2026: its normaliser of then, unit costs (the
definition of jiwer). Since June and August 2026: another normaliser, and compounds merged by kaldialign. The two differ
by more than its best systems do, so every score says its regime, and scores of different regimes are not compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from duolect.evaluation.normalisers import Normaliser, normaliser_version
from duolect.evaluation.words import ALIGNER, MERGING_ALIGNER

# How the STM files of NIST, and AMI after them, mark what is not to be scored.
_MARKED = frozenset(["ignore time segment in scoring"])


@dataclass(frozen=True, kw_only=True)
class Regime:
    """How one kind of score is made; `regime_of` gives the one of a normaliser's name."""

    normaliser: Normaliser
    merge_compounds: bool = False
    not_scored: frozenset[str] = frozenset()
    """Normalised references whose utterances are dropped, beside empty ones."""

    @property
    def aligner(self) -> str:
        """What counts the errors, in words."""
        return MERGING_ALIGNER if self.merge_compounds else ALIGNER

    @property
    def version(self) -> str:
        """Whose rules at which version the normaliser stands for; empty for our own."""
        return normaliser_version(self.normaliser)


def regime_of(normaliser: Normaliser) -> Regime:
    """The regime that a normaliser's name stands for."""
    leaderboard = normaliser.startswith("open-asr")
    return Regime(
        normaliser=normaliser,
        merge_compounds=normaliser == "open-asr-2026-08",
        not_scored=_MARKED if leaderboard else frozenset(),
    )
