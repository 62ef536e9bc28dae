"""Label units: what a model's labels are, and the way from text to labels and back.

Text is assumed normalised (`duolect.text.normalise`): words with single spaces between them. For such text
`units.decode(units.encode(text)) == text` holds for all units but those that write sounds (`SoundUnits`): they give
back as many words, which for words of their lexicon sound the same, so that `encode` gives the same labels again. What
is scored must therefore be compared with the text itself, never with `decode(encode(text))`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from duolect.errors import UnitsError

UNITS_FILE = "units.json"


@runtime_checkable
class Units(Protocol):
    """The label units a model speaks."""

    @property
    def kind(self) -> str:
        """ "characters", "sentencepiece", "huggingface" or "phonemes"."""
        ...

    @property
    def size(self) -> int:
        """V: ids are 0 … V-1, EOS included; a CTC blank is not among them."""
        ...

    @property
    def eos_id(self) -> int:
        """Ends a label sequence."""
        ...

    @property
    def bos_id(self) -> int:
        """Begins one; it may be the same as `eos_id`."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that `encode` never gives and `decode` drops: EOS, BOS, unknown, padding, whatever else has no text."""
        ...

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all that determines the ids: equal for two units that spell every text alike."""
        ...

    def encode(self, text: str) -> list[int]:
        """The labels of `text`, without BOS and EOS. Raises UnitsError naming a character that cannot be spelled."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of labels, special ones dropped. Raises UnitsError for an id outside 0 … V-1."""
        ...

    def starts_word(self, label: int) -> bool:
        """Whether what comes before this label is a whole word (it carries or is the space before its text).

        False for special ids. The first label of a text starts a word whatever this says.
        """
        ...

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write all that `load_units` needs into `folder`, which is made when missing."""
        ...


@runtime_checkable
class SoundUnits(Units, Protocol):
    """Units whose labels may stand for several texts: words that sound alike."""

    def spellings(self, ids: Sequence[int], limit: int) -> list[str]:
        """At most `limit` texts that the labels stand for, the most likely first, which is that of `decode`."""
        ...


def spellings(units: Units, ids: Sequence[int], limit: int) -> list[str]:
    """At most `limit` (≥ 1) texts that labels stand for, that of `decode` first; of most units it is the only one."""
    # `isinstance` of a protocol takes longer than the decoding, and this is asked for every hypothesis.
    several = getattr(units, "spellings", None) if limit > 1 else None
    return [units.decode(ids)] if several is None else several(ids, limit)


def require_same_units(a: Units, b: Units, what_a: str, what_b: str) -> None:
    """Raise UnitsError, in one sentence, unless `a` and `b` spell every text with the same labels.

    `what_a` and `what_b` name whose units they are ("the acoustic model runs/am").
    """
    if a.fingerprint != b.fingerprint:
        raise UnitsError(
            f"{what_a} and {what_b} must speak the same label units, but one has {a.size} {a.kind} units "
            f"({a.fingerprint}) and the other {b.size} {b.kind} units ({b.fingerprint}); combine them by rescoring or "
            "train one with the units of the other."
        )


def check_ids(ids: Sequence[int], size: int) -> None:
    """Raise UnitsError when an id lies outside 0 … size-1."""
    for label in ids:
        if not 0 <= label < size:
            raise UnitsError(f"The label {label} is outside the units; expected ids from 0 to {size - 1}.")


def require_utf8(text: str) -> None:
    """Raise UnitsError for half a surrogate pair, which JSON can write but no library can spell."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnitsError(f"The character {text[error.start]!r} in {text[:60]!r} is not valid Unicode text.") from None
