"""The figures of a comparison: error rate against speed, and how the models were trained.

Each comes as an SVG for the page (`*_svg`), in a wide and a narrow form, and as a PNG for a document (`save_png`).
"""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from duolect.reports.comparability import incomparable, memory_alike, timed
from duolect.reports.comparison import Comparison, SystemResult, TrainingCurve
from duolect.reports.curves import Panel, panels
from duolect.reports.figures import LIGHT, LINE_STYLES, PAGE, Theme, new_figure, printable, style, to_svg
from duolect.reports.labels import Box, nearest, place_labels
from duolect.reports.table import memory_text, percent, rtfx_text
from duolect.storage import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Form = Literal["wide", "narrow"]

_SPEED_SIZE: Mapping[Form, tuple[float, float]] = {"wide": (760, 420), "narrow": (360, 420)}
_PANEL_SIZE: Mapping[Form, tuple[float, float]] = {"wide": (380, 240), "narrow": (360, 230)}
_MARKER = 8.0
_MARKERS = (6.0, 17.0)  # diameters, where the area stands for memory


def speed_svg(comparison: Comparison, form: Form = "wide", name: str = "speed") -> str | None:
    """WER with 95 % intervals against RTFx as SVG; None when no system was timed. `name`: of its ids in the page."""
    systems = timed(comparison.systems)
    if not systems:
        return None
    with style(PAGE):
        figure = _speed_figure(comparison, systems, form, PAGE)
        known = _memory_known(systems)
        said = "; ".join(
            f"{s.name}: {percent(s.score.wer)} % at RTFx {rtfx_text(s.timing.rtfx)}"
            + (f", {memory_text(s.peak_memory)}" if known else "")
            for s in sorted(systems, key=lambda s: s.score.wer)
        )
        return to_svg(figure, f"{name}-{form}", "Word error rate against speed", said)


def speed_caption(comparison: Comparison) -> str:
    """What the figure of `speed_svg` shows."""
    systems = timed(comparison.systems)
    known = _memory_known(systems)
    size = "The area of a point is its peak memory. " if known else ""
    beaten = "accuracy, speed and memory" if known else "both accuracy and speed"
    points = f"Each point is a system with the 95 % interval of its WER; the square is the baseline. {size}"
    if why := incomparable(systems):
        return f"{points}No point is filled and none are joined, for the speeds cannot be compared: {why}."
    return (
        f"{points}Filled points are beaten by no other system in {beaten}; the dotted line joins those that none "
        "beats in accuracy and speed."
    )


def curves_svg(curves: Sequence[TrainingCurve], form: Form = "wide") -> str | None:
    """Loss and dev values of training runs over time (or steps) as SVG; None when there is nothing to draw."""
    found = panels(curves)
    if not found:
        return None
    with style(PAGE):
        figure = _curves_figure(found, [curve.name for curve in curves], form, PAGE)
        said = "; ".join(
            f"{panel.title}: " + ", ".join(f"{line.name} ends at {line.y[-1]:.3g}" for line in panel.lines)
            for panel in found
        )
        return to_svg(figure, f"curves-{form}", "Training curves", said)


def save_png(comparison: Comparison, path: str | os.PathLike[str], form: Form = "wide", dpi: int = 160) -> None:
    """WER against RTFx as a PNG on white, for a README or a paper draft; nothing is written when no system was timed.

    Raises DuolectError when the folder cannot be written.
    """
    systems = timed(comparison.systems)
    if not systems:
        return
    with style(LIGHT):
        figure = _speed_figure(comparison, systems, form, LIGHT)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, facecolor=LIGHT.paper, metadata={"Software": None})
    with atomic_file(path, "wb") as handle:
        handle.write(buffer.getvalue())


def frontier(systems: Sequence[SystemResult]) -> list[SystemResult]:
    """The systems that no other one beats in both accuracy and speed, from the fastest to the slowest; none where
    speeds cannot be compared."""
    if incomparable(systems):
        return []
    ordered = sorted(systems, key=lambda s: (-s.timing.rtfx, s.score.wer))
    kept: list[SystemResult] = []
    for system in ordered:
        if not kept or system.score.wer < kept[-1].score.wer:
            kept.append(system)
    return kept


def pareto(systems: Sequence[SystemResult]) -> list[SystemResult]:
    """The systems that no other one beats: none is at least as good in accuracy, speed and (where it is known of all)
    memory, and better in one of them. In the order given; none where speeds cannot be compared."""
    if incomparable(systems):
        return []
    known = _memory_known(systems)

    def costs(system: SystemResult) -> tuple[float, float, float]:
        return system.score.wer, -system.timing.rtfx, float(system.peak_memory or 0) if known else 0.0

    every = [costs(system) for system in systems]
    return [
        system
        for system, own in zip(systems, every, strict=True)
        if not any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in every)
    ]


def _memory_known(systems: Sequence[SystemResult]) -> bool:
    """Whether memory can be compared: measured of all, on the same side (host or accelerator)."""
    return memory_alike(systems) and all(system.peak_memory for system in systems)


def _diameters(systems: Sequence[SystemResult]) -> list[float]:
    """Of the points: the area stands for memory, the largest having the largest diameter."""
    if not _memory_known(systems):
        return [_MARKER] * len(systems)
    largest = max(system.peak_memory or 0 for system in systems)
    return [max(_MARKERS[0], _MARKERS[1] * math.sqrt((system.peak_memory or 0) / largest)) for system in systems]


def _speed_figure(comparison: Comparison, systems: Sequence[SystemResult], form: Form, theme: Theme) -> Figure:
    figure = new_figure(*_SPEED_SIZE[form])
    axes = figure.add_axes((0.07, 0.12, 0.91, 0.78) if form == "wide" else (0.14, 0.12, 0.84, 0.78))
    best = frontier(systems)
    axes.plot(
        [s.timing.rtfx for s in best], [100 * s.score.wer for s in best], ":", color=theme.muted, lw=1.2, zorder=1.5
    )
    filled, diameters = pareto(systems), _diameters(systems)
    for system, diameter in sorted(zip(systems, diameters, strict=True), key=lambda pair: -pair[1]):
        x, y = system.timing.rtfx, 100 * system.score.wer
        if system.score.interval is not None:
            low, high = 100 * system.score.interval.low, 100 * system.score.interval.high
            axes.plot([x, x], [low, high], color=theme.accent, lw=1.4, alpha=0.55, solid_capstyle="butt", zorder=2)
        axes.plot(
            [x],
            [y],
            "s" if system.name == comparison.baseline else "o",
            ms=diameter,
            mec=theme.accent,
            mew=1.6,
            mfc=theme.accent if system in filled else theme.paper,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.set_xlabel("RTFx: seconds of audio per second (faster →)")
    axes.set_ylabel("WER % (better ↓)")
    _speed_limits(axes, systems)
    axes.grid(axis="x", which="minor", visible=False)
    _name_points(figure, axes, systems, diameters, best, theme)
    if _memory_known(systems):
        _memory_scale(figure, systems, diameters, theme)
    return figure


def _speed_limits(axes: Axes, systems: Sequence[SystemResult]) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    speeds = [s.timing.rtfx for s in systems]
    low, high = math.log10(min(speeds)), math.log10(max(speeds))
    margin = max(0.12 * (high - low), 0.18)
    low, high = low - margin, high + margin
    axes.set_xlim(10**low, 10**high)
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    decades = range(math.floor(low), math.ceil(high) + 1)
    ticks = [m * 10.0**e for e in decades for m in steps if low <= math.log10(m * 10.0**e) <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))

    rates = [s.score.wer for s in systems]
    bounds = [b for s in systems if s.score.interval for b in (s.score.interval.low, s.score.interval.high)]
    bottom, top = 100 * min(rates + bounds), 100 * max(rates + bounds)
    margin = max(0.08 * (top - bottom), 0.25)
    axes.set_ylim(max(0.0, bottom - margin) if bottom > margin else -margin / 2, top + margin)


def _name_points(
    figure: Figure,
    axes: Axes,
    systems: Sequence[SystemResult],
    diameters: Sequence[float],
    best: Sequence[SystemResult],
    theme: Theme,
) -> None:
    """Write each system's name beside its point, with a thin line where it had to move away."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()
    places = [axes.transData.transform((s.timing.rtfx, 100 * s.score.wer)) for s in systems]
    points = [(float(x), float(y)) for x, y in places]
    texts = [
        axes.text(0, 0, printable(s.name), fontsize=10, color=theme.ink, zorder=4, parse_math=False) for s in systems
    ]
    extents = [text.get_window_extent(renderer) for text in texts]
    radii = [diameter / 2 + 1.5 for diameter in diameters]
    obstacles = [Box(x - r, y - r, x + r, y + r) for (x, y), r in zip(points, radii, strict=True)]
    for system, (x, _) in zip(systems, points, strict=True):
        if system.score.interval is not None:
            ends = [
                float(axes.transData.transform((system.timing.rtfx, 100 * b))[1])
                for b in (system.score.interval.low, system.score.interval.high)
            ]
            obstacles.append(Box(x - 1.5, ends[0], x + 1.5, ends[1]))
    corners = [points[systems.index(system)] for system in best]
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        pieces = max(1, round(math.dist((x0, y0), (x1, y1)) / 6))
        for n in range(pieces):
            x, y = x0 + (x1 - x0) * (n + 0.5) / pieces, y0 + (y1 - y0) * (n + 0.5) / pieces
            obstacles.append(Box(x - 3, y - 3, x + 3, y + 3))
    area = axes.get_window_extent(renderer)
    boxes = place_labels(
        points,
        [(extent.width + 2, extent.height + 1) for extent in extents],
        obstacles,
        Box(area.x0 + 2, area.y0 + 2, area.x1, area.y1),
    )
    inverse = axes.transData.inverted()
    for text, point, box in zip(texts, points, boxes, strict=True):
        text.set_position(tuple(inverse.transform((box.left + 1, box.bottom + 1))))
        text.set_verticalalignment("bottom")
        end = nearest(box, point)
        if math.dist(end, point) > 7 + max(diameters) / 2:
            xs, ys = zip(*inverse.transform([point, end]), strict=True)
            axes.plot(xs, ys, color=theme.muted, lw=0.7, zorder=2.5)


def _memory_scale(figure: Figure, systems: Sequence[SystemResult], diameters: Sequence[float], theme: Theme) -> None:
    """The least and the most memory, as points of that size."""
    from matplotlib.lines import Line2D

    ordered = sorted(zip(diameters, systems, strict=True), key=lambda pair: (pair[0], pair[1].peak_memory or 0))
    ends = {memory_text(system.peak_memory): diameter for diameter, system in (ordered[0], ordered[-1])}
    look: dict[str, Any] = {"marker": "o", "ls": "", "mfc": theme.paper, "mec": theme.muted, "mew": 1.2}
    figure.legend(
        [Line2D([], [], ms=diameter, **look) for diameter in ends.values()],
        list(ends),
        title="Peak memory",
        loc="upper right",
        fontsize=10,
        title_fontsize=10,
        borderaxespad=0.2,
        ncols=2,
        handletextpad=0.2,
        columnspacing=0.8,
    )


def _curves_figure(found: Sequence[Panel], names: Sequence[str], form: Form, theme: Theme) -> Figure:
    per_row = 2 if form == "wide" and len(found) > 1 else 1
    rows = -(-len(found) // per_row)
    width, height = _PANEL_SIZE[form]
    if form == "wide":
        width = 760 / per_row
    # One entry a line on a phone, otherwise in rows.
    legend_rows = 0 if len(names) < 2 else len(names) if form == "narrow" else -(-len(names) // 3)
    head = 20.0 * legend_rows
    figure = new_figure(per_row * width, rows * height + head)
    look: dict[str, dict[str, Any]] = {
        name: {"color": theme.series[n % len(theme.series)], "ls": LINE_STYLES[n % len(LINE_STYLES)]}
        for n, name in enumerate(names)
    }
    grid = figure.subplots(rows, per_row, squeeze=False)
    for axes in grid.flat[len(found) :]:
        axes.set_visible(False)
    for axes, panel in zip(grid.flat, found, strict=False):
        for line in panel.lines:
            sparse = len(line.x) <= 25
            axes.plot(line.x, line.y, lw=1.8, marker="o" if sparse else None, ms=3.5, **look[line.name])
        axes.set_title(printable(panel.title), parse_math=False)
        axes.set_xlabel(panel.x_title)
        if panel.logarithmic:
            _log_axis(axes)
    total = rows * height + head
    figure.subplots_adjust(
        left=46 / (per_row * width),
        right=1 - 12 / (per_row * width),
        bottom=42 / total,
        top=1 - (head + 26) / total,
        wspace=0.18,
        hspace=72 / (height - 68),
    )
    if legend_rows:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], lw=1.8, **look[name]) for name in names]
        legend = figure.legend(
            handles,
            [printable(name) for name in names],
            loc="upper left",
            ncols=1 if form == "narrow" else 3,
            fontsize=10,
            borderaxespad=0.2,
            handlelength=3,
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    return figure


def _log_axis(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
