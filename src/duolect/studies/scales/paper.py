"""The scale of the papers: Loquacious (25,000 h) or LibriSpeech (960 h), MuST-C, Qwen2, the published settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from duolect.errors import ConfigError
from duolect.recipes.paper import (
    librispeech_acoustic,
    loquacious_acoustic,
    qwen_language,
    qwen_speech_llm,
    transformer_language,
)
from duolect.recipes.settings import SpeechFinetuning
from duolect.studies.scales.base import Adaptation, AEDModel, Change, CTCUnits, LabelUnits, Languages, Regime, Scale
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
from duolect.studies.scales.published_aed import COVOST, LANGUAGES, MUSTC, PublishedAED
from duolect.studies.scales.published_search import published_searches
from duolect.studies.scales.sources import (
    COVOST_LANGUAGES,
    COVOST_TESTED,
    HOURS,
    IMPORTS,
    PARTS,
    TRANSLATOR,
    covost,
    is_covost,
    mustc,
)
from duolect.studies.stages import Needs, Stage
from duolect.studies.stages.corpora import SPLITS, GivenCorpus, Joined
from duolect.studies.stages.distillation import Distilled, GivenTeacher
from duolect.studies.stages.llms import GivenLLM
from duolect.studies.stages.recognition import Recognition
from duolect.studies.stages.training import Combined, Training, Tuned
from duolect.studies.study import ScaleName
from duolect.text import UnitsConfig
from duolect.training import Recipe, UnitsFrom

_USUAL = "Qwen2-0.5B"
_LARGE = "Qwen2-7B"
_LAYERS, _NEW_LAYERS = 16, 2
_CHARACTERS = UnitsConfig(kind="characters")
_PHONEMES = UnitsConfig(kind="phonemes", language="en-gb")
_LOWER_CASE = {
    "none": "none",
    "instruction": "<audio> transcribe speech to text",
    "role-tagged": "user <audio> transcribe speech to text assistant",
}
"""The prompts in labels that spell lower-case words alone."""


@dataclass(frozen=True, kw_only=True)
class PaperScale(Scale):
    """The recipes paper-…, each on as many GPUs as were published unless `gpus` says otherwise.

    The language model is Qwen2-0.5B, trained on the transcripts in the acoustic model's labels; the speech LLM is that
    of `paper-speech-llm`. Trained on several GPUs, a step's batch is divided among them.
    """

    name: ClassVar[ScaleName] = "paper"
    tuning_rounds: ClassVar[int] = 10
    tuning_lists: ClassVar[int] = 64
    llm_sizes: ClassVar[Mapping[str, float]] = {_USUAL: 494.0, "Qwen2-1.5B": 1544.0, _LARGE: 7616.0}
    finetunings: ClassVar[tuple[SpeechFinetuning, ...]] = ("lora-speech-llm", "full", "frozen-embeddings", "frozen")
    parts: ClassVar[Mapping[str, str]] = PARTS

    seeds: tuple[int, ...] = (1, 2, 3)
    regime: Regime = "open-asr-2026-03"
    speech: Literal["loquacious", "librispeech"] = "loquacious"
    """Which corpus `train` is: its recipe and its number of hours."""
    hours: float | None = None
    """Of the training set, where it is another one: it gives the number of steps."""
    epochs: float | None = None
    """Passes of the acoustic model over it (None: as published, 20 over Loquacious and 100 over LibriSpeech)."""
    text_size: float | None = None
    """Of the text of language models, where it is not the transcripts: times as much as Loquacious's transcripts, of
    which a language model reads so many; it gives the number of steps."""
    gpus: int = 1
    """Of each training of arXiv 2603.15045."""
    aed_gpus: int = 4
    """Of each training of arXiv 2501.02370: 1, 2, 4 or 8."""

    def __post_init__(self) -> None:
        for name in ("hours", "epochs", "text_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ConfigError(f"scale paper: {name} must be a number above 0, not {value}.")
        if self.gpus < 1:
            raise ConfigError(f"scale paper: gpus must be 1 or more, not {self.gpus}.")
        if self.aed_gpus not in (1, 2, 4, 8):
            raise ConfigError(f"scale paper: aed_gpus must be 1, 2, 4 or 8, not {self.aed_gpus}.")

    @property
    def sustained(self) -> float:
        """Of an H100's 989e12 dense operations a second in bfloat16 35 %: an assumption, not a measurement."""
        return 3.5e14

    @cached_property
    def corpus(self) -> Stage:
        """The user's copy of Loquacious or LibriSpeech."""
        parts = {part: self.given(part) for part in (*SPLITS, "lm") if part in SPLITS or part in self.data}
        given: dict[str, Any] = {"hint": IMPORTS[self.speech], "hours": HOURS[self.speech], "planned": self.planned}
        return GivenCorpus(name=self.speech, parts=parts, **given)

    @property
    def llm(self) -> Stage:
        """Qwen2-0.5B."""
        return GivenLLM(name=_USUAL, source=Path(_hub(_USUAL)), planned=self.planned)

    def acoustic(
        self, seed: int, *, corpus: Stage | None = None, change: Change | None = None, **arguments: Any
    ) -> Training:
        """paper-loquacious-acoustic or paper-librispeech-acoustic."""
        recipe = loquacious_acoustic if self.speech == "loquacious" else librispeech_acoustic
        passes = {} if self.epochs is None else {"epochs": self.epochs}
        settings: dict[str, Any] = {"hours": self._hours, "accumulate": self.gpus, "seed": seed, **passes, **arguments}
        heard = corpus or self.corpus

        def build(inputs: Mapping[str, Path]) -> Recipe:
            return changed(change, self._shared(recipe(**_speech(heard, inputs), **settings)))

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
        """paper-language; the 7B model by low-rank additions."""
        usual: dict[str, Any] = {"steps": self._text_steps(280_000)}
        usual |= {"finetune": "lora-language"} if size == _LARGE else {}
        settings: dict[str, Any] = {"llm": _hub(size), "seed": seed, **usual, **arguments}
        shared = units in (None, "acoustic")

        def build(inputs: Mapping[str, Path]) -> Recipe:
            folder = inputs["corpus"]
            text: dict[str, Any] = {
                "text": (corpus_file(self.corpus, folder, "lm"),),
                "dev": folder / "dev.txt",
                "units": inputs["acoustic"] if shared else None,
            }
            recipe = qwen_language(**text, **settings)
            if units == "characters":
                recipe = with_llm(with_task(recipe, units=_CHARACTERS), replace_embeddings=True)
            return changed(change, recipe)

        inputs = {"corpus": read_of(self.corpus), **({"acoustic": self.acoustic(seed)} if shared else {})}
        # Its batches are too small to be divided.
        return training("language", seed, {"units": units, "size": size, **arguments}, build, inputs, Needs(gpus=1))

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
        """paper-speech-llm.

        In other labels than its own the LLM starts from `language`, which has learnt embeddings for them. The encoder
        gets two new layers, as published, where the CTC heads speak other labels than the acoustic model's.
        """
        own = units in (None, "llm")
        kept = ctc == "acoustic" or (units == "acoustic" and ctc == "llm")
        accumulate = self.gpus * (-(-4 // self.gpus) if size == _LARGE else 1)
        settings: dict[str, Any] = {
            "llm": _hub(size),
            "layers": _LAYERS if kept else _LAYERS + _NEW_LAYERS,
            "hours": self._hours,
            "accumulate": accumulate,
            "seed": seed,
            **arguments,
        }
        said = self.prompts if own else _LOWER_CASE
        heard = corpus or self.corpus

        def build(inputs: Mapping[str, Path]) -> Recipe:
            recipe = self._shared(qwen_speech_llm(**_speech(heard, inputs), acoustic=inputs["acoustic"], **settings))
            if not own:
                language = str(inputs["language"])
                shared = UnitsFrom(folder=language, component="language")
                recipe = with_task(with_llm(recipe, replace_embeddings=True), units=shared, initialise_llm=language)
            if prompts is not None or not own:
                recipe = with_prompts(recipe, [said[name] for name in prompts or ("role-tagged",)])
            if ctc == "acoustic" and own:
                recipe = with_ctc_units(recipe, UnitsFrom(folder=str(inputs["acoustic"]), ctc=True))
            if ctc == "phonemes":
                recipe = with_ctc_units(recipe, _PHONEMES)
            if pretrained is False:
                recipe = with_llm(recipe, pretrained=False)
            recipe = with_model(recipe, freeze_encoder=freeze_encoder)
            return changed(change, with_adapter_first(recipe, 0.1) if adapter_first else recipe)

        inputs: dict[str, Stage] = {"corpus": heard_of(heard), "acoustic": self.acoustic(seed, corpus=corpus)}
        if not own:
            if pretrained is False:
                raise ConfigError(
                    "scale paper: an LLM in other labels than its own is not trained from random weights."
                )
            inputs["language"] = self.language(seed, units=units, size=size)
        unusual = {"units": units, "size": size, "pretrained": pretrained, "prompts": prompts, **arguments}
        unusual |= {"ctc": None if ctc == "llm" else ctc}
        unusual |= {"freeze_encoder": freeze_encoder or None, "adapter_first": adapter_first or None}
        return training("speech LLM", seed, unusual, build, inputs, self._needs)

    def tuned(self, system: Stage, method: str, **settings: Any) -> Tuned:
        """As for every scale, on one GPU."""
        settings = {"gpus": 1, **settings}
        return super().tuned(system, method, **settings)

    def recognition(self, name: str, system: Stage, method: str, **settings: Any) -> Recognition:
        """As for every scale, on one GPU."""
        settings = {"gpus": 1, "batch_seconds": 500.0, **settings}
        return super().recognition(name, system, method, **settings)

    @property
    def searches(self) -> Mapping[str, Mapping[str, Any]]:
        """As published."""
        return published_searches(self.speech)

    def adapted(self, seed: int, how: Adaptation, *, units: LabelUnits = "acoustic") -> Stage:
        """Qwen2-0.5B as it is or trained on the transcripts; as one of them alone paper-transformer-lm."""
        if how == "new" and units == "acoustic":
            return self._transformer(seed)
        if how == "none" and units == "llm":
            return Combined(name=f"{_USUAL} as it is", parts={"language": self.llm})
        if how in ("new", "none") or (units != "llm" and how == "frozen-embeddings"):
            raise ConfigError(f"scale paper: no language model is both {how!r} and in {units!r} units.")
        kinds = {"full": "full", "frozen-embeddings": "frozen-embeddings", "lora": "lora-language"}
        usual: dict[str, Any] = {} if how == "full" else {"finetune": kinds[how]}
        return self.language(seed, units=None if units == "acoustic" else units, **usual)

    def aed(
        self, seed: int, model: AEDModel, *, corpus: Stage | None = None, transcribed: Stage | None = None
    ) -> Training:
        """paper-fbk-…; from scratch for twice as many steps."""
        heard = corpus or self.translated
        settings = COVOST if is_covost(heard) else MUSTC
        trained = PublishedAED(transcribed=transcribed or self.translated, gpus=self.aed_gpus, settings=settings)
        return trained.train(seed, model, heard)

    @cached_property
    def translated(self) -> Stage:
        """MuST-C, English to German."""
        return mustc(self, "de")

    @cached_property
    def multilingual(self) -> Stage:
        """MuST-C, English to eight languages."""
        corpora = {f"en-{language}": mustc(self, language) for language in LANGUAGES}
        return Joined(name=f"MuST-C, {len(LANGUAGES)} languages", corpora=corpora)

    @property
    def target_languages(self) -> tuple[str, ...]:
        """Those of MuST-C."""
        return LANGUAGES

    @cached_property
    def languages(self) -> Languages:
        """CoVoST 2: the 21 languages that are translated into English; tested are the four that were published."""
        heard, tested = covost(self, COVOST_LANGUAGES), covost(self, COVOST_TESTED)
        return Languages(transcribed=heard, translated=heard, test_transcribed=tested, test_translated=tested)

    def distilled(self, *, only: bool = False) -> Stage:
        """By NLLB of 3.3 B parameters, or the part translator."""
        source = self.data.get("translator", Path(TRANSLATOR))
        teacher = GivenTeacher(name="translation model", source=source, planned=self.planned)
        name = "distilled targets only" if only else "with distilled targets"
        return Distilled(name=name, teacher=teacher, corpus=self.translated, only=only, gpus=1)

    def _transformer(self, seed: int) -> Training:
        def build(inputs: Mapping[str, Path]) -> Recipe:
            folder = inputs["corpus"]
            text: dict[str, Any] = {"text": (corpus_file(self.corpus, folder, "lm"),), "dev": folder / "dev.txt"}
            settings: dict[str, Any] = {"steps": self._text_steps(500_000), "accumulate": self.gpus, "seed": seed}
            return self._shared(transformer_language(**text, units=inputs["acoustic"], **settings))

        inputs = {"corpus": read_of(self.corpus), "acoustic": self.acoustic(seed)}
        return training("Transformer LM", seed, {}, build, inputs, self._needs)

    def _shared(self, recipe: Recipe) -> Recipe:
        """With the micro-batches of a step divided among the GPUs."""
        accumulate = recipe.loop.accumulate // self.gpus
        return with_loop(recipe, accumulate=accumulate)

    def _text_steps(self, steps: int) -> int:
        """As many passes over the text as so many steps are over the transcripts of Loquacious."""
        share = self._hours / HOURS["loquacious"]["train"] if self.text_size is None else self.text_size
        return max(1, round(steps * share))

    @property
    def _hours(self) -> float:
        return HOURS[self.speech]["train"] if self.hours is None else self.hours

    @property
    def _needs(self) -> Needs:
        return Needs(gpus=self.gpus, processes=self.gpus)


def _hub(size: str | None) -> str:
    """The LLM's name on the hub. Raises ConfigError for a size that there is not."""
    if size is not None and size not in PaperScale.llm_sizes:
        known = ", ".join(PaperScale.llm_sizes)
        raise ConfigError(f"scale paper: there is no LLM of the size {size!r}; known are {known}.")
    return f"Qwen/{size or _USUAL}"


def _speech(corpus: Stage, inputs: Mapping[str, Path]) -> dict[str, Any]:
    folder = inputs["corpus"]
    return {"train": (corpus_file(corpus, folder, "train"),), "dev": corpus_file(corpus, folder, "dev")}
