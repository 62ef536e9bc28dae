"""Many systems on one manifest: what stands is taken up again, the rest recognised in fresh processes.

Hypotheses stand where the same models and search made them from the same manifest, on the same device and in batches of
the same size, so that their speed can be compared too. No line is recognised in the process that asks, which may have
trained. Where each folder has a process of its own, the memory of a line is that of its folder's models and its search,
and a system that breaks takes no other along.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from duolect.configs import to_json
from duolect.errors import DuolectError
from duolect.evaluation import read_run
from duolect.models.precision import WeightPrecision
from duolect.storage import file_hash
from duolect.systems.batches import LONGEST_SECONDS
from duolect.systems.config import SearchConfig
from duolect.systems.files import batch_name, device_name, limit_name, recognize_manifest
from duolect.systems.measurement import Measure
from duolect.systems.provenance import TuningRecord
from duolect.systems.recognition import Progress
from duolect.systems.system import BATCH_SECONDS, System, load

Bar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress bar with a title; another process must be able to import it (a function of a module)."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A system as it lies in its folder, under the search of this line; its hypotheses go to `out`.

    The search is `search` where it is given (`method` then only names it), else that of `method`, else the system's
    own. `tuning`: scales that the folder does not know of.
    """

    name: str
    folder: Path
    out: Path
    search: SearchConfig | None = None
    method: str | None = None
    tuning: TuningRecord | None = None
    manifest: Path | None = None
    """What to recognise, where that is not the manifest of all the lines."""

    @classmethod
    def of(cls, name: str, system: System, out: Path) -> Line:
        """The line of a system in memory, which must have been saved."""
        assert system.folder is not None, "another process reads it from there"
        return cls(
            name=name,
            folder=system.folder,
            out=out,
            search=system.search,
            method=system.method,
            tuning=system.tuning,
        )

    def system(self, stored: System) -> System:
        """The line's system, made of the one that its folder holds. Raises ConfigError for an unknown method."""
        tuned = stored if self.tuning is None else stored.with_tuning(self.tuning)
        if self.search is not None:
            return tuned.with_search(self.search, self.method)
        return tuned if self.method is None else tuned.with_method(self.method)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a line: its hypothesis file stands (`reused`: it did before), or why there is none."""

    line: Line
    reused: bool = False
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class HowRecognized:
    """How lines are recognised: where, in which precision, and the arguments of `recognize_manifest` that are the same
    for all of them."""

    device: str = "cpu"
    precision: WeightPrecision = "stored"
    batch_seconds: float = BATCH_SECONDS
    max_seconds: float = LONGEST_SECONDS
    measure: Measure | None = None
    command: str | None = None
    date: str | None = None


def recognize_lines(
    lines: Sequence[Line],
    manifest: Path,
    how: HowRecognized,
    bar: Bar,
    *,
    systems: Mapping[str, System] | None = None,
    apart: bool = False,
) -> list[Outcome]:
    """Hypotheses of all lines, in their order. What a DuolectError or a lack of memory stops is an outcome, not an
    error.

    systems: by line name, those that are in memory anyway: no process is started for what they show to stand.
    apart: a process for each folder, rather than one for all.
    """
    outcomes: dict[Path, Outcome] = {}
    for line in lines:
        system = (systems or {}).get(line.name)
        if system is not None and stands(line.out, system, file_hash(line.manifest or manifest), how):
            outcomes[line.out] = Outcome(line=line, reused=True)
    groups: dict[Path | None, list[Line]] = {}
    for line in lines:
        if line.out not in outcomes:
            groups.setdefault(line.folder if apart else None, []).append(line)
    for group in groups.values():
        killed = [Outcome(line=line, error=_KILLED) for line in group]
        for outcome in _in_fresh_process(_recognize, group, killed, manifest, how, bar):
            outcomes[outcome.line.out] = outcome
    return [outcomes[line.out] for line in lines]


def runnable_methods(folder: Path) -> list[str]:
    """The named methods that the system in `folder` can run, found in a process of its own.

    Raises SystemFolderError, ModelError or ConfigError where it cannot be loaded.
    """
    found = _in_fresh_process(_methods, folder, _KILLED)
    if isinstance(found, str):
        raise DuolectError(found)
    return found


def stands(out: Path, system: System, manifest_hash: str, how: HowRecognized) -> bool:
    """Whether `out` holds what this system makes of this manifest, measured in the same way."""
    if not out.exists():
        return False
    try:
        record = read_run(out)[1]
    except DuolectError:
        return False
    if record is None or (how.measure is not None and record.latency is None):
        return False
    longest = record.search.get("max_seconds", LONGEST_SECONDS)  # what is longer was skipped
    tuning = record.search.get("tuning")  # the same scales may have been chosen on another set, even on this one
    return (record.config_hash, tuning, record.manifest_hash, record.device, record.batch, longest) == (
        system.fingerprint(),
        to_json(system.tuning),
        manifest_hash,
        device_name(torch.device(how.device)),
        batch_name(how.batch_seconds),
        limit_name(how.max_seconds),
    )


_KILLED = "the process that recognised ended without a word; memory may have run out."


def _in_fresh_process(work: Callable[..., Any], first: Any, otherwise: Any, *arguments: Any) -> Any:
    """`work(first, *arguments)` in a process of its own; `otherwise` where that process is killed."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=_leave_interrupts) as fresh:
        try:
            return fresh.submit(work, first, *arguments).result()
        except BrokenProcessPool:
            return otherwise


def _leave_interrupts() -> None:
    """Ctrl-C ends this process without a traceback; the first process says what is to be said."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _recognize(lines: Sequence[Line], manifest: Path, how: HowRecognized, bar: Bar) -> list[Outcome]:
    """In the fresh process. Each folder is loaded once, and only one at a time."""
    outcomes: dict[Path, Outcome] = {}
    for folder in dict.fromkeys(line.folder for line in lines):
        of_folder = [line for line in lines if line.folder == folder]
        try:
            stored = load(folder, how.device, how.precision)
        except (DuolectError, MemoryError, torch.OutOfMemoryError) as error:
            outcomes |= {line.out: Outcome(line=line, error=_sentence(error)) for line in of_folder}
            continue
        outcomes |= {line.out: _recognize_line(line, stored, line.manifest or manifest, how, bar) for line in of_folder}
        del stored
    return [outcomes[line.out] for line in lines]


def _recognize_line(line: Line, stored: System, manifest: Path, how: HowRecognized, bar: Bar) -> Outcome:
    try:
        system = line.system(stored)
        if stands(line.out, system, file_hash(manifest), how):
            return Outcome(line=line, reused=True)
        with bar(f"recognising {line.name}") as advance:
            recognize_manifest(
                system,
                manifest,
                line.out,
                name=line.name,
                batch_seconds=how.batch_seconds,
                max_seconds=how.max_seconds,
                warm_up=True,
                measure=how.measure,
                progress=advance,
                command=how.command,
                date=how.date,
            )
    except (DuolectError, MemoryError, torch.OutOfMemoryError) as error:
        return Outcome(line=line, error=_sentence(error))
    return Outcome(line=line)


def _methods(folder: Path) -> list[str] | str:
    """In the fresh process."""
    try:
        return load(folder).methods()
    except DuolectError as error:
        return str(error)


def _sentence(error: BaseException) -> str:
    if isinstance(error, DuolectError):
        return str(error)
    return f"memory ran out ({' '.join(str(error).split()) or type(error).__name__})."
