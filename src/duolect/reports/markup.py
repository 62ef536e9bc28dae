"""What pages are written in: escaping, sentences, tables and aligned words as HTML.

Every text that comes from outside (names, hypotheses, provenance) passes through `escape`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from duolect.evaluation import Interval
from duolect.reports.cells import Column
from duolect.reports.differences import HeardBy, Part
from duolect.reports.figures import printable

LONG = 32
"""Cells of more characters than this are wrapped, as prose."""


def escape(value: Any) -> str:
    """Escaped for element content and for quoted attributes."""
    return html.escape(printable(str(value)), quote=True)


def prose(sentence: str) -> str:
    """Escaped, and without line breaks inside "5.1 %" and "p = 0.2"."""
    return escape(re.sub(r"(?<=\d) (?=%)|(?<=\bp) (?=[=<])|(?<=[=<]) (?=\d)", "\u00a0", sentence))


def section(anchor: str, title: str, body: Iterable[str]) -> Iterator[str]:
    """A part of the page under a heading."""
    yield f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(title)}</h2>'
    yield from body
    yield "</section>"


def columns_table(
    columns: Sequence[Column],
    caption: str,
    drawings: Sequence[str] = (),
    notes: Sequence[str] = (),
    *,
    drawn_after: int = 2,
) -> Iterator[str]:
    """A table of `columns`, the first of which names the rows.

    drawings: an SVG for each row, after its first `drawn_after` columns. notes: a line below each row's name, or "".
    On a phone each row becomes a block in which every cell carries the title of its column.
    """
    yield f'<div class="scroll"><table class="results"><caption class="unsaid">{escape(caption)}</caption>'
    heads = [f'<th scope="col">{escape(column.title)}</th>' for column in columns]
    if drawings:
        heads.insert(drawn_after, '<th scope="col" class="figure" aria-hidden="true"></th>')
    yield f"<thead><tr>{''.join(heads)}</tr></thead><tbody>"
    for n, name in enumerate(columns[0].cells):
        about = f"<small>{escape(notes[n])}</small>" if notes and notes[n] else ""
        cells = [f'<th scope="row">{escape(name.text)}{about}</th>']
        for column in columns[1:]:
            cell = column.cells[n]
            best = f' class="best{" over" if cell.below else ""}"' if cell.best else ""
            best = best or (' class="prose"' if len(cell.text) > LONG else "")
            said = '<span class="unsaid"> (best)</span>' if cell.best else ""
            star = '<span class="star" aria-hidden="true">★</span>' if cell.best else ""
            small = f"{star}<small>{escape(cell.below)}</small>" if cell.below else ""
            cells.append(f'<td{best} data-title="{escape(column.title)}">{escape(cell.text)}{said}{small}</td>')
        if drawings:
            cells.insert(drawn_after, f'<td class="figure" aria-hidden="true">{drawings[n]}</td>')
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def legend_list(lines: Iterable[str]) -> str:
    """Sentences below a table."""
    return f'<ul class="legend">{"".join(f"<li>{prose(line)}</li>" for line in lines)}</ul>'


def figure(wide: str | None, narrow: str | None, caption: str = "") -> str:
    """A figure in two forms, for a laptop and for a phone."""
    below = f"<figcaption>{prose(caption)}</figcaption>" if caption else ""
    return f'<figure><div class="wide">{wide or ""}</div><div class="narrow">{narrow or ""}</div>{below}</figure>'


def bounds_of(intervals: Sequence[Interval | None]) -> Interval | None:
    """From the lowest to the highest bound; None where an interval is missing or there is nothing to draw."""
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals) or not known:
        return None
    low, high = min(i.low for i in known), max(i.high for i in known)
    return Interval(low, high) if high > low else None


def whiskers(rates: Sequence[float], intervals: Sequence[Interval | None], bounds: Interval) -> str:
    """A small drawing of rates and their intervals, one below the other, on the scale of `bounds`.

    With several, each has the colour of its place.
    """

    def x(rate: float) -> str:
        return f"{4 + 112 * (min(max(rate, bounds.low), bounds.high) - bounds.low) / (bounds.high - bounds.low):.1f}"

    step = 24 if len(rates) == 1 else 11
    drawn = []
    for n, (rate, interval) in enumerate(zip(rates, intervals, strict=True)):
        y = f"{step * (n + 0.5):g}"
        colour = "var(--accent)" if len(rates) == 1 else f"var(--series-{n % 5 + 1})"
        line = "var(--muted)" if len(rates) == 1 else colour
        if interval is not None:
            drawn.append(
                f'<line x1="{x(interval.low)}" x2="{x(interval.high)}" y1="{y}" y2="{y}" stroke="{line}" '
                'stroke-width="2"/>'
            )
        drawn.append(f'<circle cx="{x(rate)}" cy="{y}" r="{4 if len(rates) == 1 else 3.5}" fill="{colour}"/>')
    height = step * len(rates)
    return f'<svg class="whisker" viewBox="0 0 120 {height}" style="height:{height / 16:g}rem">{"".join(drawn)}</svg>'


def error_key() -> str:
    """How errors are marked, explained."""
    marks = (("substituted", "said", "heard"), ("deleted", "said", ""), ("inserted", "", "heard"))
    said = ("another word", "left out", "added")
    items = "".join(f"<li>{marked(Part(*mark))} {what}</li>" for mark, what in zip(marks, said, strict=True))
    return f'<ul class="key" aria-label="How errors are marked">{items}</ul>'


def heard_line(heard: HeardBy) -> str:
    """What one system made of an utterance, as an element of a `<dl class="heard">`."""
    count = "correct" if not heard.errors else f"{heard.errors} error{'s' if heard.errors > 1 else ''}"
    flags = "".join(f' <span class="flag">{escape(flag)}</span>' for flag in heard.flags)
    if heard.skipped:
        flags = ' <span class="flag">not recognised</span>'
    words = " ".join(marked(part) for part in heard.parts)
    kind = ' class="none"' if not heard.errors else ""
    return (
        f"<div{kind}><dt>{escape(heard.system)}</dt>"
        f'<dd class="count">{count}</dd><dd class="text">{words}{flags}</dd></div>'
    )


def marked(part: Part) -> str:
    """A word; errors carry a mark besides their colour, and words for those who listen."""
    reference, hypothesis = escape(part.reference), escape(part.hypothesis)
    if part.kind == "same":
        return hypothesis
    if part.kind == "deleted":
        return f'<del class="missing"><span class="unsaid">left out: </span>{reference}</del>'
    if part.kind == "inserted":
        return f'<ins class="extra"><span class="unsaid">added: </span>{hypothesis}</ins>'
    heard = f'<span class="unsaid"> heard as </span><ins>{hypothesis}</ins>'
    return f'<span class="wrong"><del>{reference}</del>{heard}</span>'
