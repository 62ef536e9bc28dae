"""Pre-trained sources whose weights are missing, damaged, or another model's: one sentence, never random weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_encoders import Sources
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen2Model

from duolect.audio.features import FeatureConfig
from duolect.errors import ModelError
from duolect.models import HuggingFaceEncoderConfig, LLMConfig
from duolect.models.encoders import load_encoder
from duolect.models.llm import build_llm, llm_architecture

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


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    return Sources(tmp_path_factory.mktemp("encoders"))


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


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0\nsize 12345\n"
DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "pointer": (lambda path: path.write_bytes(POINTER), r"is a pointer of Git LFS.*`git lfs pull`"),
    "cut": (_cut, r"is not a whole safetensors file \(2000 bytes\)"),
    "empty": (lambda path: path.write_bytes(b""), r"is not a whole safetensors file \(0 bytes\)"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_of_weights_is_named(damage: str, source: Path, sources: Sources, tmp_path: Path) -> None:
    change, says = DAMAGES[damage]
    change(source / WEIGHTS)
    with pytest.raises(ModelError, match=rf"^llm: '{source}' holds damaged weights: model\.safetensors {says}\.$"):
        _build(source)
    encoder = shutil.copytree(sources["whisper"], tmp_path / "whisper")
    change(encoder / WEIGHTS)
    says = rf"^encoder: '{encoder}' holds damaged weights: model\.safetensors {says}\.$"
    with pytest.raises(ModelError, match=says):
        load_encoder(HuggingFaceEncoderConfig(source=str(encoder)), FeatureConfig(kind="whisper", mels=80, fft=400))


def test_one_of_several_files_that_is_damaged_is_named(source: Path, tmp_path: Path) -> None:
    _build(source).save_pretrained(tmp_path / "parts", max_shard_size="8KB")
    second = sorted((tmp_path / "parts").glob("model-*.safetensors"))[1]
    second.write_bytes(POINTER)
    with pytest.raises(ModelError, match=rf"^llm: .*: {second.name} is a pointer of Git LFS"):
        _build(tmp_path / "parts")


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        (
            "intermediate_size",
            32,
            r"model\.layers\.0\.mlp\.down_proj\.weight has shape \(16, 24\), expected \(16, 32\) ",
        ),
        ("vocab_size", 30, r"lm_head\.weight has shape \(20, 16\), expected \(30, 16\) \(and 1 more do not fit\)\.$"),
    ],
)
def test_a_config_of_another_size_is_named_with_a_weight(field: str, value: int, says: str, source: Path) -> None:
    _reconfigure(source, field, value)
    with pytest.raises(ModelError, match=rf"^llm: '{source}' holds weights that do not fit its config\.json: {says}"):
        _build(source)
    if field == "vocab_size":  # what is thrown away need not fit
        assert _build(source, vocabulary=7, replace_embeddings=True).lm_head.weight.shape == (7, 16)


def test_an_encoder_and_a_config_of_another_size(sources: Sources, tmp_path: Path) -> None:
    encoder = shutil.copytree(sources["whisper"], tmp_path / "whisper")
    _reconfigure(encoder, "encoder_ffn_dim", 40)
    with pytest.raises(
        ModelError, match=rf"^encoder: '{encoder}' holds weights.*fc1\.bias has shape \(24,\), expected"
    ):
        load_encoder(HuggingFaceEncoderConfig(source=str(encoder)), FeatureConfig(kind="whisper", mels=80, fft=400))


def test_a_config_of_fewer_layers_gives_no_shortened_model(source: Path, sources: Sources, tmp_path: Path) -> None:
    _reconfigure(source, "layer_types", ["full_attention"])
    _reconfigure(source, "num_hidden_layers", 1)
    says = r"more layers than its config\.json says, model\.layers\.1\.input_layernorm\.weight and 11 more; "
    with pytest.raises(ModelError, match=rf"^llm: '{source}' holds weights of {says}"):
        _build(source)
    AutoModelForCausalLM.from_pretrained(source).save_pretrained(tmp_path / "short")
    assert len(_build(tmp_path / "short").model.layers) == 1
    encoder = shutil.copytree(sources["whisper"], tmp_path / "whisper")
    _reconfigure(encoder, "encoder_layers", 1)
    with pytest.raises(ModelError, match=rf"^encoder: '{encoder}' holds weights of more layers than .*layers\.1\."):
        load_encoder(HuggingFaceEncoderConfig(source=str(encoder)), FeatureConfig(kind="whisper", mels=80, fft=400))


def test_experts_that_are_incomplete_are_a_sentence(tmp_path: Path) -> None:
    AutoModelForCausalLM.from_config(AutoConfig.for_model("mixtral", **SIZES)).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=rf"^llm: '{tmp_path}' holds weights that do not fit its config\.json"):
        _build(_edit(tmp_path, _without("experts.1.w1")))


def _reconfigure(folder: Path, field: str, value: int) -> None:
    settings = json.loads((folder / "config.json").read_text())
    assert settings[field] != value
    (folder / "config.json").write_text(json.dumps(settings | {field: value}))


def test_random_weights_need_none(source: Path) -> None:
    (source / WEIGHTS).unlink()
    assert _build(source, pretrained=False).lm_head.weight.shape == (20, 16)


def test_an_adapter_is_no_llm(source: Path, tmp_path: Path) -> None:
    """transformers alone would put it into its base model, which nothing here would know of."""
    (tmp_path / "lora").mkdir()
    stored = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "base_model_name_or_path": str(source)}
    (tmp_path / "lora" / "adapter_config.json").write_text(json.dumps(stored))
    says = rf"^llm: '{tmp_path}/lora' holds an adapter \(adapter_config\.json\) of '{source}', .*merge_and_unload"
    with pytest.raises(ModelError, match=says):
        _build(tmp_path / "lora")
    with pytest.raises(ModelError, match=says):
        llm_architecture(LLMConfig(vocabulary=20, source=str(tmp_path / "lora")))
