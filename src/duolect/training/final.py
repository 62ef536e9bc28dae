"""How a run ends: with the mean of its last checkpoints, the last, or the best on dev; and with a summary."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from duolect.storage import read_json, write_json
from duolect.training.checkpoint import AVERAGE, Best
from duolect.training.session import RunState
from duolect.training.state import average_tensors, load_model_tensors

if TYPE_CHECKING:
    from duolect.training.trainer import Trainer


@dataclass(frozen=True)
class TrainingSummary:
    """What a finished run came to; `checkpoint` (below the run folder) holds the weights that the model now has."""

    steps: int
    best: Best | None
    seconds: float
    parameters: int
    trainable: int
    skipped_steps: int
    weights: str
    checkpoint: str


def summarise(
    model: nn.Module, trained: Collection[str], state: RunState, weights: str, checkpoint: str
) -> TrainingSummary:
    """The summary of a run that trained the parameters `trained` and ended in `state`."""
    return TrainingSummary(
        steps=state.step,
        best=state.best,
        seconds=round(state.seconds, 3),
        parameters=sum(p.numel() for p in model.parameters()),
        trainable=sum(p.numel() for name, p in model.named_parameters() if name in trained),
        skipped_steps=state.skipped,
        weights=weights,
        checkpoint=checkpoint,
    )


def write_summary(folder: Path, summary: TrainingSummary) -> None:
    """Write summary.json, which marks the run as finished."""
    write_json(folder / "summary.json", dataclasses.asdict(summary))


def read_summary(folder: Path) -> TrainingSummary | None:
    """The summary of a finished run, None when it is not finished."""
    if not (folder / "summary.json").exists():
        return None
    values = read_json(folder / "summary.json")
    values["best"] = Best(**values["best"]) if values["best"] else None
    return TrainingSummary(**values)


def choose_weights(trainer: Trainer) -> tuple[str, str]:
    """Load the final weights into the trainer's model; returns what they are and their folder below the run folder.

    With `average_last` ≥ 2 the mean of that many last checkpoints that were due, else the last checkpoint; but the best
    checkpoint where its dev value is lower. Every process must call it.
    """
    checkpoints, best, trained = trainer.checkpoints, trainer.state.best, trainer.stages.trained
    steps = checkpoints.due()
    wanted = trainer.loop.average_last
    if wanted >= 2:
        chosen = steps[-wanted:]
        if trainer.main:
            checkpoints.write_average(average_tensors(checkpoints.tensors(checkpoints.name(s)) for s in chosen))
        trainer.accelerator.wait_for_everyone()
        what, checkpoint = f"mean of steps {', '.join(map(str, chosen))}", AVERAGE
        load_model_tensors(trainer.model, trained, checkpoints.tensors(checkpoint), checkpoint)
        value = None
        if trainer.evaluate is not None:
            values = trainer.measure()
            trainer.journal.dev(values, weights=what)
            value = values[trainer.loop.best_by]
    else:
        what, checkpoint = f"step {steps[-1]}", checkpoints.name(steps[-1])
        value = best.value if best is not None and best.step == steps[-1] else None
    if best is not None and (value is None or not value <= best.value):
        what, checkpoint = f"step {best.step} (best dev {best.name})", checkpoints.name(best.step)
    load_model_tensors(trainer.model, trained, checkpoints.tensors(checkpoint), checkpoint)
    return what, checkpoint
