"""LibriSpeech as openslr.org/12 lays it out."""

from pathlib import Path

import pytest
from corpus_files import imported, lines, rows, skipped, sound

from duolect.data import load_manifest
from duolect.errors import ManifestError

SPEAKERS = (
    "; Some pipe(|) separated metadata about all LibriVox readers, whose work was used",
    ";ID  |SEX| SUBSET           |MINUTES| NAME",
    "84   | F | dev-clean        | 8.02  | Christie Nowak",
    "103  | M | train-clean-100  | 25.03 | Karen Savage | and friends",
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "LibriSpeech"
    lines(root / "SPEAKERS.TXT", *SPEAKERS)
    chapter = root / "dev-clean/84/121123"
    lines(chapter / "84-121123.trans.txt", "84-121123-0000 GO DO YOU HEAR", "84-121123-0001 BUT  I'M HERE")
    for number in (0, 1):
        sound(chapter / f"84-121123-000{number}.flac", 0.2 + 0.1 * number)
    other = root / "train-clean-100/103/1240"
    lines(other / "103-1240.trans.txt", "103-1240-0000 CHAPTER ONE")
    sound(other / "103-1240-0000.flac")
    return root


@pytest.mark.parametrize("above", [False, True])
def test_subsets_become_manifests(corpus: Path, tmp_path: Path, above: bool) -> None:
    made = imported("librispeech", corpus.parent if above else corpus, tmp_path / "out")
    assert [(split.name, split.utterances, split.skipped) for split in made.splits] == [
        ("dev-clean", 2, 0),
        ("train-clean-100", 1, 0),
    ]
    assert rows(tmp_path / "out/dev-clean.jsonl")[1] == {
        "audio_filepath": str(corpus / "dev-clean/84/121123/84-121123-0001.flac"),
        "duration": 0.3,
        "text": "but i'm here",
        "speaker": "84",
        "lang": "en",
        "id": "84-121123-0001",
        "corpus": "librispeech",
        "subset": "dev-clean",
        "chapter": "121123",
        "gender": "female",
    }
    assert load_manifest(tmp_path / "out/train-clean-100.jsonl")[0].fields["gender"] == "male"


def test_the_case_can_be_kept_and_splits_chosen(corpus: Path, tmp_path: Path) -> None:
    made = imported("librispeech", corpus, tmp_path / "out", splits=("dev-clean",), case="keep")
    assert [split.name for split in made.splits] == ["dev-clean"]
    assert load_manifest(tmp_path / "out/dev-clean.jsonl")[1].text == "BUT I'M HERE"


def test_what_is_missing_or_mangled_is_listed(corpus: Path, tmp_path: Path) -> None:
    chapter = corpus / "dev-clean/84/121123"
    transcripts = lines(
        chapter / "84-121123.trans.txt",
        "84-121123-0000 GO DO YOU HEAR",
        "84-121123-0001",
        "84-121123-0002 NOBODY RECORDED THIS",
        "84_121123_0004 WRONG",
        "84-121123-0000 TWICE",
    )
    sound(chapter / "84-121123-0003.flac")
    (chapter / "84-121123-0005.flac").write_bytes(b"not flac")
    imported("librispeech", corpus, tmp_path / "out", splits=("dev-clean",))
    assert [row["id"] for row in rows(tmp_path / "out/dev-clean.jsonl")] == ["84-121123-0000"]
    why = skipped(tmp_path / "out/dev-clean.jsonl")
    assert why["84-121123-0001"] == "no transcript"
    assert why["84-121123-0002"].startswith("audio is missing")
    assert why["84-121123-0003"] == "no transcript"
    assert why[f"{transcripts}:4"].startswith(f"bad line: {transcripts}:4 expected 84-121123-NUMBER")
    assert f"{transcripts}:5" in why


def test_a_transcript_that_is_not_utf_8_is_listed(corpus: Path, tmp_path: Path) -> None:
    transcripts = corpus / "dev-clean/84/121123/84-121123.trans.txt"
    transcripts.write_bytes("84-121123-0000 CAFÉ\n84-121123-0001 BUT\n".encode("latin-1"))
    imported("librispeech", corpus, tmp_path / "out", splits=("dev-clean",))
    assert [row["id"] for row in rows(tmp_path / "out/dev-clean.jsonl")] == ["84-121123-0001"]
    why = {"84-121123-0000": f"bad line: {transcripts}:1 is not valid UTF-8"}
    assert skipped(tmp_path / "out/dev-clean.jsonl") == why


def test_another_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no subset of LibriSpeech"):
        imported("librispeech", tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_mangled_table_of_speakers_is_named(corpus: Path, tmp_path: Path) -> None:
    lines(corpus / "SPEAKERS.TXT", *SPEAKERS, "104  | X | dev-clean")
    with pytest.raises(ManifestError, match=r"SPEAKERS\.TXT:5: expected"):
        imported("librispeech", corpus, tmp_path / "out")
