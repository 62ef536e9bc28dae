"""Where the outcomes of stages lie: ROOT/<kind>/<key>/, each with a record that says what made it.

A stage is made by one process at a time; another that wants it waits and then finds it made. A folder without its
record is one whose making was interrupted: it is gone on with.
"""

from __future__ import annotations

import fcntl
import platform
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from duolect import __version__
from duolect.errors import DuolectError
from duolect.evaluation import processor_name
from duolect.storage import read_json, write_json
from duolect.studies.stages.base import Stage
from duolect.studies.stages.code import code_fingerprint

RECORD = "stage.json"
PLACES = "places.json"
"""Where the user's data lay that the outcome refers to (`Stage.places`)."""
State = Literal["missing", "stands", "of other code", "of older inputs"]
"""Of a stage: what is of other code than today's, or of older inputs than those that stand now, is used as it is."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What stands in a stage's folder, and how it came about. `seconds`: of all calls that it took."""

    kind: str
    key: str
    name: str
    version: int
    settings: Any
    uses: Mapping[str, str]
    seconds: float
    date: str
    host: str
    code: str
    duolect: str


@dataclass(frozen=True)
class Store:
    """The outcomes of stages below `root`."""

    root: Path

    def folder(self, stage: Stage) -> Path:
        """Where its outcome is, or will be."""
        return self.root / stage.place

    def made(self, stage: Stage) -> Made | None:
        """The record of a finished stage, else None. Raises ConfigError for a damaged one."""
        path = self.folder(stage) / RECORD
        if not path.exists():
            return None
        try:
            return Made(**read_json(path))
        except TypeError as error:
            raise DuolectError(
                f"{path}: is not the record of a stage; remove {path.parent} to make it anew."
            ) from error

    def state(self, stage: Stage) -> State:
        """Whether its outcome stands, and is what would be made today."""
        made = self.made(stage)
        if made is None:
            return "missing"
        if made.code != code_fingerprint(stage.rooms):
            return "of other code"
        inputs = [self.made(used) for used in stage.uses().values()]
        return "of older inputs" if any(i is not None and i.date > made.date for i in inputs) else "stands"

    def outdated(self, stage: Stage) -> bool:
        """Whether its outcome stands, and today another would be made."""
        return self.state(stage) in ("of other code", "of older inputs")

    def begun_otherwise(self, stage: Stage) -> bool:
        """Whether it was begun by other code than today's, and not finished."""
        begun = self._beside(stage, "begun.json")
        if not self._is_begun(stage) or not begun.exists():
            return False
        return read_json(begun).get("code") != code_fingerprint(stage.rooms)

    def _is_begun(self, stage: Stage) -> bool:
        folder = self.folder(stage)
        return self.made(stage) is None and folder.is_dir() and any(folder.iterdir())

    def discard(self, stages: Iterable[Stage], unwanted: Callable[[Stage], bool], console: Console) -> list[Stage]:
        """Remove unwanted outcomes, and all made or begun from these, so that they are made anew.

        `stages`: each after those that it uses. Returns those that were removed.
        """
        gone: dict[str, Stage] = {}
        for stage in stages:
            with self._held(stage, console):  # another process may have made it anew meanwhile
                there = self.made(stage) is not None or self._is_begun(stage)
                if there and (unwanted(stage) or any(used.key in gone for used in stage.uses().values())):
                    gone[stage.key] = stage
                    self._remove(stage)
        return list(gone.values())

    def _remove(self, stage: Stage) -> None:
        waste = self._beside(stage, "gone")
        shutil.rmtree(waste, ignore_errors=True)
        self.folder(stage).rename(waste)  # at once: a part of it could be taken for one that is to be gone on with
        self._beside(stage, "begun.json").unlink(missing_ok=True)
        shutil.rmtree(waste)

    def has_failed(self, stage: Stage) -> bool:
        """Whether the last attempt at it failed; one that was interrupted did not."""
        return self._beside(stage, "failed").exists()

    def note_failure(self, stage: Stage, failed: bool) -> None:
        """For `has_failed`."""
        path = self._beside(stage, "failed")
        if failed:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.unlink(missing_ok=True)

    def relocate(self, stages: Iterable[Stage], console: Console) -> None:
        """Let outcomes refer to the user's data where these are now: they may have been moved. `stages`: in order."""
        for stage in stages:
            places, path = stage.places, self.folder(stage) / PLACES
            made = all(self.made(each) is not None for each in (stage, *stage.uses().values()))
            if not places or not made or (path.exists() and read_json(path) == places):
                continue
            with self._held(stage, console):
                used = {name: self.folder(each) for name, each in stage.uses().items()}
                stage.relocate(self.folder(stage), used, console)
                write_json(path, places)

    def make(self, stage: Stage, console: Console) -> Path:
        """The folder of the stage's outcome, which is made, or gone on with, unless it stands.

        Raises DuolectError where a stage that it uses does not stand, or it cannot be made.
        """
        folder = self.folder(stage)
        with self._held(stage, console):
            if self.made(stage) is not None:
                return folder
            inputs = {}
            for name, used in stage.uses().items():
                if self.made(used) is None:
                    raise DuolectError(f"{stage.name}: {used.name} ({used.place}), which it uses, has not been made.")
                inputs[name] = self.folder(used)
            begun, start = self._beside(stage, "begun.json"), time.monotonic()
            earlier: Mapping[str, Any] = read_json(begun) if begun.exists() else {}
            before = earlier.get("seconds", 0.0)
            # That of today, which may be edited while the stage is made; or that of the checkpoint it goes on from.
            code = code_fingerprint(stage.rooms)
            if any(folder.iterdir()):
                code = earlier.get("code", code)
            write_json(begun, {"seconds": before, "code": code})
            try:
                stage.make(folder, inputs, console)
                if stage.places:
                    write_json(folder / PLACES, stage.places)
            except BaseException:
                write_json(begun, {"seconds": before + time.monotonic() - start, "code": code})
                raise
            made = Made(
                kind=stage.kind,
                key=stage.key,
                name=stage.name,
                version=stage.version,
                settings=stage.settings(),
                uses={name: used.place for name, used in stage.uses().items()},
                seconds=round(before + time.monotonic() - start, 1),
                date=datetime.now().isoformat(timespec="seconds"),
                host=f"{platform.system()} {platform.machine()}, {processor_name()}",
                code=code,
                duolect=__version__,
            )
            write_json(folder / RECORD, asdict(made))
        return folder

    @contextmanager
    def _held(self, stage: Stage, console: Console) -> Generator[None]:
        """For this process alone; the kernel lets go of the lock when the process dies."""
        path = self._beside(stage, "lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.folder(stage).mkdir(parents=True, exist_ok=True)
            handle = open(path, "w")  # noqa: SIM115
        except OSError as error:
            raise DuolectError(
                f"{self.root}: the folder of a study's stages cannot be written ({error.strerror})."
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                console.print(f"  {stage.name}: another process is making it; waiting for it", highlight=False)
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _beside(self, stage: Stage, what: str) -> Path:
        return self.root / ".work" / f"{stage.kind}-{stage.key}.{what}"
