"""Recognise test, score, publish: the same steps for every line of a comparison, each done once.

What stands is taken up again: hypotheses made by the same models and search from the same manifest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console

from duolect.data import load_manifest
from duolect.errors import DuolectError
from duolect.evaluation import RunRecord, read_run
from duolect.evaluation.blocks import find_blocks, utterance_fields
from duolect.reports import (
    Comparison,
    SystemResult,
    findings,
    markdown_table,
    print_table,
    system_result,
    write_page,
)
from duolect.reports.progress import stage_bar
from duolect.storage import atomic_file
from duolect.systems import System
from duolect.systems.lines import HowRecognized, recognize_lines
from duolect.systems.lines import Line as SystemLine


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a table to be: the system, as it lies in its folder but under the search of this line."""

    name: str
    system: System
    description: str = ""


def results(
    lines: Sequence[Line],
    manifest: Path,
    folder: Path,
    console: Console,
    *,
    command: str,
    date: str,
    details: Callable[[RunRecord], Mapping[str, str]] | None = None,
) -> list[SystemResult]:
    """The lines' results; the first one is the baseline of the paired tests. Hypotheses go to `folder`.

    What has to be recognised is, in a fresh process that has not trained anything (`recognize_lines`). `details`:
    further columns of a line, from how it was made.
    """
    files = {line.name: folder / f"{line.name}.jsonl" for line in lines}
    outcomes = recognize_lines(
        [SystemLine.of(line.name, line.system, files[line.name]) for line in lines],
        manifest,
        HowRecognized(command=command, date=date),
        partial(stage_bar, console.is_terminal),
        systems={line.name: line.system for line in lines},
    )
    for outcome in outcomes:
        if outcome.error is not None:
            raise DuolectError(f"{outcome.line.name}: {outcome.error}")
    found: list[SystemResult] = []
    blocks = find_blocks(utterance_fields(load_manifest(manifest)))
    for line in lines:
        rows, record = read_run(files[line.name])
        assert record is not None  # it stands, or has just been written
        baseline = found[0].score if found else None
        result = system_result(line.name, rows, record, description=line.description, baseline=baseline, blocks=blocks)
        found.append(dataclasses.replace(result, details=details(record)) if details else result)
        console.print(
            f"  {line.name}: WER {100 * result.score.wer:.2f} %, RTFx {record.timing.rtfx:.0f}", highlight=False
        )
    return found


def publish(comparison: Comparison, folder: Path, console: Console) -> None:
    """Write report.html and report.md into `folder`, print the table, and say on `console` what it shows."""
    write_page(comparison, folder / "report.html")
    said = comparison.summary or findings(comparison)
    with atomic_file(folder / "report.md") as handle:
        handle.write(markdown_table(comparison))
        handle.writelines(f"\n* {sentence}" for sentence in [*said, *comparison.notes])
        handle.write("\n")
    print_table(comparison)
    for sentence in said:
        console.print(f"  {sentence}", highlight=False)
    console.print(f"Report: {folder / 'report.html'}", highlight=False)
