"""Ogg files page by page: gaps and damage end the sound, recordings one after the other are all read."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from duolect.audio import audio_info, ogg, read_audio
from duolect.audio.blocks import sound_blocks, sound_seconds
from duolect.audio.decoders import SoundBytes
from duolect.errors import AudioError

RATE = 16_000
SUBTYPES = ("VORBIS", "OPUS")


def _tones(seconds: int) -> np.ndarray:
    """In each second another tone, so that each says where it belongs."""
    time = np.arange(RATE) / RATE
    return np.concatenate([0.3 * np.sin(2 * np.pi * (300 + 60 * k) * time) for k in range(seconds)]).astype("f4")


def _encode(sound: np.ndarray, subtype: str, rate: int = RATE) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, sound, rate, format="OGG", subtype=subtype)
    return out.getvalue()


def _pages(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        page = ogg._page(data, at)
        assert page is not None
        found.append(data[page.begin : page.end])
        at = page.end
    return found


def _numbered(pages: list[bytes]) -> bytes:
    """The pages with new numbers and the checksums that belong to them."""
    out = b""
    for number, page in enumerate(pages):
        bare = page[:18] + number.to_bytes(4, "little") + bytes(4) + page[26:]
        crc = 0
        for byte in bare:  # bit by bit, as RFC 3533 defines it
            crc ^= byte << 24
            for _ in range(8):
                crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFF_FFFF
        out += bare[:22] + crc.to_bytes(4, "little") + bare[26:]
    return out


def _second(samples: np.ndarray) -> int:
    """Which second of `_tones` a second is."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return round((spectrum.argmax() * RATE / len(samples) - 300) / 60)


@pytest.mark.parametrize("rate", [RATE, 48_000])
@pytest.mark.parametrize("seconds", [0.02, 1, 12])
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_an_intact_file_is_one_recording(subtype: str, seconds: float, rate: int) -> None:
    sound = np.random.default_rng(0).standard_normal((round(seconds * rate), 2)) * 0.1
    data = _encode(sound, subtype, rate)
    for around in (data, data + b"TAG" + bytes(125), b"ID3" + bytes(70_000) + data):
        pages = ogg.scan(around)
        assert pages.whole, (len(around) - len(data), pages)
    if seconds <= 1:
        assert _numbered(_pages(data)) == data
    assert audio_info(SoundBytes("a", data)).duration == soundfile.info(io.BytesIO(data)).duration


@pytest.mark.parametrize("kind", ["cut", "zeros", "noise", "one bit", "renumbered"])
@pytest.mark.parametrize("subtype", SUBTYPES)
def test_sound_ends_where_pages_are_missing_or_damaged(subtype: str, kind: str, tmp_path: Path) -> None:
    sound = _tones(60)
    data = _encode(sound, subtype)
    wanted = read_audio(SoundBytes("a", data))
    pages = _pages(data)
    first, last = len(pages) * 2 // 5, len(pages) * 3 // 5
    begin, end = (len(b"".join(pages[:n])) for n in (first, last))
    middle = (begin + end) // 2
    damaged = {
        "cut": data[: begin + 100] + data[end:],
        "zeros": data[:middle] + bytes(1500) + data[middle + 1500 :],
        "noise": data[:middle] + np.random.default_rng(1).bytes(1500) + data[middle + 1500 :],
        "one bit": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        "renumbered": _numbered(pages[:first] + pages[last:]),
    }[kind]
    path = tmp_path / "a.ogg"
    path.write_bytes(damaged)
    assert ogg.scan(damaged).fault == "damaged"
    seconds = sound_seconds(path)
    assert 5 < seconds < 40
    for read in (audio_info, read_audio):
        with pytest.raises(AudioError, match=rf"a\.ogg: is damaged; from {seconds:.3f} s on it cannot be read\.$"):
            read(path)
    blocks: list[np.ndarray] = []
    with pytest.raises(AudioError, match=rf"is damaged; from {seconds:.3f} s on"):
        blocks.extend(sound_blocks(path, 7))
    heard = np.concatenate(blocks)
    assert len(heard) == round(seconds * RATE)
    assert [_second(heard[k * RATE : (k + 1) * RATE]) for k in range(int(seconds))] == list(range(int(seconds)))
    np.testing.assert_allclose(heard[: -RATE // 2], wanted[: len(heard) - RATE // 2], atol=2e-2)


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_recording_of_a_broadcast_begins_in_its_middle(subtype: str) -> None:
    pages = _pages(_encode(_tones(60), subtype))
    data = b"".join(pages[:2] + pages[len(pages) // 2 :])
    assert ogg.scan(data).whole
    samples = read_audio(SoundBytes("a", data))
    assert len(samples) == round(audio_info(SoundBytes("a", data)).duration * RATE)
    assert _second(samples[-2 * RATE : -RATE]) == 58


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_recordings_one_after_the_other_are_all_read(subtype: str, tmp_path: Path) -> None:
    sound = _tones(40)
    parts = [_encode(sound[: 13 * RATE], subtype), _encode(sound[13 * RATE : 20 * RATE + 77], subtype)]
    parts += [parts[1], _encode(sound[20 * RATE :], subtype)]
    wanted = np.concatenate([read_audio(SoundBytes("a", part)) for part in parts])
    path = tmp_path / "a.ogg"
    path.write_bytes(b"".join(parts))
    for source in (path, SoundBytes("a", path.read_bytes())):
        assert audio_info(source).duration == len(wanted) / RATE
        assert sound_seconds(source) == len(wanted) / RATE
        np.testing.assert_array_equal(read_audio(source), wanted)
        np.testing.assert_allclose(np.concatenate(list(sound_blocks(source, 6))), wanted, atol=2e-2)
    part = read_audio(path, offset=12.5, duration=8)
    np.testing.assert_allclose(part, wanted[round(12.5 * RATE) : round(20.5 * RATE)], atol=2e-2)


def test_a_recording_of_another_rate_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    first = _encode(_tones(3), "VORBIS")
    path.write_bytes(first + _encode(np.zeros(44_100), "VORBIS", 44_100))
    said = r"a\.ogg: another recording follows after 3\.000 s, which has 44100 Hz and not 16000 Hz\.$"
    for read in (audio_info, read_audio):
        with pytest.raises(AudioError, match=said):
            read(path)
    assert sound_seconds(path) == 3
    blocks: list[np.ndarray] = []
    with pytest.raises(AudioError, match=said):
        blocks.extend(sound_blocks(path))
    np.testing.assert_array_equal(np.concatenate(blocks), read_audio(SoundBytes("a", first)))


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_a_file_that_is_damaged_before_its_sound_is_refused(subtype: str) -> None:
    pages = _pages(_encode(_tones(9), subtype))
    data = b"".join(pages[:2]) + bytes(200) + b"".join(pages[3:])
    with pytest.raises(AudioError, match="a: is damaged at its beginning; nothing of it can be read"):
        read_audio(SoundBytes("a", data))


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="makes videos with ffmpeg")
def test_videos_are_left_to_ffmpeg(tmp_path: Path) -> None:
    """libsndfile reads none; what is joined or damaged is not for us to take apart."""
    pytest.importorskip("torchcodec")
    video = tmp_path / "a.ogv"
    made = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=64x64:duration=2",
        "-f",
        "lavfi",
        "-i",
        "sine=duration=2:sample_rate=16000",
    ]
    command = ["ffmpeg", "-loglevel", "error", *made, "-c:v", "libtheora", "-c:a", "libvorbis", str(video)]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this ffmpeg writes no Theora")
    assert len(read_audio(video)) == pytest.approx(2 * RATE, rel=0.05)
    video.write_bytes(video.read_bytes() * 2)
    assert len(read_audio(video)) >= 1.9 * RATE
