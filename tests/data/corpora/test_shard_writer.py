"""Shards of audio: what goes in comes out, one row at a time, and nothing is there by half."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from parquet_tables import FORMATS, encoded

from duolect.audio import audio_info, read_audio
from duolect.data.corpora.shard_writer import GROUP_BYTES, ShardWriter, shard_path, shard_schema
from duolect.errors import DuolectError

SCHEMA = shard_schema({"text": pa.string(), "id": pa.string(), "duration": pa.float64(), "age": pa.int64()})


def _rows(seed: int, count: int) -> list[tuple[bytes, str | None, dict[str, Any]]]:
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        seconds = float(generator.uniform(0.1, 0.6))
        sound = encoded(generator, seconds, FORMATS[number % len(FORMATS)])
        words = {"text": f"näme {number}", "id": str(number), "duration": seconds}
        made.append((sound, f"{number}.x" if number % 3 else None, words | ({"age": number} if number % 2 else {})))
    return made


def _write(folder: Path, rows: list[tuple[bytes, str | None, dict[str, Any]]], shard_bytes: int) -> list[Path]:
    addresses = []
    with ShardWriter(folder, "part", SCHEMA, shard_bytes=shard_bytes) as writer:
        for row in rows:
            addresses.append(writer.add(*row))
            if writer.full:
                writer.close()
        writer.close()
    return addresses


@pytest.mark.parametrize("seed", range(3))
def test_rows_come_out_as_they_went_in(seed: int, tmp_path: Path) -> None:
    rows = _rows(seed, 23)
    addresses = _write(tmp_path, rows, shard_bytes=60_000)
    assert len({str(address).split("#")[0] for address in addresses}) > 2, f"seed {seed}"
    for (sound, path, words), address in zip(rows, addresses, strict=True):
        file, row = str(address).split("#")
        held = pyarrow.parquet.read_table(file).slice(int(row), 1).to_pylist()[0]
        assert held == {"text": None, "id": None, "duration": None, "age": None} | words | {
            "audio": {"bytes": sound, "path": path}
        }, f"seed {seed}, {address}"
        assert audio_info(address).duration == pytest.approx(words["duration"], abs=0.1), f"seed {seed}, {address}"
        assert len(read_audio(address)), f"seed {seed}, {address}"


def test_datasets_opens_the_folder_as_sound(tmp_path: Path) -> None:
    _write(tmp_path, _rows(0, 5), shard_bytes=10**6)
    files = str(tmp_path / "shards/*.parquet")
    opened = datasets.load_dataset("parquet", data_files={"train": files}, split="train", streaming=True)
    assert isinstance(opened.features["audio"], datasets.Audio)
    assert [row["id"] for row in opened.cast_column("audio", datasets.Audio(decode=False))] == list("01234")


def test_a_row_group_is_small(tmp_path: Path) -> None:
    sound = encoded(np.random.default_rng(0), 8.0)  # 256 KB
    _write(tmp_path, [(sound, None, {"id": str(number)}) for number in range(12)], shard_bytes=10**9)
    metadata = pyarrow.parquet.ParquetFile(shard_path(tmp_path, "part", 0)).metadata
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups] == [5, 5, 2]
    assert all(group.total_byte_size < GROUP_BYTES + 2 * len(sound) for group in groups)


def test_a_shard_that_is_half_done_is_dropped_and_what_was_killed_is_tidied(tmp_path: Path) -> None:
    rows = _rows(1, 8)
    whole = _write(tmp_path / "whole", rows, shard_bytes=1)
    with ShardWriter(tmp_path / "a", "part", SCHEMA, shard_bytes=1) as writer:
        for row in rows[:4]:
            writer.add(*row)
            writer.close()
        writer.add(*rows[4])
    folder = tmp_path / "a/shards"
    assert sorted(path.name for path in folder.iterdir()) == [f"part-{number:05d}.parquet" for number in range(4)]
    (folder / ".part-00004.parquet.0123abcd.part").write_bytes(b"half")
    (folder / "part-00009.parquet").write_bytes(b"of other settings")
    (folder / "part-other-00009.parquet").write_bytes(b"of another split")
    with ShardWriter(tmp_path / "a", "part", SCHEMA, shard_bytes=1, first=3) as writer:
        for row in rows[3:]:
            writer.add(*row)
            writer.close()
    (folder / "part-other-00009.parquet").unlink()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        Path(str(address).split("#")[0]).name: Path(str(address).split("#")[0]).read_bytes() for address in whole
    }


def test_a_full_disk_is_said_in_one_sentence(tmp_path: Path) -> None:
    code = f"""
import resource, signal
from pathlib import Path
from duolect.data.corpora.shard_writer import ShardWriter, shard_schema
from duolect.errors import DuolectError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))
try:
    with ShardWriter(Path({str(tmp_path)!r}), "part", shard_schema({{}}), shard_bytes=10**9) as writer:
        for _ in range(9):
            writer.add(bytes(1 << 20), None, {{}})
        writer.close()
except DuolectError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    assert done.stdout.startswith(f"{tmp_path}/shards/part-00000.parquet: could not be written ("), done
    assert not list((tmp_path / "shards").iterdir())


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "shards").write_text("a file")
    with pytest.raises(DuolectError, match="cannot be made"):
        _write(tmp_path, _rows(0, 1), shard_bytes=1)
