"""Intervals of perplexities, against a plain bootstrap. N sentences."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from duolect.errors import ScoringError
from duolect.evaluation.perplexity import perplexity, perplexity_interval


def test_the_interval_is_the_middle_of_plain_draws() -> None:
    seed = random.randrange(10**6)
    made = np.random.default_rng(seed)
    counts_N = made.integers(1, 20, 40)
    log_probs_N = -counts_N * made.uniform(2, 6, 40)
    draws = []
    for _ in range(4000):
        chosen = made.integers(0, 40, 40)
        draws.append(math.exp(-sum(log_probs_N[chosen]) / sum(counts_N[chosen])))
    found = perplexity_interval(log_probs_N, counts_N, replicas=4000, seed=3)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), rel=0.05), f"seed {seed}"
    assert found.low < perplexity(log_probs_N, counts_N) < found.high
    assert found == perplexity_interval(log_probs_N, counts_N, replicas=4000, seed=3)


def test_a_constant_difference_is_a_ratio_without_doubt() -> None:
    counts_N = np.array([3, 5, 9])
    first_N, second_N = -2.0 * counts_N - np.array([1.0, 0.0, 4.0]), -2.5 * counts_N - np.array([1.0, 0.0, 4.0])
    ratio = perplexity(second_N - first_N, counts_N)
    assert ratio == pytest.approx(perplexity(second_N, counts_N) / perplexity(first_N, counts_N))
    interval = perplexity_interval(second_N - first_N, counts_N)
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx((math.exp(0.5), math.exp(0.5)))


def test_what_has_no_perplexity() -> None:
    assert perplexity_interval(np.array([-1.0]), np.array([2])) is None
    assert perplexity(np.array([-np.inf, -1.0]), np.array([2, 2])) == math.inf
    for lost in (1, 2, 30, 40):  # from few replicas without a limit to all
        found = perplexity_interval(np.array([-np.inf] * lost + [-1.0] * (40 - lost)), np.full(40, 2))
        assert found is not None
        assert found.high == math.inf, lost
        assert found.low in (math.inf, math.exp(0.5)), lost
    for log_probs, counts in (([], []), ([-1.0], [1, 2])):
        with pytest.raises(ScoringError):
            perplexity(np.array(log_probs), np.array(counts))
