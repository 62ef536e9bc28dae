"""Contractions, colloquial forms and titles written out: "won't" → "will not", "gonna" → "going to", "dr" → "doctor".

Words are replaced in one pass, endings ("'ll") one after the other as the leaderboard's scripts do: an ending may meet
what was made of a word or of another ending ("it's gotta" → "it's got to" → "it has got to").
"""

from __future__ import annotations

import re

_WRITTEN_OUT = """
won't: will not | can't: can not | let's: let us | ain't: aint | y'all: you all | i'ma: i am going to | ma'am: madam
wanna: want to | gotta: got to | gonna: going to | imma: i am going to
woulda: would have | coulda: could have | shoulda: should have
"""

_TITLES = """
mr: mister | mrs: missus | st: saint | dr: doctor | prof: professor | capt: captain | gov: governor | ald: alderman
gen: general | sen: senator | rep: representative | pres: president | rev: reverend | hon: honorable | asst: assistant
assoc: associate | lt: lieutenant | col: colonel | jr: junior | sr: senior | esq: esquire
"""

_PERFECT = """
'd been: had been | 's been: has been | 'd gone: had gone | 's gone: has gone | 'd done: had done | 's got: has got
"""
_ENDINGS = "n't: not | 're: are | 's: is | 'd: would | 'll: will | 't: not | 've: have | 'm: am"

# After these "'s" is a verb; after any other word it may be a possessive.
_IS_AFTER = ["it", "he", "she", "what", "that", "who", "here", "there", "how", "when", "where", "why", "this"]


def _pairs(table: str) -> dict[str, str]:
    entries = (entry.split(":") for line in table.strip().splitlines() for entry in line.split("|"))
    return {short.strip(): full.strip() for short, full in entries}


class ContractionExpander:
    """Writes contractions and titles of a lower-case text out; `possessives`: "'s" is left where it may be one."""

    def __init__(self, *, possessives: bool) -> None:
        self._full = _pairs(_WRITTEN_OUT) | {title: f"{full} " for title, full in _pairs(_TITLES).items()}
        self._bare = frozenset(word for word in self._full if word.isalpha())
        self._word = re.compile(rf"\b(?:{'|'.join(self._full)})\b")
        behind = "|".join(rf"(?<=\b{word})" for word in _IS_AFTER)
        self._endings = []
        for ending, full in (_pairs(_PERFECT) | _pairs(_ENDINGS)).items():
            where = f"(?:{behind})" if possessives and ending == "'s" else ""
            self._endings.append((ending, re.compile(rf"{where}{ending}\b"), f" {full}"))

    def __call__(self, text: str, words: set[str]) -> str:
        """`words`: the runs of word characters in `text`; they tell quickly whether there is anything to do."""
        apostrophe = "'" in text
        if apostrophe or not self._bare.isdisjoint(words):
            text = self._word.sub(lambda found: self._full[found.group()], text)
        if apostrophe:
            for ending, form, full in self._endings:
                if ending in text:
                    text = form.sub(full, text)
        return text
