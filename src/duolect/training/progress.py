"""What a run shows while it goes: sums between two log lines, a live line on a terminal, plain lines elsewhere.

An interruption between two log lines leaves the sums in its checkpoint, as numbers by name: "total/ce", "size/frames" …
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from torch import nn

from duolect.nn.meters import Meter
from duolect.nn.tensors import widest
from duolect.training.distributed import Ranks
from duolect.training.step import StepResult


def batch_size(batch: Any) -> tuple[str, float]:
    """What a batch holds: ("frames", number of 10 ms frames) for speech, ("labels", number of labels) for text."""
    lengths_B = getattr(batch, "sample_lengths_B", None)
    if lengths_B is not None:
        return "frames", float(lengths_B.sum()) / 160
    return "labels", float(batch.label_lengths_B.sum())


class Window:
    """Losses, sizes and time since the last log line."""

    def __init__(self, sums: Mapping[str, float] | None = None) -> None:
        self._clear()
        if sums:
            for name, kept in self._named().items():
                start = f"{name}/"
                kept.update({k.removeprefix(start): v for k, v in sums.items() if k.startswith(start)})
            self.norm, self.steps = sums["norm"], int(sums["steps"])
            self.start -= sums["seconds"]

    def _named(self) -> dict[str, dict[str, Any]]:
        return {"total": self.totals, "count": self.counts, "weight": self.weights, "size": self.sizes}

    def sums(self) -> dict[str, float]:
        """All of it, for a window that goes on."""
        named = {f"{name}/{k}": float(v) for name, kept in self._named().items() for k, v in kept.items()}
        return {**named, "norm": self.norm, "steps": self.steps, "seconds": time.perf_counter() - self.start}

    def _clear(self) -> None:
        self.totals: dict[str, Any] = {}
        self.counts: dict[str, float] = {}
        self.weights: dict[str, float] = {}
        self.sizes: dict[str, float] = {}
        self.norm, self.steps, self.start = 0.0, 0, time.perf_counter()

    def add(self, result: StepResult, batches: Sequence[Any]) -> None:
        """Add one step. A skipped step counts for the time only, so that one NaN does not hide the other losses."""
        for batch in batches:
            name, size = batch_size(batch)
            self.sizes[name] = self.sizes.get(name, 0.0) + size
        if result.skipped:
            return
        self.steps += 1
        self.norm += result.norm
        self.weights.update(result.weights)
        for name, total in result.totals.items():
            self.totals[name] = self.totals.get(name, 0.0) + total
        for name, count in result.counts.items():
            self.counts[name] = self.counts.get(name, 0.0) + count

    def close(self, ranks: Ranks, meters: Mapping[str, tuple[float, float]]) -> dict[str, float]:
        """Mean loss per label of each term, their weighted sum "loss", gradient norm, what the model measured of itself
        (`read_meters`), sizes per second; starts anew.

        Every process must call it; the values are those over all processes.
        """
        local = {f"loss/{k}": float(v) for k, v in self.totals.items()}
        local |= {f"size/{k}": v for k, v in self.sizes.items()}
        # A term may have been met by other processes only, which then know its weight.
        local |= {f"weight/{k}": v for k, v in self.weights.items()} | {f"met/{k}": 1.0 for k in self.weights}
        local |= {f"above/{k}": above for k, (above, _) in meters.items()}
        local |= {f"below/{k}": below for k, (_, below) in meters.items()}
        summed = ranks.sum_values(local)
        seconds = max(time.perf_counter() - self.start, 1e-9)
        means = {k: summed.get(f"loss/{k}", 0.0) / count for k, count in sorted(self.counts.items()) if count}
        values: dict[str, float] = {}
        if means:
            values["loss"] = sum(summed[f"weight/{k}"] / summed[f"met/{k}"] * v for k, v in means.items())
            values |= means
            values["gradient_norm"] = self.norm / self.steps
        measured = sorted(k[6:] for k in summed if k.startswith("below/") and summed[k])
        values |= {k: summed[f"above/{k}"] / summed[f"below/{k}"] for k in measured}
        values |= {f"{k[5:]}_per_second": summed[k] / seconds for k in sorted(summed) if k.startswith("size/")}
        self._clear()
        return values

    def restart_clock(self) -> None:
        """Leave the time since the last step (evaluation, checkpoint) out of the speed."""
        if not self.steps:
            self.start = time.perf_counter()


def shared_sums(parts: Sequence[Mapping[str, float]], ranks: Ranks) -> dict[str, float]:
    """What this process goes on with of the sums of all processes that were interrupted, by rank; their number may have
    been another one."""
    if not parts:
        return {}
    mine: dict[str, float] = {}
    for part in parts[ranks.rank :: ranks.size]:
        for name, value in part.items():
            own = name.startswith(("total/", "size/", "meter/"))  # the others are the same on all that have them
            mine[name] = mine[name] + value if own and name in mine else value
    return mine | {name: value for name, value in parts[0].items() if name.startswith("count/") or "/" not in name}


def meter_sums(model: nn.Module) -> dict[str, float]:
    """What the meters of `model` hold now, as "meter/<module>/above" and "below"."""
    sums: dict[str, float] = {}
    for path, meter in model.named_modules():
        if isinstance(meter, Meter) and meter.sums is not None:
            above, below = meter.sums.tolist()
            sums |= {f"meter/{path}/above": above, f"meter/{path}/below": below}
    return sums


def restore_meters(model: nn.Module, sums: Mapping[str, float]) -> None:
    """Put back what `meter_sums` gave."""
    device = next(model.parameters()).device
    for path, meter in model.named_modules():
        if isinstance(meter, Meter) and f"meter/{path}/above" in sums:
            pair = [sums[f"meter/{path}/above"], sums[f"meter/{path}/below"]]
            meter.sums = torch.tensor(pair, dtype=widest(device), device=device)


class Reporter:
    """Shows a run on a console: one live line on a terminal, one plain line for each log line elsewhere.

    `quiet`: nothing is shown (the processes of a run other than the first).
    """

    def __init__(self, steps: int, start: int, *, quiet: bool = False, console: Console | None = None) -> None:
        self.steps, self.start, self.quiet = steps, start, quiet
        self.console = console or Console(stderr=True)
        self.begin = time.perf_counter()
        self.bar: Progress | None = None
        if self.console.is_terminal and not quiet:
            columns = (TextColumn("train"), BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn())
            self.bar = Progress(*columns, TextColumn("{task.fields[text]}"), console=self.console, refresh_per_second=4)
            self.task = self.bar.add_task("train", total=steps, completed=start, text="")
            self.bar.start()

    def step(self, step: int) -> None:
        """`step` steps are done."""
        if self.bar is not None:
            self.bar.update(self.task, completed=step)

    def losses(self, step: int, values: Mapping[str, Any]) -> None:
        """Show a log line and the time left."""
        left = (time.perf_counter() - self.begin) / max(1, step - self.start) * (self.steps - step)
        text = f"{_brief(values)}  {_clock(left)} left"
        if self.bar is not None:
            self.bar.update(self.task, completed=step, text=text)
        else:
            self.say(f"step {step}/{self.steps}  {text}")

    def say(self, text: str) -> None:
        """Print one line above the live line."""
        if not self.quiet:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Stop the live line."""
        if self.bar is not None:
            self.bar.stop()


def _brief(values: Mapping[str, Any]) -> str:
    skip = ("step", "epoch", "seconds")
    return "  ".join(f"{k} {_number(k, v)}" for k, v in values.items() if k not in skip and isinstance(v, int | float))


def _number(name: str, value: float) -> str:
    if name == "lr":
        return f"{value:.2e}"
    return f"{value:.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.3f}"


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
