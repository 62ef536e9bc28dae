"""What is measured beside a run, in passes of its own: operations, and the latency of one utterance at a time.

The hypotheses of these passes are thrown away: those of a run are the same whether it is measured or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from duolect.errors import ConfigError
from duolect.evaluation import Latency
from duolect.nn.flops import flop_counter
from duolect.nn.ledger import Ledger
from duolect.systems.batches import AudioBatch, Source, plan, read_batch
from duolect.systems.components import Component
from duolect.systems.config import SearchConfig
from duolect.systems.recognition import batch_context, batch_limits, timed
from duolect.systems.recognizer import recognize_batch


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How much is measured: the latency of the first `utterances`, the operations of `batches`, spread over the set."""

    utterances: int = 32
    batches: int = 4

    def __post_init__(self) -> None:
        for name in ("utterances", "batches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"measure: {name} must be at least 1, not {getattr(self, name)}.")


def count_flops(
    parts: Mapping[str, Component],
    search: SearchConfig,
    sources: Sequence[Source],
    *,
    batches: int,
    batch_seconds: float,
    max_seconds: float,
    device: torch.device,
) -> dict[str, float]:
    """Stage → floating-point operations per second of audio (`nn.flops` says which count), in `batches` of those that
    a run makes of `sources`, from the longest to the shortest utterances. Empty where no audio can be read."""
    batch_seconds, max_seconds = batch_limits(parts, search, batch_seconds, max_seconds)
    spent: dict[str, float] = {}
    audio_seconds = 0.0
    for sources_of_batch in _spread(plan(sources, batch_seconds), batches):
        batch, _ = read_batch(sources_of_batch, max_seconds)
        if batch is not None:
            audio_seconds += batch.seconds
            for stage, count in _counted(parts, search, batch, device).items():
                spent[stage] = spent.get(stage, 0.0) + count
    return {stage: count / audio_seconds for stage, count in spent.items() if count}


def _counted(
    parts: Mapping[str, Component], search: SearchConfig, batch: AudioBatch, device: torch.device
) -> dict[str, float]:
    counter = flop_counter()
    ledger = Ledger(counter.get_total_flops)
    with torch.inference_mode(), counter, ledger.open("other"):
        recognize_batch(batch_context(parts, search, batch, device))
    return ledger.spent


def _spread(batches: Sequence[list[Source]], count: int) -> list[list[Source]]:
    """`count` batches, the first and the last among them where there are two; all where there are no more."""
    if len(batches) <= count:
        return list(batches)
    if count == 1:
        return [batches[len(batches) // 2]]
    return [batches[round(i * (len(batches) - 1) / (count - 1))] for i in range(count)]


def measure_latency(
    parts: Mapping[str, Component],
    search: SearchConfig,
    sources: Sequence[Source],
    *,
    utterances: int,
    max_seconds: float,
    device: torch.device,
) -> Latency | None:
    """The first `utterances` that can be read, each recognised alone; the first of them once more before, untimed.

    From samples in memory to text, work on an accelerator waited for. None where no audio can be read.
    """
    _, max_seconds = batch_limits(parts, search, 0.0, max_seconds)
    taken: list[float] = []
    durations: list[float] = []
    with torch.inference_mode():
        for source in sorted(sources, key=lambda source: source.index):
            batch, _ = read_batch([source], max_seconds)
            if batch is None:
                continue
            if not taken:
                recognize_batch(batch_context(parts, search, batch, device))
            with timed(device) as seconds:
                recognize_batch(batch_context(parts, search, batch, device))
            taken += seconds
            durations.append(batch.seconds)
            if len(taken) == utterances:
                break
    return Latency.of(taken, durations) if taken else None
