"""What an import stands on: its folder for itself alone, and errors of the output told from those of the source."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

from duolect.data.corpora.base import Split
from duolect.data.corpora.journal import forget
from duolect.errors import DuolectError

WORK = ".import"
"""What an unfinished import needs to go on, in the folder of its manifests."""


class _SourceError(Exception):
    """An OSError of the source, so that it is not taken for one of the output."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


def reading(split: Split, state: Any) -> Generator[Any]:
    """The entries of a split; an OSError passes through `writing` as it is."""
    try:
        yield from split.read(state)
    except OSError as error:
        raise _SourceError(error) from error


@contextlib.contextmanager
def writing(out: Path) -> Generator[None]:
    """What fails in here for want of room or rights leaves what was noted, and is said in one sentence."""
    try:
        yield
    except _SourceError as error:
        raise error.error from None
    except OSError as error:
        raise DuolectError(
            f"{out}: the import stopped because its files cannot be written ({error.strerror or error}); "
            "what was done is kept: give the same command again when that is mended."
        ) from error


@contextlib.contextmanager
def alone(out: Path) -> Generator[None]:
    """Hold the folder of work, so that two imports do not write into each other."""
    import fcntl

    if out.exists() and not out.is_dir():
        raise DuolectError(f"{out}: is a file; a folder was expected.")
    with contextlib.ExitStack() as stack:
        try:
            (out / WORK).mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(open(out / WORK / "lock", "w"))
        except OSError as error:
            raise DuolectError(f"{out}: nothing can be written there ({error.strerror}).") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DuolectError(f"{out}: another process is importing into this folder.") from None
        try:
            yield
        finally:
            if not any(path.is_dir() for path in (out / WORK).glob("*")):  # nothing to go on from
                forget(out / WORK)
                with contextlib.suppress(OSError):
                    out.rmdir()  # only where nothing is in it
