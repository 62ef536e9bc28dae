"""How a stage is made elsewhere: in a process of this machine (`slurm` has the jobs of a cluster)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from duolect.errors import ConfigError
from duolect.studies.stages import worker
from duolect.studies.stages.base import Stage

STOP_SECONDS = 60.0
"""What a worker has to keep a checkpoint, when it is told to end."""


@dataclass(frozen=True)
class Call:
    """What a worker needs to find a stage again: the store, and what gives the stages (see `worker`)."""

    root: Path
    source: str
    arguments: str
    fewer: Mapping[str, str] = field(default_factory=dict)
    """Key → arguments that give fewer stages, that one among them: sooner found."""

    def command(self, stage: Stage) -> list[str]:
        """Of the worker that makes this stage."""
        arguments = self.fewer.get(stage.key, self.arguments)
        return [sys.executable, "-m", worker.__name__, str(self.root), self.source, arguments, stage.key]

    def log(self, stage: Stage) -> Path:
        """Of that worker."""
        return self.root / ".work" / f"{stage.kind}-{stage.key}.log"


class Job(Protocol):
    """A stage being made."""

    @property
    def log(self) -> Path:
        """What it says meanwhile."""
        ...

    def failed(self) -> bool | None:
        """None while it goes on; then whether it ended without making the stage."""
        ...

    def interrupted(self) -> bool:
        """Of one that has `failed`: whether it did because it was told to end, so that another goes on with it."""
        ...

    def stop(self) -> None:
        """Ask it to keep what it has and end."""
        ...

    def join(self) -> None:
        """Wait until it has ended, once it has been asked to."""
        ...


class Launcher(Protocol):
    """Starts jobs. `places`: how many at once, and `alone` whether timed stages must be the only ones."""

    @property
    def places(self) -> int: ...

    @property
    def alone(self) -> bool: ...

    def start(self, call: Call, stage: Stage) -> Job:
        """Start making `stage`."""
        ...


@dataclass
class WorkerProcess:
    """A process that makes a stage (`worker`), in a session of its own: Ctrl-C is for the process that asked, and that
    stops the others in order."""

    process: subprocess.Popen[bytes]
    log: Path
    _told: bool = False

    @classmethod
    def start(cls, command: Sequence[str], log: Path, **environment: str) -> WorkerProcess:
        """Start it; what it says is added to its log."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "ab") as handle:
            process = subprocess.Popen(
                command,
                stdout=handle,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        return cls(process, log)

    def failed(self) -> bool | None:
        """See `Job`; of a worker that was killed the log says so."""
        status = self.process.poll()
        if status is not None and status < 0 and not self.interrupted() and not self._told:
            self._told = True
            with open(self.log, "a", encoding="utf-8") as handle:
                handle.write(f"duolect: ended by {signal.Signals(-status).name}; was there enough memory?\n")
        return None if status is None else status != 0

    def interrupted(self) -> bool:
        """See `Job`; it may have been told before it could do so in order."""
        return self.process.poll() in (worker.INTERRUPTED, -signal.SIGTERM)

    def stop(self) -> None:
        """See `Job`."""
        self.process.send_signal(signal.SIGTERM)

    def join(self) -> None:
        """See `Job`; what has not ended after STOP_SECONDS is killed, with the processes it started."""
        try:
            self.process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def require_places(places: int) -> None:
    """Raise ConfigError unless something can run."""
    if places < 1:
        raise ConfigError(f"study: at least one stage must run at once, not {places}.")


@dataclass
class Local:
    """Processes of this machine: `places` at once, each with its share of the cores, and with as many of the `gpus` as
    it needs, those with the least to do."""

    places: int = 1
    gpus: int = 0
    alone: bool = True
    _on_gpus: list[tuple[WorkerProcess, tuple[int, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        require_places(self.places)
        if self.gpus < 0:
            raise ConfigError(f"study: gpus must be 0 or more, not {self.gpus}.")

    def start(self, call: Call, stage: Stage) -> WorkerProcess:
        """A process that outlives Ctrl-C in the terminal; the runner stops it."""
        threads = max(1, (os.cpu_count() or 1) // (1 if stage.needs.timed else self.places))
        settings = {"OMP_NUM_THREADS": str(threads)}
        mine = self._least_busy(stage.needs.gpus) if self.gpus and not stage.needs.timed else ()
        if mine:
            settings["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, mine))
        started = WorkerProcess.start(call.command(stage), call.log(stage), **settings)
        if mine:
            self._on_gpus.append((started, mine))
        return started

    def _least_busy(self, count: int) -> tuple[int, ...]:
        self._on_gpus = [(process, held) for process, held in self._on_gpus if process.failed() is None]
        busy = Counter(gpu for _, held in self._on_gpus for gpu in held)
        return tuple(sorted(sorted(range(self.gpus), key=lambda gpu: busy[gpu])[: max(1, count)]))
