"""Segments that share a part of the sound become segments that share nothing: each word stands once.

What both heard is where they can change over: the longest run of words that they have in common there, at about the
same time. Left of its middle the words are those of the first, right of it those of the second, so that neither is
believed where its sound begins or ends. Where they agree on no word, the middle of the overlap parts them.
"""

from __future__ import annotations

import dataclasses
import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from duolect.systems.recordings.transcript import Segment
from duolect.systems.rows import TimedWord
from duolect.text import normalise
from duolect.text.spacing import without_spaces

_WITHIN = 0.5  # seconds by which the times of a word may differ in two segments
_UNTIMED_RUN = 2  # words that must agree where their times are guessed


@dataclass(frozen=True)
class _Token:
    """A word, or a character of one in a script without spaces, and the time of its middle; `word`: the place of that
    word in its segment, `glued`: it is not the first of it."""

    text: str
    time: float
    word: int
    glued: bool = False

    @property
    def key(self) -> str:
        return normalise(self.text) or self.text


def join(segments: Sequence[Segment]) -> list[Segment]:
    """The segments in order, where one begins before the one before it ends parted anew; empty ones are left out."""
    joined: list[Segment] = []
    for segment in segments:
        if joined and segment.start < joined[-1].end:
            joined[-1:] = _part(joined[-1], segment)
        else:
            joined.append(segment)
    return [segment for segment in joined if segment.text]


def _part(first: Segment, second: Segment) -> tuple[Segment, Segment]:
    low, high = second.start, first.end
    timed = bool(first.words and second.words)
    a, b = _tokens(first, timed), _tokens(second, timed)
    timed = timed and not any(token.glued for token in (*a, *b))  # of a character the time is always guessed
    before, after, at = _change(a, b, low, high, timed)
    first = _kept(first, a[:before], end=at)
    at = max(at, first.end)
    # Two alignments may differ by some frames: no word begins before the one before it ends.
    moved = (dataclasses.replace(word, start=max(word.start, at), end=max(word.end, at)) for word in second.words)
    return first, _kept(dataclasses.replace(second, words=tuple(moved)), b[after:], start=at)


def _change(a: Sequence[_Token], b: Sequence[_Token], low: float, high: float, timed: bool) -> tuple[int, int, float]:
    """How many tokens of the first to keep, how many of the second to leave out, and the time between them."""
    within = _WITHIN if timed else high - low
    middle = (low + high) / 2
    tail = [i for i, token in enumerate(a) if token.time >= low - within]
    head = [j for j, token in enumerate(b) if token.time <= high + within]
    best: tuple[int, float, int, int] | None = None
    runs: dict[tuple[int, int], int] = {}
    for i in tail:
        for j in head:
            if a[i].key != b[j].key or abs(a[i].time - b[j].time) > within:
                continue
            length = runs[i, j] = runs.get((i - 1, j - 1), 0) + 1
            found = (length, -abs(a[i - length // 2].time - middle), i, j)
            best = found if best is None or found > best else best
    if best is not None and best[0] >= (1 if timed else _UNTIMED_RUN):
        length, _, i, j = best
        right = length // 2  # of the run, words that the second segment gives
        before, after = i + 1 - right, j + 1 - right
        at = (a[before - 1].time + b[min(after, len(b) - 1)].time) / 2
        return before, after, min(max(at, low), high)
    return sum(token.time < middle for token in a), sum(token.time < middle for token in b), middle


def _tokens(segment: Segment, timed: bool) -> list[_Token]:
    if timed:
        return [
            _Token(part, word.start + (word.end - word.start) * (i + 0.5) / len(parts), n, i > 0)
            for n, word in enumerate(segment.words)
            for parts in [_parts(word.text)]
            for i, part in enumerate(parts)
        ]
    parts = [(part, n, i > 0) for n, word in enumerate(segment.text.split()) for i, part in enumerate(_parts(word))]
    step = (segment.end - segment.start) / max(len(parts), 1)
    return [_Token(text, segment.start + (k + 0.5) * step, n, glued) for k, (text, n, glued) in enumerate(parts)]


def _parts(word: str) -> list[str]:
    """The characters of a word where it is of a script without spaces, each with what combines with it; else itself."""
    if not any(map(without_spaces, word)):
        return [word]
    parts: list[str] = []
    for character in word:
        if parts and unicodedata.category(character) in ("Mn", "Mc", "Me", "Cf"):
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def _kept(segment: Segment, tokens: Sequence[_Token], start: float | None = None, end: float | None = None) -> Segment:
    """The part of a segment that has these tokens, its first ones or its last ones."""
    groups = [list(group) for _, group in itertools.groupby(tokens, key=lambda token: token.word)]
    texts = ["".join(token.text for token in group) for group in groups]
    words: tuple[TimedWord, ...] = ()
    if segment.words:
        own = [segment.words[group[0].word] for group in groups]
        words = tuple(
            word if word.text == text else _cut(word, text, start, end) for word, text in zip(own, texts, strict=True)
        )
    start, end = segment.start if start is None else start, segment.end if end is None else end
    end = max([end, *(word.end for word in words[-1:])])  # a word may reach over the time between
    return dataclasses.replace(
        segment,
        start=start,
        end=end,
        text=" ".join(texts),
        words=words,
        flags=tuple(dict.fromkeys((*segment.flags, "joined"))),
        nbest=(),
    )


def _cut(word: TimedWord, text: str, start: float | None, end: float | None) -> TimedWord:
    """A word of which a part is kept, within the times of its segment that are given."""
    begin = word.start if start is None else max(word.start, start)
    finish = word.end if end is None else min(word.end, end)
    return dataclasses.replace(word, text=text, start=min(begin, finish), end=finish)
