"""What of an LLM is trained, and that a merged LoRA is what was trained. B sentences · N labels · V labels."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from duolect.errors import ConfigError, ModelError
from duolect.models import (
    LORA_PRESETS,
    LanguageConfig,
    LanguageModel,
    LLMConfig,
    LoraSettings,
    SpeechLLM,
    build_model,
    load_model,
    save_model,
)
from duolect.models.lora import merged_state
from duolect.systems import System
from duolect.text import CharacterUnits
from duolect.training import export_system

UNITS = CharacterUnits("abcdefgh ")
TABLES = ("embed_tokens", "lm_head")


def llm(architecture: Any = "qwen2") -> LLMConfig:
    sizes = {"width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "max_positions": 256}
    return LLMConfig(vocabulary=UNITS.size, architecture=architecture, **sizes)


def randomise(model: torch.nn.Module, seed: int) -> None:
    """Give the low-rank additions weights that matter: B is zero in a fresh one."""
    made = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=made))


@pytest.mark.parametrize("architecture", ["qwen2", "llama"])
@pytest.mark.parametrize("rank_stabilised", [False, True])
@pytest.mark.parametrize("kind", ["language", "speech_llm"])
def test_an_exported_lora_gives_the_same_log_probs(
    kind: str, rank_stabilised: bool, architecture: str, configs: Any, batch: Any, tmp_path: Path
) -> None:
    seed = random.randrange(10**6)
    torch.manual_seed(seed)
    targets = tuple(random.Random(seed).sample(LORA_PRESETS["lora-language"].targets, 4))
    lora = LoraSettings(rank=5, alpha=7, dropout=0.2, targets=targets, rank_stabilised=rank_stabilised)
    config = dataclasses.replace(
        configs[kind], llm=llm(architecture), bos_id=UNITS.bos_id, eos_id=UNITS.eos_id, finetune="lora", lora=lora
    )
    model = build_model(config).eval()
    without = _log_probs(model, batch)
    randomise(model, seed)
    UNITS.save(tmp_path / "units")
    part = getattr(System.load(export_system(tmp_path, model)), kind)
    assert isinstance(part.model, LanguageModel | SpeechLLM)
    assert not any("lora" in name for name in part.model.state_dict())
    assert part.model.config.lora is None
    unmerged = _log_probs(model, batch)
    assert (unmerged - without).abs().max() > 0.01, f"seed {seed}: the low-rank additions do nothing"
    torch.testing.assert_close(_log_probs(part.model, batch), unmerged, rtol=0, atol=1e-4, msg=f"seed {seed}")


@pytest.mark.parametrize(
    ("targets", "adapted"),
    [
        (("q_proj", "v_proj"), {"attn.c_attn"}),
        (LORA_PRESETS["lora"].targets, {"attn.c_attn", "attn.c_proj"}),
        (LORA_PRESETS["lora-language"].targets, {"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}),
        (("c_proj",), {"attn.c_proj", "mlp.c_proj"}),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gpt2_whose_weights_are_the_other_way_round_has_lora_too(
    targets: tuple[str, ...], adapted: set[str], dtype: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(4)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
    GPT2LMHeadModel(GPT2Config(vocab_size=11, bos_token_id=0, eos_token_id=0, **sizes)).save_pretrained(tmp_path / "g")
    network = LLMConfig(vocabulary=11, source=str(tmp_path / "g"), dtype=dtype)
    lora = LoraSettings(rank=3, alpha=9, targets=targets)
    model = LanguageModel(LanguageConfig(llm=network, bos_id=0, eos_id=0, finetune="lora", lora=lora)).eval()
    assert not [warning for warning in recwarn if "fan_in_fan_out" in str(warning.message)]
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {".".join(name.split(".lora_")[0].split(".")[-2:]) for name in trained} == adapted
    labels_BN, lengths_B = torch.tensor([[3, 1, 2], [2, 0, 0]]), torch.tensor([3, 1])
    with torch.no_grad():
        without = model.sequence_log_probs(None, labels_BN, lengths_B)
        randomise(model, 3)
        unmerged = model.sequence_log_probs(None, labels_BN, lengths_B)
        assert (unmerged - without).abs().max() > 0.01
        save_model(model, tmp_path / "saved")
        merged = load_model(tmp_path / "saved")
        assert isinstance(merged, LanguageModel)
        assert not any("lora" in name for name in merged.state_dict())
        found = merged.sequence_log_probs(None, labels_BN, lengths_B)
    torch.testing.assert_close(found, unmerged, rtol=0, atol=1e-4 if dtype == "float32" else 0.1)
    delta = merged_state(model)["llm.model.transformer.h.1.attn.c_attn.weight"]
    assert delta.shape == (16, 48)


def test_a_target_that_gpt2_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 32}
    GPT2LMHeadModel(GPT2Config(vocab_size=11, bos_token_id=0, eos_token_id=0, **sizes)).save_pretrained(tmp_path / "g")
    network = LLMConfig(vocabulary=11, source=str(tmp_path / "g"))
    lora = LoraSettings(rank=3, targets=("query",))
    with pytest.raises(ModelError, match=r"'query' names no projection of this LLM; it has c_attn, c_fc, c_proj\.$"):
        LanguageModel(LanguageConfig(llm=network, bos_id=0, eos_id=0, finetune="lora", lora=lora))


class LabelBatch:
    """Two sentences of labels."""

    labels_BN = torch.tensor([[3, 1, 2], [2, 0, 0]])
    label_lengths_B = torch.tensor([3, 1])


def _log_probs(model: Any, batch: Any) -> torch.Tensor:
    labels_BN = batch.labels_BN % UNITS.size
    with torch.no_grad():
        encoded = model.encode(batch.samples_BN, batch.sample_lengths_B) if isinstance(model, SpeechLLM) else None
        return model.sequence_log_probs(encoded, labels_BN, batch.label_lengths_B)


def test_on_a_bfloat16_llm_the_additions_are_float32_and_merging_rounds_once() -> None:
    config = LanguageConfig(
        llm=dataclasses.replace(llm(), dtype="bfloat16"),
        bos_id=0,
        eos_id=0,
        finetune="lora",
        lora=LoraSettings(rank=2, alpha=4, targets=("q_proj",)),
    )
    model = build_model(config)
    randomise(model, 1)
    trained = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    assert trained == {torch.float32}
    assert _log_probs(model, LabelBatch()).isfinite().all()
    layer: Any = model.llm.model.model.layers[0].self_attn.q_proj  # ty: ignore[unresolved-attribute]
    delta = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    exact = layer.base_layer.weight.float() + 2.0 * delta
    merged = merged_state(model)["llm.model.model.layers.0.self_attn.q_proj.weight"]
    assert merged.dtype == torch.bfloat16
    assert torch.equal(merged, exact.bfloat16())


@pytest.mark.parametrize("replaced", [False, True])
def test_the_tables_are_trained_with_lora_only_where_they_are_new(replaced: bool, tmp_path: Path) -> None:
    folder = _llama(tmp_path)
    network = LLMConfig(vocabulary=9, source=str(folder), replace_embeddings=replaced)
    model = build_model(LanguageConfig(llm=network, bos_id=0, eos_id=0, finetune="lora", lora=LoraSettings(rank=2)))
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == ("lora_" in name or (replaced and any(t in name for t in TABLES))), name


@pytest.mark.parametrize("targets", [("lm_head",), ("q_proj", "lm_head")])
def test_the_output_layer_is_no_projection(targets: tuple[str, ...]) -> None:
    """Its additions would be lost: a tied table is exported once, and a search multiplies with some of its rows."""
    lora = LoraSettings(rank=2, targets=targets)
    with pytest.raises(ModelError, match=r"'lm_head' names no projection .* it has down_proj, "):
        build_model(LanguageConfig(llm=llm(), bos_id=0, eos_id=0, finetune="lora", lora=lora))


def test_frozen_embeddings_leave_the_rest_to_be_trained(tmp_path: Path) -> None:
    """A Llama whose input and output tables are two, and a Qwen2 whose are one."""
    for network in (LLMConfig(vocabulary=9, source=str(_llama(tmp_path))), llm()):
        model = build_model(LanguageConfig(llm=network, bos_id=0, eos_id=0, freeze_embeddings=True))
        for name, parameter in model.named_parameters():
            assert parameter.requires_grad == (not any(t in name for t in TABLES)), name


def _llama(folder: Path) -> Path:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=11, tie_word_embeddings=False, **sizes)).save_pretrained(folder / "llama")
    return folder / "llama"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"freeze_embeddings": True, "finetune": "frozen"}, "belongs to finetune 'full'"),
        ({"freeze_embeddings": True, "finetune": "lora", "lora": LoraSettings()}, "belongs to finetune 'full'"),
        ({"freeze_embeddings": True, "replaced": True}, "freeze_embeddings with replace_embeddings"),
        ({"finetune": "frozen", "replaced": True}, "finetune 'frozen' with replace_embeddings"),
    ],
)
def test_what_contradicts_is_refused(changes: dict[str, Any], says: str) -> None:
    replaced = changes.pop("replaced", False)
    network = LLMConfig(vocabulary=9, source="somewhere", replace_embeddings=replaced)
    with pytest.raises(ConfigError, match=says):
        LanguageConfig(llm=network, bos_id=0, eos_id=0, **changes)


def test_the_presets_are_the_papers() -> None:
    speech, language = LORA_PRESETS["lora-speech-llm"], LORA_PRESETS["lora-language"]
    assert (speech.rank, speech.alpha, speech.dropout, speech.targets) == (320, 16, 0.1, ("q_proj", "v_proj"))
    assert speech.scale == pytest.approx(16 / 320**0.5)
    assert (language.rank, language.alpha, language.dropout, len(language.targets)) == (64, 128, 0.1, 7)
    assert language.scale == 16
