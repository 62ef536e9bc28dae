"""A run goes on with the data it began with, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from training_corpus import acoustic_recipe, language_recipe, make_corpus

from duolect.errors import TrainingError
from duolect.storage import read_json, write_json
from duolect.training import Recipe, Trainer, TrainingInterrupted, train_recipe


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus`, and runs `acoustic` and `language` that were interrupted after the third of six steps."""
    folder = tmp_path_factory.mktemp("same")
    torch.set_num_threads(1)
    make_corpus(folder / "corpus")
    account = Trainer._account

    def then_stop(self: Trainer, result, batches) -> None:
        account(self, result, batches)
        if self.state.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_account", then_stop)
        for name in ("acoustic", "language"):
            with pytest.raises(TrainingInterrupted):
                train_recipe(_recipe(folder, name), folder / name, device="cpu")
    return folder


@pytest.fixture
def again(stopped: Path, tmp_path: Path) -> Path:
    """A copy, which a test may change; the recipes of its runs name its own corpus."""
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("*/recipe.json"):
        path.write_text(path.read_text().replace(str(stopped), str(tmp_path)))
    return tmp_path


def _recipe(folder: Path, name: str) -> Recipe:
    settings = {"steps": 6, "checkpoint_every": 3, "evaluate_every": 100}
    if name == "acoustic":
        return acoustic_recipe(folder / "corpus", **settings)
    return language_recipe(folder / "corpus", folder / "acoustic" / "units", **settings)


def _without(lines: list[str]) -> list[str]:
    return lines[:-1]


def _longer(lines: list[str]) -> list[str]:
    return [*lines[:-1], json.dumps({**json.loads(lines[-1]), "duration": json.loads(lines[-1])["duration"] / 2})]


def _reworded(lines: list[str]) -> list[str]:
    return [*lines[:-1], json.dumps({**json.loads(lines[-1]), "text": "so so so"})]


def _reordered(lines: list[str]) -> list[str]:
    return lines[::-1]


@pytest.mark.parametrize("change", [_without, _longer, _reworded, _reordered])
def test_a_run_refuses_another_manifest(again: Path, change: Callable[[list[str]], list[str]]) -> None:
    manifest = again / "corpus" / "train.jsonl"
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(change(lines)) + "\n")
    with pytest.raises(TrainingError, match=r"train\.jsonl: what is trained on is not what this run began with"):
        train_recipe(_recipe(again, "acoustic"), again / "acoustic", device="cpu")
    manifest.write_text("\n\n".join(lines) + "\n")  # the same utterances
    train_recipe(_recipe(again, "acoustic"), again / "acoustic", device="cpu")


def test_a_run_refuses_another_text(again: Path) -> None:
    text = again / "corpus" / "lm.txt"
    before = text.read_text()
    text.write_text(before.replace("so", "la", 1))
    with pytest.raises(TrainingError, match=r"lm\.txt: what is trained on is not what this run began with"):
        train_recipe(_recipe(again, "language"), again / "language", device="cpu")
    text.write_text(before)
    train_recipe(_recipe(again, "language"), again / "language", device="cpu")


def test_a_checkpoint_that_does_not_name_its_data_goes_on(again: Path) -> None:
    for name in ("acoustic", "language"):
        path = again / name / "checkpoints" / "step-00000003" / "state.json"
        state = read_json(path)
        assert sorted(state["place"]) == ["consumed", "data", "epoch"]
        del state["place"]["data"]
        write_json(path, state)
        train_recipe(_recipe(again, name), again / name, device="cpu")
