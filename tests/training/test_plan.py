"""The plan of a run against what a run really costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from training_corpus import acoustic_recipe, language_recipe, make_corpus, speech_llm_recipe

from duolect.data import SpeechBatch, load_manifest
from duolect.errors import TrainingError, UnitsError
from duolect.models import (
    AcousticConfig,
    AcousticModel,
    DecoderConfig,
    LanguageModel,
    LLMConfig,
    LoraSettings,
    SpeechLLMConfig,
    build_model,
)
from duolect.models.compression import CompressionConfig
from duolect.models.interfaces import CrossConfig, MergedConfig, PrefixConfig
from duolect.models.sizing import build_unweighted
from duolect.nn import ConcatLinearConfig, ConformerConfig, FrontEndConfig
from duolect.nn.flops import flop_counter
from duolect.recipes import RECIPES
from duolect.training import AcousticTask, SpeechLLMTask, plan_training
from duolect.training.cost import _kept, step_cost

ENCODER = ConformerConfig(
    width=16, layers=2, heads=2, kernel=4, dropout=0.1, front_end=FrontEndConfig(channels=(4, 6, 6))
)
ACOUSTIC = AcousticConfig(
    vocabulary=30,
    bos_id=1,
    eos_id=0,
    encoder=ENCODER,
    ctc_layers=(1, 2),
    decoder=DecoderConfig(width=16, layers=3, heads=2, auxiliary_layer=2),
)
SPEECH_LLM = SpeechLLMConfig(
    llm=LLMConfig(vocabulary=30, width=16, layers=2, heads=4, kv_heads=2, max_positions=256),
    bos_id=1,
    eos_id=0,
    encoder=ENCODER,
    adapter=ConcatLinearConfig(factor=2),
    ctc_layers=(2,),
)
CONFIGS: dict[str, Any] = {
    "acoustic": ACOUSTIC,
    "frozen encoder": dataclasses.replace(ACOUSTIC, freeze_encoder=True, decoder=None),
    "prefix": SPEECH_LLM,
    "bidirectional": dataclasses.replace(SPEECH_LLM, interface=PrefixConfig(audio="bidirectional")),
    "cross": dataclasses.replace(SPEECH_LLM, interface=CrossConfig()),
    "merged": dataclasses.replace(SPEECH_LLM, interface=MergedConfig()),
    "frozen llm": dataclasses.replace(SPEECH_LLM, finetune="frozen"),
    "lora": dataclasses.replace(SPEECH_LLM, finetune="lora", lora=LoraSettings(rank=2)),
}


def _batch() -> SpeechBatch:
    lengths_B = torch.tensor([16_000, 12_345, 9000])
    labels_BN, label_lengths_B = torch.ones(3, 5, dtype=torch.long), torch.tensor([5, 2, 0])
    return SpeechBatch(
        ids=("a", "b", "c"),
        utterances=(),
        samples_BN=torch.randn(3, 16_000),
        sample_lengths_B=lengths_B,
        labels_BN=labels_BN,
        label_lengths_B=label_lengths_B,
        seeds_B=torch.arange(3),
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_the_cost_without_numbers_is_that_of_a_real_step(name: str) -> None:
    model, batch = build_model(CONFIGS[name]).train(), _batch()
    forward, backward = flop_counter(), flop_counter()
    with _kept(model) as kept:
        with forward:
            loss = torch.stack([term.total * term.weight for term in model(batch).values()]).sum()
        with backward:
            loss.backward()

    planned = build_unweighted(CONFIGS[name])
    assert not isinstance(planned, LanguageModel)
    parts: dict[str, torch.nn.Module] = {"encoder": planned.speech.encoder, "ctc": planned.speech.ctc_heads}
    cost = step_cost(planned, dataclasses.replace(batch, samples_BN=batch.samples_BN.to("meta")), parts)

    assert sum(cost.forward.values()) == forward.get_total_flops() > 0
    assert cost.backward == backward.get_total_flops() > 0
    assert cost.activations == pytest.approx(sum(kept.values()), rel=0.02)  # noise of dropout is drawn in other sizes
    assert set(cost.forward) == {"encoder", "ctc", "output and losses"}


class Listener(torch.nn.Module):
    """Does something that depends on the samples' values."""

    def __init__(self, act: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.act = act

    def forward(self, batch: SpeechBatch) -> Any:
        return self.act(batch.samples_BN)


@pytest.mark.parametrize("act", [lambda x: x.mean().item(), lambda x: x.nonzero(), lambda x: bool(x.mean() > 0)])
def test_a_cost_that_depends_on_what_is_heard_is_an_error(act: Callable[[Tensor], Any]) -> None:
    batch = dataclasses.replace(_batch(), samples_BN=torch.empty(3, 16_000, device="meta"))
    with pytest.raises(TrainingError, match="cannot be told without data"):
        step_cost(Listener(act), batch, {})


def test_operations_of_layers_are_those_of_their_products() -> None:
    """By hand: a linear CTC head over T frames takes 2·T·D·W; frozen, the encoder has no backward pass."""
    config = CONFIGS["frozen encoder"]
    model, real, batch = build_unweighted(config), build_model(config).eval(), _batch()
    assert isinstance(model, AcousticModel)
    assert isinstance(real, AcousticModel)
    frames = real.encode(batch.samples_BN, batch.sample_lengths_B).states_BTD.shape[1]
    heads = model.speech.ctc_heads
    cost = step_cost(model, dataclasses.replace(batch, samples_BN=batch.samples_BN.to("meta")), {"ctc": heads})
    one_head = 2 * 3 * frames * 16 * 31
    assert cost.forward["ctc"] == 2 * one_head
    assert cost.backward == 2 * one_head  # gradients of the heads' weights alone


def test_a_plan_counts_what_will_be_trained_and_says_what_it_assumes(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    recipe = acoustic_recipe(corpus, steps=3, accumulate=2)
    plan = plan_training(recipe)

    assert isinstance(recipe.task, AcousticTask)
    whole = build_model(dataclasses.replace(recipe.task.model, vocabulary=plan.vocabulary))
    count = sum(p.numel() for p in whole.parameters())
    assert plan.parts["total"] == (count, count)
    assert (plan.weights, plan.gradients, plan.optimiser, plan.checkpoint) == (
        4 * count,
        4 * count,
        8 * count,
        12 * count,
    )
    assert plan.cost is not None
    assert plan.memory == plan.weights + plan.gradients + plan.optimiser + plan.cost.activations
    durations = [u.duration for u in load_manifest(corpus / "train.jsonl")]
    mean = sum(durations) / len(durations)
    assert plan.utterances == 2 * int(recipe.task.batches.max_seconds / mean)
    assert plan.seconds == pytest.approx(plan.utterances * mean, rel=1e-3)
    assert [note for note in plan.notes if "characters are assumed" in note]
    assert not [note for note in plan.notes if "not there" in note]


def test_activations_are_halved_where_the_run_computes_in_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    kept = {}
    for precision in ("auto", "fp32", "bf16"):
        recipe = acoustic_recipe(tmp_path / "nowhere", precision=precision)
        for device in (None, torch.device("cpu"), torch.device("cuda")):
            plan = plan_training(recipe, device)
            assert plan.cost is not None
            kept[precision, str(device)] = plan.cost.activations
            halved = any("counted as half" in note for note in plan.notes)
            assert halved == (precision == "bf16" or (precision == "auto" and device != torch.device("cpu")))
    assert kept["auto", "cpu"] == kept["fp32", "cpu"] == kept["fp32", "cuda"] == 2 * kept["bf16", "cpu"]
    assert kept["auto", "cuda"] == kept["auto", "None"] == kept["bf16", "cuda"]


def test_merged_frames_are_counted_one_by_one_and_said_to_be(tmp_path: Path) -> None:
    recipe = acoustic_recipe(tmp_path / "nowhere")
    assert isinstance(recipe.task, AcousticTask)
    model = dataclasses.replace(recipe.task.model, compression=CompressionConfig(layer=1))
    merging = dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, model=model))
    plain, merged = plan_training(recipe), plan_training(merging)
    assert plain.cost is not None
    assert merged.cost is not None
    assert merged.cost.forward["encoder"] == plain.cost.forward["encoder"]
    assert merged.cost.forward["ctc"] > plain.cost.forward["ctc"]  # one head is asked twice
    assert [note for note in merged.notes if note not in plain.notes] == [
        "frames that CTC merges are counted one by one: how many become one is learnt"
    ]


def test_frames_that_are_dropped_cannot_be_counted_and_are_not_said_to_be(tmp_path: Path) -> None:
    recipe = acoustic_recipe(tmp_path / "nowhere")
    assert isinstance(recipe.task, AcousticTask)
    model = dataclasses.replace(recipe.task.model, compression=CompressionConfig(layer=1, blanks="drop"))
    plan = plan_training(dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, model=model)))
    assert plan.cost is None
    assert not [note for note in plan.notes if "one by one" in note]


def test_a_model_of_several_languages_is_counted(tmp_path: Path) -> None:
    recipe = acoustic_recipe(tmp_path / "nowhere")
    assert isinstance(recipe.task, AcousticTask)
    model = dataclasses.replace(recipe.task.model, tags=("de", "fr"))
    plain = plan_training(recipe)
    tagged = plan_training(dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, model=model)))
    assert plain.cost is not None
    assert tagged.cost is not None
    assert tagged.cost.flops == plain.cost.flops  # one embedding stands for another
    assert tagged.parts["total"][0] > plain.parts["total"][0]


def test_what_a_run_starts_from_need_not_be_there(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    for recipe in (language_recipe(nowhere, nowhere), speech_llm_recipe(nowhere, nowhere, nowhere)):
        plan = plan_training(recipe)
        assert plan.cost is not None
        assert plan.cost.flops > 0
        assert any("labels are assumed" in note for note in plan.notes)
        assert f"{recipe.task.dev} is not there yet" in plan.notes
    task = recipe.task
    assert isinstance(task, SpeechLLMTask)
    models = [dataclasses.replace(task.model, finetune="full", lora=None)]
    models.append(dataclasses.replace(models[0], finetune="lora", lora=LoraSettings(rank=2)))
    full, lora = (
        plan_training(dataclasses.replace(recipe, task=dataclasses.replace(task, model=model))) for model in models
    )
    assert 0 < lora.parts["llm"][1] < full.parts["llm"][1]
    assert lora.gradients < full.gradients
    assert not nowhere.exists()


def test_an_llm_that_cannot_be_found_is_named() -> None:
    with pytest.raises(UnitsError, match="nowhere"):
        plan_training(RECIPES["paper-language"](text=(Path("x.txt"),), dev=Path("d.txt"), llm="./nowhere"))
