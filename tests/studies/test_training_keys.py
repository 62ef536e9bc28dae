"""The key of a training whose recipe takes over the sizes of models that are yet to be trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duolect.recipes.small import small_acoustic, small_language, small_speech_llm
from duolect.studies.stages.training import Training, outlines
from duolect.training import AcousticTask, Recipe, plan_training

SPEECH: dict[str, Any] = {"train": (Path("train.jsonl"),), "dev": Path("dev.jsonl")}


def trainings(seed: int = 1, width: int | None = None) -> dict[str, Training]:
    def acoustic(_: Mapping[str, Path]) -> Recipe:
        recipe = small_acoustic(**SPEECH, units=300, seed=seed)
        assert isinstance(recipe.task, AcousticTask)
        encoder: Any = recipe.task.model.encoder
        model = dataclasses.replace(
            recipe.task.model, encoder=dataclasses.replace(encoder, width=width or encoder.width)
        )
        return dataclasses.replace(recipe, task=dataclasses.replace(recipe.task, model=model))

    def language(inputs: Mapping[str, Path]) -> Recipe:
        return small_language(text=(Path("lm.txt"),), dev=Path("dev.txt"), units=inputs["acoustic"])

    def speech_llm(inputs: Mapping[str, Path]) -> Recipe:
        return small_speech_llm(**SPEECH, acoustic=inputs["acoustic"], language=inputs["language"])

    first = Training(name="acoustic", build=acoustic, inputs={})
    second = Training(name="language", build=language, inputs={"acoustic": first})
    third = Training(name="speech LLM", build=speech_llm, inputs={"acoustic": first, "language": second})
    return {"acoustic": first, "language": second, "speech_llm": third}


def test_the_key_needs_no_model_and_no_place() -> None:
    stage = trainings()["speech_llm"]
    settings = stage.settings()
    assert settings["task"]["initialise_encoder"] == "<acoustic>"
    assert settings["task"]["units"]["folder"] == settings["task"]["initialise_llm"] == "<language>"
    assert settings["task"]["model"]["encoder"]["layers"] == 8
    assert stage.key == trainings()["speech_llm"].key


def test_sizes_of_the_models_before_it_are_in_its_recipe() -> None:
    assert trainings(width=96)["speech_llm"].settings()["task"]["model"]["encoder"]["width"] == 96


def test_what_changes_a_model_before_it_changes_its_key() -> None:
    keys = {trainings(seed=seed)["speech_llm"].key for seed in (1, 2)}
    assert len(keys) == 2


def test_a_plan_knows_the_labels_of_models_before_it(tmp_path: Path) -> None:
    stage = trainings()["language"]
    plan = plan_training(stage.recipe(outlines(stage, tmp_path)))
    assert plan.vocabulary == 300
    assert not any("labels are assumed" in note for note in plan.notes), plan.notes
