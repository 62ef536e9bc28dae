"""Units of a Hugging Face tokeniser, so that a model can speak an LLM's own labels."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer

from duolect.errors import UnitsError
from duolect.storage import atomic_file, write_json
from duolect.text.units import UNITS_FILE, check_ids, require_utf8

TOKENIZER_FILE = "tokenizer.json"
# Named as the unknown token of a model that has none: it is in no vocabulary, so that the model refuses characters that
# it would otherwise leave out.
_REFUSED = "<no token for this>"
_SETTINGS = ("eos_id", "bos_id", "unknown_id", "special_ids", "lowercase")


class HuggingFaceUnits:
    """The tokens of any tokeniser with a `tokenizers` backend: byte-level BPE, SentencePiece-like or WordPiece.

    Special tokens are never read from text: "<|endoftext|>" is spelled like any other characters. A tokeniser that
    changes text itself (an uncased one that takes accents off) gives back the text it made.
    """

    kind = "huggingface"

    def __init__(self, source: str | os.PathLike[str], *, lowercase: bool = False) -> None:
        """`source`: a folder or hub name that `transformers.AutoTokenizer` can load; `lowercase`: lower text first.

        BOS falls back to EOS. Raises UnitsError when it cannot be loaded, has no fast backend or no EOS.
        """
        tokenizer = _load_tokenizer(str(source))
        if tokenizer.eos_token_id is None:
            raise UnitsError(f"{source}: the tokeniser has no end-of-sentence token; set eos_token in its config.")
        bos = tokenizer.bos_token_id
        self._set_up(
            tokenizer.backend_tokenizer.to_str(),
            {
                "eos_id": tokenizer.eos_token_id,
                "bos_id": tokenizer.eos_token_id if bos is None else bos,
                "unknown_id": tokenizer.unk_token_id,
                "special_ids": sorted(set(tokenizer.all_special_ids)),
                "lowercase": lowercase,
            },
        )

    @classmethod
    def load(cls, folder: str | os.PathLike[str], stored: Mapping[str, Any]) -> HuggingFaceUnits:
        """Units that `save` wrote; `stored` is what stands in units.json. Raises UnitsError when they are damaged."""
        file = Path(folder) / TOKENIZER_FILE
        settings = {name: stored[name] for name in _SETTINGS}
        try:
            return cls._restore(file.read_text(encoding="utf-8"), settings)
        except OSError as error:
            raise UnitsError(f"{file}: cannot be read ({error.strerror}).") from error
        except Exception as error:  # tokenizers raises bare Exceptions
            raise UnitsError(f"{file}: this is not a tokeniser ({error}).") from error

    @classmethod
    def _restore(cls, serialised: str, settings: Mapping[str, Any]) -> HuggingFaceUnits:
        units = cls.__new__(cls)
        units._set_up(serialised, settings)
        return units

    def __reduce__(self) -> tuple[Callable[..., HuggingFaceUnits], tuple[str, dict[str, Any]]]:
        return HuggingFaceUnits._restore, (self._serialised, self._settings)

    def _set_up(self, serialised: str, settings: Mapping[str, Any]) -> None:
        self._serialised, self._settings = serialised, dict(settings)
        self._tokenizer = Tokenizer.from_str(serialised)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True
        if getattr(self._tokenizer.model, "unk_token", _REFUSED) is None:  # before any text, since words are cached
            self._tokenizer.model.unk_token = _REFUSED
        ids = set(self._tokenizer.get_vocab(with_added_tokens=True).values())
        self.size = max(ids) + 1
        self.eos_id: int = settings["eos_id"]
        self.bos_id: int = settings["bos_id"]
        self._unknown: int | None = settings["unknown_id"]
        marked = {i for i, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        gaps = set(range(self.size)) - ids
        self.special_ids = frozenset(marked | gaps | set(settings["special_ids"]) | {self.eos_id, self.bos_id})
        self._lowercase: bool = settings["lowercase"]
        self._starts: dict[int, bool] = {}
        self._anchor = self._find_anchor()

    def _find_anchor(self) -> int:
        """A label with text, after which others can be seen with or without a space before them."""
        vocabulary = (token for i in range(self.size) if (token := self._tokenizer.id_to_token(i)))
        for text in itertools.chain(("a", "e", "0"), vocabulary):
            encoding = self._encoding(text)
            for label in reversed(encoding.ids if encoding is not None else ()):
                if label not in self.special_ids and self._text([label]).strip():
                    return label
        raise UnitsError("The tokeniser has no token with text.")

    @cached_property
    def fingerprint(self) -> str:
        """Over the serialised tokeniser and the settings."""
        text = f"huggingface {self._serialised} {sorted(self._settings.items())}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _text(self, ids: Iterable[int]) -> str:
        return self._tokenizer.decode(list(ids), skip_special_tokens=False)

    def encode(self, text: str) -> list[int]:
        """The tokeniser's ids, without BOS and EOS. Raises UnitsError naming a character it has no token for."""
        return self.encode_as_written(text.lower() if self._lowercase else text)

    def encode_as_written(self, text: str) -> list[int]:
        """As `encode`, but upper case stays, whatever `lowercase` says: for a prompt, which nobody speaks."""
        require_utf8(text)
        encoding = self._encoding(text)
        if encoding is None:
            readable = bisect.bisect_left(range(len(text)), True, key=lambda n: self._encoding(text[: n + 1]) is None)
            raise self._no_token(text, readable)
        ids: list[int] = encoding.ids
        for label, (start, _) in zip(ids, encoding.offsets, strict=True):
            if label == self._unknown or label in self.special_ids:
                raise self._no_token(text, start)
        return ids

    def _encoding(self, text: str) -> Encoding | None:
        """None where a character has no token, and there is none for what is unknown."""
        try:
            return self._tokenizer.encode(text, add_special_tokens=False)
        except Exception:  # tokenizers raises bare Exceptions
            return None

    def _no_token(self, text: str, place: int) -> UnitsError:
        return UnitsError(
            f"The character {text[place : place + 1]!r} in {text[:60]!r} cannot be spelled in the tokeniser's "
            f"{self.size} units; was the text normalised?"
        )

    def decode(self, ids: Sequence[int]) -> str:
        """The text, special tokens dropped and no space at either end. Raises UnitsError for ids outside 0 … V-1."""
        check_ids(ids, self.size)
        return self._text(label for label in ids if label not in self.special_ids).strip(" ")

    def starts_word(self, label: int) -> bool:
        """True where the token's text begins with white space when it follows another: "Ġthe", "▁the", not "##s"."""
        if label not in self._starts:
            check_ids((label,), self.size)
            before, both = self._text([self._anchor]), self._text([self._anchor, label])
            self._starts[label] = label not in self.special_ids and both[len(before) :][:1].isspace()
        return self._starts[label]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write tokenizer.json, then units.json: loading them needs neither the hub nor transformers."""
        with atomic_file(Path(folder) / TOKENIZER_FILE) as handle:
            handle.write(self._serialised)
        write_json(Path(folder) / UNITS_FILE, {"kind": self.kind, "size": self.size, **self._settings})


def _load_tokenizer(source: str) -> Any:
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError, ImportError) as error:
        if "instantiate the backend tokenizer" in str(error):
            raise _no_vocabulary(source) from error
        reason = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
        raise UnitsError(f"{source}: no tokeniser could be loaded from this folder or hub name ({reason}).") from error
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise UnitsError(f"{source}: the tokeniser has no `tokenizers` backend; expected one with a tokenizer.json.")
    # Without its files transformers makes a tokeniser of special tokens alone.
    if not set(tokenizer.get_vocab()) - set(tokenizer.added_tokens_encoder) - set(tokenizer.all_special_tokens):
        raise _no_vocabulary(source, tokenizer.vocab_files_names.values())
    return tokenizer


def _no_vocabulary(source: str, files: Iterable[str] = ()) -> UnitsError:
    names = ", ".join(sorted({TOKENIZER_FILE, *files}))
    return UnitsError(f"{source}: no tokeniser is in this folder or hub name; expected its vocabulary there ({names}).")
