"""Room `recipes`: functions that return a whole training config; their docstrings say how, on what, with which result.

A recipe's arguments are what a user types (`duolect train NAME --argument value`); any field of what it returns can be
set by its dotted name besides.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable

from duolect.errors import ConfigError
from duolect.recipes.aed import demo_aed, small_aed
from duolect.recipes.demo import demo_acoustic, demo_language, demo_speech_llm
from duolect.recipes.fbk import (
    cross_conformer,
    cross_transformer,
    decoder_only,
    prepend_conformer,
    prepend_transformer,
)
from duolect.recipes.paper import (
    librispeech_acoustic,
    loquacious_acoustic,
    qwen_language,
    qwen_speech_llm,
    transformer_language,
)
from duolect.recipes.pretrained import pretrained_acoustic, pretrained_speech_llm
from duolect.recipes.small import small_acoustic, small_language, small_speech_llm
from duolect.recipes.translation import demo_translation
from duolect.training import Recipe

__all__ = ["RECIPES", "find_recipe"]

RECIPES: dict[str, Callable[..., Recipe]] = {
    "demo-acoustic": demo_acoustic,
    "demo-language": demo_language,
    "demo-speech-llm": demo_speech_llm,
    "demo-translation": demo_translation,
    "demo-aed": demo_aed,
    "small-acoustic": small_acoustic,
    "small-language": small_language,
    "small-speech-llm": small_speech_llm,
    "small-aed": small_aed,
    "pretrained-acoustic": pretrained_acoustic,
    "pretrained-speech-llm": pretrained_speech_llm,
    "paper-librispeech-acoustic": librispeech_acoustic,
    "paper-loquacious-acoustic": loquacious_acoustic,
    "paper-fbk-cross-transformer": cross_transformer,
    "paper-fbk-prepend-transformer": prepend_transformer,
    "paper-fbk-decoder-only": decoder_only,
    "paper-fbk-cross-conformer": cross_conformer,
    "paper-fbk-prepend-conformer": prepend_conformer,
    "paper-transformer-lm": transformer_language,
    "paper-language": qwen_language,
    "paper-speech-llm": qwen_speech_llm,
}
"""Name → recipe, from the smallest to the largest."""


def find_recipe(name: str) -> Callable[..., Recipe]:
    """The built-in recipe of that name. Raises ConfigError with the nearest name where there is none."""
    if name in RECIPES:
        return RECIPES[name]
    near = difflib.get_close_matches(name, RECIPES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"built in are {', '.join(RECIPES)}."
    raise ConfigError(f"{name!r} is neither a built-in recipe, nor a Python file, nor a run folder; {hint}")
