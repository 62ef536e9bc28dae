"""The report: one HTML file that needs nothing else, on a laptop, a phone, in the dark and on paper.

There is no script in it, and its content security policy forbids to load anything. Every text that comes from outside
(names, hypotheses, provenance) passes through `escape`.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from typing import Any

from duolect import __version__
from duolect.evaluation import Interval
from duolect.reports.comparison import Comparison, SystemResult
from duolect.reports.differences import Example, HeardBy, Part, examples
from duolect.reports.figures import printable
from duolect.reports.plots import curves_svg, speed_svg
from duolect.reports.summary import findings
from duolect.reports.table import columns, legend
from duolect.storage import atomic_file

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"


def write_page(comparison: Comparison, path: str | os.PathLike[str], *, utterances: int = 10) -> None:
    """Write the report, whole or not at all; `utterances` is how many examples it shows at most.

    Raises DuolectError when the file cannot be written.
    """
    text = page(comparison, utterances=utterances)
    with atomic_file(path) as handle:
        handle.write(text)


def page(comparison: Comparison, *, utterances: int = 10) -> str:
    """The report as one HTML document. The same comparison gives the same text."""
    parts = (
        *_lead(comparison),
        *_results(comparison),
        *_figures(comparison),
        *_examples(examples(comparison, utterances)),
        *_making(comparison),
    )
    return document(comparison.title, parts, wide=any(system.details for system in comparison.systems))


def document(title: str, body: Iterable[str], *, wide: bool = False) -> str:
    """An HTML document that needs nothing else: `title` above the elements of `body`; `wide` gives tables more room."""
    style = resources.files("duolect.reports").joinpath("page.css").read_text(encoding="utf-8")
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta name="generator" content="duolect {escape(__version__)}">',
        f"<title>{escape(title)} · Duolect</title>",
        f"<style>\n{style}</style>",
        "</head>",
        '<body class="roomy">' if wide else "<body>",
        f'<header><p class="brand">Duolect report</p><h1>{escape(title)}</h1></header>',
        "<main>",
        *body,
        "</main>",
        f"<footer>Made by Duolect {escape(__version__)}. This file is complete in itself and loads nothing.</footer>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def escape(value: Any) -> str:
    """Escaped for element content and for quoted attributes."""
    return html.escape(printable(str(value)), quote=True)


def _prose(sentence: str) -> str:
    """Escaped, and without line breaks inside "5.1 %" and "p = 0.2"."""
    return escape(re.sub(r"(?<=\d) (?=%)|(?<=\bp) (?=[=<])|(?<=[=<]) (?=\d)", "\u00a0", sentence))


def _lead(comparison: Comparison) -> Iterator[str]:
    sentences = comparison.summary or findings(comparison)
    yield f'<div class="lead"><p>{_prose(" ".join(sentences))}</p></div>'


def _results(comparison: Comparison) -> Iterator[str]:
    found = columns(comparison)
    bounds = _bounds(comparison)
    yield '<section aria-labelledby="results"><h2 id="results">Results</h2><div class="scroll"><table class="results">'
    yield '<caption class="unsaid">Word error rate, speed and memory of each system</caption>'
    heads = [f'<th scope="col">{escape(column.title)}</th>' for column in found]
    if bounds is not None:
        heads.insert(2, '<th scope="col" class="figure" aria-hidden="true"></th>')
    yield f"<thead><tr>{''.join(heads)}</tr></thead><tbody>"
    for n, system in enumerate(comparison.systems):
        about = f"<small>{escape(system.description)}</small>" if system.description else ""
        cells = [f'<th scope="row">{escape(found[0].cells[n].text)}{about}</th>']
        for column in found[1:]:
            cell = column.cells[n]
            best = ' class="best"' if cell.best else ""
            said = '<span class="unsaid"> (best)</span>' if cell.best else ""
            cells.append(f'<td{best} data-title="{escape(column.title)}">{escape(cell.text)}{said}</td>')
        if bounds is not None:
            cells.insert(2, f'<td class="figure" aria-hidden="true">{_whisker(system, bounds)}</td>')
        yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"
    yield f'<ul class="legend">{"".join(f"<li>{_prose(line)}</li>" for line in legend(comparison))}</ul></section>'


def _bounds(comparison: Comparison) -> Interval | None:
    """From the lowest to the highest bound of all intervals; None where there is no interval to draw."""
    intervals = [s.score.interval for s in comparison.systems if s.score.interval is not None]
    if len(intervals) < len(comparison.systems):
        return None
    low, high = min(i.low for i in intervals), max(i.high for i in intervals)
    return Interval(low, high) if high > low else None


def _whisker(system: SystemResult, bounds: Interval) -> str:
    """A small drawing of the rate and its interval, on the same scale in all rows."""
    interval = system.score.interval
    assert interval is not None

    def x(rate: float) -> str:
        return f"{4 + 112 * (rate - bounds.low) / (bounds.high - bounds.low):.1f}"

    return (
        '<svg class="whisker" viewBox="0 0 120 24">'
        f'<line x1="{x(interval.low)}" x2="{x(interval.high)}" y1="12" y2="12" stroke="var(--muted)" stroke-width="2"/>'
        f'<circle cx="{x(system.score.wer)}" cy="12" r="4" fill="var(--accent)"/></svg>'
    )


def _figures(comparison: Comparison) -> Iterator[str]:
    speed = [speed_svg(comparison, form) for form in ("wide", "narrow")]
    if speed[0] is not None and len(comparison.systems) > 1:
        yield '<section aria-labelledby="speed"><h2 id="speed">Accuracy against speed</h2><figure>'
        yield f'<div class="wide">{speed[0]}</div><div class="narrow">{speed[1]}</div>'
        yield (
            "<figcaption>Each point is a system with the 95 % interval of its WER; the square is the baseline. "
            "Filled points, joined by the dotted line, are beaten by no other system in both accuracy and speed."
            "</figcaption></figure></section>"
        )
    curves = [curves_svg(comparison.curves, form) for form in ("wide", "narrow")]
    if curves[0] is not None:
        yield '<section aria-labelledby="curves"><h2 id="curves">Training</h2><figure>'
        yield f'<div class="wide">{curves[0]}</div><div class="narrow">{curves[1]}</div></figure></section>'


def _examples(found: list[Example]) -> Iterator[str]:
    if not found:
        return
    yield '<section aria-labelledby="utterances"><h2 id="utterances">Where the systems differ</h2>'
    yield (
        f'<p class="hint">{len(found)} utterances on which the systems make different numbers of errors, taken in turn '
        "from those that each group of systems hears best, so that none is favoured.</p>"
    )
    yield f'<ul class="key" aria-label="How errors are marked">{"".join(_key())}</ul>'
    for example in found:
        length = f" · {example.duration:.1f} s" if example.duration is not None else ""
        yield f"<article><h3>{escape(example.id)}{length}</h3>"
        yield f'<p class="reference"><span class="unsaid">Reference: </span>{escape(example.reference)}</p>'
        yield '<dl class="heard">'
        yield from (_heard(heard) for heard in example.heard)
        yield "</dl></article>"
    yield "</section>"


def _key() -> Iterator[str]:
    yield f"<li>{_part(Part('substituted', 'said', 'heard'))} another word</li>"
    yield f"<li>{_part(Part('deleted', 'said', ''))} left out</li>"
    yield f"<li>{_part(Part('inserted', '', 'heard'))} added</li>"


def _heard(heard: HeardBy) -> str:
    count = "correct" if not heard.errors else f"{heard.errors} error{'s' if heard.errors > 1 else ''}"
    flags = "".join(f' <span class="flag">{escape(flag)}</span>' for flag in heard.flags)
    if heard.skipped:
        flags = ' <span class="flag">not recognised</span>'
    words = " ".join(_part(part) for part in heard.parts)
    kind = ' class="none"' if not heard.errors else ""
    return (
        f"<div{kind}><dt>{escape(heard.system)}</dt>"
        f'<dd class="count">{count}</dd><dd class="text">{words}{flags}</dd></div>'
    )


def _part(part: Part) -> str:
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


def _making(comparison: Comparison) -> Iterator[str]:
    yield '<section aria-labelledby="made"><h2 id="made">How these numbers were made</h2>'
    if comparison.notes:
        yield f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in comparison.notes)}</ul>"
    if comparison.provenance:
        yield '<dl class="made">'
        for key, value in comparison.provenance.items():
            yield f"<dt>{escape(_title(key))}</dt><dd>{_value(key, value)}</dd>"
        yield "</dl>"
    keys = list(dict.fromkeys(key for system in comparison.systems for key in system.provenance))
    if keys:
        yield "<details><summary>Settings of each system</summary>"
        yield '<div class="scroll"><table><thead><tr><th scope="col">System</th>'
        yield "".join(f'<th scope="col">{escape(_title(key))}</th>' for key in keys) + "</tr></thead><tbody>"
        for system in comparison.systems:
            cells = "".join(f"<td>{_value(key, system.provenance.get(key, '–'))}</td>" for key in keys)
            yield f'<tr><th scope="row">{escape(system.name)}</th>{cells}</tr>'
        yield "</tbody></table></div></details>"
    yield "</section>"


def _title(key: str) -> str:
    return key.replace("_", " ").capitalize()


def _value(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        if all(isinstance(v, str | int | float | bool) or v is None for v in value.values()):
            return escape(", ".join(f"{k} {v}" for k, v in value.items()))
        return f"<code>{escape(json.dumps(value, ensure_ascii=False, default=str))}</code>"
    if isinstance(value, list | tuple):
        return escape(", ".join(map(str, value)))
    return f"<code>{escape(value)}</code>" if key in ("command", "config", "run") else escape(value)
