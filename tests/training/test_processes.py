"""Training on two processes (DDP, FSDP2) equals training on one, and either goes on with the other's run."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from training_corpus import encoder
from training_processes import assert_same_run, torchrun
from training_toy import ToyModel, run_toy

from duolect.audio import FeatureConfig
from duolect.errors import TrainingError
from duolect.models import CrossConfig, LLMConfig, LoraSettings, SpeechLLMConfig, build_model
from duolect.storage import load_tensors, read_json
from duolect.training import LoopConfig, build_accelerator
from duolect.training.checkpoint import recipe_hash
from duolect.training.distributed import PATIENCE
from duolect.training.sharding import blocks, shard

STEPS = 10
ONE: dict[str, Any] = {"steps": STEPS, "accumulate": 2, "dropout": 0.0}
TWO = {**ONE, "accumulate": 1, "sharding": "fsdp2"}
"""Two micro-batches a step, in turn on one process or at once on two."""
STAGED: dict[str, Any] = {"freeze": ["^layers.0.contract"], "freeze_until": {"^hidden": 4, r"^layers\.1\.": 4}}
LOST: dict[str, Any] = {"lost": [5, 10, 11, 13], "sharding": "none"}
"""Batches that nobody can use, most of them of the second process: it is then ahead in the data."""
AVERAGED = {"average_last": 2, "checkpoint_every": 5}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs on one process, and those of two processes with names that end in 2; all in one torchrun to save time."""
    folder = tmp_path_factory.mktemp("sharding")
    torch.set_num_threads(1)
    run_toy(folder / "adamw", **ONE)
    run_toy(folder / "muon", **ONE, kind="muon")
    run_toy(folder / "accumulated", **ONE | {"accumulate": 4}, **AVERAGED)
    run_toy(folder / "staged", **ONE, **STAGED)
    run_toy(folder / "half", **ONE, stop=5)
    shutil.copytree(folder / "half", folder / "then2")
    two: list[tuple[str, dict[str, Any]]] = [
        ("adamw2", {}),
        ("adamw-whole2", {"sharding": "none"}),
        ("muon2", {"kind": "muon"}),
        ("muon-whole2", {"kind": "muon", "sharding": "none"}),
        ("accumulated2", {"accumulate": 2, **AVERAGED}),
        ("staged2", STAGED),
        ("staged-whole2", {**STAGED, "sharding": "none"}),
        ("half-staged2", {**STAGED, "stop": 2}),
        ("half-staged2", {**STAGED, "stop": 5}),
        ("half-staged2", STAGED),
        ("half2", {"stop": 5}),
        ("then2", {}),
        ("whole-dropout2", {"dropout": 0.1}),
        ("half-dropout2", {"dropout": 0.1, "stop": 5}),
        ("half-dropout2", {"dropout": 0.1}),
        ("whole-lost2", LOST),
        ("half-lost2", {**LOST, "stop": 6}),
        ("half-lost2", LOST),
        ("bf16-2", {"precision": "bf16"}),
        ("bf16-staged2", {**STAGED, "precision": "bf16"}),
        ("outside2", {"outside": True}),
    ]
    done = torchrun(json.dumps([{"folder": str(folder / name), **TWO, **changes} for name, changes in two]))
    assert done.returncode == 0, done.stderr[-3000:]
    assert "view tensor" not in done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


def test_processes_wait_for_what_the_first_one_does_alone(runs: Path) -> None:
    """Longer than torch lets them by itself."""
    assert (runs / "said.txt").read_text().split("\n")[0] == f"{PATIENCE.total_seconds():.0f} s"
    assert PATIENCE.total_seconds() >= 12 * 3600


@pytest.mark.parametrize(("one", "two"), [("adamw", "adamw2"), ("muon", "muon2"), ("accumulated", "accumulated2")])
def test_two_sharded_processes_equal_one(runs: Path, one: str, two: str) -> None:
    assert_same_run(runs / one, runs / two, STEPS)
    lines = [json.loads(line) for line in (runs / two / "log.jsonl").read_text().splitlines()]
    assert all("padded" in line for line in lines if "loss" in line)  # what a meter measured on both


@pytest.mark.parametrize("two", ["staged2", "staged-whole2", "half-staged2"])
def test_stages_are_the_same_on_two_processes(runs: Path, two: str) -> None:
    """Sharded, whole, and stopped in either stage."""
    assert_same_run(runs / "staged", runs / two, STEPS)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_two_whole_processes_equal_one(runs: Path, kind: str) -> None:
    """Muon's work is divided between them."""
    assert_same_run(runs / kind, runs / f"{kind}-whole2", STEPS)


def test_a_run_may_go_on_with_another_number_of_processes(runs: Path, tmp_path: Path) -> None:
    """From one process to two that shard, and back: a checkpoint does not tell who wrote it."""
    assert read_json(runs / "half2" / "last.json")["step"] == 5
    assert_same_run(runs / "adamw", runs / "then2", STEPS)
    shutil.copytree(runs / "half2", tmp_path / "then1")
    run_toy(tmp_path / "then1", **ONE | {"accumulate": 1})
    refused = (tmp_path / "then1" / "error.txt").read_text()
    assert "takes 2 micro-batches, but loop.accumulate (1) times the number of processes (1) is 1" in refused
    run_toy(tmp_path / "then1", **ONE)
    assert_same_run(runs / "adamw", tmp_path / "then1", STEPS)


@pytest.mark.parametrize("what", ["dropout2", "lost2"])
def test_resuming_on_as_many_processes_changes_no_bit(runs: Path, what: str) -> None:
    """With dropout on; with batches that had to be passed over."""
    for file in ("model", "optimiser", "random"):
        whole, resumed = (
            load_tensors(runs / name / f"checkpoints/step-{STEPS:08d}" / f"{file}.safetensors")
            for name in (f"whole-{what}", f"half-{what}")
        )
        assert whole.keys() == resumed.keys()
        assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []


def test_each_process_has_its_place_where_they_differ(runs: Path) -> None:
    state = f"checkpoints/step-{STEPS:08d}/state.json"
    same, apart = (read_json(runs / name / state) for name in ("whole-dropout2", "whole-lost2"))
    assert "places" not in same
    assert [place["consumed"] for place in apart["places"]] == [22, 26]
    assert apart["place"] == apart["places"][0]


def test_the_mean_of_sharded_checkpoints_is_measured(runs: Path) -> None:
    one, two = (
        [json.loads(line) for line in (runs / name / "log.jsonl").read_text().splitlines()][-1]
        for name in ("accumulated", "accumulated2")
    )
    assert one["weights"] == two["weights"] == "mean of steps 5, 10"
    torch.testing.assert_close(two["dev_loss"], one["dev_loss"], rtol=1e-5, atol=0)
    means = [
        load_tensors(runs / name / "checkpoints/average/model.safetensors") for name in ("accumulated", "accumulated2")
    ]
    for name, tensor in means[0].items():
        torch.testing.assert_close(means[1][name], tensor, rtol=1e-5, atol=1e-7)


def test_bf16_keeps_the_trained_weights_in_fp32(runs: Path) -> None:
    """It learns nearly the same, computing in bfloat16."""
    last = f"checkpoints/step-{STEPS:08d}/model.safetensors"
    exact, rounded = load_tensors(runs / "adamw" / last), load_tensors(runs / "bf16-2" / last)
    assert {tensor.dtype for tensor in rounded.values()} == {torch.float32}
    assert not torch.equal(exact["hidden.weight"], rounded["hidden.weight"])
    torch.testing.assert_close(rounded["hidden.weight"], exact["hidden.weight"], rtol=0, atol=0.03)
    exact, rounded = load_tensors(runs / "staged" / last), load_tensors(runs / "bf16-staged2" / last)
    assert {tensor.dtype for tensor in rounded.values()} == {torch.float32}
    for name, tensor in exact.items():
        torch.testing.assert_close(rounded[name], tensor, rtol=0, atol=0.03)


def test_weights_used_outside_their_layer_are_explained(runs: Path) -> None:
    assert "uses the weights of a layer outside the layer's forward" in (runs / "outside2" / "error.txt").read_text()
    assert not list(runs.glob("[!o]*/error.txt"))


def test_sharding_does_not_bind_a_run_and_one_process_has_nothing_to_shard(tmp_path: Path) -> None:
    config = {"loop": {"steps": 1, "sharding": "none", "accumulate": 2}}
    assert recipe_hash(config) == recipe_hash({"loop": {"steps": 1, "sharding": "fsdp2", "accumulate": 1}})
    trainers = [run_toy(tmp_path / kind, 2, sharding=kind) for kind in ("none", "fsdp2")]
    for a, b in zip(*(trainer.model.parameters() for trainer in trainers), strict=True):
        assert torch.equal(a, b)


def test_the_blocks_of_a_speech_llm_are_the_layers_of_encoder_llm_and_interface() -> None:
    config = SpeechLLMConfig(
        llm=LLMConfig(vocabulary=11, width=16, layers=3, heads=2),
        bos_id=1,
        eos_id=0,
        features=FeatureConfig(mels=16),
        encoder=encoder(0.0),
        ctc_layers=(1, 2),
        interface=CrossConfig(),
        finetune="lora",
        lora=LoraSettings(rank=2, alpha=8),
    )
    model = build_model(config)
    names = {module: name for name, module in model.named_modules()}
    assert [names[block] for block in blocks(model)] == [
        *(f"speech.encoder.layers.{i}" for i in range(2)),
        *(f"llm.model.model.layers.{i}" for i in range(3)),
        *(f"interface.blocks.{i}" for i in range(3)),
    ]


def test_a_block_with_tied_weights_stays_with_the_root() -> None:
    model = ToyModel()
    assert list(blocks(model)) == list(model.layers)
    first: Any = model.layers[0]
    first.contract.bias = model.hidden.bias
    assert list(blocks(model)) == [model.layers[1]]
    within = ToyModel()
    layer: Any = within.layers[0]
    layer.again = copy.copy(layer.trained)  # shares its weight inside the block
    assert list(blocks(within)) == list(within.layers)


def test_what_cannot_be_sharded_is_refused_by_name() -> None:
    accelerator = build_accelerator(LoopConfig(steps=1, tensorboard=False), cpu=True)
    model = ToyModel()
    model.scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(TrainingError, match="cannot divide the parameter scale"):
        shard(model, accelerator)
    model = ToyModel()
    model.hidden.bfloat16()
    with pytest.raises(TrainingError, match=r"hidden\.weight is bfloat16"):
        shard(model, accelerator)
