"""Rows of parquet shards in the order they are read: which row group comes next, and what stands in it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from duolect.audio.decoders import SoundBytes
from duolect.audio.files import audio_info
from duolect.audio.parquet import address_suffix, open_parquet, read_group
from duolect.data.column_names import seconds_in
from duolect.data.manifest import Utterance
from duolect.data.shards.config import Columns
from duolect.data.skips import Skipped
from duolect.data.stream import stable_seed
from duolect.errors import AudioError, ManifestError

Item = TypeVar("Item")
Adapt = Callable[[Utterance], Utterance]
"""Changes an utterance for use; raises ManifestError with the reason why it cannot be used."""


@dataclass(frozen=True, slots=True)
class Row:
    """An utterance of a shard; `sound` is its encoded sound file, empty where that was not asked for."""

    utterance: Utterance
    sound: bytes


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where the reading of an epoch stands: `open` shards, each with its next row group, in turn, and how many shards
    were `opened` so far. Shards and row groups are counted in the epoch's order."""

    open: tuple[tuple[int, int], ...] = ()
    opened: int = 0


START = Cursor()
"""Where an epoch begins."""


class Shard:
    """One open parquet file. Raises AudioError where it is missing or damaged, ManifestError without a column of it."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path, self.file = path, open_parquet(path)
        self.columns = columns.found(path, self.file.schema_arrow)
        self._unit = seconds_in(self.columns.get("duration", ""))
        self._suffix = address_suffix(path, self.file.schema_arrow, self.columns["audio"].removesuffix(".bytes"))
        metadata = self.file.metadata
        self.rows: int = metadata.num_rows
        self.groups: int = metadata.num_row_groups
        self._first = [0, *accumulate(metadata.row_group(i).num_rows for i in range(self.groups))]

    def read(
        self, group: int, adapt: Adapt, *, sound: bool = True, timed: bool = True
    ) -> tuple[list[Row], list[Skipped]]:
        """The utterances of a row group, and the rows that cannot be used; without `sound` and, unless `timed`, with a
        duration of NaN."""
        wanted = dict(self.columns)
        if not timed:
            wanted.pop("duration", None)
        if not sound and (not timed or "duration" in wanted):
            del wanted["audio"]
        table = read_group(self.path, self.file, group, list(dict.fromkeys(wanted.values())))
        values = {part: _values(table, column) for part, column in wanted.items()}
        rows, skipped = [], []
        for place in range(table.num_rows):
            number = self._first[group] + place
            name = f"{self.path}#{number}"
            value = {part: column[place] for part, column in values.items()}
            id = _string(value, "id") or f"{self.path.stem}-{number}"
            try:
                data = value.get("audio")
                if "audio" in wanted and not data:
                    raise ManifestError("this row has no sound in it.")
                utterance = Utterance(
                    audio_filepath=Path(f"{name}{self._suffix}"),
                    duration=_duration(value, name, self._unit) if timed else math.nan,
                    text=_text(value),
                    id=id,
                    line=number,
                    speaker=_string(value, "speaker"),
                    lang=_string(value, "lang"),
                    translation=_string(value, "translation"),
                    target_lang=_string(value, "target_lang"),
                )
                rows.append(Row(adapt(utterance), data if sound and data else b""))
            except (AudioError, ManifestError) as error:
                skipped.append(Skipped(id, name, str(error)))
        return rows, skipped

    def close(self) -> None:
        """Close the file."""
        self.file.close()


def _values(table: Any, column: str) -> list[Any]:
    name, _, part = column.rpartition(".") if column not in table.column_names else (column, "", "")
    if not part:
        return table.column(column).to_pylist()
    chunks = table.column(name).chunks
    # The struct's own nulls stand in its validity, not in that of its part.
    return [
        value if there else None
        for chunk in chunks
        for there, value in zip(chunk.is_valid().to_pylist(), chunk.field(part).to_pylist(), strict=True)
    ]


def _duration(value: dict[str, Any], name: str, unit: float) -> float:
    if "duration" not in value:
        return audio_info(SoundBytes(name, value["audio"])).duration
    try:
        duration = float(value["duration"]) * unit
    except (TypeError, ValueError):
        duration = math.nan
    if not (math.isfinite(duration) and duration > 0):
        raise ManifestError(f"duration must be a positive number of seconds, not {value['duration']!r}.")
    return duration


def _text(value: dict[str, Any]) -> str:
    if not isinstance(value["text"], str):
        raise ManifestError(f"text must be a string, not {value['text']!r}.")
    return value["text"]


def _string(value: dict[str, Any], part: str) -> str | None:
    """A part that may be missing; speakers and ids are often numbers, and no name is blank."""
    given = value.get(part)
    return None if given is None or not str(given).strip() else str(given)


class Reading:
    """The row groups of an epoch, in order.

    Each epoch has its own order of shards, and of the row groups in each; without `shuffle` they come as they are, one
    shard after the other. No shard is opened before its turn, and each is closed behind its last row group.
    """

    def __init__(
        self, paths: Sequence[Path], columns: Columns, adapt: Adapt, *, seed: int, shuffle: bool, open_shards: int
    ) -> None:
        self.paths, self.columns, self.adapt = paths, columns, adapt
        self.seed, self.shuffle = seed, shuffle
        self.open_shards = open_shards if shuffle else 1

    def groups(
        self, epoch: int, cursor: Cursor, *, sound: bool = True, timed: bool = True
    ) -> Generator[tuple[list[Row], list[Skipped], Cursor]]:
        """Usable rows and others of each row group from `cursor` on, and the cursor behind it.

        Raises AudioError or ManifestError naming the shard that cannot be read.
        """
        turn, opened = deque(cursor.open), cursor.opened
        shards: dict[int, Shard] = {}
        try:
            order = self.order(epoch)
            while True:
                while len(turn) < self.open_shards and opened < len(order):
                    turn.append((opened, 0))
                    opened += 1
                if not turn:
                    return
                place, next_group = turn.popleft()
                if place not in shards:
                    shards[place] = Shard(self.paths[order[place]], self.columns)
                shard = shards[place]
                if next_group < shard.groups:
                    group = self._order(shard.groups, "groups", epoch, order[place])[next_group]
                    rows, skipped = shard.read(group, self.adapt, sound=sound, timed=timed)
                if next_group + 1 < shard.groups:
                    turn.append((place, next_group + 1))
                else:
                    shards.pop(place).close()
                if next_group < shard.groups:  # a shard may have no rows
                    yield rows, skipped, Cursor(tuple(turn), opened)
        finally:
            for shard in shards.values():
                shard.close()

    def order(self, epoch: int) -> list[int]:
        """The shards of an epoch in order, by their place in `paths`."""
        return self._order(len(self.paths), "shards", epoch)

    def _order(self, number: int, *key: int | str) -> list[int]:
        if not self.shuffle:
            return list(range(number))
        return np.random.Generator(np.random.PCG64(stable_seed(self.seed, *key))).permutation(number).tolist()


def ahead(items: Generator[Item]) -> Generator[Item]:
    """The same items, each made in a thread while the one before it is in use."""
    end: Any = object()
    pool = ThreadPoolExecutor(1, thread_name_prefix="shards")
    try:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield cast(Item, item)
    finally:
        pool.shutdown(cancel_futures=True)
        items.close()
