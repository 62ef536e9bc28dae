"""Which words a system gets right: those never seen in training, rare ones, and the others.

A word's class is how often it occurs in the training text, after the same normalisation as the scored texts. Recall of
a class is the share of its reference tokens that the minimum-edit alignment pairs with the same word. What a system
wrongly inserts does not lower it; the word error rate sees that. Where several alignments have the same cost, the
aligner's choice decides which of two equal words was the one heard, never how many errors there are.

Shape suffixes: N utterances, C classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from duolect.errors import ScoringError
from duolect.evaluation.intervals import Interval, pooled_by_block
from duolect.evaluation.proportions import blocked_interval
from duolect.evaluation.words import align

RARE = 5

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

    def recalls(self, blocks: Sequence[str] = ()) -> dict[str, Recall]:
        """Class name → recall; `blocks` names what each utterance is drawn with (empty: by itself)."""
        found = {}
        for c, each in enumerate(self.vocabulary.classes):
            hits_N, tokens_N = self.hits_NC[:, c], self.tokens_NC[:, c]
            found[each.name] = Recall(
                tokens=int(tokens_N.sum()),
                hits=int(hits_N.sum()),
                interval=recall_interval(hits_N, tokens_N, blocks),
            )
        return found


def word_recall(
    references: Sequence[str],
    hypotheses: Sequence[str],
    vocabulary: Vocabulary,
) -> dict[str, Recall]:
    """Class name → recall of (normalised) hypotheses; ScoringError when the lists are not equally long."""
    if len(references) != len(hypotheses):
        raise ScoringError(f"{len(references)} references cannot be paired with {len(hypotheses)} hypotheses.")
    counts = RecallCounts(vocabulary, len(references))
    for n, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        counts.add(n, align(reference, hypothesis))
    return counts.recalls()


def recall_interval(hits_N: np.ndarray, tokens_N: np.ndarray, blocks: Sequence[str] = ()) -> Interval | None:
    """95 % interval of Σ hits / Σ tokens over the utterances, or blocks, that have such words (`blocked_interval`).

    None where fewer than two have them.
    """
    counts_N2 = np.stack([hits_N, tokens_N], axis=1)
    return blocked_interval(*(pooled_by_block(counts_N2, blocks) if blocks else counts_N2).T)
