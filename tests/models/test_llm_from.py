"""A speech LLM built from a trained language model alone: the same to the bit as with the LLM's source at hand."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from duolect.errors import ModelError
from duolect.models import LanguageConfig, LanguageModel, LLMConfig, LoraSettings, build_model, load_model, save_model

SIZES: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def _start(config: Any, folder: Path, with_source: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(11)
    model: Any = build_model(config) if with_source else build_model(config, llm_from=folder)
    language = load_model(folder)
    assert isinstance(language, LanguageModel)
    model.initialise_llm(language)
    return model.state_dict() | {"chance": torch.randn(3)}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("replaced", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_all_weights_are_those_with_the_source(
    tied: bool, replaced: bool, dtype: Any, configs: Any, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    source = tmp_path / "source"
    Qwen2ForCausalLM(Qwen2Config(vocab_size=40, **SIZES, tie_word_embeddings=tied)).save_pretrained(source)
    llm = LLMConfig(vocabulary=20, source=str(source), replace_embeddings=replaced, dtype=dtype)
    save_model(build_model(LanguageConfig(llm=llm, bos_id=1, eos_id=0)), tmp_path / "lm")
    lora = LoraSettings(rank=2, targets=("q_proj",))
    config = dataclasses.replace(configs["speech_llm"], llm=llm, finetune="lora", lora=lora)
    expected = _start(config, tmp_path / "lm", with_source=True)
    shutil.rmtree(source)
    with pytest.raises(ModelError, match="neither a folder nor a hub name"):
        build_model(config)
    found = _start(config, tmp_path / "lm", with_source=False)
    assert found.keys() == expected.keys()
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


def test_random_weights_with_new_tables_are_made_from_the_source(configs: Any, tmp_path: Path) -> None:
    """Its tables, which are thrown away, are drawn as well, before what comes after them."""
    source = tmp_path / "source"
    Qwen2ForCausalLM(Qwen2Config(vocab_size=40, **SIZES)).save_pretrained(source)
    llm = LLMConfig(vocabulary=20, source=str(source), replace_embeddings=True)
    save_model(build_model(LanguageConfig(llm=llm, bos_id=1, eos_id=0)), tmp_path / "lm")
    config = dataclasses.replace(configs["speech_llm"], llm=dataclasses.replace(llm, pretrained=False))
    found, expected = (_start(config, tmp_path / "lm", with_source=each) for each in (False, True))
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []


@pytest.mark.parametrize("change", [{"source": "elsewhere"}, {"replace_embeddings": True}, {"source": None}])
def test_another_llm_than_that_of_the_folder_is_not_taken_for_it(change: Any, configs: Any, tmp_path: Path) -> None:
    Qwen2ForCausalLM(Qwen2Config(vocab_size=40, **SIZES)).save_pretrained(tmp_path / "source")
    llm = LLMConfig(vocabulary=20, source=str(tmp_path / "source"))
    save_model(build_model(LanguageConfig(llm=llm, bos_id=1, eos_id=0)), tmp_path / "lm")
    shutil.rmtree(tmp_path / "source")
    other = dataclasses.replace(llm, width=8, **change)
    config = dataclasses.replace(configs["speech_llm"], llm=other)
    if other.source is None:
        model: Any = build_model(config, llm_from=tmp_path / "lm")
        assert model.llm.width == 8
    else:
        with pytest.raises(ModelError, match="neither a folder nor a hub name"):
            build_model(config, llm_from=tmp_path / "lm")
