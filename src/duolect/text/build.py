"""Building and loading of label units, whatever their kind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from duolect.errors import ConfigError, UnitsError
from duolect.storage import read_json
from duolect.text.characters import CharacterUnits
from duolect.text.huggingface import HuggingFaceUnits
from duolect.text.phonemes import PhonemeUnits
from duolect.text.pieces import SentencePieceUnits, train_sentencepiece
from duolect.text.units import UNITS_FILE, Units

Kind = Literal["characters", "sentencepiece", "huggingface", "phonemes"]


@dataclass(frozen=True, kw_only=True)
class UnitsConfig:
    """Which units to build.

    `size` and `model_type` are for sentencepiece, `source` (a folder or a hub name) and `lowercase` (the tokeniser gets
    text in lower case) for huggingface, `language` (an espeak-ng voice such as "en-gb") for phonemes; characters, and
    the words that phonemes are of, are all those of the training text.
    """

    kind: Kind = "characters"
    size: int = 256
    model_type: Literal["unigram", "bpe"] = "unigram"
    source: str | None = None
    lowercase: bool = False
    language: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"units: kind must be one of {', '.join(get_args(Kind))}, not {self.kind!r}.")
        if self.model_type not in ("unigram", "bpe"):
            raise ConfigError(f"units: model_type must be unigram or bpe, not {self.model_type!r}.")
        if self.size < 1:
            raise ConfigError(f"units: size must be at least 1, not {self.size}.")
        if (self.kind == "huggingface") != (self.source is not None):
            raise ConfigError(
                "units: source, a tokeniser's folder or hub name, goes with kind 'huggingface', where it is needed; "
                f"found kind {self.kind!r} and source {self.source!r}."
            )
        if (self.kind == "phonemes") != (self.language is not None):
            raise ConfigError(
                "units: language, an espeak-ng voice such as 'en-gb', goes with kind 'phonemes', where it is needed; "
                f"found kind {self.kind!r} and language {self.language!r}."
            )


def build_units(config: UnitsConfig, sentences: Iterable[str]) -> Units:
    """The units of `config`; characters, pieces and words are taken from `sentences` (normalised text).

    A text too small for `size` pieces gives fewer. Raises UnitsError when the text is empty, its characters alone need
    more than `size`, the tokeniser cannot be loaded, or espeak-ng has no such language.
    """
    if config.kind == "huggingface":
        assert config.source is not None
        return HuggingFaceUnits(config.source, lowercase=config.lowercase)
    if config.kind == "sentencepiece":
        return train_sentencepiece(sentences, config.size, model_type=config.model_type)
    if config.kind == "phonemes":
        assert config.language is not None
        return PhonemeUnits.from_text(sentences, config.language)
    return CharacterUnits.from_text(sentences)


def load_units(folder: str | os.PathLike[str]) -> Units:
    """Units that `save` wrote. Raises UnitsError when the folder holds none, or damaged ones."""
    folder = Path(folder)
    file = folder / UNITS_FILE
    if not file.is_file():
        raise UnitsError(f"{folder}: there are no label units here; expected the file {UNITS_FILE}.")
    try:
        stored = read_json(file)
    except ConfigError as error:
        raise UnitsError(str(error)) from error
    kind = stored.get("kind") if isinstance(stored, dict) else None
    if kind not in get_args(Kind):
        raise UnitsError(f"{file}: kind must be one of {', '.join(get_args(Kind))}, not {kind!r}.")
    try:
        return _load(cast(Kind, kind), folder, stored)
    except (KeyError, TypeError, ValueError) as error:
        raise UnitsError(f"{file}: these label units are damaged ({type(error).__name__}: {error}).") from error


def _load(kind: Kind, folder: Path, stored: Mapping[str, Any]) -> Units:
    if kind == "characters":
        return CharacterUnits(stored["characters"])
    if kind == "sentencepiece":
        return SentencePieceUnits.load(folder)
    if kind == "phonemes":
        return PhonemeUnits.load(folder, str(stored["language"]))
    return HuggingFaceUnits.load(folder, stored)
