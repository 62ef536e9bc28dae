"""A run folder on disk: recipe, lock, checkpoints that appear whole or not at all, pointers, and the log.

recipe.json · log.jsonl · tensorboard/ · best.json · last.json · summary.json (when finished)
checkpoints/step-00000500/{model.safetensors, optimiser.safetensors, random.safetensors, state.json}
    and window.safetensors in one that is there because of an interruption
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from torch import Tensor

from duolect.errors import TrainingError
from duolect.storage import atomic_file, atomic_folder, load_tensors, read_json, save_tensors, write_json
from duolect.training.config import FREE_FIELDS

RECIPE = "recipe.json"
AVERAGE = "checkpoints/average"
_WINDOW = "window.safetensors"
_held: set[Path] = set()


@contextlib.contextmanager
def run_lock(folder: Path) -> Generator[None]:
    """Hold `folder` for this process. Raises TrainingError when another run, here or elsewhere, holds it.

    A POSIX record lock: the kernel frees it when the process dies, and worker processes forked off do not inherit it.
    """
    folder = folder.resolve()
    busy = f"{folder}: another process is training in this run folder; wait for it, or choose another folder."
    if folder in _held:
        raise TrainingError(busy)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise TrainingError(f"{folder}: the run folder cannot be written ({error.strerror}).") from error
    with handle:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(busy) from error
        _held.add(folder)
        try:
            yield
        finally:
            _held.discard(folder)


def recipe_hash(recipe: Mapping[str, Any]) -> str:
    """16 hex digits over all of a recipe but the fields that do not change what is computed (`FREE_FIELDS`)."""
    bound = dict(_flat(recipe))
    text = json.dumps({k: v for k, v in bound.items() if k not in FREE_FIELDS}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, json.loads(json.dumps(value))


def claim(folder: Path, recipe: Mapping[str, Any]) -> bool:
    """Write recipe.json into a fresh run folder, or check that the one there is the same; whether it was fresh.

    Raises TrainingError naming the first field that differs.
    """
    path = folder / RECIPE
    if not path.exists():
        write_recipe(folder, recipe)
        return True
    before = read_json(path).get("recipe", {})
    old, new = dict(_flat(before)), dict(_flat(recipe))
    for name in [*new, *old]:
        if name not in FREE_FIELDS and old.get(name) != new.get(name):
            raise TrainingError(
                f"{folder}: this run folder is from another config: {name} was {_show(old, name)} and is now "
                f"{_show(new, name)}; choose another folder, or train with the config it has."
            )
    if old != new:
        write_recipe(folder, recipe)
    return False


def write_recipe(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Write recipe.json of a run folder, over the one that is there."""
    write_json(folder / RECIPE, {"hash": recipe_hash(recipe), "recipe": recipe})


def _show(values: Mapping[str, Any], name: str) -> str:
    text = json.dumps(values[name]) if name in values else "not given"
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass(frozen=True)
class Best:
    """The lowest dev value so far: its name, the value, and the step after which it was measured."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class Snapshot:
    """One whole checkpoint: the tensors of model, optimiser and random generators, and all else as JSON values.

    `window`: the open sums of a run that was interrupted here. `due`: the loop asks for a checkpoint after this step;
    it does not where a run was interrupted, or was the best on dev between two of them.
    """

    step: int
    model: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor]
    random: Mapping[str, Tensor]
    state: Mapping[str, Any]
    window: Mapping[str, Tensor] | None = None
    due: bool = True


class Checkpoints:
    """The checkpoints of one run folder; `step` counts finished optimiser steps."""

    def __init__(self, folder: Path) -> None:
        self.run = folder
        self.folder = folder / "checkpoints"

    def path(self, step: int) -> Path:
        """The folder of the checkpoint after `step` steps."""
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Steps of all whole checkpoints, ascending."""
        return sorted(int(p.name[5:]) for p in self.folder.glob("step-*") if p.name[5:].isdigit() and p.is_dir())

    def due(self) -> list[int]:
        """Those of them that the loop asks for, whatever dev was and wherever the run was interrupted."""
        return [step for step in self.steps() if self._is_due(self.path(step))]

    def _is_due(self, path: Path) -> bool:
        # Checkpoints that do not say it are older, and there was one reason why they might not be.
        return read_json(path / "state.json").get("due", not (path / _WINDOW).exists())

    def write(self, snapshot: Snapshot) -> None:
        """Write one checkpoint, whole or not at all. Raises DuolectError when the disk is full or not writable."""
        with atomic_folder(self.path(snapshot.step)) as folder:
            save_tensors(folder / "model.safetensors", snapshot.model)
            save_tensors(folder / "optimiser.safetensors", snapshot.optimiser)
            save_tensors(folder / "random.safetensors", snapshot.random)
            write_json(folder / "state.json", {"step": snapshot.step, "due": snapshot.due, **snapshot.state})
            if snapshot.window is not None:
                save_tensors(folder / _WINDOW, snapshot.window)

    def update(self, step: int, state: Mapping[str, Any]) -> None:
        """Replace some values of a checkpoint's state."""
        path = self.path(step) / "state.json"
        write_json(path, {**read_json(path), **state})

    def read(self, step: int) -> Snapshot:
        """Read one checkpoint. Raises ConfigError when a file is missing or damaged."""
        folder = self.path(step)
        state = read_json(folder / "state.json")
        model, optimiser, random = (
            load_tensors(folder / f"{name}.safetensors") for name in ("model", "optimiser", "random")
        )
        window = load_tensors(folder / _WINDOW) if (folder / _WINDOW).exists() else None
        return Snapshot(step, model, optimiser, random, state, window, self._is_due(folder))

    def name(self, step: int) -> str:
        """The path of a checkpoint below the run folder."""
        return str(self.path(step).relative_to(self.run))

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The model's tensors of the checkpoint `name`, a path below the run folder."""
        return load_tensors(self.run / name / "model.safetensors")

    def write_average(self, tensors: Mapping[str, Tensor]) -> None:
        """Write averaged weights as the checkpoint `AVERAGE`."""
        with atomic_folder(self.run / AVERAGE) as folder:
            save_tensors(folder / "model.safetensors", tensors)

    def point(self, last: int, best: Best | None) -> None:
        """Write last.json and best.json."""
        write_json(self.run / "last.json", {"step": last, "checkpoint": self.name(last)})
        if best is not None:
            write_json(self.run / "best.json", {**dataclasses.asdict(best), "checkpoint": self.name(best.step)})

    def prune(self, keep: int, best: Best | None) -> None:
        """Remove all but the last `keep` checkpoints that were due, the best, and the last of all; each under another
        name first."""
        steps = self.steps()
        kept = {*self.due()[-keep:], *steps[-1:], *(() if best is None else (best.step,))}
        for step in steps:
            if step not in kept:
                grave = self.folder / f".old-{uuid.uuid4().hex[:8]}"
                os.replace(self.path(step), grave)
                shutil.rmtree(grave, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what a killed process left half-written or half-removed. Only under the run's lock."""
        for leftover in [*self.folder.glob(".*"), *self.run.glob(".*.part")]:
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


class RunLog:
    """log.jsonl: one JSON object a line.

    Reopened at a step, it forgets what a killed run wrote beyond it, the "error" that a run ended with, and the dev
    values that will be measured again: of final weights, and where they are due, those of the step.
    """

    def __init__(self, path: Path, step: int, dev_due: bool = False) -> None:
        self.path = path
        self._drop_after(step, dev_due)
        self._handle: IO[str] | None = None

    def write(self, values: Mapping[str, Any]) -> None:
        """Append one line; values that are not finite become null. Raises TrainingError when the disk is full."""
        line = json.dumps({k: _finite(v) for k, v in values.items()}, ensure_ascii=False, allow_nan=False)
        try:
            if self._handle is None:
                self._handle = open(self.path, "a", encoding="utf-8")  # noqa: SIM115
            self._handle.write(line + "\n")
            self._handle.flush()
        except OSError as error:
            raise TrainingError(f"{self.path}: could not be written ({error.strerror}).") from error

    def close(self) -> None:
        """Close the file; a later `write` opens it again."""
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _drop_after(self, step: int, dev_due: bool) -> None:
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8", errors="replace")
        # Not splitlines: an id may hold a line separator of Unicode, which JSON leaves as it is.
        kept = "".join(line + "\n" for line in text.split("\n") if _stays(line, step, dev_due))
        if kept != text:
            with atomic_file(self.path) as handle:
                handle.write(kept)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _stays(line: str, step: int, dev_due: bool) -> bool:
    try:
        values = json.loads(line)
        if "error" in values or "weights" in values or values["step"] > step:
            return False
    except (json.JSONDecodeError, KeyError, TypeError):
        return False
    return not (dev_due and values["step"] == step and any(name.startswith("dev_") for name in values))
