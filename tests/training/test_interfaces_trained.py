"""Each attention interface from a recipe to a hypothesis: trained, exported, searched alone and jointly with CTC."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from training_corpus import acoustic_recipe, language_recipe, make_corpus, speech_llm_recipe

from duolect.data import load_manifest
from duolect.errors import ConfigError, TrainingError
from duolect.models import SpeechLLM, load_model
from duolect.recipes.interfaces import INTERFACES, InterfaceName, interface_config
from duolect.systems import System
from duolect.training import train_recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus`, and the runs `acoustic` and `language`."""
    folder = tmp_path_factory.mktemp("interfaces")
    torch.set_num_threads(1)
    corpus = make_corpus(folder / "corpus")
    train_recipe(acoustic_recipe(corpus, steps=2), folder / "acoustic", device="cpu")
    train_recipe(language_recipe(corpus, folder / "acoustic", steps=2), folder / "language", device="cpu")
    return folder


@pytest.mark.parametrize("name", get_args(InterfaceName))
def test_an_interface_is_trained_before_a_frozen_llm_and_recognises(
    name: InterfaceName, trained: Path, tmp_path: Path
) -> None:
    models = trained / "acoustic", trained / "language"
    recipe = speech_llm_recipe(trained / "corpus", *models, interface=name, steps=3)
    folder = train_recipe(recipe, tmp_path / "run", device="cpu")
    model = load_model(folder / "speech_llm")
    assert isinstance(model, SpeechLLM)
    assert model.config.interface == INTERFACES[name]
    gates = [tensor for key, tensor in model.state_dict().items() if key.endswith("gate")]
    assert len(gates) == (2 if name == "cross" else 0)
    assert all(gate.any() for gate in gates)  # closed before training
    utterances = load_manifest(trained / "corpus" / "dev.jsonl")
    for method in ("speech-llm", "speech-llm+ctc"):
        system = System.load(folder).with_method(method)
        rows = system.recognize(utterances).rows
        assert [row.id for row in rows] == [utterance.id for utterance in utterances]
        alone = [system.recognize([utterance]).rows[0] for utterance in utterances]
        assert [row.text for row in alone] == [row.text for row in rows], f"{name}, {method}"


def test_a_run_does_not_go_on_with_another_interface(trained: Path, tmp_path: Path) -> None:
    models = trained / "acoustic", trained / "language"
    (tmp_path / "run").mkdir()
    train_recipe(speech_llm_recipe(trained / "corpus", *models, steps=1), tmp_path / "run", device="cpu")
    other = speech_llm_recipe(trained / "corpus", *models, steps=1, interface="cross")
    with pytest.raises(TrainingError, match=r'interface\.kind was "prefix" and is now "cross"'):
        train_recipe(other, tmp_path / "run", device="cpu")


def test_names_stand_for_configs_and_others_are_refused() -> None:
    assert list(INTERFACES) == list(get_args(InterfaceName))
    assert len({json.dumps(str(config)) for config in INTERFACES.values()}) == len(INTERFACES)
    with pytest.raises(ConfigError, match="interface must be one of prefix, bidirectional, merged, cross, not 'side'"):
        interface_config("side")  # ty: ignore[invalid-argument-type]
