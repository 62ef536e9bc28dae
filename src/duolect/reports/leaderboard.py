"""A model's results on the sets of the Open ASR leaderboard as a table, one line a set and one for the average."""

from __future__ import annotations

from rich.console import Console

from duolect.evaluation.leaderboard import ModelResult, SetResult
from duolect.reports.cells import (
    DASH,
    Column,
    draw_markdown,
    draw_terminal,
    escape_markdown,
    interval_text,
    plain_column,
    rtfx_text,
)
from duolect.reports.table import regime_text


def leaderboard_columns(result: ModelResult) -> list[Column]:
    """The table's columns; speed is left out where no set has it."""
    sets = result.sets
    found = [
        plain_column("Set", [_short(each.name) for each in sets] + ["average"]),
        plain_column("WER %", [f"{each.wer:.2f}" for each in sets] + [f"{result.wer:.2f}"]),
        plain_column("95 % interval", [interval_text(each.score.interval) for each in sets] + [DASH]),
        plain_column("Sub/Del/Ins", [_split(each) for each in sets] + [DASH]),
        plain_column("Words", [f"{each.score.errors.words:,}" for each in sets] + [DASH]),
    ]
    if any(each.rtfx is not None for each in sets):
        found.append(plain_column("RTFx", [_speed(each.rtfx) for each in sets] + [_speed(result.rtfx)]))
    return found


def leaderboard_legend(result: ModelResult) -> list[str]:
    """How the numbers were made, then what must be known of them."""
    score = result.sets[0].score
    lines = [
        f"Regime: {regime_text(score)}; aligned by {score.aligner}.",
        "Average: the mean of the sets' WERs, each rounded to two decimals first; of RTFx, all audio by all time.",
        f"Interval: percentile bootstrap over utterances, {score.replicas:,} replicas, seed {score.seed}.",
    ]
    return [*lines, *result.notes]


def print_leaderboard(result: ModelResult, *, markdown: bool = False, console: Console | None = None) -> None:
    """Print a model's table, for a terminal or as Markdown."""
    columns, legend = leaderboard_columns(result), leaderboard_legend(result)
    if markdown:
        print(f"### {escape_markdown(result.model)}\n\n{draw_markdown(columns, legend)}", end="")
        return
    console = console or Console()
    console.print(draw_terminal(result.model, columns, legend, console.width))


def _short(name: str) -> str:
    """The set without the data set's name before it, which is the same for nearly all."""
    for known in ("hf-audio-esb-datasets-test-only-sorted_", "hf-audio-open-asr-leaderboard_"):
        name = name.removeprefix(known)
    return name


def _split(result: SetResult) -> str:
    errors = result.score.errors
    return f"{errors.substitutions}/{errors.deletions}/{errors.insertions}"


def _speed(rtfx: float | None) -> str:
    return DASH if rtfx is None else rtfx_text(rtfx)
