"""A study's table as columns, and the sentences that say how its numbers were made."""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence

from duolect.evaluation import Score, TranslationScore
from duolect.evaluation.cost import asked
from duolect.reports.cells import (
    DASH,
    Column,
    each,
    marked_column,
    memory_text,
    p_text,
    plain_column,
    rtfx_text,
)
from duolect.reports.cost import cost_details
from duolect.reports.table import regime_text
from duolect.studies.report.results import EntryResult, StudyResult
from duolect.studies.verdicts import points, points_interval
from duolect.systems.config import OWNERS

_KINDS = ("substitutions", "deletions", "insertions")
_SHORT = 20
"""Characters of a source that may stand beside the published number; longer ones stand below the table."""


def study_columns(result: StudyResult) -> list[Column]:
    """The columns of the table; those in which nothing stands are left out, the best values are marked."""
    study, rows = result.study, result.rows
    several = any(len(row.runs) > 1 for row in rows)
    digits = 2 if study.metric == "wer" else 1

    def plain(title: str, text: Callable[[EntryResult], str]) -> Column:
        return plain_column(title, [text(row) for row in rows])

    def marked(
        title: str, value: Callable[[EntryResult], float], text: Callable[[EntryResult], str], low: bool
    ) -> Column:
        return marked_column(title, [value(row) for row in rows], [text(row) for row in rows], low=low)

    def main(row: EntryResult) -> float:
        return math.nan if row.score is None else points(row.score)

    def interval(row: EntryResult) -> str:
        bounds = None if row.score is None else points_interval(row.score)
        return DASH if bounds is None else f"{bounds.low:.{digits}f}–{bounds.high:.{digits}f}"

    def speed(row: EntryResult) -> float:
        return row.timing.rtfx if row.timing is not None else math.nan

    found = [plain("System", lambda r: r.entry.name)]
    if study.axis:
        found.append(plain(study.axis, lambda r: DASH if r.entry.value is None else f"{r.entry.value:g}"))
    title = "WER %" if study.metric == "wer" else "BLEU"
    found += [
        marked(title, main, lambda r: _number(main(r), digits), low=study.metric == "wer"),
        plain("95 % interval", interval),
    ]
    if study.metric == "bleu":
        found.append(marked("chrF2", _chrf, lambda r: _number(_chrf(r), digits), low=False))
    if several:
        found += [plain("By seed", lambda r: _by_seed(r, digits)), plain("Spread", lambda r: _spread(r, digits))]
    if len(rows) > 1:
        if len(study.bases) > 1:
            found.append(plain("Against", lambda r: base.name if (base := study.base(r.entry)) else DASH))
        found += [plain("Difference", lambda r: _difference(r, digits)), plain("p (Holm)", _p)]
    found += [
        marked("RTFx", speed, lambda r: rtfx_text(speed(r)), low=False),
        marked("Peak memory", lambda r: r.memory or math.nan, lambda r: memory_text(r.memory), low=True),
        plain("Trained M", lambda r: DASH if r.trained is None else f"{r.trained / 1e6:.2f}"),
        plain("Training s", lambda r: DASH if r.training_seconds is None else f"{r.training_seconds:,.0f}"),
    ]
    costs = {row.entry.name: cost_details(next(iter(row.runs.values())).record) for row in result.standing}
    for name in dict.fromkeys(name for cost in costs.values() for name in cost):
        found.append(plain(name, lambda r, name=name: costs.get(r.entry.name, {}).get(name, DASH)))
    if "effort" in study.details:
        found += [plain(title, lambda r, at=at: _effort(r, at)) for at, title in enumerate(("Forwards/s", "Labels/s"))]
    if "errors" in study.details:
        found += [plain(f"{kind[:3].title()} %", lambda r, kind=kind: _errors(r, kind)) for kind in _KINDS]
    found += [plain(*_panel_column(result, name)) for name in study.panel]
    for name in dict.fromkeys(name for row in rows for name in row.facts):
        found.append(plain(name, lambda r, name=name: r.facts.get(name, DASH)))
    letters = _sources(result)
    found.append(plain("Published", lambda r: _published(r.entry.published, letters)))
    return [c for c in found if c.title in ("System", title) or any(cell.text != DASH for cell in c.cells)]


def _parted(published: str) -> tuple[str, str]:
    """The number and its source: "8.10 % (Table 2)" → "8.10 %", "Table 2"."""
    found = re.fullmatch(r"(.+?) \((.+)\)", published, re.DOTALL)
    return (found[1], found[2]) if found else (published, "")


def _sources(result: StudyResult) -> dict[str, str]:
    """Source → letter, of the sources too long for a cell."""
    long = (source for row in result.rows if len(source := _parted(row.entry.published)[1]) > _SHORT)
    return dict(zip(dict.fromkeys(long), "abcdefghijklmnopqrstuvwxyz", strict=False))


def _published(published: str, letters: Mapping[str, str]) -> str:
    number, source = _parted(published)
    return f"{number} [{letters[source]}]" if source in letters else published or DASH


def study_legend(result: StudyResult) -> list[str]:
    """Sentences that say how the numbers were made."""
    standing = result.standing
    if not standing:
        return ["No run stands yet."]
    first = standing[0].score
    assert first is not None
    several = any(len(row.runs) > 1 for row in standing)
    lines = [_metric(first, several)]
    drawn = f"blocks by {first.blocks}" if isinstance(first, Score) and first.blocks else "utterances"
    lines.append(f"Interval: percentile bootstrap over {drawn}, {first.replicas:,} replicas, seed {first.seed}.")
    if several:
        lines.append(
            "Spread: standard deviation over seeds, that is of another training; the interval takes the seeds as given."
        )
    if any(row.against is not None for row in standing):
        test = "matched-pairs" if isinstance(first, Score) else "approximate"
        lines.append(
            f"Difference: to {_bases(result)}, in points, over the seeds that both have; p: two-sided "
            f"{test} randomisation test, corrected for the number of rows (Holm)."
        )
    records = [_Recorded(row) for row in standing]
    region = each(records, lambda r: r.record.region or "not stated")
    device = each(records, lambda r: r.record.device or "not stated")
    threads = each(records, lambda r: r.record.threads or "not stated")
    batch = each(records, lambda r: r.record.batch or "not stated")
    lines.append(
        f"RTFx: seconds of audio per second of work; timed region: {region}; device {device}; threads {threads}; "
        f"batch {batch}."
    )
    if "effort" in result.study.details:
        lines.append(
            "Forwards/s, Labels/s: what language models and decoders were asked for per second of audio, forward "
            "passes (each for the hypotheses of a whole batch) and labels consumed."
        )
    lines.append(
        "Trained M, Training s: parameters, in millions, that the trainings of the system's own parts changed, and the "
        "seconds that these took; trainings that they started from do not count."
    )
    lines += [f"Published [{letter}]: {source}." for source, letter in _sources(result).items()]
    return lines


class _Recorded:
    def __init__(self, row: EntryResult) -> None:
        self.name, self.record = row.entry.name, next(iter(row.runs.values())).record


def _metric(score: Score | TranslationScore, several: bool) -> str:
    over = ", the seeds together" if several else ""
    if isinstance(score, TranslationScore):
        return (
            f"BLEU: {score.metrics['bleu'].signature} (sacreBLEU), over {score.utterances:,} utterances{over}; higher "
            "is better."
        )
    return (
        f"WER: substituted, deleted and inserted words per 100 reference words, over {score.utterances:,} utterances"
        f"{over}; normaliser {regime_text(score)}; aligned by {score.aligner}."
    )


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else DASH


def _chrf(row: EntryResult) -> float:
    known = isinstance(row.score, TranslationScore) and "chrf" in row.score.metrics
    return row.score.metrics["chrf"].value if known else math.nan


def _bases(result: StudyResult) -> str:
    bases = result.study.bases
    return bases[0] if len(bases) == 1 else "the row that it is tested against"


def _errors(row: EntryResult, kind: str) -> str:
    """Words substituted, deleted or inserted, in percent of those of the references."""
    if not isinstance(row.score, Score):
        return DASH
    errors = row.score.errors
    return f"{100 * getattr(errors, kind) / errors.words:.2f}"


def _effort(row: EntryResult, at: int) -> str:
    """Forward passes (at 0) or labels (at 1) of all models that speak, per second of audio; of the first seed."""
    if not row.runs:
        return DASH
    models = [found for term, found in asked(next(iter(row.runs.values())).record).items() if term in OWNERS]
    value = sum(found.labels if at else found.forwards for found in models)
    return DASH if not models else f"{value:.0f}" if at else f"{value:.2f}"


def _by_seed(row: EntryResult, digits: int) -> str:
    return " / ".join(f"{points(run.score):.{digits}f}" for run in row.runs.values()) or DASH


def _spread(row: EntryResult, digits: int) -> str:
    values = [points(run.score) for run in row.runs.values()]
    return f"{statistics.stdev(values):.{digits}f}" if len(values) > 1 else DASH


def _difference(row: EntryResult, digits: int) -> str:
    return DASH if row.against is None else f"{row.against.points:+.{digits}f}"


def _p(row: EntryResult) -> str:
    return DASH if row.p_holm is None else p_text(row.p_holm)


def _panel_column(result: StudyResult, name: str) -> tuple[str, Callable[[EntryResult], str]]:
    """The rate of that name over all seeds."""
    rates = {
        row.entry.name: [rate for run in row.runs.values() if run.panel and (rate := run.panel.rate(name)) is not None]
        for row in result.rows
    }
    known = next((found[0] for found in rates.values() if found), None)
    if known is None:
        return name, lambda row: DASH
    silence = " (non-speech)" if known.kind == "non-speech" else ""

    def text(row: EntryResult) -> str:
        found: Sequence = rates[row.entry.name]
        total = sum(rate.total for rate in found)
        if not total:
            return DASH
        value = sum(rate.count for rate in found) / total
        return f"{value:.2f}" if known.per_minute else f"{100 * value:.2f} %"

    return f"{known.title}{silence}", text
