"""All pairs of systems on one test set: differences, intervals, two tests, and what many tests at once demand.

Of K systems K (K − 1) / 2 pairs are tested; by chance alone one in twenty shows p < 0.05. `p_holm` is corrected for
that (Holm 1979): as sure as Bonferroni's, never weaker. Shape suffixes: R replicas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from duolect.errors import ScoringError
from duolect.evaluation.intervals import LEVEL, Interval
from duolect.evaluation.mapsswe import ErrorPlaces, error_places, mapsswe
from duolect.evaluation.score import Score, compare_scores


@dataclass(frozen=True, kw_only=True)
class Pair:
    """System `b` beside `a`: rates are fractions, and a negative difference says that `b` makes fewer errors."""

    a: str
    b: str
    difference: float
    interval: Interval | None
    """95 % bootstrap interval of the difference; None for fewer than two independent parts of the test set."""
    probability_of_improvement: float
    """Of `b` over `a`."""
    p_value: float
    """Of the matched-pairs randomisation test, by block where the scores have blocks."""
    p_holm: float
    """The same, corrected for the number of pairs."""
    mapsswe_p: float
    """Of the matched-pairs sentence-segment word error test; it takes segments as independent, blocks or not."""
    segments: int
    """Those of that test."""

    @property
    def significant(self) -> bool:
        """Whether the systems differ with all pairs taken into account: corrected p < 0.05."""
        return self.p_holm < 1 - LEVEL


def all_pairs(scores: Mapping[str, Score]) -> list[Pair]:
    """Every two systems, in the order given; none for a single one.

    Raises ScoringError where two were scored on different utterances, in different blocks or by different rules, and
    where scores do not hold their texts.
    """
    places = {name: _places(name, score) for name, score in scores.items()}
    found = []
    for a, b in combinations(scores, 2):
        found.append((a, b, compare_scores(scores[a], scores[b]), mapsswe(places[a], places[b])))
    corrected = holm([paired.p_value for _, _, paired, _ in found])
    return [
        Pair(
            a=a,
            b=b,
            difference=paired.difference,
            interval=paired.interval,
            probability_of_improvement=paired.probability_of_improvement,
            p_value=paired.p_value,
            p_holm=p_holm,
            mapsswe_p=segments.p_value,
            segments=segments.segments,
        )
        for (a, b, paired, segments), p_holm in zip(found, corrected, strict=True)
    ]


def _places(name: str, score: Score) -> ErrorPlaces:
    if len(score.texts_N) != score.utterances:
        raise ScoringError(f"{name}: this score does not hold the texts it was made of, which MAPSSWE needs.")
    return error_places(*(list(texts) for texts in zip(*score.texts_N, strict=True)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Corrected p-values in the order given: the k-th smallest of n times n − k + 1, and no smaller than those before.

    Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    corrected = [0.0] * len(p_values)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, p_values[place] * (len(p_values) - rank)))
        corrected[place] = least
    return corrected
