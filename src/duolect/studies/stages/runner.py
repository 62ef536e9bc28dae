"""Make what is missing, in order: stages whose inputs stand are started, as many as there are places for.

A stage that fails stops those that use it and no other. What stands is never made again, and what was interrupted is
gone on with by the next call; what has failed, once nothing else can begin, so that calls which are short of time get
on with the rest and do not fail in the same place for ever. One whose worker somebody else told to end (a batch system,
say) has not failed; this call leaves it at that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from duolect.studies.stages.base import Stage, in_order
from duolect.studies.stages.launchers import Call, Job, Launcher
from duolect.studies.stages.store import Store

State = Literal["stood", "made", "failed", "held up", "not begun"]
POLL_SECONDS = 0.2
_LAST_LINES = 12


@dataclass(frozen=True)
class Outcome:
    """What became of a stage: it stood before or was made, it failed, one that it uses failed, or it was not begun, as
    time was up, or not to its end, as it or one that it uses was interrupted."""

    stage: Stage
    state: State
    log: Path | None = None

    @property
    def good(self) -> bool:
        return self.state in ("stood", "made")


def run_stages(
    stages: Iterable[Stage],
    call: Call,
    launcher: Launcher,
    console: Console,
    *,
    seconds: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Outcome]:
    """Make the stages and all they use; key → outcome. Says on `console` what is begun, done, and why one failed.

    `seconds`: begin nothing after that time, and ask what is running to stop; trainings keep their checkpoint.
    Timed stages run when no other does, where the launcher says that they must. Ctrl-C stops what is running.
    """
    store, ordered = Store(call.root), in_order(stages)
    found = {s.key: Outcome(s, "stood") for s in ordered if store.made(s) is not None}
    console.print(f"  {len(ordered)} stages, {len(found)} of which stand", highlight=False)
    running: dict[str, tuple[Stage, Job, float]] = {}
    start = clock()
    try:
        while len(found) < len(ordered):
            _collect(running, found, store, console, clock)
            _hold_up(ordered, found, running, console)
            if seconds is not None and clock() - start > seconds:
                break
            for stage in _ready(ordered, found, running, launcher, store):
                console.print(f"  begins: {stage.kind} · {stage.name}", highlight=False)
                store.note_failure(stage, False)
                running[stage.key] = (stage, launcher.start(call, stage), clock())
            if running:
                time.sleep(POLL_SECONDS)
    finally:
        for _, job, _ in running.values():
            job.stop()  # all, before any is waited for
        for _, job, _ in running.values():
            job.join()
    _collect(running, found, store, console, clock, stopped=True)
    return {stage.key: found.get(stage.key, Outcome(stage, "not begun")) for stage in ordered}


def _ready(
    ordered: list[Stage],
    found: dict[str, Outcome],
    running: dict[str, tuple[Stage, Job, float]],
    launcher: Launcher,
    store: Store,
) -> list[Stage]:
    """Those that can begin now."""
    able = [
        stage
        for stage in ordered
        if stage.key not in found
        and stage.key not in running
        and all(used.key in found and found[used.key].good for used in stage.uses().values())
    ]
    # Of those that failed before none begins while another can.
    able = [stage for stage in able if not store.has_failed(stage)] or able
    if not launcher.alone:
        return able[: launcher.places - len(running)]
    if any(stage.needs.timed for stage, *_ in running.values()):
        return []
    untimed = [stage for stage in able if not stage.needs.timed]
    if untimed or running:
        return untimed[: launcher.places - len(running)]
    return able[:1]  # with the machine to itself


def _collect(
    running: dict[str, tuple[Stage, Job, float]],
    found: dict[str, Outcome],
    store: Store,
    console: Console,
    clock: Callable[[], float],
    stopped: bool = False,
) -> None:
    for key, (stage, job, began) in list(running.items()):
        failed = job.failed()
        if failed is None or (failed and stopped):
            continue
        del running[key]
        if failed and job.interrupted():
            found[key] = Outcome(stage, "not begun", job.log)
            console.print(
                f"  interrupted: {stage.kind} · {stage.name} ({clock() - began:.0f} s); the next call goes on with it",
                highlight=False,
            )
            continue
        found[key] = Outcome(stage, "failed" if failed else "made", job.log)
        console.print(
            f"  {'FAILED' if failed else 'made'}: {stage.kind} · {stage.name} ({clock() - began:.0f} s)",
            highlight=False,
        )
        if failed:
            store.note_failure(stage, True)
            console.print(f"  the last lines of {job.log}:", highlight=False)
            console.print(_last_lines(job.log), highlight=False, markup=False)


def _hold_up(
    ordered: list[Stage],
    found: dict[str, Outcome],
    running: dict[str, tuple[Stage, Job, float]],
    console: Console,
) -> None:
    for stage in ordered:
        bad = next((u for u in stage.uses().values() if u.key in found and not found[u.key].good), None)
        if bad is not None and stage.key not in found and stage.key not in running:
            later = found[bad.key].state == "not begun"
            found[stage.key] = Outcome(stage, "not begun" if later else "held up")
            console.print(f"  not made: {stage.kind} · {stage.name}, for want of {bad.name}", highlight=False)


def _last_lines(log: Path) -> str:
    if not log.exists():
        return "    (it wrote nothing)"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-_LAST_LINES:])
