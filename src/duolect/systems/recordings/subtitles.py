"""Transcripts as text, JSON, and subtitles (SubRip, WebVTT).

A cue has at most two lines of 42 columns (wide characters take two) and stays for at most 7 seconds, for at least one
where the next cue leaves it the time. Cues end at pauses, else at the end of a sentence or the longest gap between two
words; they never overlap. Words without times of their own share the time of their segment by their lengths.
"""

from __future__ import annotations

import html
import itertools
import json
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal, get_args

from duolect.systems.recordings.transcript import Segment, Transcript

Format = Literal["text", "json", "srt", "vtt"]
FORMATS: tuple[Format, ...] = get_args(Format)
"""What a transcript can be written as."""

COLUMNS, LINES = 42, 2
LONGEST, SHORTEST = 7_000, 1_000  # milliseconds
_PAUSE = 600  # milliseconds between two words that end a cue
_STOPS = (".", "!", "?", "…", "。", "！", "？", "؟", "।")


@dataclass(frozen=True)
class Cue:
    """A subtitle: begin and end in milliseconds, and its lines."""

    start: int
    end: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Word:
    text: str
    start: int
    end: int
    glued: bool = False  # to the word before: a part of what is too long for a line
    first: bool = False  # after a silence that is in no segment

    @cached_property
    def columns(self) -> int:
        return _columns(self.text)

    @property
    def stops(self) -> bool:
        return self.text.rstrip("\"'”’»)]").endswith(_STOPS)


def written_as(transcript: Transcript, file: str, how: Format) -> str:
    """A transcript as a whole file's content; `file` is the name that JSON gives the recording."""
    if how == "json":
        return json.dumps({"file": file, **fields(transcript)}, ensure_ascii=False) + "\n"
    if how == "text":
        return transcript.text + "\n" if transcript.text else ""
    cues = subtitles(transcript)
    return _srt(cues) if how == "srt" else _vtt(cues)


def fields(transcript: Transcript) -> dict[str, Any]:
    """What JSON says of a transcript: text, score, terms, flags, duration and segments; error, where there is one, and
    that alone where nothing was recognised."""
    if transcript.error is not None and transcript.duration is None:
        return {"error": transcript.error}
    found: dict[str, Any] = {n: getattr(transcript, n) for n in ("text", "score", "terms", "flags", "duration")}
    found["segments"] = [_segment(segment) for segment in transcript.segments]
    return found if transcript.error is None else {**found, "error": transcript.error}


def _segment(segment: Segment) -> dict[str, Any]:
    found = {n: getattr(segment, n) for n in ("start", "end", "text", "score", "terms", "flags")}
    words = [{n: v if n == "text" else round(v, 4) for n, v in asdict(word).items()} for word in segment.words]
    found |= {"start": round(segment.start, 3), "end": round(segment.end, 3)}
    return {**found, "words": words} if words else found


def subtitles(transcript: Transcript) -> list[Cue]:
    """The cues of a transcript, in order."""
    words: list[_Word] = []
    end = -1.0
    for segment in transcript.segments:
        own = list(_words(segment))
        if own and segment.start > end:
            own[0] = replace(own[0], first=True)
        words += own
        end = segment.end
    groups: list[list[_Word]] = []
    for word in words:
        current = groups[-1] if groups else []
        if not current or word.first or word.start - current[-1].end >= _PAUSE:
            groups.append([word])
        elif _fits([*current, word]):
            current.append(word)
        else:
            at = _break(current, word)
            groups.append([*current[at:], word])
            del current[at:]
            if not _fits(groups[-1]):  # only for a word that is nearly a cue by itself
                groups[-1:] = [groups[-1][:-1], [word]]
    groups = [group for group in groups if group]
    cues: list[Cue] = []
    for group, following in itertools.zip_longest(groups, groups[1:]):
        start = max(group[0].start, cues[-1].end if cues else 0)
        end = min(max(group[-1].end, start + SHORTEST), start + LONGEST)
        if following is not None:
            end = min(end, max(following[0].start, start + 1))
        cues.append(Cue(start, max(end, start + 1), tuple(_lines(group) or ())))
    return cues


def _break(words: Sequence[_Word], following: _Word) -> int:
    """How many words of a full cue stay: up to the end of a sentence, or the longest gap, in its second half."""
    ends = [*(word.start for word in words[1:]), following.start]
    half = len(words) // 2
    choices = range(max(half, 1), len(words) + 1)
    return max(choices, key=lambda n: (words[n - 1].stops, ends[n - 1] - words[n - 1].end, n))


def _fits(words: Sequence[_Word]) -> bool:
    return words[-1].end - words[0].start <= LONGEST and _lines(words) is not None


def _lines(words: Sequence[_Word]) -> list[str] | None:
    """One line where they fit, else two as even as can be; None where that is not enough."""
    ends = list(itertools.accumulate(word.columns + (not word.glued) for word in words))
    whole = ends[-1] - (not words[0].glued)
    if whole <= COLUMNS:
        return [_joined(words)]
    if whole > LINES * COLUMNS + 1:
        return None
    splits = [
        (max(ends[n - 1] - (not words[0].glued), ends[-1] - ends[n - 1] - (not words[n].glued)), n)
        for n in range(1, len(words))
    ]
    widest, at = min(splits, default=(whole, 0))
    return [_joined(words[:at]), _joined(words[at:])] if widest <= COLUMNS else None


def _joined(words: Sequence[_Word]) -> str:
    return "".join(("" if word.glued or not i else " ") + word.text for i, word in enumerate(words))


def _columns(text: str) -> int:
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _words(segment: Segment) -> Iterable[_Word]:
    """The words of a segment, none wider than a line."""
    timed = [(word.text, word.start * 1000, word.end * 1000) for word in segment.words]
    for text, start, end in timed or _shared(segment.text.split(), segment.start * 1000, segment.end * 1000):
        parts = _narrow(text)
        for i, (part, begin, finish) in enumerate(_shared(parts, start, end)):
            yield _Word(part, round(begin), max(round(finish), round(begin)), glued=i > 0)


def _shared(texts: Sequence[str], start: float, end: float) -> list[tuple[str, float, float]]:
    """Texts that follow each other from `start` to `end`, each for a time by its length."""
    lengths = [len(text) + 1 for text in texts]
    bounds = [start + (end - start) * done / max(sum(lengths), 1) for done in (0, *itertools.accumulate(lengths))]
    return list(zip(texts, bounds, bounds[1:], strict=False))


def _narrow(text: str) -> list[str]:
    """A word in parts of at most a line; what combines stays with what it belongs to. Wide scripts, which have no
    spaces, may be parted anywhere, and are in parts of a character."""
    parts: list[str] = []
    for character in text:
        width = _width(character)
        narrow = bool(parts) and width == 1 and _width(parts[-1][0]) < 2 and _columns(parts[-1]) < COLUMNS
        if parts and (width == 0 or narrow):
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def _time(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}{point}{rest:03d}"


def _srt(cues: Sequence[Cue]) -> str:
    blocks = (
        f"{number}\n{_time(cue.start, ',')} --> {_time(cue.end, ',')}\n" + "\n".join(cue.lines) + "\n"
        for number, cue in enumerate(cues, start=1)
    )
    return "\n".join(blocks)


def _vtt(cues: Sequence[Cue]) -> str:
    """Characters that WebVTT takes for markup are escaped."""
    blocks = (
        f"{_time(cue.start, '.')} --> {_time(cue.end, '.')}\n"
        + "\n".join(html.escape(line, quote=False) for line in cue.lines)
        + "\n"
        for cue in cues
    )
    return "\n".join(["WEBVTT\n", *blocks])
