"""Ctrl-C and SIGTERM ask a run to stop after its current step; Ctrl-C after that stops at once.

A batch system, or a terminal, signals all processes of a job, and torchrun passes what it gets on to those it started,
so that one request comes twice within milliseconds. Further SIGTERMs therefore change nothing (SIGKILL is for those who
cannot wait), and neither does SIGINT in the first second.
"""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

SAME_SECONDS = 1.0
"""After a first signal: a SIGINT within this time is of the same request."""


class StopRequest:
    """A context in which SIGINT and SIGTERM set `asked` instead of killing the process (in the main thread only)."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}
        self._first: float | None = None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number in list(self._before):
            self._restore(number)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        first = self._first = now if self._first is None else self._first
        self.asked = True
        if number == signal.SIGINT and now - first > SAME_SECONDS:
            self._restore(number)
            signal.raise_signal(number)

    def _restore(self, number: int) -> None:
        if number in self._before:
            signal.signal(number, self._before.pop(number))
