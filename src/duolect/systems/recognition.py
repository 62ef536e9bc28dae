"""The loop over the batches of a set, and what it gives: results, what was skipped, what it cost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from duolect.data import Target
from duolect.evaluation import HypothesisRow, Skipped, Timing, peak_memory_bytes, reset_peak_memory
from duolect.evaluation.speed import FEATURES_TO_TEXT, FILES_TO_TEXT
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
    so on, where a model merges frames "<component>.audio.frames" and so on; summed over the utterances. Memory in
    bytes; on the host the peak of the process, since this call began where that can be told. `target`: whether the rows
    are transcripts or translations.
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


@dataclass
class Run:
    """The outcome by place in the input, filled batch by batch in whatever order suits the hardware."""

    candidates: dict[int, list[Candidate]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)
    bad: dict[int, tuple[Source, str]] = field(default_factory=dict)
    audio_seconds: float = 0.0
    compute_seconds: float = 0.0
    reading_seconds: float = 0.0
    statistics: dict[str, Counters] = field(default_factory=dict)
    host_memory: int = 0
    device_memory: int | None = None

    def counts(self) -> dict[str, float]:
        """The statistics as flat numbers."""
        return {
            f"{term}.{name}": value
            for term, statistics in self.statistics.items()
            for name, value in statistics.numbers().items()
        }

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
    decode: Decode = recognize_batch,
) -> Run:
    """Recognise `sources`, longest first, in batches of at most `batch_seconds` of padded audio.

    Audio that cannot be read, or is longer than `max_seconds` or than a model's positions, is noted in `bad` and stops
    nothing. `warm_up`: the first batch is recognised once more, beforehand and untimed. Peak memory is that of this
    call where the system can tell, else of the process.
    """
    run, done = Run(), 0
    used = [parts[name] for name in search.parts()]
    max_seconds = min([max_seconds, *(part.longest_seconds for part in used)])
    if not all(part.padding_safe for part in used):
        batch_seconds = 0.0  # one utterance at a time
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
                    decode(_context(parts, search, batch, device, {}))
                    warm_up = False
                _recognize(run, parts, search, batch, device, decode)
            done += len(sources_of_batch)
            if progress is not None:
                progress(done, len(sources))
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
) -> None:
    with _clock(run, device):
        lists = decode(_context(parts, search, batch, device, run.statistics))
    run.audio_seconds += batch.seconds
    lengths = batch.lengths_B.tolist()
    for source, candidates, length in zip(batch.sources, lists, lengths, strict=True):
        run.candidates[source.index] = candidates
        run.seconds[source.index] = length / batch.sample_rate


def _context(
    parts: Mapping[str, Component],
    search: SearchConfig,
    batch: AudioBatch,
    device: torch.device,
    statistics: dict[str, Counters],
) -> Context:
    ids, languages = [source.id for source in batch.sources], [source.language for source in batch.sources]
    samples_BN, lengths_B = batch.samples_BN.to(device), batch.lengths_B.to(device)
    return Context(parts, search, ids, samples_BN, lengths_B, statistics, languages)


@contextlib.contextmanager
def _clock(run: Run, device: torch.device):
    """Adds the block's wall time; work queued on an accelerator is waited for on both sides."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    run.compute_seconds += time.perf_counter() - start
