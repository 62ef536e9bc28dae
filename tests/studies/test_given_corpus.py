"""The user's data as a stage: known by content, complete for speech and for language models."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from duolect.data import read_manifest, read_text
from duolect.errors import DuolectError
from duolect.studies.stages import Store
from duolect.studies.stages.corpora import GivenCorpus


def manifest(path: Path, texts: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"audio_filepath": f"sound/{n}.wav", "duration": 1.0, "text": text} for n, text in enumerate(texts)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    return {
        split: manifest(tmp_path / "given" / f"{split}.jsonl", [f"{split} one", "two"]) for split in ("train", "dev")
    } | {"test": manifest(tmp_path / "given" / "test.jsonl", ["three"])}


def made(tmp_path: Path, parts: dict[str, Path]) -> tuple[GivenCorpus, Path]:
    corpus = GivenCorpus(name="given", parts=parts)
    return corpus, Store(tmp_path / "store").make(corpus, Console(file=io.StringIO()))


def test_transcripts_are_what_language_models_learn_where_no_text_is_given(
    tmp_path: Path, parts: dict[str, Path]
) -> None:
    corpus, folder = made(tmp_path, parts)
    assert list(read_text([folder / corpus.file("lm")])) == ["train one", "two"]
    assert list(read_text([folder / "dev.txt"])) == ["dev one", "two"]
    first = next(iter(read_manifest(folder / corpus.file("train"))))
    assert first.audio_filepath == tmp_path / "given" / "sound" / "0.wav"


def test_text_is_read_as_what_it_is(tmp_path: Path, parts: dict[str, Path]) -> None:
    text = tmp_path / "sentences.gz"
    with gzip.open(text, "wt") as handle:
        handle.write("packed\n")
    others = {"lm": text}, {"lm": manifest(tmp_path / "more.jsonl", ["of a manifest"])}
    for given, sentence in zip(others, ("packed", "of a manifest"), strict=True):
        corpus, folder = made(tmp_path, parts | given)
        assert list(read_text([folder / corpus.file("lm")])) == [sentence]


def test_shards_are_linked_and_their_texts_taken(tmp_path: Path, parts: dict[str, Path]) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    shards = tmp_path / "shards"
    shards.mkdir()
    sound = [{"bytes": b"", "path": f"{n}.wav"} for n in range(2)]
    pq.write_table(pa.table({"ID": ["a", "b"], "wav": sound, "text": ["first", "second"]}), shards / "0.parquet")
    corpus, folder = made(tmp_path, parts | {"train": shards})
    assert (folder / corpus.file("train")).resolve() == shards.resolve()
    assert sorted(read_text([folder / corpus.file("lm")])) == ["first", "second"]


def test_the_key_follows_the_content(tmp_path: Path, parts: dict[str, Path]) -> None:
    before = GivenCorpus(name="given", parts=parts).key
    copies = {name: manifest(tmp_path / "copy" / f"{name}.jsonl", []) for name in parts}
    for name, path in parts.items():
        copies[name].write_text(path.read_text())
    assert GivenCorpus(name="other name", parts=copies).key == before
    manifest(copies["train"], ["train one", "changed"])
    assert GivenCorpus(name="given", parts=copies).key != before


def test_what_is_missing_is_named_with_the_import_that_makes_it(tmp_path: Path, parts: dict[str, Path]) -> None:
    lost = parts | {"train": tmp_path / "nowhere.jsonl"}
    with pytest.raises(DuolectError, match=r"nowhere\.jsonl: there is no such train data\. Import it\."):
        _ = GivenCorpus(name="given", parts=lost, hint="Import it.").key
    assert GivenCorpus(name="given", parts=lost, planned=True).key
