"""Some of the rows of parquet shards, each row group read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from duolect.audio.parquet import row_address, row_bytes
from duolect.data.batching import BatchConfig, duration_misfit
from duolect.data.manifest import Utterance
from duolect.data.shards.carried import CarriedBatch
from duolect.data.stream import BatchStream
from duolect.errors import AudioError, ManifestError


class RowBatches(BatchStream[CarriedBatch]):
    """One pass over utterances of parquet shards, in the order in which these lie on disk, whatever theirs is.

    Buckets by duration would save padding, but each batch would then read a row group for almost every utterance. Sound
    is read by the process that iterates and travels on, for workers would each read the row groups of what they decode.
    Of `config` the limits of a batch count, and which durations are left out.
    Raises ManifestError where an utterance is no row of a parquet file.
    """

    def __init__(self, utterances: Sequence[Utterance], config: BatchConfig, seed: int = 0) -> None:
        super().__init__(rank=0, world_size=1, epochs=1, even=False)
        self.config, self.seed = config, seed
        rows = [_placed(u) for u in utterances if duration_misfit(u.duration, config) is None]
        self.utterances = [row.utterance for row in sorted(rows, key=lambda row: (row.file, row.number))]

    def epoch_batches(self, epoch: int) -> Iterator[CarriedBatch]:
        """All batches."""
        batch: list[Utterance] = []
        longest = 0.0
        for utterance in self.utterances:
            longest = max(longest, utterance.duration)
            full = len(batch) == self.config.max_utterances
            if batch and (full or (len(batch) + 1) * longest > self.config.max_seconds):
                yield _carried(batch)
                batch, longest = [], utterance.duration
            batch.append(utterance)
        if batch:
            yield _carried(batch)


@dataclass(frozen=True, slots=True)
class _Placed:
    file: Path
    number: int
    utterance: Utterance


def _placed(utterance: Utterance) -> _Placed:
    address = row_address(utterance.audio_filepath)
    if address is None:
        raise ManifestError(f"{utterance.audio_filepath}: is no row of a parquet file (FILE.parquet#ROW).")
    return _Placed(address.file, address.row, utterance)


def _carried(utterances: list[Utterance]) -> CarriedBatch:
    return CarriedBatch(utterances, [_sound(utterance) for utterance in utterances])


def _sound(utterance: Utterance) -> bytes | None:
    """None where it cannot be read: who decodes it tries again, and then has the reason."""
    address = row_address(utterance.audio_filepath)
    assert address is not None
    try:
        return row_bytes(address)
    except AudioError:
        return None
