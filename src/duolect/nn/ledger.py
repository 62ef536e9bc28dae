"""What each stage of a computation takes: whatever grows while it runs (seconds, operations) is its own.

Stages lie within one another; what grows is charged to the innermost. Code names its stages (`stage`, `staged`)
whether or not someone keeps a ledger; where nobody does, that is nothing but a look at a variable.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import torch

_OPEN: ContextVar[Ledger | None] = ContextVar("ledger", default=None)  # each thread has its own


class Ledger:
    """`spent`: stage → what `read()` grew by while it ran, without the stages within it."""

    def __init__(self, read: Callable[[], Any] = time.perf_counter) -> None:
        self.spent: dict[str, float] = {}
        self._read = read
        self._within: list[str] = []
        self._mark: Any = None

    @contextmanager
    def open(self, name: str) -> Generator[None]:
        """Charge what runs in the block, in this thread: to `name`, or to the stages within."""
        token = _OPEN.set(self)
        self.enter(name)
        try:
            yield
        finally:
            self.leave()
            _OPEN.reset(token)

    def enter(self, name: str) -> None:
        """A stage begins within the present one."""
        self._charge()
        self._within.append(name)

    def leave(self) -> None:
        """The present stage ends."""
        self._charge()
        self._within.pop()

    def settle(self) -> None:
        """Bring `spent` up to date, once what was measured has been waited for."""

    def _charge(self) -> None:
        now = self._read()
        if self._within:
            self._add(self._within[-1], self._mark, now)
        self._mark = now

    def _add(self, name: str, start: Any, end: Any) -> None:
        self.spent[name] = self.spent.get(name, 0.0) + (end - start)


class GpuClock(Ledger):
    """Seconds on a GPU, whose work is queued: borders are events among it, and nothing is waited for.

    `settle` needs all events to have happened: synchronise first.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(self._event)
        self.device = device
        self._pending: list[tuple[str, Any, Any]] = []

    def settle(self) -> None:
        """See `Ledger.settle`."""
        for name, start, end in self._pending:
            self.spent[name] = self.spent.get(name, 0.0) + start.elapsed_time(end) / 1000
        self._pending.clear()

    def _event(self) -> Any:
        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device))
        return event

    def _add(self, name: str, start: Any, end: Any) -> None:
        self._pending.append((name, start, end))


def stage(name: str) -> Any:
    """A context: what runs in it is the stage `name` of the ledger that is open in this thread, if one is."""
    ledger = _OPEN.get()
    return nullcontext() if ledger is None else _Stage(ledger, name)


def staged(inner: Any, name: str) -> Any:
    """`inner` with all its methods in the stage `name`; itself where no ledger is open."""
    return inner if _OPEN.get() is None else _Staged(inner, name)


class _Stage:
    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger, self.name = ledger, name

    def __enter__(self) -> None:
        self.ledger.enter(self.name)

    def __exit__(self, *error: object) -> None:
        self.ledger.leave()


class _Staged:
    """Stands in for a model or a scorer: its attributes, and its methods within a stage."""

    def __init__(self, inner: Any, name: str) -> None:
        self._inner, self._name = inner, name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._inner, attribute)
        if not inspect.ismethod(value):
            return value

        def call(*arguments: Any, **keywords: Any) -> Any:
            with stage(self._name):
                return value(*arguments, **keywords)

        self.__dict__[attribute] = call  # found at once the next time
        return call
