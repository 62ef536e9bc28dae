"""Independent normalisers to compare with: the class of transformers, and the leaderboard's rules put to it pattern by
pattern; and sentences made of everything that they treat."""

from __future__ import annotations

import random
import re

from transformers.models.whisper.english_normalizer import EnglishTextNormalizer, remove_symbols_and_diacritics

from duolect.evaluation.normalisers.spelling import leaderboard_spellings, whisper_spellings

NAMES = {"stephen": "steven", "jon": "john", "sara": "sarah", "kathryn": "catherine", "shawn": "sean", "ann": "anne"}
COMPOUNDS = {"et cetera": "etc", "all right": "alright", "wi fi": "wifi", "e mail": "email", "x ray": "xray"}
COMPOUNDS |= {"a m": "am", "p m": "pm", "o k": "okay", "t shirt": "tshirt"}
FILLERS = ("hmm mm mhm mmm uh um", "ah aha ahh ahm eh ehehe em hm huh hum mhum uhm umm uhuh")
PRONOUNS = ["it", "he", "she", "what", "that", "who", "here", "there", "how", "when", "where", "why", "this"]


class Leaderboard2026(EnglishTextNormalizer):
    """The rules of 2026-08; of the names only those of `NAMES`, and of the compounds those of `COMPOUNDS`."""

    def __init__(self) -> None:
        super().__init__(leaderboard_spellings(added=True))
        pattern = rf"\b({'|'.join(PRONOUNS)})'s\b"
        self.replacers = {
            (pattern if key == r"'s\b" else key): (r"\1 is" if key == r"'s\b" else value)
            for key, value in self.replacers.items()
        }

    def __call__(self, text: str) -> str:
        text = re.sub(r"[<\[][^>\]]*[>\]]", "", text.lower())
        text = re.sub(r"\(([^)]+?)\)", "", text)
        text = re.sub(rf"\b({'|'.join(' '.join(FILLERS).split())})\b", "", text)
        text = re.sub(r"\s+'", "'", text)
        for pattern, full in self.replacers.items():
            text = re.sub(pattern, full, text)
        text = re.sub(r"\.([^0-9]|$)", r" \1", re.sub(r"(\d),(\d)", r"\1\2", text))
        text = remove_symbols_and_diacritics(text, keep=".%$¢€£")
        for parts, joined in COMPOUNDS.items():
            text = re.sub(r"\b" + parts.replace(" ", r"\s+") + r"\b", joined, text)
        text = self.standardize_spellings(self.standardize_numbers(text))
        text = _acronyms(" ".join(NAMES.get(word, word) for word in text.split()))
        return re.sub(r"([^0-9])%", r"\1 ", re.sub(r"[.$¢€£]([^0-9])", r" \1", text))


def _acronyms(text: str) -> str:
    """Runs of single characters, found by an expression rather than by a loop over words."""

    def joined(run: re.Match[str]) -> str:
        letters = run.group().split()
        short = 3 if {"a", "i"} & set(letters) else 2
        return "".join(letters) if len(letters) >= short else run.group()

    return re.sub(r"(?<!\S)[^\W_](?: [^\W_])*(?!\S)", joined, text)


def references() -> dict[str, EnglishTextNormalizer]:
    """Name of a normaliser → the independent one."""
    return {
        "whisper-english": EnglishTextNormalizer(whisper_spellings()),
        "open-asr-2026-03": EnglishTextNormalizer(leaderboard_spellings(added=False)),
        "open-asr-2026-08": Leaderboard2026(),
    }


_WORDS = """
the a i dog cat house and we it he she what that who here there how this you they been got gone done half of o b c k m
oh second ninth naïve café Æon ﬁne straße don't can't won't y'all's dog's let's john's who's that'd've n't 's 'd 'll ok
flyer travelog pummelled ain't ma'am gonna gotta mr dr. st sen rep
"""
_SIGNS = [
    *".,;:!?-()[]<>$%€£¢'\"&/+*@#–—…™½",
    "...",
    "$5",
    "€2.50",
    "£3",
    "10%",
    "1,000",
    "3.14",
    "127.0.0.1",
    "5th",
    "2nd",
]
_SIGNS += ["1960s", "0", "007", "1.0", "20/20", "a1b2", "3d", "१२", "x²", "①"]


class Sentences:
    """Random sentences of numbers, currencies, ordinals, contractions, titles, symbols, diacritics, fillers, names."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        whisper = EnglishTextNormalizer(whisper_spellings())
        self._numbers = sorted(whisper.standardize_numbers.words)
        # Parts of names or compounds that the reference has not are left out.
        known = " ".join([*NAMES, *COMPOUNDS, *FILLERS])
        self._words = [*_WORDS.split(), *known.split(), *(key.replace(r"\b", "") for key in whisper.replacers)]
        self._british = list(whisper_spellings())

    def _part(self) -> str:
        r = self._random
        kind = r.random()
        if kind < 0.35:
            return r.choice(self._numbers)
        if kind < 0.45:
            return r.choice([str(r.randrange(3000)), f"{r.randrange(99)}.{r.randrange(99):02d}", f"${r.randrange(50)}"])
        if kind < 0.52:
            return r.choice(self._british)
        if kind < 0.64:
            return r.choice(_SIGNS)
        return r.choice([str.lower, str.lower, str.capitalize, str.upper])(r.choice(self._words))

    def __call__(self) -> str:
        r = self._random
        parts = [
            self._part() + r.choice([" "] * 9 + ["", "-", "  ", ", ", ". ", "'"]) for _ in range(r.randrange(1, 16))
        ]
        return "".join(parts)
