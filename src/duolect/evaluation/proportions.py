"""Shares of utterances: the interval of one, and the paired test of two."""

from __future__ import annotations

import math

from duolect.errors import ScoringError
from duolect.evaluation.intervals import Interval

_Z = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson_interval(count: int, total: int) -> Interval | None:
    """95 % score interval (Wilson 1927) of a share: sensible for few utterances, and for none or all of them showing.

    None without trials. Raises ScoringError for a count outside 0 … total.
    """
    if not 0 <= count <= total:
        raise ScoringError(f"a share of {count} in {total} does not exist.")
    if not total:
        return None
    share, spread = count / total, _Z * _Z / total
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
