"""Saving, loading, starting one model from another, pre-trained LLMs, and what is said when things do not fit."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from duolect.errors import ConfigError, DuolectError, ModelError
from duolect.models import (
    AcousticConfig,
    DecoderConfig,
    LanguageConfig,
    LLMConfig,
    LoraSettings,
    SpeechLLM,
    build_model,
    count_parameters,
    load_model,
    save_model,
)
from duolect.models.llm import build_llm
from duolect.nn import ConformerConfig
from duolect.text import SpelledPrompt

KINDS = ["acoustic", "language", "speech_llm"]
LORA = {
    "finetune": "lora",
    "lora": LoraSettings(rank=2, alpha=8, targets=("q_proj", "down_proj"), rank_stabilised=True),
}


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def _outputs(model: Any, batch: Any) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        return {name: term.total for name, term in model.eval()(batch).items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_is_loaded_equal(kind: str, models: Any, batch: Any, tmp_path: Path) -> None:
    save_model(models[kind], tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.config == models[kind].config
    assert not loaded.training
    assert _same(loaded.state_dict(), models[kind].state_dict())
    assert _same(_outputs(loaded, batch), _outputs(models[kind], batch))
    if kind == "language":  # tied: once in the file, one tensor again in memory
        assert (
            sum("embed_tokens" in name or "lm_head" in name for name in load_file(tmp_path / "model/model.safetensors"))
            == 1
        )
        llm = loaded.llm.model
        assert llm.get_output_embeddings().weight is llm.get_input_embeddings().weight


@pytest.mark.parametrize("kind", ["language", "speech_llm"])
def test_lora_is_merged_on_export(kind: str, configs: Any, build: Callable, batch: Any, tmp_path: Path) -> None:
    config = dataclasses.replace(configs[kind], **LORA)
    model = build(config)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    save_model(model, tmp_path / "merged")
    assert _same(model.state_dict(), before)
    merged = load_model(tmp_path / "merged")
    assert not any("lora" in name for name in merged.state_dict())
    for name, total in _outputs(model, batch).items():
        torch.testing.assert_close(_outputs(merged, batch)[name], total, atol=1e-4, rtol=1e-5)


def test_a_speech_llm_starts_from_trained_models(configs: Any, models: Any, build: Callable, batch: Any) -> None:
    base = configs["speech_llm"]
    deeper = dataclasses.replace(base, encoder=dataclasses.replace(base.encoder, layers=3), ctc_layers=(2, 3), **LORA)
    model = build(deeper)
    lora = {name: tensor.clone() for name, tensor in model.state_dict().items() if "lora_" in name}
    new = model.initialise_encoder(models["acoustic"])
    assert new
    assert all(name.startswith(("encoder.layers.2.", "ctc_heads.3.")) for name in new)
    acoustic = models["acoustic"].speech.state_dict()
    mine = model.speech.state_dict()
    assert all(torch.equal(mine[name], acoustic[name]) for name in acoustic if name in mine)
    adapted = build(dataclasses.replace(configs["language"], **LORA))
    model.initialise_llm(adapted)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in lora.items())
    plain = build(base)
    plain.initialise_llm(adapted)
    with torch.no_grad():
        labels = (batch.labels_BN, batch.label_lengths_B)
        hidden = [m.llm.log_probs(m.llm.hidden(m.llm.embed(labels[0]))) for m in (plain, adapted)]
    torch.testing.assert_close(*hidden, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("encoder", "says"),
    [({"width": 32}, "width 16.*has 32"), ({"layers": 3}, "fewer than the 3"), ({"kernel": 8}, "kernel 4.*has 8")],
)
def test_an_encoder_that_does_not_fit_is_refused(encoder: dict, says: str, configs: Any, models: Any) -> None:
    base = configs["acoustic"]
    other = build_model(dataclasses.replace(base, encoder=dataclasses.replace(base.encoder, **encoder)))
    with pytest.raises(ModelError, match=says):
        models["speech_llm"].initialise_encoder(other)


def test_features_and_language_models_that_do_not_fit_are_refused(configs: Any, models: Any) -> None:
    base = configs["acoustic"]
    other = build_model(dataclasses.replace(base, features=dataclasses.replace(base.features, mels=40)))
    with pytest.raises(ModelError, match="other features"):
        models["speech_llm"].initialise_encoder(other)
    for changes in ({"vocabulary": 12}, {"layers": 3}, {"architecture": "qwen3"}):
        llm = dataclasses.replace(configs["language"].llm, **changes)
        with pytest.raises(ModelError, match="does not fit"):
            models["speech_llm"].initialise_llm(build_model(LanguageConfig(llm=llm, bos_id=1, eos_id=0)))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    def save(model_type: str, **changes: Any) -> Path:
        sizes = {
            "vocab_size": 24,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 4,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": None,
        }
        folder = tmp_path_factory.mktemp(model_type)
        AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **sizes | changes)).save_pretrained(folder)
        return folder

    return save


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("tied", [True, False])
def test_pretrained_llms_by_folder(
    model_type: str, tied: bool, pretrained: Callable, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    folder = pretrained(model_type, tie_word_embeddings=tied)
    capfd.readouterr()
    model = build_model(LanguageConfig(llm=LLMConfig(vocabulary=20, source=str(folder)), bos_id=0, eos_id=0))
    labels_BN = torch.randint(0, 20, (2, 5))
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    capfd.readouterr()
    with torch.no_grad():
        log_probs_BMV = model.eval().sequence_log_probs(None, labels_BN, torch.tensor([5, 5]))
        logits = theirs(torch.nn.functional.pad(labels_BN, (1, 0), value=0)).logits
    torch.testing.assert_close(log_probs_BMV, logits[..., :20].log_softmax(-1), atol=1e-5, rtol=0)
    save_model(model, tmp_path / "saved")
    for file in folder.iterdir():
        file.unlink()  # what was saved does not need its source
    assert _same(load_model(tmp_path / "saved").state_dict(), model.state_dict())
    assert "".join(capfd.readouterr()) == ""


def test_new_embeddings_for_other_units(pretrained: Callable, tmp_path: Path) -> None:
    folder = pretrained("qwen2", tie_word_embeddings=False)
    config = LLMConfig(vocabulary=7, source=str(folder), replace_embeddings=True)
    model = build_model(LanguageConfig(llm=config, bos_id=1, eos_id=0, **LORA))
    llm = model.llm.model
    assert llm.get_input_embeddings().weight.shape == llm.get_output_embeddings().weight.shape == (7, 16)
    assert llm.get_input_embeddings().weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert llm.get_input_embeddings().weight.requires_grad  # new tables are trained beside the LoRA
    assert not llm.model.norm.weight.requires_grad
    save_model(model, tmp_path / "saved")
    assert (
        load_model(tmp_path / "saved").sequence_log_probs(None, torch.ones(1, 2).long(), torch.tensor([2])).shape[-1]
        == 7
    )


@pytest.mark.parametrize("vocabulary", [7, 30])  # fewer and more than the source has
def test_new_embeddings_have_no_bias_of_the_old_labels(vocabulary: int, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    source = AutoModelForCausalLM.from_config(AutoConfig.for_model("phi", vocab_size=20, **sizes, pad_token_id=0))
    torch.nn.init.normal_(source.lm_head.bias)
    source.save_pretrained(tmp_path)
    for replaced in (True, False):
        config = LLMConfig(vocabulary=vocabulary if replaced else 20, source=str(tmp_path), replace_embeddings=replaced)
        bias_V = build_llm(config).get_output_embeddings().bias
        assert torch.equal(bias_V, torch.zeros(vocabulary) if replaced else source.lm_head.bias)


@pytest.mark.parametrize("replaced", [False, True])
def test_the_label_that_pads_elsewhere_is_trained_like_any_other(replaced: bool, pretrained: Callable) -> None:
    folder = pretrained("llama", tie_word_embeddings=False, pad_token_id=3)
    config = LLMConfig(vocabulary=7 if replaced else 20, source=str(folder), replace_embeddings=replaced)
    model = build_model(LanguageConfig(llm=config, bos_id=1, eos_id=0))
    model.sequence_log_probs(None, torch.tensor([[2, 3, 4]]), torch.tensor([3])).square().sum().backward()
    read = model.llm.model.get_input_embeddings().weight.grad.abs().sum(1).nonzero().flatten()
    assert read.tolist() == [1, 2, 3, 4]


def test_the_control_has_the_architecture_but_not_the_weights(pretrained: Callable) -> None:
    folder = str(pretrained("llama"))
    trained, control = (
        build_model(LanguageConfig(llm=LLMConfig(vocabulary=24, source=folder, pretrained=p), bos_id=0, eos_id=0))
        for p in (True, False)
    )
    assert {n: t.shape for n, t in trained.state_dict().items()} == {
        n: t.shape for n, t in control.state_dict().items()
    }
    assert not _same(trained.state_dict(), control.state_dict())


def test_what_cannot_be_an_llm_is_refused_in_a_sentence(pretrained: Callable, tmp_path: Path) -> None:
    def build(**changes: Any) -> None:
        build_model(LanguageConfig(llm=LLMConfig(**{"vocabulary": 20} | changes), bos_id=0, eos_id=0))

    with pytest.raises(ModelError, match="neither a folder nor a hub name"):
        build(source=str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="neither a folder nor a hub name"):
        build(source=str(tmp_path / "empty"))
    with pytest.raises(ModelError, match="24 labels, fewer than the vocabulary of 30"):
        build(source=str(pretrained("qwen2")), vocabulary=30)
    sliding = pretrained("qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=0)
    with pytest.raises(ModelError, match="sliding_attention"):
        build(source=str(sliding))
    with pytest.raises(ConfigError, match="needs a pre-trained source"):
        build(replace_embeddings=True)
    lora = {"finetune": "lora", "lora": LoraSettings(targets=("query",))}
    with pytest.raises(ModelError, match=r"'query' names no projection.*q_proj"):
        build_model(LanguageConfig(llm=LLMConfig(vocabulary=20, width=16, heads=2), bos_id=0, eos_id=0, **lora))


def test_too_long_for_the_llm_is_a_sentence(models: Any) -> None:
    with pytest.raises(ModelError, match=r"301 positions.*256 positions"):
        models["language"].sequence_log_probs(None, torch.ones(1, 300).long(), torch.tensor([300]))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "config.json").unlink(), "there is no such file"),
        (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "config.json").write_text('{"format": 9}'), "not a model of format 1"),
        (lambda f: (f / "llm_config.json").write_text('{"model_type": "elephant"}'), "not the configuration"),
        (lambda f: (f / "model.safetensors").write_bytes(b"short"), "not a whole safetensors file"),
        (lambda f: _edit(f, lambda t: t.popitem()), "of the model is missing"),
        (lambda f: _edit(f, lambda t: t.update(extra=torch.zeros(1))), "'extra' that the model does not have"),
        (lambda f: _edit(f, lambda t: t.update({"adapter.linear.bias": torch.zeros(3)})), r"shape \(3,\)"),
        (lambda f: _edit_config(f, "ctc_layers", [9]), "ctc_layers must be"),
    ],
)
def test_a_damaged_folder_is_one_sentence(damage: Callable, says: str, models: Any, tmp_path: Path) -> None:
    save_model(models["speech_llm"], tmp_path / "model")
    damage(tmp_path / "model")
    with pytest.raises(DuolectError, match=says):
        load_model(tmp_path / "model")


def _edit(folder: Path, change: Callable[[dict], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def _edit_config(folder: Path, name: str, value: object) -> None:
    described = json.loads((folder / "config.json").read_text())
    described["config"][name] = value
    (folder / "config.json").write_text(json.dumps(described))


def test_parameters_are_counted_by_part(configs: Any) -> None:
    model = build_model(dataclasses.replace(configs["speech_llm"], finetune="frozen"))
    counts = count_parameters(model)
    assert isinstance(model, SpeechLLM)
    assert counts["llm"] == (sum(p.numel() for p in model.llm.parameters()), 0)
    assert counts["total"][0] == sum(counts[part][0] for part in ("encoder", "ctc", "adapter", "llm"))
    assert counts["total"][1] == counts["total"][0] - counts["llm"][0]


def test_the_papers_acoustic_model_has_the_papers_size() -> None:
    config = AcousticConfig(
        vocabulary=10240,
        bos_id=1,
        eos_id=0,
        encoder=ConformerConfig(width=1024, layers=16, heads=8),
        ctc_layers=(4, 10, 16),
        decoder=DecoderConfig(width=1024, layers=6, heads=8, auxiliary_layer=3),
    )
    with torch.device("meta"):
        model = build_model(config)
    assert model.decoder is not None
    counts = count_parameters(model)
    assert counts["encoder"][0] == 406_215_104
    assert sum(p.numel() for p in model.decoder.layers.parameters()) == 102_254_592
    assert counts["ctc"][0] == 3 * 1025 * 10241
    assert counts["total"][0] == 560_934_339  # the published figure is 561M


@pytest.mark.parametrize(
    "changes",
    [
        {"bos_id": 11},
        {"prompts": (SpelledPrompt(after=(99,)),)},
        {"ctc_layers": (3,)},
        {"finetune": "lora"},
        {"lora": LoraSettings()},
        {"label_smoothing": 1.0},
    ],
)
def test_settings_that_contradict_are_refused(changes: dict, configs: Any) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(configs["speech_llm"], **changes)
