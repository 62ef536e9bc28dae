"""A few processes that share independent tasks; one process means this one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Pool:
    """`workers` processes (default: one for each core this process may use), as a context manager.

    On Linux they are forked: tasks need neither torch nor its threads, and a fresh interpreter would spend seconds on
    importing them. Elsewhere forking is not safe and they are spawned.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or _cores()
        self._executor: ProcessPoolExecutor | None = None

    def __enter__(self) -> Pool:
        if self.workers > 1:
            context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
            self._executor = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_leave_interrupts)
        return self

    def __exit__(self, *error: object) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task], report: Callable[[Result], Any] | None = None
    ) -> list[Result]:
        """Results in the order of the tasks; `report` is called in this process with each as it comes in."""
        if self._executor is None:
            results = []
            for task in tasks:
                results.append(function(task))
                if report is not None:
                    report(results[-1])
            return results
        futures: list[Future[Result]] = [self._executor.submit(function, task) for task in tasks]
        for future in as_completed(futures):
            result = future.result()
            if report is not None:
                report(result)
        return [future.result() for future in futures]


def _leave_interrupts() -> None:
    # Ctrl-C reaches all processes of a terminal: one that died of it with a lock in its hands would keep the first
    # process waiting for ever. That one stops them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
