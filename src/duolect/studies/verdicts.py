"""Does a published finding hold here? Decided by a paired test over all seeds, never by the eye.

With several seeds each utterance counts with the sum of its errors over them, so that the test sees how much a system
errs on an utterance, not one draw of it; and all seeds have to agree in direction, since a test over utterances knows
nothing of how much another training would change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation import Interval, Score
from duolect.evaluation.intervals import Paired, paired_of_counts, pooled_by_block, replicas_of_counts

Decision = Literal["holds", "does not hold", "not decidable here"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`paired` compares the system that is said to be better with the other: a negative difference agrees."""

    decision: Decision
    paired: Paired
    seeds: int
    agreeing: int
    """Seeds with which the difference has the sign that was published."""
    margin: float | None = None
    """The largest difference that counts as none, where they are said to be alike."""

    @property
    def reason(self) -> str:
        """In words, with the figures."""
        found = self.paired
        bounds = found.interval
        within = f" [{100 * bounds.low:+.2f}, {100 * bounds.high:+.2f}]" if bounds is not None else ""
        said = f"difference {100 * found.difference:+.2f} points{within}"
        if self.margin is not None:
            seeds = f"{self.seeds} seeds" if self.seeds > 1 else "one seed"
            return f"{said}, alike within {100 * self.margin:.2f}, {seeds}"
        of_seeds = f", {self.agreeing} of {self.seeds} seeds agree" if self.seeds > 1 else ", one seed"
        return f"{said}, p = {found.p_value:.2g}{of_seeds}"


def mean_rate(scores: Sequence[Score]) -> float:
    """The word error rate over all seeds: errors of all over reference words of all."""
    return _pooled(scores).sum(axis=0)[:3].sum() / _pooled(scores)[:, 3].sum()


def mean_interval(scores: Sequence[Score]) -> Interval | None:
    """95 % bootstrap interval of `mean_rate` over utterances, or blocks of them; the seeds are taken as given."""
    counts_K4 = _parts(scores)
    return replicas_of_counts(counts_K4).interval if len(counts_K4) > 1 else None


def decide(better: Sequence[Score], worse: Sequence[Score], margin: float | None = None) -> Verdict:
    """Whether the system with the scores `better`, one of each seed, is better than the one with `worse`.

    With a `margin` (a share of the rate of `worse`): whether they are alike. That holds where the 95 % interval of the
    difference lies within the margin, and does not where it lies outside; the seeds need not agree then.
    Raises ScoringError where they were not scored on the same utterances in the same way.
    """
    if len(better) != len(worse) or not better:
        raise ScoringError(f"a finding needs as many seeds on both sides, not {len(better)} and {len(worse)}.")
    paired = paired_of_counts(_parts(worse), _parts(better))
    agreeing = sum(b.wer < w.wer for b, w in zip(better, worse, strict=True))
    against = sum(b.wer > w.wer for b, w in zip(better, worse, strict=True))
    decision: Decision = "not decidable here"
    if margin is not None:
        margin *= mean_rate(worse)
        decision = _alike(paired.interval, margin)
    elif paired.significant and agreeing == len(better):
        decision = "holds"
    elif paired.significant and against == len(better):
        decision = "does not hold"
    return Verdict(decision=decision, paired=paired, seeds=len(better), agreeing=agreeing, margin=margin)


def _alike(interval: Interval | None, margin: float) -> Decision:
    if interval is None:
        return "not decidable here"
    if max(-interval.low, interval.high) <= margin:
        return "holds"
    return "does not hold" if max(interval.low, -interval.high) > margin else "not decidable here"


def _pooled(scores: Sequence[Score]) -> np.ndarray:
    first = scores[0]
    for score in scores[1:]:
        if (score.ids, score.block_N, score.normaliser) != (first.ids, first.block_N, first.normaliser):
            raise ScoringError("scores of several seeds must be of the same utterances, blocks and normaliser.")
    return np.sum([score.counts_N4 for score in scores], axis=0)


def _parts(scores: Sequence[Score]) -> np.ndarray:
    counts_N4 = _pooled(scores)
    return pooled_by_block(counts_N4, scores[0].block_N) if scores[0].blocks else counts_N4
