"""What a call would do: stages in order, what stands of them, and what the trainings among them cost.

The figures of a training are those of `duolect train --dry-run`: counted on shapes, so that neither data nor starting
points need exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from duolect.reports.cells import DASH, Column, plain_column
from duolect.studies.figures import SEARCHING, absences, disk, recognition_operations, training_figures
from duolect.studies.stages import Stage, Store
from duolect.studies.stages.recognition import Recognition
from duolect.studies.stages.store import State
from duolect.studies.stages.training import Training, Tuned
from duolect.training import Plan


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """A stage, what stands of it, and for a training its figures; `note`: why there are none."""

    stage: Stage
    state: State
    plan: Plan | None = None
    hours: float | None = None
    """Of the machine that it needs, where that can be told."""
    disk: float = 0.0
    """Bytes: weights and checkpoints of a training."""
    note: str = ""

    @property
    def operations(self) -> float | None:
        """Floating-point operations of a training, on all its devices."""
        known = self.plan is not None and self.plan.cost is not None
        return self.plan.cost.flops * self.plan.steps * self.stage.needs.processes if known else None

    @property
    def audio(self) -> float:
        """Hours of audio that a training hears on all its devices, repetitions counted."""
        return 0.0 if self.plan is None else self.plan.hours * self.stage.needs.processes

    @property
    def gpu_hours(self) -> float | None:
        """Hours of all its GPUs; None where it has none, or its hours are not known."""
        return self.hours * self.stage.needs.gpus if self.hours is not None and self.stage.needs.gpus else None


def plan_stages(
    stages: Sequence[Stage],
    store: Store,
    *,
    sustained: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[PlannedStage]:
    """The plan of stages, given in order. `sustained`: operations per second that one device does in training.

    `progress` is told how many of the stages have been planned.
    """
    notes = absences(stage for stage in stages if store.made(stage) is None)
    plans: dict[str, Plan] = {}
    found: list[PlannedStage] = []
    for number, stage in enumerate(stages):
        if progress is not None:
            progress(number, len(stages))
        plan, note = None, notes.get(stage.key, "")
        if isinstance(stage, Training):
            plan = training_figures(stage, store)
            if isinstance(plan, str):
                plan, note = None, plan
            else:
                plans[stage.key] = plan
        hours = None if sustained is None else _hours(stage, plan, plans, sustained)
        found.append(
            PlannedStage(
                stage=stage, state=store.state(stage), plan=plan, hours=hours, disk=disk(stage, plan), note=note
            )
        )
    return found


def _hours(stage: Stage, plan: Plan | None, plans: Mapping[str, Plan], sustained: float) -> float | None:
    """Of the stage's machine; `plans` has those of the trainings before it."""
    operations = None
    if plan is not None and plan.cost is not None:
        operations = plan.cost.flops * plan.steps  # a plan is of one of its devices
    elif isinstance(stage, Recognition | Tuned):
        operations = recognition_operations(stage, plans)
        sustained *= SEARCHING
    return None if operations is None else operations / sustained / 3600


def plan_columns(planned: Sequence[PlannedStage]) -> list[Column]:
    """The stages as a table."""

    def column(title: str, texts: Sequence[str]) -> Column:
        return plain_column(title, texts)

    rows = list(planned)
    found = [
        column("Stage", [f"{p.stage.kind} · {p.stage.name}" for p in rows]),
        column("State", [p.state for p in rows]),
        column("Parameters", [_parameters(p) for p in rows]),
        column("Steps", [DASH if p.plan is None else f"{p.plan.steps:,}" for p in rows]),
        column("Audio heard", [_heard(p) for p in rows]),
        column("Operations", [DASH if p.operations is None else f"{p.operations:.1e}" for p in rows]),
        column("Disk", [DASH if not p.disk else bytes_text(p.disk) for p in rows]),
        column("Processes", [str(p.stage.needs.processes) for p in rows]),
        column("GPUs", [str(p.stage.needs.gpus) for p in rows]),
        column("Hours", [DASH if p.hours is None else f"{p.hours:,.1f}" for p in rows]),
    ]
    return [c for c in found if c.title in ("Stage", "State") or len({cell.text for cell in c.cells}) > 1]


def plan_summary(planned: Sequence[PlannedStage], sustained: float | None = None) -> list[str]:
    """Sentences: how much is there, and what the rest takes; `sustained` as in `plan_stages`."""
    missing = [p for p in planned if p.state == "missing"]
    changed = [p for p in planned if p.state in ("of other code", "of older inputs")]
    stands = f"{len(planned)} stages: {len(planned) - len(missing)} stand, {len(missing)} are to be made"
    if changed:
        stands += f"; {len(changed)} of those that stand would be made anew by --remake"
    sentences = [f"{stands}."]
    trained = [p for p in missing if isinstance(p.stage, Training)]
    if trained:
        parts = [f"{len(trained)} trainings"]
        audio = sum(p.audio for p in trained)
        operations = [p.operations for p in trained if p.operations is not None]
        if audio:
            parts.append(f"{audio:,.0f} h of audio heard, repetitions counted")
        if operations:
            parts.append(f"{sum(operations):.2g} operations")
        parts.append(f"about {bytes_text(sum(p.disk for p in trained))} of disk for weights and checkpoints")
        sentences.append(f"To be trained: {', '.join(parts)}.")
    known = [p for p in missing if p.hours is not None]
    if known:
        of_gpus = sum(p.gpu_hours or 0.0 for p in known)
        of_machines = sum(p.hours or 0.0 for p in known if not p.stage.needs.gpus)
        said = [f"{of_gpus:,.0f} GPU-hours"] if of_gpus else []
        said += [f"{of_machines:,.1f} hours without a GPU"] if of_machines else []
        rest = len(missing) - len(known)
        more = f"; of {rest} stages it cannot be told" if rest else ""
        sentences.append(f"Time, about: {', '.join(said)}{more}.")
        if sustained is not None:
            sentences.append(
                f"The hours are those of devices that do {sustained:.1e} operations a second in training, and "
                f"{100 * SEARCHING:g} % of that in recognition and tuning."
            )
    notes = [p.note for p in planned if p.note] + [n for p in trained if p.plan is not None for n in p.plan.notes]
    return sentences + [f"Note: {note}." for note in dict.fromkeys(note.rstrip(".") for note in notes)]


def bytes_text(count: float) -> str:
    """Bytes in the unit that fits: "3.2 GB"."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1e3:,.0f} kB"


def _parameters(planned: PlannedStage) -> str:
    if planned.plan is None:
        return DASH
    total, trained = planned.plan.parts["total"]
    same = total == trained
    return f"{total / 1e6:,.1f} M" + ("" if same else f", {trained / 1e6:,.1f} M trained")


def _heard(planned: PlannedStage) -> str:
    return f"{planned.audio:,.0f} h" if planned.audio else DASH
