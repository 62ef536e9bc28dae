"""`duolect import` as a user types it."""

from pathlib import Path

import pytest
from command_line import Call
from corpus_files import lines, sound

from duolect.data import load_manifest
from duolect.data.corpora import CORPORA, corpus_named


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "files"
    for name in "ab":
        sound(root / f"{name}.wav", 0.5)
        lines(root / f"{name}.txt", name)
    sound(root / "c.wav")
    return root


def test_a_folder(folder: Path, tmp_path: Path, call: Call) -> None:
    result = call("import", "folder", folder, "--out", tmp_path / "out", "--lang", "en")
    assert result.status == 0
    assert result.out == f"{tmp_path}/out/all.jsonl  2 utterances, 0.00 h\n"
    assert f"all: 1 skipped: no transcript; see {tmp_path}/out/all.skipped.jsonl" in result.err
    assert [(u.id, u.lang) for u in load_manifest(tmp_path / "out/all.jsonl")] == [("a", "en"), ("b", "en")]
    result = call("import", "folder", folder, "--out", tmp_path / "out", "--lang", "en")
    assert "was imported already" in result.err


def test_sound_without_any_text_is_told(tmp_path: Path, call: Call) -> None:
    sound(tmp_path / "files/a.wav")
    result = call("import", "folder", tmp_path / "files", "--out", tmp_path / "out")
    assert result.status == 0
    assert "no transcripts were found, so all texts are empty; looked for NAME.txt beside NAME.wav" in result.err
    asked = call("import", "folder", tmp_path / "files", "--text", "none", "--out", tmp_path / "none")
    assert (asked.status, asked.err) == (0, "")


def test_durations_that_are_wrong_are_counted(tmp_path: Path, call: Call) -> None:
    sound(tmp_path / "files/a.wav", 1.9)
    lines(tmp_path / "files/list.csv", "path,text,duration", "a.wav,hello,1")
    asked = ("import", "folder", tmp_path / "files", "--table", "list.csv", "--out", tmp_path / "out")
    told = "all: the corpus is wrong by more than 0.5 s or 5 % about the length of 1 file; the manifest has what was"
    assert told in call(*asked).err
    assert [u.duration for u in load_manifest(tmp_path / "out/all.jsonl")] == [1.9]


def test_the_overview_and_the_help_of_each_corpus(call: Call) -> None:
    result = call("import", "--help")
    assert result.status == 0
    assert all(f"  {name}" in result.out for name in CORPORA)
    for name in CORPORA:
        corpus = corpus_named(name)
        assert corpus.name == name
        result = call("import", name, "--help")
        assert result.status == 0
        assert "--out PATH" in result.out
        assert "--restart" in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["librispech", "x"], "there is no corpus 'librispech'; did you mean 'librispeech'?"),
        (["--out", "x", "folder"], "the corpus comes first"),
        (["folder", "nowhere", "--out", "x"], "nowhere: does not exist; expected the folder of the corpus"),
        (["folder", ".", "--out", "x", "--workers", "0"], "workers: must be at least 1"),
        (["folder", ".", "--out", "x", "--text", "table"], "text: 'table' needs the option table"),
    ],
)
def test_what_is_wrong_is_one_sentence(
    arguments: list[str], said: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("import", *arguments)
    assert result.status == 2
    assert result.err.startswith("duolect import: ")
    assert said in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "x").exists()
