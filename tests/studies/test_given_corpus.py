"""The user's data as a stage: known by content, complete for speech and for language models."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
from pathlib import Path
from random import Random

import pytest
from rich.console import Console

from duolect.data import read_manifest, read_text, write_manifest
from duolect.errors import ConfigError, DuolectError
from duolect.studies.figures import heard_seconds
from duolect.studies.scales.building import corpus_file
from duolect.studies.stages import Stage, Store
from duolect.studies.stages.corpora import TRANSCRIPTS, GivenCorpus, Joined
from duolect.studies.stages.distillation import Distilled, GivenTeacher
from duolect.studies.stages.llms import LLM, GivenLLM
from duolect.studies.stages.sets import GivenSets
from duolect.studies.stages.training import _transcripts


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


def spoken(folder: Path, seed: int) -> dict[str, Path]:
    """Manifests of a folder that name sound beside it, of as many bytes whatever the seed."""
    draw = Random(seed)
    for split in ("train", "dev", "test"):
        manifest(folder / f"{split}.jsonl", [f"{split} one", "two"])
    (folder / "sound").mkdir()
    for number in range(2):
        (folder / "sound" / f"{number}.wav").write_bytes(b"RIFF" + draw.randbytes(20_000))
    return {split: folder / f"{split}.jsonl" for split in ("train", "dev", "test")}


def test_equal_manifests_of_other_sound_are_other_corpora(tmp_path: Path) -> None:
    clean, noisy = (spoken(tmp_path / name, seed) for seed, name in enumerate(("clean", "noisy")))
    assert clean["test"].read_bytes() == noisy["test"].read_bytes()
    assert GivenCorpus(name="x", parts=clean).key != GivenCorpus(name="x", parts=noisy).key
    assert GivenSets(name="x", folder=tmp_path / "clean").key != GivenSets(name="x", folder=tmp_path / "noisy").key
    shards = []
    for seed in range(2):
        shards.append(tmp_path / f"shards{seed}")
        shards[-1].mkdir()
        (shards[-1] / "0.parquet").write_bytes(Random(seed).randbytes(9000))
    keys = {GivenCorpus(name="x", parts={**clean, "train": folder}).key for folder in shards}
    assert len(keys) == 2


def test_what_was_made_from_a_corpus_that_is_moved_names_its_new_place(tmp_path: Path) -> None:
    console, store = Console(file=io.StringIO()), Store(tmp_path / "store")

    def stages(place: Path) -> list[Stage]:
        text = place / "text"
        corpus = GivenCorpus(name="x", parts={split: place / f"{split}.jsonl" for split in ("train", "dev", "test")})
        with_text = dataclasses.replace(corpus, parts={**corpus.parts, "lm": text})
        llm, teacher = GivenLLM(name="llm", source=place / "llm"), GivenTeacher(name="nmt", source=place / "llm")
        return [corpus, with_text, Joined(name="two", corpora={"a": corpus, "b": with_text}), llm, teacher]

    old, new = tmp_path / "old", tmp_path / "new"
    spoken(old, 1)
    (old / "text").write_text("a text\n")
    (old / "llm").mkdir()
    (old / "llm" / "config.json").write_text("{}")
    before = stages(old)
    folders = [store.make(stage, console) for stage in before]
    records = [store.made(stage) for stage in before]
    distilled = Distilled(name="d", teacher=before[-1], corpus=before[0])
    target = tmp_path / "distilled"
    rows = list(read_manifest(folders[0] / "train.jsonl"))
    write_manifest(target / "train.jsonl", [*rows, dataclasses.replace(rows[0], id=f"{rows[0].id}+distilled")])
    old.rename(new)
    after = stages(new)
    assert [stage.key for stage in after] == [stage.key for stage in before]
    store.relocate(after, console)
    assert [store.made(stage) for stage in after] == records
    for folder in folders[:3]:
        for split in ("train", "dev", "test"):
            found = {utterance.audio_filepath for utterance in read_manifest(folder / f"{split}.jsonl")}
            assert found == {new / "sound" / f"{number}.wav" for number in range(2)}
    assert (folders[1] / "lm.txt").resolve() == new / "text"
    assert (folders[3] / LLM / "config.json").resolve() == new / "llm" / "config.json"
    assert (folders[4] / "model").resolve() == new / "llm"
    distilled.relocate(target, {"corpus": folders[0]}, console)
    found = [utterance.audio_filepath for utterance in read_manifest(target / "train.jsonl")]
    assert found == [new / "sound" / f"{number}.wav" for number in (0, 1, 0)]
    stamps = [(folder / "train.jsonl").stat().st_mtime_ns for folder in folders[:3]]
    store.relocate(after, console)
    assert [(folder / "train.jsonl").stat().st_mtime_ns for folder in folders[:3]] == stamps


@pytest.mark.parametrize(
    ("part", "name", "said"),
    [
        ("dev", "shards", "the dev data must be a manifest"),
        ("test", "0.parquet", "the test data must be a manifest"),
        ("dev", "dev.jsonl.gz", "the dev data must be a manifest"),
        ("train", "train.jsonl.gz", "the train data must be a manifest .*, or parquet shards"),
        ("train", "train.tsv", "the train data must be a manifest .*, or parquet shards"),
        ("lm", "lm.jsonl.gz", "the lm data must be text, one sentence a line"),
        ("lm", "shards", "the lm data must be text, one sentence a line"),
    ],
)
def test_a_form_that_nothing_reads_is_refused_at_once(
    tmp_path: Path, parts: dict[str, Path], part: str, name: str, said: str
) -> None:
    (tmp_path / "shards").mkdir()
    for file in ("shards/0.parquet", "0.parquet", "dev.jsonl.gz", "train.jsonl.gz", "train.tsv", "lm.jsonl.gz"):
        (tmp_path / file).write_bytes(b"x")
    for planned in (False, True):
        corpus = GivenCorpus(name="x", parts=parts | {part: tmp_path / name}, hint="Import it.", planned=planned)
        with pytest.raises(ConfigError, match=rf"{name}: {said}.*\. Import it\."):
            _ = corpus.key


def test_a_manifest_may_be_called_json(tmp_path: Path, parts: dict[str, Path]) -> None:
    named = parts["train"].rename(tmp_path / "given" / "train.json")
    corpus, folder = made(tmp_path, parts | {"train": named})
    assert corpus.file("train") == "train.jsonl"
    assert heard_seconds(corpus, "train") == 2.0
    assert next(iter(read_manifest(folder / "train.jsonl"))).audio_filepath == tmp_path / "given" / "sound" / "0.wav"


def test_priors_are_counted_in_transcripts_whatever_else_there_is_to_read(
    tmp_path: Path, parts: dict[str, Path]
) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    shards, text = tmp_path / "shards", tmp_path / "text.norm"
    shards.mkdir()
    text.write_text("of a text\n")
    sound = [{"bytes": b"", "path": f"{n}.wav"} for n in range(2)]
    pq.write_table(pa.table({"ID": ["a", "b"], "wav": sound, "text": ["first", "second"]}), shards / "0.parquet")
    for given in ({"train": shards, "lm": text}, {"train": shards}, {"lm": text}):
        corpus = GivenCorpus(name="given", parts=parts | given)
        store, console = Store(tmp_path / "store"), Console(file=io.StringIO())
        for stage in (corpus, corpus.part("train"), corpus.part("train", "dev")):
            folder = store.make(stage, console)
            said = ["first", "second"] if "train" in given else ["train one", "two"]
            assert sorted(read_text([_transcripts(folder)])) == said
            assert corpus_file(corpus, folder, TRANSCRIPTS) == _transcripts(folder)
        folder = store.make(corpus.part("lm", "dev"), console)
        read = sorted(read_text([corpus_file(corpus, folder, "lm")]))
        assert read == (["of a text"] if "lm" in given else ["first", "second"])


@pytest.mark.parametrize("joined", [False, True])
def test_a_part_stays_what_it_was_when_it_was_first_looked_at(
    tmp_path: Path, parts: dict[str, Path], joined: bool
) -> None:
    """A run asks again and again; data that change meanwhile are those of another run."""

    def corpus() -> Stage:
        given = GivenCorpus(name="given", parts=parts)
        return Joined(name="joined", corpora={"one": given}) if joined else given

    stage, whole = corpus(), {names: corpus().part(*names).key for names in (("train", "dev"), ("test",))}
    assert {names: stage.part(*names).key for names in whole} == whole
    manifest(parts["test"], ["another", "text"])
    parts["train"].unlink()
    assert {names: stage.part(*names).key for names in whole} == whole
    assert corpus().part("test").key != whole["test",]
    with pytest.raises(DuolectError, match="there is no such train data"):
        _ = corpus().part("train", "dev").key


def test_a_folder_that_is_missing_may_have_a_dot_in_its_name(tmp_path: Path, parts: dict[str, Path]) -> None:
    given = {**parts, "train": tmp_path / "speech-v1.0"}
    with pytest.raises(DuolectError, match=r"speech-v1\.0: there is no such train data"):
        _ = GivenCorpus(name="given", parts=given).key
    assert GivenCorpus(name="given", parts=given, planned=True).key
    with pytest.raises(ConfigError, match=r"the train data must be a manifest"):
        _ = GivenCorpus(name="given", parts={**parts, "train": tmp_path / "train.csv"}, planned=True).key
