"""A stage: one piece of a study's work, known by what decides its outcome, which is a folder.

Its key is a hash of its kind, its settings and the keys of the stages whose outcomes it uses. Two studies that need the
same corpus or model name the same stage; a setting that is changed anywhere gives another one, so that no result is
ever taken for that of other settings.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a stage occupies while it is made.

    `timed`: its speed is a result, so that nothing else may run on the machine. `processes`: ranks under `torchrun`.
    """

    processes: int = 1
    gpus: int = 0
    timed: bool = False


@dataclass(frozen=True, kw_only=True)
class Stage(ABC):
    """Base of all kinds of stages: frozen. Two are the same stage where their keys are equal.

    `kind` names the kind, `version` is raised when the same settings give another outcome than before, `rooms` are
    those of the package whose code decides the outcome.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    rooms: ClassVar[tuple[str, ...]] = ()

    name: str
    """For people; it is not part of the key."""

    @property
    def needs(self) -> Needs:
        """What it occupies."""
        return Needs()

    def uses(self) -> Mapping[str, Stage]:
        """The stages whose outcomes it is made from, by the names that `make` knows them by."""
        return {}

    @abstractmethod
    def settings(self) -> Any:
        """All else that decides the outcome, as JSON."""

    @abstractmethod
    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Make the outcome in `folder`, which may hold what an interrupted call left; `inputs` are the folders of
        `uses`. Raises a DuolectError where it cannot be made."""

    @property
    def whole(self) -> str:
        """Its name, or that of what it is a part of."""
        return self.name

    def part(self, *names: str) -> Stage:
        """Of a corpus those of "train", "dev", "test" and "lm" that another stage reads: where they are known one by
        one, a stage of these alone, so that the key of what reads it depends on nothing else. The same each time, for
        data are identified once, whatever becomes of them meanwhile."""
        if names not in self._parts:
            self._parts[names] = self._part(names)
        return self._parts[names]

    def _part(self, names: tuple[str, ...]) -> Stage:
        return self

    @cached_property
    def _parts(self) -> dict[tuple[str, ...], Stage]:
        return {}

    @property
    def places(self) -> Mapping[str, Any]:
        """Where the data of the user's lie that its outcome refers to, which is no part of the key, as JSON."""
        return {}

    def relocate(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        """Let an outcome that was made when data lay elsewhere refer to where they are now."""
        self.make(folder, inputs, console)

    @cached_property
    def key(self) -> str:
        """16 hex digits."""
        said = {
            "kind": self.kind,
            "version": self.version,
            "settings": self.settings(),
            "uses": {name: stage.key for name, stage in self.uses().items()},
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]

    @property
    def place(self) -> str:
        """Its folder below that of all stages."""
        return f"{self.kind}/{self.key}"


def place_of(path: Path) -> list[str]:
    """Where something of the user's lies: as it is called, and where links lead."""
    return [os.path.abspath(path), os.path.realpath(path)]


def link(place: Path, target: Path) -> None:
    """A link at `place`, which leads nowhere else for a moment either."""
    beside = place.with_name(f".{place.name}.part")
    beside.unlink(missing_ok=True)
    os.symlink(target.resolve(), beside)
    os.replace(beside, place)


def in_order(stages: Iterable[Stage]) -> list[Stage]:
    """The stages and all they use, each once, every one after those that it uses."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> Iterator[Stage]:
        for used in stage.uses().values():
            yield from visit(used)
        yield stage

    for stage in stages:
        for each in visit(stage):
            found.setdefault(each.key, each)
    return list(found.values())
