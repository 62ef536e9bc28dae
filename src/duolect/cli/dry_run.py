"""The plan of a training run, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duolect.training import Plan


def lines(plan: Plan) -> list[str]:
    """What `duolect train --dry-run` prints."""
    rows = [("part", "parameters", "trained", "forward")]
    forward = {} if plan.cost is None else dict(plan.cost.forward)
    for part, (all_of_it, trained) in plan.parts.items():
        if part != "total":
            rows.append((part, _millions(all_of_it), _millions(trained), _operations(forward.pop(part, None))))
    rows += [(part, "", "", _operations(count)) for part, count in forward.items()]
    total, trained = plan.parts["total"]
    everything = None if plan.cost is None else sum(plan.cost.forward.values())
    rows.append(("total", _millions(total), _millions(trained), _operations(everything)))
    width = [max(len(row[column]) for row in rows) for column in range(4)]
    table = [f"{row[0]:<{width[0]}}" + "".join(f"  {row[c]:>{width[c]}}" for c in (1, 2, 3)) for row in rows]
    sound = f", {plan.seconds:,.0f} s of audio" if plan.seconds else ""
    step = f"a step: {plan.utterances} {'utterances' if sound else 'sentences'}{sound}, {plan.labels:,} labels"
    memory = {"weights": plan.weights, "gradients": plan.gradients, "optimiser": plan.optimiser}
    if plan.cost is not None:
        step += f"; {_operations(plan.cost.flops)} floating-point operations forward and backward"
        memory["activations"] = plan.cost.activations
    parts = ", ".join(f"{name} {_gigabytes(size)}" for name, size in memory.items())
    hours = f", {plan.hours:,.0f} h of audio with repetitions" if plan.seconds else ""
    work = f", {plan.cost.flops * plan.steps:.2g} operations" if plan.cost is not None else ""
    return [
        *table,
        f"labels: {plan.vocabulary:,}",
        step,
        f"memory of a step, about: {_gigabytes(plan.memory)} ({parts})",
        f"the run: {plan.steps:,} steps{hours}{work}; a checkpoint takes {_gigabytes(plan.checkpoint)}",
        *(f"note: {note}" for note in plan.notes),
    ]


def _millions(count: int) -> str:
    return f"{count / 1e6:,.2f} M"


def _operations(count: float | None) -> str:
    if count is None:
        return ""
    return f"{count / 1e12:,.2f} T" if count >= 1e11 else f"{count / 1e9:,.2f} G"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.2f} GB"
