"""The plain form of text that models are trained on and scored in: lower-case words and single spaces."""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = dict.fromkeys(map(ord, "\u2018\u2019\u02bc\u2032\u0060\u00b4"), "'")
_ASCII_OTHER = re.compile(r"[^a-z0-9']+")
_EDGE = re.compile(r"(?<![^ ])'+|'+(?![^ ])")


def normalise(text: str) -> str:
    """Lower-case, Unicode form NFKC, nothing but letters, digits and apostrophes in words that single spaces part.

    All else, punctuation and symbols, parts words as a space does ("3.50" gives "3 50", "well-known" two words).
    Typographic apostrophes become "'". An apostrophe stays only inside a word ("don't", "o'clock"): at the edge nothing
    tells it from a quotation mark. Combining marks stay where they follow a letter (Hindi vowel signs). What is not
    seen and does not part words (soft hyphens, joiners and non-joiners, marks of direction) is left out, as Unicode's
    rules for the ends of words have it (UAX 29); the zero-width space parts them.
    `normalise(normalise(text)) == normalise(text)`.
    """
    text = text.translate(_APOSTROPHES)
    if text.isascii():
        text = _ASCII_OTHER.sub(" ", text.lower())
    else:
        text = "".join(c for c in text if c.isalnum() or c == "\u200b" or unicodedata.category(c) != "Cf")
        # Lower-casing can leave forms that are not composed ("İ"), hence NFKC on both sides of it.
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
        text = _keep_words(text.translate(_APOSTROPHES))
    # Taking an edge off can bare another one only next to a space, so one pass is enough.
    return " ".join(_EDGE.sub(" ", text).split())


def tidy(text: str) -> str:
    """Unicode form NFKC with single spaces: text that keeps its case and punctuation, as translations do."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def words(text: str) -> list[str]:
    """The words of `text` after `normalise`."""
    return normalise(text).split()


def _keep_words(text: str) -> str:
    kept, in_word = [], False
    for character in text:
        category = unicodedata.category(character)[0]
        in_word = category in "LN" or (category == "M" and in_word)
        kept.append(character if in_word or character == "'" else " ")
    return "".join(kept)
