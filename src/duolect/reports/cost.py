"""What recognition cost, as tables: where the time of one run went, and several runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType

from duolect.evaluation import RunRecord
from duolect.evaluation.cost import (
    Efficiency,
    Part,
    asked,
    by_part,
    efficiency,
    ordered_stages,
    tokens_per_second,
    total_flops,
)
from duolect.evaluation.results import bare_name, read_record
from duolect.reports.cells import (
    DASH,
    Cell,
    Column,
    draw_markdown,
    draw_terminal,
    plain_column,
    rtfx_text,
)

FLOPS_TITLE = "GFLOP per audio s"
LATENCY_TITLE = "Latency s (95 %)"
OPERATIONS = (
    "GFLOP per audio s: 10⁹ multiplications and additions of matrix products, convolutions and attention per second of"
    " audio, padding included."
)
_SHARES: tuple[tuple[Part, ...], ...] = (("files",), ("features", "encoder"), ("CTC",), ("decoder", "LLM"), ("search",))

LATENCY = "Latency: seconds from samples to text of one utterance at a time, after a warm-up: median (95th percentile)."


def cost_details(record: RunRecord) -> dict[str, str]:
    """Further columns of a table of results: operations and latency, where they were measured.

    None for a part of a run, of which the whole's cost says nothing.
    """
    flops, found = total_flops(record), {}
    if record.audio_seconds <= 0:
        return found
    if flops is not None:
        found[FLOPS_TITLE] = giga(flops)
    if record.latency is not None:
        found[LATENCY_TITLE] = f"{seconds_text(record.latency.median)} ({seconds_text(record.latency.p95)})"
    return found


def measured_runs(files: Sequence[Path]) -> dict[str, RunRecord]:
    """Name → record of hypothesis files that have one; empty unless one of them was measured beyond its time."""
    stems = [bare_name(file) for file in files]
    found = {
        stem if stems.count(stem) == 1 else str(file): record
        for file, stem in zip(files, stems, strict=True)
        if (record := read_record(file)) is not None
    }
    return found if any(record.flops or record.latency for record in found.values()) else {}


def stage_table(record: RunRecord, width: int = 80) -> RenderableType:
    """Where the time of one run went, stage by stage, for a terminal of `width` columns; latency and rates below."""
    return draw_terminal("Where the time went", _stage_columns(record), _stage_legend(record), width)


def cost_table(runs: Mapping[str, RunRecord], width: int = 80) -> RenderableType:
    """Runs by name, the first the baseline: weights, speed and memory against it, and what took the time."""
    return draw_terminal("What recognition cost", cost_columns(runs), cost_legend(runs), width)


def cost_markdown(runs: Mapping[str, RunRecord]) -> str:
    """The same as Markdown."""
    return draw_markdown(cost_columns(runs), cost_legend(runs))


def giga(value: float) -> str:
    """Operations in 10⁹, three digits or so."""
    value /= 1e9
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def seconds_text(value: float) -> str:
    """Seconds, three digits or so: "12.3", "0.345", "0.0021"."""
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.2g}"


def _stage_columns(record: RunRecord) -> list[Column]:
    stages = ordered_stages(dict.fromkeys([*record.stages, *record.flops], 0.0) | record.stages)
    whole, rows = sum(record.stages.values()), asked(record)
    calls = {stage: rows.get(stage.partition("/")[2]) for stage in stages}

    def column(title: str, text: Callable[[str], str], total: str = "") -> Column:
        return Column(title, tuple(map(Cell, (*map(text, stages), total))))

    found = [column("Stage", lambda stage: stage, "all")]
    if whole:
        found.append(column("Seconds", lambda stage: seconds_text(stages[stage]), seconds_text(whole)))
        found.append(column("%", lambda stage: f"{100 * stages[stage] / whole:.1f}", "100"))
    if record.flops:
        total = giga(total_flops(record) or 0.0)
        found.append(
            column(FLOPS_TITLE, lambda s: giga(record.flops[s]) if record.flops.get(s) else DASH, total),
        )
    if any(calls.values()):
        for title, name in (("Forwards", "forwards"), ("Rows", "rows"), ("Labels", "labels")):

            def rate(stage: str, name: str = name) -> str:
                return rtfx_text(getattr(call, name)) if (call := calls[stage]) else DASH

            found.append(column(title, rate))
    return found


def _stage_legend(record: RunRecord) -> list[str]:
    lines = []
    if any(stage.partition("/")[2] in asked(record) for stage in record.stages):
        lines.append("Forwards, rows (hypotheses) and labels: what a model was asked, per second of audio.")
    if record.flops:
        lines.append(OPERATIONS)
    files = record.timing_with_files
    if record.timing.wall_seconds > 0 and files is not None:
        lines.append(f"RTFx {rtfx_text(record.timing.rtfx)} from features to text, {rtfx_text(files.rtfx)} from files.")
    tokens = tokens_per_second(record)
    if tokens is not None:
        lines.append(f"{rtfx_text(tokens)} labels written per second (EOS included).")
    latency = record.latency
    if latency is not None:
        lines.append(
            f"Latency of {latency.utterances} utterances, one at a time: median {seconds_text(latency.median)} s"
            f" ({100 * latency.median_of_duration:.2g} % of its duration), 95th percentile"
            f" {seconds_text(latency.p95)} s ({100 * latency.p95_of_duration:.2g} %)."
        )
    return lines


def cost_columns(runs: Mapping[str, RunRecord]) -> list[Column]:
    """The columns of the table; what is known of no run is left out."""
    base = next(iter(runs.values()))
    ratios = {name: efficiency(record, base) for name, record in runs.items()}

    def column(title: str, text: Callable[[str], str]) -> Column:
        return plain_column(title, [text(name) for name in runs])

    def ratio(title: str, value: Callable[[Efficiency], float | None]) -> Column:
        texts = {name: DASH if (found := value(ratios[name])) is None else f"{found:.2f}" for name in runs}
        return column(title, lambda name: texts[name])

    def weights(name: str) -> str:
        total = sum(runs[name].parameters.values())
        return f"{total / 1e6:,.3g} M" if total else DASH

    def files(name: str) -> str:
        timing = runs[name].timing_with_files
        return DASH if timing is None else rtfx_text(timing.rtfx)

    found = [
        column("System", lambda name: name),
        column("Weights", weights),
        ratio("Tokens/s ×", lambda e: e.tokens),
        ratio("RTFx ×", lambda e: e.rtfx),
        ratio("Memory ×", lambda e: e.memory),
        column("RTFx, files", files),
        column("Time %", lambda name: _shares(runs[name].stages)),
    ]
    return [found[0], *(c for c in found[1:] if any(cell.text != DASH for cell in c.cells))]


def _shares(stages: Mapping[str, float]) -> str:
    spent = by_part(stages)
    whole = sum(spent.values())
    if not whole:
        return DASH
    return "/".join(f"{100 * sum(spent.get(part, 0.0) for part in parts) / whole:.0f}" for parts in _SHARES)


def cost_legend(runs: Mapping[str, RunRecord]) -> list[str]:
    """Sentences that say what its numbers are."""
    first = next(iter(runs))
    lines = [
        f"×: divided by that of {first}; a dash where device, threads, timed region or units differ.",
        "Tokens: labels written, EOS included. RTFx, files: reading and decoding files included.",
    ]
    if any(record.stages for record in runs.values()):
        lines.append("Time: per cent in reading files/features and encoder/CTC/decoder and LLM/the search itself.")
    return lines
