"""A first attempt that fails leaves its run folder as it was: its recipe would refuse the corrected one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from duolect.errors import DuolectError, TrainingError
from duolect.training.checkpoint import run_lock
from duolect.training.trainer import TrainingInterrupted


@dataclass
class Attempt:
    """`first`: this process has claimed the folder, which was nobody's."""

    first: bool = False


@contextlib.contextmanager
def first_attempt(folder: Path) -> Generator[Attempt]:
    """Take away again what was put into `folder` if that fails before the first step, where the attempt was the first.

    A run that is asked to stop has not failed: it can be gone on with.
    """
    before, attempt = set(folder.iterdir()) if folder.is_dir() else None, Attempt()
    try:
        yield attempt
    except TrainingInterrupted:
        raise
    except DuolectError:
        if attempt.first and folder.is_dir() and not _has_begun(folder):
            _clear(folder, before)
        raise


def _has_begun(folder: Path) -> bool:
    """Whether a run has taken a step: its log then says at least why it ended."""
    return (folder / "log.jsonl").exists() or any((folder / "checkpoints").glob("step-*"))


def _clear(folder: Path, before: set[Path] | None) -> None:
    """Remove all but what was there `before`; the folder itself where it was not (None)."""
    with contextlib.suppress(TrainingError), run_lock(folder):  # what another process has put there is its own
        if before is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        for path in set(folder.iterdir()) - before:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
