"""Reading and writing sound: formats, parts of files, and everything that can be wrong with a file."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from duolect.audio import audio_info, decoders, read_audio, write_audio
from duolect.audio.blocks import sound_blocks
from duolect.errors import AudioError, DuolectError

OPUS = {"format": "OGG", "subtype": "OPUS"}
FORMATS: dict[str, dict[str, str]] = {"a.wav": {}, "a.flac": {}, "a.ogg": {}, "a.mp3": {}, "a.opus": OPUS}


def _sound(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """A sweep in noise (N, channels): no two stretches are alike, so that a shift by one sample shows."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * rate)) / rate
    sweep = 0.3 * np.sin(2 * np.pi * (200 + 60 * t) * t)
    return (sweep[:, None] * np.linspace(1, 0.5, channels) + 0.02 * rng.standard_normal((len(t), channels))).astype(
        "f4"
    )


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Path]:
    folder, files = tmp_path_factory.mktemp("sounds"), {}
    for rate in (16_000, 22_050, 44_100, 48_000):
        for name, kind in FORMATS.items():
            if name == "a.opus" and rate in (22_050, 44_100):
                continue
            files[name, rate] = folder / f"{rate}-{name}"
            soundfile.write(files[name, rate], _sound(4, rate, 2), rate, **kind)
    return files


def test_reads_every_format(written: dict[tuple[str, int], Path]) -> None:
    wanted = read_audio(written["a.wav", 16_000])
    np.testing.assert_allclose(wanted, _sound(4, 16_000, 2).mean(axis=1), atol=1e-4)
    for (name, rate), path in written.items():
        info = audio_info(path)
        assert (info.sample_rate, info.channels) == (rate, 2)
        assert info.duration == pytest.approx(4, abs=0.1)
        samples = read_audio(path)
        assert samples.dtype == np.float32
        assert samples.flags.c_contiguous
        assert len(samples) == round(info.duration * 16_000)
        if rate == 16_000:  # the noise differs from rate to rate
            error = np.square(samples - wanted).mean() / np.square(wanted).mean()
            assert error < 0.03, (name, error)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_part_is_the_slice_of_the_whole(data: st.DataObject, written: dict[tuple[str, int], Path]) -> None:
    path = written[data.draw(st.sampled_from(sorted(written)))]
    offset = data.draw(st.floats(0, 3.99))
    duration = data.draw(st.none() | st.floats(0.001, 5))
    rate = data.draw(st.sampled_from((16_000, 8_000, 22_050)))
    part, whole = (
        read_audio(path, offset=offset, duration=duration, sample_rate=rate),
        read_audio(path, sample_rate=rate),
    )
    begin = round(offset * rate)
    wanted = whole[begin:] if duration is None else whole[begin : begin + max(1, round(duration * rate))]
    assert len(part) == len(wanted)
    np.testing.assert_allclose(part, wanted, atol=1e-5)


def test_seeking_into_the_last_page_of_vorbis(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", np.random.default_rng(0).standard_normal(22_050 * 12) * 0.1, 22_050)
    whole = read_audio(tmp_path / "a.ogg", sample_rate=22_050)
    for offset in np.arange(10.5, 12, 0.1):
        part = read_audio(tmp_path / "a.ogg", sample_rate=22_050, offset=float(offset))
        np.testing.assert_allclose(part, whole[round(offset * 22_050) :], atol=1e-5)


@pytest.mark.parametrize("subtype", ["GSM610", "G721_32"])
def test_parts_and_blocks_of_codecs_that_cannot_be_sought_in(subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    soundfile.write(path, _sound(7, 8000), 8000, subtype=subtype)
    whole = read_audio(path)
    part = read_audio(path, offset=5.5, duration=1)
    np.testing.assert_allclose(part, whole[88_000:104_000], atol=1e-5)
    blocks = np.concatenate(list(sound_blocks(path, 2)))
    np.testing.assert_allclose(blocks, whole, atol=1e-5)


def test_a_part_of_a_long_file_takes_little_memory_and_eight_channels_no_more(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 16_000, 8, "PCM_16") as file:
        for _ in range(30):
            file.write(np.full((16_000 * 60, 8), 1024, dtype=np.int16))
    assert audio_info(path).duration == 1800
    code = (
        "import resource, sys; from duolect.audio import read_audio\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak(); part = read_audio(sys.argv[1], offset=1700, duration=20); a = peak() - before\n"
        "whole = read_audio(sys.argv[1]); b = peak() - before\n"
        "assert len(part) == 320_000 and len(whole) == 28_800_000 and abs(whole - 1 / 32).max() == 0\n"
        "print(a, b)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    part, whole = map(int, done.stdout.split())
    assert part < 40
    assert whole < 400  # mebibytes; all channels at once would be 880


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_write_and_read_again(name: str, tmp_path: Path) -> None:
    samples = _sound(1, 16_000)[:, 0] * 4  # some of it louder than 1
    write_audio(tmp_path / name, samples)
    found = read_audio(tmp_path / name)
    np.testing.assert_allclose(found, np.clip(samples, -1, 1), atol=2 / 32768)
    write_audio(tmp_path / f"again-{name}", found)
    np.testing.assert_array_equal(read_audio(tmp_path / f"again-{name}"), found)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"again-{name}"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    sound = np.zeros(100, dtype=np.float32)
    for name, samples in (
        ("a.mp3", sound),
        ("a", sound),
        ("a.wav", np.zeros((5, 2))),
        ("a.wav", np.zeros(0)),
        ("a.wav", np.array([np.nan])),
    ):
        with pytest.raises(AudioError, match=re.escape(str(tmp_path / name))):
            write_audio(tmp_path / name, samples)
    (tmp_path / "file").write_text("")
    with pytest.raises(DuolectError):
        write_audio(tmp_path / "file" / "a.wav", sound)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def _bad(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.wav"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no sound\n" * 100)
    elif kind == "header":
        path.write_bytes(b"RIFF\x00\x00")
    elif kind == "zero-length":
        soundfile.write(path, np.zeros(0), 16_000)
    elif kind in ("nan", "infinite"):
        soundfile.write(path, np.array([0, float(kind[:3]), 0]), 16_000, subtype="FLOAT")
    elif kind == "raw":
        path = path.with_suffix(".raw")
        path.write_bytes(bytes(1000))
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "there is no such audio file"),
        ("folder", "is a folder"),
        ("empty", r"is empty \(0 bytes\)"),
        ("text", "is not audio that libsndfile reads .*pip install torchcodec"),
        ("header", "is not audio"),
        ("zero-length", "has no samples"),
        ("nan", "not finite"),
        ("infinite", "not finite"),
        ("raw", "is not audio"),
    ],
)
def test_bad_files_get_one_sentence(kind: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    path = _bad(tmp_path, kind)
    with pytest.raises(AudioError, match=message) as caught:
        read_audio(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith(".")
    assert "\n" not in text
    if kind not in ("nan", "infinite"):
        with pytest.raises(AudioError, match=message):
            audio_info(path)


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize("name", [*FORMATS, "a.aiff", "a.au", "a.rf64", "a.w64", "a.nist"])
def test_truncated_files(name: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / name
    soundfile.write(path, _sound(4, 16_000), 16_000, **FORMATS.get(name, {}))
    assert len(read_audio(path)) == 64_000
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(AudioError, match=rf"{name}: is truncated"):
        read_audio(path)


def test_wav_streamed_through_a_pipe_is_whole(tmp_path: Path) -> None:
    """Programs that write wav to a pipe cannot know its length and leave the largest number in the header."""
    path = tmp_path / "a.wav"
    soundfile.write(path, _sound(1, 16_000), 16_000)
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    for size in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024):
        data[4:8], data[at : at + 4] = struct.pack("<I", size), struct.pack("<I", size)
        path.write_bytes(data)
        assert len(read_audio(path)) == 16_000
        assert audio_info(path).duration == 1


def test_a_name_that_is_no_utf_8_is_read_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.wav")
    write_audio(tmp_path / "plain.wav", _sound(0.1, 16_000)[:, 0])
    os.rename(tmp_path / "plain.wav", path)
    assert audio_info(path).duration == 0.1
    assert len(read_audio(path)) == 1600


def test_impossible_parts(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, np.zeros(16_000))
    for offset in (-1.0, float("nan"), float("inf")):
        with pytest.raises(AudioError, match=r"a\.wav: offset must be 0 or more"):
            read_audio(path, offset=offset)
    for duration in (0.0, -1.0, float("nan")):
        with pytest.raises(AudioError, match=r"a\.wav: duration must be above 0"):
            read_audio(path, duration=duration)
    for offset in (1.0, 2.0):
        with pytest.raises(AudioError, match=r"a\.wav: lasts 1\.000 s, but the part to read begins at"):
            read_audio(path, offset=offset)
    assert len(read_audio(path, offset=0.9, duration=7)) == 1600


def test_silence_one_sample_and_eight_channels_are_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "one.wav", np.array([0.5]), 16_000)
    assert read_audio(tmp_path / "one.wav") == pytest.approx([0.5])
    soundfile.write(tmp_path / "silent.wav", np.zeros((800, 8)), 16_000)
    assert not read_audio(tmp_path / "silent.wav").any()
    assert audio_info(tmp_path / "silent.wav").channels == 8


class _Decoder:
    """What of torchcodec's AudioDecoder is used, over a ramp of two channels at 8 kHz that starts 10 ms late."""

    def __init__(self, source: str) -> None:
        if not source.endswith(".m4a"):
            raise ValueError("no audio stream")
        self.metadata = SimpleNamespace(sample_rate=8000, num_channels=2, duration_seconds_from_header=2.0)

    def get_samples_played_in_range(self, start: float, stop: float | None) -> SimpleNamespace:
        first = max(80, round(start * 8000))
        ramp = torch.arange(first, 16_000 if stop is None else min(16_000, round(stop * 8000))) / 16_000
        return SimpleNamespace(data=torch.stack((ramp, ramp)), pts_seconds=first / 8000, sample_rate=8000)


def test_other_formats_go_through_torchcodec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torchcodec.decoders")
    module.AudioDecoder = _Decoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    for name in ("a.m4a", "a.txt"):
        (tmp_path / name).write_bytes(b"not for libsndfile")
    info = audio_info(tmp_path / "a.m4a")
    assert (info.duration, info.sample_rate, info.channels) == (2.0, 8000, 2)
    whole = read_audio(tmp_path / "a.m4a", sample_rate=8000)
    np.testing.assert_allclose(whole, np.where(np.arange(16_000) < 80, 0, np.arange(16_000) / 16_000), atol=1e-6)
    for offset, duration in ((0.0, 0.5), (0.77, 0.5), (1.5, None), (1.9, 3.0)):
        part = read_audio(tmp_path / "a.m4a", offset=offset, duration=duration)
        wanted = read_audio(tmp_path / "a.m4a")[round(offset * 16_000) :][: round((duration or 9) * 16_000)]
        np.testing.assert_allclose(part, wanted, atol=1e-5)
    with pytest.raises(AudioError, match=r"a\.m4a: lasts 2\.000 s"):
        read_audio(tmp_path / "a.m4a", offset=3)
    with pytest.raises(AudioError, match=r"a\.txt: is not an audio file"):
        read_audio(tmp_path / "a.txt")


def test_an_offset_beyond_all_measure_is_short_to_read(tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", np.zeros(1600, np.float32))
    with pytest.raises(AudioError, match=r"lasts 0\.100 s, but the part to read begins at 1e\+300 s\.$"):
        read_audio(tmp_path / "a.wav", offset=1e300)


@pytest.mark.parametrize(
    "said",
    [
        "decodeAVFrame, /__w/torchcodec/src/SingleStream.cpp:1436, Could not push packet to decoder: Invalid data",
        "Could not push packet to decoder: Invalid data\nException raised from decodeAVFrame at /a/Decoder.cpp:3 (most",
    ],
)
def test_reasons_name_no_source_files_of_libraries(said: str) -> None:
    assert decoders._reason(RuntimeError(said)) == "Could not push packet to decoder: Invalid data"
