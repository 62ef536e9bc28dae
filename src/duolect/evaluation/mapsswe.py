"""The matched-pairs sentence-segment word error test, MAPSSWE (Gillick & Cox, ICASSP 1989), as in NIST's sc_stats.

Utterances are cut into segments in which either system makes errors, with at least two words that both have right
between one segment and the next; errors in different segments are then taken as independent. With d the difference in
errors of each of n segments, W = mean(d) √n / sd(d) is held against the normal distribution, two-sided. Where all d are
the same, W is infinite; p is then the exact share of sign assignments that are as far from 0, 2 of 2^n.

It is the field's customary test and needs many segments; `randomisation_p_value` needs no such assumption.
Shape suffixes: E errors and S segments.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.words import Words, align, is_same, split

BUFFER_WORDS = 2
"""Words between segments that both systems have right; sc_stats' default."""


@dataclass(frozen=True)
class Mapsswe:
    """`statistic` is W, positive where the second system makes more errors.

    It is infinite where all segments differ by the same, nan where none differs or there is only one.
    """

    p_value: float
    statistic: float
    segments: int
    mean: float
    """Errors of the second system minus the first's, per segment."""


@dataclass(frozen=True)
class ErrorPlaces:
    """Where one system errs, over all utterances in a row.

    Reference word w (from 0) of an utterance has the place 2w + 1, what is inserted before it 2w, and an utterance of R
    words takes 2R + 1 places; `starts_N` has the first place of each. `places_E` are ascending, with `errors_E` errors.
    """

    places_E: np.ndarray
    errors_E: np.ndarray
    starts_N: np.ndarray


def error_places(references: Sequence[Words], hypotheses: Sequence[Words]) -> ErrorPlaces:
    """The places of all errors by `words.align`. Raises ScoringError for lists of different lengths."""
    if len(references) != len(hypotheses):
        raise ScoringError(f"{len(references)} references cannot be paired with {len(hypotheses)} hypotheses.")
    starts, found, at = [], [], 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        starts.append(at)
        if reference != hypothesis:
            for said, heard in align(reference, hypothesis):
                if said is None:
                    found.append(at)
                    continue
                if not is_same(said, heard):
                    found.append(at + 1)
                at += 2 * len(said.split())
            at += 1
        else:
            at += 2 * len(split(reference)) + 1
    places_E, errors_E = np.unique(np.array(found, dtype=np.int64), return_counts=True)
    return ErrorPlaces(places_E, errors_E, np.array(starts, dtype=np.int64))


def mapsswe(first: ErrorPlaces, second: ErrorPlaces, *, buffer_words: int = BUFFER_WORDS) -> Mapsswe:
    """Test two systems on the same references; see the module's text.

    Raises ScoringError where the references differ.
    """
    if not np.array_equal(first.starts_N, second.starts_N):
        raise ScoringError("MAPSSWE needs both systems' errors on the same utterances in the same order.")
    gains_S = segment_differences(first, second, buffer_words=buffer_words)
    count = len(gains_S)
    mean = float(gains_S.mean()) if count else 0.0
    spread = float(gains_S.std(ddof=1)) if count > 1 else 0.0
    if spread == 0.0:
        flipped = 2.0 ** max(1 - count, -1000) if mean else 1.0
        statistic = math.copysign(math.inf, mean) if mean and count > 1 else math.nan
        return Mapsswe(flipped, statistic, count, mean)
    statistic = mean * math.sqrt(count) / spread
    return Mapsswe(math.erfc(abs(statistic) / math.sqrt(2)), statistic, count, mean)


def segment_differences(first: ErrorPlaces, second: ErrorPlaces, *, buffer_words: int = BUFFER_WORDS) -> np.ndarray:
    """Errors of the second system minus those of the first in each segment, int64 (S,)."""
    places_E = np.union1d(first.places_E, second.places_E)
    if not len(places_E):
        return np.zeros(0, dtype=np.int64)
    gains_E = np.zeros(len(places_E), dtype=np.int64)
    gains_E[np.searchsorted(places_E, first.places_E)] -= first.errors_E
    gains_E[np.searchsorted(places_E, second.places_E)] += second.errors_E
    utterance_E = np.searchsorted(first.starts_N, places_E, side="right")
    within_E = places_E - first.starts_N[utterance_E - 1]
    # Words, the odd places, strictly between an error and the next: both systems have them right.
    right_E = within_E[1:] // 2 - (within_E[:-1] + 1) // 2
    begins_E = np.concatenate(([True], (np.diff(utterance_E) > 0) | (right_E >= buffer_words)))
    gains_S = np.zeros(int(begins_E.sum()), dtype=np.int64)
    np.add.at(gains_S, np.cumsum(begins_E) - 1, gains_E)
    return gains_S
