"""Sound in the rows of parquet files: the same as from files of its own, whatever is asked of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from duolect.audio import audio_info, parquet, read_audio
from duolect.audio.decoders import SoundBytes
from duolect.data import Utterance, collate, load_manifest, write_manifest
from duolect.errors import AudioError

arrow = pytest.importorskip("pyarrow")
from pyarrow import parquet as files  # noqa: E402

KINDS: dict[str, dict[str, str]] = {
    "wav": {},
    "flac": {},
    "ogg": {},
    "mp3": {},
    "opus": {"format": "OGG", "subtype": "OPUS"},
    "aiff": {},
}


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve sound files of six formats, at two rates, none like another."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    paths = []
    for number, (kind, options) in enumerate(list(KINDS.items()) * 2):
        paths.append(folder / f"{number}.{kind}")
        rate = 48_000 if number < 6 else 16_000
        soundfile.write(paths[-1], rng.normal(0, 0.1, (rate + 1000 * number, 1 + number % 2)), rate, **options)
    return paths


def _rows(paths: list[Path], *, plain: bool = False) -> Any:
    data = [path.read_bytes() for path in paths]
    if plain:
        return arrow.array(data, arrow.large_binary())
    return arrow.array([{"bytes": each, "path": path.name} for each, path in zip(data, paths, strict=True)])


@pytest.fixture(scope="module")
def table(sounds: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "train-00000.parquet"
    columns = {
        "text": [path.stem for path in sounds],
        "audio": _rows(sounds),
        "second": _rows(sounds[::-1], plain=True),
    }
    files.write_table(arrow.table(columns), path, row_group_size=5)
    return path


def test_a_row_is_the_file_it_was_made_of(sounds: list[Path], table: Path) -> None:
    for row in np.random.default_rng(1).permutation(12).tolist():
        assert audio_info(f"{table}#{row}") == audio_info(sounds[row])
        for part in ({}, {"offset": 0.31}, {"offset": 0.2, "duration": 0.5}, {"sample_rate": 22_050}):
            np.testing.assert_array_equal(read_audio(f"{table}#{row}", **part), read_audio(sounds[row], **part))
        np.testing.assert_array_equal(read_audio(f"{table}#{row}:second"), read_audio(sounds[11 - row]))


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_truncation_is_seen_in_memory_as_on_disk(sounds: list[Path], share: float, tmp_path: Path) -> None:
    for path in sounds:
        data = path.read_bytes()[: int(path.stat().st_size * share)]
        (tmp_path / path.name).write_bytes(data)
        on_disk, in_memory = _heard(tmp_path / path.name), _heard(SoundBytes(str(tmp_path / path.name), data))
        assert in_memory == on_disk
        assert path.suffix == ".mp3" or isinstance(on_disk, str), path


def _heard(source: Path | SoundBytes) -> str | bytes:
    try:
        return read_audio(source).tobytes()
    except AudioError as error:
        return str(error)


def test_other_names_of_the_column(sounds: list[Path], tmp_path: Path) -> None:
    for name, columns in {
        "wav": {"wav": _rows(sounds), "blob": _rows(sounds[::-1], plain=True)},
        "only": {"speech": _rows(sounds, plain=True), "size": list(range(12))},
    }.items():
        files.write_table(arrow.table(columns), tmp_path / f"{name}.parquet")
        np.testing.assert_array_equal(read_audio(tmp_path / f"{name}.parquet#3"), read_audio(sounds[3]))


def test_a_manifest_of_rows(sounds: list[Path], table: Path, tmp_path: Path) -> None:
    rows = [
        Utterance(audio_filepath=Path(f"{table}#{row}"), duration=audio_info(path).duration, text="", id=str(row))
        for row, path in enumerate(sounds)
    ]
    manifest = table.parent / "train.jsonl"
    write_manifest(manifest, rows)
    assert '"audio_filepath": "train-00000.parquet#3"' in manifest.read_text()
    again = load_manifest(manifest)
    assert again == rows
    assert all(parquet.file_of(utterance.audio_filepath) == table for utterance in again)
    batch, whole = collate(again, None), collate([_of(u, sounds[i]) for i, u in enumerate(rows)], None)
    assert not batch.skipped
    assert torch.equal(batch.samples_BN, whole.samples_BN)
    read_audio(f"{table}#0")  # so that workers find files open and rows kept when they are forked off
    loader = torch.utils.data.DataLoader(again, batch_size=None, shuffle=False, num_workers=2, collate_fn=_samples)
    for samples, path in zip(loader, sounds, strict=True):
        np.testing.assert_array_equal(samples, read_audio(path))


def _of(utterance: Utterance, path: Path) -> Utterance:
    return Utterance(audio_filepath=path, duration=utterance.duration, text="", id=utterance.id)


def _samples(utterance: Utterance) -> np.ndarray:
    return read_audio(utterance.audio_filepath)


def test_few_files_and_row_groups_are_kept(sounds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_KEPT_BYTES", 3 * max(path.stat().st_size for path in sounds))
    for number in range(12):
        files.write_table(arrow.table({"audio": _rows(sounds)}), tmp_path / f"{number}.parquet", row_group_size=1)
    for row in range(12):
        for number in range(12):
            read_audio(tmp_path / f"{number}.parquet#{row}")
            assert len(parquet._files) <= parquet._OPEN_FILES
            assert len(parquet._groups) == 1 or (
                sum(group.nbytes for group in parquet._groups.values()) <= parquet._KEPT_BYTES
            )
    files.write_table(arrow.table({"audio": _rows(sounds[:1])}), tmp_path / "11.parquet")
    np.testing.assert_array_equal(read_audio(tmp_path / "11.parquet#0"), read_audio(sounds[0]))


def test_what_is_wrong_is_one_sentence(
    sounds: list[Path], table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = table.read_bytes()
    (tmp_path / "torn.parquet").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.parquet").touch()
    (tmp_path / "flipped.parquet").write_bytes(data[:4] + bytes(len(data) // 2) + data[4 + len(data) // 2 :])
    two = {"left": _rows(sounds), "right": _rows(sounds)}
    files.write_table(arrow.table(two), tmp_path / "two.parquet")
    files.write_table(arrow.table({"text": ["a"]}), tmp_path / "text.parquet")
    holes = [None, {"bytes": None, "path": "a.wav"}, {"bytes": b"", "path": "b.wav"}, {"bytes": b"nosound", "path": ""}]
    files.write_table(arrow.table({"audio": holes}), tmp_path / "holes.parquet")
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", None)
    for name, message in {
        f"{table}#12": "there is no such row; the file has 12",
        f"{table}#0:text": "no column of sound 'text' among its columns text, audio, second",
        f"{tmp_path}/none.parquet#0": "there is no such parquet file",
        f"{tmp_path}/torn.parquet#0": "is not a whole parquet file",
        f"{tmp_path}/empty.parquet#0": "is not a whole parquet file",
        f"{tmp_path}/flipped.parquet#0": "row group 0 cannot be read",
        f"{tmp_path}/two.parquet#0": "several columns of sound, none of them named audio, among its columns left,",
        f"{tmp_path}/text.parquet#0": "no column of sound among its columns text",
        f"{tmp_path}/holes.parquet#0": "this row has no sound",
        f"{tmp_path}/holes.parquet#1": "this row has no sound",
        f"{tmp_path}/holes.parquet#2": r"is empty (0 bytes)",
        f"{tmp_path}/holes.parquet#3": "is not audio that libsndfile reads",
    }.items():
        with pytest.raises(AudioError, match=re.escape(message)) as caught:
            read_audio(name)
        assert str(caught.value).startswith(str(parquet.file_of(name)))
        assert str(caught.value).endswith(".")
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(AudioError, match=r"parquet files need pyarrow: pip install pyarrow"):
        read_audio(f"{tmp_path}/torn.parquet#0")


def test_a_file_of_its_own_may_have_such_a_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.parquet#1", np.full(100, 0.5), 16_000, format="WAV")
    assert len(read_audio(tmp_path / "a.parquet#1")) == 100
