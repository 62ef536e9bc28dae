"""How sure a word error rate, or a difference between two, is.

*Interval*: the percentile bootstrap over utterances (Bisani & Ney, ICASSP 2004): utterances are drawn with replacement,
the pooled WER of each replica is computed, and the middle 95 % of the replicas is the interval. Where all utterances
have the same rate, of 0 for one, all replicas do too: they say nothing of the spread, and there is no interval.

*Probability of improvement* (same paper): the share of replicas in which the system makes fewer errors than the
baseline on the same drawn utterances; replicas with equally many count one half.

*p-value*: the two-sided matched-pairs randomisation test (Fisher-Pitman; approximated by draws in Noreen 1989, exact
here). If both systems were alike, each utterance's difference in errors could as well have the opposite sign; p is the
share of all 2^n sign assignments whose total difference is at least as large as the one seen. Errors are whole
numbers, so the distribution of that total is found by convolution rather than by drawing from it. Unlike a p-value
read off bootstrap replicas it stays valid for few utterances: a single one always gives p = 1.

kaldialign's `bootstrap_wer_ci` does the same bootstrap but gives a symmetric mean ± 1.96 σ, counts ties as no
improvement, has no p-value, and draws through the C++ library's implementation-defined distribution, so that its last
digits differ between platforms; the tests hold ours against it.

Utterances are taken as independent. Where they are not (one speaker, one meeting), pass counts pooled by block
(`pooled_by_block`): blocks are then drawn, and signs flipped, as wholes (Liu & Peng 2019, arXiv 1912.09508).
Shape suffixes: N utterances, R replicas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.words import Words, utterance_counts

REPLICAS = 10_000
SEED = 0
LEVEL = 0.95

_CHUNK = 1 << 21  # drawn indices held at once: 16 MiB of packed counts
_SHIFT = 32
_MOST_PRODUCTS = 300_000_000


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; bounds are fractions for error rates (0.05 = 5 % WER), points for BLEU and chrF."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Paired:
    """One system against a baseline on the same utterances. Rates are fractions; negative differences are better."""

    baseline_wer: float
    wer: float
    difference: float
    """WER minus the baseline's."""
    interval: Interval | None
    """95 % bootstrap interval of the difference; None for fewer than two utterances."""
    probability_of_improvement: float
    p_value: float
    utterances: int
    differing: int
    """Utterances on which the two make different numbers of errors."""
    seed: int
    replicas: int

    @property
    def significant(self) -> bool:
        """p < 0.05, two-sided, not corrected for the number of systems compared."""
        return self.p_value < 1 - LEVEL


def bootstrap_interval(
    references: Sequence[Words], hypotheses: Sequence[Words], *, replicas: int = REPLICAS, seed: int = SEED
) -> Interval | None:
    """95 % interval of the pooled WER of N utterances; see `interval_of_counts`."""
    counts_N4 = utterance_counts(references, hypotheses)
    return interval_of_counts(counts_N4, replicas=replicas, seed=seed)


def paired(
    references: Sequence[Words],
    baseline: Sequence[Words],
    hypotheses: Sequence[Words],
    *,
    replicas: int = REPLICAS,
    seed: int = SEED,
) -> Paired:
    """Compare `hypotheses` with those of a `baseline` on the same N references; see the module's text for the tests."""
    counts_N4 = utterance_counts(references, baseline)
    return paired_of_counts(counts_N4, utterance_counts(references, hypotheses), replicas=replicas, seed=seed)


def interval_of_counts(counts_N4: np.ndarray, *, replicas: int = REPLICAS, seed: int = SEED) -> Interval | None:
    """95 % percentile interval from per-utterance (or per-block) counts (N, 4), as `utterance_counts` gives them.

    None for fewer than two utterances, and where all have the same rate: these say nothing of the spread. Reproducible
    by `seed`.
    Raises ScoringError when there are no reference words.
    """
    drawn = replicas_of_counts(counts_N4, replicas=replicas, seed=seed)
    return drawn.interval if len(counts_N4) > 1 else None


def pooled_by_block(counts_NC: np.ndarray, blocks: Sequence[str]) -> np.ndarray:
    """Counts (K, C) of K blocks, in the order of their sorted names, from those (N, C) of N utterances.

    `blocks` names the block of each utterance.
    """
    names, block_N = np.unique(np.asarray(blocks, dtype=object).astype(str), return_inverse=True)
    counts_KC = np.zeros((len(names), counts_NC.shape[1]), dtype=counts_NC.dtype)
    np.add.at(counts_KC, block_N, counts_NC)
    return counts_KC


@dataclass(frozen=True)
class Replicas:
    """Errors and reference words of each bootstrap replica, int64 (R,); equal seeds draw the same utterances."""

    errors_R: np.ndarray
    words_R: np.ndarray

    @property
    def interval(self) -> Interval | None:
        """The middle 95 % of the error rates; None where all are the same, as they are with only one part to draw."""
        rates_R = self.errors_R / np.maximum(self.words_R, 1)
        return _percentiles(self.errors_R, self.words_R) if np.ptp(rates_R) > 0 else None


def replicas_of_counts(counts_N4: np.ndarray, *, replicas: int = REPLICAS, seed: int = SEED) -> Replicas:
    """Bootstrap replicas of one system's counts (N, 4): for its interval, and for `paired_of_counts` with others.

    Raises ScoringError when there are no reference words.
    """
    _check_words(counts_N4)
    return Replicas(*_replicas(counts_N4[:, :3].sum(axis=1), counts_N4[:, 3], replicas, seed))


def paired_of_counts(
    baseline_N4: np.ndarray,
    counts_N4: np.ndarray,
    *,
    replicas: int = REPLICAS,
    seed: int = SEED,
    drawn: tuple[Replicas, Replicas] | None = None,
) -> Paired:
    """Compare two systems by their counts (N, 4) of the same utterances in the same order.

    `drawn`: the `replicas_of_counts` of both with these `replicas` and `seed`, where they are known; nothing is then
    drawn, and the result is the same. Raises ScoringError when the utterances cannot be the same ones.
    """
    if len(baseline_N4) != len(counts_N4) or (baseline_N4[:, 3] != counts_N4[:, 3]).any():
        raise ScoringError("a paired test needs both systems' errors on the same utterances in the same order.")
    _check_words(counts_N4)
    words_N = counts_N4[:, 3]
    baseline_N, errors_N = baseline_N4[:, :3].sum(axis=1), counts_N4[:, :3].sum(axis=1)
    gain_N = errors_N - baseline_N
    total = int(words_N.sum())
    if drawn is None:
        gain_R, words_R = _replicas(gain_N, words_N, replicas, seed)
    else:
        gain_R, words_R = drawn[1].errors_R - drawn[0].errors_R, drawn[0].words_R
    return Paired(
        baseline_wer=int(baseline_N.sum()) / total,
        wer=int(errors_N.sum()) / total,
        difference=int(gain_N.sum()) / total,
        interval=_percentiles(gain_R, words_R) if len(gain_N) > 1 else None,
        probability_of_improvement=float((gain_R < 0).mean() + 0.5 * (gain_R == 0).mean()),
        p_value=randomisation_p_value(gain_N),
        utterances=len(gain_N),
        differing=int(np.count_nonzero(gain_N)),
        seed=seed,
        replicas=replicas,
    )


def randomisation_p_value(differences_N: np.ndarray) -> float:
    """Exact two-sided matched-pairs randomisation test of "integer differences are as likely positive as negative".

    The total of all signed differences is Σ_v v (2 Bin(n_v, ½) − n_v) over the sizes v of a difference, of which there
    are n_v. Its distribution comes from convolving these, without what lies beyond 20 standard deviations of each (a
    p-value below 1e-80 is not resolved); where sizes are many and large, from its characteristic function, the product
    of cos(v t)^n_v (then one below 1e-12 is not).
    """
    sizes_V, counts_V = np.unique(np.abs(differences_N[differences_N != 0]).astype(np.int64), return_counts=True)
    seen, reach = abs(int(differences_N.sum())), int(sizes_V @ counts_V)
    if reach * int(np.minimum(counts_V, 20 * np.sqrt(counts_V)).sum()) > _MOST_PRODUCTS:
        share = _from_characteristic(sizes_V, counts_V, reach, seen)
    else:
        share = _from_convolution(sizes_V, counts_V, seen)
    return min(1.0, max(share, 2.0 ** max(1 - int(counts_V.sum()), -1000)))


def _from_convolution(sizes_V: np.ndarray, counts_V: np.ndarray, seen: int) -> float:
    chances, middle = np.ones(1), 0  # the total is 2 (place − middle / 2): totals lie 2 apart
    for size, count in zip(sizes_V.tolist(), counts_V.tolist(), strict=True):
        heads, least = _fair_coins(count)
        longer = np.zeros(len(chances) + size * (len(heads) - 1))
        for number, chance in enumerate(heads):
            longer[number * size : number * size + len(chances)] += chance * chances
        chances = longer
        middle += size * (count - 2 * least)
    totals = 2 * np.arange(len(chances)) - middle
    return float(chances[np.abs(totals) >= seen].sum())


def _from_characteristic(sizes_V: np.ndarray, counts_V: np.ndarray, reach: int, seen: int) -> float:
    length = reach + 1  # totals from −reach to reach, 2 apart
    t_F = np.pi * np.arange(length // 2 + 1) / length
    alive_F, values_F = np.arange(len(t_F)), np.ones(len(t_F))
    for v in np.argsort(-counts_V * sizes_V**2):
        values_F = values_F * np.cos(int(sizes_V[v]) * t_F[alive_F]) ** int(counts_V[v])
        kept_F = np.abs(values_F) > 1e-18  # soon only a few are left
        alive_F, values_F = alive_F[kept_F], values_F[kept_F]
    whole_F = np.zeros(len(t_F), dtype=np.complex128)
    # Shifted by `reach`, so that place k stands for the total 2 k − reach.
    whole_F[alive_F] = values_F * np.exp(-1j * t_F[alive_F] * reach)
    chances = np.fft.irfft(whole_F, n=length)
    totals = 2 * np.arange(length) - reach
    return float(chances[np.abs(totals) >= seen].clip(min=0).sum())


def _fair_coins(count: int) -> tuple[np.ndarray, int]:
    """Chances of numbers of heads among `count` fair coins, up to 20 standard deviations from the middle; the least."""
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, count + 1)))))
    chances = np.exp(log_factorial[-1] - log_factorial - log_factorial[::-1] - count * np.log(2))
    reach = int(10 * count**0.5)
    least = max(0, count // 2 - reach)
    return chances[least : count - least + 1], least


def _replicas(values_N: np.ndarray, words_N: np.ndarray, replicas: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sums of (values, words) over `replicas` draws of N utterances with replacement; both int64 (R,)."""
    if replicas < 1:
        raise ScoringError(f"the bootstrap needs at least one replica, not {replicas}.")
    # Value and words travel in one integer: one gather and one sum instead of two of each.
    packed_N = (values_N.astype(np.int64) << _SHIFT) + words_N.astype(np.int64)
    count = len(packed_N)
    rng = np.random.default_rng(seed)
    sums_R = np.empty(replicas, dtype=np.int64)
    step = max(1, _CHUNK // count)
    for start in range(0, replicas, step):
        rows = min(step, replicas - start)
        drawn = rng.integers(0, count, (rows, count), dtype=np.int32)
        sums_R[start : start + rows] = packed_N[drawn].sum(axis=1)
    return sums_R >> _SHIFT, sums_R & ((1 << _SHIFT) - 1)


def _percentiles(errors_R: np.ndarray, words_R: np.ndarray) -> Interval:
    rates_R = errors_R / np.maximum(words_R, 1)
    low, high = np.quantile(rates_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def _check_words(counts_N4: np.ndarray) -> None:
    if not len(counts_N4) or not counts_N4[:, 3].sum():
        raise ScoringError("there are no reference words, so there is no error rate.")
