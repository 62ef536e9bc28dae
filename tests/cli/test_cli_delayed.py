"""Delayed fusion and counted priors from the command line."""

from __future__ import annotations

from pathlib import Path

from command_line import Call

from duolect.data.synthetic import Corpus
from duolect.evaluation import read_run
from duolect.systems import System


def test_counted_priors_and_the_interval(runs: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    models = ("--acoustic", runs / "am", "--language", runs / "lm", "--method", "ctc+lm-delayed")
    without = call(
        "combine", *models, "--search.prior-kind", "tokens", "--search.inside.prior", 0.1, "--out", tmp_path / "no"
    )
    assert "no prior of the kind 'tokens'; make one with `duolect combine --prior-text`" in without.sentence()
    text = tmp_path / "text.txt"
    text.write_text("The Sailor's sale!\n\u0161nowman\n", encoding="utf-8")
    made = call(
        "combine", *models, "--prior-text", text, corpus.train, "--search.prior-kind", "tokens", "--out", tmp_path / "s"
    )
    assert made.status == 0, made.err
    assert "1 sentence cannot be spelled in the units of language" in made.err
    system = System.load(tmp_path / "s")
    assert system.search is not None
    assert (system.search.prior_kind, system.search.lm_interval) == ("tokens", 20)
    assert system.acoustic is not None
    assert system.acoustic.log_counts_V is not None
    out = tmp_path / "hyps.jsonl"
    given = ("--search.lm-interval", "shortest", "--search.inside.prior", 0.2, "--search.skip-blank", 0.99)
    found = call("recognize", tmp_path / "s", corpus.test, *given, "--out", out)
    assert found.status == 0, found.err
    rows, record = read_run(out)
    assert record is not None
    assert (record.method, record.search["lm_interval"]) == ("ctc+lm-delayed", "shortest")
    assert all(set(row.terms) == {"ctc", "lm", "prior"} for row in rows)
    assert (
        "must be one of"
        in call("recognize", tmp_path / "s", corpus.test, "--search.lm-interval", "often", "--out", out).sentence()
    )
