"""`duolect perplexity`, and `combine --llm` for an LLM as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import Call
from tiny_llm import make_llm

from duolect.data.synthetic import Corpus


def test_a_trained_model_beside_an_llm_as_it_is(call: Call, runs: Path, corpus: Corpus, tmp_path: Path) -> None:
    llm = make_llm(tmp_path / "llm", Path(corpus.dev))
    made = call("combine", "--llm", llm, "--out", tmp_path / "base")
    assert (made.status, made.out) == (0, f"{tmp_path / 'base'}: language; no search\n")
    text, out = tmp_path / "text.txt", tmp_path / "out.json"
    text.write_text("東京\n")
    done = call("perplexity", runs / "lm", tmp_path / "base", corpus.dev, text, "--device", "cpu", "--out", out)
    assert done.status == 0, done.err
    assert "sentence ends, which are tokens and stand for a word each" in done.out
    report = json.loads(out.read_text())
    left_out = {entry["place"] for entry in report["left_out"]}
    assert f"{text}:1" in left_out
    assert f"{len(left_out)} sentence" in done.err
    assert f"{text}:1: {runs / 'lm'}: The character" in done.err
    rows = report["rows"]
    assert [row["system"] for row in rows] == [str(runs / "lm"), str(tmp_path / "base")]
    assert rows[0]["words"] == rows[1]["words"]
    assert all(f"{row['per_word']:,.2f}" in done.out for row in rows)
    dev = [json.loads(line) for line in (runs / "lm" / "log.jsonl").read_text().splitlines()][-1]
    assert abs(rows[0]["per_word"] - dev["dev_perplexity_word"]) < 1e-3 * rows[0]["per_word"]


def test_the_sum_is_told_from_a_text_that_is_called_all(
    call: Call, runs: Path, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("all").write_text("the cat\n")
    Path("lm").symlink_to(runs / "lm")  # long paths would be broken into lines
    Path("dev.jsonl").symlink_to(corpus.dev)
    lines = call("perplexity", "lm", "all", "dev.jsonl", "--device", "cpu").out.splitlines()
    assert [line.split()[0] for line in lines if " lm " in line] == ["all", "dev.jsonl", "all"]
    assert sum(line.strip().startswith("all 2 texts ") for line in lines) == 1


def test_what_is_missing_is_one_sentence(call: Call, runs: Path, corpus: Corpus, tmp_path: Path) -> None:
    assert "no system is given" in call("perplexity", corpus.dev).sentence()
    for paths in ((runs / "ml", corpus.dev), (runs / "lm", runs / "ml", corpus.dev), (corpus.dev, runs / "ml")):
        assert f"{runs / 'ml'}: the text cannot be read, nor a system, for " in call("perplexity", *paths).sentence()
    twice = call("perplexity", runs / "lm", corpus.dev, corpus.dev, "--device", "cpu").sentence()
    assert f"{corpus.dev}: is the same text as {corpus.dev}, and would count twice" in twice
    assert "no text is given" in call("perplexity", runs / "lm").sentence()
    assert "has no language model, only acoustic" in call("perplexity", runs / "am", corpus.dev).sentence()
    assert "the text cannot be read" in call("perplexity", runs / "lm", tmp_path / "none.txt").sentence()
    refused = call("perplexity", runs / "lm", runs / "other", corpus.dev, "--device", "cpu")
    assert "there is no sentence that every model can spell; the first," in refused.sentence()
    both = call("combine", "--llm", "x", "--language", runs / "lm", "--out", tmp_path / "s")
    assert "--language and --llm both name the language model" in both.sentence()
    assert "no model is given" in call("combine", "--out", tmp_path / "s").sentence()
