"""Worker processes end with the process they work for, or when it says so; what others send them changes nothing.

A batch system that ends a job, and Ctrl-C, signal all of its processes. The one that trains then finishes its step and
keeps a checkpoint; workers that died meanwhile would stop it wherever it stands (torch raises in its main thread).
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

_LOOK_SECONDS = 1.0


def stand_by_parent(worker: int) -> None:
    """For torch's `worker_init_fn`: SIGINT, and SIGTERM of all but the parent, are passed over; the parent's ends it.

    It ends as well where the parent is gone, even while it waits for room to hand over a batch.
    """
    parent = multiprocessing.parent_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if parent is None or parent.pid is None or not hasattr(signal, "sigtimedwait"):  # which macOS has not
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
