"""The hallucination panel of several systems side by side: as columns, on the terminal, as Markdown, and its worst
utterances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console

from duolect.evaluation import HypothesisRow, PairedRate, Panel, PanelConfig, Rate
from duolect.evaluation.utterance_signs import NON_SPEECH, PER_MINUTE, TITLES
from duolect.reports.cells import (
    DASH,
    Cell,
    Column,
    draw_markdown,
    draw_terminal,
    each,
    natural_width,
    p_text,
    percent,
    plain_column,
)

_FREQUENT = 3
_LONG_TEXT = 300  # characters of a text in the list of the worst


@dataclass(frozen=True, kw_only=True)
class PanelResult:
    """One system's panel."""

    name: str
    panel: Panel
    paired: Mapping[str, PairedRate] = field(default_factory=dict)
    """Rate name → against the first system; empty for that itself."""
    rows: Sequence[HypothesisRow] = field(default=(), repr=False)
    """With references, where they are known."""


@dataclass(frozen=True, kw_only=True)
class PanelComparison:
    """The panels of systems on the same utterances; the first is the baseline."""

    title: str
    systems: Sequence[PanelResult]


def sign_title(name: str, config: PanelConfig) -> str:
    """What a table calls a rate, its threshold included: "WER > 100 %"; alike for speech and non-speech."""
    bare = name.removeprefix(NON_SPEECH)
    titles = {
        "wer": f"WER > {100 * config.wer:g} %",
        "long": f"words > {config.longest:g} ×",
        "short": f"words < {config.shortest:g} ×",
        "insertions": f"≥ {config.insertions} words inserted",
        "loop": f"n-gram ≥ {config.repeats} ×",
        "compression": f"zlib ratio > {config.compression:g}",
        "fast": f"> {config.characters_per_second:g} characters/s",
    }
    return titles.get(bare, TITLES[bare])


def panel_columns(comparisons: Sequence[PanelComparison], *, intervals: bool = True) -> list[Column]:
    """The columns: signs that show somewhere as rows, systems beside each other, and p-values against the first.

    One comparison has a heading for speech and one for non-speech where it has both; each of several is headed by its
    title. The lowest rate of a row is marked.
    """
    rows = list(_rows(comparisons))
    found = [Column("Sign", tuple(Cell(row.label, row.name is None) for row in rows))]
    found.append(plain_column("n", ["" if row.name is None else _total(row.comparison, row.name) for row in rows]))
    best = [math.nan if row.name is None else _lowest(row.comparison, row.name) for row in rows]
    for place, system in enumerate(comparisons[0].systems):
        cells, tests = [], []
        for row, low in zip(rows, best, strict=True):
            result = row.comparison.systems[place]
            rate = None if row.name is None else result.panel.rate(row.name)
            text = DASH if rate is None else _rate_text(rate, intervals)
            cells.append(Cell("" if row.name is None else text, rate is not None and rate.value == low))
            pair = result.paired.get(row.name or "")
            tests.append("" if row.name is None else DASH if pair is None else p_text(pair.p_value))
        found.append(Column(system.name, tuple(cells)))
        if place:
            found.append(plain_column("p", tests))
    return found


def panel_legend(comparison: PanelComparison) -> list[str]:
    """Sentences that say what the numbers are."""
    systems, first = comparison.systems, comparison.systems[0].panel
    counted = f"of {each(systems, _kinds)}; normaliser {first.normaliser}"
    what = "What the reference has too (a phrase, a loop) is no sign; too few words, an omission, is not in any sign."
    lines = [
        f"Per cent of n utterances with the sign, {counted}. {what}",
        _interval_sentence(first),
    ]
    if len(systems) > 1:
        test = "randomisation test over blocks" if first.blocks else "exact McNemar test"
        lines.append(
            f"p: two-sided {test} against {systems[0].name} on the same utterances; for numbers per minute the "
            f"randomisation test; not corrected for the number of systems and signs."
        )
    shown = _shown(comparison)
    for what, silent in (("speech", False), ("non-speech", True)):
        names = [name for name in first.counts if name.startswith(NON_SPEECH) == silent and name not in shown]
        if names:
            lines.append(f"Shown by no utterance of {what}: {', '.join(sign_title(n, first.config) for n in names)}.")
    if any(system.panel.skipped for system in systems):
        lines.append(f"Not recognised, and counted nowhere: {each(systems, lambda s: s.panel.skipped)}.")
    for system in systems:
        texts = [f"“{text}” ({count})" for text, count in system.panel.frequent[:_FREQUENT]]
        if texts:
            lines.append(f"Most often written for non-speech by {system.name}: {', '.join(texts)}.")
    return lines


def worst_utterances(result: PanelResult, limit: int) -> Iterator[str]:
    """Lines of text on the `limit` utterances with most signs: id, signs with their values, reference, hypothesis."""
    rows = {row.id: row for row in result.rows}
    found = result.panel.signs
    yield f"{result.name}: {min(limit, len(found))} of {len(found)} utterances with a sign, the worst first"
    for key in list(found)[:limit]:
        signs = "; ".join(_sign_text(s.name, s.value, s.words) for s in found[key])
        yield f"  {key}: {signs}"
        row = rows.get(key)
        if row is not None:
            yield f"    reference   {_short(row.reference) if row.reference is not None else '(unknown)'}"
            yield f"    hypothesis  {_short(row.text)}"


def print_panels(panels: Sequence[PanelComparison], by: str | None = None, console: Console | None = None) -> None:
    """Print the panel of all utterances, the first of `panels`, and one table of the further ones, the values of the
    field `by`."""
    console = console or Console()
    for number, (title, part, lines) in enumerate(_tables(panels, by)):
        found = panel_columns(part)
        if natural_width(found) > console.width:
            found, lines = panel_columns(part, intervals=False), [*lines, "Left out for want of width: the intervals."]
        if number:
            console.print()
        console.print(draw_terminal(title, found, lines, console.width))


def panels_markdown(panels: Sequence[PanelComparison], by: str | None = None) -> str:
    """The tables of `print_panels` as Markdown."""
    tables = _tables(panels, by)
    return "\n".join(f"### {title}\n\n{draw_markdown(panel_columns(part), lines)}" for title, part, lines in tables)


def _tables(
    panels: Sequence[PanelComparison], by: str | None
) -> list[tuple[str, Sequence[PanelComparison], list[str]]]:
    """Title, comparisons and legend of each table."""
    found = [("Hallucination", panels[:1], panel_legend(panels[0]))]
    return [*found, (f"Hallucination by {by}", panels[1:], [])] if panels[1:] else found


@dataclass(frozen=True)
class _Row:
    """A row of the table; a heading where there is no name of a rate."""

    label: str
    comparison: PanelComparison
    name: str | None = None


def _rows(comparisons: Sequence[PanelComparison]) -> Iterator[_Row]:
    for comparison in comparisons:
        config = comparison.systems[0].panel.config
        shown = _shown(comparison)
        parts = [[name for name in shown if name.startswith(NON_SPEECH) == silent] for silent in (False, True)]
        if len(comparisons) > 1:
            yield _Row(comparison.title, comparison)
        for heading, names in zip(("speech", "non-speech"), parts, strict=True):
            if all(parts) and len(comparisons) == 1:
                yield _Row(heading, comparison)
            for name in names:
                prefix = "non-speech: " if all(parts) and len(comparisons) > 1 and heading != "speech" else ""
                indent = "  " if all(parts) or len(comparisons) > 1 else ""
                yield _Row(indent + prefix + sign_title(name, config), comparison, name)


def _shown(comparison: PanelComparison) -> list[str]:
    """The rates that are above 0 in some system, in the order of the panel; the first of each kind in any case."""
    names = dict.fromkeys(rate.name for system in comparison.systems for rate in system.panel.rates)
    always = ("any", f"{NON_SPEECH}output")
    kept = []
    for name in names:
        rates = [system.panel.rate(name) for system in comparison.systems]
        if name in always or any(rate is not None and rate.count for rate in rates):
            kept.append(name)
    return kept


def _lowest(comparison: PanelComparison, name: str) -> float:
    rates = [system.panel.rate(name) for system in comparison.systems]
    values = [rate.value for rate in rates if rate is not None]
    return min(values) if len(set(values)) > 1 else math.nan


def _total(comparison: PanelComparison, name: str) -> str:
    rates = [system.panel.rate(name) for system in comparison.systems]
    totals = sorted({rate.total for rate in rates if rate is not None})
    texts = [f"{total:.1f} min" if name.removeprefix(NON_SPEECH) in PER_MINUTE else f"{total:,g}" for total in totals]
    return "–".join(texts if len(texts) < 2 else (texts[0], texts[-1]))


def _rate_text(rate: Rate, interval: bool) -> str:
    scale = 1 if rate.per_minute else 100
    text = f"{scale * rate.value:.1f}"
    if not interval or rate.interval is None:
        return text
    return f"{text} [{scale * rate.interval.low:.1f}–{scale * rate.interval.high:.1f}]"


def _sign_text(name: str, value: float, words: str) -> str:
    values = {
        "wer": f"WER {percent(value, 0)} %",
        "long": f"{value:.1f} × the words",
        "short": f"{value:.2g} × the words",
        "insertions": f"{value:g} words inserted",
        "loop": f"{value:g} times",
        "compression": f"compression {value:.1f}",
        "fast": f"{value:.0f} characters/s",
        "output": f"{value:g} words for non-speech",
        "unfinished": "no end found",
        "refusal": "speaks of itself",
        "stock": "stock phrase",
    }
    # What an inserted stretch or the text of non-speech says stands in the hypothesis below.
    return f"{values[name]} “{words}”" if name in ("loop", "refusal", "stock") else values[name]


def _kinds(system: PanelResult) -> str:
    panel = system.panel
    parts = ((panel.speech, "with speech"), (panel.non_speech, "without"), (panel.unknown, "without a reference"))
    return ", ".join(f"{count:,} {what}" for count, what in parts if count)


def _interval_sentence(panel: Panel) -> str:
    drawn = f"{panel.replicas:,} replicas, seed {panel.seed}"
    if panel.blocks is not None:
        return (
            f"Interval: Wilson for the effective number of utterances in blocks (by {panel.blocks}; Korn & Graubard "
            f"1998); of numbers per minute the percentile bootstrap over blocks, {drawn}."
        )
    return f"Interval: Wilson; of numbers per minute the percentile bootstrap over utterances, {drawn}."


def _short(text: str) -> str:
    text = " ".join(text.split()) or "(nothing)"
    return text if len(text) <= _LONG_TEXT else f"{text[: _LONG_TEXT - 2]} …"
