"""What a run tells of itself: log.jsonl, TensorBoard, and the console."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from duolect.training.checkpoint import RunLog
from duolect.training.config import LoopConfig
from duolect.training.progress import Reporter
from duolect.training.session import RunState


class Journal:
    """Goes on after `state.step`, whose seconds it counts. Only the `main` process writes the log and the console."""

    def __init__(
        self,
        folder: Path,
        state: RunState,
        loop: LoopConfig,
        accelerator: Accelerator,
        *,
        main: bool,
        console: Console | None = None,
    ) -> None:
        self.state, self.accelerator = state, accelerator
        if loop.tensorboard and accelerator.log_with:
            purge = {"tensorboard": {"purge_step": state.step + 1}} if state.step else {}
            accelerator.init_trackers("tensorboard", init_kwargs=purge)
        self.log = RunLog(folder / "log.jsonl", state.step, state.dev_due) if main else None
        self.reporter = Reporter(loop.steps, state.step, quiet=not main, console=console)
        self.start = time.perf_counter() - state.seconds

    def clock_in(self) -> None:
        """Note in the state how long the run has taken."""
        self.state.seconds = time.perf_counter() - self.start

    def write(self, line: Mapping[str, Any]) -> None:
        """Write a line of the log, at the state's step."""
        if self.log is not None:
            self.log.write({"step": self.state.step, **line})

    def say(self, text: str) -> None:
        """Print a line."""
        self.reporter.say(text)

    def step_done(self) -> None:
        """One more step is done."""
        self.reporter.step(self.state.step)

    def losses(self, values: Mapping[str, float], *, rate: float, epoch: Any) -> None:
        """What the steps since the last line came to."""
        self.clock_in()
        line = {
            "epoch": epoch,
            **values,
            "lr": rate,
            "seconds": round(self.state.seconds, 3),
            "skipped_steps": self.state.skipped,
        }
        self.write(line)
        self.reporter.losses(self.state.step, line)
        self._track("train", {**values, "lr": rate})

    def skipped(self, ids: list[str]) -> None:
        """The step was skipped; `ids` were its utterances."""
        self.write({"skipped_steps": self.state.skipped, "ids": ids})
        self.say(f"step {self.state.step}: the gradients are not finite; the step is skipped.")

    def dev(self, values: Mapping[str, float], **further: Any) -> None:
        """What dev came to. `weights`, if given: of which weights, where these are not the last step's."""
        self.clock_in()
        where = {"seconds": round(self.state.seconds, 3), **further}
        self.write({**where, **{f"dev_{k}": v for k, v in values.items()}})
        weights = further.get("weights")
        shown = "  ".join(f"{k} {v:.4g}" for k, v in values.items())
        self.say(f"step {self.state.step}: dev {shown}" + (f" ({weights})" if weights else ""))
        if not weights:
            self._track("dev", values)

    def _track(self, kind: str, values: Mapping[str, float]) -> None:
        self.accelerator.log({f"{kind}/{k}": v for k, v in values.items()}, step=self.state.step)

    def close(self) -> None:
        """End the live line, the log and TensorBoard's files."""
        self.reporter.close()
        if self.log is not None:
            self.log.close()
        for tracker in self.accelerator.trackers:
            tracker.finish()
