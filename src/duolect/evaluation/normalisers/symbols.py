"""Marks, symbols and diacritics: letters and digits stay, in compatibility form, and spaces take the place of marks."""

from __future__ import annotations

import unicodedata

# Letters that Unicode does not take apart into a base letter and a mark.
_LETTERS = {"œ": "oe", "ø": "o", "æ": "ae", "ß": "ss", "đ": "d", "ð": "d", "þ": "th", "ł": "l"}
# The text is lower-case by then, but the compatibility form of some characters (ᴭ) is a capital.
_CAPITALS = {"Œ": "OE", "Ø": "O", "Æ": "AE", "ẞ": "SS", "Đ": "D", "Ð": "D", "Þ": "th", "Ł": "L"}


class _Table(dict[int, str]):
    """Code point → what takes its place; characters are looked up in Unicode when they are first met."""

    def __init__(self, keep: str) -> None:
        super().__init__({ord(letter): plain for letter, plain in (_LETTERS | _CAPITALS).items()})
        self.update({ord(character): character for character in keep})

    def __missing__(self, code: int) -> str:
        category = unicodedata.category(chr(code))
        found = "" if category == "Mn" else " " if category[0] in "MSP" else chr(code)
        self[code] = found
        return found


class SymbolRemover:
    """Text in form NFKD, without combining marks, and with a space for every mark, symbol or punctuation sign.

    keep: the characters that stay. "Café – 5 %!" gives "Cafe   5 % " with "%" kept.
    """

    def __init__(self, keep: str = "") -> None:
        self._table = _Table(keep)

    def __call__(self, text: str) -> str:
        return (text if text.isascii() else unicodedata.normalize("NFKD", text)).translate(self._table)
