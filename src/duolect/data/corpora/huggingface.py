"""Any data set of Hugging Face: a name on the hub, or its files on this machine.

Parquet files of this machine are read where they are: the manifest points at their rows. Sound files of this machine
stay where they are, too. What comes from the hub, or `copy`, is kept as shards below the folder of the manifests. Sound
is never decoded and encoded again.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from duolect.data.corpora.base import Corpus, Entry, Plan, Split
from duolect.data.corpora.columns import NONE, ColumnOptions, choose_columns
from duolect.data.corpora.copied import rows_copied
from duolect.data.corpora.in_place import rows_in_place
from duolect.data.corpora.tables import DataSet, is_local, open_data_set, pinned
from duolect.data.manifest import Utterance
from duolect.errors import ConfigError

MEGABYTE = 1_000_000


@dataclass(frozen=True)
class CopyOptions:
    """How sound is kept that cannot stay where it is."""

    copy: bool = False
    """Copy the sound into shards also where it could be read in place, so that the source is not needed any more."""
    shard_megabytes: int = 200
    """Of sound in each shard that is written."""

    def __post_init__(self) -> None:
        if self.shard_megabytes < 1:
            raise ConfigError(f"shard_megabytes: must be at least 1, not {self.shard_megabytes}.")


@dataclass(frozen=True)
class HuggingFaceOptions(ColumnOptions, CopyOptions):
    """Options of `huggingface`."""

    config: str | None = None
    """Configuration (subset) of the data set, where it has several."""
    revision: str | None = None
    """Branch, tag or commit of the data set on the hub; by default the newest when the import is begun."""
    lang: str | None = None
    """Language of all utterances that have none of their own."""
    target_lang: str | None = None
    """Language of all translations, where no column says it."""


def plan(source: str, options: HuggingFaceOptions, out: Path, begun: Any = None) -> Plan:
    """One split of a manifest for each split of the data set."""
    revision = options.revision if is_local(source) else options.revision or pinned(begun)
    data = open_data_set(source, config=options.config, revision=revision)
    constants = {"lang": options.lang, "target_lang": options.target_lang}
    splits = table_splits(source, data, options, options, out, constants=constants)
    # What is wrong with the columns is said before the first row is read; of the hub, for one split.
    tables = [data.table(split) for split in (data.rows if is_local(source) else list(data.rows)[:1])]
    columns = [choose_columns(table.features, options, table.where).described() for table in tables]
    return Plan(splits, data.signature, {**data.notes, "columns": columns[0]})


def table_splits(
    source: str,
    data: DataSet,
    columns: ColumnOptions,
    copying: CopyOptions,
    out: Path,
    *,
    names: Mapping[str, str] | None = None,
    constants: Mapping[str, str | None] | None = None,
    transcribed: bool = True,
    tally: Callable[[Utterance], str | None] = lambda _: None,
) -> tuple[Split, ...]:
    """The splits of a data set as splits of an import into `out`.

    `names` says which splits are wanted, by the manifests' names (None: all, as they are called). `constants` are
    "lang" and "target_lang" of utterances that have none, and further fields of all of them. `transcribed` and `tally`
    are the splits'.
    """
    base = os.path.abspath(os.path.expanduser(source)) if is_local(source) else data.base
    return tuple(
        Split(
            name,
            partial(_read, data, split, columns, copying, out, name, base, constants or {}),
            total=data.rows[split],
            trusted=True,
            transcribed=transcribed and columns.text_column != NONE,
            tally=tally,
            repeats=True,
        )
        for name, split in (names or {split: split for split in data.rows}).items()
    )


def _read(
    data: DataSet,
    split: str,
    wanted: ColumnOptions,
    copying: CopyOptions,
    out: Path,
    name: str,
    base: str,
    constants: Mapping[str, str | None],
    state: Any,
) -> Iterator[Entry]:
    table = data.table(split)
    columns = choose_columns(table.features, wanted, table.where)
    if table.parquet and not copying.copy:
        entries = rows_in_place(table, columns, name, state)
    else:
        size = copying.shard_megabytes * MEGABYTE
        entries = rows_copied(table, columns, state, out=out, name=name, shard_bytes=size, base=base, copy=copying.copy)
    return with_constants(entries, constants)


def with_constants(entries: Iterable[Entry], constants: Mapping[str, str | None]) -> Iterator[Entry]:
    """The entries, with "lang" and "target_lang" where utterances have none, and all further ones as fields."""
    given = {key: value for key, value in constants.items() if value is not None}
    for entry in entries:
        if not isinstance(entry, Utterance):
            yield entry
            continue
        known = {key: given[key] for key in ("lang", "target_lang") if key in given and getattr(entry, key) is None}
        fields = {key: value for key, value in given.items() if key not in ("lang", "target_lang")}
        yield dataclasses.replace(entry, **known, fields={**entry.fields, **fields})


CORPUS = Corpus(
    name="huggingface",
    title="any data set of Hugging Face: a name on the hub, a folder, or a parquet file",
    source="USER/NAME on the hub, the folder of a copy of one, or a parquet file",
    options=HuggingFaceOptions,
    plan=plan,
    pins=True,
)
