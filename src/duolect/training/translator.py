"""A text translation model of transformers: sentences of one language in, sentences of another out.

Which language is meant is said in as many ways as there are models: M2M100 and mBART by a code of their own that the
output is forced to begin with, NLLB by codes such as deu_Latn, Marian by nothing (one pair) or by a tag before the
source (">>deu<<"), T5 by an instruction. B sentences · N tokens.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from duolect.errors import ConfigError, ModelError
from duolect.models.pretrained import load_pretrained, quiet, reason

# ISO 639-1 → ISO 639-3 and English name: the languages of MuST-C, CoVoST 2 and Europarl-ST, and some more.
_LANGUAGES = {
    "ar": ("arb ara", "Arabic"),
    "bg": ("bul", "Bulgarian"),
    "ca": ("cat", "Catalan"),
    "cs": ("ces", "Czech"),
    "cy": ("cym", "Welsh"),
    "da": ("dan", "Danish"),
    "de": ("deu", "German"),
    "el": ("ell", "Greek"),
    "en": ("eng", "English"),
    "es": ("spa", "Spanish"),
    "et": ("est", "Estonian"),
    "fa": ("pes fas", "Persian"),
    "fi": ("fin", "Finnish"),
    "fr": ("fra", "French"),
    "hi": ("hin", "Hindi"),
    "hu": ("hun", "Hungarian"),
    "id": ("ind", "Indonesian"),
    "it": ("ita", "Italian"),
    "ja": ("jpn", "Japanese"),
    "ko": ("kor", "Korean"),
    "lt": ("lit", "Lithuanian"),
    "lv": ("lvs lav", "Latvian"),
    "mn": ("khk mon", "Mongolian"),
    "nl": ("nld", "Dutch"),
    "pl": ("pol", "Polish"),
    "pt": ("por", "Portuguese"),
    "ro": ("ron", "Romanian"),
    "ru": ("rus", "Russian"),
    "sk": ("slk", "Slovak"),
    "sl": ("slv", "Slovenian"),
    "sv": ("swe", "Swedish"),
    "sw": ("swh swa", "Swahili"),
    "ta": ("tam", "Tamil"),
    "tr": ("tur", "Turkish"),
    "uk": ("ukr", "Ukrainian"),
    "vi": ("vie", "Vietnamese"),
    "zh": ("zho cmn", "Chinese"),
}
_NAMES = [{short, *codes.split()} for short, (codes, _) in _LANGUAGES.items()]
_CODE = re.compile(r"[a-z]{2,3}_[A-Z][A-Za-z]{1,3}")  # deu_Latn, de_DE
_ROOM = 32  # tokens a translation may have beyond twice its source


@dataclass(frozen=True, kw_only=True)
class TranslatorConfig:
    """Which model translates from which language into which, and how.

    `model`: a hub name or a folder of an encoder-decoder of transformers with its tokeniser. `prefix`: text before each
    sentence; None: what the model wants ("translate English to German: " for T5, ">>deu<<" for a Marian of several
    targets).
    """

    model: str
    source: str
    target: str
    beam: int = 4
    batch: int = 32
    prefix: str | None = None

    def __post_init__(self) -> None:
        for name in ("beam", "batch"):
            if getattr(self, name) < 1:
                raise ConfigError(f"distill: {name} must be at least 1, not {getattr(self, name)}.")
        for name in ("model", "source", "target"):
            if not getattr(self, name).strip():
                raise ConfigError(f"distill: {name} must not be blank.")


class Translator:
    """The model, its tokeniser, and how it is told the languages.

    Raises ModelError where the model is none that translates or cannot be loaded, ConfigError, which names the known
    ones, for a language it does not have.
    """

    def __init__(self, config: TranslatorConfig, device: str | torch.device = "cpu") -> None:
        self.config = config
        with quiet():
            self.model, self.tokenizer = _load(config.model)
        self.model.to(device).eval()
        self.forced: int | None = None
        self.prefix = config.prefix or ""
        self._tell_languages()
        positions = getattr(self.model.config, "max_position_embeddings", None) or math.inf
        self.longest = min(float(self.tokenizer.model_max_length), float(positions))
        """Tokens that a sentence may have, EOS and codes among them."""

    def lengths(self, sentences: Sequence[str]) -> list[int]:
        """Numbers of tokens, all that the encoder is given counted."""
        encoded = self.tokenizer([self.prefix + sentence for sentence in sentences], truncation=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def translate(self, sentences: Sequence[str]) -> list[str | None]:
        """The best translation of each of a batch of sentences, by beam search; None where it found no end.

        Deterministic. No sentence may be longer than `longest`.
        """
        encoded = self.tokenizer(
            [self.prefix + sentence for sentence in sentences], padding=True, truncation=False, return_tensors="pt"
        )
        inputs = {name: encoded[name].to(self.model.device) for name in ("input_ids", "attention_mask")}
        limit = int(min(self.longest, 2 * inputs["input_ids"].shape[1] + _ROOM)) - 1
        forced = {} if self.forced is None else {"forced_bos_token_id": self.forced}
        with torch.inference_mode(), quiet():
            found_BN = self.model.generate(
                **inputs,
                **forced,
                num_beams=self.config.beam,
                do_sample=False,
                max_length=None,
                max_new_tokens=limit,
                forced_eos_token_id=None,  # an end that is forced says nothing
                return_dict_in_generate=False,
            )
        return [self._read(labels) for labels in found_BN[:, 1:].tolist()]  # without what the decoder begins with

    def _read(self, labels: list[int]) -> str | None:
        if self.tokenizer.eos_token_id not in labels:
            return None
        # Not every tokeniser takes its languages' codes for special ones.
        kept = [label for label in labels if label != self.forced]
        text = self.tokenizer.decode(kept, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return " ".join(text.split())

    def _tell_languages(self) -> None:
        tokenizer, config = self.tokenizer, self.config
        codes = list(
            getattr(tokenizer, "lang_code_to_id", None) or filter(_CODE.fullmatch, tokenizer.all_special_tokens)
        )
        if codes and hasattr(tokenizer, "src_lang"):
            tokenizer.src_lang = find_code(config.source, codes, config.model)
            code = find_code(config.target, codes, config.model)
            known = getattr(tokenizer, "lang_code_to_id", None)
            self.forced = known[code] if known else tokenizer.convert_tokens_to_ids(code)
        elif tagged := [code[2:-2] for code in getattr(tokenizer, "supported_language_codes", None) or []]:
            if config.prefix is None:
                self.prefix = f">>{find_code(config.target, tagged, config.model)}<< "
        elif self.model.config.model_type in ("t5", "mt5", "umt5"):
            if config.prefix is None:
                self.prefix = f"translate {_english(config.source)} to {_english(config.target)}: "
        else:
            for what, own in (("source", "source_lang"), ("target", "target_lang")):
                fixed, asked = getattr(tokenizer, own, None), getattr(config, what)
                if fixed and not names_of(fixed) & names_of(asked):
                    raise ConfigError(f"{config.model}: its {what} language is {fixed!r}, not {asked!r}.")


def find_code(language: str, codes: Sequence[str], model: str) -> str:
    """The one of a model's `codes` that means `language`: the same, or "de" for "deu_Latn", "de_DE" and "deu".

    Raises ConfigError that names the nearest, or all of several.
    """
    if language in codes:
        return language
    plain = not re.search("[_-]", language)  # a script or region that is named must be the right one
    fits = [code for code in codes if plain and names_of(code) & names_of(language)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ConfigError(f"{model}: the language {language!r} may be any of {', '.join(fits)}; name one of them.")
    near = difflib.get_close_matches(language, codes, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? It" if near else "it"
    shown = ", ".join(sorted(codes)[:8]) + (f" and {len(codes) - 8} more" if len(codes) > 8 else "")
    raise ConfigError(f"{model}: has no language {language!r}; {hint} knows {shown}.")


def names_of(language: str) -> set[str]:
    """What a language's code may be called, without script or region: "de", "deu" of "de", "de_DE" or "deu_Latn"."""
    base = re.split("[_-]", language)[0].lower()
    return {base} | next((names for names in _NAMES if base in names), set())


def _english(language: str) -> str:
    if language.lower() not in _LANGUAGES:
        raise ConfigError(
            f"distill: the English name of {language!r} is not known here; give the model's instruction as prefix."
        )
    return _LANGUAGES[language.lower()][1]


def _load(source: str) -> tuple[Any, Any]:
    from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

    path_like = source.startswith(("/", ".", "~")) or source.count("/") > 1  # else it may be a hub name
    if path_like and not os.path.isdir(source):
        raise ModelError(f"{source}: there is no such folder; expected a translation model's, or a hub name.")
    try:
        architecture = AutoConfig.from_pretrained(source)
        if type(architecture) not in AutoModelForSeq2SeqLM._model_mapping:
            name = (getattr(architecture, "architectures", None) or [architecture.model_type])[0]
            raise ModelError(
                f"{source}: {name} does not translate text; expected an encoder-decoder such as Marian, M2M100, NLLB, "
                "mBART or T5."
            )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Recommended: pip install sacremoses")  # punctuation, for Marian
            tokenizer = AutoTokenizer.from_pretrained(source)
        return load_pretrained(AutoModelForSeq2SeqLM, source, source, dtype=torch.float32), tokenizer
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise ModelError(f"{source}: the translation model cannot be loaded ({reason(error)}).") from error
