"""The report: one HTML file that needs nothing else, on a laptop, a phone, in the dark and on paper.

There is no script in it, and its content security policy forbids to load anything but the recordings that it links, if
it does. Every text that comes from outside (names, hypotheses, provenance) passes through `escape`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any

from duolect import __version__
from duolect.evaluation import Interval
from duolect.reports.cells import counted
from duolect.reports.comparison import Comparison
from duolect.reports.differences import Example, examples
from duolect.reports.markup import (
    bounds_of,
    columns_table,
    error_key,
    escape,
    figure,
    heard_line,
    legend_list,
    prose,
    section,
    whiskers,
)
from duolect.reports.parts import ReportPart
from duolect.reports.plots import curves_svg, speed_caption, speed_svg
from duolect.reports.summary import findings
from duolect.reports.table import columns, legend
from duolect.storage import atomic_file

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
_LINKED = " 'self' file:"  # media beside the page, opened from a disk or served


def write_page(
    comparison: Comparison,
    path: str | os.PathLike[str],
    *,
    utterances: int = 10,
    parts: Sequence[ReportPart] = (),
) -> None:
    """Write the report, whole or not at all; arguments as for `page`.

    Raises DuolectError when the file cannot be written.
    """
    text = page(comparison, utterances=utterances, parts=parts)
    with atomic_file(path) as handle:
        handle.write(text)


def page(comparison: Comparison, *, utterances: int = 10, parts: Sequence[ReportPart] = ()) -> str:
    """The report as one HTML document. The same comparison gives the same text.

    utterances: how many examples it shows at most. parts: what else it has, between the figures and how the numbers
    were made; a part takes the place of the page's own of the same anchor.
    """
    given = {part.anchor: list(section(part.anchor, part.title, part.html)) for part in parts}
    ours = {
        "lead": _lead(comparison),
        "results": _results(comparison),
        "speed": _speed(comparison),
        **{anchor: iter(body) for anchor, body in given.items() if anchor not in ("lead", "speed", "utterances")},
        "curves": _curves(comparison),
        "utterances": _examples(examples(comparison, utterances) if "utterances" not in given else []),
        "made": _making(comparison),
    }
    body = [line for anchor, own in ours.items() for line in given.get(anchor, own)]
    linked = any("<audio" in line and 'src="data:' not in line for line in body)
    wide = any(system.details for system in comparison.systems) or bool(parts)
    return document(comparison.title, body, wide=wide, linked=linked)


def document(title: str, body: Iterable[str], *, wide: bool = False, linked: bool = False) -> str:
    """An HTML document that needs nothing else: `title` above the elements of `body`; `wide` gives tables more room.

    linked: it may play recordings that lie beside it.
    """
    loads = "only the recordings that it plays" if linked else "nothing"
    style = resources.files("duolect.reports").joinpath("page.css").read_text(encoding="utf-8")
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}{_LINKED if linked else ""}">',
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
        f"<footer>Made by Duolect {escape(__version__)}. This file is complete in itself and loads {loads}.</footer>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _lead(comparison: Comparison) -> Iterator[str]:
    sentences = comparison.summary or findings(comparison)
    yield f'<div class="lead"><p>{prose(" ".join(sentences))}</p></div>'


def _results(comparison: Comparison) -> Iterator[str]:
    systems = comparison.systems
    known = [interval for system in systems if (interval := system.score.interval) is not None]
    bounds = bounds_of([*known, *(Interval(s.score.wer, s.score.wer) for s in systems)]) if known else None
    drawings = [whiskers([s.score.wer], [s.score.interval], bounds) for s in systems] if bounds is not None else []
    table = columns_table(
        columns(comparison),
        "Word error rate, speed and memory of each system",
        drawings,
        [system.description for system in systems],
    )
    yield from section("results", "Results", [*table, legend_list(legend(comparison))])


def _speed(comparison: Comparison) -> Iterator[str]:
    drawn = [speed_svg(comparison, form) for form in ("wide", "narrow")]
    if drawn[0] is not None and len(comparison.systems) > 1:
        yield from section("speed", "Accuracy and speed", [figure(drawn[0], drawn[1], speed_caption(comparison))])


def _curves(comparison: Comparison) -> Iterator[str]:
    drawn = [curves_svg(comparison.curves, form) for form in ("wide", "narrow")]
    if drawn[0] is not None:
        yield from section("curves", "Training", [figure(drawn[0], drawn[1])])


def _examples(found: list[Example]) -> Iterator[str]:
    if not found:
        return
    yield '<section aria-labelledby="utterances"><h2 id="utterances">Where the systems differ</h2>'
    yield (
        f'<p class="hint">{counted(len(found), "utterance")} on which the systems make different numbers of errors, '
        "taken in turn from those that each group of systems hears best, so that none is favoured.</p>"
    )
    yield error_key()
    for example in found:
        length = f" · {example.duration:.1f} s" if example.duration is not None else ""
        yield f"<article><h3>{escape(example.id)}{length}</h3>"
        yield f'<p class="reference"><span class="unsaid">Reference: </span>{escape(example.reference)}</p>'
        yield '<dl class="heard">'
        yield from (heard_line(heard) for heard in example.heard)
        yield "</dl></article>"
    yield "</section>"


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
