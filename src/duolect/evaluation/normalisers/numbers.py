"""Numbers written out become digits: "twenty five dollars" → "$25", "one oh one" → "101", "sixty fourth" → "64th".

The rules are those of Whisper's English normaliser (Radford et al. 2022, appendix C; openai/whisper `normalizers`), its
odd ones included, for a rate is only comparable when both were made alike: "ninth" is no number, "point" before a word
that is none vanishes, a single 1 is written "one".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_ONES = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_ONES |= {"eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "seventeen": 17}
_ONES |= {"eighteen": 18, "nineteen": 19}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_POWERS = {"hundred": 100} | {
    f"{name}illion": 1000**exponent
    for exponent, name in enumerate(["m", "b", "tr", "quadr", "quint", "sext", "sept", "oct", "non", "dec"], start=2)
}
_POWERS["thousand"] = 1000
_ZEROS = frozenset(("o", "oh", "zero"))
_DECIMALS = frozenset((*_ONES, *_TENS, *_ZEROS))
_IRREGULAR = {"zeroth": (0, "th"), "first": (1, "st"), "second": (2, "nd"), "third": (3, "rd"), "fifth": (5, "th")}
_IRREGULAR["twelfth"] = (12, "th")


def _with_endings() -> dict[str, tuple[int, str]]:
    """Plurals and ordinals of what is added to a number: word → value, ending in digits."""
    found = {("sixes" if name == "six" else f"{name}s"): (value, "s") for name, value in _ONES.items()}
    regular = {name: value for name, value in _ONES.items() if value > 3 and value not in (5, 12)}
    found |= {f"{name}h" if name.endswith("t") else f"{name}th": (value, "th") for name, value in regular.items()}
    found |= {f"{name[:-1]}ies": (value, "s") for name, value in _TENS.items()}
    found |= {f"{name[:-1]}ieth": (value, "th") for name, value in _TENS.items()}
    return found | _IRREGULAR


_ADDED = _ONES | _TENS
_ADDED_ENDING = _with_endings()
_POWER_ENDING = {f"{name}{ending}": (value, ending) for name, value in _POWERS.items() for ending in ("s", "th")}
_SIGNS = {"minus": "-", "negative": "-", "plus": "+", "positive": "+"}
_CURRENCIES = {
    f"{name}{plural}": sign
    for name, sign in (("pound", "£"), ("euro", "€"), ("dollar", "$"), ("cent", "¢"))
    for plural in ("", "s")
}
_PER_CENT = frozenset(("per", "percent"))
_JOINING = frozenset(("and", "double", "triple", "point"))
_WORDS = frozenset(
    (*_DECIMALS, *_ADDED_ENDING, *_POWERS, *_POWER_ENDING, *_SIGNS, *_CURRENCIES, *_PER_CENT, *_JOINING),
)
# Without one of these (or a digit) nothing can change: the others only act on a number.
_ACTING = _WORDS - _CURRENCIES.keys() - _PER_CENT - {"and", "double", "triple"}
_PREFIXES = frozenset((*_SIGNS.values(), *_CURRENCIES.values()))

_NUMERIC = re.compile(r"\d+(?:\.\d+)?").fullmatch
_DIGIT = re.compile(r"\d").search
_HALF = re.compile(r"\band\s+a\s+half\b")
_LETTER_DIGIT = re.compile(r"(?<=[a-z])(?=[0-9])|(?<=[0-9])(?=[a-z])")
_ENDING_APART = re.compile(r"([0-9])\s+(st|nd|rd|th|s)\b")
_AND_CENTS = re.compile(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b")
_ONLY_CENTS = re.compile(r"[€£$]0.([0-9]{1,2})\b")
_SINGLE = re.compile(r"\b1(s?)\b")
_LONGEST = 1000
"""Digits; a longer run (a looping hypothesis) stays text: Python converts no integers of some thousand digits."""


def numbers_to_digits(text: str) -> str:
    """The text with its numbers in digits, words parted by single spaces. Expects lower-case text without marks but
    those of currencies, "%" and "."."""
    if "half" in text:
        text = _halves(text)
    words = text.split()
    if not _DIGIT(text):
        if _ACTING.isdisjoint(words):
            return " ".join(words)
    else:
        text = _ENDING_APART.sub(r"\1\2", _LETTER_DIGIT.sub(" ", text))
        words = text.split()
    text = " ".join(_Reader().read(words))
    text = _AND_CENTS.sub(lambda m: f"{m[1]}{m[2]}.{int(m[3]):02d}", text)
    text = _ONLY_CENTS.sub(lambda m: f"¢{int(m[1])}", text)
    return _SINGLE.sub(r"one\1", text)


def _halves(text: str) -> str:
    """ "two and a half" → "two point five"; after what is no number it stays."""
    *before, last = _HALF.split(text)
    parts = []
    for part in before:
        if part.strip():
            number = part.split()[-1]
            parts += [part, "point five" if number in _DECIMALS or number in _POWERS else "and a half"]
    return " ".join([*parts, last] if last.strip() else parts)


@dataclass
class _Reader:
    """Reads words from left to right; `value` is the number under way: an int to which more can be added, or a string
    of digits to which more can only be appended. `sign` stands before the next thing written."""

    sign: str = ""
    value: int | str | None = None

    def read(self, words: list[str]) -> list[str]:
        self.written: list[str] = []
        skip = False
        for n, word in enumerate(words):
            if skip:
                skip = False
                continue
            following = words[n + 1] if n + 1 < len(words) else ""
            if word in _WORDS:
                skip = self._number_word(word, words[n - 1] if n else "", following)
            elif not self._digits(word):
                self._finish()
                self._write(word)
        self._finish()
        return self.written

    def _write(self, text: str) -> None:
        self.written.append(self.sign + text)
        self.sign, self.value = "", None

    def _finish(self) -> None:
        if self.value is not None:
            self._write(str(self.value))

    def _digits(self, word: str) -> bool:
        """Take a number that is in digits already, a currency or sign before it or not. False: it is none."""
        sign, bare = (word[0], word[1:]) if word[0] in _PREFIXES else ("", word)
        if not _NUMERIC(bare):
            return False
        if isinstance(self.value, str) and self.value.endswith("."):
            self.value += word
            return True
        self._finish()
        self.sign = sign or self.sign
        whole, _, decimals = bare.partition(".")
        integer = len(bare) <= _LONGEST and (not decimals or int(decimals) == 0)
        self.value = int(whole) if integer else bare
        return True

    def _number_word(self, word: str, previous: str, following: str) -> bool:
        """Take a word of `_WORDS`; whether the following one was taken with it."""
        if word in _ZEROS:
            self.value = f"{self.value or ''}0"
        elif word in _ADDED:
            self.value = self._added(_ADDED[word], previous)
        elif word in _ADDED_ENDING:
            part, ending = _ADDED_ENDING[word]
            self._write(f"{self._added(part, previous)}{ending}")
        elif word in _POWERS:
            self.value = self._times(_POWERS[word])
        elif word in _POWER_ENDING:
            power, ending = _POWER_ENDING[word]
            self._write(f"{self._times(power)}{ending}")
        elif word in _SIGNS:
            self._finish()
            if following in _WORDS or _NUMERIC(following):
                self.sign = _SIGNS[word]
            else:
                self._write(word)
        elif word in _CURRENCIES:
            if self.value is None:
                self._write(word)
            else:
                self.sign = _CURRENCIES[word]
                self._finish()
        elif word in _PER_CENT:
            return self._per_cent(word, following)
        elif following not in _WORDS and not _NUMERIC(following):
            self._finish()
            self._write(word)
        else:
            return self._joined(word, previous, following)
        return False

    def _added(self, part: int, previous: str) -> int | str:
        """The number under way with 1 … 19 or 20 … 90 put to it: added where it ends in enough zeros, else appended."""
        value = self.value
        if value is None:
            return part
        if isinstance(value, str):
            return f"{value[:-1] if part < 10 and previous in _TENS else value}{part}"
        room = 10 if part < 10 else 100
        return value + part if value % room == 0 and previous not in _ONES else f"{value}{part}"

    def _times(self, power: int) -> int:
        """The number under way times a power of ten; where that is no integer it is written, and the power is next."""
        value = self.value
        if value is None:
            return power
        if isinstance(value, int):
            return value // 1000 * 1000 + value % 1000 * power
        try:
            product = Fraction(value) * power if len(value) <= _LONGEST else None
        except ValueError:  # "127.0.0.1"
            product = None
        if product is not None and product.denominator == 1:
            return product.numerator
        self._finish()
        return power

    def _per_cent(self, word: str, following: str) -> bool:
        together = word == "per" and following == "cent"
        if self.value is None:
            self._write(word)
        elif together or word == "percent":
            self._write(f"{self.value}%")
            return together
        else:
            self._finish()
            self._write(word)
        return False

    def _joined(self, word: str, previous: str, following: str) -> bool:
        """ "and", "double", "triple" or "point" before what may be a number; whether that was taken with it."""
        if word == "and":
            if previous not in _POWERS:
                self._finish()
                self._write(word)
        elif word == "point":
            if following in _DECIMALS or _NUMERIC(following):
                self.value = f"{self.value or ''}."
        elif following in _ONES or following in _ZEROS:
            self.value = f"{self.value or ''}{str(_ONES.get(following, 0)) * (2 if word == 'double' else 3)}"
            return True
        else:
            self._finish()
            self._write(word)
        return False
