"""The test sets of the Open ASR leaderboard, in the two forms it had: eight sets until 2026-06, seven since 2026-08.

All rows are kept with their raw text, in the leaderboard's order; what it does not score (an empty reference, "ignore
time segment in scoring") is scoring's to leave out, and counted here. Chunks of the earnings calls have the text of
their whole call, as in the leaderboard's own manifests: `parent_id` and `chunk_index` say how hypotheses are joined.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from duolect.data.corpora.base import Corpus, Entry, Plan, Split, sign_files
from duolect.data.corpora.columns import ColumnOptions, choose_columns
from duolect.data.corpora.copied import rows_copied
from duolect.data.corpora.huggingface import MEGABYTE, CopyOptions, table_splits, with_constants
from duolect.data.corpora.rows import read_rows
from duolect.data.corpora.tables import Table, hub_said, is_local, library, open_data_set, parquet_set, pinned
from duolect.data.manifest import Utterance
from duolect.errors import ManifestError
from duolect.storage import files_below

Regime = Literal["open-asr-2026-03", "open-asr-2026-08"]
HUB: dict[Regime, str] = {
    "open-asr-2026-03": "hf-audio/esb-datasets-test-only-sorted",
    "open-asr-2026-08": "hf-audio/open-asr-leaderboard",
}
SETS: dict[Regime, tuple[tuple[str, str], ...]] = {
    "open-asr-2026-03": (
        ("ami", "test"),
        ("earnings22", "test"),
        ("gigaspeech", "test"),
        ("librispeech", "test.clean"),
        ("librispeech", "test.other"),
        ("spgispeech", "test"),
        ("tedlium", "test"),
        ("voxpopuli", "test"),
    ),
    "open-asr-2026-08": (
        ("ami_cleaned", "test"),
        ("gigaspeech_cleaned", "test"),
        ("voxpopuli_cleaned_aa", "test"),
        ("librispeech", "test.clean"),
        ("librispeech", "test.other"),
        ("spgispeech", "test"),
    ),
}
CHUNKED, CHUNKS, CALLS = (
    "earnings22_cleaned_aa_chunked",
    "ArtificialAnalysis/Earnings22-Cleaned-AA-chunked",
    "ArtificialAnalysis/Earnings22-Cleaned-AA",
)
IGNORED = "ignore time segment in scoring"
_COLUMNS = ColumnOptions(audio_column="audio", text_column="text", id_column="id", duration_column="audio_length_s")
_CHUNK_COLUMNS = ColumnOptions(audio_column="audio", text_column="text", id_column="id", duration_column="none")
_TEXTS = ("text", "raw_transcription", "sentence", "normalized_text", "transcript", "transcription")


@dataclass(frozen=True)
class LeaderboardOptions(CopyOptions):
    """Options of `open-asr-leaderboard`."""

    regime: Regime = "open-asr-2026-08"
    """The leaderboard's data of March 2026 (eight sets) or of August 2026 (seven); the same name goes to score."""


def plan(source: str, options: LeaderboardOptions, out: Path, begun: Any = None) -> Plan:
    """A split NAME_SPLIT for each set of the regime; of a folder, for those that are in it."""
    local = is_local(source)
    splits, signature, missing = [], {}, []
    for name, split in SETS[options.regime]:
        constants = {"lang": "en", "dataset": name, "split": split, "regime": options.regime}
        manifest = f"{name}_{split}"
        if local:
            files = _files(_found(source, HUB[options.regime]), name, split)
            if not files:
                missing.append(manifest)
                continue
            data, held = parquet_set({split: files}), split
        else:
            data, held = open_data_set(source, config=name, revision=pinned(begun)), split
        signature[manifest] = data.signature
        splits += table_splits(
            source,
            data,
            _COLUMNS,
            options,
            out,
            names={manifest: held},
            constants=constants,
            transcribed=False,
            tally=unscored,
        )
    if options.regime == "open-asr-2026-08":
        chunked = _local_chunks(source) if local else (_hub_rows(CHUNKS), _hub_rows(CALLS), f"hf://datasets/{CHUNKS}")
        if chunked is None:
            missing.append(f"{CHUNKED}_test")
        else:
            rows = with_text(chunked[0], chunked[1], chunked[2])
            signature[f"{CHUNKED}_test"] = sign_files([Path(chunked[2])]) if local else [row["id"] for row in rows]
            read = partial(_chunks, rows, chunked[2], options, out)
            splits.append(
                Split(
                    f"{CHUNKED}_test",
                    read,
                    total=len(rows),
                    trusted=True,
                    transcribed=False,
                    tally=unscored,
                    repeats=True,
                )
            )
    if not splits:
        raise ManifestError(
            f"{source}: holds no set of {options.regime}; expected a copy of {HUB[options.regime]} with folders like "
            f"{SETS[options.regime][0][0]} (hf download --repo-type dataset {HUB[options.regime]} --local-dir FOLDER)."
        )
    return Plan(tuple(splits), signature, {"regime": options.regime, "missing": missing})


def unscored(utterance: Utterance) -> str | None:
    """What the leaderboard does not score because of its reference, before it is normalised."""
    text = utterance.text.strip()
    return "empty references" if not text else "references to be ignored" if text.lower() == IGNORED else None


def _found(source: str, repository: str) -> Path:
    """The folder of a repository's copy: SOURCE, a folder in it, or one beside it, by the repository's name."""
    folder, name = Path(os.path.abspath(os.path.expanduser(source))), repository.split("/")[-1]
    return next((path for path in (folder / name, folder.parent / name) if path.is_dir()), folder)


def _files(folder: Path, name: str, split: str) -> list[Path]:
    return sorted([*(folder / name).glob(f"{split}-*.parquet"), *(folder / name).glob(f"{split}.parquet")])


def _local_chunks(source: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str] | None:
    """The rows of chunks and of calls, and the folder of the chunks; None where there is no copy of them."""
    chunks, calls = _found(source, CHUNKS), _found(source, CALLS)
    if chunks.name != CHUNKS.split("/")[-1]:
        return None
    if calls.name != CALLS.split("/")[-1]:
        raise ManifestError(
            f"{chunks}: has no transcripts of its own; they are in {CALLS}, a copy of which is expected beside it."
        )
    return _table_rows(chunks, "chunk_index"), _table_rows(calls, "id"), str(chunks)


def _table_rows(folder: Path, column: str) -> list[dict[str, Any]]:
    """The rows of the first JSON-lines table of a folder that has a column. Raises ManifestError where none has."""
    for path in sorted(path for path in files_below(folder) if path.suffix == ".jsonl"):
        rows = list(read_rows(path))
        for row in rows:
            if row.fault:
                raise ManifestError(f"{path}:{row.line}: {row.fault}.")
        if rows and column in rows[0].values:
            return [row.values for row in rows]
    raise ManifestError(f"{folder}: has no table of JSON lines with the column {column!r}.")


def _hub_rows(repository: str) -> list[dict[str, Any]]:
    data = open_data_set(repository)
    with hub_said(repository):
        return list(data.table("test").open())


def with_text(chunks: Sequence[dict[str, Any]], calls: Sequence[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    """The rows of chunks with the text of their call, the path of their sound, and an id.

    Raises ManifestError where a call has no text.
    """
    texts = {
        str(call["id"]): next((call[name] for name in _TEXTS if call.get(name) is not None), None) for call in calls
    }
    rows = []
    for chunk in chunks:
        parent = str(chunk["parent_id"])
        if texts.get(parent) is None:
            raise ManifestError(
                f"{where}: the call {parent!r} has no transcript in {CALLS}; both must be of one version."
            )
        name = str(chunk["file_name"])
        kept = {key: value for key, value in chunk.items() if key not in ("file_name", "text", "audio", "id")}
        rows.append(
            {
                **kept,
                "parent_id": parent,
                "id": Path(name).stem,
                "audio": f"audio/{Path(name).name}",
                "text": texts[parent],
            }
        )
    return rows


def _chunks(
    rows: list[dict[str, Any]], base: str, options: LeaderboardOptions, out: Path, state: Any
) -> Iterator[Entry]:
    name = f"{CHUNKED}_test"
    data = library().Dataset.from_list(rows)
    table = Table(f"{base}: split test", data.features, (), len(rows), False, data.to_iterable_dataset)
    columns = choose_columns(table.features, _CHUNK_COLUMNS, table.where)
    size = options.shard_megabytes * MEGABYTE
    entries = rows_copied(table, columns, state, out=out, name=name, shard_bytes=size, base=base, copy=options.copy)
    return with_constants(entries, {"lang": "en", "dataset": CHUNKED, "split": "test", "regime": options.regime})


CORPUS = Corpus(
    name="open-asr-leaderboard",
    title="the test sets of the Open ASR leaderboard",
    source="the folder of a copy of the regime's data set (copies of the two Earnings22 data sets beside or in it), or "
    "its name, to fetch it from the hub",
    options=LeaderboardOptions,
    plan=plan,
    pins=True,
)
