"""Signs of hallucination in one utterance, each a yes or no against a threshold; `hallucination` counts them.

A sign that cannot be told, for want of a reference or a duration, is not defined for the utterance. What stands in the
reference itself (a real "no no no no", a spoken "I'm sorry, I can't") is no sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from duolect.errors import ConfigError
from duolect.evaluation.rows import HypothesisRow
from duolect.evaluation.signs import compression_ratio, longest_loop, split_words, surplus
from duolect.evaluation.stock_phrases import refusal, stock_phrase
from duolect.evaluation.words import align, utterance_counts
from duolect.text.normalise import normalise

Kind = Literal["speech", "non-speech"]
NON_SPEECH = "non_speech_"
TITLES = {
    "any": "any sign",
    "output": "any text",
    "characters": "characters/min",
    "words": "words/min",
    "wer": "WER above 100 %",
    "long": "too many words",
    "short": "too few words",
    "insertions": "inserted words in a row",
    "loop": "repeats itself",
    "compression": "compresses too well",
    "fast": "too fast for the audio",
    "unfinished": "no end found",
    "refusal": "speaks of itself",
    "stock": "stock phrase",
}
"""What each sign is called in a table, without its threshold; any sign is any but too few words."""
PER_MINUTE = ("characters", "words")
_NO_END = ("truncated", "unfinished")


@dataclass(frozen=True, kw_only=True)
class PanelConfig:
    """The thresholds of the signs."""

    wer: float = 1.0
    """`wer`: the utterance's word error rate is above this."""
    longest: float = 2.0
    """`long`: the hypothesis has more than this many times the words of the reference."""
    shortest: float = 0.5
    """`short`: it has fewer than this many times the words."""
    insertions: int = 5
    """`insertions`: at least this many words too many in one place; see `signs.surplus`."""
    repeats: int = 4
    """`loop`: an n-gram stands there at least this many times in a row, and oftener than any does in the reference."""
    order: int = 8
    """`loop`: n is at most this."""
    compression: float = 2.4
    """`compression`: the zlib ratio is above this (Whisper's bound), and above that of the reference."""
    window: int = 1000
    """`compression`: longer texts are looked at in pieces of so many characters to twice that."""
    characters_per_second: float = 30.0
    """`fast`: more characters than this for each second of audio. Fast speech has 20; the leaderboard's cap for
    Moonshine, 6.5 tokens, is some 26."""
    characters_free: int = 10
    """`fast`: so many characters more are granted, as the same cap grants 2 tokens: a short word in a short file."""
    transcripts: bool = True
    """False for translations, where other words can be right too: `wer` and `insertions` are not defined."""

    def __post_init__(self) -> None:
        for name in ("wer", "longest", "shortest", "compression", "characters_per_second"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(f"hallucination panel: {name} must be a number above 0, not {value}.")
        for name, least in (("insertions", 1), ("repeats", 2), ("order", 1), ("window", 1), ("characters_free", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"hallucination panel: {name} must be at least {least}, not {getattr(self, name)}.")
        if self.shortest >= self.longest:
            raise ConfigError(
                f"hallucination panel: shortest must be below longest, not {self.shortest} and {self.longest}."
            )


@dataclass(frozen=True)
class Sign:
    """One sign of one utterance: its name (a key of `TITLES`), the value that passed the threshold, and the words."""

    name: str
    value: float
    words: str = ""


@dataclass(frozen=True)
class Found:
    """What was found of one utterance."""

    kind: Kind
    spoken: bool
    """Whether the reference has words."""
    said: str
    defined: frozenset[str]
    signs: dict[str, Sign]
    too_many: int
    duration: float | None

    @property
    def rank(self) -> tuple[int, int]:
        return -len(self.signs), -self.too_many


def speech_signs(
    row: HypothesisRow, reference: str | None, spoken: str | None, said: str, config: PanelConfig, merge_compounds: bool
) -> Found:
    """Of a row whose `reference`, normalised to `spoken`, has words or is unknown; `said` is its normalised text."""
    signs: dict[str, Sign] = {}
    words = split_words(said)
    defined = _of_text(row, said, reference, spoken, config, signs)
    too_many = len(words)
    if spoken is not None:
        expected = split_words(spoken)
        too_many = len(words) - len(expected)
        ratio = len(words) / len(expected)
        defined |= {"long", "short"}
        if ratio > config.longest:
            signs["long"] = Sign("long", ratio)
        if ratio < config.shortest:
            signs["short"] = Sign("short", ratio)
        if config.transcripts:
            *errors, count = (int(n) for n in utterance_counts([spoken], [said], merge_compounds=merge_compounds)[0])
            defined |= {"wer", "insertions"}
            if sum(errors) / count > config.wer:
                signs["wer"] = Sign("wer", sum(errors) / count)
            if sum(errors) >= config.insertions or merge_compounds:  # else no alignment has so many insertions
                place = surplus(align(spoken, said))
                if place.count >= config.insertions:
                    signs["insertions"] = Sign("insertions", place.count, " ".join(place.words))
    signs = {name: signs[name] for name in TITLES if name in signs}
    return Found("speech", spoken is not None, said, frozenset(defined), signs, too_many, row.duration)


def non_speech_signs(row: HypothesisRow, said: str, config: PanelConfig) -> Found:
    """Of a row whose reference is empty; `said` is its normalised text without sound events."""
    signs: dict[str, Sign] = {}
    said = " ".join(said.split())
    defined = _of_text(row, said, "", "", config, signs) | {"output"}
    words = split_words(said)
    if words:
        signs["output"] = Sign("output", len(words), said)
    signs = {name: signs[name] for name in TITLES if name in signs}
    return Found("non-speech", False, said, frozenset(defined), signs, len(words), row.duration)


def _of_text(
    row: HypothesisRow,
    said: str,
    reference: str | None,
    spoken: str | None,
    config: PanelConfig,
    signs: dict[str, Sign],
) -> set[str]:
    """Adds the signs that need no reference; the names of those that are defined."""
    defined = {"loop", "compression", "refusal", "stock"}
    words = split_words(said)
    again = len(words) - len(set(words))  # a quick look: most texts have too few words twice for a loop
    loop = longest_loop(words if again >= config.repeats - 1 else (), config.order)
    if loop.repeats >= config.repeats and loop.repeats > longest_loop(split_words(spoken or ""), config.order).repeats:
        signs["loop"] = Sign("loop", loop.repeats, " ".join(loop.words))
    ratio = compression_ratio(row.text, config.window)
    if ratio > config.compression and ratio > compression_ratio(reference or "", config.window):
        signs["compression"] = Sign("compression", ratio)
    plain = normalise(row.text)
    for name, phrase_of in (("refusal", refusal), ("stock", stock_phrase)):
        phrase = phrase_of(plain)
        if phrase is not None and phrase not in normalise(reference or ""):
            signs[name] = Sign(name, 1, phrase)
    if row.duration is not None and row.duration > 0:
        defined.add("fast")
        characters = len(" ".join(row.text.split()))
        if characters > config.characters_per_second * row.duration + config.characters_free:
            signs["fast"] = Sign("fast", characters / row.duration)
    # Only a run of ours is known to say so when it finds no end.
    if row.run is not None or row.flags:
        defined.add("unfinished")
        flag = next((flag for flag in _NO_END if flag in row.flags), None)
        if flag is not None:
            signs["unfinished"] = Sign("unfinished", 1, flag)
    return defined
