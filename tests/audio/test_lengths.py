"""Files whose headers do not say how long they are, or guess: all that is in them is read, and no more is promised."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from duolect.audio import audio_info, flac, mpeg, read_audio
from duolect.audio.blocks import sound_blocks
from duolect.audio.decoders import SoundBytes
from duolect.errors import AudioError

RATE = 22_050
_DELAY = 529  # of the decoder, which a LAME header's own delay is without


def _sound(seconds: float, *, quiet_first: bool = False) -> np.ndarray:
    """Silence and noise in turn, so that frames of a variable bit rate differ much in size."""
    n = round(seconds * RATE)
    sound = np.random.default_rng(0).standard_normal(n) * 0.2
    first = slice(0, n // 3) if quiet_first else slice(n // 3, n)
    sound[first] = 0.1 * np.sin(np.arange(n)[first] / 20)
    return sound.astype("f4")


def _mp3(sound: np.ndarray, mode: str) -> tuple[bytes, int]:
    """An mp3 file without its Info or Xing header, and the samples by which its sound comes late then."""
    out = io.BytesIO()
    soundfile.write(out, sound, RATE, format="MP3", bitrate_mode=mode, compression_level=0.5)
    data = out.getvalue()
    tag = data.index(b"LAME") if b"LAME" in data[:400] else data.index(b"Lavc")
    delay = int.from_bytes(data[tag + 21 : tag + 24], "big") >> 12
    frame = mpeg._frame(int.from_bytes(data[:4], "big"))[0]
    assert b"Xing" in data[:frame] or b"Info" in data[:frame]
    return data[frame:], delay + _DELAY


@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\0\x23" + bytes(35)])
@pytest.mark.parametrize("quiet_first", [False, True])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_all_of_an_mp3_without_a_count_of_frames_is_read(
    mode: str, quiet_first: bool, tag: bytes, tmp_path: Path
) -> None:
    sound = _sound(9, quiet_first=quiet_first)
    soundfile.write(tmp_path / "whole.mp3", sound, RATE, bitrate_mode=mode, compression_level=0.5)
    wanted = read_audio(tmp_path / "whole.mp3", sample_rate=RATE)
    assert mpeg.scan((tmp_path / "whole.mp3").read_bytes()) is None
    data, late = _mp3(sound, mode)
    path = tmp_path / "a.mp3"
    path.write_bytes(tag + data)
    seconds = audio_info(path).duration
    assert 9 <= seconds < 9.2
    assert audio_info(SoundBytes("a", tag + data)).duration == seconds
    whole = read_audio(path, sample_rate=RATE)
    assert len(whole) == round(seconds * RATE)
    np.testing.assert_allclose(whole[late + 2000 : late + len(wanted)], wanted[2000:], atol=1e-4)
    for offset in (0.3, 4.0, seconds - 0.15):  # its last stretch, as a manifest has it
        part = read_audio(path, sample_rate=RATE, offset=offset, duration=seconds - offset)
        np.testing.assert_allclose(part, whole[round(offset * RATE) :], atol=1e-4)
    blocks = np.concatenate(list(sound_blocks(path, 2)))
    assert abs(len(blocks) - seconds * 16_000) <= 1


def test_what_stands_around_the_frames_of_an_mp3_is_not_counted(tmp_path: Path) -> None:
    data, _ = _mp3(_sound(3), "CONSTANT")
    found = mpeg.scan(data)
    assert found is not None
    assert (found.begin, found.end) == (0, len(data))
    size = mpeg._frame(int.from_bytes(data[:4], "big"))[0]
    for damaged, lost in (
        (bytes(300) + data + b"TAG" + bytes(125), 0),
        (data[:-5], 1),
        (data + data[: size - 1], 0),
        (data[: 10 * size] + b"\xff" * 50 + data[10 * size :], 0),
    ):
        again = mpeg.scan(damaged)
        assert again is not None
        assert again.samples == found.samples - lost * 576
    assert mpeg.scan(b"\xff" * 5000) is None
    assert mpeg.scan(b"") is None
    (tmp_path / "a.mp3").write_bytes(data[:-5])
    assert len(read_audio(tmp_path / "a.mp3", sample_rate=RATE)) == found.samples - 576


@pytest.mark.parametrize("mark", [b"Xing", b"Info", b"VBRI"])
def test_a_header_frame_that_counts_nothing_is_no_sound(mark: bytes, tmp_path: Path) -> None:
    data, _ = _mp3(_sound(3), "VARIABLE")
    (tmp_path / "bare.mp3").write_bytes(data)
    size = mpeg._frame(int.from_bytes(data[:4], "big"))[0]
    place = 36 if mark == b"VBRI" else 4 + 9
    head = bytearray(data[:4] + bytes(size - 4))
    head[place : place + 8] = mark + struct.pack(">I", 0 if mark == b"VBRI" else 1)
    path = tmp_path / "a.mp3"
    path.write_bytes(head + data)
    assert audio_info(path).duration == audio_info(tmp_path / "bare.mp3").duration
    np.testing.assert_allclose(read_audio(path), read_audio(tmp_path / "bare.mp3"), atol=1e-4)


def _endless(path: Path) -> None:
    """Take the number of samples out of a FLAC file's header, as programs leave it that write to a pipe."""
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("count", [100, 4096, 70_001])
def test_flac_of_unknown_length(count: int, channels: int, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    sound = np.repeat(_sound(4)[:count, None], channels, axis=1)
    soundfile.write(path, sound, RATE)
    wanted = read_audio(path)
    _endless(path)
    assert soundfile.info(path).frames > 1 << 60
    assert audio_info(path).duration == count / RATE
    assert audio_info(SoundBytes("a", path.read_bytes())).duration == count / RATE
    np.testing.assert_array_equal(read_audio(path), wanted)
    if count > 50_000:
        part = read_audio(path, offset=3, duration=9)
        np.testing.assert_allclose(part, wanted[48_000:], atol=1e-5)
        np.testing.assert_allclose(np.concatenate(list(sound_blocks(path, 2))), wanted, atol=1e-5)


def test_flac_of_unknown_length_that_breaks_off(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, _sound(9), RATE)
    wanted = read_audio(path)
    _endless(path)
    path.write_bytes(path.read_bytes()[:-700])
    for read in (audio_info, read_audio):
        with pytest.raises(AudioError, match=r"a\.flac: is truncated; it breaks off after [78]\.\d+ s"):
            read(path)
    blocks: list[np.ndarray] = []
    with pytest.raises(AudioError, match=r"is truncated; it breaks off after [78]"):
        blocks.extend(sound_blocks(path, 2))  # what comes before is given
    heard = np.concatenate(blocks)
    assert len(heard) > 7 * 16_000
    np.testing.assert_allclose(heard[:-200], wanted[: len(heard) - 200], atol=1e-5)


def test_flac_without_length_or_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    path = tmp_path / "a.flac"
    soundfile.write(path, _sound(1), RATE)
    _endless(path)
    path.write_bytes(path.read_bytes()[:3000])  # within the first frame
    assert flac.scan(path.read_bytes()) is None
    with pytest.raises(AudioError, match=r"a\.flac: .*does not say how long it is, and no end is found"):
        audio_info(path)


def test_bare_aac_is_as_long_as_what_is_decoded(tmp_path: Path) -> None:
    """Its bit rate changes, so that FFmpeg's guess from the first frames is far off."""
    encoders = pytest.importorskip("torchcodec.encoders", exc_type=Exception)
    sound = np.concatenate([0.01 * np.sin(np.arange(RATE * 30) / 20), _sound(35)])
    path = tmp_path / "a.aac"
    encoders.AudioEncoder(torch.from_numpy(sound)[None].float(), sample_rate=RATE).to_file(str(path))
    seconds = audio_info(path).duration
    assert seconds == pytest.approx(65, abs=0.15)
    assert audio_info(SoundBytes("a", path.read_bytes())).duration == seconds
    whole = read_audio(path)
    assert len(whole) == round(seconds * 16_000)
    assert abs(sum(len(block) for block in sound_blocks(path)) - len(whole)) <= 2
    part = read_audio(path, offset=60, duration=seconds - 60)
    np.testing.assert_allclose(part, whole[60 * 16_000 :], atol=1e-3)


class _Decoder:
    """A ramp of 95 s whose duration the header tells wrongly, or not at all; a sample is missing from each part."""

    told: float | None = 70.0

    def __init__(self, _: str) -> None:
        self.metadata = SimpleNamespace(sample_rate=8000, num_channels=1, duration_seconds_from_header=self.told)

    def get_samples_played_in_range(self, start: float, stop: float | None) -> SimpleNamespace:
        first, last = round(start * 8000), min(95 * 8000, 1 << 30 if stop is None else round(stop * 8000) - 1)
        if first >= last:
            raise RuntimeError("No audio frames were decoded.")
        data = torch.arange(first, last)[None] / (95 * 8000)
        return SimpleNamespace(data=data, pts_seconds=first / 8000, sample_rate=8000)


@pytest.mark.parametrize("told", [None, 70.0, 120.0])
@pytest.mark.parametrize("start", [b"\xff\xf1", b"\x1aE\xdf\xa3\x93B\x86"])
def test_containers_that_store_no_duration_are_gone_through(
    start: bytes, told: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("torchcodec.decoders")
    module.AudioDecoder = _Decoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    monkeypatch.setattr(_Decoder, "told", told)
    path = tmp_path / "a.bin"
    path.write_bytes(start + bytes(50))
    assert audio_info(path).duration == pytest.approx(95, abs=0.001)
    assert sum(len(block) for block in sound_blocks(path)) == pytest.approx(95 * 16_000, abs=20)


def test_a_stored_duration_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("torchcodec.decoders")
    module.AudioDecoder = _Decoder  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchcodec", ModuleType("torchcodec"))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", module)
    for start in (bytes(4) + b"ftypM4A ", b"\x1aE\xdf\xa3\x93B\x86" + bytes(30) + b"\x44\x89"):
        path = tmp_path / f"{len(start)}.bin"
        path.write_bytes(start + bytes(50))
        assert audio_info(path).duration == 70
