"""Players for utterances on a page: the recording within the page, or a link to it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from duolect.audio import SAMPLE_RATE, read_audio
from duolect.data import Utterance
from duolect.errors import AudioError
from duolect.reports.markup import escape


def players(utterances: Sequence[Utterance], folder: Path, embed: int) -> dict[str, str]:
    """id → HTML of a player, or why there is none. The first `embed` utterances carry their recording, 16 kHz mono FLAC
    of exactly their part; the others link to their file relative to `folder`, where it is one that a browser opens."""
    found = {}
    for n, utterance in enumerate(utterances):
        if n < embed:
            found[utterance.id] = _embedded(utterance)
        elif link := _link(utterance, folder):
            found[utterance.id] = f'<audio controls preload="none" src="{escape(link)}"></audio>'
    return found


def _embedded(utterance: Utterance) -> str:
    import soundfile

    try:
        samples = read_audio(utterance.audio_filepath, offset=utterance.offset, duration=utterance.duration)
    except AudioError as error:
        return f'<p class="hint">No recording: {escape(error)}</p>'
    encoded = io.BytesIO()
    soundfile.write(encoded, samples.clip(-1.0, 1.0), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    data = base64.b64encode(encoded.getvalue()).decode("ascii")
    return f'<audio controls preload="none" src="data:audio/flac;base64,{data}"></audio>'


def _link(utterance: Utterance, folder: Path) -> str:
    """A relative link to the utterance's part of its file; "" for a row of a table, which no browser plays."""
    path = utterance.audio_filepath
    if "#" in path.name and not path.exists():
        return ""
    relative = quote(os.path.relpath(path, folder.absolute()).replace(os.sep, "/"))
    # Of the first utterance of a recording, too, the file goes on after its end.
    start = utterance.offset
    return f"{relative}#t={start:.3f},{start + utterance.duration:.3f}"
