"""Parquet shards of short tones, as the Loquacious corpus has its columns."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

WORDS = ("so", "la", "mi", "do", "re")
WAV = "wav"


def encoded(words: list[int], seconds: float) -> bytes:
    """A wav file of a tone for each word."""
    times = np.arange(int(16_000 * seconds / len(words))) / 16_000
    samples = np.concatenate([0.3 * np.sin(2 * np.pi * 250 * (word + 1) * times) for word in words])
    file = io.BytesIO()
    soundfile.write(file, samples.astype(np.float32), 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def shard_rows(number: int, rows: int, longest: float = 1.0) -> dict[str, list[Any]]:
    """The columns of shard `number`, drawn by that number."""
    made = np.random.default_rng([7, number])
    table: dict[str, list[Any]] = {name: [] for name in ("ID", "duration", WAV, "spk_id", "sex", "text")}
    for row in range(rows):
        words = made.integers(0, len(WORDS), made.integers(1, 4)).tolist()
        sound = encoded(words, float(made.uniform(0.3, longest)))
        table["ID"].append(f"s{number}r{row}")
        table["duration"].append((len(sound) - 44) / 32_000)
        table[WAV].append({"bytes": sound, "path": f"{number}-{row}.wav"})
        table["spk_id"].append(f"speaker{row % 3}")
        table["sex"].append(None)
        table["text"].append(" ".join(WORDS[word] for word in words))
    return table


def write_shard(path: Path, table: dict[str, list[Any]], group: int) -> Path:
    """Write one shard with `group` rows in a row group."""
    import pyarrow
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(table), path, row_group_size=group)
    return path


def make_shards(folder: Path, shards: int, rows: int, group: int, longest: float = 1.0) -> Path:
    """A folder of shards train-00000.parquet … of `rows` rows each."""
    for number in range(shards):
        write_shard(folder / f"train-{number:05d}.parquet", shard_rows(number, rows, longest), group)
    return folder
