"""Which words a system gets right: those never seen in training, rare ones, and the others.

A word's class is how often it occurs in the training text, after the same normalisation as the scored texts. Recall of
a class is the share of its reference tokens that the minimum-edit alignment pairs with the same word. What a system
wrongly inserts does not lower it; the word error rate sees that. Where several alignments have the same cost, the
aligner's choice decides which of two equal words was the one heard, never how many errors there are.

Shape suffixes: N utterances, C classes, R replicas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.intervals import LEVEL, SEED, Interval
from duolect.evaluation.proportions import wilson_interval
from duolect.evaluation.words import align

RARE = 5
REPLICAS = 2_000

Aligned = Sequence[tuple[str | None, str | None]]
"""An alignment as `align` gives it: (reference word or None, hypothesis word or None)."""


@dataclass(frozen=True)
class WordClass:
    """Words that occur from `least` to `most` times in the training text (`most` None: without limit)."""

    name: str
    least: int
    most: int | None

    def holds(self, count: int) -> bool:
        """Whether a word that occurs `count` times belongs here."""
        return count >= self.least and (self.most is None or count <= self.most)


@dataclass(frozen=True, kw_only=True)
class Recall:
    """The recall of one class of words by one system."""

    tokens: int
    """Reference tokens of the class."""
    hits: int
    """Those of them that were heard."""
    interval: Interval | None
    """95 %; see `recall_interval`."""

    @property
    def rate(self) -> float:
        """hits / tokens; nan without tokens."""
        return self.hits / self.tokens if self.tokens else float("nan")


@dataclass(frozen=True)
class Vocabulary:
    """How often each word occurs in the training text, and the classes that follow from it."""

    counts: Mapping[str, int]
    classes: tuple[WordClass, ...]

    @classmethod
    def of(cls, words: Iterable[Sequence[str]], rare: int = RARE) -> Vocabulary:
        """Count the words of normalised utterances; `rare` words occur at most that often.

        Raises ScoringError for `rare` below 1, or where there is no word.
        """
        if rare < 1:
            raise ScoringError(f"rare words must be allowed to occur at least once, not at most {rare} times.")
        counts: Counter[str] = Counter()
        for utterance in words:
            counts.update(utterance)
        if not counts:
            raise ScoringError("the training text has no word, so none can be called rare.")
        once = "once" if rare == 1 else f"1 to {rare} times"
        classes = (
            WordClass("never seen", 0, 0),
            WordClass(f"rare (seen {once})", 1, rare),
            WordClass(f"seen more than {'once' if rare == 1 else f'{rare} times'}", rare + 1, None),
        )
        return cls(dict(counts), classes)

    def place(self, word: str) -> int:
        """The index of the word's class."""
        count = self.counts.get(word, 0)
        return next(n for n, each in enumerate(self.classes) if each.holds(count))


class RecallCounts:
    """Hits and tokens of each class in each utterance, gathered alignment by alignment."""

    def __init__(self, vocabulary: Vocabulary, utterances: int) -> None:
        self.vocabulary = vocabulary
        self.hits_NC = np.zeros((utterances, len(vocabulary.classes)), dtype=np.int64)
        self.tokens_NC = np.zeros_like(self.hits_NC)
        self._places: dict[str, int] = {}

    def add(self, n: int, pairs: Aligned) -> None:
        """Count the alignment of utterance `n`."""
        for reference, hypothesis in pairs:
            if reference is None:
                continue
            place = self._places.get(reference)
            if place is None:
                place = self._places[reference] = self.vocabulary.place(reference)
            self.tokens_NC[n, place] += 1
            self.hits_NC[n, place] += reference == hypothesis

    def recalls(self, blocks: Sequence[str] = (), *, replicas: int = REPLICAS, seed: int = SEED) -> dict[str, Recall]:
        """Class name → recall; `blocks` names what each utterance is drawn with (empty: by itself)."""
        found = {}
        for c, each in enumerate(self.vocabulary.classes):
            hits_N, tokens_N = self.hits_NC[:, c], self.tokens_NC[:, c]
            found[each.name] = Recall(
                tokens=int(tokens_N.sum()),
                hits=int(hits_N.sum()),
                interval=recall_interval(hits_N, tokens_N, blocks, replicas=replicas, seed=seed),
            )
        return found


def word_recall(
    references: Sequence[str],
    hypotheses: Sequence[str],
    vocabulary: Vocabulary,
    *,
    replicas: int = REPLICAS,
    seed: int = SEED,
) -> dict[str, Recall]:
    """Class name → recall of (normalised) hypotheses; ScoringError when the lists are not equally long."""
    if len(references) != len(hypotheses):
        raise ScoringError(f"{len(references)} references cannot be paired with {len(hypotheses)} hypotheses.")
    counts = RecallCounts(vocabulary, len(references))
    for n, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        counts.add(n, align(reference, hypothesis))
    return counts.recalls(replicas=replicas, seed=seed)


def recall_interval(
    hits_N: np.ndarray,
    tokens_N: np.ndarray,
    blocks: Sequence[str] = (),
    *,
    replicas: int = REPLICAS,
    seed: int = SEED,
) -> Interval | None:
    """95 % interval of Σ hits / Σ tokens: percentile bootstrap over the utterances, or blocks, that have such words.

    Where all or none were heard every replica says the same; the interval is then Wilson's for that many utterances, or
    blocks. None where fewer than two have such words.
    """
    if blocks:
        names, place_N = np.unique(np.asarray(blocks, dtype=object).astype(str), return_inverse=True)
        hits_N = np.bincount(place_N, weights=hits_N, minlength=len(names))
        tokens_N = np.bincount(place_N, weights=tokens_N, minlength=len(names))
    kept = tokens_N > 0
    hits_N, tokens_N = hits_N[kept].astype(np.float64), tokens_N[kept].astype(np.float64)
    count = len(hits_N)
    if count < 2:
        return None
    if hits_N.sum() in (0, tokens_N.sum()):
        return wilson_interval(count if hits_N.sum() else 0, count)
    rng = np.random.default_rng(seed)
    rates_R = np.empty(replicas)
    step = max(1, (1 << 21) // count)
    for start in range(0, replicas, step):
        rows = min(step, replicas - start)
        drawn = rng.integers(0, count, (rows, count), dtype=np.int32)
        rates_R[start : start + rows] = hits_N[drawn].sum(axis=1) / tokens_N[drawn].sum(axis=1)
    low, high = np.quantile(rates_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
