"""A scale: the same studies on more data with larger models. It gives the stages that an axis is built from.

An axis asks for an acoustic model, a language model or a speech LLM with some of its recipe's arguments changed; which
recipe that is, on which corpus, and for how long it is trained, is the scale's business.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from duolect.errors import ConfigError
from duolect.evaluation import Normaliser
from duolect.recipes.settings import SpeechFinetuning
from duolect.studies.stages import Stage
from duolect.studies.stages.llms import GivenLLM
from duolect.studies.stages.recognition import Recognition
from duolect.studies.stages.sets import SET, GivenSets
from duolect.studies.stages.training import Combined, Training, Tuned
from duolect.studies.study import ScaleName
from duolect.systems import SearchConfig, find_method
from duolect.training import Recipe

Regime = Literal["open-asr-2026-03", "open-asr-2026-08"]
"""Rules and test sets of the Open ASR leaderboard."""
_TEST_SETS: Mapping[Regime, str] = {
    "open-asr-2026-03": "hf-audio/esb-datasets-test-only-sorted --regime open-asr-2026-03",
    "open-asr-2026-08": "hf-audio/open-asr-leaderboard",
}

Change = Callable[[Recipe], Recipe]
"""What the arguments of a recipe cannot say."""

LabelUnits = Literal["acoustic", "llm", "characters"]
"""Label units of an LLM: those of the acoustic model (SentencePiece), an LLM's own, which are more, or characters."""

Adaptation = Literal["none", "new", "full", "frozen-embeddings", "lora"]
"""How an LLM is made to know the transcripts: not at all, a language model of its own is trained on them alone ("new"),
or the LLM is trained on them: all of it, all but its embeddings, or low-rank additions."""

Architecture = Literal[
    "cross-transformer",
    "prepend-transformer",
    "decoder-only",
    "cross-conformer",
    "prepend-conformer",
    "decoder-only-large",
]
"""Those of arXiv 2501.02370: cross-attention to an encoder, its states before the labels, or no encoder but the
convolutions, at the size of the Transformers or (large) of the Conformers."""

CTCUnits = Literal["llm", "acoustic", "phonemes"]
"""Label units of a speech LLM's CTC heads: those of its LLM, those of the acoustic model, or phonemes."""


@dataclass(frozen=True, kw_only=True)
class TestSets:
    """A test set of several: the `field` of a row names its own, and they are scored with a `normaliser`."""

    corpus: Stage
    field: str
    normaliser: Normaliser


@dataclass(frozen=True, kw_only=True)
class AEDModel:
    """A model of arXiv 2501.02370, and what it is trained to do."""

    architecture: Architecture
    causal_prefix: bool | None = None
    """Let audio before the labels see only what is before it (by default where there is an encoder)."""
    compress: bool = False
    """CTC compression in the Conformer."""
    translate: bool = False
    """Write translations."""
    from_scratch: bool = False
    """Translate without having learnt to transcribe, for as many steps as both together."""
    languages: tuple[str, ...] = ()
    """Those to write, where they are several, each with a tag."""

    @property
    def transcribing(self) -> AEDModel:
        """The same, to transcribe."""
        return replace(self, translate=False, from_scratch=False, languages=())

    @property
    def said(self) -> Mapping[str, Any]:
        """What is unusual about it, for the names of trainings; None is usual."""
        return {
            "causal prefix": self.causal_prefix,
            "compressed": self.compress or None,
            "translates": self.translate or None,
            "from scratch": self.from_scratch or None,
        }


@dataclass(frozen=True, kw_only=True)
class Languages:
    """Speech of several languages, told apart by `lang`: what one model is trained on and what it is tested on, to
    transcribe and to translate into English."""

    transcribed: Stage
    translated: Stage
    test_transcribed: Stage
    test_translated: Stage


@dataclass(frozen=True, kw_only=True)
class Scale(ABC):
    """`seeds`: of the trainings; a study of a small effect trains with all of them, the others with the first."""

    name: ClassVar[ScaleName]
    tuning_rounds: ClassVar[int]
    tuning_lists: ClassVar[int]
    llm_sizes: ClassVar[Mapping[str, float]]
    """The sizes of LLM there are, from small to large: the `size` of `language` and `speech_llm` → its parameters, in
    millions, embeddings among them. The scale's usual one is one of them."""
    finetunings: ClassVar[tuple[SpeechFinetuning, ...]] = ("full", "frozen-embeddings", "lora", "frozen")
    """What of an LLM can be trained in a speech LLM, the usual way being one of them."""
    prompts: ClassVar[Mapping[str, str]] = {"none": "none", "instruction": "instruction", "role-tagged": "role-tagged"}
    """The prompts around the audio of a speech LLM → how `text.find_prompt` gives them. A scale whose units spell only
    lower-case words has others under the same names."""
    regime: Regime = "open-asr-2026-08"
    """Of the test sets that the user has as the part leaderboard."""
    parts: ClassVar[Mapping[str, str]] = {}
    """What it uses of the user's: the name of a part → what that is, and how to come by it."""

    seeds: tuple[int, ...] = (1,)
    data: Mapping[str, Path] = field(default_factory=dict)
    """Part → where the user has it."""
    planned: bool = False
    """Whether data may be missing, since a plan is made and nothing else (`GivenCorpus.planned`)."""

    @property
    def sustained(self) -> float | None:
        """Floating-point operations per second that one of its devices sustains in training; plans tell hours by it."""
        return None

    @property
    @abstractmethod
    def corpus(self) -> Stage:
        """Where the folder with train, dev and test is made."""

    @property
    def llm(self) -> Stage:
        """The pre-trained LLM: the user's, the part llm."""
        return GivenLLM(name="pre-trained LLM", source=self.given("llm"), planned=self.planned)

    @property
    def llm_corpus(self) -> Stage:
        """A corpus whose texts are such as a pre-trained LLM writes: what it knows beforehand is of use there."""
        return self.corpus

    @abstractmethod
    def acoustic(
        self, seed: int, *, corpus: Stage | None = None, change: Change | None = None, **arguments: Any
    ) -> Training:
        """An acoustic model, of the scale's corpus or of another.

        `arguments`, here and below: those of the scale's recipe. Only those named here are the same for all scales. An
        argument at its usual value gives the same stage as none.
        """

    @abstractmethod
    def language(
        self,
        seed: int,
        *,
        units: LabelUnits | None = None,
        size: str | None = None,
        change: Change | None = None,
        **arguments: Any,
    ) -> Training:
        """A language model, by default in the units of `acoustic(seed)`. `size`: one of `llm_sizes`."""

    @abstractmethod
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
        """A speech LLM from the encoder of `acoustic(seed)` and an LLM: `language(seed)`, or one that is given.

        corpus: another than the scale's, for the acoustic model too. units: of the LLM. ctc: of its CTC heads; they
        begin anew where the acoustic model's speak others. size: of the LLM, one of `llm_sizes`. pretrained: take the
        user's pre-trained LLM (the part llm, where the scale names none itself), writing texts as they are written:
        with its weights, or, where False, with random ones. prompts: names of `prompts`; of several, one is drawn for
        each utterance in training, and recognition takes the first. freeze_encoder: leave the encoder as it is.
        adapter_first: for the first tenth of the steps train only the adapter and the CTC heads.

        Among `arguments` are finetune (of `finetunings`), interface (`recipes.interfaces`), adapter and concatenate
        (`recipes.adapters`).
        """

    def adapted(self, seed: int, how: Adaptation, *, units: LabelUnits = "acoustic") -> Stage:
        """The scale's LLM as a language model of the transcripts, in the units of `acoustic(seed)` or its own ("llm").

        Raises ConfigError where the scale has none such.
        """
        raise ConfigError(f"study: scale {self.name} has no LLM that is adapted to transcripts.")

    def aed(
        self, seed: int, model: AEDModel, *, corpus: Stage | None = None, transcribed: Stage | None = None
    ) -> Training:
        """A model of arXiv 2501.02370, trained on `translated` or another `corpus`, such as `distilled`.

        One that translates starts from what it is without (`AEDModel.transcribing`), trained on `translated` or on
        `transcribed`, unless it is trained from scratch. Raises ConfigError where the scale has no such models.
        """
        raise ConfigError(f"study: scale {self.name} has no models of arXiv 2501.02370.")

    @property
    def translated(self) -> Stage:
        """The corpus of the studies of translation: English sound, transcripts and translations."""
        return self.corpus

    @property
    def multilingual(self) -> Stage | None:
        """The corpus translated into all `target_languages`, where there are several; German is one of them."""
        return None

    @property
    def target_languages(self) -> tuple[str, ...]:
        """The languages that there are translations into."""
        return ("de",)

    @property
    def languages(self) -> Languages:
        """Speech of several languages. Raises ConfigError where the scale has none."""
        raise ConfigError(f"study: scale {self.name} has speech of one language alone.")

    def distilled(self, *, only: bool = False) -> Stage:
        """`translated` with German targets that a translation model wrote beside the original ones, or `only` those.

        Raises ConfigError where the scale has no translation model.
        """
        raise ConfigError(f"study: scale {self.name} has no translation model.")

    @property
    def test_sets(self) -> TestSets:
        """Test sets whose rates stand side by side: those of the part leaderboard."""
        hint = f"`duolect import open-asr-leaderboard {_TEST_SETS[self.regime]} --out FOLDER` makes them."
        folder = self.given("leaderboard")
        given: dict[str, Any] = {"folder": folder, "regime": self.regime, "hint": hint, "planned": self.planned}
        sets = GivenSets(name="test sets of the leaderboard", **given)
        return TestSets(corpus=sets, field=SET, normaliser=self.regime)

    def given(self, part: str) -> Path:
        """Where the user has that part. Raises ConfigError, which says what it is, where it was not given.

        In a plan the place of one that was not given is "<part>".
        """
        if part not in self.data:
            if self.planned:
                return Path(f"<{part}>")
            about = self.parts.get(part, "nothing that this scale has")
            raise ConfigError(f"study: --data {part}=PATH is missing at scale {self.name}; {part} is {about}.")
        return self.data[part]

    def system(self, seed: int, *parts: str, counted: bool = False) -> Combined:
        """The scale's own models put together: of "acoustic", "language", "speech_llm" those named.

        counted: with the priors that are counted in the training transcripts besides.
        """
        made = {"acoustic": self.acoustic, "language": self.language, "speech_llm": self.speech_llm}
        return Combined(
            name=f"{' + '.join(parts)}, seed {seed}",
            parts={name: made[name](seed) for name in parts},
            prior_text=self.corpus if counted else None,
        )

    @property
    def searches(self) -> Mapping[str, Mapping[str, Any]]:
        """Method → the fields of its search (`systems.SearchConfig`) that are unlike the method's own at this scale."""
        return {}

    def search(self, method: str, **settings: Any) -> SearchConfig:
        """The method's search at this scale, with some `settings` of its own."""
        return dataclasses.replace(find_method(method).search, **{**self.searches.get(method, {}), **settings})

    def tuned(self, system: Stage, method: str, *, search: SearchConfig | None = None, **settings: Any) -> Tuned:
        """A system with the scales of a method chosen on dev. `search`: another than the method's at this scale."""
        settings = {"rounds": self.tuning_rounds, "nbest": self.tuning_lists, **settings}
        if search is not None or method in self.searches:
            settings["search"] = search or self.search(method)
        return Tuned(name=f"{method}: {system.name}", system=system, corpus=self.corpus, method=method, **settings)

    def recognition(
        self,
        name: str,
        system: Stage,
        method: str,
        *,
        corpus: Stage | None = None,
        changes: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Recognition:
        """The hypotheses of a system for the test set, of the scale's corpus or of another; `changes`: of `search`."""
        settings["changes"] = {**self.searches.get(method, {}), **(changes or {})}
        return Recognition(name=name, system=system, corpus=corpus or self.corpus, method=method, **settings)

    def each_seed(self, make: Callable[[int], Stage], *, small_effect: bool = False) -> Mapping[int, Stage]:
        """Seed → what `make` gives for it: for all seeds where the effect is small, else for the first."""
        return {seed: make(seed) for seed in (self.seeds if small_effect else self.seeds[:1])}
