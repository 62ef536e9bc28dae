"""What a dev evaluation gives is known, and a loop's best_by held against it, before a step is taken."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from training_corpus import acoustic_recipe, language_recipe, make_corpus, speech_llm_recipe

from duolect.errors import TrainingError
from duolect.models import DecoderConfig, load_model
from duolect.text import UnitsConfig
from duolect.training import AcousticTask, Recipe, train_recipe
from duolect.training.dev import dev_names


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_corpus(tmp_path_factory.mktemp("dev") / "corpus")


def _acoustic(corpus: Path, decoder: DecoderConfig | None, **loop) -> Recipe:
    recipe = acoustic_recipe(corpus, steps=1, **loop)
    assert isinstance(recipe.task, AcousticTask)
    return replace(recipe, task=replace(recipe.task, model=replace(recipe.task.model, decoder=decoder)))


def _measured(run: Path) -> set[str]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return {name[4:] for line in lines for name in line if name.startswith("dev_")}


def test_the_names_of_dev_values_are_known_before_dev_is_measured(corpus: Path, tmp_path: Path) -> None:
    auxiliary = DecoderConfig(layers=2, width=16, heads=2, auxiliary_layer=1)
    recipes = {
        "acoustic": _acoustic(corpus, auxiliary),
        "ctc": _acoustic(corpus, None),
        "language": language_recipe(corpus, tmp_path / "acoustic", steps=1),
        "speech_llm": speech_llm_recipe(corpus, tmp_path / "acoustic", tmp_path / "language", steps=1),
    }
    parts = {"ctc": "acoustic"}
    for name, recipe in recipes.items():
        system = train_recipe(recipe, tmp_path / name, device="cpu")
        assert set(dev_names(load_model(system / parts.get(name, name)))) == _measured(tmp_path / name), name


def test_a_best_by_that_dev_does_not_give_is_refused_before_the_first_step(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"best_by is 'wer', but the dev evaluation gives ce, ctc1, .*ctc_wer, los"):
        train_recipe(acoustic_recipe(corpus, best_by="wer"), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "log.jsonl").exists()
    train_recipe(acoustic_recipe(corpus, best_by="ctc_wer", steps=1), tmp_path / "right", device="cpu")


def test_a_dev_set_that_cannot_be_spelled_is_refused_before_the_first_step(corpus: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (corpus / "dev.jsonl").read_text().splitlines()]
    recipe = acoustic_recipe(corpus, steps=1)
    assert isinstance(recipe.task, AcousticTask)

    def on(texts: list[str], name: str) -> Recipe:
        dev = corpus / f"{name}.jsonl"
        dev.write_text("".join(json.dumps({**line, "text": t}) + "\n" for line, t in zip(lines, texts, strict=True)))
        return replace(recipe, task=replace(recipe.task, dev=str(dev)))

    with pytest.raises(TrainingError, match=r"foreign\.jsonl: no utterance can be used .* 'ж' .*10 characters"):
        train_recipe(on(["жук", "жаба", "жираф"], "foreign"), tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    train_recipe(on(["жук", "so la", "жираф"], "partly"), tmp_path / "partly", device="cpu")  # one will do


def test_a_run_says_where_its_text_gives_fewer_units_than_were_asked_for(corpus: Path, tmp_path: Path) -> None:
    recipe = acoustic_recipe(corpus, steps=1)
    assert isinstance(recipe.task, AcousticTask)
    task = replace(recipe.task, units=UnitsConfig(kind="sentencepiece", size=500))
    console = Console(file=io.StringIO(), width=200)
    train_recipe(replace(recipe, task=task), tmp_path / "run", device="cpu", console=console)
    said = console.file.getvalue()
    assert re.search(r", \d\d sentencepiece units \(the text gives no more; 500 were asked for\), 1 steps", said), said
