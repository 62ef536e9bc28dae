"""Units of SentencePiece (Kudo and Richardson 2018), trained on the user's own text: unigram or BPE."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import sentencepiece

from duolect.errors import UnitsError
from duolect.storage import atomic_file, write_json
from duolect.text.units import UNITS_FILE, check_ids, require_utf8

MODEL_FILE = "pieces.model"
_SPACE = "\u2581"  # SentencePiece writes a space as this character
_MOST_SENTENCES = 1_000_000
_LONGEST_BYTES = 100_000


class SentencePieceUnits:
    """The pieces of a SentencePiece model that `train_sentencepiece` made: EOS 0, BOS 1, unknown 2."""

    kind = "sentencepiece"

    def __init__(self, model: bytes) -> None:
        """`model`: a serialised SentencePiece model. Raises UnitsError when it is none, or has no EOS or BOS."""
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise UnitsError(f"This is not a SentencePiece model ({error}).") from error
        self.size: int = self._processor.get_piece_size()
        self.eos_id: int = self._processor.eos_id()
        self.bos_id: int = self._processor.bos_id()
        self._unknown: int = self._processor.unk_id()
        if self.eos_id < 0 or self.bos_id < 0:
            raise UnitsError("The SentencePiece model has no EOS or no BOS; train one with train_sentencepiece.")

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> SentencePieceUnits:
        """Units that `save` wrote. Raises UnitsError when the model is missing or damaged."""
        file = Path(folder) / MODEL_FILE
        try:
            return cls(file.read_bytes())
        except OSError as error:
            raise UnitsError(f"{file}: cannot be read ({error.strerror}).") from error
        except UnitsError as error:
            raise UnitsError(f"{file}: {error}") from error

    def __reduce__(self) -> tuple[Callable[[bytes], SentencePieceUnits], tuple[bytes]]:
        return SentencePieceUnits, (self._model,)

    @cached_property
    def fingerprint(self) -> str:
        """Over the model's bytes."""
        return hashlib.sha256(b"sentencepiece " + self._model).hexdigest()[:16]

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """EOS, BOS and unknown."""
        sp = self._processor
        return frozenset(i for i in range(self.size) if sp.is_control(i) or sp.is_unknown(i) or sp.is_unused(i))

    @cached_property
    def pieces(self) -> tuple[str, ...]:
        """The pieces in the order of their ids; "▁" stands for the space before a word."""
        return tuple(self._processor.id_to_piece(i) for i in range(self.size))

    def encode(self, text: str) -> list[int]:
        """The best segmentation. Raises UnitsError naming a character that is in no piece."""
        require_utf8(text)
        ids = self._processor.encode(" ".join(text.split()))
        if self._unknown in ids or _SPACE in text:
            known = set(self.pieces)
            character = next((c for c in text if not c.isspace() and (c == _SPACE or c not in known)), "?")
            raise UnitsError(
                f"The character {character!r} in {text[:60]!r} cannot be spelled in these {self.size} sentencepiece "
                "units; was the text normalised?"
            )
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text; EOS, BOS and unknown are dropped. Raises UnitsError for an id outside 0 … V-1."""
        check_ids(ids, self.size)
        text = "".join(self.pieces[label] for label in ids if label not in self.special_ids)
        return text.replace(_SPACE, " ").removeprefix(" ")

    def starts_word(self, label: int) -> bool:
        """True for pieces with the space before a word, the space alone included."""
        check_ids((label,), self.size)
        return self.pieces[label].startswith(_SPACE)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write the model, then units.json."""
        with atomic_file(Path(folder) / MODEL_FILE, "wb") as handle:
            handle.write(self._model)
        write_json(Path(folder) / UNITS_FILE, {"kind": self.kind, "size": self.size})


def train_sentencepiece(
    sentences: Iterable[str],
    size: int,
    *,
    model_type: Literal["unigram", "bpe"] = "unigram",
    seed: int = 0,
) -> SentencePieceUnits:
    """Train at most `size` pieces, EOS, BOS and unknown included, on normalised sentences.

    Text is taken as it is (identity normalisation), all its characters are pieces, digits stand alone, and there is no
    byte fallback. A text too small for `size` pieces gives as many as it can: ask `units.size`. The same sentences and
    `seed` give the same units; `seed` draws from more than a million sentences, and does nothing below.
    Raises UnitsError when the text is empty or `size` is smaller than its characters need.
    """
    cleaned = [" ".join(sentence.split()) for sentence in sentences]
    cleaned = [sentence for sentence in cleaned if sentence]
    characters = {character for sentence in cleaned for character in sentence if character != " "}
    if not characters:
        raise UnitsError("SentencePiece units cannot be trained on an empty text.")
    if _SPACE in characters:
        raise UnitsError(f"The training text has the character {_SPACE!r}, which SentencePiece keeps for the space.")
    least = len(characters) + 4  # the space, EOS, BOS, unknown
    if size < least:
        raise UnitsError(
            f"{size} sentencepiece units are too few: the text has {len(characters)} different characters, so size "
            f"must be at least {least}; was the text normalised?"
        )
    if len(cleaned) > _MOST_SENTENCES:
        cleaned = random.Random(seed).sample(cleaned, _MOST_SENTENCES)
    return SentencePieceUnits(_train(cleaned, characters, size, model_type))


def _train(sentences: list[str], characters: set[str], size: int, model_type: str) -> bytes:
    model = io.BytesIO()
    settings: dict[str, Any] = {
        "vocab_size": size,
        "model_type": model_type,
        "hard_vocab_limit": False,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "character_coverage": 1.0,
        "required_chars": "".join(sorted(characters)),  # those of sentences that were not drawn, too
        "split_digits": True,
        "byte_fallback": False,
        "eos_id": 0,
        "bos_id": 1,
        "unk_id": 2,
        "pad_id": -1,
        "max_sentence_length": _LONGEST_BYTES,
        "num_threads": 1,  # EM sums in another order on several threads
        "minloglevel": 2,
    }
    try:
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=model, **settings)
    except RuntimeError as error:
        raise UnitsError(f"SentencePiece could not be trained with {size} units ({error}).") from error
    return model.getvalue()
