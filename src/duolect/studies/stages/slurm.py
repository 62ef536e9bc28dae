"""Stages as jobs of SLURM, through submitit: one whose time is up keeps what it has, is queued again and goes on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from duolect.errors import ConfigError, DuolectError
from duolect.studies.stages.base import Stage
from duolect.studies.stages.launchers import STOP_SECONDS, Call, WorkerProcess, require_places

MINUTES = 24 * 60
"""That a job may take before it is queued again."""
CORES = 8
"""Of a job for each of its GPUs: as many as recipes have workers that read data."""
_POLL_SECONDS = 1.0
_TIMES = 1000
"""That a job is queued again, at most."""
_NOTICE = STOP_SECONDS + 60
"""Seconds before its time is up that a job is told so: to stop its worker, which has a checkpoint to write."""


@dataclass(frozen=True)
class Slurm:
    """Jobs of SLURM, each on one node, with the GPUs that its stage needs. `settings`: of submitit's executor, such as
    slurm_partition; they go before ours. Others may run on the node; slurm_exclusive keeps it for the job."""

    places: int = 16
    settings: Mapping[str, Any] = field(default_factory=dict)
    cluster: str = "slurm"
    """submitit's name of the executor; "local" runs jobs here, as tests do."""
    alone: bool = False

    def __post_init__(self) -> None:
        require_places(self.places)

    def start(self, call: Call, stage: Stage) -> _Submitted:
        """A job of submitit. Raises ConfigError where that is not installed, or SLURM does not take the job."""
        try:
            import submitit
        except ImportError as error:
            raise ConfigError("SLURM needs submitit: pip install submitit.") from error
        gpus = stage.needs.gpus
        parameters = {
            "name": f"duolect-{stage.kind}",
            "nodes": 1,
            "tasks_per_node": 1,
            "cpus_per_task": CORES * max(1, gpus),
            "timeout_min": MINUTES,
            "slurm_signal_delay_s": int(_NOTICE),
            **({"gpus_per_node": gpus} if gpus else {}),
            **self.settings,
        }
        folder = call.root / ".work" / "slurm"
        try:
            executor = submitit.AutoExecutor(folder=folder, cluster=self.cluster, slurm_max_num_timeout=_TIMES)
            executor.update_parameters(**parameters)
            job = executor.submit(StageJob(call.command(stage), call.log(stage)))
        except (NameError, ValueError, AssertionError) as error:  # what submitit says of parameters
            raise ConfigError(f"--slurm.…: {str(error).splitlines()[0]}") from error
        except RuntimeError as error:
            said = " ".join(str(error).split())
            raise ConfigError(f"SLURM does not take the job of {stage.name}: {said}") from error
        return _Submitted(job, call.log(stage), Queue() if self.cluster == "slurm" else None)


@dataclass
class StageJob:
    """What a job does: run a worker, and before its time is up stop it and ask to be called again."""

    command: Sequence[str]
    log: Path
    _worker: WorkerProcess | None = None

    def __call__(self) -> bool:
        """Whether the worker was told to end by somebody else. Raises DuolectError where it fails."""
        # SLURM sends its notice to all processes of the job; it is for this one, which stops the others in order.
        before = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        try:
            self._worker = WorkerProcess.start(self.command, self.log)
        finally:
            signal.signal(signal.SIGUSR2, before)
        # Not Popen.wait: `checkpoint` interrupts this, and could then not wait for the same process.
        while (failed := self._worker.failed()) is None:
            time.sleep(_POLL_SECONDS)
        if failed and not self._worker.interrupted():
            raise DuolectError(f"{self.log}: the worker failed.")
        return failed

    def checkpoint(self) -> Any:
        """What submitit calls at the notice, and queues again."""
        from submitit.helpers import DelayedSubmission

        if self._worker is not None:
            self._worker.stop()
            self._worker.join()
        return DelayedSubmission(StageJob(self.command, self.log))


@dataclass
class _Submitted:
    job: Any
    worker_log: Path
    queue: Queue | None = None

    @property
    def log(self) -> Path:
        """The worker's; that of the job where it has been killed."""
        ended = self.job.paths.result_pickle.exists() and self.worker_log.exists()
        return self.worker_log if ended else Path(self.job.paths.stderr)

    def failed(self) -> bool | None:
        if self.job.done():
            return self.job.exception() is not None or self.interrupted()
        return True if self.queue is not None and self.queue.has_lost(self.job.job_id) else None

    def interrupted(self) -> bool:
        return self.job.done() and self.job.exception() is None and self.job.result() is True

    def stop(self) -> None:
        self.job.cancel()

    def join(self) -> None:
        """SLURM sees to it."""


@dataclass
class Queue:
    """SLURM's list of jobs, looked at every `seconds`. submitit asks the accounting alone, which not every cluster has:
    there it would wait for ever for a job that was killed."""

    seconds: float = 60.0
    _looked: float = field(default_factory=time.monotonic)
    _missed: int = 0

    def has_lost(self, job: str) -> bool:
        """Whether a job is no longer listed: twice, as its result may have to travel."""
        if time.monotonic() - self._looked < self.seconds:
            return False
        self._looked = time.monotonic()
        asked = ["squeue", "--noheader", f"--jobs={job}", "--format=%T"]
        said = subprocess.run(asked, capture_output=True, text=True, check=False)
        gone = not said.stdout.strip() and (said.returncode == 0 or "Invalid job id" in said.stderr)
        self._missed = self._missed + 1 if gone else 0
        return self._missed > 1
