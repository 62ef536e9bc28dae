"""Splits of Hugging Face data sets: which there are, and how they are opened, on the hub or on this machine.

The library `datasets` finds the files; what it downloads it streams, so that nothing but what is kept is written.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolect.audio.parquet import one_line, open_parquet
from duolect.data.corpora.base import sign_files
from duolect.errors import AudioError, ConfigError, DuolectError, ManifestError
from duolect.storage import files_below

if TYPE_CHECKING:
    import datasets

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
_COMMIT = re.compile(r"^hf://datasets/[^@]+@([0-9a-f]{40})/")


@dataclass(frozen=True)
class Table:
    """One split of a data set: the features of its columns, its files, and rows where that is known.

    `parquet`: its files are parquet files on this machine, which can be read where they are.
    `open` gives its rows one by one, with sound as it was encoded.
    """

    where: str
    features: datasets.Features
    files: tuple[str, ...]
    rows: int | None
    parquet: bool
    open: Callable[[], datasets.IterableDataset]


@dataclass(frozen=True)
class DataSet:
    """A data set: the rows of its splits (None: not known yet), and how to get at a split.

    `signature` tells this version of it from others; `notes` is what is known of its origin. Paths in its tables are
    relative to `base`.
    """

    rows: dict[str, int | None]
    table: Callable[[str], Table]
    signature: Any
    notes: dict[str, Any]
    base: str = ""


def is_local(source: str) -> bool:
    """Whether `source` is a path of this machine rather than a name on the hub.

    Raises ManifestError for what is neither there nor could be a name.
    """
    path = Path(source).expanduser()
    if path.exists():
        return True
    if path.is_absolute() or source.startswith(("~", ".")) or not _HUB_NAME.fullmatch(source):
        raise ManifestError(f"{source}: does not exist; expected a folder, a parquet file, or a name on the hub.")
    return False


def open_data_set(source: str, *, config: str | None = None, revision: str | None = None) -> DataSet:
    """The data set of a name on the hub (`USER/NAME`), of a folder, or of a parquet file.

    Raises ConfigError where the configuration is missing or unknown, ManifestError where the data set is not there,
    DuolectError where the hub cannot be reached.
    """
    hf = library()
    if is_local(source):
        path = Path(os.path.abspath(os.path.expanduser(source)))
        if revision is not None:
            raise ConfigError(f"revision: {source} is a folder, which has none.")
        if path.is_file():
            if path.suffix.lower() != ".parquet":
                raise ManifestError(f"{source}: is no parquet file; expected one, a folder, or a name on the hub.")
            return parquet_set({path.stem: [path]})
        if (path / "dataset_info.json").exists() or (path / "dataset_dict.json").exists():
            return _saved(path)
        source = str(path)
    with hub_said(source):
        builder = hf.load_dataset_builder(source, config, revision=revision)
        found = {
            str(split): [str(file) for file in files] for split, files in (builder.config.data_files or {}).items()
        }
    if not found:
        raise ManifestError(f"{source}: has no data files.")
    local = [Path(file) for files in found.values() for file in files if not _remote(file)]
    if local and all(file.lower().endswith(".parquet") for files in found.values() for file in files):
        return parquet_set({split: [Path(file) for file in files] for split, files in found.items()})
    commit = next((match[1] for files in found.values() for file in files if (match := _COMMIT.match(file))), revision)
    known = builder.info.splits or {}
    totals = {split: (known[split].num_examples or None) if split in known else None for split in found}

    @functools.cache
    def table(split: str) -> Table:
        def rows() -> Any:
            with hub_said(source):
                return _encoded(hf.load_dataset(source, config, split=split, revision=commit, streaming=True))

        features = rows().features
        if features is None:
            raise ManifestError(f"{source}: split {split}: has no columns.")
        return Table(f"{source}: split {split}", features, tuple(found[split]), totals[split], False, rows)

    if local:
        return DataSet(totals, table, sign_files(local), {})
    at = f"hf://datasets/{source}" + (f"@{commit}" if commit else "")
    return DataSet(totals, table, {"commit": commit, "files": _digest(found)}, {"revision": commit}, at)


def pinned(signature: Any) -> str | None:
    """The commit of the hub in the signature of an import, so that it goes on with what it was begun with."""
    waiting = [signature]
    while waiting:
        held = waiting.pop()
        if isinstance(held, dict) and isinstance(commit := held.get("commit"), str):
            return commit
        waiting += list(held.values()) if isinstance(held, dict) else held if isinstance(held, list) else []
    return None


def parquet_set(files: Mapping[str, Sequence[Path]]) -> DataSet:
    """The data set of parquet files on this machine, by split.

    The end of each file is read. Raises ManifestError where one is damaged, or has other columns than the first.
    """
    tables = {split: _parquet_table(split, [Path(os.path.abspath(path)) for path in files[split]]) for split in files}
    every = [Path(file) for table in tables.values() for file in table.files]
    return DataSet({split: table.rows for split, table in tables.items()}, tables.__getitem__, sign_files(every), {})


def _parquet_table(split: str, paths: list[Path]) -> Table:
    hf = library()
    first, rows = None, 0
    for path in paths:
        with open_table(path) as opened:
            schema = opened.schema_arrow
            rows += opened.metadata.num_rows
        first = first or schema
        if schema.names != first.names:
            raise ManifestError(
                f"{path}: has other columns ({', '.join(schema.names)}) than {paths[0]} ({', '.join(first.names)})."
            )
    names = [str(path) for path in paths]

    def stream() -> Any:
        return _encoded(hf.load_dataset("parquet", data_files={"train": names}, split="train", streaming=True))

    features = hf.Features.from_arrow_schema(first)
    return Table(f"{paths[0].parent}: split {split}", features, tuple(names), rows, True, stream)


@contextlib.contextmanager
def open_table(path: Path) -> Generator[Any]:
    """A `pyarrow.parquet.ParquetFile`, closed at the end. Raises ManifestError where it is damaged."""
    try:
        opened = open_parquet(path)
    except AudioError as error:
        raise ManifestError(f"{str(error).rstrip('.')}; fetch it again, and give the same command again.") from error
    with opened:
        yield opened


def _saved(path: Path) -> DataSet:
    """What `save_to_disk` wrote: Arrow files, with the splits as folders where there are several."""
    hf = library()
    with hub_said(str(path)):
        held = hf.load_from_disk(str(path))
    splits = {str(split): data for split, data in held.items()} if isinstance(held, dict) else {"all": held}

    def table(split: str) -> Table:
        data = splits[split]
        where = f"{path}: split {split}"
        return Table(where, data.features, (), len(data), False, lambda: _encoded(data.to_iterable_dataset()))

    version = sign_files(file for file in files_below(path) if file.suffix == ".arrow")
    return DataSet({split: len(data) for split, data in splits.items()}, table, version, {})


def _encoded(rows: Any) -> Any:
    """The rows with sound as it was encoded, rather than decoded."""
    hf = library()
    if rows.features is None:
        rows = rows._resolve_features()
    for name, feature in (rows.features or {}).items():
        if isinstance(feature, hf.Audio):
            rows = rows.cast_column(name, hf.Audio(decode=False))
    return rows


def _digest(files: Mapping[str, Sequence[str]]) -> str:
    """A signature of files of the hub, whose names hold the commit."""
    return hashlib.blake2b(json.dumps(files).encode(), digest_size=16).hexdigest()


def library() -> Any:
    """The library `datasets`, without its progress bars. Raises DuolectError where it is not installed."""
    try:
        import datasets
    except ImportError as error:
        raise DuolectError("this corpus needs the library datasets: pip install datasets.") from error
    datasets.disable_progress_bars()
    return datasets


def _remote(file: str) -> bool:
    return "://" in file


@contextlib.contextmanager
def hub_said(source: str) -> Generator[None]:
    """What `datasets` and the network complain of, in one sentence that says what to do."""
    hf = library()
    try:
        yield
    except DuolectError:
        raise
    except hf.exceptions.DatasetNotFoundError as error:
        raise ManifestError(
            f"{source}: {one_line(error)}; if it asks for consent, give it on its page and log in (hf auth login)."
        ) from error
    except FileNotFoundError as error:
        raise ManifestError(f"{source}: {one_line(error)}.") from error
    except ValueError as error:  # a configuration or a split that is not there
        raise ConfigError(f"{source}: {one_line(error)}.") from error
    except Exception as error:
        if not is_network(error):
            raise
        raise DuolectError(
            f"{source}: the hub cannot be reached ({one_line(error)}); give the same command again to go on, or the "
            f"folder of a copy (fetch it with: hf download --repo-type dataset {source} --local-dir FOLDER)."
        ) from error


def is_network(error: BaseException) -> bool:
    """Whether an error, or one it came from, is of the network rather than of the data."""
    seen: BaseException | None = error
    while seen is not None:
        module = type(seen).__module__.split(".")[0]
        if isinstance(seen, ConnectionError | TimeoutError) or module in _NETWORK:
            return True
        seen = seen.__cause__ or seen.__context__
    return False


_NETWORK = ("httpx", "httpcore", "requests", "urllib3", "aiohttp", "huggingface_hub", "fsspec")
