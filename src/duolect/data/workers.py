"""Worker processes end with the process they work for, or when it says so; what others send them changes nothing.

A batch system that ends a job, and Ctrl-C, signal all of its processes. The one that trains then finishes its step and
keeps a checkpoint; workers that died meanwhile would stop it wherever it stands (torch raises in its main thread).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager

_LOOK_SECONDS = 1.0
_SENT_TO_ALL = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def born_deaf() -> Generator[None]:
    """Workers made within hear of no signal before they `stand_by_parent`; this process does as soon as they are made.

    Under the start method "forkserver" they may still be ended before that: its server is everyone's, and hears.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    if multiprocessing.get_start_method() == "forkserver":
        from multiprocessing import forkserver

        forkserver.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SENT_TO_ALL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def stand_by_parent(worker: int) -> None:
    """For torch's `worker_init_fn`: SIGINT, and SIGTERM of all but the parent, are passed over; the parent's ends it.

    It ends as well where the parent is gone, even while it waits for room to hand over a batch.
    """
    parent = multiprocessing.parent_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if parent is None or parent.pid is None or not hasattr(signal, "sigtimedwait"):  # which macOS has not
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SENT_TO_ALL)
        return
    # Only a thread that waits for a signal learns who sent it; those that are begun from here on inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_with, args=(parent.pid, os.getppid()), daemon=True).start()


def _end_with(parent: int, starter: int) -> None:
    """`starter`: who has made the process, which under the start method "forkserver" is not its `parent`."""
    while os.getppid() == starter:
        told = signal.sigtimedwait({signal.SIGTERM}, _LOOK_SECONDS)
        if told is not None and told.si_pid == parent:
            os._exit(0)
    os._exit(1)
