"""`duolect study search`: every way to search with one system, tuned, scored, and taken up again."""

from __future__ import annotations

from pathlib import Path

from command_line import Call

from duolect.data.synthetic import Corpus
from duolect.evaluation import read_run, score_file


def test_the_study_of_searches(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    names = ("ctc-greedy", "ctc+lm-labelwise", "ctc+lm-labelwise, no prior")
    given = ("--system", system, "--dev", corpus.dev, "--test", corpus.test, "--out", tmp_path / "study")
    first = call("study", "search", *given, "--only", *names)
    assert first.status == 0, first.err
    report = (tmp_path / "study" / "report.md").read_text(encoding="utf-8")
    assert [line.split("|")[1].strip() for line in report.splitlines() if line.startswith("| c")] == list(names)
    assert "Forwards/s" in report
    for name in names:
        file = tmp_path / "study" / "hypotheses" / f"{name}.jsonl"
        assert f"{100 * score_file(file).wer:.2f}" in report
    _, record = read_run(file)
    assert record is not None
    assert record.search["inside"]["prior"] == 0.0
    assert record.search["tuning"]["set_name"] == str(corpus.dev)
    assert not record.search["tuned_on_this_set"]
    labels = record.statistics["lm.labels"] / record.audio_seconds
    assert f" {labels:.0f} |" in report
    stamp = file.stat().st_mtime_ns
    again = call("study", "search", *given, "--only", *names)
    assert "tuning" not in again.err
    assert file.stat().st_mtime_ns == stamp
    assert (tmp_path / "study" / "report.md").read_text(encoding="utf-8") == report


def test_what_a_study_cannot_do_is_told(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    given = ("--system", system, "--dev", corpus.dev, "--test", corpus.test, "--out", tmp_path / "study")
    assert "there is no variant 'ctc-gready'" in call("study", "search", *given, "--only", "ctc-gready").sentence()
    assert "there is no study 'serch'" in call("study", "serch").sentence()
    assert "search" in call("study", "--list").out
