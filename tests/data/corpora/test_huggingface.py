"""Data sets of Hugging Face: read where they are, copied, fetched from a hub (one that the test runs), and resumed."""

import datetime
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import soundfile
from corpus_files import imported, rows, skipped, sound
from parquet_tables import FORMATS, LOQUACIOUS, STRING, encoded, loquacious_rows, shards, write_table

from duolect.audio.parquet import row_address, row_bytes
from duolect.data import Utterance, load_manifest
from duolect.data.corpora import Checkpoint, in_place
from duolect.data.corpora.columns import ColumnOptions, choose_columns
from duolect.data.corpora.copied import rows_copied
from duolect.data.corpora.in_place import measure, rows_in_place
from duolect.data.corpora.tables import open_data_set
from duolect.data.skips import Skipped
from duolect.errors import ConfigError, DuolectError, ManifestError

FEATURES = {
    "audio": datasets.Audio(decode=False),
    "sentence": STRING,
    "client_id": datasets.ClassLabel(names=["ann", "bob"]),
    "locale": STRING,
    "translation": STRING,
    "age": datasets.Value("int32"),
    "score": datasets.Value("float64"),
    "words": datasets.List(STRING),
    "date": datasets.Value("date32"),
}


def _table(folder: Path, seed: int, *, lengths: bool) -> list[dict[str, Any]]:
    """A random table of several files, with rows that lack their sound; returns the rows, with what is expected."""
    generator = np.random.default_rng(seed)
    made, features = [], dict(FEATURES) | ({"duration_ms": datasets.Value("int64")} if lengths else {})
    for number in range(int(generator.integers(9, 30))):
        seconds = round(float(generator.uniform(0.05, 0.3)), 3)
        fate = generator.choice(["good", "none", "empty", "rubbish"], p=[0.7, 0.1, 0.1, 0.1])
        data = {"none": None, "empty": b"", "rubbish": b"no sound"}.get(fate) if fate != "good" else None
        if fate == "good":
            data = encoded(generator, seconds, FORMATS[number % 3])
        row: dict[str, Any] = {
            "audio": {"bytes": data, "path": None},
            "sentence": f"Row {number}.",
            "client_id": number % 2 if number % 5 else None,
            "locale": "en",
            "translation": f"Reihe {number}." if number % 4 else None,
            "age": number if number % 3 else None,
            "score": float("nan") if number % 7 == 0 else number / 2,
            "words": ["row", str(number)],
            "date": datetime.date(2026, 1, 1 + number % 28),
        }
        if lengths:
            row["duration_ms"] = round(1000 * seconds) if generator.random() < 0.9 or fate != "good" else None
        made.append({"row": row, "fate": fate, "data": data, "seconds": seconds})
    cuts = sorted(generator.integers(1, len(made), 2).tolist())
    for file, part in enumerate((made[: cuts[0]], made[cuts[0] : cuts[1]], made[cuts[1] :])):
        if part:
            held = [entry["row"] for entry in part]
            write_table(folder / f"train-{file:05d}.parquet", held, features, int(generator.integers(1, 6)))
    return made


def _checked(found: list[Any], made: list[dict[str, Any]], name: str, *, measured: bool, why: str) -> None:
    """Entries beside what the rows say."""
    found = [entry for entry in found if not isinstance(entry, Checkpoint)]
    assert len(found) == len(made), why
    for number, (entry, expected) in enumerate(zip(found, made, strict=True)):
        row, where = expected["row"], f"{why}, row {number}"
        lost = expected["fate"] in ("none", "empty") or (expected["fate"] == "rubbish" and measured)
        assert entry.id == f"{name}-{number:09d}", where
        if lost:
            assert isinstance(entry, Skipped), where
            assert entry.reason.startswith("cannot be read" if expected["fate"] == "rubbish" else "no audio"), where
            continue
        assert isinstance(entry, Utterance), where
        assert (entry.text, entry.lang, entry.translation) == (row["sentence"], "en", row["translation"]), where
        assert entry.speaker == (None if row["client_id"] is None else ["ann", "bob"][row["client_id"]]), where
        fields = {"age": row["age"], "source_score": row["score"], "date": row["date"].isoformat()}
        assert entry.fields == {k: v for k, v in fields.items() if v is not None and v == v}, where
        if entry.duration == entry.duration:  # else it is measured by the one that asked
            assert entry.duration == pytest.approx(expected["seconds"], abs=0.002), where
        address = row_address(entry.audio_filepath)
        assert address is not None, where
        assert row_bytes(address) == expected["data"], where


@pytest.mark.parametrize("seed", range(6))
def test_rows_stay_where_they_are_and_are_taken_up_anywhere(seed: int, tmp_path: Path) -> None:
    lengths = bool(seed % 2)
    made = _table(tmp_path / "table", seed, lengths=lengths)
    table = open_data_set(str(tmp_path / "table")).table("train")
    columns = choose_columns(table.features, ColumnOptions(), "here")
    assert columns.duration == ("duration_ms" if lengths else None)
    whole = list(rows_in_place(table, columns, "train", None))
    if lengths:  # sound is not looked at where the table tells how long it is, but where a row lacks it
        kept = [
            e
            for e, m in zip([e for e in whole if not isinstance(e, Checkpoint)], made, strict=True)
            if m["fate"] in ("good", "none")
        ]
        assert sum(isinstance(entry, Utterance) for entry in kept) == sum(m["fate"] == "good" for m in made), (
            f"seed {seed}"
        )
    else:
        _checked(whole, made, "train", measured=True, why=f"seed {seed}")
    for place, entry in enumerate(whole):
        if isinstance(entry, Checkpoint):
            assert repr(list(rows_in_place(table, columns, "train", entry.state))) == repr(whole[place + 1 :]), (
                f"seed {seed}"
            )


@pytest.mark.parametrize("seed", range(6))
def test_copied_rows_keep_their_bytes_and_are_taken_up_anywhere(seed: int, tmp_path: Path) -> None:
    made = _table(tmp_path / "table", seed, lengths=bool(seed % 2))
    table = open_data_set(str(tmp_path / "table")).table("train")
    columns = choose_columns(table.features, ColumnOptions(), "here")

    def run(out: Path, state: Any = None) -> list[Any]:
        return list(rows_copied(table, columns, state, out=out, name="train", shard_bytes=20_000))

    whole = run(tmp_path / "whole")
    _checked(whole, made, "train", measured=True, why=f"seed {seed}")
    files = {path.name: path.read_bytes() for path in (tmp_path / "whole/shards").iterdir()}
    for place, entry in enumerate(whole):
        if isinstance(entry, Checkpoint):
            for name in files:  # what came after the checkpoint is lost, and something else stands there
                if int(name[6:11]) >= entry.state["shard"]:
                    (tmp_path / "whole/shards" / name).write_bytes(b"half")
            rest = run(tmp_path / "whole", json.loads(json.dumps(entry.state)))
            plain = [e for e in whole[place + 1 :] if not isinstance(e, Checkpoint)]
            assert [e for e in rest if not isinstance(e, Checkpoint)] == plain, f"seed {seed}"
            assert {path.name: path.read_bytes() for path in (tmp_path / "whole/shards").iterdir()} == files, (
                f"seed {seed}"
            )


def test_the_splits_of_a_folder_become_manifests(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    source, listed = tmp_path / "set", loquacious_rows(generator, "a", 6)
    shards(source / "small", "train", listed, LOQUACIOUS, 2)
    shards(source / "dev", "dev", loquacious_rows(generator, "b", 3), LOQUACIOUS, 1)
    (source / "README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files:\n  - split: train\n    path: small/train*\n"
        "  - split: dev\n    path: dev/dev*\n- config_name: tiny\n  data_files: dev/*\n---\n"
    )
    made = imported("huggingface", source, tmp_path / "out", config="small", lang="en")
    assert [(split.name, split.utterances) for split in made.splits] == [("train", 6), ("dev", 3)]
    assert rows(tmp_path / "out/train.jsonl")[4] == {
        "audio_filepath": str(source / "small/train-00001-of-00002.parquet#1"),
        "duration": 0.24,
        "text": "a utterance number 4",
        "speaker": "a_1",
        "lang": "en",
        "id": "a_4",
        "sex": "female",
    }
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert record["notes"]["columns"]["audio"] == "wav"
    assert not (tmp_path / "out/shards").exists()
    copied = imported("huggingface", source, tmp_path / "copy", config="small", lang="en", copy=True, splits=("train",))
    assert copied.splits[0].utterances == 6
    for one, other in zip(rows(tmp_path / "out/train.jsonl"), rows(tmp_path / "copy/train.jsonl"), strict=True):
        assert one | {"audio_filepath": ""} == other | {"audio_filepath": ""}
    assert rows(tmp_path / "copy/train.jsonl")[5]["audio_filepath"] == "shards/train-00000.parquet#5"
    with pytest.raises(ConfigError, match=r"(?s)[Cc]onfig.*small.*tiny"):
        imported("huggingface", source, tmp_path / "none")
    with pytest.raises(ConfigError, match=r"nope.*Available"):
        imported("huggingface", source, tmp_path / "none", config="nope")


def test_columns_that_cannot_be_guessed_are_asked_for_and_named(tmp_path: Path) -> None:
    features = {"clip": datasets.Value("binary"), "said": STRING, "offset": datasets.Value("int32"), "speakers": STRING}
    good = encoded(np.random.default_rng(0), 0.2)
    held = [{"clip": good, "said": "one", "offset": 3, "speakers": "x"}, {"clip": good, "said": " ", "offset": 4}]
    source = tmp_path / "one.parquet"
    write_table(source, held, features)
    with pytest.raises(
        ConfigError, match=r"transcript.*--text-column.*clip \(sound\), said \(string\), offset \(int32\)"
    ):
        imported("huggingface", source, tmp_path / "none")
    with pytest.raises(ConfigError, match="text_column: there is no 'sad'; it has the columns clip"):
        imported("huggingface", source, tmp_path / "none", text_column="sad")
    with pytest.raises(ConfigError, match="audio_column: 'offset' is int32"):
        imported("huggingface", source, tmp_path / "none", audio_column="offset")
    imported("huggingface", source, tmp_path / "out", text_column="said")
    (only,) = load_manifest(tmp_path / "out/one.jsonl")
    assert (only.text, only.duration, dict(only.fields)) == ("one", 0.2, {"source_offset": 3, "source_speakers": "x"})
    assert skipped(tmp_path / "out/one.jsonl") == {"one-000000001": "no transcript"}
    imported("huggingface", source, tmp_path / "silent", text_column="none")
    assert [u.text for u in load_manifest(tmp_path / "silent/one.jsonl")] == ["", ""]


@pytest.mark.parametrize("copy", [False, True])
def test_rows_of_empty_bytes_are_left_out_where_the_statistics_of_parquet_show_them(copy: bool, tmp_path: Path) -> None:
    """They hold values of up to 4 KiB."""
    good = encoded(np.random.default_rng(0), 0.1)
    assert len(good) < 4096
    held = [{"bytes": data, "path": "x.wav"} for data in (good, b"", good)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"audio": pa.array(held, kind), "text": list("abc"), "duration": [0.1, 0.1, 0.1]})
    pyarrow.parquet.write_table(table, tmp_path / "train.parquet")
    imported("huggingface", tmp_path / "train.parquet", tmp_path / "out", copy=copy)
    assert [row["text"] for row in rows(tmp_path / "out/train.jsonl")] == ["a", "c"]
    (why,) = skipped(tmp_path / "out/train.jsonl").values()
    assert why.startswith("no audio: the row has no sound")


@pytest.mark.parametrize("copy", [False, True])
def test_a_column_of_rounded_seconds_cuts_nothing_off(copy: bool, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    lengths = [1.9, 1.04, 0.8]
    held = [{"audio": {"bytes": encoded(generator, s), "path": None}, "text": "x", "duration": int(s)} for s in lengths]
    features = {"audio": datasets.Audio(decode=False), "text": STRING, "duration": datasets.Value("int32")}
    write_table(tmp_path / "t.parquet", held, features, group=1)
    (split,) = imported("huggingface", tmp_path / "t.parquet", tmp_path / "out", copy=copy).splits
    assert [u.duration for u in load_manifest(tmp_path / "out/t.jsonl")] == lengths
    assert split.far_off == 1  # of 0 seconds it tells nothing
    if copy:
        kept = pyarrow.parquet.read_table(tmp_path / "out/shards/t-00000.parquet", columns=["duration"])
        assert kept.column(0).to_pylist() == lengths


@pytest.mark.parametrize("copy", [False, True])
def test_one_channel_of_several_has_no_place(copy: bool, tmp_path: Path) -> None:
    call = io.BytesIO()
    soundfile.write(call, np.random.default_rng(0).uniform(-0.1, 0.1, (3200, 2)), 16_000, format="WAV")
    sounds = [call.getvalue(), call.getvalue(), encoded(np.random.default_rng(0), 0.2)]
    held = [{"audio": {"bytes": s, "path": None}, "text": "x", "channel": n % 2} for n, s in enumerate(sounds)]
    features = {"audio": datasets.Audio(decode=False), "text": STRING, "channel": datasets.Value("int32")}
    write_table(tmp_path / "t.parquet", held, features)
    imported("huggingface", tmp_path / "t.parquet", tmp_path / "out", copy=copy)
    assert [u.id for u in load_manifest(tmp_path / "out/t.jsonl")] == ["t-000000002"]
    assert {why.split(":")[0] for why in skipped(tmp_path / "out/t.jsonl").values()} == {"one channel of 2"}


def test_of_sound_whose_seconds_are_told_only_the_first_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, lengths = np.random.default_rng(0), [0.11, 0.123, 0.2, 0.3] * 10
    held = [{"audio": {"bytes": encoded(generator, s), "path": None}, "text": "x", "duration": s} for s in lengths]
    features = {"audio": datasets.Audio(decode=False), "text": STRING, "duration": datasets.Value("float32")}
    write_table(tmp_path / "t.parquet", held, features, group=20)
    measured: list[int] = []
    monkeypatch.setattr(in_place, "_may_lack", lambda *_: False)
    monkeypatch.setattr(in_place, "measure", lambda sound, name: measured.append(1) or measure(sound, name))
    imported("huggingface", tmp_path / "t.parquet", tmp_path / "out")
    assert [u.duration for u in load_manifest(tmp_path / "out/t.jsonl")] == lengths
    assert 0 < len(measured) <= 32


def test_ids_that_are_repeated_are_numbered(tmp_path: Path) -> None:
    good = {"bytes": encoded(np.random.default_rng(0), 0.1), "path": None}
    held = [{"audio": good, "text": str(number), "id": name} for number, name in enumerate(["a", "b", "a", "a", " "])]
    write_table(tmp_path / "t.parquet", held, {"audio": datasets.Audio(decode=False), "text": STRING, "id": STRING})
    imported("huggingface", tmp_path / "t.parquet", tmp_path / "out")
    assert [u.id for u in load_manifest(tmp_path / "out/t.jsonl")] == ["a", "b", "a#2", "a#3", "t-000000004"]
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert record["splits"]["t"]["tallies"] == {"ids that were repeated": 2}


def test_a_second_column_of_sound_is_named_in_the_address(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    near, far = encoded(generator, 0.1), encoded(generator, 0.2)
    audio = datasets.Audio(decode=False)
    held = [{"audio": {"bytes": near, "path": None}, "far": {"bytes": far, "path": None}, "text": "x"}]
    write_table(tmp_path / "t.parquet", held, {"audio": audio, "far": audio, "text": STRING})
    imported("huggingface", tmp_path / "t.parquet", tmp_path / "out", audio_column="far")
    (only,) = load_manifest(tmp_path / "out/t.jsonl")
    assert str(only.audio_filepath).endswith("t.parquet#0:far")
    assert only.duration == 0.2
    address = row_address(only.audio_filepath)
    assert address is not None
    assert row_bytes(address) == far


@pytest.mark.parametrize("copy", [False, True])
def test_an_audiofolder_with_metadata(copy: bool, tmp_path: Path) -> None:
    pytest.importorskip("torchcodec.encoders", exc_type=Exception)  # `datasets` wants it for sound outside of parquet
    source = tmp_path / "set/test"
    for number in range(3):
        sound(source / f"{number}.flac", 0.1 + 0.1 * number)
    listed = [
        {"file_name": f"{number}.flac", "transcription": f"t {number}", "speaker_id": number} for number in range(3)
    ]
    (source / "metadata.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in listed))
    imported("huggingface", tmp_path / "set", tmp_path / "out", copy=copy)
    made = load_manifest(tmp_path / "out/test.jsonl")
    assert [(u.text, u.speaker, u.duration) for u in made] == [("t 0", "0", 0.1), ("t 1", "1", 0.2), ("t 2", "2", 0.3)]
    if copy:
        address = row_address(made[2].audio_filepath)
        assert address is not None
        assert row_bytes(address) == (source / "2.flac").read_bytes()
    else:
        assert [u.audio_filepath for u in made] == [source / f"{number}.flac" for number in range(3)]


def test_without_torchcodec_a_folder_of_sound_is_refused_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound(tmp_path / "set/test/0.flac")
    (tmp_path / "set/test/metadata.csv").write_text("file_name,text\n0.flac,zero\n")
    monkeypatch.setitem(sys.modules, "torchcodec.encoders", None)
    with pytest.raises(DuolectError, match=r"torchcodec'; pip install torchcodec, or import a folder"):
        imported("huggingface", tmp_path / "set", tmp_path / "out")


def test_sound_in_an_archive_is_copied(tmp_path: Path) -> None:
    pytest.importorskip("torchcodec.encoders", exc_type=Exception)
    (tmp_path / "set").mkdir()
    with zipfile.ZipFile(tmp_path / "set/train.zip", "w") as archive:
        for number in range(2):
            archive.write(sound(tmp_path / f"{number}.wav", 0.1), f"{number}.wav")
        archive.writestr("metadata.csv", "file_name,text\n0.wav,zero\n1.wav,one\n")
    imported("huggingface", tmp_path / "set", tmp_path / "out", splits=("train",))
    made = load_manifest(tmp_path / "out/train.jsonl")
    assert [u.audio_filepath for u in made] == [tmp_path / f"out/shards/train-00000.parquet#{n}" for n in (0, 1)]
    address = row_address(made[-1].audio_filepath)
    assert address is not None
    assert row_bytes(address) == (tmp_path / "1.wav").read_bytes()


def test_what_save_to_disk_wrote(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", loquacious_rows(np.random.default_rng(0), "a", 4), LOQUACIOUS)
    data = datasets.Dataset.from_parquet(str(tmp_path / "t.parquet"), cache_dir=str(tmp_path / "cache"))
    datasets.DatasetDict({"dev": data}).save_to_disk(str(tmp_path / "set"))
    imported("huggingface", tmp_path / "set", tmp_path / "out")
    assert [u.id for u in load_manifest(tmp_path / "out/dev.jsonl")] == ["a_0", "a_1", "a_2", "a_3"]


@pytest.mark.parametrize("copy", [False, True])
def test_a_damaged_parquet_file_is_named_and_the_import_goes_on_once_it_is_mended(copy: bool, tmp_path: Path) -> None:
    source = tmp_path / "set"
    shards(source, "train", loquacious_rows(np.random.default_rng(0), "a", 40), LOQUACIOUS, 4)
    whole = (source / "train-00002-of-00004.parquet").read_bytes()
    at = pyarrow.parquet.ParquetFile(source / "train-00002-of-00004.parquet").metadata.row_group(1).column(5)
    start = at.dictionary_page_offset or at.data_page_offset
    broken = whole[:start] + bytes(at.total_compressed_size) + whole[start + at.total_compressed_size :]
    (source / "train-00002-of-00004.parquet").write_bytes(broken)
    stamp = (source / "train-00002-of-00004.parquet").stat().st_mtime_ns
    with pytest.raises(ManifestError, match=r"train-00002-of-00004\.parquet: is damaged"):
        imported("huggingface", source, tmp_path / "out", copy=copy)
    (source / "train-00002-of-00004.parquet").write_bytes(whole)
    os.utime(source / "train-00002-of-00004.parquet", ns=(stamp, stamp))
    imported("huggingface", source, tmp_path / "out", copy=copy)
    assert [u.id for u in load_manifest(tmp_path / "out/train.jsonl")] == [f"a_{number}" for number in range(40)]
    (source / "train-00003-of-00004.parquet").write_bytes(whole[:1000])
    with pytest.raises(ManifestError, match=r"train-00003-of-00004\.parquet: is not a whole parquet file"):
        imported("huggingface", source, tmp_path / "other", copy=copy)


def test_files_with_other_columns_are_named(tmp_path: Path) -> None:
    for number, column in enumerate(("text", "words")):
        pyarrow.parquet.write_table(pa.table({"audio": [b"x"], column: ["y"]}), tmp_path / f"train-{number}.parquet")
    with pytest.raises(ManifestError, match=r"train-1\.parquet: has other columns \(audio, words\) than"):
        imported("huggingface", tmp_path, tmp_path / "out")


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    for source, said in (
        (tmp_path / "nothing", "does not exist"),
        (tmp_path / "a.txt", "is no parquet file"),
        (tmp_path / "empty", "empty|any data file"),
    ):
        with pytest.raises(ManifestError, match=said):
            imported("huggingface", source, tmp_path / "out")


# The hub: a server of this test's, asked by `datasets` as it asks the true one.

_COMMAND = (
    "import sys; import duolect.data.corpora.run as run; run.NOTE_SECONDS = 0; from duolect.cli import main; "
    "sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder whose subfolders USER/NAME are on the hub, and the environment of a process that asks that hub."""
    root = tmp_path / "hub"
    root.mkdir()
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).parents[2] / "hub_server.py"), str(root)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    yield root, {**environment, "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": "src"}
    server.kill()
    server.wait()


def _duolect(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_import_from_the_hub_that_was_killed_ends_as_one_that_was_not(
    hub: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, environment = hub
    source = root / "speech/set"
    listed = loquacious_rows(np.random.default_rng(0), "a", 60)
    for row in listed:
        row["wav"]["bytes"] = encoded(np.random.default_rng(1), 2.0)  # 64 KB: 1 MB are 16 rows
    listed[7]["wav"]["bytes"] = None
    shards(source / "data", "train", listed, LOQUACIOUS, 6)
    command = ("import", "huggingface", "speech/set", "--shard-megabytes", "1", "--out")
    imported("huggingface", source, tmp_path / "whole", copy=True, shard_megabytes=1)  # without a hub, not interrupted
    whole = load_manifest(tmp_path / "whole/train.jsonl")
    assert [u.id for u in whole] == [f"a_{number}" for number in range(60) if number != 7]
    assert len(list((tmp_path / "whole/shards").iterdir())) == 4
    assert skipped(tmp_path / "whole/train.jsonl")["a_7"].startswith("audio is missing")

    (root / "stall").write_text("train-00004")  # the connection hangs there
    process = _duolect(environment, *command, str(tmp_path / "out"))
    deadline = time.monotonic() + 60
    while not (root / "stalled").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    place = json.loads((tmp_path / "out/.import/train/place.json").read_text())
    assert place["utterances"] >= 15
    assert place["state"]["shard"] >= 1
    assert not (tmp_path / "out/train.jsonl").exists()

    (root / "stall").write_text("refuse:train-00005")  # now it breaks off, further on
    process = _duolect(environment, *command, str(tmp_path / "out"))
    said = process.communicate(timeout=120)
    assert process.returncode == 2, said
    assert "give the same command again to go on" in said[1], said

    (root / "stall").unlink()
    (root / "newer").touch()  # what was begun with one version ends with it
    process = _duolect(environment, *command, str(tmp_path / "out"))
    said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "went on after" in said[1], said
    assert (tmp_path / "out/train.jsonl").read_bytes() == (tmp_path / "whole/train.jsonl").read_bytes()
    assert skipped(tmp_path / "out/train.jsonl") == skipped(tmp_path / "whole/train.jsonl")
    assert json.loads((tmp_path / "out/import.json").read_text())["notes"]["revision"] == "c0ffee" * 6 + "c0ff"
    for path in (tmp_path / "whole/shards").iterdir():
        assert (tmp_path / "out/shards" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "out/shards").iterdir())) == 4


def test_without_network_the_way_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DuolectError, match="hf download --repo-type dataset speech/set --local-dir FOLDER"):
        imported("huggingface", Path("speech/set"), tmp_path / "out")
