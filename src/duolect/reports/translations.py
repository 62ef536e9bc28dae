"""The table of translation systems: BLEU and chrF with intervals, a paired test, speed and memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from duolect.errors import ScoringError
from duolect.evaluation import PairedTranslation, Timing, TranslationMetric, TranslationScore
from duolect.evaluation.translation import METRICS, TITLES
from duolect.reports.cells import (
    DASH,
    Column,
    counted,
    each,
    marked_column,
    memory_text,
    p_text,
    plain_column,
    rtfx_text,
)


@dataclass(frozen=True, kw_only=True)
class TranslationResult:
    """One line of the table."""

    name: str
    score: TranslationScore
    paired: Mapping[TranslationMetric, PairedTranslation] | None = None
    """Against the comparison's baseline, by metric; None for the baseline itself."""
    timing: Timing
    peak_memory: int | None = None
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class TranslationComparison:
    """Translation systems on the same utterances; the first is the baseline.

    ScoringError for no system, or two of one name.
    """

    title: str
    systems: Sequence[TranslationResult]

    def __post_init__(self) -> None:
        names = [system.name for system in self.systems]
        if not names or len(set(names)) < len(names):
            raise ScoringError(f"comparison {self.title!r}: expected systems of different names, not {names}.")

    @property
    def metrics(self) -> list[TranslationMetric]:
        """The metrics that every system was scored by."""
        return [name for name in METRICS if all(name in system.score.metrics for system in self.systems)]


def translation_columns(comparison: TranslationComparison) -> list[Column]:
    """The table's columns; the best score, RTFx and memory are marked."""
    systems = comparison.systems

    def marked(
        title: str,
        value: Callable[[TranslationResult], float],
        text: Callable[[TranslationResult], str],
        low: bool = False,
    ) -> Column:
        return marked_column(title, [value(s) for s in systems], [text(s) for s in systems], low=low)

    found = [plain_column("System", [system.name for system in systems])]
    for metric in comparison.metrics:
        scores = [system.score.metrics[metric] for system in systems]
        bounds = [f"{s.interval.low:.1f}–{s.interval.high:.1f}" if s.interval else DASH for s in scores]
        found += [
            marked_column(TITLES[metric], [s.value for s in scores], [f"{s.value:.1f}" for s in scores], low=False),
            plain_column("95 % interval", bounds),
        ]
        if len(systems) > 1:
            found.append(plain_column("p", [_p(system, metric) for system in systems]))
    if _timed(comparison):
        found.append(marked("RTFx", lambda s: s.timing.rtfx, lambda s: rtfx_text(s.timing.rtfx)))
    if any(system.peak_memory is not None for system in systems):
        found.append(
            marked("Peak memory", lambda s: s.peak_memory or math.inf, lambda s: memory_text(s.peak_memory), low=True)
        )
    return found


def translation_legend(comparison: TranslationComparison) -> list[str]:
    """Sentences that say how the table's numbers were made."""
    systems, first = comparison.systems, comparison.systems[0].score
    lines = [
        f"{TITLES[metric]}: {each(systems, lambda s, m=metric: s.score.metrics[m].signature)} (sacreBLEU), over "
        + each(systems, lambda s: counted(s.score.utterances, "utterance"))
        + "; higher is better."
        for metric in comparison.metrics
    ]
    lines.append(f"Interval: percentile bootstrap over utterances, {first.replicas:,} replicas, seed {first.seed}.")
    if len(systems) > 1:
        tested = next(iter((systems[1].paired or {}).values()), None)
        trials = f", {tested.trials:,} trials" if tested is not None else ""
        more = ", not corrected for the number of systems" if len(systems) > 2 else ""
        lines.append(
            f"p: two-sided approximate randomisation against {systems[0].name} on the same utterances{trials}{more}."
        )
    if _timed(comparison):
        region = each(systems, lambda s: s.timing.region or "not stated")
        lines.append(f"RTFx: seconds of audio per second of work; timed region: {region}.")
    if any(system.score.empty_references for system in systems):
        counts = each(systems, lambda s: s.score.empty_references)
        lines.append(f"Utterances without a reference translation, not scored: {counts}.")
    if any(system.score.skipped for system in systems):
        how = each(
            systems, lambda s: f"{s.score.skipped} {'counted as empty' if s.score.skipped_as_deletions else 'left out'}"
        )
        lines.append(f"Utterances that could not be recognised: {how}.")
    return lines


def _p(system: TranslationResult, metric: TranslationMetric) -> str:
    return "baseline" if system.paired is None else p_text(system.paired[metric].p_value)


def _timed(comparison: TranslationComparison) -> bool:
    return any(math.isfinite(system.timing.rtfx) for system in comparison.systems)
