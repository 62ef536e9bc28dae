"""Which weights a run ends with: the mean of its last checkpoints, the last, or the best on dev."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duolect.training.checkpoint import AVERAGE
from duolect.training.state import average_tensors, load_model_tensors

if TYPE_CHECKING:
    from duolect.training.trainer import Trainer


def choose_weights(trainer: Trainer) -> tuple[str, str]:
    """Load the final weights into the trainer's model; returns what they are and their folder below the run folder.

    With `average_last` ≥ 2 the mean of that many last checkpoints, else the last checkpoint; but the best checkpoint
    where its dev value is lower. Every process must call it.
    """
    checkpoints, best = trainer.checkpoints, trainer.best
    steps = checkpoints.steps()
    wanted = trainer.loop.average_last
    if wanted >= 2:
        chosen = steps[-wanted:]
        if trainer.main:
            checkpoints.write_average(average_tensors(checkpoints.tensors(checkpoints.name(s)) for s in chosen))
        trainer.accelerator.wait_for_everyone()
        what, checkpoint = f"mean of steps {', '.join(map(str, chosen))}", AVERAGE
        load_model_tensors(trainer.model, checkpoints.tensors(checkpoint), checkpoint)
        value = None
        if trainer.evaluate is not None:
            values = trainer.measure()
            trainer.report_dev(values, weights=what)
            value = values[trainer.loop.best_by]
    else:
        what, checkpoint = f"step {steps[-1]}", checkpoints.name(steps[-1])
        value = best.value if best is not None and best.step == steps[-1] else None
    if best is not None and (value is None or not value <= best.value):
        what, checkpoint = f"step {best.step} (best dev {best.name})", checkpoints.name(best.step)
    load_model_tensors(trainer.model, checkpoints.tensors(checkpoint), checkpoint)
    return what, checkpoint
