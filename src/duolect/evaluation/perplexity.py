"""Perplexities and how sure they are: the percentile bootstrap over sentences.

The perplexity of sentences with log-probabilities l and counts c (words, or labels, sentence ends counted) is
exp(−Σ l / Σ c). Given the differences l − l′ of two models on the same sentences, the same formula is the ratio of
their perplexities, and its interval that of the paired bootstrap. N sentences · R replicas.
"""

from __future__ import annotations

import math

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.intervals import LEVEL, SEED, Interval

REPLICAS = 1000
_CHUNK = 1 << 21  # drawn indices held at once


def perplexity(log_probs_N: np.ndarray, counts_N: np.ndarray) -> float:
    """exp(−Σ log-probabilities / Σ counts); infinite where one is impossible. Raises ScoringError for no text."""
    _check(log_probs_N, counts_N)
    with np.errstate(over="ignore"):
        return float(np.exp(-log_probs_N.sum() / counts_N.sum()))


def perplexity_interval(
    log_probs_N: np.ndarray, counts_N: np.ndarray, *, replicas: int = REPLICAS, seed: int = SEED
) -> Interval | None:
    """95 % interval of `perplexity` over draws of N sentences with replacement; None for fewer than two sentences.

    Sentences are taken as independent. Raises ScoringError where there is no text.
    """
    _check(log_probs_N, counts_N)
    total = len(log_probs_N)
    if total < 2:
        return None
    rng = np.random.default_rng(seed)
    means_R = np.empty(replicas)
    step = max(1, _CHUNK // total)
    for start in range(0, replicas, step):
        rows = min(step, replicas - start)
        drawn = rng.integers(0, total, (rows, total), dtype=np.int32)
        means_R[start : start + rows] = -log_probs_N[drawn].sum(1) / counts_N[drawn].sum(1)
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.exp(np.quantile(means_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])).tolist()
    # Between a finite mean and an infinite one numpy finds no number.
    return Interval(math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high)


def _check(log_probs_N: np.ndarray, counts_N: np.ndarray) -> None:
    if len(log_probs_N) != len(counts_N):
        raise ScoringError(f"perplexity: {len(log_probs_N)} log-probabilities do not go with {len(counts_N)} counts.")
    if not counts_N.sum():
        raise ScoringError("there is no text, so there is no perplexity.")
