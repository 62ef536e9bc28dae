"""Units of single characters, the space among them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from duolect.errors import UnitsError
from duolect.storage import write_json
from duolect.text.units import UNITS_FILE, check_ids, require_utf8


class CharacterUnits:
    """One label a character: EOS 0, BOS 1, then the characters in code point order. There is no unknown label."""

    kind = "characters"
    eos_id = 0
    bos_id = 1
    special_ids = frozenset((0, 1))

    def __init__(self, characters: Iterable[str]) -> None:
        """`characters`: a set of single characters, in any order. Raises UnitsError for none, or for longer strings."""
        self.characters = tuple(sorted(set(characters)))
        for character in self.characters:
            if not isinstance(character, str) or len(character) != 1:
                raise UnitsError(f"Character units are made of single characters, not {character!r}.")
            require_utf8(character)
        if not self.characters:
            raise UnitsError("Character units need at least one character; is the training text empty?")
        self._ids = {character: i for i, character in enumerate(self.characters, start=2)}

    @classmethod
    def from_text(cls, sentences: Iterable[str]) -> CharacterUnits:
        """Units of all characters of the text. Raises UnitsError when there are none."""
        characters: set[str] = set()
        for sentence in sentences:
            characters.update(sentence)
        return cls(characters)

    @property
    def size(self) -> int:
        """V."""
        return len(self.characters) + 2

    @property
    def fingerprint(self) -> str:
        """Over the characters."""
        return hashlib.sha256(f"characters {''.join(self.characters)}".encode()).hexdigest()[:16]

    def encode(self, text: str) -> list[int]:
        """One label a character. Raises UnitsError naming the first character without one."""
        try:
            return [self._ids[character] for character in text]
        except KeyError as error:
            raise UnitsError(
                f"The character {error.args[0]!r} in {text[:60]!r} cannot be spelled in these units of "
                f"{len(self.characters)} characters; was the text normalised?"
            ) from None

    def decode(self, ids: Sequence[int]) -> str:
        """The characters; BOS and EOS are dropped. Raises UnitsError for an id outside 0 … V-1."""
        check_ids(ids, self.size)
        return "".join(self.characters[label - 2] for label in ids if label > 1)

    def starts_word(self, label: int) -> bool:
        """True for the space alone: what comes before it is whole."""
        check_ids((label,), self.size)
        return self._ids.get(" ") == label

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write units.json."""
        write_json(Path(folder) / UNITS_FILE, {"kind": self.kind, "characters": list(self.characters)})
