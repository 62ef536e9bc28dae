"""What `transcribe` gives: the text of a recording, and of its segments and words with their times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from duolect.systems.rows import Candidate, TimedWord


@dataclass(frozen=True)
class Segment:
    """The text of a part of a recording, from `start` to `end` seconds; score, terms, flags and nbest as in
    `Transcript`.

    `words` are empty where they were not asked for, and where it cannot be told when they were said, which the flag
    "no_word_times" then says. A segment with the flag "joined" was recognised with an overlap, of which it has a part.
    """

    start: float
    end: float
    text: str
    words: tuple[TimedWord, ...] = ()
    score: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    nbest: tuple[Candidate, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """The text of one recording: `score` and unweighted `terms` are natural logarithms, `flags` as in `Candidate`.

    `segments`: the same, part by part. A recording that was not cut is one segment; of one that was cut each segment
    has its own score and terms, the whole has none, and its flags are all that a segment has. The flag "no_speech" says
    that nothing in it was louder than its background; it has no segment and no score then. `nbest` holds all
    hypotheses, best first, where they were asked for (of a recording that was cut, its segments have theirs). Where the
    recording could not be recognised `error` says why in one sentence, and `text` is empty; where it is damaged, text,
    segments and duration are those of what could be read before. `missing`: from when to when, in seconds, a part of it
    could not be recognised though what is around it could.
    """

    id: str
    text: str
    score: float | None = None
    terms: Mapping[str, float] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    duration: float | None = None
    nbest: tuple[Candidate, ...] = ()
    error: str | None = None
    segments: tuple[Segment, ...] = ()
    missing: tuple[tuple[float, float], ...] = ()
