"""Where a run stands, to and from its checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from duolect.errors import TrainingError
from duolect.training.checkpoint import Best, Checkpoints, Snapshot
from duolect.training.config import LoopConfig
from duolect.training.distributed import Ranks
from duolect.training.progress import shared_sums
from duolect.training.randomness import random_state, restore_random_state, seed_everything
from duolect.training.state import (
    load_model_tensors,
    load_optimiser_tensors,
    model_tensors,
    optimiser_tensors,
)


@dataclass
class RunState:
    """Finished steps, those skipped among them (in all, and in a row up to now), seconds so far, and the best dev.

    `dev_due`: dev is still to be measured after the last step.
    """

    step: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    seconds: float = 0.0
    best: Best | None = None
    dev_due: bool = False


def save_run(
    checkpoints: Checkpoints,
    ranks: Ranks,
    model: nn.Module,
    trained: Collection[str],
    optimiser: torch.optim.Optimizer,
    state: RunState,
    place: Mapping[str, Any],
    loop: LoopConfig,
    window: Mapping[str, float] | None = None,
    *,
    due: bool = True,
) -> None:
    """Write a checkpoint of everything, point to it, and remove old ones. Every process must call it.

    `trained`: the names of what the run trains. `place` is where the data source of this process stands after the last
    finished step: one that had to pass over a batch is ahead of the others.
    `window` is given where an interruption is why: this process's sums since the last log line. `due`: whether the
    loop asks for a checkpoint here.
    Raises DuolectError when the disk is full.
    """
    everyone = ranks.gather((*random_state(), window, dict(place)))
    first = ranks.rank == 0
    weights = model_tensors(model, trained, keep=first)
    moments = optimiser_tensors(model, trained, optimiser, keep=first)
    if first:
        values = {
            "epoch": place.get("epoch"),
            "place": dict(place),
            **_places([each for *_, each in everyone]),
            "batches_per_step": loop.accumulate * ranks.size,
            **_dev(state),
            "seconds": state.seconds,
            "skipped_steps": state.skipped,
            "skipped_in_a_row": state.skipped_in_a_row,
            "random": [numbers for numbers, *_ in everyone],
        }
        random = {
            f"{rank}/{name}": value for rank, (_, part, *_) in enumerate(everyone) for name, value in part.items()
        }
        sums = None if window is None else _tensors([part for _, _, part, _ in everyone])
        checkpoints.write(Snapshot(state.step, weights, moments, random, values, sums, due))
        checkpoints.point(state.step, state.best)
        checkpoints.prune(loop.keep, state.best)


def _places(everyone: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The place of each process, where they differ."""
    return {"places": list(everyone)} if any(place != everyone[0] for place in everyone) else {}


def _own_place(values: Mapping[str, Any], ranks: Ranks) -> dict[str, Any]:
    """Where this process goes on: where it was, or, with another number of them, where the first one was."""
    places = values.get("places") or []
    return places[ranks.rank] if len(places) == ranks.size else values["place"]


def _tensors(windows: Sequence[Mapping[str, float]]) -> dict[str, Tensor]:
    return {
        f"{rank}/{name}": torch.tensor(value, dtype=torch.float64)
        for rank, window in enumerate(windows)
        for name, value in window.items()
    }


def _windows(tensors: Mapping[str, Tensor]) -> list[dict[str, float]]:
    windows: dict[int, dict[str, float]] = {}
    for key, value in tensors.items():
        rank, _, name = key.partition("/")
        windows.setdefault(int(rank), {})[name] = value.item()
    return [windows[rank] for rank in sorted(windows)]


def note_dev(checkpoints: Checkpoints, state: RunState, loop: LoopConfig) -> None:
    """Note in the last checkpoint, which `save_run` wrote before dev was measured, what that came to."""
    checkpoints.update(state.step, _dev(state))
    checkpoints.point(state.step, state.best)
    checkpoints.prune(loop.keep, state.best)


def _dev(state: RunState) -> dict[str, Any]:
    return {"best": dataclasses.asdict(state.best) if state.best else None, "dev_due": state.dev_due}


def resume_run(
    checkpoints: Checkpoints,
    ranks: Ranks,
    model: nn.Module,
    trained: Collection[str],
    optimiser: torch.optim.Optimizer,
    loop: LoopConfig,
) -> tuple[RunState, dict[str, Any] | None, dict[str, float]]:
    """Load the last whole checkpoint into model, optimiser and random generators; a fresh state where there is none.

    Returns the state, the place in the data (None: the beginning), and the sums since the last log line where the run
    was interrupted after one: this process's. Raises TrainingError or ConfigError when the checkpoint is damaged or
    another model's, or its steps took another number of micro-batches.
    """
    steps = checkpoints.steps()
    if not steps:
        return RunState(), None, {}
    snapshot = checkpoints.read(steps[-1])
    where, values = checkpoints.path(snapshot.step), snapshot.state
    before, now = values.get("batches_per_step"), loop.accumulate * ranks.size
    if before not in (None, now):
        raise TrainingError(
            f"{where}: a step of this run takes {before} micro-batches, but loop.accumulate ({loop.accumulate}) times "
            f"the number of processes ({ranks.size}) is {now}; the product must stay the same."
        )
    load_model_tensors(model, trained, snapshot.model, where / "model.safetensors")
    load_optimiser_tensors(model, trained, optimiser, snapshot.optimiser, where / "optimiser.safetensors")
    state = RunState(
        step=snapshot.step,
        skipped=values["skipped_steps"],
        skipped_in_a_row=values["skipped_in_a_row"],
        seconds=values["seconds"],
        best=Best(**values["best"]) if values["best"] else None,
        dev_due=values.get("dev_due", False),
    )
    if ranks.rank < len(values["random"]):
        own = f"{ranks.rank}/"
        tensors = {key.removeprefix(own): v for key, v in snapshot.random.items() if key.startswith(own)}
        restore_random_state(values["random"][ranks.rank], tensors)
    else:  # more processes than before: a stream of its own for each new one
        seed_everything(loop.seed + state.step, ranks.rank)
    if ranks.rank == 0:
        checkpoints.point(state.step, state.best)
    return state, _own_place(values, ranks), shared_sums(_windows(snapshot.window or {}), ranks)
