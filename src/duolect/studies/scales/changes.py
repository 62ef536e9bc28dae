"""What scales change in a recipe, whichever it is: label units, the LLM's size, prompts, what is trained and when."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from duolect.recipes.settings import adapter_first
from duolect.text import UnitsConfig, find_prompt
from duolect.training import LanguageTask, Recipe, SpeechLLMTask, UnitsFrom


def with_task(recipe: Recipe, **fields: Any) -> Recipe:
    """With other fields of its task."""
    return dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, **fields))


def with_loop(recipe: Recipe, **fields: Any) -> Recipe:
    """With other fields of its loop."""
    return dataclasses.replace(recipe, loop=dataclasses.replace(recipe.loop, **fields))


def with_model(recipe: Recipe, **fields: Any) -> Recipe:
    """With other fields of its model."""
    return with_task(recipe, model=dataclasses.replace(recipe.task.model, **fields))


def with_llm(recipe: Recipe, **fields: Any) -> Recipe:
    """With other fields of the LLM, such as width and layers, of a language model or a speech LLM."""
    assert isinstance(recipe.task, LanguageTask | SpeechLLMTask)
    return with_model(recipe, llm=dataclasses.replace(recipe.task.model.llm, **fields))


def with_prompts(recipe: Recipe, prompts: Sequence[str]) -> Recipe:
    """With these prompts, by name or written out (`text.find_prompt`), around the audio of a speech LLM."""
    return with_task(recipe, prompts=tuple(map(find_prompt, prompts)))


def with_ctc_units(recipe: Recipe, units: UnitsConfig | UnitsFrom) -> Recipe:
    """With CTC heads that speak other units than the rest of the model."""
    return with_task(recipe, ctc_units=units)


def with_adapter_first(recipe: Recipe, share: float) -> Recipe:
    """For that share of its steps a speech LLM trains its adapter and its CTC heads alone, then what it trains now."""
    assert isinstance(recipe.task, SpeechLLMTask)
    model = recipe.task.model
    until = adapter_first(
        max(1, round(share * recipe.loop.steps)),
        llm=model.finetune != "frozen",
        encoder=not model.freeze_encoder,
    )
    return dataclasses.replace(recipe, optimiser=dataclasses.replace(recipe.optimiser, freeze_until=until))
