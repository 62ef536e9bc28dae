"""Opening sound files and taking mono samples from anywhere in them: by libsndfile, else by torchcodec."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from duolect.audio import flac, mpeg
from duolect.audio.chain import Chain, is_ogg_sound, links, ogg_pages
from duolect.audio.parquet import row_address, row_bytes
from duolect.audio.sources import Place, SoundBytes, SoundSource, once, open_binary, scan
from duolect.audio.spliced import Spliced
from duolect.errors import AudioError

if TYPE_CHECKING:
    import soundfile

_BLOCK_VALUES = 1 << 20  # read at once, all channels together, so that many channels need little memory
# libsndfile's log says what a header promised and what the file has room for; "RIFF" and "FORM", the outermost sizes of
# wav and aiff, are left out, since some writers never fill them in.
_PROMISE = re.compile(r"^\s*(?:data|SSND|Data Size|Riff size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0x7FFF_F000  # sizes from here on stand for "not known yet" where a header was written before the sound
_SLACK_BYTES = 8
_NIST_SAMPLES = re.compile(rb"^sample_count -i (\d+)\s*$", re.MULTILINE)
_NIST_HEADER = 1024
_MATROSKA, _MATROSKA_DURATION, _ASF = b"\x1aE\xdf\xa3", b"\x44\x89", b"0&\xb2u\x8ef\xcf\x11"
_COUNTED_SECONDS = 30
# Frames of layer III lean on up to 255 (MPEG 1: 511) bytes of those before: more than libmpg123 goes back if these are
# as small as in the silence of a variable bit rate.
_LEAD_SECONDS = 0.6
# What torch and torchcodec put before and behind what they have to say: names of C++ functions and files.
_WHERE = re.compile(r"^\s*(?:\w+(?:::\w+)*, )?\S+\.(?:cpp|cc|h):\d+:?,?\s*|\s*Exception raised from .*", re.DOTALL)
_ENDLESS = 1 << 60  # frames; libsndfile gives such a number where it knows none


class Sound(Protocol):
    """An open sound file."""

    format: str
    """As libsndfile calls it: "WAV", "OGG" …; nothing for what it cannot read."""
    rate: int
    channels: int
    frames: int
    """Samples per channel; for torchcodec as the container says where it does, which may be a little off."""
    damage: str | None
    """What can be seen to be wrong with the file, in one sentence; what comes before can be read."""

    def read(self, start: int, stop: int | None) -> np.ndarray:
        """Frames `start` to `stop` (None, or beyond the end: to the end) as mono float32 (N,), mean of the channels.

        Raises AudioError where the sound cannot be decoded or breaks off.
        """
        ...


@contextlib.contextmanager
def open_sound(source: SoundSource, *, whole: bool = True) -> Generator[Sound]:
    """Open a sound. Raises AudioError when it is missing, empty, not audio or has no samples; where it is to be
    `whole`, also when it is seen to be truncated, which is else its `damage`."""
    import soundfile

    file = _content(source)
    _check_file(file)
    with contextlib.ExitStack() as stack:
        try:
            sound = _open(file, stack)
            if (several := links(file, sound.format)) is not None:
                sound = Chain(file, several, _open)
        except (soundfile.SoundFileError, TypeError) as error:  # TypeError: headerless .raw
            # libsndfile opens some files that hold several recordings, and no others.
            several = links(file, "OGG") if is_ogg_sound(file) else None
            sound = Chain(file, several, _open) if several and several.parts else _TorchcodecSound(file, error)
        if whole and sound.damage is not None:
            raise AudioError(sound.damage)
        if sound.frames == 0:
            raise AudioError(f"{file}: the audio file has no samples.")
        yield sound


def _content(source: SoundSource) -> Path | SoundBytes:
    if isinstance(source, SoundBytes):
        return source
    address = row_address(source)
    if address is None or os.path.exists(source):
        return Path(source)
    return SoundBytes(os.fspath(source), row_bytes(address))


def _open(place: Place, stack: contextlib.ExitStack) -> Sound:
    """One recording, by libsndfile. Raises soundfile.SoundFileError or TypeError where that cannot read it."""
    import soundfile

    # By its path where there is one: then libsndfile reads by itself, and knows the suffix. As bytes, since soundfile
    # finds no name that is not UTF-8.
    handle: Any = os.fsencode(place) if isinstance(place, Path) else stack.enter_context(open_binary(place))
    opened = stack.enter_context(soundfile.SoundFile(handle))
    return _counted(place, opened, stack) or _LibsndfileSound(place, opened)


def _counted(place: Place, opened: soundfile.SoundFile, stack: contextlib.ExitStack) -> Sound | None:
    """A sound whose header does not say how long it is, with its true length; None for any other.

    libsndfile gives no more than it takes the length to be: where that is too short, or nothing, it is shown a file
    that says more.
    """
    import soundfile

    if opened.format == "MP3" and (stream := once(place, "mpeg", lambda: scan(place, mpeg.scan))) is not None:
        if stream.headed or opened.frames < stream.samples:
            handle = stack.enter_context(open_binary(place))
            spliced: Any = Spliced(handle, stream.begin, stream.end, size=stream.ample_size)
            opened = stack.enter_context(soundfile.SoundFile(spliced))
        return _LibsndfileSound(place, opened, stream.samples)
    if opened.frames < _ENDLESS:
        return None
    if opened.format != "FLAC" or (length := once(place, "flac", lambda: scan(place, flac.scan))) is None:
        raise soundfile.SoundFileError("the header does not say how long it is, and no end is found")
    handle = stack.enter_context(open_binary(place))
    spliced: Any = Spliced(handle, length.skip, handle.seek(0, io.SEEK_END), head=length.head)
    return _LibsndfileSound(place, stack.enter_context(soundfile.SoundFile(spliced)), length.samples, length.broken)


class _LibsndfileSound:
    def __init__(self, path: Place, file: soundfile.SoundFile, frames: int | None = None, broken: bool = False) -> None:
        self.path, self.file, self.format = path, file, file.format
        self.rate: int = file.samplerate
        self.channels: int = file.channels
        self.frames: int = file.frames if frames is None else frames
        self.last_seek = self.frames
        if file.format == "OGG":
            pages = ogg_pages(path)
            broken = broken or pages.fault is not None
            # libsndfile 1.2.2 lands some samples off when it seeks into the last page of Vorbis.
            if file.subtype == "VORBIS" and pages.links:
                self.last_seek = max(0, self.frames - pages.links[-1].last_page)
        self.lead = round(_LEAD_SECONDS * self.rate) if file.format == "MP3" else 0
        self.decoded = np.zeros(0, dtype=np.float32)  # of a file that cannot be sought in
        broken = broken or _breaks_promise(file.extra_info)
        if file.format == "NIST":  # of which libsndfile's log says nothing
            broken = self.frames * self.channels + _SLACK_BYTES < _nist_samples(path)
        after = f"it breaks off after {self.frames / self.rate:.3f} s"
        self.damage = f"{path}: is truncated; {after}." if broken else None

    def read(self, start: int, stop: int | None) -> np.ndarray:
        stop = self.frames if stop is None else min(stop, self.frames)
        if self.file.seekable():
            at = max(0, min(start, self.last_seek) - self.lead)
            return self._decode(at, stop)[start - at :]
        # GSM 6.10 and other codecs of telephony can only be decoded on from where they are.
        if stop > len(self.decoded):
            self.decoded = np.concatenate([self.decoded, self._decode(len(self.decoded), stop)])
        return self.decoded[start:stop]

    def _decode(self, at: int, stop: int) -> np.ndarray:
        import soundfile

        blocks = []
        try:
            if at and self.file.seekable():
                self.file.seek(at)
            while at < stop:
                wanted = min(stop - at, max(1, _BLOCK_VALUES // self.channels))
                block = self.file.read(wanted, dtype="float32", always_2d=True)
                blocks.append(block[:, 0] if self.channels == 1 else block.mean(axis=1, dtype=np.float32))
                at += len(block)
                if len(block) < wanted:
                    raise AudioError(f"{self.path}: is truncated; it breaks off after {at / self.rate:.3f} s.")
        except soundfile.SoundFileError as error:
            raise AudioError(
                f"{self.path}: is truncated or damaged; from {at / self.rate:.3f} s on it cannot be decoded "
                f"({_reason(error)})."
            ) from error
        return np.concatenate(blocks) if blocks else np.zeros(0, dtype=np.float32)


class _TorchcodecSound:
    def __init__(self, path: Path | SoundBytes, cause: Exception) -> None:
        self.path, self.format, self.damage = path, "", None
        try:
            # Imported by name: it is an extra, and without FFmpeg's libraries its import fails with a RuntimeError.
            decoders: Any = importlib.import_module("torchcodec.decoders")
        except (ImportError, OSError, RuntimeError) as error:
            raise AudioError(
                f"{path}: is not audio that libsndfile reads ({_reason(cause)}); if it is m4a, aac or video, it "
                "needs torchcodec (pip install torchcodec) and FFmpeg."
            ) from error
        try:
            self.decoder = decoders.AudioDecoder(str(path) if isinstance(path, Path) else path.data)
        except (RuntimeError, ValueError) as error:
            raise AudioError(f"{path}: is not an audio file ({_reason(cause)}).") from error
        metadata = self.decoder.metadata
        self.rate: int = metadata.sample_rate
        self.channels: int = metadata.num_channels
        stored = metadata.duration_seconds_from_header if _stores_duration(path) else None
        self.frames: int = round((stored or 0.0) * self.rate) or once(path, "decoded", self._count)

    def read(self, start: int, stop: int | None) -> np.ndarray:
        end = None if stop is None else stop / self.rate
        try:
            heard = self.decoder.get_samples_played_in_range(start / self.rate, end)
        except (RuntimeError, ValueError, IndexError) as error:
            raise AudioError(
                f"{self.path}: cannot be decoded from {start / self.rate:.3f} s on ({_reason(error)})."
            ) from error
        samples = heard.data.float().mean(dim=0).numpy()
        # Streams may begin later than the file; that time is silent.
        late = round(heard.pts_seconds * self.rate) - start
        return np.pad(samples, (max(0, late), 0))

    def _count(self) -> int:
        """The frames that can be decoded, one block after the other."""
        at, end, block, there = 0, 0, _COUNTED_SECONDS * self.rate, 1
        while there:
            try:
                there = len(self.read(at, at + block))
            except AudioError:  # also where a block begins at the end of the file
                if not end:
                    raise
                break
            end, at = at + there, at + block
        return end


def _stores_duration(file: Path | SoundBytes) -> bool:
    """Whether a file is of a container that has a field for its duration; of others, such as bare AAC, FFmpeg guesses
    it by the bit rate."""
    with open_binary(file) as handle:
        start = handle.read(4096)
    if start.startswith(_MATROSKA):  # which leaves it out where it is written through a pipe
        return _MATROSKA_DURATION in start
    return start[4:8] == b"ftyp" or start.startswith(_ASF)


def _check_file(file: Path | SoundBytes) -> None:
    try:
        if isinstance(file, Path) and file.is_dir():
            raise AudioError(f"{file}: is a folder, not an audio file.")
        with open_binary(file) as handle:
            if not handle.read(1):
                raise AudioError(f"{file}: the audio file is empty (0 bytes).")
    except FileNotFoundError as error:
        raise AudioError(f"{file}: there is no such audio file.") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise AudioError(f"{file}: the audio file cannot be read ({_reason(error)}).") from error


def _breaks_promise(log: str) -> bool:
    """Whether the header promises more sound than the file has, going by libsndfile's log."""
    sizes = ((int(promised), int(there)) for promised, there in _PROMISE.findall(log))
    return any(there + _SLACK_BYTES < promised < _STREAMED for promised, there in sizes)


def _nist_samples(file: Place) -> int:
    """The samples that a NIST SPHERE header promises: of each channel, or, as some have it, of all together."""
    with open_binary(file) as handle:
        found = _NIST_SAMPLES.search(handle.read(_NIST_HEADER))
    return 0 if found is None else int(found[1])


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", "") or getattr(error, "strerror", "") or str(error)
    text = _WHERE.sub("", str(text))
    return " ".join(str(text).split()).rstrip(".")[:160]
