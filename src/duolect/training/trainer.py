"""The one training loop, for acoustic models, language models and speech LLMs alike."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import nn

from duolect.errors import DuolectError, TrainingError
from duolect.nn.meters import read_meters
from duolect.training.checkpoint import Best, Checkpoints, claim, run_lock
from duolect.training.config import LoopConfig, OptimiserConfig
from duolect.training.dev import require_dev_value
from duolect.training.distributed import Ranks, build_accelerator
from duolect.training.final import TrainingSummary, choose_weights, read_summary, summarise, write_summary
from duolect.training.freezing import Stages, bind_frozen, check_frozen, fingerprints
from duolect.training.journal import Journal
from duolect.training.optimiser import set_learning_rate
from duolect.training.placement import Placement
from duolect.training.progress import Window, meter_sums, restore_meters
from duolect.training.randomness import seed_everything, untouched_randomness
from duolect.training.schedule import Schedule
from duolect.training.session import RunState, note_dev, resume_run, save_run
from duolect.training.signals import StopRequest
from duolect.training.state import load_model_tensors
from duolect.training.step import StepResult, optimiser_step

SKIPS_IN_A_ROW = 20
Evaluate = Callable[[nn.Module], Mapping[str, float]]


class TrainingInterrupted(TrainingError):
    """The run was asked to stop and did, after writing a checkpoint; the message says how to go on."""


class Batches(Protocol):
    """An endless source of batches that knows its place: after `load_state_dict` it gives the batch that came next."""

    def __iter__(self) -> Iterator[Any]: ...

    def state_dict(self) -> dict[str, Any]:
        """The place after the batches given so far, as JSON values; "epoch" is shown in the log."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from the place that `state_dict` named."""
        ...


class Trainer:
    """Trains `model` on `train_batches` until `loop.steps`, from the folder's last whole checkpoint if there is one.

    The model: `model(batch, step) -> dict[str, LossTerm]` (sums) and `model.loss_counts(batch) -> dict[str, float]`.
    A batch: `.to(device)`, `label_lengths_B`, for speech `sample_lengths_B`, and `ids` if it can name its utterances.
    `evaluate(model)` runs on every process, with the model in evaluation mode and without gradients, and must return
    the same values (lower is better) on each. `recipe` is the whole config as JSON values: it binds the run folder.
    Under several processes the folder is on a file system that all of them see; a model that is to be sharded should be
    on the CPU, for it stays whole there, and is on the device only while it is evaluated and in the end.
    """

    def __init__(
        self,
        model: nn.Module,
        train_batches: Batches,
        *,
        evaluate: Evaluate | None = None,
        optimiser: OptimiserConfig,
        schedule: Schedule,
        loop: LoopConfig,
        folder: str | Path,
        recipe: Mapping[str, Any],
        accelerator: Accelerator | None = None,
        console: Console | None = None,
    ) -> None:
        self.model, self.batches, self.evaluate = model, train_batches, evaluate
        self.stages = Stages(model, optimiser, loop.steps)
        self.loss_counts = cast(Callable[[Any], Mapping[str, float]], model.loss_counts)
        self.optimiser_config, self.schedule, self.loop = optimiser, schedule, loop
        self.folder, self.recipe, self.console = Path(folder), recipe, console
        self.accelerator = accelerator or build_accelerator(loop, self.folder)
        self.ranks = Ranks(self.accelerator)
        self.placed = Placement(model, self.stages, self.accelerator, self.ranks)
        self.checkpoints = Checkpoints(self.folder)
        self.main = self.ranks.rank == 0
        self.state = RunState()

    def run(self) -> TrainingSummary:
        """Train to the end and leave the final weights in the model; a finished run only loads them.

        The final weights are the mean of the last `average_last` checkpoints if asked for, else the last ones, unless
        the best checkpoint has a lower dev value. Raises TrainingInterrupted after Ctrl-C or SIGTERM, TrainingError
        when the folder is another config's or in use, or the gradients are not finite many times in a row.
        """
        with run_lock(self.folder) if self.main else contextlib.nullcontext():
            if self.main:
                claim(self.folder, self.recipe)
                self.checkpoints.sweep()
            self._check_frozen()
            summary = read_summary(self.folder)
            if summary is not None:
                self.model.to(self.accelerator.device)
                tensors = self.checkpoints.tensors(summary.checkpoint)
                load_model_tensors(self.model, self.stages.trained, tensors, summary.checkpoint)
                return summary
            try:
                return self._train()
            finally:
                self.placed.give_back()

    def _check_frozen(self) -> None:
        """Raise TrainingError unless what is frozen is, on every process, what the run began with."""
        prints = fingerprints(self.model, self.stages.trained)
        if self.main:
            bind_frozen(self.folder, prints)
        self.accelerator.wait_for_everyone()
        check_frozen(self.folder, prints)

    def _train(self) -> TrainingSummary:
        seed_everything(self.loop.seed, self.ranks.rank)
        placed, trained = self.placed, self.stages.trained
        self.optimiser = placed.optimiser(self.optimiser_config, self.loop.sharding)
        self.state, place, sums = resume_run(
            self.checkpoints, self.ranks, placed.trained, trained, self.optimiser, self.loop
        )
        restore_meters(placed.trained, sums)
        placed.enter(self.state.step)
        if place is not None:
            self.batches.load_state_dict(place)
        self.journal = Journal(
            self.folder, self.state, self.loop, self.accelerator, main=self.main, console=self.console
        )
        try:
            if self.state.step:
                self.journal.say(f"{self.folder}: goes on after step {self.state.step}.")
            if place is not None and self.state.dev_due and self.evaluate is not None:
                self._evaluate(place, saved=True)
            if self.state.step < self.loop.steps:
                self._loop(sums)
            return self._finish()
        except DuolectError as error:
            if self.state.step and not isinstance(error, TrainingInterrupted):
                with contextlib.suppress(DuolectError):  # of a full disk, say, which is what `error` speaks of
                    self.journal.write({"error": str(error)})
            raise
        finally:
            self.journal.close()

    def _loop(self, sums: Mapping[str, float]) -> None:
        self.placed.training_mode()
        self.window, switches = Window(sums), self.stages.switches
        with StopRequest() as stop:
            source = iter(self.batches)
            place = self.batches.state_dict()
            while self.state.step < self.loop.steps:
                batches = self._draw(source, stop)
                counts, stopping = self.ranks.sum_counts(self._counts(batches or ()), stop.asked)
                if stopping:
                    self._interrupted(place)
                rate = self.optimiser_config.lr * self.schedule.factor(self.state.step, self.loop.steps)
                set_learning_rate(self.optimiser, rate)
                if self.state.step in switches and self.placed.enter(self.state.step):
                    self.journal.say(f"step {self.state.step}: {self.stages.summary(self.model, self.state.step)}")
                result = optimiser_step(
                    self.accelerator,
                    self.ranks,
                    self.placed.wrapped,
                    self.optimiser,
                    batches or (),
                    counts,
                    self.state.step,
                    self.loop.clip_norm,
                )
                self.state.step += 1
                place = self.batches.state_dict()
                self._account(result, batches or ())
                self._after_step(rate, place)

    def _draw(self, source: Iterator[Any], stop: StopRequest) -> list[Any] | None:
        """The micro-batches of one step; None when a request to stop has cut short the workers that prepare them."""
        try:
            with untouched_randomness():
                return [next(source) for _ in range(self.loop.accumulate)]
        except StopIteration as error:
            raise TrainingError(
                f"The training data ended after {self.state.step} of {self.loop.steps} steps; it must be endless."
            ) from error
        except RuntimeError:
            if stop.asked:
                return None
            raise

    def _counts(self, batches: Iterable[Any]) -> dict[str, float]:
        counts: dict[str, float] = {}
        for batch in batches:
            for name, count in self.loss_counts(batch).items():
                counts[name] = counts.get(name, 0.0) + count
        return counts

    def _account(self, result: StepResult, batches: Iterable[Any]) -> None:
        batches = list(batches)
        self.window.add(result, batches)
        self.journal.step_done()
        self.state.skipped_in_a_row = self.state.skipped_in_a_row + 1 if result.skipped else 0
        if not result.skipped:
            return
        self.state.skipped += 1
        ids = [str(i) for batch in batches for i in getattr(batch, "ids", None) or ()]
        self.journal.skipped(ids)
        if self.state.skipped_in_a_row >= SKIPS_IN_A_ROW:
            everyone = [i for part in self.ranks.gather(ids) for i in part]
            raise TrainingError(
                f"The gradients were not finite {SKIPS_IN_A_ROW} times in a row, up to step {self.state.step}; the "
                f"last batch held {', '.join(everyone[:20]) or 'no named utterances'}. A lower learning rate may help."
            )

    def _after_step(self, rate: float, place: dict[str, Any]) -> None:
        loop, step = self.loop, self.state.step
        last = step == loop.steps
        evaluating = self.evaluate is not None and (last or step % loop.evaluate_every == 0)
        saving = last or step % loop.checkpoint_every == 0
        # A line before each checkpoint: a resumed run then averages its losses over the same steps.
        if saving or evaluating or step % loop.log_every == 0:
            values = self.window.close(self.ranks, read_meters(self.placed.wrapped))
            self.journal.losses(values, rate=rate, epoch=place.get("epoch"))
        self.state.dev_due = evaluating
        if saving:  # before dev is measured, which may fail
            self._save(place)
        if evaluating:
            self._evaluate(place, saved=saving)
        self.window.restart_clock()

    def measure(self) -> dict[str, float]:
        """Evaluate the model as it is; random generators, training mode and device stay as they were."""
        assert self.evaluate is not None
        home = next(self.model.parameters()).device
        self.model.to(self.accelerator.device).eval()
        try:
            with torch.no_grad(), untouched_randomness(), self.accelerator.autocast():
                values = {k: float(v) for k, v in self.evaluate(self.model).items()}
        finally:
            self.model.to(home)
            self.placed.training_mode()
        require_dev_value(self.loop.best_by, values)
        return values

    def _evaluate(self, place: dict[str, Any], *, saved: bool) -> None:
        """Measure dev and note the best; unless the step was `saved`, it is where it is the best."""
        self.placed.gather()
        values = self.measure()
        self.journal.dev(values, epoch=place.get("epoch"))
        value = values[self.loop.best_by]
        # What is no number, or infinite, is never the best.
        improved = math.isfinite(value) and (self.state.best is None or value < self.state.best.value)
        if improved:
            self.state.best = Best(self.loop.best_by, value, self.state.step)
        self.state.dev_due = False
        if improved and not saved:
            self._save(place, due=False)
        elif saved and self.main:
            note_dev(self.checkpoints, self.state, self.loop)
        self.accelerator.wait_for_everyone()

    def _save(self, place: dict[str, Any], window: Mapping[str, float] | None = None, *, due: bool = True) -> None:
        self.journal.clock_in()
        save_run(
            self.checkpoints,
            self.ranks,
            self.placed.trained,
            self.stages.trained,
            self.optimiser,
            self.state,
            place,
            self.loop,
            window,
            due=due,
        )
        self.accelerator.wait_for_everyone()

    def _interrupted(self, place: dict[str, Any]) -> None:
        if self.state.step and self.state.step not in self.checkpoints.steps():
            window = {**self.window.sums(), **meter_sums(self.placed.trained)}
            self._save(place, window, due=False)
        raise TrainingInterrupted(
            f"Stopped after step {self.state.step} of {self.loop.steps}; go on with: duolect train {self.folder}"
        )

    def _finish(self) -> TrainingSummary:
        weights, checkpoint = choose_weights(self)
        self.model.to(self.accelerator.device)
        self.journal.clock_in()
        summary = summarise(self.model, self.stages.trained, self.state, weights, checkpoint)
        if self.main:
            write_summary(self.folder, summary)
        self.accelerator.wait_for_everyone()
        return summary
