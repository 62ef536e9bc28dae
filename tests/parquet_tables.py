"""Tables of sound in the layouts of public data sets: real encoded sounds in parquet files, made on the spot."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import soundfile

datasets.disable_progress_bars()

STRING, FLOAT = datasets.Value("string"), datasets.Value("float64")
FORMATS = ("WAV", "FLAC", "OGG", "MP3")
LEADERBOARD = {
    "audio": datasets.Audio(sampling_rate=16_000),
    "dataset": STRING,
    "text": STRING,
    "id": STRING,
    "audio_length_s": FLOAT,
}
"""Columns of a set of the Open ASR leaderboard."""
LOQUACIOUS = {
    "ID": STRING,
    "duration": datasets.Value("float32"),
    "wav": datasets.Audio(sampling_rate=16_000, decode=False),
    "spk_id": STRING,
    "sex": STRING,
    "text": STRING,
}
"""Columns of Loquacious."""


def encoded(generator: np.random.Generator, seconds: float, kind: str = "WAV") -> bytes:
    """Noise as the bytes of a sound file."""
    buffer = io.BytesIO()
    samples = (0.1 * generator.standard_normal(round(seconds * 16_000))).astype(np.float32)
    soundfile.write(buffer, samples, 16_000, format=kind)
    return buffer.getvalue()


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], features: Mapping[str, Any], group: int = 100) -> None:
    """Rows as a parquet file with row groups of `group` rows and the metadata that `datasets` writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=datasets.Features(features).arrow_schema)
    pyarrow.parquet.write_table(table, path, row_group_size=group)


def leaderboard_rows(generator: np.random.Generator, name: str, count: int) -> list[dict[str, Any]]:
    """Rows of a set of the leaderboard, the longest first."""
    rows = []
    for number in range(count):
        seconds = 0.1 + 0.05 * (count - number)
        sound = {"bytes": encoded(generator, seconds, "FLAC"), "path": f"{number}.flac"}
        about = {"dataset": name, "text": f"Row {number}, of {name}!", "id": f"{name}_{number}"}
        rows.append({"audio": sound, **about, "audio_length_s": seconds})
    return rows


def loquacious_rows(generator: np.random.Generator, part: str, count: int) -> list[dict[str, Any]]:
    """Rows of a part of Loquacious."""
    rows = []
    for number in range(count):
        seconds = 0.2 + 0.01 * number
        wav = {"bytes": encoded(generator, seconds), "path": f"{part}_{number}.wav"}
        about = {"spk_id": f"{part}_{number % 3}", "sex": "female", "text": f"{part} utterance number {number}"}
        rows.append({"ID": f"{part}_{number}", "duration": seconds, "wav": wav, **about})
    return rows


def shards(root: Path, stem: str, rows: Sequence[Mapping[str, Any]], features: Mapping[str, Any], files: int) -> None:
    """Rows as `files` parquet files ROOT/STEM-00000-of-00003.parquet …"""
    size = -(-len(rows) // files)
    for number in range(files):
        part = rows[number * size : (number + 1) * size]
        write_table(root / f"{stem}-{number:05d}-of-{files:05d}.parquet", part, features, group=4)
