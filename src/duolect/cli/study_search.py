"""`duolect study search`: the study of a system that the user has; it is not made of stages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from duolect.cli.arguments import command_line, console, parse, require_writable


@dataclass(frozen=True, kw_only=True)
class Search:
    """All ways to search with the same models: tuned on dev, scored on test, as one table with speed and effort.

    Writes report.md and report.html; what stands from an earlier or interrupted call is used again.
    """

    system: Path
    """System folder with the models."""
    dev: Path
    """The development set, on which scales are tuned."""
    test: Path
    """The test set, which is only scored."""
    out: Path = Path("runs/search")
    """Folder of tuning records, hypotheses and report."""
    only: tuple[str, ...] = ()
    """Names of the lines wanted (default: all that the system can run)."""
    workers: int = 1
    """Processes that tune side by side; each holds the models and uses one core."""


def run_search(arguments: list[str]) -> int:
    """Run `duolect study search`; see `Search`."""
    asked = parse("study search", Search, arguments)
    require_writable(asked.out / "report.md")
    from duolect.studies.search import run_search_study

    run_search_study(
        asked.system,
        asked.dev,
        asked.test,
        asked.out,
        only=asked.only,
        workers=asked.workers,
        console=console(),
        command=command_line("study search", arguments),
    )
    return 0
