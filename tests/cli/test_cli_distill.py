"""`duolect distill`: from a manifest to one that a translation model has written the targets of."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Call
from tiny_translators import ENGLISH, GERMAN, nllb

from duolect.data import Utterance, load_manifest, write_manifest


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return nllb(tmp_path_factory.mktemp("translator") / "nllb")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rows = [
        Utterance(audio_filepath=tmp_path / "a.wav", duration=1.0, text=t, id=str(i)) for i, t in enumerate(ENGLISH)
    ]
    write_manifest(
        tmp_path / "m.jsonl", [*rows, Utterance(audio_filepath=tmp_path / "b.wav", duration=1.0, text="", id="no")]
    )
    return tmp_path / "m.jsonl"


def test_a_manifest_is_distilled(model: Path, manifest: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "new" / "out.jsonl"
    result = call("distill", manifest, "--model", model, "--source", "en", "--target", "de", "--out", out)
    assert result.status == 0, result.err
    assert result.out == f"{out}: 0 original and 6 distilled rows\n"
    assert "1 utterance was skipped: no: has no text to translate." in result.err
    rows = load_manifest(out)
    assert [row.translation for row in rows] == GERMAN
    assert {row.fields["distilled_from"] for row in rows} == {str(model)}
    assert rows[0].audio_filepath == tmp_path / "a.wav"


def test_bad_input_is_one_sentence(model: Path, manifest: Path, tmp_path: Path, call: Call) -> None:
    given = ("distill", manifest, "--model", model, "--source", "en", "--out", tmp_path / "out.jsonl")
    assert "has no language 'tlh'; it knows" in call(*given, "--target", "tlh").sentence()
    assert "beam must be at least 1" in call(*given, "--target", "de", "--beam", 0).sentence()
    (tmp_path / "file").write_text("")
    nowhere = ("--target", "de", "--out", tmp_path / "file" / "out.jsonl")
    assert "nothing can be written there" in call(*given[:-2], *nowhere).sentence()
    missing = ("distill", tmp_path / "none.jsonl", *given[2:], "--target", "de")
    assert "none.jsonl: the manifest cannot be read" in call(*missing).sentence()
