"""A recipe, trained: data, units and model are put together, the trainer runs, and a system comes out."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from accelerate import Accelerator
from rich.console import Console
from torch import Tensor

from duolect.configs import to_json
from duolect.data import (
    BatchConfig,
    SkipLog,
    SpeechBatches,
    SpeechLoader,
    TextBatches,
    Utterance,
    WaveAugmentConfig,
    target_text,
)
from duolect.data.shards import ShardBatches, Shards
from duolect.errors import TrainingError
from duolect.models import AcousticModel, LanguageModel, Model, SpeechLLM, count_parameters
from duolect.text import Units, UnitsConfig, load_units
from duolect.training.attempt import Attempt, first_attempt
from duolect.training.checkpoint import RECIPE, claim, run_lock
from duolect.training.config import LoopConfig
from duolect.training.dev import dev_names, require_dev_value, require_spelled, speech_evaluation, text_evaluation
from duolect.training.distributed import Ranks, build_accelerator
from duolect.training.export import export_system, training_prior
from duolect.training.parts import (
    fitting_sentences,
    make_model,
    make_units,
    open_shards,
    sentences_of,
    trainable_utterances,
    within_hearing,
)
from duolect.training.randomness import seed_everything
from duolect.training.task import (
    AcousticTask,
    LanguageTask,
    Recipe,
    SpeechLLMTask,
    Task,
    is_renewed,
    read_recipe,
    renew_recipe,
)
from duolect.training.trainer import Batches, Evaluate, Trainer, TrainingInterrupted

SYSTEM = "system"
TEXTS_FOR_UNITS = 1_000_000
"""Transcripts of shards that units are made of at most: some tens of MB, read once, in a run without units yet."""


def train_recipe(
    recipe: Recipe,
    folder: str | Path,
    *,
    device: Literal["auto", "cpu"] = "auto",
    console: Console | None = None,
) -> Path:
    """Train `recipe` in the run folder `folder`, from where it stands; returns the exported system's folder.

    A run that is finished and exported returns at once and is left as it is. Runs unchanged under `torchrun`. The run
    folder gets units/ (and ctc_units/), the checkpoints and logs of `Trainer`, skipped.jsonl and system/. Raises
    TrainingInterrupted after Ctrl-C, and a DuolectError in one sentence for whatever in the recipe or its files is
    wrong; before the first step of a new run the folder is then left as it was.
    """
    folder = Path(folder)
    if is_finished(recipe, folder):
        return folder / SYSTEM
    accelerator = build_accelerator(recipe.loop, folder, cpu=device == "cpu")
    with first_attempt(folder) as attempt:
        return _train(recipe, folder, accelerator, console or Console(stderr=True), attempt)


def is_finished(recipe: Recipe, folder: Path) -> bool:
    """Whether `folder` has the system of this very recipe, so that nothing is left to do.

    Fields that came after the version which wrote its recipe are to be filled in there, but only where that can be.
    """
    if not ((folder / RECIPE).is_file() and _is_exported(folder)):
        return False
    stored, settings = read_recipe(folder), to_json(recipe)
    return to_json(stored) == settings and (is_renewed(folder) or not os.access(folder, os.W_OK))


def _train(recipe: Recipe, folder: Path, accelerator: Accelerator, console: Console, attempt: Attempt) -> Path:
    ranks, settings = Ranks(accelerator), to_json(recipe)
    if ranks.rank == 0:
        with run_lock(folder):
            renew_recipe(folder)
            attempt.first = claim(folder, settings)
    accelerator.wait_for_everyone()
    if _is_exported(folder):
        return folder / SYSTEM
    skipped = SkipLog()
    data = _load(recipe.task, skipped)
    if ranks.rank == 0:
        _make_units(recipe.task, recipe.loop, data, folder)
    accelerator.wait_for_everyone()
    units, ctc_units = _read_units(folder)
    seed_everything(recipe.loop.seed)
    model = make_model(recipe.task, units, ctc_units)
    require_dev_value(recipe.loop.best_by, dev_names(model))
    if isinstance(recipe.task, LanguageTask):
        assert isinstance(model, LanguageModel)
        source, evaluate = _text_sources(recipe.task, recipe.loop, units, model.llm.positions, skipped, ranks)
    else:
        assert not isinstance(model, LanguageModel)
        source, evaluate = _speech_sources(
            recipe.task, recipe.loop, data, model, (units, ctc_units), skipped, accelerator
        )
    trainer = Trainer(
        model,
        source,
        evaluate=evaluate,
        optimiser=recipe.optimiser,
        schedule=recipe.schedule,
        loop=recipe.loop,
        folder=folder,
        recipe=settings,
        accelerator=accelerator,
        console=console,
    )
    if ranks.rank == 0:
        console.print(_describe(recipe, model, units, ctc_units), highlight=False, markup=False, soft_wrap=True)
    together = True
    try:
        trainer.run()
    except TrainingInterrupted:
        raise
    except BaseException:
        together = False  # the other processes may be anywhere, and cannot be waited for
        raise
    finally:
        _report_skipped(skipped, folder, ranks, together, console)
    if ranks.rank == 0:
        model.eval()  # the prior, too, is that of the model without dropout
        log_prior_V = _prior(recipe, data, model, ctc_units or units)
        export_system(folder, model, log_prior_V, data.usual_seconds(recipe.task))
    accelerator.wait_for_everyone()
    return folder / SYSTEM


def _is_exported(folder: Path) -> bool:
    return (folder / SYSTEM / "system.json").exists()


def _report_skipped(skipped: SkipLog, folder: Path, ranks: Ranks, together: bool, console: Console) -> None:
    """Add to skipped.jsonl what the processes left out: all of them, or the first one alone unless `together`."""
    parts = ranks.gather(list(skipped)) if together else [list(skipped)]
    now, path = SkipLog(entry for part in parts for entry in part), folder / "skipped.jsonl"
    if ranks.rank != 0 or not len(now):
        return
    console.print(now.summary(), highlight=False, markup=False, soft_wrap=True)
    before = SkipLog.read(path) if path.exists() else ()
    SkipLog([*before, *now]).write(path)


@dataclass(frozen=True)
class _Speech:
    train: list[Utterance] | Shards
    dev: list[Utterance] | Shards

    def texts(self, seed: int) -> Iterable[Utterance]:
        """The training utterances that units are made of; of shards, as many as that takes, drawn by `seed`."""
        if isinstance(self.train, Shards):
            return islice(self.train.utterances(seed, timed=False), TEXTS_FOR_UNITS)
        return self.train

    def usual_seconds(self, task: Task) -> float | None:
        """What 95 % of the training utterances do not exceed; of shards only the limit is known, where there is one."""
        limit = None if isinstance(task, LanguageTask) else task.batches.longest
        if isinstance(self.train, Shards):
            return limit
        seconds = sorted(u.duration for u in self.train if limit is None or u.duration <= limit)
        return seconds[len(seconds) * 95 // 100] if seconds else None

    def some(self, number: int, seed: int) -> list[Utterance]:
        """Training utterances of which any `number` may be drawn; of shards, those that come first by `seed`."""
        if isinstance(self.train, Shards):
            return self.train.sample(number, seed).utterances
        return self.train


def _load(task: Task, skipped: SkipLog) -> _Speech:
    if isinstance(task, LanguageTask):
        return _Speech([], [])
    train, dev = (
        open_shards(sources, task) or trainable_utterances(sources, task, skipped)
        for sources in (task.train, [task.dev])
    )
    return _Speech(train, dev)


def _make_units(task: Task, loop: LoopConfig, data: _Speech, folder: Path) -> None:
    if isinstance(task, LanguageTask):
        make_units(task.units, sentences_of(task.train, task.normalise), folder / "units")
        return
    texts = data.texts
    make_units(task.units, (target_text(utterance, task.target) for utterance in texts(loop.seed)), folder / "units")
    if task.ctc_units is not None:
        make_units(task.ctc_units, (utterance.text for utterance in texts(loop.seed)), folder / "ctc_units")


def _read_units(folder: Path) -> tuple[Units, Units | None]:
    ctc = folder / "ctc_units"
    return load_units(folder / "units"), load_units(ctc) if ctc.is_dir() else None


def _text_sources(
    task: LanguageTask, loop: LoopConfig, units: Units, positions: int | None, skipped: SkipLog, ranks: Ranks
) -> tuple[Batches, Evaluate]:
    # Without normalisation the files themselves are given, so that what is skipped is named by file and line.
    source = sentences_of(task.train, True) if task.normalise else map(Path, task.train)
    train = TextBatches(
        source, units, task.max_tokens, loop.seed, ranks.rank, ranks.size, skipped=skipped, positions=positions
    )
    train.bind(train.content, ", ".join(task.train))
    sentences = sentences_of([task.dev], task.normalise)
    dev = list(islice(fitting_sentences(sentences, units, positions, task.dev, skipped), task.dev_sentences))
    if not dev:
        raise TrainingError(f"{task.dev}: holds no sentence that the units can spell and the LLM has room for.")
    return train, text_evaluation(dev, units, ranks, task.max_tokens)


def _speech_sources(
    task: AcousticTask | SpeechLLMTask,
    loop: LoopConfig,
    data: _Speech,
    model: AcousticModel | SpeechLLM,
    units: tuple[Units, Units | None],
    skipped: SkipLog,
    accelerator: Accelerator,
) -> tuple[Batches, Evaluate]:
    ranks, pin = Ranks(accelerator), accelerator.device.type == "cuda"
    room = model.room if isinstance(model, SpeechLLM) else None

    def batched(
        utterances: list[Utterance] | Shards, config: BatchConfig, epochs: int | None = None
    ) -> SpeechBatches | ShardBatches:
        config, place = within_hearing(config, model, slowest if epochs is None else 1.0), (ranks.rank, ranks.size)
        if isinstance(utterances, Shards):
            return ShardBatches(utterances, config, loop.seed, *place, epochs, skipped)
        return SpeechBatches(utterances, config, loop.seed, *place, epochs)

    def loader(batches: SpeechBatches | ShardBatches, augment: WaveAugmentConfig | None) -> SpeechLoader:
        return SpeechLoader(
            batches,
            *units,
            augment,
            workers=loop.workers,
            skipped=skipped,
            pin_memory=pin,
            target=task.target,
            tags=task.model.tags,
            misfit=None if room is None else room.misfit,
        )

    slowest = min((1.0, *task.wave_augment.speed)) if task.wave_augment is not None else 1.0
    train = batched(data.train, task.batches)
    if isinstance(train, SpeechBatches):  # shards are told apart by their names
        train.bind((_content(u, task) for u in train.utterances), ", ".join(task.train))
    # Dev is measured on all of dev: what is too long to train on is recognised all the same.
    everything = dataclasses.replace(task.batches, shuffle=False, shortest=0.0, longest=None, curriculum=None)
    dev = batched(data.dev, everything, epochs=1)
    own, ctc = units
    if isinstance(data.dev, list):
        require_spelled(data.dev, own, ctc, task.target, task.model.tags, task.dev)
    return loader(train, task.wave_augment), speech_evaluation(loader(dev, None), ctc or own, ranks)


def _content(utterance: Utterance, task: AcousticTask | SpeechLLMTask) -> bytes:
    translation = None if task.target == "text" else utterance.translation
    return json.dumps((utterance.id, utterance.duration, utterance.text, translation)).encode()


def _prior(recipe: Recipe, data: _Speech, model: Model, units: Units) -> Tensor | None:
    task, loop = recipe.task, recipe.loop
    if isinstance(task, LanguageTask) or isinstance(model, LanguageModel) or not task.model.ctc_layers:
        return None
    sizes = {"number": task.prior_utterances, "seed": loop.seed, "workers": loop.workers}
    shards = isinstance(data.train, Shards)
    utterances = data.some(task.prior_utterances, loop.seed)
    return training_prior(model, utterances, units, batches=within_hearing(task.batches, model), shards=shards, **sizes)


def _describe(recipe: Recipe, model: Model, units: Units, ctc_units: Units | None) -> str:
    total, trained = count_parameters(model)["total"]
    part = "" if trained == total else f", {trained / 1e6:.2f} M of them trained"
    name = recipe.task.kind.replace("_", " ")
    spoken = f"{units.size} {units.kind} units"
    asked = recipe.task.units
    if isinstance(asked, UnitsConfig) and asked.kind == "sentencepiece" and units.size < asked.size:
        spoken += f" (the text gives no more; {asked.size} were asked for)"
    if ctc_units is not None:
        spoken += f" (CTC: {ctc_units.size} {ctc_units.kind} units)"
    return f"{name}: {total / 1e6:.2f} M parameters{part}, {spoken}, {recipe.loop.steps} steps"
