"""A study's figure: WER, or BLEU, with intervals along its axis; the seeds as small points."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

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
    """Whether the rows lie on an axis: several have a number, and no two the same."""
    values = [row.entry.value for row in rows if row.entry.value is not None]
    return len(values) > 1 and len(set(values)) == len(values)


def _figure(result: StudyResult, form: Form, theme: Theme) -> Figure:
    rows = result.standing
    if _numeric(rows):
        figure = new_figure(_WIDTH[form], 340)
        _along_axis(figure.add_axes((0.09, 0.14, 0.88, 0.82)), result, rows, theme)
        return figure
    height = _ROW * len(rows) + 60
    figure = new_figure(_WIDTH[form], height)
    left = 0.36 if form == "wide" else 0.46
    _by_name(figure.add_axes((left, 44 / height, 0.97 - left, 1 - 54 / height)), result, rows, theme)
    return figure


def _along_axis(axes: Axes, result: StudyResult, rows: Sequence[EntryResult], theme: Theme) -> None:
    ordered = sorted((row for row in rows if row.entry.value is not None), key=lambda row: row.entry.value or 0.0)
    for row in rows:
        if row.entry.value is None and row.score is not None:  # not on the axis: a line across
            axes.axhline(points(row.score), color=theme.muted, lw=1.0, ls="--", zorder=1)
            axes.annotate(
                printable(row.entry.name),
                (1.0, points(row.score)),
                xycoords=("axes fraction", "data"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="right",
                fontsize=9,
                color=theme.muted,
                parse_math=False,
            )
    places = [float(row.entry.value or 0.0) for row in ordered]
    axes.plot(places, [points(row.score) for row in ordered if row.score], ":", color=theme.muted, lw=1.2)
    for row, x in zip(ordered, places, strict=True):
        _mark(axes, row, x, theme, upright=True)
    if min(places) > 0 and max(places) >= 16 * min(places):
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(places, [f"{place:g}" for place in places])
    axes.set_xlabel(result.study.axis)
    axes.set_ylabel(_metric(result))


def _by_name(axes: Axes, result: StudyResult, rows: Sequence[EntryResult], theme: Theme) -> None:
    for y, row in enumerate(rows):
        _mark(axes, row, float(y), theme, upright=False)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    for label in axes.set_yticks(range(len(rows)), [printable(row.entry.name) for row in rows]):
        label.label1.set_parse_math(False)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"{_metric(result)} ({'better ←' if result.study.metric == 'wer' else 'better →'})")


def _mark(axes: Axes, row: EntryResult, place: float, theme: Theme, *, upright: bool) -> None:
    """A point with its interval, upright where the axis lies, and its seeds beside it."""
    assert row.score is not None
    bounds = points_interval(row.score)

    def put(values: Sequence[float], **look: object) -> None:
        there = [place] * len(values)
        axes.plot(*((there, values) if upright else (values, there)), **look)  # ty: ignore[invalid-argument-type]

    if bounds is not None:
        put([bounds.low, bounds.high], color=theme.accent, lw=1.6, alpha=0.55, solid_capstyle="butt")
    if len(row.runs) > 1:
        seeds = [points(run.score) for run in row.runs.values()]
        put(seeds, ls="", marker="o", ms=3.5, mfc=theme.paper, mec=theme.muted, mew=1.0, zorder=3)
    put([points(row.score)], ls="", marker="o", ms=7.0, mfc=theme.accent, mec=theme.accent, zorder=4)
