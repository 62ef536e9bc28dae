"""What recognition cost, from the records of runs: rates per second of audio, shares of the time, ratios to a baseline.

docs/cost.md says how each number is measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Literal

from duolect.errors import ScoringError
from duolect.evaluation.results import RunRecord
from duolect.evaluation.speed import Timing

Part = Literal["files", "features", "encoder", "CTC", "decoder", "LLM", "search"]
"""What a user would call a group of stages; "LLM": the language model and the speech LLM."""

_PARTS: dict[str, Part] = {
    "reading": "files",
    "features": "features",
    "encoder": "encoder",
    "adapter": "encoder",
    "ctc": "CTC",
    "decoder": "decoder",
    "lm": "LLM",
    "speech_llm": "LLM",
}
_ORDER = ("reading", "features", "encoder", "adapter", "ctc", "search", "text", "rescoring", "other")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a model was asked to do for each second of audio: forward passes, hypotheses in them, labels consumed."""

    forwards: float
    rows: float
    labels: float


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """A run against the baseline's, each value divided by that of the baseline; None where the two cannot be compared.

    `tokens`: labels written per second (EOS included), of runs in the same units; `rtfx`: audio seconds per second;
    both on one device with as many threads over one region. `memory`: the peak, on the same kind of device;
    `parameters`: weights; `flops`: operations per second of audio.
    """

    tokens: float | None
    rtfx: float | None
    memory: float | None
    parameters: float | None
    flops: float | None


def ordered_stages(stages: Mapping[str, float]) -> dict[str, float]:
    """The same, in the order in which an utterance meets them."""

    def place(stage: str) -> tuple[int, str]:
        first = stage.partition("/")[0].partition(".")[0]
        return (_ORDER.index(first) if first in _ORDER else len(_ORDER), stage)

    return {stage: stages[stage] for stage in sorted(stages, key=place)}


def part_of(stage: str) -> Part:
    """The part that a stage belongs to: a search's own work, that of forming text and of ranking, is "search"."""
    head, _, term = stage.partition("/")
    return _PARTS.get(term or head.partition(".")[0], "search")


def by_part(stages: Mapping[str, float]) -> dict[Part, float]:
    """Seconds or operations of stages, summed by part, in the order of `ordered_stages`."""
    found: dict[Part, float] = {}
    for stage, value in ordered_stages(stages).items():
        found[part_of(stage)] = found.get(part_of(stage), 0.0) + value
    return found


def asked(record: RunRecord) -> dict[str, Asked]:
    """Term, or "encoder", → what its model was asked to do per second of audio; empty where no audio was timed."""
    if record.audio_seconds <= 0:
        return {}
    counts: dict[str, dict[str, float]] = {}
    for name, value in record.statistics.items():
        term, _, what = name.rpartition(".")
        counts.setdefault(term, {})[what] = value / record.audio_seconds
    names = ("forwards", "rows", "labels")
    return {
        term: Asked(**{name: found[name] for name in names})
        for term, found in counts.items()
        if all(name in found for name in names)
    }


def tokens_per_second(record: RunRecord) -> float | None:
    """Labels of the best hypotheses, EOS included, per second of work; None where they were not counted or timed."""
    labels = record.statistics.get("output.labels")
    return None if labels is None or record.wall_seconds <= 0 else labels / record.wall_seconds


def total_flops(record: RunRecord) -> float | None:
    """Operations per second of audio, all stages; None where they were not counted."""
    return sum(record.flops.values()) if record.flops else None


def peak_memory(record: RunRecord) -> tuple[int, Literal["accelerator", "host"]] | None:
    """Bytes, and where: on the accelerator where there is one."""
    if record.device_memory is not None:
        return record.device_memory, "accelerator"
    return None if record.host_memory is None else (record.host_memory, "host")


def efficiency(record: RunRecord, baseline: RunRecord) -> Efficiency:
    """Ratios of a run to the baseline's: speed and memory as in Table 2 of arXiv 2501.02370, and what explains them."""
    timed = all(getattr(record, key) == getattr(baseline, key) for key in ("device", "threads", "region"))
    memory, base = peak_memory(record), peak_memory(baseline)
    tokens = timed and record.units == baseline.units
    return Efficiency(
        tokens=_ratio(tokens_per_second(record), tokens_per_second(baseline)) if tokens else None,
        rtfx=_ratio(record.timing.rtfx, baseline.timing.rtfx) if timed else None,
        memory=_ratio(memory[0], base[0]) if memory and base and memory[1] == base[1] else None,
        parameters=_ratio(sum(record.parameters.values()), sum(baseline.parameters.values())),
        flops=_ratio(total_flops(record), total_flops(baseline)),
    )


def pooled_timing(records: Sequence[RunRecord]) -> Timing:
    """Runs of several sets as one: audio seconds of all against wall seconds of all, as on the Open ASR leaderboard.

    Raises ScoringError where there is none, or their timed regions, devices or numbers of threads differ.
    """
    if not records:
        raise ScoringError("there is no run whose times could be pooled.")
    other = next((r for r in records if r.device != records[0].device), None)
    if other is not None:
        raise ScoringError(f"times on {records[0].device} and {other.device} cannot be pooled.")
    other = next((r for r in records if r.threads != records[0].threads), None)
    if other is not None:
        raise ScoringError(f"times with {records[0].threads} and {other.threads} threads cannot be pooled.")
    return reduce(add, (record.timing for record in records))


def _ratio(value: float | None, base: float | None) -> float | None:
    if not value or not base or not math.isfinite(value) or not math.isfinite(base):
        return None
    return value / base
