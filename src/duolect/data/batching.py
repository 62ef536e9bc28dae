"""Batches of utterances of similar duration, through lhotse's dynamic bucketing."""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from duolect.data.manifest import Utterance
from duolect.data.stream import BatchStream, stable_seed
from duolect.errors import ConfigError, ManifestError

WIDEST = 1.25
"""No bucket but the first holds utterances more than this factor apart, so that padding stays below it."""

GROWTH = 1.3
"""How much larger a curriculum's epoch is than the one before."""


@dataclass(frozen=True, kw_only=True)
class BatchConfig:
    """How utterances are put together.

    A batch holds at most `max_seconds` of sound, padding included, and `max_utterances` utterances (an utterance longer
    than `max_seconds` is a batch alone). Utterances are batched within about `buckets` duration buckets of equal total
    duration (fewer for small sets; more where durations spread widely). With `shuffle` each epoch has its own order.
    `curriculum` begins with easy ones, for then CTC finds its alignments much sooner (SortaGrad, arXiv 1512.02595):
    the first epoch has only that share of the utterances, the shortest, and each next one GROWTH times as many.
    Utterances shorter than `shortest` or longer than `longest` seconds are left out and listed.
    The paper has 1000 s, 200 utterances and 19.5 s. Durations are the manifest's; speed factors change them later.
    """

    max_seconds: float = 100.0
    max_utterances: int = 200
    buckets: int = 20
    shuffle: bool = True
    shortest: float = 0.0
    longest: float | None = None
    curriculum: float | None = None

    def __post_init__(self) -> None:
        if self.max_seconds <= 0:
            raise ConfigError(f"batches: max_seconds must be positive, not {self.max_seconds}.")
        for name in ("max_utterances", "buckets"):
            if getattr(self, name) < 1:
                raise ConfigError(f"batches: {name} must be at least 1, not {getattr(self, name)}.")
        if self.curriculum is not None and not 0 < self.curriculum <= 1:
            raise ConfigError(f"batches: curriculum must be a share above 0 and at most 1, not {self.curriculum}.")
        if self.curriculum is not None and not self.shuffle:
            raise ConfigError("batches: a curriculum is for training; with shuffle off every utterance is due.")
        if self.shortest < 0 or (self.longest is not None and self.longest <= self.shortest):
            raise ConfigError(f"batches: 0 <= shortest < longest must hold, not {self.shortest} and {self.longest}.")


def duration_misfit(duration: float, config: BatchConfig) -> str | None:
    """Why an utterance of that many seconds is left out; None where it is not."""
    if duration < config.shortest:
        return f"its {duration:.2f} s are less than the shortest allowed, {config.shortest:g} s"
    if config.longest is not None and duration > config.longest:
        return f"its {duration:.2f} s are more than the longest allowed, {config.longest:g} s"
    return None


@dataclass(slots=True)
class _Item:
    """All of an utterance that lhotse's bucketing looks at; a MonoCut would take far longer to make."""

    duration: float
    index: int


class SpeechBatches(BatchStream[list[Utterance]]):
    """Batches of utterances, reshuffled each epoch: endless, or `epochs` passes over the data.

    Which batches there are, and in what order, depends on the utterances, `config` and `seed` alone: not on `rank`,
    `world_size` or worker processes. Without `shuffle` (evaluation) the order is the same in each pass, and every
    utterance is given exactly once even when `world_size` > 1: then ranks may differ by one batch, so nothing may
    synchronise them at each batch. With `shuffle` and `epochs`, see `BatchStream` for the last step.

    Taking up an epoch after n batches costs what drawing them costs: about 75 000 utterances a second.
    Raises ManifestError when no utterance is left, and when two have the same id.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        config: BatchConfig,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        epochs: int | None = None,
    ) -> None:
        super().__init__(rank=rank, world_size=world_size, epochs=epochs, even=config.shuffle)
        self.config, self.seed = config, seed
        self.utterances: list[Utterance] = []
        self.left_out: list[tuple[Utterance, str]] = []
        for utterance in utterances:
            if reason := duration_misfit(utterance.duration, config):
                self.left_out.append((utterance, reason))
            else:
                self.utterances.append(utterance)
        if not self.utterances:
            first = f"; the first: {self.left_out[0][0].id}: {self.left_out[0][1]}" if self.left_out else ""
            raise ManifestError(f"No utterance is left to batch: {len(self.left_out)} were left out{first}.")
        if len({u.id for u in self.utterances}) < len(self.utterances):
            raise ManifestError("Two utterances to batch have the same id; ids must differ.")
        if config.curriculum:
            self.utterances.sort(key=lambda u: (u.duration, u.id))
        self._edges = edges = _bucket_edges([u.duration for u in self.utterances], config)
        # Every utterance counts as long as its bucket allows: a batch is full when one more such would not fit. With
        # real durations lhotse would look at the longest so far, and the next, longer one could overfill the batch.
        self._items = [
            _Item(edges[min(bisect_left(edges, u.duration), len(edges) - 1)], i) for i, u in enumerate(self.utterances)
        ]

    def epoch_batches(self, epoch: int) -> Iterator[list[Utterance]]:
        """All batches of one epoch, for all ranks together."""
        from lhotse.dataset.sampling.dynamic_bucketing import DynamicBucketer

        seed = stable_seed(self.seed, epoch if self.config.shuffle else 0)
        items = self._items[: self._due(epoch)] if self.config.curriculum else self._items
        if self.config.shuffle:
            order = np.random.Generator(np.random.PCG64(seed)).permutation(len(items))
            items = [items[i] for i in order.tolist()]
        # The engine of lhotse's DynamicBucketingSampler, without the sampler round it: that one deals batches to ranks
        # so that their sequence depends on how many ranks there are, and has one order of buckets for all epochs or,
        # with sync_buckets=False, ends an epoch before the last utterances (1.33 takes empty buckets for full ones).
        bucketer = DynamicBucketer(
            cast("Any", items),
            duration_bins=self._edges,
            world_size=1,
            max_duration=self.config.max_seconds,
            max_cuts=self.config.max_utterances,
            buffer_size=self._buffer_size(),
            shuffle=self.config.shuffle,
            rng=random.Random(seed),
            bucket_rng=random.Random(seed + 1),
        )
        for batch in bucketer:
            yield [self.utterances[item.index] for item in cast("Any", batch)]

    def _due(self, epoch: int) -> int:
        """How many of the shortest utterances take part in an epoch."""
        share = (self.config.curriculum or 1.0) * GROWTH ** min(epoch, 1000)
        return min(len(self._items), math.ceil(share * len(self._items)))

    def _buffer_size(self) -> int:
        """Utterances looked ahead at: enough for two batches in each bucket."""
        needed = 2 * self.config.max_seconds * (len(self._edges) + 1) / (sum(self._edges) / len(self._edges))
        return max(20_000, math.ceil(needed))


def _bucket_edges(durations: Sequence[float], config: BatchConfig) -> list[float]:
    """Upper edges of the duration buckets, ascending; what is longer than `max_seconds` belongs to the last one.

    A bucket should fill four batches or more, else many batches of a small set would be the half-filled last ones.
    """
    from lhotse.dataset.sampling.dynamic_bucketing import estimate_duration_buckets

    edges = {max(durations)}
    batches = max(sum(durations) / config.max_seconds, len(durations) / config.max_utterances)
    count = min(config.buckets, int(batches / 4), len(durations))
    if count > 1:
        sized = cast("Any", (_Item(duration, 0) for duration in durations))
        edges |= {float(edge) for edge in estimate_duration_buckets(sized, num_buckets=count)}
        edges |= {edge for low, high in itertools.pairwise(sorted(edges)) for edge in _between(low, high)}
    return sorted({min(edge, config.max_seconds) for edge in edges})


def _between(low: float, high: float) -> list[float]:
    parts = math.ceil(math.log(high / low) / math.log(WIDEST))
    return [low * (high / low) ** (part / parts) for part in range(1, parts)]
