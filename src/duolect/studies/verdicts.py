"""Does a published finding hold here? Decided by a paired test over all seeds, never by the eye.

With several seeds each utterance counts with the sum of its errors over them, so that the test sees how much a system
errs on an utterance, not one draw of it; and all seeds have to agree in direction, since a test over utterances knows
nothing of how much another training would change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation import (
    Interval,
    Paired,
    PairedTranslation,
    Score,
    TranslationScore,
    compare_scores,
    compare_translations,
)
from duolect.evaluation.intervals import pooled_by_block, replicas_of_counts
from duolect.evaluation.translation import pooled_translations
from duolect.evaluation.words import WordErrors

Decision = Literal["holds", "does not hold", "not decidable here"]
Scored = Score | TranslationScore

LOST = 90.0
"""The word error rate, in percent, of a system that recognises next to nothing."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One system against another, in points of WER or BLEU, over all seeds that both have."""

    points: float
    interval: Interval | None
    """95 % bootstrap, in points."""
    p_value: float
    lower_is_better: bool
    by_seed: tuple[float, ...]
    """The difference with each seed."""

    @property
    def significant(self) -> bool:
        """p < 0.05, two-sided, not corrected for the number of systems compared."""
        return self.p_value < 0.05

    @property
    def better(self) -> int:
        """Seeds with which the first of the two systems is better."""
        return sum((each < 0) == self.lower_is_better and each != 0 for each in self.by_seed)

    @property
    def worse(self) -> int:
        """Seeds with which it is worse."""
        return sum((each > 0) == self.lower_is_better and each != 0 for each in self.by_seed)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`difference`: of the system that is said to be better against the other."""

    decision: Decision
    difference: Difference
    margin: float | None = None
    """The largest difference that counts as none, in points, where the two are said to be alike."""
    one_sided: bool = False
    """Whether the first is only said not to be worse."""

    @property
    def reason(self) -> str:
        """In words, with the figures."""
        found, count = self.difference, len(self.difference.by_seed)
        bounds = f" [{found.interval.low:+.2f}, {found.interval.high:+.2f}]" if found.interval is not None else ""
        said = f"difference {found.points:+.2f} points{bounds}"
        if self.margin is not None:
            within = f"{'no worse than by' if self.one_sided else 'alike within'} {self.margin:.2f}"
            return f"{said}, {within}, {f'{count} seeds' if count > 1 else 'one seed'}"
        of_seeds = f", {found.better} of {count} seeds agree" if count > 1 else ", one seed"
        return f"{said}, p = {found.p_value:.2g}{of_seeds}"


def points(score: Scored) -> float:
    """The study's figure: WER in per cent, or BLEU."""
    return 100 * score.wer if isinstance(score, Score) else score.metrics["bleu"].value


def points_interval(score: Scored) -> Interval | None:
    """The 95 % interval of `points`."""
    if isinstance(score, TranslationScore):
        return score.metrics["bleu"].interval
    return None if score.interval is None else Interval(100 * score.interval.low, 100 * score.interval.high)


def pooled(scores: Sequence[Scored]) -> Scored:
    """The runs of several seeds as one: their errors (n-gram counts) summed for each utterance, so that its rate is
    the mean over seeds; the interval is over utterances, or blocks of them, and takes the seeds as given.

    Raises ScoringError where they are not of the same utterances, scored in the same way.
    """
    words = [score for score in scores if isinstance(score, Score)]
    if not words:
        return pooled_translations([score for score in scores if isinstance(score, TranslationScore)])
    first = words[0]
    for score in scores:
        alike = isinstance(score, Score) and (score.ids, score.block_N, score.normaliser, score.aligner) == (
            first.ids,
            first.block_N,
            first.normaliser,
            first.aligner,
        )
        if not alike:
            raise ScoringError("scores of several seeds must be of the same utterances, blocks and normaliser.")
    if len(words) == 1:
        return first
    counts_N4 = np.sum([score.counts_N4 for score in words], axis=0)
    parts = pooled_by_block(counts_N4, first.block_N) if first.blocks else counts_N4
    drawn = replicas_of_counts(parts, replicas=first.replicas, seed=first.seed)
    return dataclasses.replace(
        first,
        errors=WordErrors.pooled(counts_N4),
        interval=drawn.interval if len(parts) > 1 else None,
        empty_reference_words=sum(score.empty_reference_words for score in words),
        skipped=sum(score.skipped for score in words),
        counts_N4=counts_N4,
        texts_N=(),
        drawn=drawn,
    )


def difference(system: Sequence[Scored], other: Sequence[Scored]) -> Difference:
    """A system against another, given the scores of both with the same seeds.

    Raises ScoringError where they were not scored on the same utterances in the same way.
    """
    if len(system) != len(other) or not system:
        raise ScoringError(f"a finding needs as many seeds on both sides, not {len(system)} and {len(other)}.")
    mine, theirs = pooled(system), pooled(other)
    if isinstance(mine, Score) and isinstance(theirs, Score):
        found: Paired | PairedTranslation = compare_scores(theirs, mine)
        factor = 100.0
    elif isinstance(mine, TranslationScore) and isinstance(theirs, TranslationScore):
        found, factor = compare_translations(theirs, mine)["bleu"], 1.0
    else:
        raise ScoringError("word error rates and BLEU cannot be compared.")
    bounds = found.interval
    return Difference(
        points=factor * found.difference,
        interval=None if bounds is None else Interval(factor * bounds.low, factor * bounds.high),
        p_value=found.p_value,
        lower_is_better=isinstance(mine, Score),
        by_seed=tuple(points(a) - points(b) for a, b in zip(system, other, strict=True)),
    )


def decide(
    better: Sequence[Scored], worse: Sequence[Scored], margin: float | None = None, *, one_sided: bool = False
) -> Verdict:
    """Whether the system with the scores `better`, one of each seed, is better than the one with `worse`.

    With a `margin` (a share of the figure of `worse`): whether they are alike. That holds where the 95 % interval of
    the difference lies within the margin, and does not where it lies outside; the seeds need not agree then.
    `one_sided`: whether the first is not worse by more than that; by how much it is better does not matter. Systems
    with word error rates of LOST or more show nothing by being alike.
    Raises ScoringError where they were not scored on the same utterances in the same way.
    """
    found = difference(better, worse)
    decision: Decision = "not decidable here"
    if margin is not None:
        rates = [pooled(better), pooled(worse)]
        margin *= points(rates[1])
        lost = any(isinstance(rate, Score) and points(rate) >= LOST for rate in rates)
        decision = "not decidable here" if lost else _alike(found, margin, one_sided)
    elif found.significant and found.better == len(better):
        decision = "holds"
    elif found.significant and found.worse == len(better):
        decision = "does not hold"
    return Verdict(decision=decision, difference=found, margin=margin, one_sided=one_sided)


def _alike(found: Difference, margin: float, one_sided: bool) -> Decision:
    if found.interval is None:
        return "not decidable here"
    least, most = found.interval.low, found.interval.high  # by how much the first is worse
    if not found.lower_is_better:
        least, most = -most, -least
    if most <= margin and (one_sided or -least <= margin):
        return "holds"
    return "does not hold" if least > margin or (-most > margin and not one_sided) else "not decidable here"
