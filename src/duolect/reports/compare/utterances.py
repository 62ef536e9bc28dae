"""Utterances to browse: what each system heard, aligned, with the recording; filtered and sorted without a script.

Two lists to choose from stand above the utterances; style rules that look at what is chosen hide and order them. Where
a browser knows no such rules, and on paper, all utterances stand in the first order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from duolect.evaluation import Panel
from duolect.evaluation.utterance_signs import TITLES
from duolect.reports.compare.audio import players
from duolect.reports.compare.evidence import Evidence
from duolect.reports.comparison import SystemResult
from duolect.reports.differences import Example, differing, examples_of
from duolect.reports.markup import error_key, escape, heard_line
from duolect.reports.parts import ReportPart

_SHOW = {
    "all": "all utterances",
    "differ": "those on which systems differ",
    "hard": "those that every system gets wrong",
    "signs": "those with a sign of hallucination",
}
_ORDER = {"told": "as they tell most", "errors": "most errors first", "long": "longest first"}


def utterances_part(evidence: Evidence, folder: Path) -> ReportPart | None:
    """Up to `options.utterances` utterances, those that tell most first; None where none is wanted.

    folder: where the page will lie; recordings that are not embedded are linked relative to it.
    """
    systems, limit = evidence.comparison.systems, evidence.options.utterances
    ids = chosen(systems, limit)
    if not ids:
        return None
    found = examples_of(systems, ids, evidence.fields.get("duration", {}))
    heard = [evidence.utterances[key] for key in ids if key in evidence.utterances]
    sound = players(heard, folder, evidence.options.embed_audio)
    total = len(evidence.ids)
    hint = (
        f"{len(ids):,} of {total:,} utterances, first those on which the systems make different numbers of errors, "
        "taken in turn from those that each group of systems hears best, so that none is favoured."
        if len(ids) < total
        else f"All {total:,} utterances."
        if total != 1
        else "The only utterance."
    )
    html = [
        '<div class="browse">',
        f'<p class="hint">{escape(hint)}</p>',
        *_controls(evidence.names),
        error_key(),
        '<div class="list">',
        *(line for n, each in enumerate(found) for line in _article(each, n, found, sound, evidence.panels)),
        "</div></div>",
    ]
    return ReportPart(anchor="utterances", title="What the systems heard", html=html)


def chosen(systems: Sequence[SystemResult], limit: int) -> list[str]:
    """The ids shown: those on which systems differ, then those that all get wrong, most errors first, then the rest."""
    first = systems[0].score
    ids = differing(systems, limit) if len(systems) > 1 else []
    if len(ids) >= limit:
        return ids[:limit]
    taken = set(ids)
    errors_N = np.sum([system.score.counts_N4[:, :3].sum(axis=1) for system in systems], axis=0)
    rest = [first.ids[n] for n in np.argsort(-errors_N, kind="stable") if first.ids[n] not in taken]
    return [*ids, *rest][:limit]


def _controls(names: Sequence[str]) -> Iterator[str]:
    show = _SHOW | {f"wrong-{n}": f"errors of {name}" for n, name in enumerate(names)}
    order = _ORDER | {f"worst-{n}": f"most errors of {name} first" for n, name in enumerate(names)}
    yield '<div class="controls">'
    for label, name, options in (("Show", "show", show), ("Order", "order", order)):
        items = "".join(f'<option value="{value}">{escape(text)}</option>' for value, text in options.items())
        yield f'<label>{label} <select class="{name}" autocomplete="off">{items}</select></label>'
    yield "</div><style>"
    for value in list(show)[1:]:
        yield f'.browse:has(.show option[value="{value}"]:checked) article:not(.{value}) {{ display: none; }}'
    for value in list(order)[1:]:
        yield f'.browse:has(.order option[value="{value}"]:checked) article {{ order: var(--{value}); }}'
    yield "</style>"


def _article(
    example: Example, n: int, every: Sequence[Example], sound: Mapping[str, str], panels: Mapping[str, Panel]
) -> Iterator[str]:
    errors = [heard.errors for heard in example.heard]
    signs = {name: panel.signs[example.id] for name, panel in panels.items() if example.id in panel.signs}
    kinds = [
        *(["differ"] if len(set(errors)) > 1 else []),
        *(["hard"] if all(errors) else []),
        *(["signs"] if signs else []),
        *(f"wrong-{n}" for n, count in enumerate(errors) if count),
    ]
    orders = {"errors": -sum(errors), "long": -round(100 * (example.duration or 0))}
    orders |= {f"worst-{n}": -count for n, count in enumerate(errors)}
    style = ";".join(f"--{name}:{value}" for name, value in orders.items())
    length = f" · {example.duration:.1f} s" if example.duration is not None else ""
    yield f'<article class="{" ".join(kinds)}" style="{style}"><h3>{escape(example.id)}{length}</h3>'
    yield sound.get(example.id, "")
    yield f'<p class="reference"><span class="unsaid">Reference: </span>{escape(example.reference)}</p>'
    yield '<dl class="heard">'
    yield from (heard_line(heard) for heard in example.heard)
    yield "</dl>"
    for name, found in signs.items():
        said = ", ".join(TITLES[sign.name] for sign in found)
        yield f'<p class="told">{escape(name)}: {escape(said)}</p>'
    yield "</article>"
