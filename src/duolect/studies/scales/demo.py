"""The scale of the demo: the synthetic corpus of 4.5 hours, models of two million parameters, minutes on two cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from duolect.data.synthetic import Size, synthetic_config
from duolect.recipes.demo import demo_acoustic, demo_language, demo_speech_llm
from duolect.studies.scales.base import Change, Scale
from duolect.studies.stages import Stage
from duolect.studies.stages.corpora import SyntheticCorpus
from duolect.studies.stages.training import Build, Training
from duolect.studies.study import ScaleName
from duolect.training import Recipe


@dataclass(frozen=True, kw_only=True)
class DemoScale(Scale):
    """As `duolect demo`, so that its figures and those of the studies belong together.

    `size` and the numbers of steps can be smaller, for tests.
    """

    name: ClassVar[ScaleName] = "demo"
    tuning_rounds: ClassVar[int] = 2
    tuning_lists: ClassVar[int] = 32
    parts: ClassVar[Mapping[str, str]] = {
        "llm": "a causal LLM that writes English, as a folder or by its name on the Hugging Face hub",
    }

    size: Size = "demo"
    acoustic_steps: int = 1400
    language_steps: int = 400
    speech_llm_steps: int = 500

    @property
    def corpus(self) -> Stage:
        """The synthetic corpus, the same for all seeds."""
        return SyntheticCorpus(name="synthetic corpus", config=synthetic_config(self.size))

    def acoustic(self, seed: int, *, change: Change | None = None, **arguments: Any) -> Training:
        """demo-acoustic."""
        settings: dict[str, Any] = {"steps": self.acoustic_steps, "seed": seed, **arguments}

        def build(inputs: Mapping[str, Path]) -> Recipe:
            return _changed(change, demo_acoustic(**_speech(inputs), **settings))

        return _training("acoustic", seed, arguments, build, {"corpus": self.corpus})

    def language(self, seed: int, *, change: Change | None = None, **arguments: Any) -> Training:
        """demo-language."""
        settings: dict[str, Any] = {"steps": self.language_steps, "seed": seed, **arguments}

        def build(inputs: Mapping[str, Path]) -> Recipe:
            corpus = inputs["corpus"]
            text: dict[str, Any] = {
                "text": (corpus / "lm.txt",),
                "dev": corpus / "dev.txt",
                "units": inputs["acoustic"],
            }
            return _changed(change, demo_language(**text, **settings))

        return _training("language", seed, arguments, build, {"corpus": self.corpus, "acoustic": self.acoustic(seed)})

    def speech_llm(self, seed: int, *, change: Change | None = None, **arguments: Any) -> Training:
        """demo-speech-llm."""
        settings: dict[str, Any] = {"steps": self.speech_llm_steps, "seed": seed, **arguments}

        def build(inputs: Mapping[str, Path]) -> Recipe:
            models: dict[str, Any] = {name: inputs[name] for name in ("acoustic", "language")}
            return _changed(change, demo_speech_llm(**_speech(inputs), **models, **settings))

        inputs = {"corpus": self.corpus, "acoustic": self.acoustic(seed), "language": self.language(seed)}
        return _training("speech LLM", seed, arguments, build, inputs)


def _speech(inputs: Mapping[str, Path]) -> dict[str, Any]:
    return {split: inputs["corpus"] / f"{split}.jsonl" for split in ("train", "dev")}


def _changed(change: Change | None, recipe: Recipe) -> Recipe:
    return recipe if change is None else change(recipe)


def _training(
    what: str, seed: int, arguments: Mapping[str, Any], build: Build, inputs: Mapping[str, Stage]
) -> Training:
    said = "".join(f", {name} {value}" for name, value in arguments.items())
    return Training(name=f"{what}{said}, seed {seed}", build=build, inputs=inputs)
