"""Stages that take no time, for the tests of what runs stages; worker processes import them by name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from duolect.errors import DuolectError, TrainingError
from duolect.studies.stages import Needs, Stage


@dataclass(frozen=True, kw_only=True)
class Sum(Stage):
    """Adds `number` to what its inputs came to, and notes when it began and ended."""

    kind: ClassVar[str] = "sum"

    number: int = 0
    inputs: Mapping[str, Stage] = field(default_factory=dict)
    sleep: float = 0.0
    fail: bool = False
    timed: bool = False
    gpus: int = 0

    @property
    def needs(self) -> Needs:
        return Needs(timed=self.timed, gpus=self.gpus)

    def uses(self) -> Mapping[str, Stage]:
        return self.inputs

    def settings(self) -> Any:
        return {"number": self.number, "fail": self.fail, "timed": self.timed}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        began = time.time()
        with open(folder / "calls", "a") as handle:
            handle.write("x")
        (folder / "gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
        time.sleep(self.sleep)
        if self.fail:
            raise TrainingError(f"{self.name}: the sum came out wrong.")
        total = self.number + sum(int((path / "total").read_text()) for path in inputs.values())
        (folder / "total").write_text(str(total))
        (folder / "times").write_text(f"{began} {time.time()}")


def diamond(sleep: float = 0.0, fail: bool = False, base: int = 1) -> list[Stage]:
    """Two sums of one base, one of which may fail, and their total; and one that has nothing to do with them."""
    root = Sum(name="base", number=base)
    left = Sum(name="left", number=10, inputs={"base": root}, sleep=sleep, fail=fail)
    right = Sum(name="right", number=100, inputs={"base": root}, sleep=sleep)
    total = Sum(name="total", inputs={"left": left, "right": right}, timed=True)
    return [total, Sum(name="apart", number=7, timed=True, sleep=sleep)]


@dataclass(frozen=True, kw_only=True)
class Twice(Stage):
    """Fails at first, and may leave something to go on from; somebody edits code meanwhile."""

    kind: ClassVar[str] = "twice"

    leaves: bool
    edited: Callable[[], None]

    def settings(self) -> Any:
        return {"leaves": self.leaves}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        time.sleep(0.2)
        before = folder.parent / "before"
        if before.exists():
            return
        before.touch()
        if self.leaves:
            (folder / "half").touch()
        self.edited()
        raise DuolectError(f"{self.name}: not at once.")


@dataclass(frozen=True, kw_only=True)
class Interrupted(Stage):
    """Takes its time in the first call, and is done in the second."""

    kind: ClassVar[str] = "interrupted"

    in_order: bool = False

    def settings(self) -> Any:
        return {}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        with open(folder / "calls", "a") as handle:
            handle.write("x")
        if (folder / "calls").read_text() == "x":
            if self.in_order:  # as a training ends by itself when it is told to
                from duolect.training import TrainingInterrupted

                raise TrainingInterrupted("Stopped after step 3 of 10.")
            time.sleep(600)
        (folder / "total").write_text("0")


def on_gpus() -> list[Stage]:
    """Three at once: on four GPUs, on two, and on one."""
    return [Sum(name=f"on {gpus}", number=gpus, gpus=gpus, sleep=3.0) for gpus in (4, 2, 1)]


def interrupted() -> list[Stage]:
    """One that is to be interrupted."""
    return [Interrupted(name="interrupted")]


def told_to_end() -> list[Stage]:
    """One that somebody else tells to end, and one that uses it."""
    first = Interrupted(name="first", in_order=True)
    return [Sum(name="then", inputs={"first": first})]
