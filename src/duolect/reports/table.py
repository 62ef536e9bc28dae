"""The table of word error rates as columns and legend; and tables of either kind on the terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console, RenderableType

from duolect.evaluation import Score, holm
from duolect.evaluation.blocks import FEWEST
from duolect.evaluation.signs import characters_per_word
from duolect.reports.cells import (
    DASH,
    Column,
    counted,
    draw_markdown,
    draw_terminal,
    each,
    interval_text,
    marked_column,
    memory_text,
    p_text,
    percent,
    plain_column,
    rtfx_text,
)
from duolect.reports.comparability import incomparable, memory_alike, timed
from duolect.reports.comparison import Comparison, SystemResult
from duolect.reports.cost import FLOPS_TITLE, LATENCY, LATENCY_TITLE, OPERATIONS
from duolect.reports.translations import TranslationComparison, translation_columns, translation_legend

_SPOKEN_OF = ("device", "precision", "threads", "batch", "beam")


def columns(comparison: Comparison) -> list[Column]:
    """The table's columns; the best WER, RTFx and memory are marked, all of them where several are equal.

    No RTFx and no memory is marked where they cannot be compared. Speed and memory are left out where they are
    known of no system.
    """
    systems = comparison.systems

    def marked(
        title: str, value: Callable[[SystemResult], float], text: Callable[[SystemResult], str], low: bool
    ) -> Column:
        return marked_column(title, [value(s) for s in systems], [text(s) for s in systems], low=low)

    def plain(title: str, text: Callable[[SystemResult], str]) -> Column:
        return plain_column(title, [text(system) for system in systems])

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
        speed = plain("RTFx", lambda s: rtfx_text(s.timing.rtfx))
        if not incomparable(timed(systems)):
            speed = marked("RTFx", lambda s: s.timing.rtfx, lambda s: rtfx_text(s.timing.rtfx), low=False)
        found.append(speed)
    if any(system.peak_memory is not None for system in systems):
        held = plain("Peak memory", lambda s: memory_text(s.peak_memory))
        if memory_alike(systems):
            held = marked("Peak memory", memory, lambda s: memory_text(s.peak_memory), low=True)
        found.append(held)
    for title in dict.fromkeys(title for system in systems for title in system.details):
        found.append(plain_column(title, [system.details.get(title, DASH) for system in systems]))
    return found


def legend(comparison: Comparison) -> list[str]:
    """Sentences that say how the table's numbers were made."""
    scores = [system.score for system in comparison.systems]
    lines = [
        "WER: substituted, deleted and inserted words per 100 reference words, pooled over "
        + _each(
            comparison,
            lambda s: f"{counted(s.score.utterances, 'utterance')} ({counted(s.score.errors.words, 'word')})",
        )
        + "; normaliser "
        + _each(comparison, lambda s: regime_text(s.score))
        + f"; aligned by {scores[0].aligner}.",
        *_unspaced(scores[0]),
        _interval(scores),
    ]
    if len(scores) > 1:
        more = _corrected(comparison) if len(scores) > 2 else ""
        lines.append(
            f"p: two-sided matched-pairs randomisation test against {comparison.baseline} on the same utterances"
            f"{f', in blocks by {scores[0].blocks}' if scores[0].blocks else ''}{more}."
        )
    settings = [text for key in _SPOKEN_OF if (text := _setting(comparison, key))]
    region = _each(comparison, lambda s: s.timing.region or "not stated")
    if _timed(comparison):
        lines.append(
            f"RTFx: seconds of audio per second of work; timed region: {region}"
            + "".join(f"; {text}" for text in settings)
            + "."
        )
        if why := incomparable(timed(comparison.systems)):
            lines.append(f"No RTFx is marked as the best, for the speeds cannot be compared: {why}.")
    if any(system.peak_memory is not None for system in comparison.systems):
        kind = _setting(comparison, "memory", named=False)
        unlike = "" if memory_alike(comparison.systems) else "; not of one kind, so that none is marked as the least"
        lines.append(f"Peak memory: largest amount held while recognising{f' ({kind})' if kind else ''}{unlike}.")
    titles = {title for system in comparison.systems for title in system.details}
    lines += [text for title, text in ((FLOPS_TITLE, OPERATIONS), (LATENCY_TITLE, LATENCY)) if title in titles]
    lines += _left_out(comparison)
    return lines


def regime_text(score: Score) -> str:
    """The normaliser's name, and in brackets whose rules and which table they are."""
    return f"{score.normaliser} ({score.normaliser_version})" if score.normaliser_version else score.normaliser


def _corrected(comparison: Comparison) -> str:
    """What is left of the tests against the baseline when it is taken into account how many they are."""
    tested = [s for s in comparison.systems if s.paired is not None]
    corrected = holm([s.paired.p_value for s in tested if s.paired is not None])
    lost = [
        s.name
        for s, p in zip(tested, corrected, strict=True)
        if s.paired is not None and s.paired.significant and p >= 0.05
    ]
    tests = f", not corrected for the number of systems; by Holm's correction for {len(tested)} tests "
    return tests + (f"{', '.join(lost)} would not be below 0.05" if lost else "the same are below 0.05")


def _unspaced(score: Score) -> list[str]:
    length = characters_per_word(reference for reference, _ in score.texts_N)
    if length is None:
        return []
    line = "Most references are in a script without spaces, and a word is what white space parts: there "
    line += f"{length:.1f} characters on average. With spaces between the characters of both sides these are rates of "
    return [line + "characters."]


def _interval(scores: Sequence[Score]) -> str:
    score, drawn = scores[0], "utterances"
    if score.units == 1:
        of = f"one block (by {score.blocks})" if score.blocks is not None else "one utterance"
        return f"Interval: none, for {of} says nothing of the spread."
    if score.blocks is not None:
        few = ", too few for the interval to be trusted" if score.units < FEWEST else ""
        alone = sum(block == f"utterance {key}" for key, block in zip(score.ids, score.block_N, strict=True))
        apart = f"; {alone:,} that do not say theirs are blocks of their own" if alone else ""
        drawn = f"{score.units} blocks of utterances (by {score.blocks}{few}{apart})"
    alike = (
        f"; none where {'all blocks have' if score.blocks is not None else 'all utterances have'} the same error rate, "
        "which says nothing of the spread"
        if any(s.interval is None for s in scores)
        else ""
    )
    return f"Interval: percentile bootstrap over {drawn}, {score.replicas:,} replicas, seed {score.seed}{alike}."


def terminal_table(comparison: Comparison | TranslationComparison, width: int = 80) -> RenderableType:
    """The table and its legend for a terminal of `width` columns; what does not fit is left out and named."""
    return draw_terminal(comparison.title, *_content(comparison), width)


def print_table(comparison: Comparison | TranslationComparison, console: Console | None = None) -> None:
    """Print the table and its legend at the console's width."""
    console = console or Console()
    console.print(terminal_table(comparison, console.width))


def markdown_table(comparison: Comparison | TranslationComparison) -> str:
    """The table and its legend as Markdown; the best values are bold."""
    return draw_markdown(*_content(comparison))


def _content(comparison: Comparison | TranslationComparison) -> tuple[list[Column], list[str]]:
    if isinstance(comparison, TranslationComparison):
        return translation_columns(comparison), translation_legend(comparison)
    return columns(comparison), legend(comparison)


def _timed(comparison: Comparison) -> bool:
    return any(math.isfinite(system.timing.rtfx) for system in comparison.systems)


def _each(comparison: Comparison, text: Callable[[SystemResult], Any]) -> str:
    return each(comparison.systems, text)


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
    if any(system.score.marked_references for system in comparison.systems):
        counts = _each(comparison, lambda s: s.score.marked_references)
        lines.append(f"Utterances whose reference is marked as not to be scored, left out: {counts}.")
    if any(system.score.skipped for system in comparison.systems):
        counts = _each(
            comparison,
            lambda s: f"{s.score.skipped} {'counted as deleted' if s.score.skipped_as_deletions else 'left out'}",
        )
        lines.append(f"Utterances that could not be recognised: {counts}.")
    return lines
