"""Shares of utterances or words: the interval of one, and the paired test of two.

Shape suffix: B blocks, whose trials depend on each other.
"""

from __future__ import annotations

import math

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.intervals import Interval

_Z = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_interval(count: int, total: int) -> Interval | None:
    """95 % score interval (Wilson 1927) of a share: sensible for few utterances, and for none or all of them showing.

    None without trials. Raises ScoringError for a count outside 0 … total.
    """
    if not 0 <= count <= total:
        raise ScoringError(f"a share of {count} in {total} does not exist.")
    return _score_interval(count, total, total) if total else None


def blocked_interval(counts_B: np.ndarray, totals_B: np.ndarray) -> Interval | None:
    """95 % interval of Σ counts / Σ totals over blocks: Wilson's for the effective number of trials.

    After Korn & Graubard (Survey Methodology 1998): trials over the design effect, by which the variance between blocks
    exceeds that of independent trials, and the less the fewer blocks it was seen in (Student's t). Where none or all of
    the trials show, nothing tells how alike those of a block are, and independent ones are assumed. Blocks without
    trials say nothing; None for fewer than two others.
    Raises ScoringError for a count outside 0 … total.
    """
    kept_B = totals_B > 0
    counts_B, totals_B = counts_B[kept_B].astype(np.float64), totals_B[kept_B].astype(np.float64)
    if not (np.all(counts_B >= 0) and np.all(counts_B <= totals_B)):
        raise ScoringError("a share cannot have fewer than no, or more than all, of its trials.")
    blocks, count, total = len(counts_B), float(counts_B.sum()), float(totals_B.sum())
    if blocks < 2:
        return None
    share, effect = count / total, 1.0
    if 0 < share < 1:
        between = blocks / (blocks - 1) * float(((counts_B - share * totals_B) ** 2).sum())
        effect = max(1.0, between / (total * share * (1 - share)))
    return _score_interval(count, total, total / effect * (_Z / _student(blocks - 1)) ** 2)


def _student(freedom: int) -> float:
    """The 97.5 % point of Student's t: exact for 1 and 2 degrees of freedom, else Abramowitz & Stegun 26.7.5."""
    if freedom == 1:
        return math.tan(math.pi * 0.475)
    if freedom == 2:
        return 0.95 / math.sqrt(2 * 0.975 * 0.025)
    z, n = _Z, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / n + second / n**2 + third / n**3 + fourth / n**4


def _score_interval(count: float, total: float, trials: float) -> Interval:
    """Wilson's interval of the share count / total for so many independent trials."""
    share, spread = count / total, _Z * _Z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(share * (1 - share) * spread + spread * spread / 4) / (1 + spread)
    return Interval(0.0 if count == 0 else max(0.0, centre - half), 1.0 if count == total else min(1.0, centre + half))


def mcnemar_p_value(gained: int, lost: int) -> float:
    """Two-sided exact McNemar test (McNemar 1947, binomial form) of paired yes/no outcomes.

    gained, lost: how many of the same utterances show the sign in the second system alone, and in the first alone. It
    is the matched-pairs randomisation test of 0/1 outcomes with all sign assignments counted. 1 where none differ.
    """
    if gained < 0 or lost < 0:
        raise ScoringError(f"numbers of utterances cannot be negative: {gained}, {lost}.")
    both, fewer = gained + lost, min(gained, lost)
    # The binomial tail 0 … fewer, from its largest term down: whole numbers of so many digits would take minutes.
    largest = math.lgamma(both + 1) - math.lgamma(fewer + 1) - math.lgamma(both - fewer + 1) - both * math.log(2)
    term = tail = 1.0
    for k in range(fewer, 0, -1):
        term *= k / (both - k + 1)
        tail += term
        if term < tail * 1e-18:
            break
    return min(1.0, 2 * tail * math.exp(largest))
