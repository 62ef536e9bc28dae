"""What of a recipe's LLM and encoder is trained, and from which step on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from tiny_encoders import make_source
from tiny_llm import make_llm

from duolect.errors import ConfigError
from duolect.models import LORA_PRESETS
from duolect.recipes import find_recipe
from duolect.recipes.settings import LanguageFinetuning, SpeechFinetuning, finetuning
from duolect.text import CharacterUnits
from duolect.training import Recipe
from duolect.training.freezing import Stages
from duolect.training.parts import make_model

UNITS = CharacterUnits("abcdef ")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "text").write_text("abc def\n")
    made = {"encoder": make_source("wavlm", folder / "wavlm"), "llm": make_llm(folder / "llm", folder / "text")}
    return {name: str(path) for name, path in made.items()}


def stages(recipe: Recipe) -> Stages:
    return Stages(make_model(recipe.task, UNITS, None), recipe.optimiser, recipe.loop.steps)


@pytest.mark.parametrize("how", get_args(SpeechFinetuning))
def test_a_speech_llm_trains_what_its_recipe_says(how: Any, sources: dict[str, str]) -> None:
    data: dict[str, Any] = {"train": (Path("t.jsonl"),), "dev": Path("d.jsonl"), "finetune": how}
    first = stages(find_recipe("pretrained-speech-llm")(**sources, **data, adapter_steps=7)).first
    llm = {name.removeprefix("llm.model.") for name in first if name.startswith("llm.")}
    if how == "frozen":
        assert not llm
    elif how.startswith("lora"):
        assert llm
        assert all("lora_" in name and name.split(".")[4] in LORA_PRESETS[how].targets for name in llm)
    else:
        assert ("model.embed_tokens.weight" in llm) == (how == "full")
        assert "model.layers.0.mlp.up_proj.weight" in llm
    for name, step in first.items():
        assert step == (7 if name.startswith(("llm.", "speech.encoder.")) else 0), name
    assert any(name.startswith("adapter.") for name in first)
    assert any(name.startswith("speech.ctc_heads.") for name in first)


def test_an_adapter_that_is_alone_all_the_time_needs_no_steps(sources: dict[str, str]) -> None:
    frozen: dict[str, Any] = {"finetune": "frozen", "train_encoder": False}
    data: dict[str, Any] = {"train": (Path("t.jsonl"),), "dev": Path("d.jsonl"), **frozen}
    recipe = find_recipe("pretrained-speech-llm")
    assert not any(stages(recipe(**sources, **data)).first.values())
    with pytest.raises(ConfigError, match="the adapter is trained alone all the time"):
        recipe(**sources, **data, adapter_steps=3)


@pytest.mark.parametrize("how", get_args(LanguageFinetuning))
@pytest.mark.parametrize("replaced", [False, True])
def test_a_language_model_trains_what_its_recipe_says(
    how: Any, replaced: bool, sources: dict[str, str], tmp_path: Path
) -> None:
    UNITS.save(tmp_path / "units")
    units: dict[str, Any] = {"units": tmp_path / "units", "replace_embeddings": True} if replaced else {}
    given: dict[str, Any] = {"text": (Path("t"),), "dev": Path("d"), "llm": sources["llm"], "finetune": how, **units}
    if replaced and how == "frozen-embeddings":
        with pytest.raises(ConfigError, match="would leave the new embeddings random"):
            find_recipe("small-language")(**given)
        return
    first = stages(find_recipe("small-language")(**given)).first
    tables = {name for name in first if "embed_tokens" in name or "lm_head" in name}
    assert bool(tables) == (replaced or how == "full")
    assert all("lora_" in name for name in first if name not in tables) == how.startswith("lora")


def test_an_unknown_way_is_refused() -> None:
    unknown: Any = "half"
    with pytest.raises(ConfigError, match="finetune must be one of full, frozen-embeddings"):
        finetuning(unknown)
