"""Units of phonemes, for CTC: words as espeak-ng pronounces them, and back to words through the lexicon this implies.

A word's labels are the phonemes that espeak-ng itself parts it into: an affricate ("tʃ"), a diphthong ("əʊ") or a long
vowel ("iː") is one label. Stress marks are left out: they belong to syllables, and few words differ by stress alone. A
length mark or another diacritic that stands by itself belongs to the phoneme before it. Between words stands a label of
its own, as the space does among characters.

Each word is pronounced by itself, so that its labels do not depend on the sentence: no liaison, no weak forms ("a" is
the letter's name where espeak-ng says so), and "read" or "live" has one pronunciation.
"""

from __future__ import annotations

import hashlib
import math
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from duolect.errors import AudioError, UnitsError
from duolect.storage import atomic_file, write_json
from duolect.text.nearest import NearestSequences
from duolect.text.units import UNITS_FILE, check_ids, require_utf8

LEXICON_FILE = "lexicon.tsv"
_HEADER = "word\tcount\tphonemes"
_BOUNDARY = 2
_FIRST = 3  # id of the first phoneme
_STRESS = "ˈˌ"
_MOST_REMEMBERED = 1 << 17  # words outside the lexicon, and phonemes that are no word

Labels = tuple[int, ...]


class Pronounced(NamedTuple):
    """A word of the lexicon: how often the training text has it, and its phonemes."""

    word: str
    count: int
    phonemes: tuple[str, ...]


class PhonemeUnits:
    """EOS 0, BOS 1, the boundary between words 2, then the phonemes of the lexicon in code point order.

    What holds of other units cannot hold here: words that sound alike have the same labels. `decode` gives as many
    words as there are stretches between boundaries, and for each the most frequent word of that pronunciation; for
    phonemes that are no word's, the word of the nearest pronunciation (by edit distance, then by frequency). So
    `encode(decode(encode(text))) == encode(text)` for words of the lexicon, and `spellings` gives the other readings.
    """

    kind = "phonemes"
    eos_id = 0
    bos_id = 1
    special_ids = frozenset((0, 1))

    def __init__(self, language: str, lexicon: Iterable[Pronounced]) -> None:
        """`language`: the espeak-ng voice ("en-gb") that pronounces words outside the lexicon.

        Raises UnitsError for an empty lexicon, a word that is there twice, or one without phonemes.
        """
        self.language = language
        self.lexicon = tuple(sorted(lexicon, key=lambda entry: (-entry.count, entry.word)))
        if not self.lexicon:
            raise UnitsError("Phoneme units need at least one word that can be pronounced; is the training text empty?")
        self.phonemes = tuple(sorted({phoneme for entry in self.lexicon for phoneme in entry.phonemes}))
        self._ids = {phoneme: i for i, phoneme in enumerate(self.phonemes, start=_FIRST)}
        self._labels: dict[str, Labels] = {}
        self._words: dict[Labels, list[Pronounced]] = {}  # the most frequent first
        for entry in self.lexicon:
            if entry.word in self._labels or not entry.phonemes or entry.count < 1:
                raise UnitsError(f"The lexicon's word {entry.word!r} is there twice, or without phonemes or a count.")
            self._labels[entry.word] = labels = tuple(self._ids[phoneme] for phoneme in entry.phonemes)
            self._words.setdefault(labels, []).append(entry)
        self._unknown: dict[str, Labels | str] = {}
        self._nearest: dict[Labels, Labels] = {}

    @classmethod
    def from_text(cls, sentences: Iterable[str], language: str) -> PhonemeUnits:
        """Units over all words of the text that espeak-ng can say. Raises UnitsError when there are none."""
        counts: Counter[str] = Counter()
        for sentence in sentences:
            require_utf8(sentence)
            counts.update(sentence.split())
        said = _pronounce(list(counts), language)
        return cls(language, (Pronounced(w, counts[w], said[w]) for w in counts if said[w]))

    @property
    def size(self) -> int:
        """V."""
        return len(self.phonemes) + _FIRST

    @cached_property
    def fingerprint(self) -> str:
        """Over the language and the lexicon."""
        return hashlib.sha256(f"phonemes {self.language}\n{self._table()}".encode()).hexdigest()[:16]

    def encode(self, text: str) -> list[int]:
        """The phonemes of the words, a boundary between any two. A word outside the lexicon is asked of espeak-ng.

        Raises UnitsError naming the word where espeak-ng is missing, has nothing to say for it, or uses a phoneme that
        the lexicon has not.
        """
        require_utf8(text)
        words = text.split()
        if len(self._unknown) > _MOST_REMEMBERED:
            self._unknown.clear()
        self._learn(list({word for word in words if word not in self._labels and word not in self._unknown}))
        ids: list[int] = []
        for word in words:
            found = self._labels.get(word) or self._unknown[word]
            if isinstance(found, str):
                raise UnitsError(
                    f"The word {word!r} in {text[:60]!r} cannot be spelled in these {self.size} phonemes units: {found}"
                )
            ids += [_BOUNDARY, *found] if ids else found
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The words, as the class says; BOS and EOS are dropped. Raises UnitsError for an id outside 0 … V-1."""
        return " ".join(self._readings(stretch)[0].word for stretch in self._stretches(ids))

    def spellings(self, ids: Sequence[int], limit: int) -> list[str]:
        """At most `limit` texts that these labels stand for, by the frequency of their words, the first as `decode`.

        They differ in words that sound alike: all of the pronunciation that `decode` takes a stretch for.
        """
        found: list[tuple[float, tuple[str, ...]]] = [(0.0, ())]
        for stretch in self._stretches(ids):
            longer: list[tuple[float, tuple[str, ...]]] = [
                (score + math.log(entry.count), (*words, entry.word))
                for score, words in found
                for entry in self._readings(stretch)
            ]
            found = sorted(longer, key=lambda scored: -scored[0])[:limit]
        return [" ".join(words) for _, words in found]

    def starts_word(self, label: int) -> bool:
        """True for the boundary alone: what comes before it is whole."""
        check_ids((label,), self.size)
        return label == _BOUNDARY

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write lexicon.tsv, then units.json: loading them does not need espeak-ng."""
        with atomic_file(Path(folder) / LEXICON_FILE) as handle:
            handle.write(self._table())
        write_json(Path(folder) / UNITS_FILE, {"kind": self.kind, "size": self.size, "language": self.language})

    @classmethod
    def load(cls, folder: str | os.PathLike[str], language: str) -> PhonemeUnits:
        """Units that `save` wrote. Raises UnitsError naming the line of the lexicon that is damaged."""
        file = Path(folder) / LEXICON_FILE
        try:
            lines = file.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UnitsError(f"{file}: cannot be read ({error}).") from error
        if lines[0] != _HEADER:
            raise UnitsError(f"{file}: expected the first line to be {_HEADER!r}, not {lines[0][:60]!r}.")
        entries = []
        for number, line in enumerate(lines[1:], start=2):
            if not line and number == len(lines):
                break
            try:
                word, count, phonemes = line.split("\t")
                entries.append(Pronounced(word, int(count), tuple(phonemes.split())))
            except ValueError:
                raise UnitsError(
                    f"{file}:{number}: expected a word, a count and phonemes, not {line[:60]!r}."
                ) from None
        try:
            return cls(language, entries)
        except UnitsError as error:
            raise UnitsError(f"{file}: {error}") from error

    def _table(self) -> str:
        rows = (f"{entry.word}\t{entry.count}\t{' '.join(entry.phonemes)}" for entry in self.lexicon)
        return "\n".join((_HEADER, *rows, ""))

    def _learn(self, words: Sequence[str]) -> None:
        """Ask espeak-ng for words that are not in the lexicon, and remember what comes of it."""
        if not words:
            return
        for word, phonemes in _pronounce(words, self.language).items():
            strange = next((phoneme for phoneme in phonemes if phoneme not in self._ids), None)
            if not phonemes:
                self._unknown[word] = "espeak-ng has nothing to say for it."
            elif strange is not None:
                self._unknown[word] = f"espeak-ng says it with {strange!r}, which no word of the training text has."
            else:
                self._unknown[word] = tuple(self._ids[phoneme] for phoneme in phonemes)

    def _stretches(self, ids: Sequence[int]) -> Iterator[Labels]:
        """What stands between boundaries; where nothing does, there is no word."""
        check_ids(ids, self.size)
        stretch: list[int] = []
        for label in (*ids, _BOUNDARY):
            if label >= _FIRST:
                stretch.append(label)
            elif label == _BOUNDARY and stretch:
                yield tuple(stretch)
                stretch = []

    def _readings(self, stretch: Labels) -> list[Pronounced]:
        """The words of this pronunciation, or else of the nearest one."""
        if stretch in self._words:
            return self._words[stretch]
        if stretch not in self._nearest:
            if len(self._nearest) >= _MOST_REMEMBERED:
                self._nearest.clear()
            self._nearest[stretch] = self._index.nearest(stretch)
        return self._words[self._nearest[stretch]]

    @cached_property
    def _index(self) -> NearestSequences:
        return NearestSequences(self._words)  # in the order of the lexicon: by frequency


def _pronounce(words: Sequence[str], language: str) -> dict[str, tuple[str, ...]]:
    """Each word's phonemes; none where espeak-ng has nothing to say. Raises UnitsError where it cannot be asked."""
    try:
        from duolect.audio.speech import Voice, pronunciations

        said = pronunciations(words, Voice(name=language))
    except ImportError as error:
        raise UnitsError(
            f"The word {words[0]!r} needs espeak-ng to be pronounced, which the package espeakng-loader brings"
            f" ({error})."
        ) from error
    except AudioError as error:
        raise UnitsError(f"Phoneme units of {language!r}: {error}") from error
    return {word: segments(parts) for word, parts in zip(words, said, strict=True)}


def segments(parts: Iterable[str]) -> tuple[str, ...]:
    """The labels of a pronunciation that espeak-ng has parted: without stress, lone diacritics joined to what they
    modify."""
    found: list[str] = []
    for part in parts:
        phoneme = "".join(c for c in part if c not in _STRESS)
        if not phoneme:
            continue
        if found and all(unicodedata.category(c) in ("Lm", "Mn", "Sk") for c in phoneme):
            found[-1] += phoneme
        else:
            found.append(phoneme)
    return tuple(found)
