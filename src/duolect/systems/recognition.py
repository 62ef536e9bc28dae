"""The loop over the batches of a set, and what it gives: results, what was skipped, what it cost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from duolect.data import Target
from duolect.errors import SearchError
from duolect.evaluation import HypothesisRow, Latency, Skipped, Timing, peak_memory_bytes, reset_peak_memory
from duolect.evaluation.speed import FEATURES_TO_TEXT, FILES_TO_TEXT
from duolect.nn.ledger import GpuClock, Ledger
from duolect.systems.batches import AudioBatch, Source, plan, read_batch
from duolect.systems.components import Component
from duolect.systems.config import SearchConfig
from duolect.systems.context import Context, Counters
from duolect.systems.recognizer import recognize_batch
from duolect.systems.rows import Candidate

Progress = Callable[[int, int], None]
"""Called with (utterances done, utterances in all)."""


@dataclass(frozen=True)
class Recognition:
    """Rows in the order of the input, what was skipped and why, and what it cost.

    `timing` runs from samples to text, `timing_with_files` from files to text. `statistics`: "<term>.forwards", ".rows"
    and ".labels"; with soft collapse "ctc.frames", ".frames_left" and their ratio, with label pruning "ctc.labels" and
    so on, where a model merges frames "<component>.audio.frames" and so on; "output.labels", those of the best
    hypotheses, EOS included; summed over the utterances. Memory in bytes; on the host the peak of the process, since
    this call began where that can be told. `target`: whether the rows are transcripts or translations.

    `stages`: seconds by stage, each without those within it, together `timing_with_files` (on a GPU only where it was
    measured). `flops` (operations per second of audio, by stage) and `latency`: where measured.
    """

    rows: list[HypothesisRow]
    skipped: list[Skipped]
    timing: Timing
    timing_with_files: Timing
    statistics: dict[str, float]
    host_memory: int
    device_memory: int | None
    tuned_on_this_set: bool = False
    target: Target = "text"
    stages: dict[str, float] = field(default_factory=dict)
    flops: dict[str, float] = field(default_factory=dict)
    latency: Latency | None = None


@dataclass
class Run:
    """The outcome by place in the input, filled batch by batch in whatever order suits the hardware."""

    candidates: dict[int, list[Candidate]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    bad: dict[int, tuple[Source, str]] = field(default_factory=dict)
    audio_seconds: float = 0.0
    compute_seconds: float = 0.0
    reading_seconds: float = 0.0
    row_seconds: dict[int, float] = field(default_factory=dict)
    """An equal share of its batch's seconds of computing."""
    stages: dict[str, float] = field(default_factory=dict)
    output_labels: int = 0
    statistics: dict[str, Counters] = field(default_factory=dict)
    host_memory: int = 0
    device_memory: int | None = None

    def counts(self) -> dict[str, float]:
        """The statistics as flat numbers."""
        found = {
            f"{term}.{name}": value
            for term, statistics in self.statistics.items()
            for name, value in statistics.numbers().items()
        }
        return {**found, "output.labels": float(self.output_labels)}

    def timing(self, with_files: bool) -> Timing:
        """Audio seconds against wall seconds, over one of the two regions."""
        return Timing(
            audio_seconds=self.audio_seconds,
            wall_seconds=self.compute_seconds + (self.reading_seconds if with_files else 0.0),
            region=FILES_TO_TEXT if with_files else FEATURES_TO_TEXT,
        )


Decode = Callable[[Context], list[list[Candidate]]]


def run_batches(
    parts: Mapping[str, Component],
    search: SearchConfig,
    sources: Sequence[Source],
    *,
    batch_seconds: float,
    max_seconds: float,
    device: torch.device,
    progress: Progress | None = None,
    warm_up: bool = False,
    measured: bool = False,
    decode: Decode = recognize_batch,
) -> Run:
    """Recognise `sources`, longest first, in batches of at most `batch_seconds` of padded audio.

    Audio that cannot be read, or is longer than `max_seconds` or than a model's positions, is noted in `bad` and stops
    nothing. `warm_up`: the first batch is recognised once more, beforehand and untimed. `measured`: on a GPU too, the
    stages are timed, by events in its queue. Peak memory is that of this call where the system can tell, else of the
    process.
    """
    run, done = Run(), 0
    batch_seconds, max_seconds = batch_limits(parts, search, batch_seconds, max_seconds)
    clock = GpuClock(device) if measured and device.type == "cuda" else Ledger() if device.type == "cpu" else None
    reset_peak_memory()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with torch.inference_mode():
        for sources_of_batch in plan(sources, batch_seconds):
            start = time.perf_counter()
            batch, bad = read_batch(sources_of_batch, max_seconds)
            run.reading_seconds += time.perf_counter() - start
            run.bad |= {source.index: (source, reason) for source, reason in bad}
            if batch is not None:
                if warm_up:
                    decode(batch_context(parts, search, batch, device))
                    warm_up = False
                _recognize(run, parts, search, batch, device, decode, clock)
            done += len(sources_of_batch)
            if progress is not None:
                progress(done, len(sources))
    if clock is not None:
        run.stages = {"reading": run.reading_seconds, **clock.spent}
    run.host_memory = peak_memory_bytes()
    run.device_memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return run


def _recognize(
    run: Run,
    parts: Mapping[str, Component],
    search: SearchConfig,
    batch: AudioBatch,
    device: torch.device,
    decode: Decode,
    clock: Ledger | None,
) -> None:
    with timed(device, clock) as seconds:
        lists = decode(batch_context(parts, search, batch, device, run.statistics))
    run.compute_seconds += seconds[0]
    run.audio_seconds += batch.seconds
    lengths = batch.lengths_B.tolist()
    for source, candidates, length in zip(batch.sources, lists, lengths, strict=True):
        run.candidates[source.index] = candidates
        run.seconds[source.index] = length / batch.sample_rate
        run.row_seconds[source.index] = seconds[0] / len(lengths)
        run.output_labels += len(candidates[0].labels) + 1


def batch_limits(
    parts: Mapping[str, Component], search: SearchConfig, batch_seconds: float, max_seconds: float
) -> tuple[float, float]:
    """Seconds of padded audio in a batch (0: one utterance at a time), and of an utterance, that the models of a search
    allow. Raises SearchError for what are no such limits."""
    if not batch_seconds >= 0:
        raise SearchError(f"batch_seconds must be 0 (one utterance at a time) or more, not {batch_seconds:g}.")
    if not max_seconds > 0:
        raise SearchError(f"max_seconds must be above 0, not {max_seconds:g}.")
    used = [parts[name] for name in search.parts()]
    max_seconds = min([max_seconds, *(part.longest_seconds for part in used)])
    return (batch_seconds if all(part.padding_safe for part in used) else 0.0), max_seconds


def batch_context(
    parts: Mapping[str, Component],
    search: SearchConfig,
    batch: AudioBatch,
    device: torch.device,
    statistics: dict[str, Counters] | None = None,
) -> Context:
    """A batch on `device`, ready to be searched; what its models are asked to do is added to `statistics`."""
    statistics = {} if statistics is None else statistics
    ids, languages = [source.id for source in batch.sources], [source.language for source in batch.sources]
    samples_BN, lengths_B = batch.samples_BN.to(device), batch.lengths_B.to(device)
    return Context(parts, search, ids, samples_BN, lengths_B, statistics, languages)


@contextlib.contextmanager
def timed(device: torch.device, clock: Ledger | None = None) -> Generator[list[float]]:
    """A list that gets the block's wall seconds, and `clock` those of its stages ("other": of none of them, so that
    they sum to the whole).

    Work queued on an accelerator is waited for on both sides.
    """
    seconds: list[float] = []
    before = 0.0 if clock is None else sum(clock.spent.values())
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    with contextlib.nullcontext() if clock is None else clock.open("other"):
        yield seconds
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds.append(time.perf_counter() - start)
    if clock is not None:
        clock.settle()
        clock.spent["other"] += seconds[0] - (sum(clock.spent.values()) - before)
