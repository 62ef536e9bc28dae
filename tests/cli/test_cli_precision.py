"""--precision bf16, as it is typed."""

from __future__ import annotations

from pathlib import Path

from command_line import Call

from duolect.data import load_manifest
from duolect.data.synthetic import Corpus
from duolect.evaluation import read_run


def test_recognize(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "h.jsonl"
    given = ("recognize", system, corpus.test, "--method", "speech-llm+ctc", "--out", out)
    assert call(*given, "--precision", "bf16").status == 0
    rows, record = read_run(out)
    assert record is not None
    assert record.precision == "bfloat16"
    assert call(*given).status == 0
    stored, other = read_run(out)
    assert other is not None
    assert other.precision == "float32"
    assert [row.id for row in rows] == [row.id for row in stored]
    assert [row.score for row in rows] != [row.score for row in stored]
    assert sum(row.text == other.text for row, other in zip(rows, stored, strict=True)) >= len(rows) / 2


def test_transcribe(system: Path, corpus: Corpus, call: Call) -> None:
    sound = load_manifest(corpus.test)[0].audio_filepath
    assert call("transcribe", sound, "--system", system, "--precision", "bf16").status == 0


def test_compare(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    given = ("compare", f"greedy={system}:ctc-greedy", "--manifest", corpus.test, "--out", tmp_path)
    assert call(*given, "--precision", "bf16").status == 0
    record = read_run(tmp_path / "hypotheses" / "greedy.jsonl")[1]
    assert record is not None
    assert record.precision == "bfloat16"
