"""A table as columns of cells with sentences below, drawn for the terminal (rich) and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from duolect.evaluation import Interval

DASH = "–"
_UNBROKEN = 18  # characters: longer cells, which are words, may be broken between these
# Left out first when the terminal is narrow.
_DISPENSABLE = ("Latency s (95 %)", "GFLOP per audio s", "Peak memory", "Sub/Del/Ins", "RTFx")
# In two lines on a terminal, where width is dear.
_HEADS = {
    "95 % interval": "95 %\ninterval",
    "Peak memory": "Peak\nmemory",
    "GFLOP per audio s": "GFLOP per\naudio s",
    "Latency s (95 %)": "Latency s\n(95 %)",
    "Tokens/s ×": "Tokens/s\n×",
    "RTFx ×": "RTFx\n×",
    "Memory ×": "Memory\n×",
    "RTFx, files": "RTFx,\nfiles",
}
_NAME_WIDTH = 20


@dataclass(frozen=True)
class Cell:
    """A cell's text, and whether it is the best of its column (or row)."""

    text: str
    best: bool = False
    below: str = ""
    """What stands below it, smaller."""


@dataclass(frozen=True)
class Column:
    """A column of the table: one cell for each system, in the comparison's order."""

    title: str
    cells: tuple[Cell, ...]


def counted(number: int, what: str) -> str:
    """A number of things: "1 utterance", "1,203 utterances"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def percent(rate: float, digits: int = 2) -> str:
    """A fraction in per cent without the sign: 0.0512 → "5.12"."""
    return f"{100 * rate:.{digits}f}" if math.isfinite(rate) else "∞"


def interval_text(interval: Interval | None) -> str:
    """An interval of fractions in per cent: "4.31–5.90"; a dash where there is none."""
    return f"{percent(interval.low)}–{percent(interval.high)}" if interval is not None else DASH


def p_text(p_value: float) -> str:
    """A p-value with as many digits as mean something: "0.43", "0.013", "<0.001"."""
    if p_value < 0.001:
        return "<0.001"
    return f"{p_value:.2f}" if p_value >= 0.1 else f"{p_value:.3f}"


def rtfx_text(rtfx: float) -> str:
    """Audio seconds per second, three digits or so: "4,295", "41.8", "0.93"."""
    if not math.isfinite(rtfx):
        return DASH
    return f"{rtfx:,.0f}" if rtfx >= 100 else f"{rtfx:.1f}" if rtfx >= 10 else f"{rtfx:.2f}"


def memory_text(size: int | None) -> str:
    """Bytes as MiB or GiB; a dash where nothing was measured."""
    if size is None:
        return DASH
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def plain_column(title: str, texts: Sequence[str]) -> Column:
    """A column in which nothing is marked."""
    return Column(title, tuple(map(Cell, texts)))


def marked_column(title: str, values: Sequence[float], texts: Sequence[str], *, low: bool) -> Column:
    """A column whose best finite value, the smallest where `low`, is marked; all of them where several are equal."""
    finite = [value for value in values if math.isfinite(value)]
    best = (min(finite) if low else max(finite)) if finite and len(values) > 1 else None
    return Column(title, tuple(Cell(text, value == best) for text, value in zip(texts, values, strict=True)))


def draw_terminal(title: str, wanted: Sequence[Column], legend: Sequence[str], width: int = 80) -> RenderableType:
    """The table and its legend for a terminal of `width` columns; what does not fit is left out and named."""
    wanted, dropped = list(wanted), []
    for dispensable in _DISPENSABLE:
        if natural_width(wanted) <= width:
            break
        if any(column.title == dispensable for column in wanted):
            wanted = [column for column in wanted if column.title != dispensable]
            dropped.append(dispensable)
    # As Text, for what stands in square brackets in a plain string is rich's markup.
    table = Table(
        title=Text(title, style="table.title"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for number, column in enumerate(wanted):
        table.add_column(
            Text(_HEADS.get(column.title, column.title)),
            vertical="bottom",
            justify="right" if number else "left",
            no_wrap=number > 0 and all(len(cell.text) <= _UNBROKEN for cell in column.cells),
            overflow="fold",
        )
    for n in range(len(wanted[0].cells)):
        cells = [column.cells[n] for column in wanted]
        table.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in cells))
    lines = [*legend, *([f"Left out for want of width: {', '.join(dropped)}."] if dropped else [])]
    return Group(table, "", *(Text(line, style="dim") for line in lines))


def draw_markdown(found: Sequence[Column], legend: Sequence[str]) -> str:
    """The table and its legend as Markdown; the best values are bold."""
    lines = [
        "| " + " | ".join(escape_markdown(column.title) for column in found) + " |",
        "| " + " | ".join("---" if n == 0 else "---:" for n in range(len(found))) + " |",
    ]
    for n in range(len(found[0].cells)):
        cells = [escape_markdown(_whole(column.cells[n])) for column in found]
        cells = [f"**{c}**" if column.cells[n].best else c for c, column in zip(cells, found, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{escape_markdown(line)}  " for line in legend)]).rstrip() + "\n"


def escape_markdown(text: str) -> str:
    """The text as one line in which Markdown sees no marks and no HTML."""
    for mark in "\\|<>*_`":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


def each(systems: Sequence[Any], text: Callable[[Any], Any]) -> str:
    """What `text` says of all systems: once when it is the same, else what most have and the exceptions by name."""
    said = {system.name: str(text(system)) for system in systems}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    grouped: dict[str, list[str]] = {}
    for name, value in said.items():
        grouped.setdefault(value, []).append(name)
    usual = max(grouped, key=lambda value: len(grouped[value]))
    if 2 * len(grouped[usual]) <= len(said):
        return ", ".join(f"{value} ({', '.join(names)})" for value, names in grouped.items())
    others = ", ".join(f"{', '.join(names)}: {value}" for value, names in grouped.items() if value != usual)
    return f"{usual} ({others})"


def natural_width(wanted: Sequence[Column]) -> int:
    """Characters the table needs with names and texts wrapped at `_NAME_WIDTH` and two between columns."""
    heads = [_HEADS.get(column.title, column.title).splitlines() for column in wanted]
    widths = [
        max(len(text) for text in (*head, *(cell.text for cell in column.cells)))
        for head, column in zip(heads, wanted, strict=True)
    ]
    broken = (w if number and w <= _UNBROKEN else min(w, _NAME_WIDTH) for number, w in enumerate(widths))
    return sum(broken) + 2 * (len(widths) - 1)


def _whole(cell: Cell) -> str:
    return f"{cell.text} ({cell.below})" if cell.below else cell.text
