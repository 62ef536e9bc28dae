"""What stands behind a name in wav.scp: a file, or a command whose output is the sound.

No command is run. Those that only decode a file, or convert it to what is read anyway (16-bit wav, mono, a rate of at
least 16 kHz), are replaced by the file: cat, flac, sph2pipe, ffmpeg and sox without effects. All others change the
sound or cannot be judged, and are refused.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass

_RATE = r"(?:\d{6,}|[2-9]\d{4}|1[6-9]\d{3})|(?:1[6-9]|[2-9]\d|\d{3,})k"  # at least that of all sound here, 16 kHz
_ARCHIVE = re.compile(r"^(.*\.ark(?:\.\w+)?):\d+$")


@dataclass(frozen=True, slots=True)
class Sound:
    """A file; whether only one channel of it is meant; or why it cannot be read ("" where it can)."""

    path: str = ""
    one_channel: bool = False
    fault: str = ""


class _Refused(Exception):
    """A command that is more than a decoder."""


def read_extended(text: str) -> Sound:
    """What an extended filename of Kaldi stands for, as far as it can be read without running anything."""
    if not text:
        return Sound(fault="bad line: wav.scp names no file")
    if not text.endswith("|"):
        if _ARCHIVE.match(text):
            return Sound(fault=f"in a Kaldi archive, which is not read: {text}")
        return Sound(text)
    command = text[:-1].strip()
    try:
        words = shlex.split(command)
        if not words or any(mark in command for mark in "|;&<>`$(){}*?\n"):
            raise _Refused
        reader = _READERS.get(os.path.basename(words[0]))
        if reader is None:
            raise _Refused
        return reader(words[1:])
    except (_Refused, ValueError, KeyError):
        return Sound(fault=f"behind a command, which is not run: {command}")


def _options(words: list[str], flags: str, valued: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Arguments that are no options, and the options met with their values.

    Refuses options that are neither among the `flags` (a pattern) nor `valued`, values that are not as their pattern
    says, and options given twice.
    """
    plain: list[str] = []
    met: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word == "-" or not word.startswith("-"):
            plain.append(word)
            continue
        value = next(rest, "") if word in valued else ""
        if (
            word in met
            or not re.fullmatch(valued.get(word, ""), value)
            or (word not in valued and not re.fullmatch(flags, word))
        ):
            raise _Refused
        met[word] = value
    return plain, met


def _only(names: list[str]) -> str:
    """The one file that is meant."""
    if len(names) != 1 or not names[0] or names[0] == "-":
        raise _Refused
    return names[0]


def _cat(words: list[str]) -> Sound:
    return Sound(_only(_options(words, "", {})[0]))


def _flac(words: list[str]) -> Sound:
    plain, met = _options(words, "-[cds]+|--(decode|stdout|silent|totally-silent)", {})
    if not any(option == "--decode" or re.fullmatch("-[cds]*d[cds]*", option) for option in met):
        raise _Refused
    return Sound(_only(plain))


def _sph2pipe(words: list[str]) -> Sound:
    plain, met = _options(words, "-p", {"-f": "wav|rif", "-c": "[12]"})
    return Sound(_only(plain), one_channel="-c" in met)


def _ffmpeg(words: list[str]) -> Sound:
    quiet = {"-loglevel": ".+", "-v": ".+", "-threads": ".+"}
    coding = {"-acodec": "pcm_s16le", "-c:a": "pcm_s16le", "-ab": ".+"}
    plain, met = _options(
        words, "-nostdin|-hide_banner|-vn|-y", quiet | coding | {"-i": ".+", "-f": "wav", "-ar": _RATE, "-ac": "1"}
    )
    if plain not in (["-"], ["pipe:1"], ["pipe:"]):
        raise _Refused
    return Sound(_only([met["-i"]]))


def _sox(words: list[str]) -> Sound:
    valued = {"-t": "wav|wavpcm|flac", "-r": _RATE, "-b": "16", "-c": "1", "-e": "signed(-integer)?"}
    # A file of either side has its options before it, so the same ones may come twice.
    source, to, effects = _split_sox(words)
    plain = [_options(side, "-[GDR]|-V[01]", valued)[0] for side in (source, to)]
    if plain[1] != ["-"]:
        raise _Refused
    if len(effects) == 2 and effects[0] == "rate" and re.fullmatch(_RATE, effects[1]):
        effects = []
    if effects not in ([], ["remix", "1"], ["remix", "2"], ["channels", "1"], ["remix", "-"]):
        raise _Refused
    return Sound(_only(plain[0]), one_channel=effects in (["remix", "1"], ["remix", "2"]))


def _split_sox(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """The words of the input, of the output, and the effects: the first two that are no options end the former."""
    ends: list[int] = []
    place = 0
    while place < len(words) and len(ends) < 2:
        if words[place] == "-" or not words[place].startswith("-"):
            ends.append(place + 1)
        elif words[place] in ("-t", "-r", "-b", "-c", "-e"):
            place += 1
        place += 1
    if len(ends) < 2:
        raise _Refused
    return words[: ends[0]], words[ends[0] : ends[1]], words[ends[1] :]


_READERS: dict[str, Callable[[list[str]], Sound]] = {
    "cat": _cat,
    "flac": _flac,
    "sph2pipe": _sph2pipe,
    "ffmpeg": _ffmpeg,
    "sox": _sox,
}
