"""Recognise test, score, publish: the same steps for every line of a comparison, each done once.

What stands is taken up again: hypotheses made by the same models and search from the same manifest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from duolect.errors import DuolectError
from duolect.evaluation import RunRecord, read_run
from duolect.reports import (
    Comparison,
    SystemResult,
    findings,
    markdown_table,
    print_table,
    system_result,
    write_page,
)
from duolect.storage import atomic_file, file_hash
from duolect.studies.progress import StageBar
from duolect.systems import (
    SearchConfig,
    System,
    TuningRecord,
    load,
    recognize_manifest,
)
from duolect.training.final import read_summary


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

    What has to be recognised is, in a process of its own, which has not trained anything: the memory of a line is then
    that of its models and its search. `details`: further columns of a line, from how it was made.
    """
    files = {line.name: folder / f"{line.name}.jsonl" for line in lines}
    ours = file_hash(manifest)
    missing = [_Job.of(line, files[line.name]) for line in lines if not _stands(files[line.name], line.system, ours)]
    if missing:
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as fresh:
            fresh.submit(_recognize, missing, manifest, command, date, console.is_terminal).result()
    found: list[SystemResult] = []
    for line in lines:
        rows, record = read_run(files[line.name])
        assert record is not None  # it stands, or has just been written
        baseline = found[0].score if found else None
        result = system_result(line.name, rows, record, description=line.description, baseline=baseline)
        found.append(dataclasses.replace(result, details=details(record)) if details else result)
        console.print(
            f"  {line.name}: WER {100 * result.score.wer:.2f} %, RTFx {record.timing.rtfx:.0f}", highlight=False
        )
    return found


def trained_columns(run: Path) -> dict[str, str]:
    """Columns of the table (`SystemResult.details`): what a finished run trained, in millions, and how long it took."""
    summary = read_summary(run)
    if summary is None:
        raise DuolectError(f"{run}: is no finished training run.")
    return {"Trained": f"{summary.trainable / 1e6:.2f}", "Training": f"{summary.seconds:.0f} s"}


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


@dataclass(frozen=True)
class _Job:
    """A line, as another process can be told of it."""

    name: str
    folder: Path
    search: SearchConfig
    method: str | None
    tuning: TuningRecord | None
    out: Path

    @classmethod
    def of(cls, line: Line, out: Path) -> _Job:
        system = line.system
        assert system.folder is not None, "the other process reads it from there"
        assert system.search is not None
        return cls(line.name, system.folder, system.search, system.method, system.tuning, out)

    def system(self, stored: System) -> System:
        """The line's system, made of the one that its folder holds."""
        tuned = stored if self.tuning is None else stored.with_tuning(self.tuning)
        return tuned.with_search(self.search, self.method)


def _stands(out: Path, system: System, manifest_hash: str) -> bool:
    """Whether `out` holds what this system makes of this manifest."""
    if not out.exists():
        return False
    try:
        record = read_run(out)[1]
    except DuolectError:
        return False
    return record is not None and (record.config_hash, record.manifest_hash) == (system.fingerprint(), manifest_hash)


def _recognize(jobs: Sequence[_Job], manifest: Path, command: str, date: str, live: bool) -> None:
    """In the fresh process."""
    console = Console(stderr=True, force_terminal=live)
    stored = {folder: load(folder) for folder in {job.folder for job in jobs}}
    for job in jobs:
        with StageBar(console, f"recognising {job.name}") as advance:
            recognize_manifest(
                job.system(stored[job.folder]),
                manifest,
                job.out,
                name=job.name,
                warm_up=True,
                progress=advance,
                command=command,
                date=date,
            )
