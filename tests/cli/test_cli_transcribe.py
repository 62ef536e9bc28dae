"""`duolect transcribe` on long recordings: every format, into files and folders, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import Call, process

from duolect.audio import read_audio, write_audio
from duolect.audio.segments import Piece
from duolect.data import load_manifest
from duolect.data.synthetic import Corpus
from duolect.errors import AudioError


@pytest.fixture(scope="module")
def talk(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight spoken sentences with silence between them."""
    gap = np.zeros(24_000, np.float32)
    sounds = [read_audio(utterance.audio_filepath) for utterance in load_manifest(corpus.test)]
    path = tmp_path_factory.mktemp("talk") / "talk.flac"
    write_audio(path, np.concatenate([part for sound in sounds for part in (gap, sound)]))
    return path


def test_every_format_to_standard_output_and_to_files(runs: Path, talk: Path, tmp_path: Path, call: Call) -> None:
    common = (talk, "--system", runs / "am", "--method", "ctc-greedy", "--segment-seconds", 8)
    text = call("transcribe", *common)
    assert (text.status, len(text.out.splitlines())) == (0, 1)
    given = json.loads(call("transcribe", *common, "--json", "--words").out)
    assert given["file"] == str(talk)
    assert given["text"] == text.out.rstrip("\n")
    assert " ".join(segment["text"] for segment in given["segments"]) == given["text"]
    for segment in given["segments"]:
        assert [word["text"] for word in segment.get("words", [])] in (segment["text"].split(), [])
    written = ""
    for name, head in (("srt", "1\n00:"), ("vtt", "WEBVTT\n"), ("text", given["text"][:5]), ("json", "{")):
        one = tmp_path / "one" / "a.out"
        assert call("transcribe", *common, "--format", name, "--out", one).out == f"{one}\n"
        written = one.read_text(encoding="utf-8")
        assert written.startswith(head) or not given["text"]
    assert call("transcribe", *common, "--json", "--out", tmp_path / "all").status == 0
    assert (tmp_path / "all" / "talk.json").read_text(encoding="utf-8") == written
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["a.out"]


def test_silence_and_damage_are_said(runs: Path, talk: Path, tmp_path: Path, call: Call) -> None:
    write_audio(tmp_path / "still.wav", np.zeros(16_000 * 40, np.float32))
    write_audio(tmp_path / "short.wav", np.zeros(16_000 * 5, np.float32))
    data = talk.read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) * 2 // 3])
    common = ("--system", runs / "am", "--method", "ctc-greedy", "--format", "srt", "--out", tmp_path / "out")
    still = call("transcribe", tmp_path / "still.wav", *common)
    assert still.status == 0
    assert "still.wav: no speech was found in 40 s" in still.err
    assert (tmp_path / "out" / "still.srt").read_text() == ""
    short = call("transcribe", tmp_path / "short.wav", *common[:4])
    assert (short.status, short.out) == (0, "\n")
    assert "short.wav: no speech was found in 5 s" in short.err
    assert call("transcribe", tmp_path / "short.wav", *common[:4], "--json", "--keep-silence").status == 0
    broken = call("transcribe", tmp_path / "cut.flac", tmp_path / "none.wav", *common)
    assert broken.status == 1, broken
    assert "cut.flac: what comes before that is transcribed, " in broken.err, broken.err
    assert "there is no such audio file" in broken.err, broken.err
    assert (tmp_path / "out" / "cut.srt").exists()
    assert not (tmp_path / "out" / "none.srt").exists()


def test_which_stretch_is_missing_is_said(runs: Path, talk: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    given = ("transcribe", talk, "--system", runs / "am", "--method", "ctc-greedy", "--segment-seconds", 8)
    lost: list[Piece] = []

    def broken(piece: Piece) -> np.ndarray:
        if piece.begin and not lost:
            lost.append(piece)
            raise AudioError("broken.")
        return piece.samples

    monkeypatch.setattr("duolect.systems.recordings.transcribe._samples", broken)
    found = call(*given)
    stretch = f"{lost[0].begin / 16_000:.2f} to {lost[0].end / 16_000:.2f} s"
    assert found.status == 1
    assert f"talk: from {stretch} nothing is recognised (broken)." in found.err
    assert f" s are transcribed, but not {stretch}\n" in found.err
    assert "what comes before that" not in found.err

    def silent(piece: Piece) -> np.ndarray:
        raise AudioError("broken.")

    monkeypatch.setattr("duolect.systems.recordings.transcribe._samples", silent)
    nothing = call(*given)
    assert nothing.status == 1
    assert " transcribed, " not in nothing.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--segment-seconds", -3), "segment_seconds must be at least 1, not -3.0"),
        (("--batch-seconds", -3), "batch_seconds must be at least 0, not -3.0"),
        (("--json", "--format", "srt"), "--json is --format json"),
        (("--words",), "the text alone has no times; write --format json"),
        (("{tmp}/b/talk.flac", "--format", "vtt"), "give a folder: --out FOLDER"),
        (("{tmp}/b/talk.flac", "--out", "{tmp}/out"), "two files are called 'talk'"),
        (("--out", "/dev/null/out/a.srt"), "nothing can be written there"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: tuple[object, ...], said: str, runs: Path, talk: Path, tmp_path: Path, call: Call
) -> None:
    filled = [str(option).format(tmp=tmp_path) for option in options]
    assert said in call("transcribe", talk, *filled, "--system", runs / "am").sentence()
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_one_leaves_nothing_half_written(runs: Path, talk: Path, tmp_path: Path) -> None:
    long = tmp_path / "in" / "long.flac"
    long.parent.mkdir()
    write_audio(long, np.tile(read_audio(talk), 40))
    out = tmp_path / "out" / "long.srt"
    started = process("transcribe", long, "--system", runs / "am", "--format", "srt", "--out", out)
    time.sleep(4.0)
    os.kill(started.pid, signal.SIGINT)
    started.communicate(timeout=60)
    assert started.returncode != 0
    assert not out.exists()
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_a_name_with_a_line_break_stays_on_its_line(runs: Path, tmp_path: Path, call: Call) -> None:
    names = ["a\nb.wav", "c\x1b[31m\td\u2028.wav"]
    for name in names:
        write_audio(tmp_path / name, np.zeros(16_000, np.float32))
    found = call("transcribe", *(tmp_path / name for name in names), "--system", runs / "am", "--method", "ctc-greedy")
    assert found.status == 0, found
    assert found.out == f"{tmp_path}/a\\nb.wav: \n{tmp_path}/c\\x1b[31m\\td\\u2028.wav: \n"


def test_a_file_without_a_name_is_said_before_a_model_is_loaded(talk: Path, tmp_path: Path, call: Call) -> None:
    found = call("transcribe", talk, "", "--system", tmp_path / "none")
    assert found.status != 0
    assert "one of the files has no name" in found.err
