"""Batches straight from parquet shards, of any number of hours, that can be taken up at any place.

An epoch is read in blocks of whole row groups with about `buffer` utterances each. A block is shuffled, sorted into
duration buckets, cut into batches, and the batches are shuffled; while they are handed out, the next block takes their
room. So what is in the buffer at any moment follows from where its block begins in the shards and how many of its
batches are done, which is all that a place needs to hold; going on from there reads that block again, and nothing else.

Encoded sound travels with the utterances, from the row group it was read with to the worker that decodes it. To read it
again by its row when its batch is due would mean reading a whole row group for each utterance (commonly 100 utterances,
some 30 MB: a parquet file gives no less), which a shuffled batch shares with hardly any other.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from duolect.data.batching import WIDEST, BatchConfig, duration_misfit
from duolect.data.manifest import Utterance
from duolect.data.shards.carried import CarriedBatch
from duolect.data.shards.reader import START, Cursor, Reading, Row, ahead
from duolect.data.shards.source import Shards
from duolect.data.skips import SkipLog, Skipped
from duolect.data.stream import BatchStream, Place, stable_seed
from duolect.errors import ConfigError, ManifestError, TrainingError


@dataclass(frozen=True, slots=True)
class ShardPlace(Place):
    """A place in shards: a block's number, where in the shards it begins, and how many of its batches are done."""

    block: int = 0
    start: Cursor = START
    given: int = 0


class ShardBatches(BatchStream[CarriedBatch]):
    """Batches of the utterances of parquet shards, reshuffled each epoch: endless, or `epochs` passes.

    As `SpeechBatches` in what may be relied on: the sequence depends on shards, configs and seed alone, and is dealt
    to ranks the same for any `world_size`. Utterances that cannot be used are noted in `skipped` as they are read.
    Shards are opened when their turn comes: neither starting nor going on takes longer for more of them.
    Iterating raises AudioError or ManifestError that names a shard which cannot be read.
    """

    def __init__(
        self,
        shards: Shards,
        config: BatchConfig,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        epochs: int | None = None,
        skipped: SkipLog | None = None,
    ) -> None:
        super().__init__(rank=rank, world_size=world_size, epochs=epochs, even=config.shuffle)
        if config.curriculum is not None:
            raise ConfigError(
                "batches: a curriculum begins with the shortest utterances of all, which shards tell only as they are "
                "read; leave it out, or train on a manifest."
            )
        self.shards, self.config, self.seed = shards, config, seed
        self.skipped = SkipLog() if skipped is None else skipped
        self._reading = Reading(
            shards.paths,
            shards.config.columns,
            self._fitting,
            seed=seed,
            shuffle=config.shuffle,
            open_shards=shards.config.open_shards,
        )

    def _fitting(self, utterance: Utterance) -> Utterance:
        if (reason := duration_misfit(utterance.duration, self.config)) is not None:
            raise ManifestError(reason)
        return self.shards.adapt(utterance)

    def epoch_start(self, epoch: int) -> ShardPlace:
        """Where an epoch begins."""
        return ShardPlace(epoch)

    def epoch_batches(self, epoch: int) -> Iterator[CarriedBatch]:
        """All batches of one epoch, for all ranks together."""
        return (batch for batch, _ in self.batches_from(ShardPlace(epoch)))

    def batches_from(self, place: Place) -> Iterator[tuple[CarriedBatch, Place]]:
        """The batches of an epoch from `place` on, each with the place behind it."""
        assert isinstance(place, ShardPlace)
        here, buffer = place, self.shards.config.buffer
        groups = _Groups(ahead(self._reading.groups(here.epoch, here.start)), here.start, self.skipped)
        try:
            block = groups.take([], buffer)
            while block:
                coming: list[Row | None] = []
                after, done = groups.cursor, 0
                plan = self._cut(block, here.epoch, here.block)
                for number, chosen in enumerate(plan, start=1):
                    done += len(chosen)
                    carried = _carried(block, chosen)
                    if number <= here.given:
                        continue
                    # As many rows come in as have gone; behind a place that was taken up, twice as many until then.
                    coming = groups.take(coming, min(done, len(coming) + 2 * len(chosen), buffer))
                    last = number == len(plan)
                    here = replace(
                        here,
                        consumed=here.consumed + 1,
                        block=here.block + last,
                        start=after if last else here.start,
                        given=0 if last else number,
                    )
                    yield carried, here
                block = groups.take(coming, buffer)
        finally:
            groups.close()

    def _cut(self, block: Sequence[Row | None], epoch: int, number: int) -> list[list[int]]:
        """The places in a block of each batch's utterances."""
        rng = np.random.Generator(np.random.PCG64(stable_seed(self.seed, "block", epoch, number)))
        durations = np.array([row.utterance.duration for row in block if row is not None])
        order = rng.permutation(len(block)) if self.config.shuffle else np.arange(len(block))
        order = order[np.argsort(duration_buckets(durations, self.config.buckets)[order], kind="stable")]
        batches: list[list[int]] = []
        longest = 0.0
        for place in order.tolist():
            longest = max(longest, durations[place])
            full = not batches or len(batches[-1]) == self.config.max_utterances
            if full or (len(batches[-1]) + 1) * longest > self.config.max_seconds:
                batches.append([])
                longest = durations[place]
            batches[-1].append(place)
        return [batches[i] for i in rng.permutation(len(batches))] if self.config.shuffle else batches

    def state_dict(self) -> dict[str, Any]:
        """The place after the batches handed out so far, as JSON values; some hundred bytes of them."""
        place = self._place
        assert isinstance(place, ShardPlace)
        start = {"open": [list(pair) for pair in place.start.open], "opened": place.start.opened}
        where = {"block": place.block, "start": start, "given": place.given, "shards": self.shards.fingerprint}
        return {**super().state_dict(), **where}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken. Raises TrainingError when that was not in these shards."""
        super().load_state_dict(state)
        try:
            start = Cursor(tuple((p, g) for p, g in state["start"]["open"]), state["start"]["opened"])
            block, given = state["block"], state["given"]
        except (KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"The place in the data is none in parquet shards: {state!r}.") from error
        if state.get("shards") != self.shards.fingerprint:
            raise TrainingError(
                f"The {len(self.shards.paths)} parquet shards are not those, by name, that this run began with; it can "
                "only go on with the same ones (a damaged one may be replaced by a good copy)."
            )
        at = self._place
        self._place = ShardPlace(at.epoch, at.consumed, block, start, given)


def _carried(block: list[Row | None], chosen: Sequence[int]) -> CarriedBatch:
    """The chosen rows of a block, which lets go of them."""
    rows = [row for place in chosen if (row := block[place]) is not None]
    for place in chosen:
        block[place] = None
    return CarriedBatch([row.utterance for row in rows], [row.sound for row in rows])


def duration_buckets(durations: np.ndarray, buckets: int) -> np.ndarray:
    """The bucket of each duration (N,), ascending with it: `buckets` of equal total duration, split where one would
    span more than a factor WIDEST."""
    ascending = np.argsort(durations, kind="stable")
    before = np.cumsum(durations[ascending]) - durations[ascending]
    share = np.empty(len(durations))
    share[ascending] = np.floor(before / durations.sum() * buckets)
    width = np.floor(np.log(durations) / np.log(WIDEST))
    return np.unique(np.stack([share, width], axis=1), axis=0, return_inverse=True)[1].ravel()


class _Groups:
    """Row groups as they come, and where their reading stands."""

    def __init__(
        self, groups: Generator[tuple[list[Row], list[Skipped], Cursor]], start: Cursor, skipped: SkipLog
    ) -> None:
        self._groups, self._skipped = groups, skipped
        self.cursor = start

    def take(self, rows: list[Row | None], wanted: int) -> list[Row | None]:
        """`rows`, and those of whole row groups behind them until they are `wanted` or more."""
        while len(rows) < wanted:
            found = next(self._groups, None)
            if found is None:
                break
            more, lost, self.cursor = found
            self._skipped.extend(lost)
            rows.extend(more)
        return rows

    def close(self) -> None:
        self._groups.close()
