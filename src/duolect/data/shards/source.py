"""A corpus of parquet shards: where they are, and looking into them without reading their sound."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from duolect.data.manifest import Utterance
from duolect.data.shards.config import ShardsConfig
from duolect.data.shards.reader import START, Adapt, Reading, Shard
from duolect.errors import ConfigError, ManifestError
from duolect.storage import files_below

_SUFFIX = ".parquet"


def is_shards(source: str | os.PathLike[str]) -> bool:
    """Whether a source of utterances is parquet shards rather than a manifest: a folder, FILE.parquet, or a pattern of
    such files."""
    source = str(source)
    return os.path.isdir(source) or source.lower().endswith(_SUFFIX)


def list_shards(sources: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The parquet files that folders (with all folders below), patterns and names stand for, sorted within each source.

    None is opened. Raises ManifestError where a source stands for none, ConfigError for a source that is no such thing.
    """
    found: dict[Path, None] = {}
    for source in (str(each) for each in sources):
        if not is_shards(source):
            raise ConfigError(
                f"{source}: is no folder of parquet files and none itself; a run trains on parquet shards or manifests."
            )
        if os.path.isdir(source):
            files = list(files_below(source))
        elif glob.has_magic(source) and not os.path.exists(source):
            files = [Path(name) for name in glob.glob(source, recursive=True)]
        else:
            files = [Path(source)]
        shards = sorted(f for f in files if f.suffix.lower() == _SUFFIX and not f.name.startswith("."))
        if not shards:
            raise ManifestError(f"{source}: there is no parquet file there.")
        found |= dict.fromkeys(Path(os.path.abspath(shard)) for shard in shards)
    return list(found)


def unchanged(utterance: Utterance) -> Utterance:
    """The utterance as it is."""
    return utterance


@dataclass(frozen=True)
class ShardSample:
    """What the first shards of a shuffled order tell: their number, rows, and some of their utterances."""

    shards: int
    rows: int
    utterances: list[Utterance]


class Shards:
    """Parquet shards with the same columns. `adapt` changes each utterance for use, or says why it cannot be used.

    Making it opens the first shard alone, so that wrong columns are found before anything else.
    Raises AudioError or ManifestError where that one is missing, damaged, or lacks a column.
    """

    def __init__(self, paths: Sequence[Path], config: ShardsConfig, adapt: Adapt = unchanged) -> None:
        self.paths, self.config, self.adapt = list(paths), config, adapt
        Shard(self.paths[0], config.columns).close()

    @property
    def fingerprint(self) -> str:
        """16 hex digits over the names of the shards, below the folder that holds them all."""
        base = os.path.commonpath([path.parent for path in self.paths])
        names = "\n".join(os.path.relpath(path, base) for path in self.paths)
        return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def utterances(self, seed: int = 0, *, timed: bool = True) -> Iterator[Utterance]:
        """The usable utterances, without their sound, in a shuffled order of shards; unless `timed`, with a duration of
        NaN. Sound is read only where it alone tells the duration."""
        for rows, _, _ in self._reading(seed).groups(0, START, sound=False, timed=timed):
            yield from (row.utterance for row in rows)

    def sample(self, number: int, seed: int = 0) -> ShardSample:
        """The first `number` of `utterances`, and how many rows the shards they are from have."""
        utterances: list[Utterance] = []
        opened = 0
        for rows, _, cursor in self._reading(seed).groups(0, START, sound=False):
            utterances += [row.utterance for row in rows]
            opened = cursor.opened
            if len(utterances) >= number:
                break
        order = self._reading(seed).order(0)[:opened]
        return ShardSample(opened, sum(self._rows(self.paths[i]) for i in order), utterances[:number])

    def _rows(self, path: Path) -> int:
        shard = Shard(path, self.config.columns)
        shard.close()
        return shard.rows

    def _reading(self, seed: int) -> Reading:
        config = self.config
        return Reading(self.paths, config.columns, self.adapt, seed=seed, shuffle=True, open_shards=config.open_shards)
