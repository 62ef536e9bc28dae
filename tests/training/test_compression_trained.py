"""CTC compression from a recipe to a hypothesis: in the encoder and in the adapter, and how much of it is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training_corpus import acoustic_recipe, language_recipe, make_corpus, speech_llm_recipe

from duolect.data import load_manifest
from duolect.models import AcousticModel, CompressionConfig, SpeechLLM
from duolect.nn import ChainConfig, ConcatLinearConfig, CtcCompressionConfig
from duolect.systems import System
from duolect.training import Recipe, train_recipe
from duolect.training.distributed import Ranks, build_accelerator
from duolect.training.progress import Window

COMPRESSION = CompressionConfig(layer=1, policy="weighted")


def _with_model(recipe: Recipe, **fields: Any) -> Recipe:
    task: Any = recipe.task
    return replace(recipe, task=replace(task, model=replace(task.model, **fields)))


def _log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus`, and the runs `acoustic`, `language` and `speech_llm`, the first and last with
    compression."""
    folder = tmp_path_factory.mktemp("compression")
    torch.set_num_threads(1)
    corpus = make_corpus(folder / "corpus")
    models = folder / "acoustic", folder / "language"
    train_recipe(_with_model(acoustic_recipe(corpus, steps=4), compression=COMPRESSION), models[0], device="cpu")
    train_recipe(language_recipe(corpus, models[0], steps=2), models[1], device="cpu")
    adapter = ChainConfig(links=(CtcCompressionConfig(blanks="drop"), ConcatLinearConfig(factor=2)))
    fields = {"compression": COMPRESSION, "ctc_layers": (1, 2), "adapter": adapter}
    recipe = _with_model(speech_llm_recipe(corpus, *models, steps=4), **fields)
    train_recipe(recipe, folder / "speech_llm", device="cpu")
    return folder


@pytest.mark.parametrize("kind", ["acoustic", "speech_llm"])
def test_how_much_is_merged_stands_in_the_log(kind: str, trained: Path) -> None:
    lines = [line for line in _log(trained / kind) if "loss" in line]
    assert lines
    names = {"compression", "ctc_too_short"} | ({"adapter_compression"} if kind == "speech_llm" else set())
    for line in lines:
        assert names <= line.keys()
        assert line["compression"] >= 1
        assert 0 <= line["ctc_too_short"] <= 1
    assert not any("dev_compression" in line for line in _log(trained / kind))
    model = System.load(trained / kind).parts[kind].model
    assert isinstance(model, AcousticModel | SpeechLLM)
    assert model.config.compression == COMPRESSION


def test_a_run_without_compression_says_nothing_of_it(trained: Path) -> None:
    for line in _log(trained / "language"):
        assert not {"compression", "ctc_too_short", "adapter_compression"} & line.keys()


@pytest.mark.parametrize("method", ["ctc-greedy", "attention+ctc", "speech-llm", "speech-llm+ctc"])
def test_recognition_with_merged_frames(method: str, trained: Path) -> None:
    kind = "speech_llm" if "speech" in method else "acoustic"
    system = System.load(trained / kind)
    assert method in system.methods()
    system = system.with_method(method)
    utterances = load_manifest(trained / "corpus" / "dev.jsonl")
    found = system.recognize(utterances)
    assert not found.skipped
    alone = [system.recognize([utterance]).rows[0] for utterance in utterances]
    assert [row.text for row in alone] == [row.text for row in found.rows]
    frames, left = (found.statistics[f"{kind}.audio.{name}"] for name in ("frames", "frames_left"))
    assert found.statistics[f"{kind}.audio.frame_reduction"] == frames / left
    assert len(utterances) <= left <= frames


def test_a_window_sums_what_processes_measured() -> None:
    loop: Any = acoustic_recipe(Path(), steps=1).loop
    ranks = Ranks(build_accelerator(loop, Path()))
    window = Window()
    values = window.close(ranks, {"compression": (9.0, 3.0), "ctc_too_short": (0.0, 4.0), "nothing": (0.0, 0.0)})
    assert values == {"compression": 3.0, "ctc_too_short": 0.0}
