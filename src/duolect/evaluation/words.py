"""Word errors by minimum edit distance (unit costs), through kaldialign.

WER = (substitutions + deletions + insertions) / reference words, pooled over utterances, never a mean of
per-utterance rates. Where several alignments have the same cost, the split into S, D and I is kaldialign's choice; the
WER does not depend on it.

With compounds merged, as the Open ASR leaderboard counts since June 2026, neighbouring words of one side that together
spell one word of the other match it at no cost ("white paper", "whitepaper"); the number of reference words stays.

Shape suffixes: N utterances; the four columns of `counts_N4` are substitutions, deletions, insertions, reference words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import kaldialign
import numpy as np

from duolect.errors import ScoringError

ALIGNER = f"kaldialign {version('kaldialign')}, unit costs"
MERGING_ALIGNER = f"{ALIGNER}, compounds merged"

Words = str | Sequence[str]
"""One utterance: words, or a text that is split at white space."""


@dataclass(frozen=True, kw_only=True)
class WordErrors:
    """Error counts of one or many utterances, in words; `a + b` pools them."""

    substitutions: int
    deletions: int
    insertions: int
    words: int

    @property
    def errors(self) -> int:
        """Substitutions + deletions + insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Word error rate as a fraction (1.0 = 100 %). Without reference words: 0 when nothing was said, else inf."""
        if self.words:
            return self.errors / self.words
        return math.inf if self.errors else 0.0

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(
            substitutions=self.substitutions + other.substitutions,
            deletions=self.deletions + other.deletions,
            insertions=self.insertions + other.insertions,
            words=self.words + other.words,
        )

    @classmethod
    def pooled(cls, counts_N4: np.ndarray) -> WordErrors:
        """The sum of per-utterance counts, shape (N, 4)."""
        s, d, i, n = (int(value) for value in counts_N4.reshape(-1, 4).sum(axis=0))
        return cls(substitutions=s, deletions=d, insertions=i, words=n)


def split(words: Words) -> list[str]:
    """The words of a text (split at white space), or the given words as a list."""
    return words.split() if isinstance(words, str) else list(words)


def utterance_counts(
    references: Sequence[Words], hypotheses: Sequence[Words], *, merge_compounds: bool = False
) -> np.ndarray:
    """Error counts of each utterance: int64 (N, 4) = substitutions, deletions, insertions, reference words.

    Raises ScoringError when the two lists are not equally long.
    """
    if len(references) != len(hypotheses):
        raise ScoringError(f"{len(references)} references cannot be paired with {len(hypotheses)} hypotheses.")
    counts_N4 = np.zeros((len(references), 4), dtype=np.int64)
    for n, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        found = kaldialign.edit_distance(split(reference), split(hypothesis), merge_compounds=merge_compounds)
        counts_N4[n] = found["sub"], found["del"], found["ins"], found["ref_len"]
    return counts_N4


def word_errors(
    references: Sequence[Words], hypotheses: Sequence[Words], *, merge_compounds: bool = False
) -> WordErrors:
    """Pooled word errors of a list of utterances. Texts are compared as they are: normalise them first.

    Raises ScoringError when the two lists are not equally long.
    """
    return WordErrors.pooled(utterance_counts(references, hypotheses, merge_compounds=merge_compounds))


def align(reference: Words, hypothesis: Words, *, merge_compounds: bool = False) -> list[tuple[str | None, str | None]]:
    """One best alignment, in order: (r, h) equal or substituted, (r, None) deleted, (None, h) inserted.

    For display; its number of errors (see `is_same`) is that of `word_errors`. A merged compound is one pair, the words
    of the side that has several parted by spaces: ("white paper", "whitepaper").
    """
    # The empty string never is a word, so it can stand for the gap.
    pairs = kaldialign.align(split(reference), split(hypothesis), "", merge_compounds=merge_compounds)
    return [(r or None, h or None) for r, h in pairs]


def spelled_alike(reference: Words, hypothesis: Words) -> tuple[str, str]:
    """Both texts, the hypothesis with each compound that was merged spelled as the reference does, so that they can be
    aligned again without merging: ("a white paper", "a whitepaper") → ("a white paper", "a white paper"). That finds as
    many errors, but for rare cases in which the new spelling matches other words too, and it finds fewer: ("ab ab b",
    "abb b") → ("ab ab b", "ab b b"). The reference stays, so that its words are the same ones beside every
    hypothesis."""
    spoken, said = split(reference), split(hypothesis)
    if spoken != said:
        pairs = align(spoken, said, merge_compounds=True)
        said = [r if r is not None and is_same(r, h) else h for r, h in pairs if h is not None]
    return " ".join(spoken), " ".join(said)


def is_same(reference: str | None, hypothesis: str | None) -> bool:
    """Whether a pair of `align` is no error: the same word, or a merged compound of the same letters."""
    if reference is None or hypothesis is None:
        return False
    return reference == hypothesis or reference.replace(" ", "") == hypothesis.replace(" ", "")
