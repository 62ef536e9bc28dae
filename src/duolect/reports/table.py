"""The result table: one model of its cells, drawn for the terminal (rich), as Markdown, and by `page` as HTML."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from duolect.evaluation import Interval
from duolect.reports.comparison import Comparison, SystemResult

DASH = "–"
_SPOKEN_OF = ("device", "precision", "threads", "batch", "beam")
# Left out first when the terminal is narrow.
_DISPENSABLE = ("Peak memory", "Sub/Del/Ins", "RTFx")
# In two lines on a terminal, where width is dear.
_HEADS = {"95 % interval": "95 %\ninterval", "Peak memory": "Peak\nmemory"}
_NAME_WIDTH = 20


@dataclass(frozen=True)
class Cell:
    """A cell's text, and whether it is the best of its column."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Column:
    """A column of the table: one cell for each system, in the comparison's order."""

    title: str
    cells: tuple[Cell, ...]


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


def columns(comparison: Comparison) -> list[Column]:
    """The table's columns; the best WER, RTFx and memory are marked, all of them where several are equal.

    Speed and memory are left out where they are known of no system.
    """
    systems = comparison.systems
    several = len(systems) > 1

    def marked(
        title: str, value: Callable[[SystemResult], float], text: Callable[[SystemResult], str], low: bool
    ) -> Column:
        values = [value(system) for system in systems]
        finite = [v for v in values if math.isfinite(v)]
        best = (min(finite) if low else max(finite)) if finite and several else None
        return Column(title, tuple(Cell(text(s), v == best) for s, v in zip(systems, values, strict=True)))

    def plain(title: str, text: Callable[[SystemResult], str]) -> Column:
        return Column(title, tuple(Cell(text(system)) for system in systems))

    def paired(system: SystemResult) -> str:
        if system.name == comparison.baseline:
            return "baseline"
        return p_text(system.paired.p_value) if system.paired is not None else DASH

    def memory(system: SystemResult) -> float:
        return math.inf if system.peak_memory is None else system.peak_memory

    def split(system: SystemResult) -> str:
        errors = system.score.errors
        return f"{errors.substitutions}/{errors.deletions}/{errors.insertions}"

    found = [
        plain("System", lambda s: s.name),
        marked("WER %", lambda s: s.score.wer, lambda s: percent(s.score.wer), low=True),
        plain("95 % interval", lambda s: interval_text(s.score.interval)),
        plain("Sub/Del/Ins", split),
        plain("p", paired),
    ]
    if _timed(comparison):
        found.append(marked("RTFx", lambda s: s.timing.rtfx, lambda s: rtfx_text(s.timing.rtfx), low=False))
    if any(system.peak_memory is not None for system in systems):
        found.append(marked("Peak memory", memory, lambda s: memory_text(s.peak_memory), low=True))
    for title in dict.fromkeys(title for system in systems for title in system.details):
        found.append(Column(title, tuple(Cell(system.details.get(title, DASH)) for system in systems)))
    return found


def legend(comparison: Comparison) -> list[str]:
    """Sentences that say how the table's numbers were made."""
    scores = [system.score for system in comparison.systems]
    lines = [
        "WER: substituted, deleted and inserted words per 100 reference words, pooled over "
        + _each(comparison, lambda s: f"{s.score.utterances:,} utterances ({s.score.errors.words:,} words)")
        + "; normaliser "
        + _each(comparison, lambda s: s.score.normaliser)
        + f"; aligned by {scores[0].aligner}.",
        f"Interval: percentile bootstrap over utterances, {scores[0].replicas:,} replicas, seed {scores[0].seed}.",
    ]
    if len(scores) > 1:
        more = ", not corrected for the number of systems" if len(scores) > 2 else ""
        lines.append(
            f"p: two-sided matched-pairs randomisation test against {comparison.baseline} on the same utterances{more}."
        )
    settings = [text for key in _SPOKEN_OF if (text := _setting(comparison, key))]
    region = _each(comparison, lambda s: s.timing.region or "not stated")
    if _timed(comparison):
        lines.append(
            f"RTFx: seconds of audio per second of work; timed region: {region}"
            + "".join(f"; {text}" for text in settings)
            + "."
        )
    if any(system.peak_memory is not None for system in comparison.systems):
        kind = _setting(comparison, "memory", named=False)
        lines.append(f"Peak memory: largest amount held while recognising{f' ({kind})' if kind else ''}.")
    lines += _left_out(comparison)
    return lines


def terminal_table(comparison: Comparison, width: int = 80) -> RenderableType:
    """The table and its legend for a terminal of `width` columns; what does not fit is left out and named."""
    wanted = columns(comparison)
    dropped: list[str] = []
    for title in _DISPENSABLE:
        if _natural_width(wanted) <= width:
            break
        wanted = [column for column in wanted if column.title != title]
        dropped.append(title)
    table = Table(
        title=comparison.title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for column in wanted:
        first = column.title == "System"
        table.add_column(
            _HEADS.get(column.title, column.title),
            vertical="bottom",
            justify="left" if first else "right",
            no_wrap=not first,
            overflow="fold",
        )
    for n in range(len(comparison.systems)):
        cells = [column.cells[n] for column in wanted]
        table.add_row(*(Text(cell.text, style="bold" if cell.best else "") for cell in cells))
    lines = legend(comparison)
    if dropped:
        lines.append(f"Left out for want of width: {', '.join(dropped)}.")
    return Group(table, "", *(Text(line, style="dim") for line in lines))


def print_table(comparison: Comparison, console: Console | None = None) -> None:
    """Print the table and its legend at the console's width."""
    console = console or Console()
    console.print(terminal_table(comparison, console.width))


def markdown_table(comparison: Comparison) -> str:
    """The table and its legend as Markdown; the best values are bold."""
    found = columns(comparison)
    lines = [
        "| " + " | ".join(column.title for column in found) + " |",
        "| " + " | ".join("---" if n == 0 else "---:" for n in range(len(found))) + " |",
    ]
    for n in range(len(comparison.systems)):
        cells = [_escape_markdown(column.cells[n].text) for column in found]
        cells = [f"**{c}**" if column.cells[n].best else c for c, column in zip(cells, found, strict=True)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{_escape_markdown(line)}  " for line in legend(comparison))]).rstrip() + "\n"


def _timed(comparison: Comparison) -> bool:
    return any(math.isfinite(system.timing.rtfx) for system in comparison.systems)


def _natural_width(wanted: Sequence[Column]) -> int:
    """Characters the table needs with system names wrapped at `_NAME_WIDTH` and two between columns."""
    heads = [_HEADS.get(column.title, column.title).splitlines() for column in wanted]
    widths = [
        max(len(text) for text in (*head, *(cell.text for cell in column.cells)))
        for head, column in zip(heads, wanted, strict=True)
    ]
    return min(widths[0], _NAME_WIDTH) + sum(widths[1:]) + 2 * (len(widths) - 1)


def _escape_markdown(text: str) -> str:
    for mark in "\\|<>*_`":
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", " ")


def _each(comparison: Comparison, text: Callable[[SystemResult], Any]) -> str:
    """What `text` says of all systems: once when it is the same, else what most have and the exceptions by name."""
    said = {system.name: str(text(system)) for system in comparison.systems}
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


def _setting(comparison: Comparison, key: str, *, named: bool = True) -> str:
    def value(system: SystemResult) -> Any:
        return system.provenance.get(key, comparison.provenance.get(key))

    if all(value(system) is None for system in comparison.systems):
        return ""
    said = _each(comparison, lambda s: DASH if value(s) is None else value(s))
    return f"{key} {said}" if named else said


def _left_out(comparison: Comparison) -> list[str]:
    lines = []
    if any(system.score.empty_references for system in comparison.systems):
        counts = _each(comparison, lambda s: s.score.empty_references)
        lines.append(f"Utterances with an empty reference, not scored: {counts}.")
    if any(system.score.skipped for system in comparison.systems):
        counts = _each(
            comparison,
            lambda s: f"{s.score.skipped} {'counted as deleted' if s.score.skipped_as_deletions else 'left out'}",
        )
        lines.append(f"Utterances that could not be recognised: {counts}.")
    return lines
