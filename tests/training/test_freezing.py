"""What is frozen, for a whole run or its first steps, is neither trained nor saved, and must not change behind it."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from test_state import CONFIG
from training_toy import ToyModel, run_toy

from duolect.errors import ConfigError, TrainingError
from duolect.models import LanguageConfig, LLMConfig, LoraSettings, build_model
from duolect.storage import load_tensors, read_json, write_json
from duolect.text import UnitsConfig
from duolect.training import FROM_UNITS, LanguageTask, LoopConfig, OptimiserConfig, Recipe
from duolect.training.freezing import Stages, rest_frozen
from duolect.training.plan import Plan, plan_training
from duolect.training.state import model_tensors

STEPS, SWITCH = 8, 4
RUN: dict[str, Any] = {"steps": STEPS, "checkpoint_every": 2, "keep": 9, "evaluate_every": STEPS}
FIRST = (r"^layers\.1\.", "^head", "hidden.bias")  # the output table is the embedding's


def _tensors(folder: Path, step: int, file: str = "model") -> dict[str, torch.Tensor]:
    return load_tensors(folder / f"checkpoints/step-{step:08d}/{file}.safetensors")


def _is_late(name: str) -> bool:
    return name.startswith(("layers.1.", "embedding")) or name == "hidden.bias"


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stages") / "staged"
    run_toy(folder, **RUN, freeze_until=dict.fromkeys(FIRST, SWITCH))
    return folder


def test_what_waits_stays_as_it_was_up_to_its_step(staged: Path) -> None:
    torch.manual_seed(7)
    fresh = ToyModel().state_dict()
    frozen = {name for name in fresh if ".frozen." in f".{name}"}
    for step in (2, SWITCH, SWITCH + 2):
        tensors = _tensors(staged, step)
        assert set(tensors) == set(fresh) - frozen - {"head.weight"}  # all that is ever trained is in every checkpoint
        for name, tensor in tensors.items():
            moved = not torch.equal(tensor, fresh[name])
            assert moved == (not _is_late(name) or step > SWITCH), f"{name} after step {step}"
        moments = {name.rpartition("/")[0] for name in _tensors(staged, step, "optimiser")}
        assert bool({name for name in moments if _is_late(name)}) == (step > SWITCH)


@pytest.mark.parametrize("finetune", ["full", "lora"])
def test_what_is_trained_is_float32(finetune: Any, tmp_path: Path) -> None:
    """LoRA may stand beside weights in bfloat16, unless new tables are trained with it."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=11, tie_word_embeddings=False, **sizes)).save_pretrained(tmp_path)

    def stages(dtype: Any, **changes: Any) -> Stages:
        lora = LoraSettings(rank=2) if finetune == "lora" else None
        llm = LLMConfig(vocabulary=11, source=str(tmp_path), dtype=dtype, **changes)
        model = build_model(LanguageConfig(llm=llm, bos_id=0, eos_id=0, finetune=finetune, lora=lora))
        return Stages(model, OptimiserConfig(freeze=("norm",)), 4)

    refused = pytest.raises(TrainingError, match=r"embed_tokens\.weight is bfloat16.*loop\.precision 'bf16'")
    with refused:
        stages("bfloat16", replace_embeddings=True)
    assert stages("float32", replace_embeddings=True).trained
    if finetune == "full":
        with refused:
            stages("bfloat16")
    else:
        assert all("lora_" in name for name in stages("bfloat16").trained)


def test_the_first_stage_is_a_run_with_the_same_frozen_for_good(staged: Path, tmp_path: Path) -> None:
    run_toy(tmp_path, **RUN, freeze=FIRST)
    expected = _tensors(tmp_path, SWITCH)
    found = _tensors(staged, SWITCH)
    assert not any(_is_late(name) and "running" not in name for name in expected)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_stopped_in_any_stage_and_resumed_equals_uninterrupted(kind: str, tmp_path: Path) -> None:
    settings = {
        **RUN,
        "checkpoint_every": STEPS,
        "kind": kind,
        "freeze": ["norm.weight"],
        "freeze_until": dict.fromkeys(FIRST, SWITCH),
    }
    run_toy(tmp_path / "whole", **settings)
    stops = [random.randint(1, SWITCH), random.randint(SWITCH + 1, STEPS - 1)]
    for stop in [*stops, None]:
        run_toy(tmp_path / "parts", **settings, stop=stop)
    for file in ("model", "optimiser", "random"):
        whole, parts = (_tensors(tmp_path / name, STEPS, file) for name in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        assert [name for name in whole if not torch.equal(whole[name], parts[name])] == [], f"stopped after {stops}"
    assert not any(name.endswith("norm.weight") for name in whole)


def test_the_best_checkpoint_may_be_of_the_first_stage(tmp_path: Path) -> None:
    """Then the final model has what was frozen there as it was."""
    run_toy(tmp_path, **RUN, freeze_until=dict.fromkeys(FIRST, SWITCH), stop=SWITCH)
    state = tmp_path / f"checkpoints/step-{SWITCH:08d}/state.json"
    write_json(state, {**read_json(state), "best": {"name": "loss", "value": -1.0, "step": SWITCH}})
    trainer = run_toy(tmp_path, **RUN, freeze_until=dict.fromkeys(FIRST, SWITCH))
    assert read_json(tmp_path / "summary.json")["checkpoint"] == f"checkpoints/step-{SWITCH:08d}"
    torch.manual_seed(7)
    for name, parameter in ToyModel().named_parameters():
        assert torch.equal(trainer.model.get_parameter(name), parameter) or not _is_late(name), name


def test_patterns_that_leave_nothing_to_do_are_refused() -> None:
    def refused(says: str, **settings: Any) -> None:
        with pytest.raises(TrainingError, match=says):
            Stages(ToyModel(), OptimiserConfig(**settings), 10)

    refused("freeze: the pattern 'hiden' fits no parameter", freeze=("hiden",))
    refused("freeze_until: the pattern '.frozen.w' fits no trainable", freeze_until={".frozen.w": 2})
    refused("waits for step 10, but the run has only 10", freeze_until={"hidden": 10})
    refused("nothing to be trained in the first step", freeze_until={".": 2})
    refused("no trainable parameter", freeze=(".",))
    for settings in ({"freeze": ("(",)}, {"freeze_until": {"(": 1}}, {"freeze_until": {"a": 0}}):
        with pytest.raises(ConfigError, match="optimiser: freeze"):
            OptimiserConfig(**settings)


def test_the_latest_step_of_all_that_fit_counts_and_a_tied_weight_goes_by_any_name() -> None:
    model = ToyModel()
    stages = Stages(
        model, OptimiserConfig(freeze=("bias",), freeze_until={"^layers": 3, r"layers\.0": 2, "^head": 5}), 9
    )
    assert {name: first for name, first in stages.first.items() if first} == {
        "embedding.weight": 5,
        **{f"layers.{i}.{name}.weight": 3 for i in (0, 1) for name in ("norm", "trained", "contract")},
    }
    assert stages.enter(model, 0)
    assert not model.embedding.weight.requires_grad
    assert not stages.enter(model, 2)
    assert stages.enter(model, 3)
    assert stages.enter(model, 8)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(stages.trained)


def test_what_is_frozen_as_a_whole_rests_in_evaluation_mode() -> None:
    model = ToyModel().train()
    Stages(model, OptimiserConfig(freeze=(r"^layers\.0", "layers.1.norm")), 9)
    rest_frozen(model)
    resting = {name for name, module in model.named_modules() if not module.training}
    inside = {name for name, _ in model.named_modules() if name.startswith("layers.0")}
    assert resting == {"frozen", *inside, "layers.1.norm", "layers.1.frozen"}


@pytest.mark.parametrize("changes", [{"freeze_encoder": True, "ctc_layers": ()}, {}])
def test_a_frozen_encoder_rests_with_its_features_but_they_are_still_augmented(changes: dict[str, Any]) -> None:
    model: Any = build_model(dataclasses.replace(CONFIG, **changes))
    Stages(model, OptimiserConfig(freeze=() if changes else ("^speech",)), 9)
    rest_frozen(model.train())
    assert [model.training, model.llm.training, model.adapter.training, model.speech.training] == [True] * 4
    assert not model.speech.encoder.training
    assert not model.speech.feature_norm.training


def test_batch_norms_of_what_is_frozen_keep_their_statistics(tmp_path: Path) -> None:
    run_toy(tmp_path, **RUN, freeze=[r"^layers\.0"])
    tensors = _tensors(tmp_path, STEPS)
    assert torch.equal(tensors["layers.0.norm.running_mean"], torch.zeros(8))
    assert not torch.equal(tensors["layers.1.norm.running_mean"], torch.zeros(8))


@pytest.mark.parametrize("finished", [False, True])
def test_frozen_weights_that_have_changed_meanwhile_are_refused_by_name(finished: bool, tmp_path: Path) -> None:
    run_toy(tmp_path, **RUN, stop=None if finished else 3)
    stored = read_json(tmp_path / "frozen.json")
    assert set(stored) == {n for n, p in ToyModel().named_parameters() if not p.requires_grad}
    write_json(tmp_path / "frozen.json", {**stored, "layers.1.frozen.weight": "0" * 16})
    run_toy(tmp_path, **RUN)
    says = (tmp_path / "error.txt").read_text()
    assert "the frozen weight layers.1.frozen.weight is not what this run began with" in says


def test_a_frozen_llm_takes_no_room_in_a_checkpoint() -> None:
    def size(**changes: Any) -> int:
        model = build_model(dataclasses.replace(CONFIG, **changes))
        trained = Stages(model, OptimiserConfig(), 9).trained
        return sum(tensor.nbytes for tensor in model_tensors(model, trained).values())

    llm = sum(parameter.nbytes for parameter in build_model(CONFIG).llm.parameters())  # ty: ignore[unresolved-attribute]
    assert size() - size(finetune="frozen") == llm > 0


def test_a_plan_counts_what_the_patterns_leave_and_refuses_those_that_fit_nothing() -> None:
    task = LanguageTask(
        model=LanguageConfig(**FROM_UNITS, llm=CONFIG.llm),
        units=UnitsConfig(kind="characters"),
        train=("a.txt",),
        dev="b.txt",
    )

    def plan(**settings: Any) -> Plan:
        recipe = Recipe(task=task, optimiser=OptimiserConfig(**settings), loop=LoopConfig(steps=9))
        return plan_training(recipe)

    whole, part = plan(), plan(freeze=("mlp",), freeze_until={"norm": 4})
    assert whole.parts["total"][0] == whole.parts["total"][1] == part.parts["total"][0]
    mlp = sum(p.numel() for name, p in build_model(CONFIG).named_parameters() if "mlp" in name)
    assert part.parts["total"][1] == whole.parts["total"][1] - mlp
    assert part.checkpoint == whole.checkpoint - 3 * 4 * mlp
    assert any("steps from 4 on" in note for note in part.notes)
    with pytest.raises(TrainingError, match="freeze: the pattern 'mpl' fits no parameter"):
        plan(freeze=("mpl",))
