"""Kaldi data directories: wav.scp, text, and where they are there segments, utt2spk, spk2gender, utt2lang, utt2dur.

Commands in wav.scp ("flac -c -d -s FILE |") are never run. Where one does nothing but decode a file, the file itself is
read; utterances behind any other are skipped, each with its command (kaldi-asr.org/doc/data_prep.html).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from duolect.audio import audio_info
from duolect.data.corpora.base import UNKNOWN, Corpus, Plan, Split, WholeFile, repeatable, sign_files, source_folder
from duolect.data.corpora.kaldi_pipes import Sound, read_extended
from duolect.data.corpora.lines import GENDERS, NO_UTF_8, bad_line, text_lines, undecodable
from duolect.data.corpora.probe import one_channel_of
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import AudioError, ManifestError

_FILES = ("wav.scp", "text", "segments", "utt2spk", "spk2gender", "utt2lang", "utt2dur")


@dataclass(frozen=True, kw_only=True)
class KaldiOptions:
    """Options of `kaldi`."""

    root: Path | None = None
    """Folder that relative paths in wav.scp start from: the one Kaldi's recipe ran in (…/s5). By default the first of
    SOURCE, the two folders above it, and the working folder in which the first such path exists."""
    lang: str | None = None
    """Language of the utterances that utt2lang does not name."""
    text: bool = True
    """Whether there are transcripts; without, the sound is only to be transcribed."""


def plan(source: str, options: KaldiOptions, out: Path) -> Plan:
    """One split for a data directory, or for each one in SOURCE. Raises ManifestError where there is none."""
    root = source_folder(source)
    folders = [root] if (root / "wav.scp").is_file() else sorted(p.parent for p in root.glob("*/wav.scp"))
    if not folders:
        raise ManifestError(f"{root}: is no Kaldi data directory, nor holds any; expected the file wav.scp in it.")
    for folder in folders:
        if options.text and not (folder / "text").exists():
            raise ManifestError(f"{folder}: has no file text; with --no-text it is imported without transcripts.")

    def reader(folder: Path) -> Callable[[], Iterator[Utterance | Skipped]]:
        return lambda: _utterances(folder, options)

    splits = tuple(
        Split(folder.name or "all", repeatable(reader(folder)), transcribed=options.text) for folder in folders
    )
    files = [folder / name for folder in folders for name in _FILES if (folder / name).exists()]
    return Plan(splits, sign_files(files), {"commands in wav.scp": "not run; files that they only decode are read"})


class _Lookup:
    """Values by key from a file of lines "KEY VALUE", read only as far as the last key asked for.

    Kaldi keeps its files in the same order; then nothing but the current line is in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mangled: dict[str, int] = {}
        """Keys whose line is not valid UTF-8, of the lines that were read; and the line."""
        self._pairs = self._read() if path.exists() else iter(())
        self._ahead: dict[str, str] = {}

    def _read(self) -> Iterator[tuple[str, str]]:
        for number, line in text_lines(self.path):
            key, value = _pair(line)
            if undecodable(line):
                self.mangled[key] = number
            yield key, value

    def take(self, key: str) -> str | None:
        """The value of a key, which is then forgotten; None where there is no line for it (left)."""
        if key in self._ahead:
            return self._ahead.pop(key)
        for name, value in self._pairs:
            if name == key:
                return value
            self._ahead.setdefault(name, value)
        return None

    def rest(self) -> Iterator[str]:
        """The keys that nobody asked for."""
        yield from self._ahead
        for name, _ in self._pairs:
            yield name


def _utterances(folder: Path, options: KaldiOptions) -> Iterator[Utterance | Skipped]:
    files = {name: _Lookup(folder / name) for name in ("text", "utt2spk", "utt2lang", "utt2dur")}
    genders: dict[str, str] = {}
    for line, text in text_lines(folder / "spk2gender") if (folder / "spk2gender").exists() else ():
        if undecodable(text):
            yield bad_line(folder / "spk2gender", line)
        else:
            key, value = _pair(text)
            genders[key] = value.lower()
    segmented = (folder / "segments").exists()
    for found in _segments(folder, options) if segmented else _recordings(folder, options):
        name = found.id
        held = {what: file.take(name) for what, file in files.items()}
        if isinstance(found, Skipped):
            yield found
            continue
        used = [file for what, file in files.items() if options.text or what != "text"]
        if mangled := [file for file in used if name in file.mangled]:
            yield bad_line(mangled[0].path, mangled[0].mangled[name], name)
            continue
        if options.text and held["text"] is None:
            yield Skipped(name, str(folder / "text"), "no transcript: it is not in the file text")
            continue
        speaker, gender = held["utt2spk"], genders.get(held["utt2spk"] or "")
        told = None if segmented else _seconds(held["utt2dur"])
        made: Callable[..., Utterance] = Utterance if told is None else partial(WholeFile, told=told)
        yield made(
            audio_filepath=found.path,
            offset=found.start,
            duration=found.duration,
            text=" ".join((held["text"] or "").split()) if options.text else "",
            speaker=speaker or None,
            lang=held["utt2lang"] or options.lang,
            id=name,
            fields={"recording": found.recording} | ({"gender": GENDERS.get(gender, gender)} if gender else {}),
        )
    if options.text:
        where = "segments" if segmented else "wav.scp"
        path, mangled_lines = files["text"].path, files["text"].mangled
        for name in files["text"].rest():
            if name in mangled_lines:
                yield bad_line(path, mangled_lines[name], name)
            else:
                yield Skipped(name, str(path), f"no sound: it is in the file text but not in {where}")


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Where an utterance is: a file, and the stretch of it."""

    id: str
    path: Path
    recording: str
    start: float = 0.0
    duration: float = UNKNOWN


def _recordings(folder: Path, options: KaldiOptions) -> Iterator[_Stretch | Skipped]:
    """The recordings of wav.scp, each of which is an utterance."""
    for line, name, sound in _wav_scp(folder, options):
        reason = _unreadable(sound, False)
        if reason:
            yield Skipped(name, f"{folder / 'wav.scp'}:{line}", reason)
        else:
            yield _Stretch(name, Path(sound.path), name)


def _segments(folder: Path, options: KaldiOptions) -> Iterator[_Stretch | Skipped]:
    """The segments, lines "UTTERANCE RECORDING START END [CHANNEL]" in seconds; an END of -1 is the recording's."""
    recordings = {name: (line, sound) for line, name, sound in _wav_scp(folder, options)}
    reasons: dict[tuple[str, bool], str] = {}
    path = folder / "segments"
    for line, text in text_lines(path):
        cells = text.split()
        place = f"{path}:{line}"
        if undecodable(text):
            yield bad_line(path, line, cells[0])
            continue
        try:
            start, end = float(cells[2]), float(cells[3])
        except (ValueError, IndexError):
            start = end = math.nan
        if len(cells) not in (4, 5) or not start >= 0 or not (end > start or end == -1):
            reason = f"bad line: {place} expected UTTERANCE RECORDING START END, found {text!r}"
            yield Skipped(cells[0], str(path), reason)
            continue
        name, recording = cells[:2]
        if recording not in recordings:
            yield Skipped(name, str(path), f"no sound: the recording {recording!r} is not in wav.scp ({place})")
            continue
        where, sound = recordings[recording]
        asked = (recording, len(cells) == 5)
        if asked not in reasons:
            reasons[asked] = _unreadable(sound, asked[1])
        reason = reasons[asked]
        if reason:
            yield Skipped(name, f"{folder / 'wav.scp'}:{where}", reason)
        else:
            duration = UNKNOWN if end == -1 else round(end - start, 6)
            yield _Stretch(name, Path(sound.path), recording, start, duration)


def _wav_scp(folder: Path, options: KaldiOptions) -> Iterator[tuple[int, str, Sound]]:
    """Line, recording and what is to be read, with an absolute path."""
    path = folder / "wav.scp"
    root = options.root
    for line, text in text_lines(path):
        name, extended = _pair(text)
        if undecodable(text):
            yield line, name, Sound(fault=f"bad line: {path}:{line} {NO_UTF_8}")
            continue
        sound = read_extended(extended)
        if sound.path and not os.path.isabs(sound.path):
            if root is None:
                tried = (folder, folder.parent, folder.parent.parent, Path.cwd())
                root = next((base for base in tried if (base / sound.path).exists()), folder)
            sound = Sound(os.path.normpath(root.absolute() / sound.path), sound.one_channel, sound.fault)
        yield line, name, sound


def _unreadable(sound: Sound, one_channel: bool) -> str:
    """Why a recording cannot be read as it is meant; "" where it can, or where the header will tell."""
    if sound.fault:
        return sound.fault
    if one_channel or sound.one_channel:
        try:
            channels = audio_info(sound.path).channels
        except AudioError:
            return ""
        if channels > 1:
            return one_channel_of(channels)
    return ""


def _pair(line: str) -> tuple[str, str]:
    """The key of a line and what follows it."""
    key, *rest = line.split(None, 1)
    return key, rest[0] if rest else ""


def _seconds(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


CORPUS = Corpus(
    name="kaldi",
    title="a Kaldi data directory",
    source="a folder with wav.scp and text in it, or a folder of such folders (data/), one split each",
    options=KaldiOptions,
    plan=plan,
)
