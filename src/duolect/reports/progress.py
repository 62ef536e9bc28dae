"""Progress of stages of work, on a terminal."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class StageBar:
    """A progress bar for one pass over a set; plain silence where there is no terminal."""

    def __init__(self, console: Console, title: str) -> None:
        described = TextColumn("{task.description}", markup=False)
        columns = (described, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self.console, self.title = console, title

    def __enter__(self) -> Callable[[int, int], None]:
        self.progress.start()
        task = self.progress.add_task(self.title, total=None)
        if not self.console.is_terminal:
            self.console.print(f"{self.title} ...", highlight=False, markup=False)
        return lambda done, total: self.progress.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def stage_bar(live: bool, title: str) -> StageBar:
    """A bar on standard error, for another process (`functools.partial(stage_bar, live)` can be sent there)."""
    return StageBar(Console(stderr=True, force_terminal=live), title)
