"""Pre-trained sources whose weights are missing, damaged, or another model's: one sentence, never random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen2Model

from duolect.errors import ModelError
from duolect.models import LLMConfig
from duolect.models.llm import build_llm

SIZES: dict[str, Any] = {
    "vocab_size": 20,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
WEIGHTS = "model.safetensors"


def _qwen(tied: bool) -> Qwen2Config:
    torch.manual_seed(4)
    return Qwen2Config(**SIZES, tie_word_embeddings=tied)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A whole LLM whose output layer is its own."""
    Qwen2ForCausalLM(_qwen(tied=False)).save_pretrained(tmp_path / "llm")
    return tmp_path / "llm"


def _build(source: Path, **changes: Any) -> Any:
    return build_llm(LLMConfig(**{"vocabulary": 20, "source": str(source)} | changes))


def _edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Path:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS, {"format": "pt"})
    return folder


def _without(part: str) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}


def _all_prefixed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"module.{name}": tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_without("lm_head"), r"lacks the weight lm_head\.weight\."),
        (_without("layers.1."), r"lacks the weights model\.layers\.1\.input_layernorm\.weight and 11 more\."),
        (_without("embed_tokens"), r"lacks the weight model\.embed_tokens\.weight\."),
        (_all_prefixed, r"lacks the weights lm_head\.weight and 26 more\."),
    ],
)
def test_an_llm_with_weights_missing_is_not_filled_with_random_ones(change: Any, says: str, source: Path) -> None:
    with pytest.raises(ModelError, match=rf"^llm: '{source}' {says}$"):
        _build(_edit(source, change))


def test_a_decoder_without_its_output_layer_is_an_llm_only_where_the_two_are_tied(tmp_path: Path) -> None:
    for tied in (True, False):
        Qwen2Model(_qwen(tied)).save_pretrained(tmp_path / str(tied))
    assert torch.equal(
        _build(tmp_path / "True").lm_head.weight, load_file(tmp_path / "True" / WEIGHTS)["embed_tokens.weight"]
    )
    with pytest.raises(ModelError, match=r"lacks the weight lm_head\.weight\."):
        _build(tmp_path / "False")


@pytest.mark.parametrize("table", ["model.embed_tokens.weight", "lm_head.weight"])
def test_a_tied_table_may_have_either_name(table: str, tmp_path: Path) -> None:
    Qwen2ForCausalLM(_qwen(tied=True)).save_pretrained(tmp_path)
    expected = load_file(tmp_path / WEIGHTS)["model.embed_tokens.weight"]
    _edit(tmp_path, lambda tensors: _without("embed_tokens")(tensors) | {table: expected})
    assert torch.equal(_build(tmp_path).get_input_embeddings().weight, expected)
    with pytest.raises(ModelError, match=r"lacks the weights lm_head\.weight and 1 more\."):
        _build(_edit(tmp_path, _without(table)))


@pytest.mark.parametrize("tied", [True, False])
def test_tables_that_are_replaced_may_be_missing_and_nothing_else(tied: bool, tmp_path: Path) -> None:
    Qwen2ForCausalLM(_qwen(tied)).save_pretrained(tmp_path)
    _edit(tmp_path, lambda tensors: _without("lm_head")(_without("embed_tokens")(tensors)))
    changes: dict[str, Any] = {"vocabulary": 7, "replace_embeddings": True}
    assert _build(tmp_path, **changes).get_output_embeddings().weight.shape == (7, 16)
    with pytest.raises(ModelError, match=r"lacks the weight model\.norm\.weight\."):
        _build(_edit(tmp_path, _without("model.norm")), **changes)


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "opt", "phi", "mixtral"])
def test_whole_llms_of_several_files_are_taken(family: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SIZES))
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert all(torch.equal(tensor, _build(tmp_path).state_dict()[name]) for name, tensor in model.state_dict().items())


def test_random_weights_need_none(source: Path) -> None:
    (source / WEIGHTS).unlink()
    assert _build(source, pretrained=False).lm_head.weight.shape == (20, 16)
