"""Cutting at pauses: nothing that is louder than its background is lost, whatever blocks it comes in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from duolect.audio import read_audio, write_audio
from duolect.audio.blocks import sound_blocks, sound_seconds
from duolect.audio.segments import Piece, SegmentConfig, cut, hears_nothing
from duolect.errors import AudioError, ConfigError

RATE = 16_000


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    """White noise, `level` dB of full scale."""
    return (10 ** (level / 20) * np.random.default_rng(seed).normal(size=round(seconds * RATE))).astype(np.float32)


def speech(seconds: float, level: float = -20, seed: int = 0) -> np.ndarray:
    """Noise that becomes 12 dB louder and quieter six times a second, as syllables do."""
    time = np.arange(round(seconds * RATE)) / RATE
    return (noise(seconds, level, seed) * 10 ** (-0.3 * (1 + np.sin(12 * np.pi * time)))).astype(np.float32)


def recording(parts: list[tuple[float, float]], background: float = -60.0) -> np.ndarray:
    """(seconds of silence, seconds of speech) one after the other."""
    sounds = [
        np.concatenate([np.zeros(round(gap * RATE), np.float32), speech(loud, -20, seed)])
        for seed, (gap, loud) in enumerate(parts)
    ]
    whole = np.concatenate([*sounds, np.zeros(2 * RATE, np.float32)])
    return whole + noise(len(whole) / RATE, background, 99)[: len(whole)]


def spans(pieces: list[Piece]) -> list[tuple[float, float]]:
    return [(round(piece.begin / RATE, 2), round(piece.end / RATE, 2)) for piece in pieces]


@pytest.mark.parametrize("background", [-60.0, -45.0, -200.0])
def test_silence_parts_pieces_and_is_left_out(background: float) -> None:
    sound = recording([(3.0, 2.0), (4.0, 3.0), (0.3, 1.0), (60.0, 0.4)], background)
    pieces = list(cut([sound], SegmentConfig()))
    assert spans(pieces) == [(2.75, 5.25), (8.75, 13.55), (72.95, 73.95)]  # 0.3 s part nothing; 0.4 s become 1 s
    for piece in pieces:
        np.testing.assert_array_equal(piece.samples, sound[piece.begin : piece.end])


def test_the_size_of_blocks_changes_nothing() -> None:
    random = np.random.default_rng(1)
    sound = recording([(float(random.uniform(0.1, 3)), float(random.uniform(0.3, 9))) for _ in range(20)])
    config = SegmentConfig(longest=6.0)
    whole = list(cut([sound], config))
    for size in (977, 16_000, 1_000_000):
        parted = list(cut((sound[at : at + size] for at in range(0, len(sound), size)), config))
        assert spans(parted) == spans(whole), size
        assert all((a.samples == b.samples).all() for a, b in zip(parted, whole, strict=True)), size


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("keep", [False, True])
def test_all_that_is_heard_is_in_a_piece_and_none_is_too_long(seed: int, keep: bool) -> None:
    random = np.random.default_rng(seed)
    parts = [(float(random.choice([0.0, 0.1, 0.3, 0.8, 5.0])), float(random.uniform(0.2, 12))) for _ in range(12)]
    sound = recording(parts)
    longest = float(random.choice([2.0, 5.0, 30.0]))
    pieces = list(cut([sound], SegmentConfig(longest=longest, keep_silence=keep)))
    covered = np.zeros(len(sound), bool)
    for before, piece in itertools.pairwise([Piece(0, np.zeros(0)), *pieces]):
        assert len(piece.samples) <= longest * RATE, seed
        assert piece.overlap == max(0, before.end - piece.begin), seed
        covered[piece.begin : piece.end] = True
    if keep:
        assert covered.all(), seed
    at = 0
    for gap, loud in parts:
        at += round(gap * RATE)
        assert covered[at : at + round(loud * RATE)].mean() > 0.99, (seed, at / RATE)
        at += round(loud * RATE)


@pytest.mark.parametrize("longest", [2.0, 5.004, 5.006, 6.3299, 8.03, 7.019999999999999])
@pytest.mark.parametrize("keep", [False, True])
def test_no_piece_is_longer_than_asked_by_any_part_of_a_frame(longest: float, keep: bool) -> None:
    pieces = list(cut([speech(25.0)], SegmentConfig(longest=longest, keep_silence=keep)))
    assert max(len(piece.samples) / RATE for piece in pieces) <= longest
    assert max(len(piece.samples) / RATE for piece in pieces) > longest - 0.01


def test_speech_without_a_pause_is_parted_at_a_dip_by_a_model_or_with_overlap() -> None:
    loud = speech(25.0)
    overlapping = list(cut([loud], SegmentConfig(longest=10.0, overlap=2.0, keep_silence=True)))
    assert spans(overlapping) == [(0, 10), (8, 18), (16, 25)]
    assert [piece.overlap for piece in overlapping] == [0, 2 * RATE, 2 * RATE]
    asked = []

    def find(samples: np.ndarray, low: int, high: int) -> int:
        asked.append((len(samples), low, high))
        return 7 * RATE

    assert spans(list(cut([loud], SegmentConfig(longest=10.0, keep_silence=True), find)))[:2] == [(0, 7), (7, 14)]
    assert asked[0] == (10 * RATE, 5 * RATE, 10 * RATE)
    loud[6 * RATE : 6 * RATE + RATE // 4] *= 0.2
    (_, first), *_ = spans(list(cut([loud], SegmentConfig(longest=10.0, keep_silence=True), find)))
    assert 6.0 < first < 6.25  # a dip is preferred to what a model says


def test_steady_noise_and_clicks_are_no_speech() -> None:
    steady = noise(100.0, -30)
    steady[50 * RATE : 50 * RATE + 100] += 0.5
    assert list(cut([steady], SegmentConfig())) == []
    assert list(cut([np.zeros(20 * RATE, np.float32)], SegmentConfig())) == []
    assert list(cut([], SegmentConfig())) == []
    assert spans(list(cut([steady], SegmentConfig(longest=60, keep_silence=True))))[-1][1] == 100.0


@pytest.mark.parametrize("seconds", [0.5, 1.9, 2.0, 5.0, 9.99, 31.0])
def test_a_whole_recording_of_silence_is_heard_as_such(seconds: float) -> None:
    still = np.zeros(round(seconds * RATE), np.float32)
    rounded = np.round(noise(seconds, -100) * 32768).astype(np.float32) / 32768
    clicked = still.copy()
    clicked[RATE // 4 : RATE // 4 + 50] = 0.5
    for sound in (still, rounded, *([noise(seconds, -30), noise(seconds, -60), clicked] if seconds >= 2 else [])):
        assert hears_nothing(sound)


@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.5, 1.9, 2.0, 5.0, 9.99, 31.0])
@pytest.mark.parametrize("level", [-15.0, -40.0])
def test_speech_is_not_taken_for_silence_however_short(seconds: float, level: float) -> None:
    loud = speech(seconds, level)
    assert not hears_nothing(loud)
    lone = noise(20.0, level - 30)
    lone[8 * RATE : 8 * RATE + min(len(loud), 4 * RATE)] += loud[: 4 * RATE]
    assert hears_nothing(lone) == (not list(cut([lone], SegmentConfig()))) == (seconds == 0.03)
    if seconds < 2:  # a vowel alone is as steady as noise is
        time = np.arange(round(seconds * RATE)) / RATE
        assert not hears_nothing((10 ** (level / 20) * np.sin(2 * np.pi * 150 * time)).astype(np.float32))


def test_what_came_before_an_error_is_given_first() -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield recording([(1.0, 2.0)])
        raise AudioError("broken")

    found = cut(blocks(), SegmentConfig())
    assert spans([next(found)]) == [(0.75, 3.25)]
    with pytest.raises(AudioError, match="broken"):
        next(found)


@pytest.mark.parametrize("wrong", [{"longest": 0.5}, {"longest": float("nan")}, {"padding": -1.0}, {"silence": 0.0}])
def test_lengths_that_are_none_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SegmentConfig(**wrong)


@pytest.mark.parametrize(("rate", "suffix"), [(16_000, "wav"), (8_000, "wav"), (44_100, "flac"), (48_000, "ogg")])
def test_blocks_are_the_whole(rate: int, suffix: str, tmp_path: Path) -> None:
    time = np.arange(round(7.3 * rate)) / rate
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 200 * time * (1 + time)), rate)
    whole = read_audio(path)
    blocks = list(sound_blocks(path, 2))
    assert [len(block) for block in blocks[:-1]] == [2 * RATE] * 3
    joined = np.concatenate(blocks)
    assert abs(len(joined) - len(whole)) <= 1
    np.testing.assert_allclose(joined[: len(whole)], whole[: len(joined)], atol=1e-3 if suffix == "ogg" else 2e-6)
    assert sound_seconds(path) == pytest.approx(7.3, abs=1e-3)


def test_of_damaged_files_the_sound_before_is_given(tmp_path: Path) -> None:
    whole = np.round(noise(12.0, -20) * 32768) / 32768
    write_audio(tmp_path / "a.flac", whole)
    write_audio(tmp_path / "a.wav", whole)
    for name, share in (("a.flac", 0.5), ("a.wav", 0.5), ("a.wav", 0.75)):
        data = (tmp_path / name).read_bytes()
        broken = tmp_path / f"broken-{name}"
        broken.write_bytes(data[: int(len(data) * share)])
        heard: list[np.ndarray] = []
        with pytest.raises(AudioError, match=r"truncated|cannot be read|breaks off"):
            heard.extend(sound_blocks(broken, 5))  # what came before the error stays there
        samples = np.concatenate(heard)
        at_once: list[np.ndarray] = []
        with pytest.raises(AudioError):
            at_once.extend(sound_blocks(broken))
        assert sum(map(len, at_once)) == len(samples), name
        assert 12 * share - 1.5 <= len(samples) / RATE <= 12 * share + 0.1, name
        np.testing.assert_allclose(samples, whole[: len(samples)], atol=1e-6)
    with pytest.raises(AudioError, match="no such"):
        list(sound_blocks(tmp_path / "missing.wav"))
    bad = noise(12.0, -20)
    bad[100_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", bad, RATE, subtype="FLOAT")
    heard = []
    with pytest.raises(AudioError, match=r"from 6 s on it cannot be read .*finite"):
        heard.extend(sound_blocks(tmp_path / "nan.wav", 5))
    assert sum(map(len, heard)) == 6 * RATE
