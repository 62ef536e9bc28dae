"""`duolect score` under the leaderboard's regimes: hypothesis files, result files, and writing these."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from command_line import Call

pytest.importorskip("whisper_normalizer")

from duolect.cli import score as command
from duolect.evaluation import NORMALISERS, HypothesisRow, write_run

ROWS = [("Mr. Smith's twenty white papers", "mister smiths 20 wide papers"), ("(noise)", "hello"), ("fine", "fine")]


@pytest.fixture
def hyps(tmp_path: Path) -> Path:
    rows = [HypothesisRow(id=str(n), reference=r, text=h, duration=2.0) for n, (r, h) in enumerate(ROWS)]
    write_run(tmp_path / "ami_cleaned_test.jsonl", rows)
    return tmp_path / "ami_cleaned_test.jsonl"


def test_the_command_knows_every_normaliser() -> None:
    assert get_args(command.Normaliser) == ("auto", *NORMALISERS)


def test_the_regime_is_said_below_the_table(hyps: Path, call: Call) -> None:
    said = call("score", hyps, "--normaliser", "open-asr-2026-08").out
    said = " ".join(said.split())
    assert "normaliser open-asr-2026-08 (rules of open_asr_leaderboard d1e99b2, whisper-normalizer" in said
    assert "compounds merged" in said
    assert "Utterances with an empty reference, not scored: 1." in said
    assert "normaliser plain; aligned by" in " ".join(call("score", hyps).out.split())


def test_a_submission_is_written_and_scored_again_to_the_same_number(hyps: Path, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "out"
    written = call("score", hyps, "--submit", out, "--model-id", "lab/model", "--markdown")
    assert written.status == 0, written.err
    assert "Note: the average is of 1 of 7 sets; not there: gigaspeech_cleaned_test" in written.err
    assert "'time' is null" in written.err
    (path,) = (out / "results").iterdir()
    assert str(path) in written.err
    assert len(path.read_text().splitlines()) == 2
    again = call("score", "--leaderboard", out, "--markdown")
    assert again.out == written.out
    assert "| 14.29 |" in again.out  # "smith s" and "smiths" are the same; one error in seven words
    assert "RTFx" not in again.out.splitlines()[2]
    assert call("score", "--leaderboard", out, "--model-id", "lab/model", "--normaliser", "plain").status == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{hyps}", "--leaderboard", "x"], "--leaderboard: scores a folder of result files"),
        (["{hyps}", "--submit", "x"], "--submit: --model-id ORGANISATION/NAME is missing"),
        (["{hyps}", "--model-id", "a/b"], "--model-id: belongs to --submit and --leaderboard"),
        (["{hyps}", "--submit", "x", "--model-id", "a/b", "--by", "speaker"], "--by: does not go with --submit"),
        (["--leaderboard", "x", "--panel"], "--panel: does not go with --leaderboard"),
        (["--leaderboard", "x", "--submit", "y"], "--submit: writes hypothesis files as result files"),
        (["--leaderboard", "{hyps}"], "holds no result file of the leaderboard"),
        ([], "no hypothesis file is given"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], sentence: str, hyps: Path, call: Call) -> None:
    assert sentence in call("score", *(argument.format(hyps=hyps) for argument in arguments)).sentence()


def test_hypotheses_of_two_regimes_data_are_not_submitted_together(hyps: Path, tmp_path: Path, call: Call) -> None:
    row = json.loads(hyps.read_text().splitlines()[0]) | {"regime": "open-asr-2026-03"}
    (tmp_path / "spgispeech_test.jsonl").write_text(json.dumps(row) + "\n")
    files = (hyps, tmp_path / "spgispeech_test.jsonl")
    refused = call("score", *files, "--submit", tmp_path / "out", "--model-id", "lab/model")
    assert "is of the sets of open-asr-2026-03, but open-asr-2026-08 was asked for" in refused.sentence()
