"""What a recogniser hands on for each hypothesis."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TimedWord:
    """A word as it was written, when it was said, in seconds from the beginning of the recording, and how sure CTC is
    of it: the mean of its labels' posteriors on their frames."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True)
class Candidate:
    """One hypothesis of an utterance.

    `text` has single spaces between its words. `labels` are in the units of the first pass, EOS not among them; `score`
    is the weighted sum of `terms` (natural logarithms, unweighted), divided by (labels + 1)^α where the search has a
    length exponent. `flags` say what was out of the ordinary: those of the search (such as "truncated": the label limit
    forced its end), and for a rescoring model, here the LM, "lm_impossible" (a probability of zero), "lm_cannot_spell"
    (this text has characters its units lack), "lm_too_long" (more labels than it has positions) and "lm_left_out"
    (which is why the whole list is ranked without it: a probability that is missing cannot be compared with one that is
    there). `words`: when each word of `text` was said, where that was asked for and could be told.
    """

    text: str
    labels: tuple[int, ...]
    score: float
    terms: dict[str, float]
    flags: tuple[str, ...] = ()
    words: tuple[TimedWord, ...] | None = None
