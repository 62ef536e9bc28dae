"""The scale of the demo: the synthetic corpus of 4.5 hours, models of two million parameters, minutes on two cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from duolect.data.synthetic import Size, SpeakingConfig, synthetic_config
from duolect.errors import ConfigError
from duolect.recipes.demo import demo_acoustic, demo_language, demo_speech_llm
from duolect.studies.scales.base import Change, CTCUnits, LabelUnits, Scale
from duolect.studies.scales.changes import (
    with_adapter_first,
    with_ctc_units,
    with_llm,
    with_model,
    with_prompts,
    with_task,
)
from duolect.studies.stages import Stage
from duolect.studies.stages.corpora import SyntheticCorpus
from duolect.studies.stages.llms import LLM, GivenLLM, SampledText, SpokenText
from duolect.studies.stages.training import Build, Training
from duolect.studies.study import ScaleName
from duolect.text import UnitsConfig
from duolect.training import Recipe, UnitsFrom

_USUAL = "3 layers of 160"
_SIZES: Mapping[str, Mapping[str, Any]] = {
    "2 layers of 96": {"width": 96, "layers": 2, "intermediate": 256},
    _USUAL: {},
    "4 layers of 256": {"width": 256, "layers": 4, "intermediate": 704},
}
_UNITS: Mapping[str, UnitsConfig] = {
    "llm": UnitsConfig(kind="sentencepiece", size=1000),
    "characters": UnitsConfig(kind="characters"),
}
_PHONEMES = UnitsConfig(kind="phonemes", language="en-gb")


@dataclass(frozen=True, kw_only=True)
class DemoScale(Scale):
    """As `duolect demo`, so that its figures and those of the studies belong together.

    The labels that a language model has of its own are 1,000 pieces of its text. `size` and the numbers of steps can be
    smaller, for tests.
    """

    name: ClassVar[ScaleName] = "demo"
    tuning_rounds: ClassVar[int] = 2
    tuning_lists: ClassVar[int] = 32
    llm_sizes: ClassVar[Mapping[str, float]] = {"2 layers of 96": 0.25, _USUAL: 1.0, "4 layers of 256": 3.3}
    prompts: ClassVar[Mapping[str, str]] = {
        "none": "none",
        "instruction": "<audio> transcribe speech to text",
        "role-tagged": "user <audio> transcribe speech to text assistant",
    }
    parts: ClassVar[Mapping[str, str]] = {
        "llm": "a causal LLM that writes English, as a folder or by its name on the Hugging Face hub",
    }

    size: Size = "demo"
    acoustic_steps: int = 1400
    language_steps: int = 400
    speech_llm_steps: int = 500
    sampled: int = 4000
    """Training sentences that are sampled from a pre-trained LLM and spoken."""
    pretrained_steps: int = 900
    """Steps of the acoustic model and of each speech LLM on those."""

    @property
    def corpus(self) -> Stage:
        """The synthetic corpus, the same for all seeds."""
        return SyntheticCorpus(name="synthetic corpus", config=synthetic_config(self.size))

    @property
    def llm_corpus(self) -> Stage:
        """Sentences of the user's LLM, spoken by the synthetic voices: its own domain. It takes the part llm."""
        tiny = self.size == "tiny"
        dev, test = (3, 4) if tiny else (120, 300)
        text = SampledText(name="sentences of the LLM", llm=self.llm, train=self.sampled, dev=dev, test=test)
        speaking = SpeakingConfig(babble_tracks=1, babble_seconds=2.0) if tiny else SpeakingConfig()
        return SpokenText(name="spoken sentences of the LLM", text=text, speaking=speaking)

    def acoustic(
        self, seed: int, *, corpus: Stage | None = None, change: Change | None = None, **arguments: Any
    ) -> Training:
        """demo-acoustic."""
        steps = self.acoustic_steps if corpus is None else self.pretrained_steps
        settings: dict[str, Any] = {"steps": steps, "seed": seed, **arguments}

        def build(inputs: Mapping[str, Path]) -> Recipe:
            return _changed(change, demo_acoustic(**_speech(inputs), **settings))

        return _training("acoustic", seed, arguments, build, {"corpus": corpus or self.corpus})

    def language(
        self,
        seed: int,
        *,
        units: LabelUnits | None = None,
        size: str | None = None,
        change: Change | None = None,
        **arguments: Any,
    ) -> Training:
        """demo-language."""
        settings: dict[str, Any] = {"steps": self.language_steps, "seed": seed, **arguments}
        own, network = _UNITS.get(units or ""), _network(size)

        def build(inputs: Mapping[str, Path]) -> Recipe:
            corpus = inputs["corpus"]
            text: dict[str, Any] = {
                "text": (corpus / "lm.txt",),
                "dev": corpus / "dev.txt",
                "units": inputs.get("acoustic", corpus),
            }
            recipe = demo_language(**text, **settings)
            if own is not None:
                recipe = with_task(recipe, units=own)
            return _changed(change, with_llm(recipe, **network))

        inputs: dict[str, Stage] = {"corpus": self.corpus}
        if own is None:
            inputs["acoustic"] = self.acoustic(seed)
        return _training("language", seed, {"units": units, "size": size, **arguments}, build, inputs)

    def speech_llm(
        self,
        seed: int,
        *,
        corpus: Stage | None = None,
        units: LabelUnits | None = None,
        ctc: CTCUnits = "llm",
        size: str | None = None,
        pretrained: bool | None = None,
        prompts: Sequence[str] | None = None,
        freeze_encoder: bool = False,
        adapter_first: bool = False,
        change: Change | None = None,
        **arguments: Any,
    ) -> Training:
        """demo-speech-llm."""
        if pretrained is not None and (units or size):
            raise ConfigError("scale demo: a pre-trained LLM has its own units and its own size.")
        steps = self.speech_llm_steps if pretrained is None else self.pretrained_steps
        settings: dict[str, Any] = {"steps": steps, "seed": seed, **arguments}
        network = _network(size)
        written = tuple(self.prompts[name] for name in prompts or ())

        def build(inputs: Mapping[str, Path]) -> Recipe:
            llm: dict[str, Any] = (
                {"language": inputs["language"]}
                if pretrained is None
                else {
                    "llm": str(inputs["llm"] / LLM),
                    "random_llm": not pretrained,
                    "as_written": True,
                }
            )
            recipe = demo_speech_llm(**_speech(inputs), acoustic=inputs["acoustic"], **llm, **settings)
            recipe = with_model(with_llm(recipe, **network), freeze_encoder=freeze_encoder)
            if written not in ((), ("none",)):  # no prompt at all is no prompts
                recipe = with_prompts(recipe, written)
            if ctc != "llm":
                recipe = with_ctc_units(
                    recipe, _PHONEMES if ctc == "phonemes" else UnitsFrom(folder=str(inputs["acoustic"]), ctc=True)
                )
            if adapter_first:
                recipe = with_adapter_first(recipe, 0.1)
            return _changed(change, recipe)

        inputs: dict[str, Stage] = {
            "corpus": corpus or self.corpus,
            "acoustic": self.acoustic(seed, corpus=corpus),
            **({"language": self.language(seed, units=units, size=size)} if pretrained is None else {"llm": self.llm}),
        }
        said = {"units": units, "size": size, "pretrained": pretrained, "prompts": prompts, **arguments}
        said |= {"ctc": None if ctc == "llm" else ctc}
        said |= {"freeze_encoder": freeze_encoder or None, "adapter_first": adapter_first or None}
        return _training("speech LLM", seed, said, build, inputs)

    @property
    def llm(self) -> Stage:
        """The user's pre-trained LLM, the part llm."""
        return GivenLLM(name="pre-trained LLM", source=self.given("llm"), planned=self.planned)


def _network(size: str | None) -> Mapping[str, Any]:
    if size is not None and size not in _SIZES:
        raise ConfigError(f"scale demo: there is no LLM of the size {size!r}; known are {', '.join(_SIZES)}.")
    return _SIZES[size or _USUAL]


def _speech(inputs: Mapping[str, Path]) -> dict[str, Any]:
    return {split: inputs["corpus"] / f"{split}.jsonl" for split in ("train", "dev")}


def _changed(change: Change | None, recipe: Recipe) -> Recipe:
    return recipe if change is None else change(recipe)


def _training(
    what: str, seed: int, arguments: Mapping[str, Any], build: Build, inputs: Mapping[str, Stage]
) -> Training:
    said = "".join(f", {name} {value}" for name, value in arguments.items() if value is not None)
    return Training(name=f"{what}{said}, seed {seed}", build=build, inputs=inputs)
