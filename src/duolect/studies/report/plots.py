"""A study's figure: WER, or BLEU, with intervals along its axis; the seeds as small points."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from duolect.reports.figures import LIGHT, PAGE, Theme, new_figure, printable, style, to_svg
from duolect.reports.plots import Form
from duolect.storage import atomic_file
from duolect.studies.report.results import EntryResult, StudyResult
from duolect.studies.verdicts import points, points_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = {"wide": 760.0, "narrow": 360.0}
_ROW = 26.0
_SMALL = 9.0  # points of a line's name
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def axis_svg(result: StudyResult, form: Form = "wide") -> str | None:
    """The figure as SVG, its ids after the study's name; None where fewer than two rows stand."""
    if len(result.standing) < 2:
        return None
    with style(PAGE):
        figure = _figure(result, form, PAGE)
        said = "; ".join(f"{row.entry.name}: {points(row.score):.2f}" for row in result.standing if row.score)
        name = f"{result.study.name}-{result.study.scale}-{form}"
        return to_svg(figure, name, f"{_metric(result)} {_along(result)}", said)


def save_axis_png(result: StudyResult, path: str | os.PathLike[str], dpi: int = 160) -> bool:
    """The figure as a PNG on white; False, and no file, where fewer than two rows stand."""
    if len(result.standing) < 2:
        return False
    with style(LIGHT):
        figure = _figure(result, "wide", LIGHT)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, facecolor=LIGHT.paper, metadata={"Software": None})
    with atomic_file(path, "wb") as handle:
        handle.write(buffer.getvalue())
    return True


def _metric(result: StudyResult) -> str:
    return "WER %" if result.study.metric == "wer" else "BLEU"


def _along(result: StudyResult) -> str:
    return f"by {result.study.axis}" if _numeric(result.standing) else "of each system"


def _numeric(rows: Sequence[EntryResult]) -> bool:
    """Whether the rows lie on an axis: several of each line have a number, and no two of a line the same."""
    lines = [[row.entry.value for row in line] for line in _lines(rows).values()]
    return bool(lines) and all(len(values) > 1 and len(set(values)) == len(values) for values in lines)


def _lines(rows: Sequence[EntryResult]) -> dict[str, list[EntryResult]]:
    """Line → its rows, in the order of the axis."""
    found: dict[str, list[EntryResult]] = {}
    for row in sorted((row for row in rows if row.entry.value is not None), key=_value):
        found.setdefault(row.entry.line, []).append(row)
    return found


def _value(row: EntryResult) -> float:
    return float(row.entry.value or 0.0)


def _figure(result: StudyResult, form: Form, theme: Theme) -> Figure:
    rows = result.standing
    if _numeric(rows):
        names = list(_lines(rows))
        # The legend is below or, as wide as its longest name, beside the axes.
        below = 18.0 * len(names) + 20 if form == "narrow" and len(names) > 1 else 0.0
        beside = 56 + 6.2 * max(map(len, names)) if form == "wide" and len(names) > 1 else 0.0
        width, height = _WIDTH[form], 340 + below
        figure = new_figure(width, height)
        left, bottom = 0.12 if form == "narrow" else 0.09, 48 + below
        place = (left, bottom / height, 0.97 - left - beside / width, 1 - (bottom + 14) / height)
        _along_axis(figure.add_axes(place), result, rows, theme)
        if below:
            _legend(figure, loc="lower left", bbox_to_anchor=(left, 0.0))
        if beside:
            _legend(figure, loc="center right", bbox_to_anchor=(1.0, 0.55))
        return figure
    height = _ROW * len(rows) + 60
    figure = new_figure(_WIDTH[form], height)
    left = 0.36 if form == "wide" else 0.46
    _by_name(figure.add_axes((left, 44 / height, 0.97 - left, 1 - 54 / height)), result, rows, theme)
    return figure


def _along_axis(axes: Axes, result: StudyResult, rows: Sequence[EntryResult], theme: Theme) -> None:
    lines = _lines(rows)
    across = {row.entry.name: points(row.score) for row in rows if row.entry.value is None and row.score is not None}
    for height in across.values():
        axes.axhline(height, color=theme.muted, lw=1.0, ls="--", zorder=1)
    for number, (name, line) in enumerate(lines.items()):
        look = _look(number if len(lines) > 1 else None, theme)
        x, y = [_value(row) for row in line], [points(row.score) for row in line if row.score]
        axes.plot(x, y, ":" if len(lines) == 1 else "-", color=look.line, lw=1.2)
        axes.plot([], [], color=look.line, marker=look.marker, lw=1.2, ms=7.0, label=printable(name), gid=f"{y[-1]}")
        for row in line:
            _mark(axes, row, _value(row), theme, upright=True, look=look)
    places = sorted({_value(row) for line in lines.values() for row in line})
    if min(places) > 0 and max(places) >= 16 * min(places):
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.set_xlabel(result.study.axis)
    axes.set_ylabel(_metric(result))
    _name_lines(axes, across, theme)


def _name_lines(axes: Axes, across: Mapping[str, float], theme: Theme) -> None:
    """The names of lines across, from their heights; lines too near for a text between them have one together."""
    axes.get_ylim()  # settles the scale
    groups: list[list[str]] = []
    before = -math.inf
    for name in sorted(across, key=lambda name: across[name]):
        place = axes.transData.transform((0.0, across[name]))[1] / axes.figure.dpi * 72
        if place - before < 1.3 * _SMALL:
            groups[-1].append(name)
        else:
            groups.append([name])
        before = place
    for group in groups:
        axes.annotate(
            printable(" · ".join(group)),
            (1.0, across[group[-1]]),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            ha="right",
            fontsize=_SMALL,
            color=theme.muted,
            parse_math=False,
        )


def _by_name(axes: Axes, result: StudyResult, rows: Sequence[EntryResult], theme: Theme) -> None:
    for y, row in enumerate(rows):
        _mark(axes, row, float(y), theme, upright=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for label in axes.set_yticks(range(len(rows)), [printable(row.entry.name) for row in rows]):
        label.label1.set_parse_math(False)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{_metric(result)} ({'better ←' if result.study.metric == 'wer' else 'better →'})")


@dataclass(frozen=True)
class _Look:
    """The colours of a line and of its points, and their shape."""

    line: str
    point: str
    marker: str


def _look(number: int | None, theme: Theme) -> _Look:
    """Of a line by its number, or (None) where there is but one."""
    if number is None:
        return _Look(theme.muted, theme.accent, "o")
    colour = theme.series[number % len(theme.series)]
    return _Look(colour, colour, _MARKERS[number % len(_MARKERS)])


def _legend(figure: Figure, **place: Any) -> None:
    """The lines by name, those that end highest first."""
    handles, names = figure.axes[0].get_legend_handles_labels()
    ordered = sorted(zip(handles, names, strict=True), key=lambda pair: -float(pair[0].get_gid() or 0.0))
    shown = [handle for handle, _ in ordered], [name for _, name in ordered]
    for text in figure.legend(*shown, fontsize=10, handlelength=1.8, **place).get_texts():
        text.set_parse_math(False)


def _mark(
    axes: Axes, row: EntryResult, place: float, theme: Theme, *, upright: bool, look: _Look | None = None
) -> None:
    """A point with its interval, upright where the axis lies, and its seeds beside it."""
    assert row.score is not None
    look = look or _look(None, theme)
    bounds = points_interval(row.score)

    def put(values: Sequence[float], **look: object) -> None:
        there = [place] * len(values)
        axes.plot(*((there, values) if upright else (values, there)), **look)  # ty: ignore[invalid-argument-type]

    if bounds is not None:
        put([bounds.low, bounds.high], color=look.point, lw=1.6, alpha=0.55, solid_capstyle="butt")
    if len(row.runs) > 1:
        seeds = [points(run.score) for run in row.runs.values()]
        put(seeds, ls="", marker="o", ms=3.5, mfc=theme.paper, mec=theme.muted, mew=1.0, zorder=3)
    put([points(row.score)], ls="", marker=look.marker, ms=7.0, mfc=look.point, mec=look.point, zorder=4)
