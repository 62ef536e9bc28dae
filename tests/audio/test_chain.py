"""Recordings that were joined byte by byte are read one after the other; a single one is left as it is."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from duolect.audio import audio_info, flac, mpeg, read_audio
from duolect.audio.blocks import sound_blocks, sound_seconds
from duolect.audio.decoders import SoundBytes
from duolect.errors import AudioError

RATE = 22_050


def _encode(count: int, form: str, rate: int = RATE) -> bytes:
    sound = np.random.default_rng(count).standard_normal(count) * 0.1
    sound[: count // 3] *= 0.01
    out = io.BytesIO()
    soundfile.write(out, sound, rate, format=form, **({"bitrate_mode": "VARIABLE"} if form == "MP3" else {}))
    return out.getvalue()


def _read(data: bytes) -> np.ndarray:
    return read_audio(SoundBytes("a", data), sample_rate=RATE)


def _bare(data: bytes) -> bytes:
    """An mp3 file without its header frame."""
    return data[mpeg._frame(int.from_bytes(data[:4], "big"))[0] :]


def _check(path: Path, wanted: np.ndarray) -> None:
    for source in (path, SoundBytes("a", path.read_bytes())):
        assert audio_info(source).duration == sound_seconds(source) == len(wanted) / RATE
        np.testing.assert_array_equal(read_audio(source, sample_rate=RATE), wanted)
    part = read_audio(path, sample_rate=RATE, offset=2.5, duration=3)
    np.testing.assert_allclose(part, wanted[round(2.5 * RATE) : round(5.5 * RATE)], atol=1e-4)
    blocks = sum(len(block) for block in sound_blocks(path, 2))
    assert abs(blocks - len(wanted) * 16_000 / RATE) <= 1


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\x08\0\0" + b"\xff\xfb" * (1 << 16)])
@pytest.mark.parametrize("counts", [(70_000, 150_001), (100_000, 100_000), (90_000, 90_000, 90_000)])
@pytest.mark.parametrize("form", ["MP3", "FLAC"])
def test_recordings_one_after_the_other_are_all_read(
    form: str, counts: tuple[int, ...], tag: bytes, tmp_path: Path
) -> None:
    parts = [_encode(count, form) for count in counts]
    path = tmp_path / "a.bin"
    path.write_bytes(b"".join(tag + part for part in parts))
    _check(path, np.concatenate([_read(part) for part in parts]))


@pytest.mark.parametrize("form", ["MP3", "FLAC"])
def test_a_later_recording_that_breaks_off_is_told_by_where_it_begins(form: str, tmp_path: Path) -> None:
    whole = _encode(100_000, form)
    path = tmp_path / "a.bin"
    path.write_bytes(whole + whole[: len(whole) // 2])
    begins = audio_info(SoundBytes("a", whole)).duration
    with pytest.raises(AudioError, match=rf"^{path}: the recording that begins at {begins:.3f} s: \S"):
        read_audio(path)
    np.testing.assert_array_equal(read_audio(path, sample_rate=RATE, duration=begins), _read(whole))


def test_mp3_without_a_header_behind_one_that_has_it(tmp_path: Path) -> None:
    first, second = _encode(100_000, "MP3"), _bare(_encode(60_000, "MP3"))
    path = tmp_path / "a.mp3"
    path.write_bytes(first + b"TAG" + bytes(125) + second)
    _check(path, np.concatenate([_read(first), _read(second)]))
    path.write_bytes(second + first)
    _check(path, np.concatenate([_read(second), _read(first)]))


@pytest.mark.parametrize("form", ["MP3", "FLAC"])
@pytest.mark.parametrize("count", [100, 5000, 400_000])
def test_a_single_recording_is_one(count: int, form: str) -> None:
    data = _encode(count, form)
    scan = mpeg.links if form == "MP3" else flac.links
    rubbish = np.random.default_rng(0).bytes(60_000)
    for around in (data, data + b"TAG" + bytes(125), b"ID3\x04\0\0\0\0\0\x23" + bytes(35) + data, data + rubbish):
        assert scan(around) == scan(memoryview(around)) == []
    if form == "MP3":
        assert mpeg.links(_bare(data)) == []
        assert mpeg.links(data[:-300]) == []


def test_flac_of_unknown_length_behind_one_another(tmp_path: Path) -> None:
    parts = []
    for count in (70_000, 90_000):
        data = bytearray(_encode(count, "FLAC"))
        data[21] &= 0xF0
        data[22:26] = bytes(4)
        parts.append(bytes(data))
    path = tmp_path / "a.flac"
    path.write_bytes(b"".join(parts))
    _check(path, np.concatenate([_read(part) for part in parts]))


@pytest.mark.parametrize("form", ["MP3", "FLAC"])
def test_a_recording_of_another_rate_is_named(form: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(_encode(3 * RATE, form) + _encode(48_000, form, 48_000))
    said = r"a\.bin: another recording follows after 3\.\d\d\d s, which has 48000 Hz and not 22050 Hz\.$"
    for read in (audio_info, read_audio):
        with pytest.raises(AudioError, match=said):
            read(path)
    blocks: list[np.ndarray] = []
    with pytest.raises(AudioError, match=said):
        blocks.extend(sound_blocks(path))
    assert sum(map(len, blocks)) == round(sound_seconds(path) * 16_000)
