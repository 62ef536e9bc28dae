"""English text as transcripts are compared: Whisper's normaliser, and the Open ASR leaderboard's two versions of it.

Sources: Radford et al. 2022 (appendix C) and openai/whisper; huggingface/open_asr_leaderboard, `normalizer/`, at
b4fe3e4 (2026-03-12) and d1e99b2 (2026-08-21). Only the rules are taken from there. They are lossy on purpose and the
same for reference and hypothesis; what stands in parentheses or brackets is deleted from both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from duolect.evaluation.normalisers.contractions import ContractionExpander
from duolect.evaluation.normalisers.numbers import numbers_to_digits
from duolect.evaluation.normalisers.symbols import SymbolRemover
from duolect.evaluation.normalisers.variants import CompoundJoiner, join_acronyms, name_variants

WHISPER_FILLERS = frozenset(["hmm", "mm", "mhm", "mmm", "uh", "um"])
LEADERBOARD_FILLERS = WHISPER_FILLERS | frozenset(
    ["ah", "aha", "ahh", "ahm", "eh", "ehehe", "em", "hm", "huh", "hum", "mhum", "uhm", "umm", "uhuh"],
)

_BRACKETS = re.compile(r"[<\[][^>\]]*[>\]]")
_PARENTHESES = re.compile(r"\([^)]+?\)")
_WORDS = re.compile(r"\w+")
_SPACE_APOSTROPHE = re.compile(r"\s+'")
_COMMA = re.compile(r"(\d),(\d)")
_FULL_STOP = re.compile(r"\.([^0-9]|$)")
_SIGN_WITHOUT_NUMBER = re.compile(r"[.$¢€£]([^0-9])")
_PER_CENT_WITHOUT_NUMBER = re.compile(r"([^0-9])%")
_KEPT = ".%$¢€£"


@dataclass(frozen=True, kw_only=True)
class EnglishRules:
    """What the versions differ in."""

    spellings: Mapping[str, str]
    fillers: frozenset[str] = WHISPER_FILLERS
    possessives: bool = False
    """Leave "'s" as it is but after words like "it" and "who"; otherwise it always becomes "is"."""
    variants: bool = False
    """Join compounds and spelled acronyms, and write names in one spelling."""


class EnglishNormaliser:
    """Normalises one text under `rules`; words come out parted by single spaces, without any at the ends."""

    def __init__(self, rules: EnglishRules) -> None:
        self._fillers = rules.fillers
        self._filler = re.compile(rf"\b(?:{'|'.join(sorted(rules.fillers))})\b")
        self._contractions = ContractionExpander(possessives=rules.possessives)
        self._symbols = SymbolRemover(_KEPT)
        self._compounds = CompoundJoiner() if rules.variants else None
        names = name_variants() if rules.variants else {}
        self._spellings = names | {word: names.get(found, found) for word, found in rules.spellings.items()}

    def __call__(self, text: str) -> str:
        text = self._without_marks(text.lower())
        if self._compounds is not None:
            text = self._compounds(text)
        text = numbers_to_digits(text)
        words = text.split()
        if not self._spellings.keys().isdisjoint(words):
            words = [self._spellings.get(word, word) for word in words]
        if self._compounds is not None:
            words = join_acronyms(words)
        text = " ".join(words)
        if any(sign in text for sign in _KEPT):
            text = _SIGN_WITHOUT_NUMBER.sub(r" \1", text)
            text = _PER_CENT_WITHOUT_NUMBER.sub(r"\1 ", text)
        return " ".join(text.split())

    def _without_marks(self, text: str) -> str:
        if "<" in text or "[" in text:
            text = _BRACKETS.sub("", text)
        if "(" in text:
            text = _PARENTHESES.sub("", text)
        words = set(_WORDS.findall(text))
        if not self._fillers.isdisjoint(words):
            text = self._filler.sub("", text)
        if "'" in text:
            text = _SPACE_APOSTROPHE.sub("'", text)
        text = self._contractions(text, words)
        if "," in text:
            text = _COMMA.sub(r"\1\2", text)
        if "." in text:
            text = _FULL_STOP.sub(r" \1", text)
        return self._symbols(text)
