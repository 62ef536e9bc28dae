"""Subtitles: read back, they hold every word once, in order, within what a screen and a reader can take."""

from __future__ import annotations

import html
import itertools
import json
import re
import unicodedata

import numpy as np
import pytest

from duolect.systems import Segment, TimedWord, Transcript, subtitles
from duolect.systems.recordings import written_as

Cues = list[tuple[float, float, list[str]]]
TIME = r"(\d\d+):(\d\d):(\d\d)[,.](\d{3})"


def seconds(hours: str, minutes: str, whole: str, rest: str) -> float:
    assert int(minutes) < 60
    assert int(whole) < 60
    return int(hours) * 3600 + int(minutes) * 60 + int(whole) + int(rest) / 1000


def parse_srt(text: str) -> Cues:
    cues: Cues = []
    for number, block in enumerate(text.strip("\n").split("\n\n") if text else [], start=1):
        index, timing, *lines = block.split("\n")
        assert index == str(number)
        found = re.fullmatch(f"{TIME} --> {TIME}", timing.replace(".", "!"))
        assert found, timing
        cues.append((seconds(*found.groups()[:4]), seconds(*found.groups()[4:]), lines))
    return cues


def parse_vtt(text: str) -> Cues:
    head, *blocks = text.rstrip("\n").split("\n\n")
    assert head == "WEBVTT"
    cues: Cues = []
    for block in blocks:
        timing, *lines = block.split("\n")
        found = re.fullmatch(f"{TIME} --> {TIME}", timing.replace(",", "!"))
        assert found, timing
        assert not any("<" in line or "-->" in line for line in lines)
        cues.append(
            (seconds(*found.groups()[:4]), seconds(*found.groups()[4:]), [html.unescape(line) for line in lines])
        )
    return cues


def spoken(random: np.random.Generator, alphabet: str, words: int, timed: bool, spaces: bool = True) -> Transcript:
    segments, at = [], float(random.uniform(0, 5))
    while words > 0:
        count = int(random.integers(1, 40))
        words -= count
        own, begin = [], at
        for _ in range(count):
            text = "".join(random.choice(list(alphabet), size=random.integers(1, 12)))
            length = float(random.choice([0.0, 0.06, 0.3, 0.5, 9.0], p=[0.05, 0.2, 0.4, 0.33, 0.02]))
            own.append(TimedWord(text, at, at + length, 0.9))
            at += length + float(random.choice([0.0, 0.06, 0.3, 1.5], p=[0.3, 0.4, 0.25, 0.05]))
        at = max(at, begin + 0.1)
        text = (" " if spaces else "").join(word.text for word in own)
        segments.append(Segment(begin, at, text, tuple(own) if timed else ()))
        at += float(random.choice([0.0, 0.2, 30.0]))
    return Transcript("a", " ".join(s.text for s in segments), segments=tuple(segments))


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in line)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("timed", [True, False])
def test_every_word_once_within_the_rules(seed: int, timed: bool) -> None:
    random = np.random.default_rng(seed)
    alphabet = ["abcdefg'.?", "שלוםאבג", "今日は天気がいい", "éà̂ñ<&>"][seed % 4]
    found = spoken(random, alphabet, 150, timed, spaces=timed or seed % 8 < 4)
    cues = parse_srt(written_as(found, "a", "srt"))
    assert cues == parse_vtt(written_as(found, "a", "vtt"))
    said = "".join(line for *_, lines in cues for line in lines).replace(" ", "")
    assert said == found.text.replace(" ", ""), seed
    starts = [round(1000 * s.start) for s in found.segments]
    for start, end, lines in cues:
        assert 0 < end - start <= 7.0 + 1e-6, seed
        assert 1 <= len(lines) <= 2, (seed, lines)
        assert all(line and columns(line) <= 42 for line in lines), (seed, lines)
    for (start, end, _), (following, *_) in itertools.pairwise(cues):
        assert end <= following + 1e-9, seed
        assert end - start >= 1.0 - 1e-9 or following - end < 0.0011, (seed, start, end, following)
    assert starts[0] / 1000 == pytest.approx(cues[0][0], abs=0.1)
    for cue in subtitles(found):
        assert isinstance(cue.start, int)


def test_cues_end_at_pauses_and_sentences() -> None:
    before = "it was a long and rather uneventful day by the sea."
    after = "then came the storm, and all of it"
    words = [TimedWord(text, 0.4 * i, 0.4 * i + 0.3, 1.0) for i, text in enumerate(f"{before} {after}".split())]
    (first, second) = subtitles(Transcript("a", "", segments=(Segment(0, 10, "", tuple(words)),)))
    assert " ".join(first.lines) == before
    assert " ".join(second.lines) == after
    late = [words[0], TimedWord("was", 2.0, 2.2, 1.0)]
    assert [cue.lines for cue in subtitles(Transcript("a", "", segments=(Segment(0, 10, "", tuple(late)),)))] == [
        ("it",),
        ("was",),
    ]


def test_hours_and_nothing_at_all() -> None:
    word = TimedWord("late", 36_000.5, 36_001.0, 1.0)
    found = Transcript("a", "late", segments=(Segment(36_000.0, 36_002.0, "late", (word,)),))
    assert "10:00:00,500 --> 10:00:01,500" in written_as(found, "a", "srt")
    empty = Transcript("a", "", flags=("no_speech",), duration=50.0)
    assert written_as(empty, "a", "srt") == ""
    assert written_as(empty, "a", "text") == ""
    assert parse_vtt(written_as(empty, "a", "vtt")) == []
    assert json.loads(written_as(empty, "a.wav", "json")) == {
        "file": "a.wav",
        "text": "",
        "score": None,
        "terms": {},
        "flags": ["no_speech"],
        "duration": 50.0,
        "segments": [],
    }
