"""Which words a system takes for which, leaves out, or adds: errors by word, from minimum-edit alignments.

The counts of a system add up to its substitutions, deletions and insertions. Where several alignments have the same
cost, the aligner's choice decides which words face one another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from duolect.errors import ScoringError
from duolect.evaluation.word_classes import Aligned
from duolect.evaluation.words import align


@dataclass
class Confusions:
    """The errors of one system by word, gathered alignment by alignment."""

    substitutions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(reference word, hypothesis word) → times."""
    deletions: Counter[str] = field(default_factory=Counter)
    insertions: Counter[str] = field(default_factory=Counter)

    def add(self, pairs: Aligned) -> None:
        """Count the errors of one alignment."""
        for reference, hypothesis in pairs:
            if reference == hypothesis:
                continue
            if reference is None:
                self.insertions[hypothesis or ""] += 1
            elif hypothesis is None:
                self.deletions[reference] += 1
            else:
                self.substitutions[reference, hypothesis] += 1

    @property
    def missed(self) -> Counter[str]:
        """Reference word → tokens that were substituted or left out."""
        found = Counter(self.deletions)
        for (reference, _), times in self.substitutions.items():
            found[reference] += times
        return found


@dataclass(frozen=True)
class ContestedWord:
    """A reference word that some systems hear better than others: its tokens, and how many each system missed."""

    word: str
    tokens: int
    missed: tuple[int, ...]

    @property
    def spread(self) -> int:
        """How many more tokens the worst system missed than the best one."""
        return max(self.missed) - min(self.missed)


def confusions(references: Sequence[str], hypotheses: Sequence[str]) -> Confusions:
    """The errors by word of (normalised) hypotheses; ScoringError when the lists are not equally long."""
    if len(references) != len(hypotheses):
        raise ScoringError(f"{len(references)} references cannot be paired with {len(hypotheses)} hypotheses.")
    found = Confusions()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        found.add(align(reference, hypothesis))
    return found


def contested(
    systems: Sequence[Confusions], tokens: Mapping[str, int], limit: int | None = None
) -> list[ContestedWord]:
    """The reference words on which the systems differ, widest spread first; `tokens`: how often each is in the
    references. Equal spreads come in alphabetical order."""
    missed = [system.missed for system in systems]
    words = set().union(*missed) if missed else set()
    found = [ContestedWord(word, tokens[word], tuple(each[word] for each in missed)) for word in words]
    found = sorted((each for each in found if each.spread), key=lambda each: (-each.spread, each.word))
    return found[:limit]


def top(counts: Counter, limit: int) -> list[tuple]:
    """The `limit` most frequent entries with their counts; equal counts in alphabetical order, whatever was seen
    first."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:limit]
