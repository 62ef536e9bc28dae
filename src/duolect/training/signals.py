"""Ctrl-C and SIGTERM ask a run to stop after its current step; Ctrl-C after that stops at once.

Further SIGTERMs change nothing: a batch system sends one to all processes of a job, and torchrun passes its own on to
those it started, so that two are there within milliseconds. SIGKILL is for those who cannot wait.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class StopRequest:
    """A context in which SIGINT and SIGTERM set `asked` instead of killing the process (in the main thread only)."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._before):
            self._restore(number)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore(signal.SIGINT)

    def _restore(self, number: int) -> None:
        if number in self._before:
            signal.signal(number, self._before.pop(number))
