"""Scales whose models are trained from scratch, on the synthetic corpus or on the user's data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from duolect.data.synthetic import Size, SpeakingConfig, synthetic_config
from duolect.errors import ConfigError
from duolect.studies.scales.base import (
    Adaptation,
    AEDModel,
    Change,
    CTCUnits,
    LabelUnits,
    Languages,
    Scale,
    TestSets,
)
from duolect.studies.scales.building import changed, corpus_file, heard_of, read_of, training
from duolect.studies.scales.changes import (
    with_adapter_first,
    with_ctc_units,
    with_llm,
    with_loop,
    with_model,
    with_prompts,
    with_task,
)
from duolect.studies.scales.own_models import Attention, adapted_language, english_and_german
from duolect.studies.stages import Needs, Stage
from duolect.studies.stages.corpora import SPLITS, GivenCorpus, SyntheticCorpus
from duolect.studies.stages.distillation import Distilled, GivenTeacher, Teacher
from duolect.studies.stages.llms import LLM, SampledText, SpokenText
from duolect.studies.stages.recognition import Recognition
from duolect.studies.stages.training import Training, Tuned
from duolect.text import UnitsConfig
from duolect.training import Precision, Recipe, UnitsFrom
from duolect.training.teacher import TeacherConfig

_PHONEMES = UnitsConfig(kind="phonemes", language="en-gb")
_MANIFEST = "a manifest as `duolect import` makes them (docs/corpora.md)"


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """The recipes of a scale, which take the same arguments but for how many manifests they train on."""

    acoustic: Callable[..., Recipe]
    language: Callable[..., Recipe]
    speech_llm: Callable[..., Recipe]
    aed: Callable[..., Recipe]
    several: bool
    """Whether `train` is a tuple of manifests."""

    def computed_in(self, precision: Precision) -> Recipes:
        """The same recipes, trained in that precision."""

        def remade(make: Callable[..., Recipe]) -> Callable[..., Recipe]:
            return lambda **arguments: with_loop(make(**arguments), precision=precision)

        made = {name: remade(getattr(self, name)) for name in ("acoustic", "language", "speech_llm", "aed")}
        return replace(self, **made)


@dataclass(frozen=True, kw_only=True)
class OwnScale(Scale):
    """An acoustic model, a language model and a speech LLM of both, all from one corpus.

    `size` (of the synthetic corpus) and the numbers of steps can be smaller, for tests.
    """

    recipes: ClassVar[Recipes]
    networks: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Size of LLM → the fields of its config that make it; none for the recipe's own."""
    own_pieces: ClassVar[int]
    """SentencePiece labels of an LLM that has labels of its own."""
    prompts: ClassVar[Mapping[str, str]] = {
        "none": "none",
        "instruction": "<audio> transcribe speech to text",
        "role-tagged": "user <audio> transcribe speech to text assistant",
    }
    parts: ClassVar[Mapping[str, str]] = {
        "train": f"{_MANIFEST}, or a folder of parquet shards; without data of yours the synthetic corpus is made",
        "dev": f"{_MANIFEST}, to choose scales on",
        "test": f"{_MANIFEST}, to recognise and score",
        "lm": "text for language models, one sentence a line, or a manifest; without it they learn the transcripts",
        "llm": "a causal LLM that writes English, as a folder or by its name on the Hugging Face hub",
        "translator": "a model that translates English to German, as a folder or by its name on the Hugging Face hub",
        "leaderboard": "a folder of manifests, one of each test set, as `duolect import open-asr-leaderboard` makes it",
    }

    size: Size
    acoustic_steps: int
    language_steps: int
    speech_llm_steps: int
    sampled: int
    """Training sentences that are sampled from a pre-trained LLM and spoken."""
    pretrained_steps: int
    """Steps of the acoustic model and of each speech LLM on those."""
    adaptation_steps: int
    """Steps of a language model that is trained on transcripts after other text."""
    aed_steps: int
    """Steps of a model of arXiv 2501.02370 to transcribe."""
    translation_steps: int
    """Steps to translate, after those."""
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    """The translation model that is trained for distillation where the part translator is not given."""
    gpus: int = 0
    """Of each training and recognition: 0 for the CPU."""
    precision: Precision = "auto"
    """Of trainings: "bf16" on a CPU, too."""

    def __post_init__(self) -> None:
        for name in (each.name for each in fields(self)):
            if (name == "sampled" or name.endswith("_steps")) and getattr(self, name) < 1:
                raise ConfigError(f"scale {self.name}: {name} must be 1 or more, not {getattr(self, name)}.")
        if self.gpus < 0:
            raise ConfigError(f"scale {self.name}: gpus must be 0 (the CPU) or more, not {self.gpus}.")

    @property
    def sustained(self) -> float:
        """Of small models, which leave a GPU idle between their many small operations: 1e12, an assumption; of a core
        of a CPU 3.8e10, which is some 40 s of sound a second with the acoustic model of ten million parameters."""
        return 1e12 if self.gpus else 3.8e10

    @cached_property
    def made_by(self) -> Recipes:
        """The recipes in the scale's precision."""
        return self.recipes.computed_in(self.precision)

    @cached_property
    def corpus(self) -> Stage:
        """The synthetic corpus, or the user's; the same for all seeds."""
        if not self.data.keys() & {*SPLITS, "lm"}:
            return SyntheticCorpus(name="synthetic corpus", config=synthetic_config(self.size))
        parts = {part: self.given(part) for part in (*SPLITS, "lm") if part in SPLITS or part in self.data}
        hint = "`duolect import` makes manifests of corpora."
        return GivenCorpus(name="the user's corpus", parts=parts, hint=hint, planned=self.planned)

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
        """The acoustic model of the recipes."""
        steps = self.acoustic_steps if corpus is None else self.pretrained_steps
        settings: dict[str, Any] = {"steps": steps, "seed": seed, **arguments}
        heard = corpus or self.corpus

        def build(inputs: Mapping[str, Path]) -> Recipe:
            return changed(change, self.made_by.acoustic(**self._speech(heard, inputs), **settings))

        return training("acoustic", seed, arguments, build, {"corpus": heard_of(heard)}, self._needs)

    def language(
        self,
        seed: int,
        *,
        units: LabelUnits | None = None,
        size: str | None = None,
        change: Change | None = None,
        **arguments: Any,
    ) -> Training:
        """The language model of the recipes."""
        settings: dict[str, Any] = {"steps": self.language_steps, "seed": seed, **arguments}
        own, network = self._units(units), self._network(size)

        def build(inputs: Mapping[str, Path]) -> Recipe:
            corpus = inputs["corpus"]
            text: dict[str, Any] = {
                "text": (corpus_file(self.corpus, corpus, "lm"),),
                "dev": corpus / "dev.txt",
                "units": inputs.get("acoustic", corpus),
            }
            recipe = self.made_by.language(**text, **settings)
            if own is not None:
                recipe = with_task(recipe, units=own)
            return changed(change, with_llm(recipe, **network))

        inputs: dict[str, Stage] = {"corpus": read_of(self.corpus)}
        if own is None:
            inputs["acoustic"] = self.acoustic(seed)
        said = {"units": units, "size": size, **arguments}
        return training("language", seed, said, build, inputs, self._needs)

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
        """The speech LLM of the recipes."""
        if pretrained is not None and (units or size):
            raise ConfigError(f"scale {self.name}: a pre-trained LLM has its own units and its own size.")
        steps = self.speech_llm_steps if pretrained is None else self.pretrained_steps
        settings: dict[str, Any] = {"steps": steps, "seed": seed, **arguments}
        network, heard = self._network(size), corpus or self.corpus
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
            speech = self._speech(heard, inputs)
            recipe = self.made_by.speech_llm(**speech, acoustic=inputs["acoustic"], **llm, **settings)
            recipe = with_model(with_llm(recipe, **network), freeze_encoder=freeze_encoder)
            if written not in ((), ("none",)):  # no prompt at all is no prompts
                recipe = with_prompts(recipe, written)
            if ctc != "llm":
                recipe = with_ctc_units(
                    recipe, _PHONEMES if ctc == "phonemes" else UnitsFrom(folder=str(inputs["acoustic"]), ctc=True)
                )
            if adapter_first:
                recipe = with_adapter_first(recipe, 0.1)
            return changed(change, recipe)

        inputs: dict[str, Stage] = {
            "corpus": heard_of(heard),
            "acoustic": self.acoustic(seed, corpus=corpus),
            **({"language": self.language(seed, units=units, size=size)} if pretrained is None else {"llm": self.llm}),
        }
        said = {"units": units, "size": size, "pretrained": pretrained, "prompts": prompts, **arguments}
        said |= {"ctc": None if ctc == "llm" else ctc}
        said |= {"freeze_encoder": freeze_encoder or None, "adapter_first": adapter_first or None}
        return training("speech LLM", seed, said, build, inputs, self._needs)

    def adapted(self, seed: int, how: Adaptation, *, units: LabelUnits = "acoustic") -> Stage:
        """`language(seed)`, which was trained on the corpus's text, stands for a pre-trained LLM."""
        llm = self.language(seed, units=None if units == "acoustic" else units)
        if how == "none":
            return llm
        said = {"units": None if units == "acoustic" else units}
        steps = self.adaptation_steps
        return adapted_language(llm, self.corpus, seed, how, steps=steps, needs=self._needs, said=said)

    def aed(
        self, seed: int, model: AEDModel, *, corpus: Stage | None = None, transcribed: Stage | None = None
    ) -> Training:
        """The recipe `aed`."""
        trained = Attention(
            recipe=self.made_by.aed,
            several=self.recipes.several,
            steps=self.aed_steps,
            translation_steps=self.translation_steps,
            transcribed=transcribed or self.translated,
            needs=self._needs,
        )
        return trained.train(seed, model, corpus or self.translated)

    @property
    def translated(self) -> Stage:
        """The synthetic corpus: only it has translations for certain."""
        return SyntheticCorpus(name="synthetic corpus", config=synthetic_config(self.size))

    @property
    def languages(self) -> Languages:
        """English and German, each sentence of the synthetic corpus said in both; German is translated."""
        return english_and_german(self.size)

    def distilled(self, *, only: bool = False) -> Stage:
        """By the user's model, the part translator, or by a small one, trained on the corpus's sentence pairs."""
        corpus = self.translated
        teacher: Stage = Teacher(name="translation model", corpus=corpus, config=self.teacher)
        if "translator" in self.data:
            source = self.given("translator")
            teacher = GivenTeacher(name="translation model", source=source, planned=self.planned)
        name = "distilled targets only" if only else "with distilled targets"
        return Distilled(name=name, teacher=teacher, corpus=corpus, only=only, gpus=self.gpus)

    @property
    def test_sets(self) -> TestSets:
        """The leaderboard's, where they are given; else the domains of the synthetic corpus."""
        if "leaderboard" in self.data or not isinstance(self.corpus, SyntheticCorpus):
            return super().test_sets
        return TestSets(corpus=self.corpus, field="domain", normaliser="plain")

    def tuned(self, system: Stage, method: str, **settings: Any) -> Tuned:
        """As for every scale, on the scale's GPU where it has one."""
        settings = {"gpus": self.gpus, **settings}
        return super().tuned(system, method, **settings)

    def recognition(self, name: str, system: Stage, method: str, **settings: Any) -> Recognition:
        """As for every scale, on the scale's GPU where it has one."""
        settings = {"gpus": self.gpus, **settings}
        return super().recognition(name, system, method, **settings)

    @property
    def _needs(self) -> Needs:
        return Needs(gpus=self.gpus)

    def _speech(self, corpus: Stage, inputs: Mapping[str, Path]) -> dict[str, Any]:
        train, dev = (corpus_file(corpus, inputs["corpus"], part) for part in ("train", "dev"))
        return {"train": (train,) if self.recipes.several else train, "dev": dev}

    def _units(self, units: LabelUnits | None) -> UnitsConfig | None:
        """Those that a language model has besides the acoustic model's."""
        if units == "llm":
            return UnitsConfig(kind="sentencepiece", size=self.own_pieces)
        return UnitsConfig(kind="characters") if units == "characters" else None

    def _network(self, size: str | None) -> Mapping[str, Any]:
        if size is not None and size not in self.networks:
            known = ", ".join(self.networks)
            raise ConfigError(f"scale {self.name}: there is no LLM of the size {size!r}; known are {known}.")
        return {} if size is None else self.networks[size]
