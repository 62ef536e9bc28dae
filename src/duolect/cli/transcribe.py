"""`duolect transcribe`: the text of audio files, of any length, or subtitles for them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from duolect.cli.arguments import (
    Device,
    LanguageOption,
    NameOption,
    PathOption,
    PrecisionOption,
    load_system,
    parse,
    progress_bar,
    require_writable,
    say,
)
from duolect.cli.overrides import override_search, search_options
from duolect.errors import ConfigError
from duolect.storage import atomic_file

if TYPE_CHECKING:
    from duolect.systems import Transcript

_SUFFIXES = {"text": ".txt", "json": ".json", "srt": ".srt", "vtt": ".vtt"}


@dataclass(frozen=True, kw_only=True)
class Transcribe:
    """Write the text of audio files, of any length, to standard output, one line each, in the order given.

    With several files each line begins with the file's name. Recordings that last longer than the models take at once
    are cut at pauses while they are read, and the silence between is left out. The exit status is 1 where a file could
    not be recognised, or not to its end; why is said on standard error. Any setting of the search:
    --search.FIELD VALUE.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...")]
    """Any format that libsndfile reads: wav, flac, ogg, opus, mp3 …"""
    system: Path
    """System folder, or the run folder of a finished training."""
    method: NameOption = None
    """A named method (default: the system's own)."""
    target_language: LanguageOption = None
    """What to write, where the model was trained with several languages, such as "de"."""
    format: Literal["text", "json", "srt", "vtt"] = "text"
    """What to write: the text; a JSON object for each file (file, text, score, terms, flags, duration, segments; or
    file and error); or subtitles, SubRip or WebVTT."""
    json: bool = False
    """The same as --format json."""
    words: bool = False
    """Find out when each word was said, by CTC; JSON then has it, and the confidence. Subtitles always do."""
    out: PathOption = None
    """A file to write instead of standard output; or a folder, for a file NAME.txt, .json, .srt or .vtt each."""
    segment_seconds: Annotated[float | None, tyro.conf.arg(metavar="SECONDS")] = None
    """Cut what lasts longer (default: as long as what the models were trained on, from 5 to 30 s; up to 10 s recordings
    stay whole)."""
    keep_silence: bool = False
    """Show the models the silence, too: that in long recordings, and recordings in which nothing is said."""
    batch_seconds: float = 60.0
    """Seconds of audio recognised at once, padding included; 0 for one piece at a time."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    precision: PrecisionOption = "stored"

    @property
    def written(self) -> Literal["text", "json", "srt", "vtt"]:
        """The format, be it by --json."""
        return "json" if self.json else self.format

    def check(self) -> None:
        """Raise ConfigError for what cannot be meant, before a model is loaded."""
        if not self.files:
            raise ConfigError("no audio file is given.")
        if Path() in self.files:
            raise ConfigError("one of the files has no name, or is the working folder; expected names of audio files.")
        if self.json and self.format not in ("text", "json"):
            raise ConfigError(f"--json is --format json, but --format {self.format} is given, too.")
        if self.words and self.written == "text":
            raise ConfigError("--words: the text alone has no times; write --format json, srt or vtt.")
        if self.out is None and self.written in ("srt", "vtt") and len(self.files) > 1:
            raise ConfigError("subtitles of several files cannot go to standard output; give a folder: --out FOLDER.")

    def outputs(self) -> list[Path] | None:
        """The file that each recording's transcript goes to; None: standard output.

        Raises ConfigError where two recordings would go to one file, DuolectError where nothing can be written.
        """
        if self.out is None:
            return None
        folder = len(self.files) > 1 or self.out.is_dir() or not self.out.suffix
        require_writable(self.out, folder=folder, reads=self.files)
        if not folder:
            return [self.out]
        names, times = [file.stem for file in self.files], Counter(file.stem for file in self.files)
        twice = [name for name in names if times[name] > 1]
        if twice:
            raise ConfigError(f"--out: two files are called {twice[0]!r}; transcribe them into different folders.")
        return [self.out / f"{name}{_SUFFIXES[self.written]}" for name in names]


def run(arguments: list[str]) -> int:
    """Run the command; see `Transcribe`."""
    rest, settings = search_options(arguments)
    asked = parse("transcribe", Transcribe, rest)
    asked.check()
    outputs = asked.outputs()
    system = override_search(load_system(asked.system, asked.device, asked.method, asked.precision), settings)
    with progress_bar(f"transcribing {len(asked.files)} file{'s' if len(asked.files) > 1 else ''}") as progress:
        transcripts = system.transcribe(
            asked.files,
            batch_seconds=asked.batch_seconds,
            segment_seconds=asked.segment_seconds,
            keep_silence=asked.keep_silence,
            words=asked.words or asked.written in ("srt", "vtt"),
            target_language=asked.target_language,
            progress=progress,
        )
    for place, (file, transcript) in enumerate(zip(asked.files, transcripts, strict=True)):
        _report(file, transcript)
        if outputs is None:
            _show(asked, file, transcript)
        elif transcript.duration is not None:
            with atomic_file(outputs[place]) as handle:
                handle.write(_content(asked, file, transcript))
            print(outputs[place])
    return 1 if any(transcript.error is not None for transcript in transcripts) else 0


def _report(file: Path, transcript: Transcript) -> None:
    if transcript.error is not None:
        say(f"duolect transcribe: {transcript.error}")
        if transcript.segments and transcript.missing:
            lost = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in transcript.missing)
            say(f"{file}: {transcript.duration:.1f} s are transcribed, but not {lost}")
        elif transcript.segments:
            say(f"{file}: what comes before that is transcribed, {transcript.duration:.1f} s")
    elif "no_speech" in transcript.flags and transcript.duration is not None:
        say(f"{file}: no speech was found in {round(transcript.duration, 2):g} s")
    if "no_word_times" in transcript.flags:
        say(f"{file}: no CTC head can tell when the words were said; only segments have times")


def _show(asked: Transcribe, file: Path, transcript: Transcript) -> None:
    if asked.written != "text":
        print(_content(asked, file, transcript), end="")
    elif transcript.duration is not None:
        print(f"{_on_a_line(file)}: {transcript.text}" if len(asked.files) > 1 else transcript.text)


def _on_a_line(file: Path) -> str:
    """A file's name with its line breaks and other control characters escaped: each row is one line."""
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in str(file))


def _content(asked: Transcribe, file: Path, transcript: Transcript) -> str:
    from duolect.systems.recordings import written_as

    return written_as(transcript, str(file), asked.written)
