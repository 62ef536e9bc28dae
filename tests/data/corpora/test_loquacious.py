"""Loquacious: the folders of the repository on the hub."""

import json
from pathlib import Path

import numpy as np
import pytest
from corpus_files import imported, rows
from parquet_tables import LOQUACIOUS, loquacious_rows, shards

from duolect.audio import read_audio
from duolect.data import load_manifest
from duolect.errors import ConfigError, ManifestError


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root, generator = tmp_path / "LoquaciousSet", np.random.default_rng(0)
    for part, stem, files in (("dev", "dev", 2), ("test", "test", 2), ("small", "train", 3)):
        shards(root / part, stem, loquacious_rows(generator, part, 8), LOQUACIOUS, files)
    return root


def test_dev_and_test_and_the_wanted_training_set(corpus: Path, tmp_path: Path) -> None:
    made = imported("loquacious", corpus, tmp_path / "out")
    assert [(split.name, split.utterances) for split in made.splits] == [("dev", 8), ("test", 8)]
    assert rows(tmp_path / "out/test.jsonl")[4] == {
        "audio_filepath": str(corpus / "test/test-00001-of-00002.parquet#0"),
        "duration": 0.24,
        "text": "test utterance number 4",
        "speaker": "test_1",
        "lang": "en",
        "id": "test_4",
        "sex": "female",
    }
    assert len(read_audio(load_manifest(tmp_path / "out/test.jsonl")[4].audio_filepath)) == 0.24 * 16_000
    notes = json.loads((tmp_path / "out/import.json").read_text())["notes"]
    assert notes == {"training_folders": {"small": str(corpus / "small")}, "missing": []}
    made = imported("loquacious", corpus, tmp_path / "small", subsets=("small",), splits=("train-small",), copy=True)
    assert [(split.name, split.utterances) for split in made.splits] == [("train-small", 8)]
    assert rows(tmp_path / "small/train-small.jsonl")[7]["audio_filepath"] == "shards/train-small-00000.parquet#7"


def test_what_is_not_there_is_said(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ManifestError, match="LoquaciousSet/large: has no parquet files; fetch the training set 'large'"
    ):
        imported("loquacious", corpus, tmp_path / "out", subsets=("large",))
    with pytest.raises(ConfigError, match="no training set 'huge'; they are small, medium, clean, large"):
        imported("loquacious", corpus, tmp_path / "out", subsets=("huge",))
    with pytest.raises(
        ManifestError, match="no parquet files in dev, test; expected a copy of speechbrain/LoquaciousSet"
    ):
        imported("loquacious", tmp_path, tmp_path / "out")
