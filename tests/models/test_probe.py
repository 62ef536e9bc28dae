"""Decoders that take our attention function and still do not do what is asked of an LLM are refused at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_interfaces import INTERFACES, WIDTH, make_speaker
from transformers import AutoConfig, AutoModelForCausalLM

from duolect.errors import ModelError
from duolect.models import LLMConfig
from duolect.models.causal import CausalLLM
from duolect.models.interfaces import CrossConfig, MergedConfig, PrefixConfig, build_interface
from duolect.models.interfaces.probe import probe_interface
from duolect.models.llm import build_llm
from duolect.models.probe import probe_llm

VOCABULARY = 40
SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
_LATENT = {"q_lora_rank": 16, "kv_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8}
_EXPERTS = {"n_routed_experts": 4, "n_group": 1, "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "bert": ("bert", {}, "sees labels that come later"),
    "roberta": ("roberta", {}, "sees labels that come later"),
    "bert as a decoder": ("bert", {"is_decoder": True}, "has more between its decoder and its logits than an output"),
    "generation": ("bert-generation", {}, "sees labels that come later"),
    "deepseek v2": ("deepseek_v2", {"num_key_value_heads": 4} | _LATENT | _EXPERTS, "prefix that rows share"),
    "deepseek v3": ("deepseek_v3", {"num_key_value_heads": 4} | _LATENT | _EXPERTS, "prefix that rows share"),
    "nemotron": ("nemotron", {"num_key_value_heads": 4}, "prefix that rows share"),
    "nemotron in groups": ("nemotron", {"num_key_value_heads": 2, "head_dim": 8}, "its prefix in 0 of 2 layers"),
    "diffllama": ("diffllama", {"num_key_value_heads": 2}, "its prefix in 4 of 2 layers"),
    "jetmoe": (
        "jetmoe",
        {"num_key_value_heads": 2, "kv_channels": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
        "prefix that rows share",
    ),
    "doge": ("doge", {"num_key_value_heads": 2}, "(a mask of its own|sees labels that come later)"),
    "hrm": ("hrm_text", {}, "scores labels after a prefix in another way"),
}
CARRIED: dict[str, dict[str, Any]] = {
    "qwen2": {"num_key_value_heads": 2},
    "gpt2": {},
    "opt": {"word_embed_proj_dim": WIDTH, "ffn_dim": 48},
    "gemma": {"head_dim": 8, "num_key_value_heads": 2},
    "phi": {},
    "mixtral": {"num_key_value_heads": 2, "num_local_experts": 4, "sliding_window": None},
    "olmoe": {"num_experts": 8, "num_experts_per_tok": 2},
}


def saved(folder: Path, family: str, settings: dict[str, Any]) -> str:
    """A source of that family, its weights large enough for everything to matter."""
    torch.manual_seed(2)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SIZES | settings))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder / family)
    return str(folder / family)


@pytest.mark.parametrize("pretrained", [True, False])
@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_hold_is_said_when_the_model_is_built(name: str, pretrained: bool, tmp_path: Path) -> None:
    family, settings, says = REFUSED[name]
    source = saved(tmp_path, family, settings)
    with pytest.raises(ModelError, match=rf"^llm: .*\({family}\).*{says}.*; use a decoder such as [^;]*\.$"):
        build_llm(LLMConfig(vocabulary=VOCABULARY - 3, source=source, pretrained=pretrained))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", CARRIED)
def test_what_holds_is_built_in_any_type_of_number(family: str, dtype: Any, tmp_path: Path) -> None:
    source = saved(tmp_path, family, CARRIED[family])
    for pretrained in (True, False):
        config = LLMConfig(vocabulary=VOCABULARY - 3, source=source, dtype=dtype, pretrained=pretrained)
        llm = CausalLLM(build_llm(config), VOCABULARY - 3)
        for interface in INTERFACES.values():
            build_interface(interface, llm)


def test_a_masked_language_model_is_refused_in_bfloat16_too(tmp_path: Path) -> None:
    source = saved(tmp_path, "bert", {})
    with pytest.raises(ModelError, match=r"\(bert\) "):
        build_llm(LLMConfig(vocabulary=VOCABULARY, source=source, dtype="bfloat16"))


def test_an_interface_whose_steps_are_not_its_training_is_refused() -> None:
    """CTRL adds its sinusoids to what the layers are given, by positions of its own for the audio."""
    stored = AutoConfig.for_model("ctrl", **{**SIZES, "dff": 48, "n_embd": WIDTH})
    llm = CausalLLM(build_llm(LLMConfig(vocabulary=VOCABULARY), stored), VOCABULARY)
    build_interface(PrefixConfig(), llm)
    build_interface(CrossConfig(), llm)
    with pytest.raises(ModelError, match=r"ctrl.*'merged': with it, labels after audio are scored in another way"):
        build_interface(MergedConfig(), llm)


@pytest.mark.parametrize("name", INTERFACES)
def test_a_probe_draws_nothing_and_changes_no_mode(name: str) -> None:
    speaker = make_speaker(CrossConfig(dropout=0.5) if name == "cross" else INTERFACES[name], dropout=0.5)
    before = torch.get_rng_state()
    probe_llm(speaker.llm, "llm")
    for module in speaker:
        module.train()
    speaker.llm.model.model.layers[0].eval()  # ty: ignore[unresolved-attribute]
    modes = [module.training for part in speaker for module in part.modules()]
    probe_interface(speaker.interface, speaker.llm, name)
    assert torch.equal(torch.get_rng_state(), before)
    assert [module.training for part in speaker for module in part.modules()] == modes
    assert all(parameter.grad is None for part in speaker for parameter in part.parameters())


@pytest.mark.parametrize("positions", [1, 2, 4, 5, 6])
def test_few_positions_and_few_labels_are_no_reason_to_refuse(positions: int) -> None:
    for vocabulary in (1, 2):
        llm = build_llm(LLMConfig(vocabulary=vocabulary, width=8, layers=1, heads=2, max_positions=positions))
        for interface in INTERFACES.values():
            if positions > 2:  # the checks of the layers themselves
                build_interface(interface, CausalLLM(llm, vocabulary))
