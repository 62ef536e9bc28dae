"""Scripts that put no spaces between words; parts of a text put together again, and told from the whole of it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import pairwise

# By the beginnings of their characters' names; further the signs that stand for characters of these scripts.
_WITHOUT_SPACES = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_WITHOUT_SPACES += ("HALFWIDTH KATAKANA", "VERTICAL KANA", "VERTICAL IDEOGRAPHIC", "HANGZHOU NUMERAL")
_WITHOUT_SPACES += ("IDEOGRAPHIC ITERATION", "IDEOGRAPHIC NUMBER", "IDEOGRAPHIC CLOSING", "MASU MARK")
# Two parts may well have a few words alike, or none, each of its own: up to so many characters tell nothing.
_BY_CHANCE = 20
_SPACE = re.compile(r"(?<=(\S))\s+(?=(\S))")


def without_spaces(character: str) -> bool:
    """Whether a character is of a script that parts no words, such as Chinese, Japanese or Thai."""
    return not character.isascii() and unicodedata.name(character, "").startswith(_WITHOUT_SPACES)


def join_parts(parts: Iterable[str]) -> str:
    """The parts of a text, cut anywhere, as one: a space between two of them, but none between two characters of
    scripts without spaces, or their punctuation; unless the parts are themselves written with spaces there."""
    texts = [text for part in parts if (text := part.strip())]
    if all(text.isascii() for text in texts) or any(_spaced(text) for text in texts):
        return " ".join(texts)
    joined = texts[:1]
    for before, text in pairwise(texts):
        joined += [text] if _tight(before[-1]) and _tight(text[0]) else [" ", text]
    return "".join(joined)


def same_text(parts: Sequence[str]) -> bool:
    """Whether parts of a recording have the same text, but for white space."""
    return len({" ".join(part.split()) for part in parts}) == 1


def is_whole_text(parts: Sequence[str]) -> bool:
    """Whether each of several parts of a recording has the whole recording's text rather than one of its own: all have
    the same, and it is longer than what may be said twice."""
    return len(parts) > 1 and same_text(parts) and len(" ".join(parts[0].split())) > _BY_CHANCE


def _spaced(text: str) -> bool:
    return any(without_spaces(left) and without_spaces(right) for left, right in _SPACE.findall(text))


def _tight(character: str) -> bool:
    wide = unicodedata.east_asian_width(character) in "WFH" and unicodedata.category(character).startswith("P")
    return wide or without_spaces(character)
