"""Error rates by speaker, length, noise and any other field of the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from duolect.evaluation import Blocks
from duolect.evaluation.blocks import FEWEST, find_blocks, utterance_fields
from duolect.evaluation.breakdown import REPLICAS, Breakdown, Part, breakdown, fields_worth_showing
from duolect.evaluation.intervals import Interval
from duolect.reports.cells import Cell, Column, draw_markdown, escape_markdown, percent, plain_column
from duolect.reports.compare.evidence import Evidence, require_fields
from duolect.reports.markup import bounds_of, columns_table, escape, legend_list, whiskers
from duolect.reports.parts import ReportPart

MOST_PARTS = 20
DRAWN = 5
_TITLES = {"duration": "Length in seconds", "snr": "SNR in dB", "lang": "Language"}
_NUMBERS = ("duration", "snr", "snr_db")


def fields_part(evidence: Evidence) -> ReportPart | None:
    """A table for each field; None where the set cannot be divided. Raises ConfigError for an unknown --by."""
    said = utterance_fields(evidence.utterances.values())

    def blocks(ids: Sequence[str]) -> Blocks | None:
        return find_blocks({key: said.get(key, {}) for key in ids}, evidence.options.blocks)

    found = [breakdown(evidence.scores, name, evidence.fields[name], blocks=blocks) for name in chosen(evidence)]
    found = [each for each in found if len(each.parts) > 1]
    if not found:
        return None
    together = evidence.comparison.systems[0].score.blocks
    html, markdown = [], []
    for each in found:
        html += list(_html(each, evidence))
        table = draw_markdown(_columns(each), _legend(each, together))
        markdown.append(f"### {escape_markdown(title_of(each.field))}\n\n{table}")
    drawn = _drawn(evidence)
    key = "".join(
        f'<li><svg class="dot" viewBox="0 0 10 10"><circle cx="5" cy="5" r="4" fill="var(--series-{n % 5 + 1})"/></svg>'
        f" {escape(name)}</li>"
        for n, name in enumerate(drawn)
    )
    hint = (
        f"Intervals are 95 %, of {REPLICAS:,} bootstrap replicas within each part; there is none where all that is "
        "drawn has the same rate. The worst of many parts looks worse than it is."
    )
    return ReportPart(
        anchor="fields",
        title="Where errors are made",
        html=[f'<p class="hint">{escape(hint)}</p><ul class="key" aria-label="Colours">{key}</ul>', *html],
        markdown="\n".join(markdown),
        raw={name: {"by": {each.field: _raw(each, n) for each in found}} for n, name in enumerate(evidence.names)},
    )


def chosen(evidence: Evidence) -> list[str]:
    """The fields shown: those asked for, speaker, length, SNR, then fields of few values."""
    fields, asked = evidence.fields, list(evidence.options.by)
    require_fields(asked, fields)
    own = [name for name in ("speaker", *_NUMBERS) if name in fields and len(set(fields[name].values())) > 1]
    few = {name: values for name, values in fields.items() if name not in (*own, *asked)}
    # Of fields that divide the set as one of those already does, such as voice and speaker, nothing new is learnt.
    known = {name: fields[name] for name in (*asked, *own)}
    found = fields_worth_showing({**known, **few}, evidence.ids, most=len(known) + 8)
    return list(dict.fromkeys([*asked, *own, *(name for name in found if name in few)]))


def title_of(field: str) -> str:
    """What a field is called in a heading."""
    return _TITLES.get(field, field.replace("_", " ").capitalize())


def _drawn(evidence: Evidence) -> list[str]:
    """The systems of the small drawings: the most accurate ones, in the comparison's order."""
    best = {system.name for system in evidence.comparison.ranked[:DRAWN]}
    return [name for name in evidence.names if name in best]


def _columns(each: Breakdown) -> list[Column]:
    parts = each.parts[:MOST_PARTS]
    found = [
        plain_column(title_of(each.field), [part.value for part in parts]),
        plain_column("Utterances", [f"{part.utterances:,}" for part in parts]),
        plain_column("Words", [f"{part.words:,}" for part in parts]),
    ]
    for s, name in enumerate(each.systems):
        found.append(Column(name, tuple(_cell(part, s) for part in parts)))
    return found


def _cell(part: Part, s: int) -> Cell:
    lowest = min(errors.wer for errors in part.errors)
    best = len({errors.wer for errors in part.errors}) > 1 and part.errors[s].wer == lowest
    return Cell(percent(part.errors[s].wer, 1), best, _bounds(part.intervals[s]))


def _bounds(interval: Interval | None) -> str:
    return f"{percent(interval.low, 1)}–{percent(interval.high, 1)}" if interval is not None else ""


def _html(each: Breakdown, evidence: Evidence) -> Iterator[str]:
    yield f"<h3>{escape(title_of(each.field))}</h3>"
    parts = each.parts[:MOST_PARTS]
    shown = [each.systems.index(name) for name in _drawn(evidence)]
    ends = [interval for part in parts for s in shown if (interval := part.intervals[s]) is not None]
    points = [Interval(part.errors[s].wer, part.errors[s].wer) for part in parts for s in shown]
    bounds = bounds_of([*ends, *points])
    drawings: Sequence[str] = ()
    if bounds is not None:
        drawings = [
            whiskers([part.errors[s].wer for s in shown], [part.intervals[s] for s in shown], bounds) for part in parts
        ]
    yield from columns_table(_columns(each), f"Word error rate by {each.field}", drawings, drawn_after=3)
    yield legend_list(_legend(each, evidence.comparison.systems[0].score.blocks))


def _legend(each: Breakdown, together: str | None) -> list[str]:
    """together: the blocks of the whole set."""
    lines = [f"WER in per cent with its interval (drawn: {each.drawn})" + ("." if each.numeric else "; worst first.")]
    for drawn in dict.fromkeys(part.drawn for part in each.parts if part.drawn not in ("utterances", each.drawn)):
        lines.append(f"Drawn as {drawn}: {_named([part for part in each.parts if part.drawn == drawn])}.")
    alone = [part for part in each.parts if part.blocks is None]
    if alone and (each.drawn != "utterances" or together not in (None, each.field)):
        which = "all parts" if len(alone) == len(each.parts) else _named(alone)
        lines.append(f"Utterances are drawn where a part has fewer than {FEWEST} blocks: {which}.")
    if each.rough:
        lines.append(f"Fewer than {FEWEST} blocks, too few for the interval to be trusted: {_named(each.rough)}.")
    if len(each.parts) > MOST_PARTS:
        lines.append(f"The {MOST_PARTS} worst of {len(each.parts)}; all of them are in results.jsonl.")
    return lines


def _named(parts: Sequence[Part]) -> str:
    shown = ", ".join(part.value for part in parts[:MOST_PARTS])
    return shown if len(parts) <= MOST_PARTS else f"{shown} and {len(parts) - MOST_PARTS} more"


def _raw(each: Breakdown, s: int) -> dict[str, dict[str, object]]:
    return {
        part.value: {
            "wer": part.errors[s].wer,
            "interval_95": [i.low, i.high] if (i := part.intervals[s]) is not None else None,
            "errors": part.errors[s].errors,
            "words": part.words,
            "utterances": part.utterances,
            "blocks": part.blocks,
            "independent_parts": part.units,
        }
        for part in each.parts
    }
