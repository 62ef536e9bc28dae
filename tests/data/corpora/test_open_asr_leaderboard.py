"""The Open ASR leaderboard's sets, as the repositories on the hub lay them out."""

import json
from pathlib import Path

import numpy as np
import pytest
from corpus_files import imported, lines, rows, sound
from parquet_tables import LEADERBOARD, leaderboard_rows, shards, write_table

from duolect.data import load_manifest
from duolect.data.corpora.open_asr_leaderboard import SETS
from duolect.errors import ManifestError

CALLS = {"4320211": "So, good morning — thanks for joining.", "4341191": "We're up 12%."}


@pytest.fixture(scope="module")
def march(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, generator = tmp_path_factory.mktemp("hub") / "esb-datasets-test-only-sorted", np.random.default_rng(0)
    for name, split in SETS["open-asr-2026-03"]:
        listed = leaderboard_rows(generator, name, 5)
        if name == "tedlium":
            listed[1]["text"], listed[3]["text"] = "ignore time segment in scoring", " "
        shards(root / name, split, listed, LEADERBOARD, 2)
    shards(root / "common_voice", "test", leaderboard_rows(generator, "common_voice", 2), LEADERBOARD, 1)
    return root


@pytest.fixture(scope="module")
def august(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, generator = tmp_path_factory.mktemp("hub") / "open-asr-leaderboard", np.random.default_rng(0)
    for name, split in SETS["open-asr-2026-08"]:
        write_table(root / name / f"{split}-00000-of-00001.parquet", leaderboard_rows(generator, name, 3), LEADERBOARD)
    chunks, calls = root.parent / "Earnings22-Cleaned-AA-chunked", root.parent / "Earnings22-Cleaned-AA"
    listed = []
    for call in CALLS:
        for number in range(3):
            sound(chunks / f"audio/{call}_{number:03d}.wav", 0.2 + 0.1 * number)
            listed.append({"file_name": f"{call}_{number:03d}.wav", "parent_id": call, "chunk_index": number})
    lines(chunks / "test.jsonl", *(json.dumps(entry) for entry in listed))
    lines(calls / "test.jsonl", *(json.dumps({"id": key, "transcript": text}) for key, text in CALLS.items()))
    return root


def test_march_has_eight_sets_with_all_their_rows(march: Path, tmp_path: Path) -> None:
    made = imported("open-asr-leaderboard", march, tmp_path / "out", regime="open-asr-2026-03")
    assert [split.name for split in made.splits] == [
        *("ami_test", "earnings22_test", "gigaspeech_test", "librispeech_test.clean", "librispeech_test.other"),
        *("spgispeech_test", "tedlium_test", "voxpopuli_test"),
    ]
    assert {split.utterances for split in made.splits} == {5}
    assert rows(tmp_path / "out/librispeech_test.other.jsonl")[3] == {
        "audio_filepath": str(march / "librispeech/test.other-00001-of-00002.parquet#0"),
        "duration": 0.2,
        "text": "Row 3, of librispeech!",
        "lang": "en",
        "id": "librispeech_3",
        "dataset": "librispeech",
        "split": "test.other",
        "regime": "open-asr-2026-03",
    }
    assert [u.text for u in load_manifest(tmp_path / "out/tedlium_test.jsonl")][1::2] == [
        "ignore time segment in scoring",
        " ",
    ]
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert record["splits"]["tedlium_test"]["tallies"] == {"references to be ignored": 1, "empty references": 1}
    assert record["notes"] == {"regime": "open-asr-2026-03", "missing": []}


def test_august_has_seven_with_the_chunks_of_calls(august: Path, tmp_path: Path) -> None:
    made = imported("open-asr-leaderboard", august, tmp_path / "out")
    assert len(made.splits) == 7
    assert [split.utterances for split in made.splits] == [3, 3, 3, 3, 3, 3, 6]
    assert rows(tmp_path / "out/earnings22_cleaned_aa_chunked_test.jsonl")[4] == {
        "audio_filepath": str(august.parent / "Earnings22-Cleaned-AA-chunked/audio/4341191_001.wav"),
        "duration": 0.3,
        "text": "We're up 12%.",
        "lang": "en",
        "id": "4341191_001",
        "parent_id": "4341191",
        "chunk_index": 1,
        "dataset": "earnings22_cleaned_aa_chunked",
        "split": "test",
        "regime": "open-asr-2026-08",
    }
    copied = imported(
        "open-asr-leaderboard",
        august.parent,
        tmp_path / "copy",
        copy=True,
        splits=("earnings22_cleaned_aa_chunked_test",),
    )
    assert copied.splits[0].utterances == 6
    found = rows(tmp_path / "copy/earnings22_cleaned_aa_chunked_test.jsonl")
    assert found[4]["audio_filepath"] == "shards/earnings22_cleaned_aa_chunked_test-00000.parquet#4"
    assert (found[4]["duration"], found[4]["chunk_index"]) == (0.3, 1)


def test_what_is_not_there_is_said(march: Path, august: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no set of open-asr-2026-08; expected a copy of hf-audio/open-asr"):
        imported("open-asr-leaderboard", tmp_path, tmp_path / "none")
    part = tmp_path / "part/open-asr-leaderboard"
    part.mkdir(parents=True)
    (part / "spgispeech").symlink_to(august / "spgispeech")
    imported("open-asr-leaderboard", part, tmp_path / "out")
    missing = json.loads((tmp_path / "out/import.json").read_text())["notes"]["missing"]
    assert len(missing) == 6
    assert "earnings22_cleaned_aa_chunked_test" in missing
    (part.parent / "Earnings22-Cleaned-AA-chunked").symlink_to(august.parent / "Earnings22-Cleaned-AA-chunked")
    with pytest.raises(ManifestError, match="a copy of which is expected beside it"):
        imported("open-asr-leaderboard", part, tmp_path / "none")
    lines(part.parent / "Earnings22-Cleaned-AA/test.jsonl", json.dumps({"id": "4320211", "text": "Only one."}))
    with pytest.raises(ManifestError, match="the call '4341191' has no transcript"):
        imported("open-asr-leaderboard", part, tmp_path / "none")
