"""Training logs to panels: the loss, and what was measured on dev, each over wall time where it is known.

A log line holds "step", perhaps "seconds" (or "time"), "loss", and "dev_…" or "dev/…" values; what is there is drawn.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from duolect.reports.comparison import TrainingCurve

MAX_PANELS = 4
_CLOCKS = ("seconds", "time")
_LOSSES = ("loss", "train/loss", "train_loss")
_PREFIXES = ("dev/", "dev_")
# Which dev values come first when there are more than fit.
_PREFERRED = ("WER %", "CER %", "error", "perplexity word", "loss", "perplexity", "LER %")
_RATES = {"wer", "cer", "ler", "error"}
_SHORT = {"wer", "cer", "ler", "ctc", "lm", "llm"}
_POINTS = 400


@dataclass(frozen=True)
class Line:
    """One run in one panel."""

    name: str
    x: list[float]
    y: list[float]


@dataclass(frozen=True)
class Panel:
    """One quantity of all the runs that have it."""

    title: str
    x_title: str
    lines: list[Line]
    logarithmic: bool


def panels(curves: Sequence[TrainingCurve]) -> list[Panel]:
    """The loss and up to three dev quantities; rates (WER, CER, errors) in per cent. Empty when nothing is known.

    The horizontal axis is wall time when every run has a clock that only goes forward, otherwise steps.
    """
    clocks = [_clock(curve) for curve in curves]
    timed = all(clock is not None for clock in clocks)
    unit, x_title = (1.0, "step") if not timed else _time_unit(max((c[-1][1] for c in clocks if c), default=0.0))
    series: dict[str, list[Line]] = {}
    for curve, clock in zip(curves, clocks, strict=True):
        for title, points in _quantities(curve).items():
            x = [(_at(clock, step) if timed and clock else step) / unit for step, _ in points]
            series.setdefault(title, []).append(_thin(Line(curve.name, x, [y for _, y in points])))
    titles = sorted(series, key=_importance)[:MAX_PANELS]
    return [Panel(title, x_title, series[title], _wide_range(series[title])) for title in titles]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _clock(curve: TrainingCurve) -> list[tuple[float, float]] | None:
    """(step, seconds) of a run; None when it has none or when they go back."""
    found = []
    for record in curve.records:
        seconds = next((record[key] for key in _CLOCKS if _finite(record.get(key))), None)
        if seconds is not None:
            found.append((float(record["step"]), float(seconds)))
    forward = all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(found))
    return found if found and forward else None


def _at(clock: Sequence[tuple[float, float]], step: float) -> float:
    """Seconds at a step, between (or beyond) the steps of the clock on a straight line."""
    before = (0.0, 0.0)
    for after in clock:
        if step <= after[0]:
            if after[0] == before[0]:
                return after[1]
            return before[1] + (after[1] - before[1]) * (step - before[0]) / (after[0] - before[0])
        before = after
    return before[1]


def _time_unit(longest: float) -> tuple[float, str]:
    if longest < 180:
        return 1.0, "seconds"
    return (60.0, "minutes") if longest < 3 * 3600 else (3600.0, "hours")


def _quantities(curve: TrainingCurve) -> dict[str, list[tuple[float, float]]]:
    """Panel title → (step, value); where a step was logged twice (a resumed run), the later line counts."""
    found: dict[str, dict[float, float]] = {}
    for record in curve.records:
        for title, value in _values(record):
            found.setdefault(title, {})[float(record["step"])] = value
    return {title: sorted(points.items()) for title, points in found.items()}


def _values(record: Mapping[str, Any]) -> list[tuple[str, float]]:
    loss = next((record[key] for key in _LOSSES if _finite(record.get(key))), None)
    found = [] if loss is None else [("Training loss", float(loss))]
    for key, value in record.items():
        prefix = next((prefix for prefix in _PREFIXES if key.startswith(prefix)), None)
        if prefix is None or not _finite(value):
            continue
        parts = key.removeprefix(prefix).replace("/", "_").split("_")
        rate = not _RATES.isdisjoint(parts)
        title = " ".join(part.upper() if part in _SHORT else part for part in parts)
        found.append((f"Dev {title} %" if rate else f"Dev {title}", 100 * float(value) if rate else float(value)))
    return found


def _importance(title: str) -> tuple[int, str]:
    if title == "Training loss":
        return -1, title
    rank = next((n for n, part in enumerate(_PREFERRED) if part in title), len(_PREFERRED))
    return rank, title


def _thin(line: Line) -> Line:
    """At most `_POINTS` points, the last one among them: a page need not carry each step."""
    stride = -(-len(line.x) // _POINTS)
    kept = sorted({*range(0, len(line.x), stride), len(line.x) - 1})
    return Line(line.name, [line.x[n] for n in kept], [line.y[n] for n in kept])


def _wide_range(lines: Sequence[Line]) -> bool:
    values = [y for line in lines for y in line.y]
    return min(values) > 0 and max(values) / min(values) > 15
