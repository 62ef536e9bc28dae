"""Text files of corpora, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from duolect.data.skips import Skipped
from duolect.errors import ManifestError

NO_UTF_8 = "is not valid UTF-8"
GENDERS = {"f": "female", "m": "male", "female": "female", "male": "male"}
"""What corpora write for a speaker's gender in small letters, and what manifests say."""


def text_lines(path: Path, *, blank: bool = False) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers, without spaces around them; blank ones only if asked for.

    A line ends at a line feed, and at nothing else that Unicode may call an end. Bytes that are not UTF-8 come as what
    `undecodable` finds. Raises ManifestError when the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="\n") as handle:
            for number, line in enumerate(handle, start=1):
                if (text := line.strip()) or blank:
                    yield number, text
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}).") from error


def undecodable(text: str) -> bool:
    """Whether a line that was read with "surrogateescape" is not valid UTF-8."""
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)


def bad_line(path: Path, number: int, name: str = "") -> Skipped:
    """The entry of a line that is not valid UTF-8; `name` is the utterance's, where it is known."""
    place = f"{path}:{number}"
    return Skipped(place if not name or undecodable(name) else name, str(path), f"bad line: {place} {NO_UTF_8}")
