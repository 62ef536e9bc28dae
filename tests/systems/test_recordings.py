"""Recordings of any length: short ones as ever, long ones as their parts, with the times of their words."""

from __future__ import annotations

import dataclasses
import itertools
import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from duolect.audio import write_audio
from duolect.audio.segments import Piece
from duolect.data import Utterance
from duolect.errors import AudioError, ConfigError, SystemFolderError
from duolect.evaluation import peak_memory_bytes, reset_peak_memory
from duolect.systems import Component, Segment, System, TimedWord, Transcript
from duolect.systems.batches import audio_source
from duolect.systems.context import Context
from duolect.systems.recognition import run_batches
from duolect.systems.recordings.gaps import gap_finder
from duolect.systems.recordings.joining import join
from duolect.systems.recordings.words import find_listener, recognize_with_words, time_words
from duolect.systems.rows import Candidate
from duolect.text import CharacterUnits

RATE = 16_000


def said(seconds: float, seed: int) -> np.ndarray:
    """A wandering tone that comes and goes as syllables do, in 16 bits."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = np.repeat(random.uniform(150, 3000, int(seconds * 10) + 1), RATE // 10)[: len(time)]
    tone = 0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * (0.6 + 0.4 * np.sin(10 * np.pi * time))
    return (np.rint(tone * 32768) / 32768).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def padded(sound: np.ndarray) -> np.ndarray:
    """As it is cut out of silence."""
    return np.concatenate([silence(0.25), sound, silence(0.25)])


@pytest.mark.parametrize("method", ["ctc-beam", "speech-llm"])
def test_short_recordings_are_what_one_run_over_all_of_them_gives(
    method: str, system: System, corpus: list[Utterance]
) -> None:
    chosen = system.with_method(method)
    files = [utterance.audio_filepath for utterance in corpus]
    assert chosen.search is not None
    run = run_batches(
        chosen.parts,
        chosen.search,
        [audio_source(i, file) for i, file in enumerate(files)],
        batch_seconds=60.0,
        max_seconds=120.0,
        device=chosen.device,
    )
    for words in (False, True):
        for i, found in enumerate(chosen.transcribe(files, words=words, nbest=True)):
            best = run.candidates[i][0]
            assert (found.text, found.score, found.terms) == (best.text, best.score, best.terms)
            assert found.flags[: len(best.flags)] == best.flags
            assert set(found.flags[len(best.flags) :]) <= {"no_word_times"}
            (segment,) = found.segments
            assert (segment.start, segment.end, segment.text) == (0.0, found.duration, found.text)
            told = words and "no_word_times" not in segment.flags
            assert [word.text for word in segment.words] == (found.text.split() if told else [])
            assert [c.text for c in found.nbest] == [c.text for c in run.candidates[i]]


@pytest.mark.parametrize("method", ["ctc-greedy", "attention+ctc"])
def test_a_long_recording_is_its_parts(method: str, system: System, tmp_path: Path) -> None:
    chosen = system.with_method(method)
    parts = [said(seconds, seed) for seed, seconds in enumerate((2.0, 1.2, 3.4, 0.8, 2.5))]
    gaps = [1.5, 0.9, 65.0, 2.0, 1.0]
    sound = np.concatenate([each for gap, part in zip(gaps, parts, strict=True) for each in (silence(gap), part)])
    write_audio(tmp_path / "a.flac", np.concatenate([sound, silence(3.0)]))
    told: list[tuple[int, int]] = []
    (found,) = chosen.transcribe(
        tmp_path / "a.flac", words=True, segment_seconds=10, progress=lambda *now: told.append(now)
    )
    alone = chosen.transcribe([padded(part) for part in parts])
    assert found.error is None
    assert [segment.text for segment in found.segments] == [each.text for each in alone if each.text]
    assert found.text == " ".join(each.text for each in alone if each.text)
    assert found.score is None
    assert [s.score for s in found.segments] == pytest.approx([e.score for e in alone if e.text], rel=1e-4)
    assert told[-1] == (round(found.duration or 0), round(found.duration or 0))
    begins = np.cumsum(
        [gap + before for gap, before in zip(gaps, [0.0, *(len(p) / RATE for p in parts)], strict=False)]
    )
    spoken = [b for b, each in zip(begins, alone, strict=True) if each.text]
    assert [segment.start for segment in found.segments] == pytest.approx([b - 0.25 for b in spoken], abs=0.02)
    check_times(found)
    (arrays,) = chosen.transcribe(np.concatenate([sound, silence(3.0)]), words=True, segment_seconds=10)
    assert arrays.segments == found.segments
    (once_more,) = chosen.transcribe(tmp_path / "a.flac", segment_seconds=10, batch_seconds=1.0)
    assert once_more.text == found.text
    assert all(segment.words == () for segment in once_more.segments)


def check_times(found: Transcript) -> None:
    """Segments and words in order, and within each other."""
    end = 0.0
    for segment in found.segments:
        assert segment.start >= end - 1e-6
        assert segment.end > segment.start
        at = segment.start
        assert [word.text for word in segment.words] == segment.text.split()
        for word in segment.words:
            assert at - 1e-6 <= word.start <= word.end <= segment.end + 1e-6
            assert 0 <= word.confidence <= 1
            at = word.end
        end = segment.end


@pytest.mark.parametrize("words", [False, True])
def test_what_has_no_pause_is_joined_from_pieces(words: bool, system: System) -> None:
    sound = said(27.0, 3)
    (found,) = system.with_method("ctc-greedy").transcribe(sound, segment_seconds=6, words=words)
    assert found.error is None
    assert len(found.segments) >= 5
    assert found.duration == 27.0
    if words:
        check_times(found)
    (whole,) = system.with_method("ctc-greedy").transcribe(sound, segment_seconds=30)
    assert len(whole.segments) == 1
    (kept,) = system.with_method("ctc-greedy").transcribe(sound, segment_seconds=28, keep_silence=True)
    assert kept.text == whole.text


@pytest.mark.parametrize("seconds", [5.004, 5.006, 6.3299])
@pytest.mark.parametrize("keep_silence", [False, True])
def test_no_piece_is_lost_whatever_length_is_asked_for(seconds: float, keep_silence: bool, system: System) -> None:
    chosen, sound = system.with_method("ctc-greedy"), said(27.0, 3)
    (found,) = chosen.transcribe(sound, segment_seconds=seconds, keep_silence=keep_silence)
    assert found.error is None
    assert found.missing == ()
    gaps = [b.start - a.end for a, b in itertools.pairwise(found.segments)]
    assert max(gaps) < 0.01


def test_a_recording_as_long_as_may_stay_whole_does_so_at_any_rate(system: System, tmp_path: Path) -> None:
    longest = 3.00005  # 44.1 kHz have a sample more in it than 16 kHz do
    samples = int(longest * 44_100)
    soundfile.write(tmp_path / "a.wav", 0.3 * np.random.default_rng(0).normal(size=samples).clip(-1, 1), 44_100)
    (found,) = system.with_method("ctc-greedy").transcribe(tmp_path / "a.wav", segment_seconds=longest)
    assert found.error is None


@pytest.mark.parametrize("batch_seconds", [1.0, 60.0])
def test_a_piece_that_cannot_be_recognised_is_named_and_the_rest_is_there(
    batch_seconds: float, system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(piece: Piece) -> np.ndarray:
        if piece.begin / RATE == pytest.approx(5.75):
            raise AudioError("talk: broken.")
        return piece.samples

    monkeypatch.setattr("duolect.systems.recordings.transcribe._samples", broken)
    sound = np.concatenate([part for i in range(3) for part in (silence(2.0), said(2.0, i))])
    chosen = system.with_method("ctc-greedy")
    (found,) = chosen.transcribe(sound, segment_seconds=5, batch_seconds=batch_seconds)
    assert found.error == "array-0: from 5.75 to 8.25 s nothing is recognised (talk: broken)."
    assert found.missing == ((5.75, 8.25),)
    assert [segment.start for segment in found.segments] == pytest.approx([1.75, 9.75])
    assert found.duration == 12.0


def test_nothing_said_is_no_text_and_no_hallucination(system: System) -> None:
    chosen = system.with_method("attention")
    (found,) = chosen.transcribe(silence(40.0))
    assert (found.text, found.flags, found.error, found.segments) == ("", ("no_speech",), None, ())
    (heard,) = chosen.transcribe(silence(40.0), keep_silence=True)
    assert "no_speech" not in heard.flags


@pytest.mark.parametrize("seconds", [0.5, 5.0, 40.0])
@pytest.mark.parametrize("longest", [None, math.inf])
@pytest.mark.parametrize("method", ["attention", "speech-llm"])
def test_where_nothing_is_said_no_model_is_asked_be_it_whole(
    seconds: float, longest: float | None, method: str, system: System, tmp_path: Path
) -> None:
    chosen = system.with_method(method)
    write_audio(tmp_path / "still.wav", silence(seconds))
    (expected,) = chosen.transcribe(said(2.0, 1), words=True)
    for audio in (silence(seconds), tmp_path / "still.wav"):
        spoken, still = chosen.transcribe([said(2.0, 1), audio], segment_seconds=longest, words=True)
        assert (still.text, still.flags, still.error, still.segments) == ("", ("no_speech",), None, ())
        assert (still.duration, still.score, still.nbest) == (seconds, None, ())
        assert spoken == expected
        (kept,) = chosen.transcribe(audio, segment_seconds=longest, keep_silence=True)
        assert "no_speech" not in kept.flags
        assert kept.error is None


def test_of_a_damaged_recording_what_comes_before_is_kept(system: System, tmp_path: Path) -> None:
    sound = np.concatenate([silence(1.0), said(3.0, 1), silence(2.0), said(3.0, 2), silence(30.0), said(10.0, 3)])
    random = np.random.default_rng(0)
    sound[: 8 * RATE] += np.rint(random.normal(size=8 * RATE) * 3).astype(np.float32) / 32768
    write_audio(tmp_path / "whole.wav", sound)
    data = (tmp_path / "whole.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: len(data) - 7 * RATE * 2])
    chosen = system.with_method("ctc-greedy")
    whole, cut, missing = chosen.transcribe([tmp_path / n for n in ("whole.wav", "cut.wav", "no.wav")])
    assert whole.error is None
    assert "cut.wav: is truncated; it breaks off after 42.000 s" in (cut.error or "")
    assert [segment.text for segment in cut.segments[:2]] == [segment.text for segment in whole.segments[:2]]
    assert cut.text.startswith(" ".join(segment.text for segment in whole.segments[:2]))
    assert "no such" in (missing.error or "")
    sound[25 * RATE] = np.nan
    soundfile.write(tmp_path / "nan.wav", sound, RATE, subtype="FLOAT")
    (damaged,) = chosen.transcribe(tmp_path / "nan.wav", segment_seconds=8)
    assert "from 24 s on it cannot be read" in (damaged.error or "")
    assert len(damaged.segments) == 2


def long_file(path: Path, seconds: int, parts: dict[int, np.ndarray]) -> None:
    """A sparse file at 8 kHz: silence but for `parts`."""
    size = seconds * 16_000
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16_000, 2, 16)
    header = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)
    path.write_bytes(header)
    with open(path, "r+b") as handle:
        handle.truncate(44 + size)
        for second, sound in parts.items():
            handle.seek(44 + second * 16_000)
            handle.write((sound * 32767).astype("<i2").tobytes())


def test_memory_does_not_grow_with_the_length(system: System, tmp_path: Path) -> None:
    chosen = system.with_method("ctc-greedy")
    spoken = [said(3.0, seed)[::2] for seed in range(3)]
    texts, peaks = [], []
    for minutes in (6, 40):
        path = tmp_path / f"{minutes}.wav"
        long_file(path, minutes * 60, dict(zip((20, minutes * 30, minutes * 60 - 20), spoken, strict=True)))
        reset_peak_memory()
        before = peak_memory_bytes()
        (found,) = chosen.transcribe(path)
        peaks.append(peak_memory_bytes() - before)
        assert found.error is None
        assert found.duration == minutes * 60
        texts.append([segment.text for segment in found.segments])
    assert texts[0] == texts[1]
    assert len(texts[0]) == 3
    assert peaks[1] < peaks[0] + 24 * 2**20, peaks  # all samples of 40 minutes are 154 MB


def test_languages_and_lengths_are_checked_before_any_work(system: System) -> None:
    with pytest.raises(ConfigError, match="target language"):
        system.with_method("ctc-greedy").transcribe(silence(40.0), target_language="de")
    for name in ("segment_seconds", "batch_seconds"):
        with pytest.raises(ConfigError, match=name):
            system.with_method("ctc-greedy").transcribe(silence(1.0), **{name: -1.0})


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("timed", [True, False])
def test_overlapping_segments_become_the_words_that_were_said(seed: int, timed: bool) -> None:
    random = np.random.default_rng(seed)
    words = [TimedWord(f"w{random.integers(30)}", t, t + 0.3, 0.5) for t in np.arange(0.0, 20.0, 0.4)]

    def heard(low: float, high: float) -> Segment:
        own = [word for word in words if word.start >= low - 1e-9 and word.end <= high + 1e-9]
        # What stands at the edges is misheard.
        own = [word if low in (0.0,) or i else TimedWord("xx", word.start, word.end, 0.1) for i, word in enumerate(own)]
        if high < 20:
            own[-1] = TimedWord("yy", own[-1].start, own[-1].end, 0.1)
        return Segment(low, high, " ".join(word.text for word in own), tuple(own) if timed else ())

    found = join([heard(0.0, 8.0), heard(4.0, 12.0), heard(8.0, 20.1)])
    text = " ".join(segment.text for segment in found)
    assert text == " ".join(word.text for word in words), seed
    for a, b in itertools.pairwise(found):
        assert a.end <= b.start, seed
        assert "joined" in a.flags


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("text", ["天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往", "กขคฆงจฉชซฌญฎฏฐฑฒณดตถ"])
def test_overlapping_segments_of_a_script_without_spaces_say_each_character_once(text: str, timed: bool) -> None:
    def heard(begin: int, end: int) -> Segment:
        part, low, high = text[begin:end], begin / 2, end / 2
        return Segment(low, high, part, (TimedWord(part, low, high, 0.5),) if timed else ())

    first, second = join([heard(0, 12), heard(8, 20)])
    assert first.text + second.text == text
    assert first.end <= second.start
    for segment in (first, second):
        assert [word.text for word in segment.words] == ([segment.text] if timed else [])
        assert all(segment.start <= word.start <= word.end <= segment.end for word in segment.words)


def test_a_lone_word_is_never_cut_in_two() -> None:
    whole = Segment(0.0, 30.0, "this is all that i wanted to say to you today thanks")
    assert [s.text for s in join([whole, Segment(26.0, 31.0, "thanks")])][-1] == "thanks"
    assert join([Segment(0.0, 8.0, "hello"), Segment(6.0, 14.0, "and welcome to you")])[0].text == "hello"


def test_words_that_other_units_cannot_spell_have_the_times_of_their_segment(
    make: dict[str, Callable[..., Component]], corpus: list[Utterance], units: CharacterUnits
) -> None:
    acoustic = make["acoustic"](units, decoder=False)
    ctc = find_listener(System(acoustic=acoustic).parts, System(acoustic=acoustic).search_of("ctc-greedy"))
    assert ctc is not None
    log_probs = torch.randn(50, units.size + 1).log_softmax(-1)
    exact = time_words(Candidate("a bad cab", (), 0.0, {}), ctc, log_probs, 3 * RATE)
    cased = time_words(Candidate("A bad, cab!", (), 0.0, {}), ctc, log_probs, 3 * RATE)
    assert exact is not None
    assert cased is not None
    assert [word.text for word in cased] == ["A", "bad,", "cab!"]
    assert [(word.start, word.end) for word in cased] == [(word.start, word.end) for word in exact]
    assert time_words(Candidate("xyz", (), 0.0, {}), ctc, log_probs, 3 * RATE) is None
    assert time_words(Candidate("a bad cab", (), 0.0, {}), ctc, log_probs[:4], RATE) is None  # too few frames
    assert time_words(Candidate("", (), 0.0, {}), ctc, log_probs, 3 * RATE) == ()


def test_times_are_those_of_the_frames_and_the_same_in_any_batch(system: System) -> None:
    chosen = system.with_method("attention+ctc")
    assert chosen.search is not None
    listener = find_listener(chosen.parts, chosen.search)
    assert listener is not None
    sounds = [said(2.0, 1), said(1.1, 2)]
    samples_BN = torch.zeros(2, len(sounds[0]))
    for row, sound in zip(samples_BN, sounds, strict=True):
        row[: len(sound)] = torch.from_numpy(sound)
    with torch.inference_mode():
        context = Context(chosen.parts, chosen.search, ["a", "b"], samples_BN, torch.tensor([len(s) for s in sounds]))
        together = recognize_with_words(context, listener)
    for each, sound in zip(together, sounds, strict=True):
        (alone,) = chosen.transcribe(sound, words=True)
        words = each[0].words or ()
        assert words
        assert [(w.text, w.start, w.end) for w in words] == [(w.text, w.start, w.end) for w in alone.segments[0].words]
        confidences = [word.confidence for word in alone.segments[0].words]
        assert [word.confidence for word in words] == pytest.approx(confidences, abs=1e-4)
        for word in words:
            for edge in (word.start, word.end):  # frames of 60 ms, centred on multiples of that
                steps = (edge + 0.03) / 0.06
                assert abs(steps - round(steps)) < 1e-6 or edge in (0.0, len(sound) / RATE)


def test_a_gap_is_the_middle_of_the_longest_run_of_blanks(system: System) -> None:
    assert system.search is None
    chosen = system.with_method("ctc-greedy")
    assert chosen.search is not None
    listener = find_listener(chosen.parts, chosen.search)
    assert listener is not None
    sound = said(6.0, 4)
    with torch.inference_mode():
        model = listener.part.model
        log_probs_BTW, _ = model.ctc_log_probs(model.encode(torch.from_numpy(sound)[None], torch.tensor([len(sound)])))
        blank_T = (log_probs_BTW[0, :, -1].exp() > 0.5).tolist()
    low, high = 1.0, 5.5
    runs, at = [], 0
    for blank, group in itertools.groupby(blank_T):
        frames = list(range(at, at + len(list(group))))
        at += len(frames)
        inside = [t for t in frames if low <= t * 0.06 <= high]
        if blank and inside:
            runs.append(inside)
    found = gap_finder(listener, chosen.device)(sound, round(low * RATE), round(high * RATE))
    best = max(runs, key=len, default=[])
    if len(best) * 0.06 < 0.3:
        assert found is None
    else:
        assert found == round((best[0] + best[-1]) / 2 * 0.06 * RATE)


def test_pieces_are_as_long_as_what_the_models_were_trained_on(system: System, tmp_path: Path) -> None:
    assert system.acoustic is not None
    sound = said(12.0, 5)

    def longest(trained: float | None, **settings: float) -> float:
        acoustic = dataclasses.replace(system.acoustic, trained_seconds=trained)
        part = System(acoustic=acoustic).with_method("ctc-greedy")
        part.save(tmp_path / f"{trained}")
        (found,) = System.load(tmp_path / f"{trained}").transcribe(sound, **settings)
        return max(segment.end - segment.start for segment in found.segments)

    assert longest(None) == longest(20.0) == 12.0
    assert 4.0 < longest(8.0) <= 8.0
    assert 3.0 < longest(2.0) <= 5.0
    assert longest(2.0, segment_seconds=60.0) == 12.0
    (tmp_path / "8.0" / "acoustic" / "training.json").write_text('{"usual_seconds": "long"}')
    with pytest.raises(SystemFolderError, match=r"training.json: expected .*usual_seconds"):
        System.load(tmp_path / "8.0")
