"""Sentence templates with typed slots: one draw gives an English sentence and its German translation.

Template text: literal words and slots `{category}`, `{category2}` (a second, different entry of the category),
`{category:form}`, `{noun:form adjective}` (the adjective of slot `adjective` goes between determiner and noun),
`{noun:form +stem}` (German only: the literal adjective stem is inflected), `{noun:sein@person}` (German possessive that
follows the owner's gender). Forms are those of `entries`.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import re
from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from duolect.data.synthetic.entries import Adjective, Entry

SHORTEST, LONGEST = 4, 14  # words of an English sentence
_OPENER_SHARE = 0.3
Openers = tuple[tuple[tuple[str, str], ...], ...]  # groups of (English, German)
Item = TypeVar("Item")
_SLOT = re.compile(r"\{([a-z]+)([2-9]?)(?::([a-z]*)(?: (?:([a-z]+[2-9]?)|\+(\w+)))?(?:@([a-z]+[2-9]?))?)?\}")


@dataclasses.dataclass(frozen=True)
class Sentence:
    """One drawn sentence: normalised English, its German translation, and where it comes from.

    `core` is the English text without its opener: splits are kept apart by it.
    """

    text: str
    translation: str
    core: str
    domain: str
    template: str


@dataclasses.dataclass(frozen=True)
class Piece:
    """A parsed part of a template: literal words (`slot` empty), or a slot with its form and companion."""

    words: str = ""
    slot: str = ""
    form: str = ""
    companion: str = ""
    literal_adjective: str = ""


@dataclasses.dataclass(frozen=True)
class Template:
    """An English pattern with its German counterpart; `openers` are groups of words it may begin with."""

    name: str
    domain: str
    english: str
    german: str
    openers: Openers = ()

    @functools.cached_property
    def pieces(self) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
        """The parsed English and German pattern."""
        return _parse(self.english), _parse(self.german)

    @functools.cached_property
    def slots(self) -> tuple[str, ...]:
        """Names of all slots in the order they are drawn; ValueError when the German one needs another."""
        english, german = (_slots(pieces) for pieces in self.pieces)
        if not set(german) <= set(english):
            raise ValueError(f"{self.name}: the German pattern has slots the English one lacks: {self.german}")
        return tuple(english)

    @functools.cached_property
    def literal_words(self) -> frozenset[str]:
        """The English words of the pattern outside of slots."""
        return frozenset(word for piece in self.pieces[0] for word in piece.words.split())

    def size(self, lexicon: Mapping[str, Sequence[Entry]]) -> int:
        """How many slot fillings the template has, openers not counted."""
        counts: dict[str, int] = {}
        total = 1
        for slot in self.slots:
            category = category_of(slot)
            total *= len(lexicon[category]) - counts.get(category, 0)
            counts[category] = counts.get(category, 0) + 1
        return total

    def draw(self, lexicon: Mapping[str, Sequence[Entry]], rng: random.Random) -> Sentence:
        """A random sentence of 4 to 14 words; different slots of one category get different entries."""
        while True:
            chosen: dict[str, Entry] = {}
            for slot in self.slots:
                entries = lexicon[category_of(slot)]
                entry = _pick(entries, rng)
                while any(entry is other for other in chosen.values()):
                    entry = _pick(entries, rng)
                chosen[slot] = entry
            opener = ("", "")
            if self.openers and rng.random() < _OPENER_SHARE:
                opener = _pick(_pick(self.openers, rng), rng)
            sentence = self.render(chosen, opener)
            if SHORTEST <= sentence.text.count(" ") + 1 <= LONGEST:
                return sentence

    def render(self, chosen: Mapping[str, Entry], opener: tuple[str, str] = ("", "")) -> Sentence:
        """The sentence for given slot entries, with the (English, German) words it begins with."""
        core = " ".join(_english(piece, chosen) for piece in self.pieces[0])
        german = " ".join([opener[1], *(_german(piece, chosen) for piece in self.pieces[1])]).strip()
        text = f"{opener[0]} {core}".strip()
        return Sentence(text, german[0].upper() + german[1:], core, self.domain, self.name)


def category_of(slot: str) -> str:
    """The lexicon category of a slot name: `city2` draws from `city`."""
    return slot.rstrip("23456789")


def templates(domain: str, text: str, statement: Openers, question: Openers) -> tuple[Template, ...]:
    """Read templates: an English line and, indented below it, its German one.

    Lines that begin with "?" (questions, requests) take the `question` openers, the others the `statement` ones.
    """
    found: list[Template] = []
    english = ""
    for line in filter(str.strip, text.splitlines()):
        if not line.startswith(" "):
            english = line
            continue
        openers = question if english.startswith("?") else statement
        name = f"{domain}-{len(found) + 1:02d}"
        found.append(Template(name, domain, english.lstrip("?"), line.strip(), openers))
    return tuple(found)


def _parse(pattern: str) -> tuple[Piece, ...]:
    pieces, at = [], 0
    for match in _SLOT.finditer(pattern):
        if literal := pattern[at : match.start()].strip():
            pieces.append(Piece(literal))
        category, number, form, adjective, literal_adjective, owner = match.groups(default="")
        pieces.append(Piece("", category + number, form, adjective or owner, literal_adjective))
        at = match.end()
    if literal := pattern[at:].strip():
        pieces.append(Piece(literal))
    if any(set(piece.words) & set("{}:@") for piece in pieces):
        raise ValueError(f"not a template: {pattern}")
    return tuple(pieces)


def _slots(pieces: tuple[Piece, ...]) -> list[str]:
    names = [name for piece in pieces for name in (piece.slot, piece.companion) if name]
    return list(dict.fromkeys(names))


def _english(piece: Piece, chosen: Mapping[str, Entry]) -> str:
    if not piece.slot:
        return piece.words
    return chosen[piece.slot].english(piece.form, chosen.get(piece.companion))


def _german(piece: Piece, chosen: Mapping[str, Entry]) -> str:
    if not piece.slot:
        return piece.words
    companion = chosen.get(piece.companion)
    if piece.literal_adjective:
        companion = Adjective("", piece.literal_adjective)
    return chosen[piece.slot].german(piece.form, companion)


def _pick(items: Sequence[Item], rng: random.Random) -> Item:
    # `random()` alone is specified to stay the same in all Python versions; `choice` is not.
    return items[int(rng.random() * len(items))]


def sample_sentences(
    templates: Sequence[Template],
    n: int,
    seed: int | str,
    *,
    lexicon: Mapping[str, Sequence[Entry]],
    avoid: Collection[str] = frozenset(),
) -> list[Sentence]:
    """Draw `n` different sentences, templates with equal probability; the same seed gives the same sentences.

    `avoid` holds cores (sentences without their opener) that must not be drawn.
    Raises ValueError when the templates do not give that many different sentences.
    """
    rng = random.Random(f"duolect/{seed}")
    sentences: dict[str, Sentence] = {}
    misses = 0
    while len(sentences) < n:
        sentence = _pick(templates, rng).draw(lexicon, rng)
        if sentence.text in sentences or sentence.core in avoid:
            misses += 1
            if misses > 100 * n + 1000:
                raise ValueError(f"{len(templates)} templates do not give {n} different sentences.")
            continue
        sentences[sentence.text] = sentence
    return list(sentences.values())
