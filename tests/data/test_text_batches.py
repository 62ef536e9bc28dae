"""Text batches: within their size, each sentence once an epoch, one sequence for any number of ranks."""

import gzip
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from duolect.data import text as text_module
from duolect.data.text import TextBatch, TextBatches, read_text
from duolect.errors import ConfigError, ManifestError

sentences = st.lists(st.text("abcdefg ", min_size=1, max_size=25).filter(str.strip), min_size=1, max_size=80)
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _sentences(count: int = 300) -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("abcdefgh"), rng.integers(1, 30))) for _ in range(count)]


def _view(batch: TextBatch) -> tuple:
    return batch.ids, batch.labels_BN.tolist(), batch.label_lengths_B.tolist(), batch.seeds_B.tolist()


def _take(batches: TextBatches, count: int) -> list[tuple]:
    return [_view(batch) for batch in itertools.islice(batches, count)]


@relaxed
@given(sentences, st.integers(26, 90), st.booleans())
def test_each_sentence_once_and_no_batch_too_large(letters: Any, lines: list[str], most: int, shuffle: bool) -> None:
    batches = list(TextBatches(lines, letters, most, epochs=1, shuffle=shuffle))
    spelled = Counter(
        letters.decode(row[:length])
        for batch in batches
        for row, length in zip(batch.labels_BN.tolist(), batch.label_lengths_B.tolist(), strict=True)
    )
    assert spelled == Counter(line.strip() for line in lines)
    assert Counter(i for batch in batches for i in batch.ids) == Counter(f"sentence {n + 1}" for n in range(len(lines)))
    for batch in batches:
        assert len(batch) * (int(batch.label_lengths_B.max()) + 1) <= most
        assert batch.labels_BN.shape[1] == int(batch.label_lengths_B.max())
        padding = torch.arange(batch.labels_BN.shape[1]) >= batch.label_lengths_B[:, None]
        assert not batch.labels_BN[padding].any()


@relaxed
@given(sentences, st.integers(1, 3), st.integers(0, 9))
def test_ranks_and_places(letters: Any, lines: list[str], world_size: int, before: int) -> None:
    alone = _take(TextBatches(lines, letters, 60, seed=1), (before + 3) * world_size)
    for rank in range(world_size):
        source = TextBatches(lines, letters, 60, seed=1, rank=rank, world_size=world_size)
        assert _take(source, before) == alone[rank::world_size][:before]
        resumed = TextBatches(lines, letters, 60, seed=1, rank=rank, world_size=world_size)
        resumed.load_state_dict(source.state_dict())
        assert _take(resumed, 3) == alone[rank::world_size][before:]


def test_epochs_are_reshuffled_and_padding_is_low(letters: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_module, "_WINDOW", 100)
    lines = _sentences()
    batches = list(TextBatches(lines, letters, 120, epochs=2))
    half = len(list(TextBatches(lines, letters, 120, epochs=1)))
    assert [b.ids for b in batches[:half]] != [b.ids for b in batches[half:]]
    assert sorted(i for b in batches[:half] for i in b.ids) == sorted(i for b in batches[half:] for i in b.ids)
    filled = sum(int(b.label_lengths_B.sum()) for b in batches) / sum(b.labels_BN.numel() for b in batches)
    assert filled > 0.85
    lengths = [int(b.label_lengths_B.max()) for b in batches[:half]]
    assert lengths != sorted(lengths)


def test_files_are_read_and_faults_named(tmp_path: Path, letters: Any) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone two\n\n  three \nbad: 4\n" + b"x" * 50 + b"\n")
    with gzip.open(tmp_path / "b.txt.gz", "wt") as handle:
        handle.write("four\nfive\n")
    source = [tmp_path / "a.txt", "given", tmp_path / "b.txt.gz", "also given"]
    batches = TextBatches(source, letters, 40, epochs=1, shuffle=False)
    found = {i: letters.decode(row[:n]) for b in batches for i, row, n in zip(*_view(b)[:3], strict=True)}
    assert found == {
        f"{tmp_path}/a.txt:1": "one two",
        f"{tmp_path}/a.txt:3": "three",
        "sentence 1": "given",
        f"{tmp_path}/b.txt.gz:1": "four",
        f"{tmp_path}/b.txt.gz:2": "five",
        "sentence 2": "also given",
    }
    assert [(entry.id, entry.file) for entry in batches.skipped] == [
        (f"{tmp_path}/a.txt:{line}", f"{tmp_path}/a.txt") for line in (4, 5)
    ]
    assert "more than max_tokens, 40" in list(batches.skipped)[1].reason
    assert len(batches) == 6
    assert batches.label_count == sum(map(len, found.values()))
    assert list(read_text([tmp_path / "b.txt.gz"])) == ["four", "five"]


def test_the_texts_of_manifests_whatever_their_suffix(tmp_path: Path) -> None:
    line = '{"audio_filepath": "a.wav", "duration": 1, "text": " six seven "}\n'
    for name in ("a.jsonl", "a.json"):
        (tmp_path / name).write_text(line)
        assert list(read_text([tmp_path / name])) == ["six seven"]
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(line.encode()))
        with pytest.raises(ManifestError, match="is a compressed manifest"):
            list(read_text([tmp_path / f"{name}.gz"]))


def test_text_that_cannot_be_read(tmp_path: Path, letters: Any) -> None:
    (tmp_path / "latin.txt").write_bytes(b"fine\ncaf\xe9\n")
    (tmp_path / "half.gz").write_bytes(gzip.compress(b"words " * 1000)[:40])
    with pytest.raises(ManifestError, match=r"latin\.txt:2: not valid UTF-8 \(byte 4\)"):
        TextBatches([tmp_path / "latin.txt"], letters, 40)
    with pytest.raises(ManifestError, match=r"half\.gz: the text cannot be read"):
        list(read_text([tmp_path / "half.gz"]))
    whole = gzip.compress("".join(f"sentence {n * n}\n" for n in range(1000)).encode(), mtime=0)
    (tmp_path / "bad.gz").write_bytes(whole[:10] + b"\xff" * 40 + whole[50:])
    with pytest.raises(ManifestError, match=r"bad\.gz: the text cannot be read \(.*invalid"):
        list(read_text([tmp_path / "bad.gz"]))
    with pytest.raises(ManifestError, match=r"none\.txt: the text cannot be read \(No such file"):
        list(read_text([tmp_path / "none.txt"]))
    with pytest.raises(ManifestError, match="No sentence is left to batch: 1 utterance was skipped: sentence 1"):
        TextBatches(["4"], letters, 40)
    with pytest.raises(ConfigError, match="list of files or sentences"):
        TextBatches(tmp_path / "latin.txt", letters, 40)  # ty: ignore[invalid-argument-type]
    with pytest.raises(ConfigError, match="max_tokens"):
        TextBatches(["a"], letters, 1)


def test_to_a_device(letters: Any) -> None:
    batch = next(iter(TextBatches(["abc"], letters, 10)))
    moved = batch.to("meta")
    assert moved.labels_BN.device.type == moved.label_lengths_B.device.type == "meta"
    assert (moved.ids, moved.seeds_B.device.type) == (batch.ids, "cpu")
