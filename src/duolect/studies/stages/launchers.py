"""How a stage is made elsewhere: in a process of this machine, or as a job of SLURM through submitit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from duolect.errors import ConfigError
from duolect.studies.stages.base import Stage
from duolect.studies.stages.worker import make_stage


@dataclass(frozen=True)
class Call:
    """What a worker needs to find a stage again: the store, and what gives the stages (see `worker`)."""

    root: Path
    source: str
    arguments: str
    fewer: Mapping[str, str] = field(default_factory=dict)
    """Key → arguments that give fewer stages, that one among them: sooner found."""

    def arguments_of(self, stage: Stage) -> str:
        """The arguments for the worker that makes this stage."""
        return self.fewer.get(stage.key, self.arguments)


class Job(Protocol):
    """A stage being made."""

    @property
    def log(self) -> Path:
        """What it says meanwhile."""
        ...

    def failed(self) -> bool | None:
        """None while it goes on; then whether it failed."""
        ...

    def stop(self) -> None:
        """Ask it to keep what it has and end; waits for it."""
        ...


class Launcher(Protocol):
    """Starts jobs. `places`: how many at once, and `alone` whether timed stages must be the only ones."""

    @property
    def places(self) -> int: ...

    @property
    def alone(self) -> bool: ...

    def start(self, call: Call, stage: Stage, place: int) -> Job:
        """Start making `stage`, in the place of that number."""
        ...


@dataclass
class _Process:
    process: subprocess.Popen[bytes]
    log: Path

    def failed(self) -> bool | None:
        status = self.process.poll()
        return None if status is None else status != 0

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Local:
    """Processes of this machine: `places` at once, each with its share of the cores, and of the GPUs one or
    as many as it needs."""

    places: int = 1
    gpus: int = 0
    alone: bool = True

    def __post_init__(self) -> None:
        if self.places < 1:
            raise ConfigError(f"study: at least one stage must run at once, not {self.places}.")

    def start(self, call: Call, stage: Stage, place: int) -> _Process:
        """A process that outlives Ctrl-C in the terminal; the runner stops it."""
        log = call.root / ".work" / f"{stage.kind}-{stage.key}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        threads = max(1, (os.cpu_count() or 1) // (1 if stage.needs.timed else self.places))
        settings = {"OMP_NUM_THREADS": str(threads)}
        if self.gpus and not stage.needs.timed:
            count = min(max(1, stage.needs.gpus), self.gpus)
            settings["CUDA_VISIBLE_DEVICES"] = ",".join(str((place + n) % self.gpus) for n in range(count))
        with open(log, "ab") as handle:
            command = [sys.executable, "-m", "duolect.studies.stages.worker"]
            process = subprocess.Popen(
                [*command, str(call.root), call.source, call.arguments_of(stage), stage.key],
                stdout=handle,
                stderr=subprocess.STDOUT,
                env={**os.environ, **settings},
                start_new_session=True,  # Ctrl-C is for the process that asked; it then stops the others in order
            )
        return _Process(process, log)


@dataclass(frozen=True)
class Slurm:
    """Jobs of SLURM, each on a node of its own. `settings`: of submitit's executor, such as slurm_partition."""

    places: int = 16
    settings: dict[str, Any] = field(default_factory=dict)
    cluster: str = "slurm"
    """submitit's name of the executor; "local" runs jobs here, as tests do."""
    alone: bool = False

    def start(self, call: Call, stage: Stage, place: int) -> _Submitted:
        """A job of submitit. Raises ConfigError where that is not installed."""
        try:
            import submitit
        except ImportError as error:
            raise ConfigError("study: SLURM needs submitit; install duolect[slurm].") from error
        folder = call.root / ".work" / "slurm"
        executor = submitit.AutoExecutor(folder=folder, cluster=self.cluster)
        needs = stage.needs
        hours = {} if needs.hours is None else {"timeout_min": int(60 * needs.hours) + 30}
        executor.update_parameters(
            name=f"duolect-{stage.kind}",
            nodes=1,
            tasks_per_node=1,
            gpus_per_node=needs.gpus,
            **hours,
            **self.settings,
        )
        return _Submitted(executor.submit(make_stage, str(call.root), call.source, call.arguments_of(stage), stage.key))


@dataclass
class _Submitted:
    job: Any

    @property
    def log(self) -> Path:
        return Path(self.job.paths.stderr)

    def failed(self) -> bool | None:
        return self.job.exception() is not None if self.job.done() else None

    def stop(self) -> None:
        self.job.cancel()
