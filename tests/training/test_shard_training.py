"""Runs on parquet shards: killed and resumed, on two processes, with dev in shards too; and what they ask for."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from training_processes import assert_same_run, torchrun
from training_shards import shard_recipe

from duolect.audio import parquet
from duolect.audio.parquet import read_group
from duolect.data import BatchConfig
from duolect.data.shards import Shards, ShardsConfig, list_shards
from duolect.errors import AudioError, ConfigError, TrainingError
from duolect.storage import load_tensors, read_json, write_json
from duolect.systems import System
from duolect.training import AcousticTask, Recipe, plan_training, train_recipe
from duolect.training.export import training_prior

pytest.importorskip("pyarrow")
from shard_corpus import make_shards


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    make_shards(folder / "train", 5, 7, 2, longest=0.8)
    make_shards(folder / "dev", 2, 3, 2, longest=0.8)
    return folder


def _last(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / read_json(folder / "last.json")["checkpoint"] / "model.safetensors")


def _losses(folder: Path) -> list[tuple]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [(line["step"], line.get("loss"), line.get("epoch")) for line in lines]


def _train(recipe: Recipe, folder: Path) -> None:
    train_recipe(recipe, folder, device="cpu")


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run without workers."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    torch.set_num_threads(1)
    _train(shard_recipe(corpus, steps=12, checkpoint_every=3), folder)
    return folder


def test_a_system_comes_of_shards(whole: Path, corpus: Path) -> None:
    assert System.load(whole / "system")
    assert (whole / "system" / "acoustic" / "prior.safetensors").exists()
    dev = [line for line in map(json.loads, (whole / "log.jsonl").read_text().splitlines()) if "dev" in str(line)]
    assert dev
    place = read_json(whole / read_json(whole / "last.json")["checkpoint"] / "state.json")["place"]
    assert sorted(place) == ["block", "consumed", "epoch", "given", "shards", "start"]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_prior_reads_each_row_group_once(
    whole: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    """And a row that cannot be read is passed over, as it is in any order."""
    (component,) = System.load(whole / "system").parts.values()
    utterances = Shards(list_shards([corpus / "train"]), ShardsConfig(open_shards=2)).sample(28, 3).utterances
    utterances[4] = dataclasses.replace(utterances[4], audio_filepath=Path(f"{corpus}/train/train-00000.parquet#99"))
    batches = BatchConfig(max_seconds=2.5, buckets=3)

    def prior(**changes) -> torch.Tensor:
        sizes = {"number": 20, "seed": 5, "batches": batches}
        return training_prior(component.model, utterances, component.ctc_or_units, **sizes, **changes)

    expected = prior()
    read: Counter[tuple[Path, int]] = Counter()

    def counted(path: Path, file: Any, group: int, columns: list[str]) -> Any:
        read[path, group] += 1
        return read_group(path, file, group, columns)

    monkeypatch.setattr(parquet, "_KEPT_BYTES", 1)  # the last row group alone is kept
    monkeypatch.setattr(parquet, "read_group", counted)
    parquet._forget()
    torch.testing.assert_close(prior(shards=True, workers=workers), expected, rtol=1e-5, atol=1e-6)
    assert len(read) > 10
    assert set(read.values()) == {1}


def test_killed_in_an_epoch_and_resumed_with_workers_equals_uninterrupted(
    whole: Path, corpus: Path, tmp_path: Path
) -> None:
    recipe, killed = shard_recipe(corpus, steps=12, checkpoint_every=3, workers=2), tmp_path / "killed"
    process = multiprocessing.get_context("fork").Process(target=_train, args=(recipe, killed))
    process.start()
    end, log = time.monotonic() + 60, killed / "log.jsonl"
    while (not log.exists() or len(log.read_text().splitlines()) < 5) and process.is_alive():
        assert time.monotonic() < end
        time.sleep(0.005)
    time.sleep(random.Random().uniform(0, 0.1))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert not (killed / "summary.json").exists()
    _train(recipe, killed)
    expected, found = _last(whole), _last(killed)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    assert _losses(killed) == _losses(whole)


def test_two_processes_are_dealt_what_one_gets(corpus: Path, tmp_path: Path) -> None:
    settings = {"steps": 6, "checkpoint_every": 3, "dropout": 0.0}
    _train(shard_recipe(corpus, accumulate=2, **settings), tmp_path / "one")
    done = torchrun(corpus, tmp_path / "two", json.dumps(settings), script="training_shards.py")
    assert done.returncode == 0, done.stderr[-3000:]
    assert_same_run(tmp_path / "one", tmp_path / "two", 6)
    places = [read_json(tmp_path / run / "checkpoints/step-00000006/state.json")["place"] for run in ("one", "two")]
    assert places[0] == places[1]


def test_a_damaged_shard_stops_the_run_and_a_good_copy_lets_it_go_on(whole: Path, tmp_path: Path) -> None:
    copy = tmp_path / "corpus"
    make_shards(copy / "train", 5, 7, 2, longest=0.8)
    make_shards(copy / "dev", 2, 3, 2, longest=0.8)
    bad = copy / "train" / "train-00002.parquet"
    good = bad.read_bytes()
    recipe = shard_recipe(copy, steps=12, checkpoint_every=1, evaluate_every=100)
    bad.write_bytes(good[:-20])
    with pytest.raises(AudioError, match=r"train-00002\.parquet: is not a whole parquet file"):
        _train(recipe, tmp_path / "run")
    bad.write_bytes(good)
    _train(recipe, tmp_path / "run")
    expected, found = _last(whole), _last(tmp_path / "run")
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []


def test_a_run_of_a_version_without_shards_goes_on(whole: Path, corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    stored = read_json(run / "recipe.json")
    shards = stored["recipe"]["task"].pop("shards")
    write_json(run / "recipe.json", stored)
    with pytest.raises(TrainingError, match=r"task\.shards\.buffer was 4000 and is now 8"):
        _train(shard_recipe(corpus, steps=12, checkpoint_every=3), run)
    stored["recipe"]["task"]["shards"] = {name: value for name, value in shards.items() if name != "columns"}
    write_json(run / "recipe.json", stored)
    _train(shard_recipe(corpus, steps=12, checkpoint_every=3), run)
    assert read_json(run / "recipe.json")["recipe"]["task"]["shards"] == shards


def test_what_a_run_on_shards_asks_for(corpus: Path, tmp_path: Path) -> None:
    plan = plan_training(shard_recipe(corpus))
    assert any("5 parquet shards hold about 0 h: " in note for note in plan.notes)
    assert not any("there yet" in note or "assumed" in note for note in plan.notes if "characters" not in note)
    later = shard_recipe(tmp_path / "later")
    assert sum("is not there yet" in note for note in plan_training(later).notes) == 2
    mixed = shard_recipe(corpus)
    assert isinstance(mixed.task, AcousticTask)
    sources = (*mixed.task.train, "train.jsonl")
    mixed = dataclasses.replace(mixed, task=dataclasses.replace(mixed.task, train=sources))
    with pytest.raises(ConfigError, match=r"train\.jsonl: is no folder of parquet files"):
        _train(mixed, tmp_path / "mixed")
