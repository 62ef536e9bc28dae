"""Recipes: everything a run is made from, as one frozen config that is kept in the run folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from duolect.configs import from_json, to_json
from duolect.data import BatchConfig, Target, WaveAugmentConfig
from duolect.data.shards import ShardsConfig
from duolect.errors import TrainingError
from duolect.models import AcousticConfig, LanguageConfig, SpeechLLMConfig
from duolect.storage import read_json
from duolect.text import Prompt, UnitsConfig, check_prompts
from duolect.training.checkpoint import RECIPE, write_recipe
from duolect.training.config import LoopConfig, OptimiserConfig, require
from duolect.training.schedule import PiecewiseLinear, Schedule

FROM_UNITS: dict[str, Any] = {"bos_id": 0, "eos_id": 0}
"""Stands in a model config for ids that only the units know; `vocabulary` may be anything. All are filled in."""


@dataclass(frozen=True, kw_only=True)
class UnitsFrom:
    """Take the label units that another model has: `folder` is a run, system, component or units folder.

    In a run or system folder, `component` says which model's: "acoustic", "language" or "speech_llm"; `ctc`: those of
    its CTC heads, where they have their own.
    """

    kind: Literal["from"] = "from"
    folder: str
    component: Literal["acoustic", "language", "speech_llm"] = "acoustic"
    ctc: bool = False


@dataclass(frozen=True, kw_only=True)
class AcousticTask:
    """Train an acoustic model on manifests, or on parquet shards in place (folders, files or patterns of them).

    `target`: what the decoder writes, the transcript or its translation; CTC always hears the transcript. `units` are
    built from the training texts, those of the target (and kept in the run folder), or taken from another model;
    `ctc_units` are those of the CTC heads where they differ from the decoder's. Vocabularies, bos_id and eos_id of
    `model`, and its target, are filled in. `normalise`: lower-case the transcripts and drop punctuation, as the units
    and the scoring expect; translations are written as they are, since that is how they are scored. With tags in
    `model` an utterance's target_lang (the lang of a transcript) must be one of them; what has none is skipped.

    `initialise_from`: the folder of an acoustic model of the same architecture whose weights to start from; with
    `fresh_labels` it may speak other units, and all tables of labels, and CTC heads of other units, begin anew.
    `initialise_encoder`: the folder of one whose encoder alone is taken over, with its CTC heads where they fit.
    `prior_utterances`: how many training utterances the exported CTC label prior is averaged over.
    `shards`: how parquet shards are read; of no effect on manifests.
    """

    kind: Literal["acoustic"] = "acoustic"
    model: AcousticConfig
    units: UnitsConfig | UnitsFrom
    ctc_units: UnitsConfig | UnitsFrom | None = None
    train: tuple[str, ...]
    dev: str
    batches: BatchConfig = field(default_factory=BatchConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    wave_augment: WaveAugmentConfig | None = None
    normalise: bool = True
    target: Target = "text"
    initialise_from: str | None = None
    fresh_labels: bool = False
    initialise_encoder: str | None = None
    prior_utterances: int = 500

    def __post_init__(self) -> None:
        _require_sources(self.train, self.dev)
        require(
            self.target == "text" or self.model.decoder is not None,
            "task: the target 'translation' is what an attention decoder writes, but model.decoder is null.",
        )
        _require_heads(self)
        require(
            self.initialise_from is None or self.initialise_encoder is None,
            "task: initialise_from takes the encoder over too; leave initialise_encoder out.",
        )
        require(
            not self.fresh_labels or self.initialise_from is not None,
            "task: fresh_labels says how to start from another model; it goes with initialise_from.",
        )
        require(
            self.ctc_units is None or self.model.decoder is not None,
            "task: ctc_units are for CTC beside an attention decoder of other units; for CTC alone set units.",
        )
        require(self.prior_utterances >= 1, f"task: prior_utterances must be 1 or more, not {self.prior_utterances}.")


@dataclass(frozen=True, kw_only=True)
class LanguageTask:
    """Train or fine-tune a language model on text files, one sentence a line.

    `units`, `normalise` and what is filled into `model` are as for `AcousticTask`; `max_tokens` bounds the labels of a
    batch, padding included. `initialise_from`: the folder of a language model of the same architecture to start from.
    `dev_sentences`: dev perplexities are measured on that many first sentences at most (None: all).
    """

    kind: Literal["language"] = "language"
    model: LanguageConfig
    units: UnitsConfig | UnitsFrom
    train: tuple[str, ...]
    dev: str
    max_tokens: int = 4096
    normalise: bool = True
    initialise_from: str | None = None
    dev_sentences: int | None = 2000

    def __post_init__(self) -> None:
        _require_sources(self.train, self.dev)
        require(self.max_tokens >= 1, f"task: max_tokens must be 1 or more, not {self.max_tokens}.")
        require(
            self.dev_sentences is None or self.dev_sentences >= 1,
            f"task: dev_sentences must be 1 or more, not {self.dev_sentences}.",
        )


@dataclass(frozen=True, kw_only=True)
class SpeechLLMTask:
    """Train a speech LLM on manifests, or on parquet shards in place (folders, files or patterns of them).

    `units` are the LLM's; `ctc_units` those of its CTC heads where they differ. `initialise_encoder` and
    `initialise_llm` name the folders of the acoustic and the language model to start from. Each folder may be a run's,
    a system's or a component's. `prompts` are spelled in the units, as they are written, and put around the audio: one
    drawn for each utterance in training, the first in recognition; where `model` has tags, each prompt has one of them.
    `target`, and what it means for units, CTC, normalisation and tags, is as for `AcousticTask`; so is `shards`.
    """

    kind: Literal["speech_llm"] = "speech_llm"
    model: SpeechLLMConfig
    units: UnitsConfig | UnitsFrom
    ctc_units: UnitsConfig | UnitsFrom | None = None
    train: tuple[str, ...]
    dev: str
    batches: BatchConfig = field(default_factory=BatchConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    wave_augment: WaveAugmentConfig | None = None
    normalise: bool = True
    target: Target = "text"
    prompts: tuple[Prompt, ...] = ()
    initialise_encoder: str | None = None
    initialise_llm: str | None = None
    prior_utterances: int = 500

    def __post_init__(self) -> None:
        _require_sources(self.train, self.dev)
        _require_heads(self)
        check_prompts(self.prompts, self.model.tags, "task")
        require(self.prior_utterances >= 1, f"task: prior_utterances must be 1 or more, not {self.prior_utterances}.")


Task = AcousticTask | LanguageTask | SpeechLLMTask


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run: what is trained on what, and how."""

    task: AcousticTask | LanguageTask | SpeechLLMTask
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    schedule: Schedule = field(default_factory=PiecewiseLinear)
    loop: LoopConfig
    notes: str = ""


def read_recipe(folder: str | Path) -> Recipe:
    """The recipe of a run folder. Raises TrainingError when `folder` is none."""
    path = Path(folder) / RECIPE
    if not path.is_file():
        raise TrainingError(f"{folder}: is not a run folder, for it has no recipe.json.")
    stored = read_json(path)
    if not isinstance(stored, dict) or "recipe" not in stored:
        raise TrainingError(f"{path}: has no recipe in it.")
    return from_json(Recipe, stored["recipe"], str(path))


def renew_recipe(folder: Path) -> None:
    """Fill in, in a run folder's recipe.json, the fields that came after the version which wrote it, at their defaults:
    those change nothing. Without a recipe.json nothing is done; raises ConfigError for one with fields long gone."""
    if (folder / RECIPE).exists() and not is_renewed(folder):
        write_recipe(folder, to_json(read_recipe(folder)))


def is_renewed(folder: Path) -> bool:
    """Whether a run folder's recipe.json has all fields that there are."""
    return to_json(read_recipe(folder)) == read_json(folder / RECIPE)["recipe"]


def _require_sources(train: tuple[str, ...], dev: str) -> None:
    require(len(train) > 0 and all(train), "task: train must name at least one file.")
    require(bool(dev), "task: dev must name a file.")


def _require_heads(task: AcousticTask | SpeechLLMTask) -> None:
    require(
        task.ctc_units is None or len(task.model.ctc_layers) > 0,
        "task: ctc_units are the units of CTC heads, but model.ctc_layers is empty.",
    )
    require(
        task.target == "text" or task.ctc_units is not None or not task.model.ctc_layers,
        "task: the CTC heads of a model that translates hear the transcript; give its units as ctc_units.",
    )
