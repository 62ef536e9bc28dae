"""`duolect transcribe`: the text of audio files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from duolect.cli.arguments import Device, LanguageOption, NameOption, load_system, parse, progress_bar, say
from duolect.cli.overrides import override_search, search_options
from duolect.errors import ConfigError

if TYPE_CHECKING:
    from duolect.systems import Transcript


@dataclass(frozen=True, kw_only=True)
class Transcribe:
    """Write the text of audio files to standard output, one line each, in the order given.

    With several files each line begins with the file's name. The exit status is 1 where a file could not be recognised;
    why is said on standard error. Any setting of the search: --search.FIELD VALUE.
    """

    files: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FILE...")]
    """Any format that libsndfile reads: wav, flac, ogg, opus, mp3 …"""
    system: Path
    """System folder, or the run folder of a finished training."""
    method: NameOption = None
    """A named method (default: the system's own)."""
    target_language: LanguageOption = None
    """What to write, where the model was trained with several languages, such as "de"."""
    json: bool = False
    """Write a JSON object a line instead: file, text, score, terms, flags, duration; or file and error."""
    batch_seconds: float = 60.0
    """Seconds of audio recognised at once, padding included."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU where there is one."""


def run(arguments: list[str]) -> int:
    """Run the command; see `Transcribe`."""
    rest, settings = search_options(arguments)
    asked = parse("transcribe", Transcribe, rest)
    if not asked.files:
        raise ConfigError("no audio file is given.")
    system = override_search(load_system(asked.system, asked.device, asked.method), settings)
    with progress_bar(f"transcribing {len(asked.files)} file{'s' if len(asked.files) > 1 else ''}") as progress:
        transcripts = system.transcribe(
            asked.files,
            batch_seconds=asked.batch_seconds,
            target_language=asked.target_language,
            progress=progress,
        )
    failed = False
    for file, transcript in zip(asked.files, transcripts, strict=True):
        if transcript.error is not None:
            failed = True
            say(f"duolect transcribe: {transcript.error}")
        if asked.json:
            print(json.dumps({"file": str(file), **_fields(transcript)}, ensure_ascii=False))
        elif transcript.error is None:
            print(f"{file}: {transcript.text}" if len(asked.files) > 1 else transcript.text)
    return 1 if failed else 0


def _fields(transcript: Transcript) -> dict[str, Any]:
    if transcript.error is not None:
        return {"error": transcript.error}
    return {name: getattr(transcript, name) for name in ("text", "score", "terms", "flags", "duration")}
