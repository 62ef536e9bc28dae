"""`duolect study`: run, gone on with, interrupted, failing, planned and listed, with real worker processes."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from command_line import Call, toy_process

from duolect.evaluation import score_file
from duolect.studies import catalogue, engine
from duolect.studies.catalogue import build_scale, build_study, only
from duolect.studies.stages import Store, in_order
from tests.studies.toy_study import TOYS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process and its workers."""
    monkeypatch.setattr(catalogue, "STUDIES", {**catalogue.STUDIES, **TOYS})
    monkeypatch.setattr(engine, "_SOURCE", "tests.studies.toy_study:stages_of")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def test_a_study_of_real_systems(tmp_path: Path, call: Call) -> None:
    row, settings = "attention decoder alone, α 1", {"size": "tiny", "acoustic_steps": 3}
    given = ["joint-ctc", "--only", row, "--set", *(f"{name}={value}" for name, value in settings.items())]
    first = call("study", *given, "--out", tmp_path)
    assert first.status == 0, first.err
    study = only(build_study("joint-ctc", build_scale("demo", settings=settings)), [row])
    store, stages = Store(tmp_path / "stages"), in_order(study.stages)
    assert [stage.kind for stage in stages] == ["corpus", "training", "recognition"]
    report = (tmp_path / "demo" / "joint-ctc" / "report.md").read_text(encoding="utf-8")
    score = score_file(store.folder(stages[-1]) / "hyps.jsonl")
    assert f"| {row} | {100 * score.wer:.2f} |" in report
    assert "4.71 %" in report
    again = call("study", *given, "--out", tmp_path)
    assert again.status == 0
    assert "3 stages, 3 of which stand" in again.err
    assert "begins" not in again.err
    anew = call("study", *given, "--out", tmp_path, "--retime")
    assert anew.status == 0
    assert f"to be made anew: recognition · {row}, seed 1" in anew.err
    assert [line.split()[1] for line in anew.err.splitlines() if "begins" in line] == ["recognition"]
    assert score_file(store.folder(stages[-1]) / "hyps.jsonl") == score


def test_two_calls_at_once_make_each_stage_once(tmp_path: Path) -> None:
    both = [toy_process("study", "toy-translation", "--only", "much", "--out", tmp_path) for _ in range(2)]
    for each in both:
        _, err = each.communicate(timeout=120)
        assert each.returncode == 0, err
    store, study = Store(tmp_path / "stages"), build_study("toy-translation", build_scale("demo"))
    stages = in_order(only(study, ["much"]).stages)
    assert (store.folder(stages[0]) / "calls").read_text() == "x"
    assert all(store.made(stage) is not None for stage in stages)
    raw = (tmp_path / "demo" / "toy-translation" / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["entry"] for line in raw] == ["much"]


def test_a_failure_is_shown_and_the_rest_is_made(tmp_path: Path, call: Call) -> None:
    failed = call("study", "toy-broken", "--out", tmp_path, "--jobs", 2)
    assert failed.status == 1
    assert "broken, seed 1: the loss is not finite at step 7." in failed.err
    assert "broken, seed 1: not made." in (tmp_path / "demo" / "toy-broken" / "report.md").read_text()
    raw = (tmp_path / "demo" / "toy-broken" / "rows.jsonl").read_text().splitlines()
    assert [json.loads(line)["entry"] for line in raw] == ["good"]
    page = call("study", "--report", tmp_path, "--docs", tmp_path / "docs")
    assert page.out.split() == [str(tmp_path / name) for name in ("report.html", "docs/toy-broken.md")]


def test_reports_are_left_as_they_are_while_data_are_out_of_sight(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, out, docs = tmp_path / "disk", tmp_path / "out", tmp_path / "docs"
    disk.mkdir()
    for split in ("train", "dev", "test"):
        (disk / f"{split}.jsonl").write_text(f'{{"audio_filepath": "a.wav", "duration": 1.0, "text": "{split}"}}\n')
    monkeypatch.chdir(disk)
    data = [f"{split}={split}.jsonl" for split in ("train", "dev", "test")]
    ran = call("study", "toy-given", "--scale", "small", "--data", *data, "--seeds", 1, "--out", out, "--docs", docs)
    assert ran.status == 0, ran.err
    pages = [out / "small" / "toy-given" / name for name in ("rows.jsonl", "report.md", "report.html")]
    pages += [out / "report.html", docs / "toy-given.md"]
    before = [page.read_bytes() for page in pages]
    assert before[0].count(b"\n") == 2

    monkeypatch.chdir(tmp_path)
    pages[0].unlink()
    assert call("study", "--report", out, "--docs", docs).status == 0
    assert [page.read_bytes() for page in pages] == before
    disk.rename(tmp_path / "unmounted")
    gone = call("study", "--report", out, "--docs", docs)
    assert gone.status == 2
    assert f"{out}/small/toy-given: left as it is: {disk}/dev.jsonl: there is no such dev data." in gone.err
    assert "none of the studies that were run there can be reported; all is left as it is" in gone.err
    assert [page.read_bytes() for page in pages] == before
    assert call("study", "toy-translation", "--only", "much", "--out", out).status == 0
    assert call("study", "--report", out).status == 0
    assert [page.read_bytes() for page in pages[:3]] == before[:3]
    disk.mkdir()
    for split in ("train", "dev", "test"):
        (disk / f"{split}.jsonl").write_text('{"audio_filepath": "a.wav", "duration": 1.0, "text": "else"}\n')
    other = call("study", "--report", out)
    assert "small/toy-given: left as it is: nothing stands of what is asked for there today" in other.err
    assert [page.read_bytes() for page in pages[:3]] == before[:3]


def test_ctrl_c_and_time_limits_end_cleanly_and_are_gone_on_from(tmp_path: Path, call: Call) -> None:
    limited = call("study", "toy-slow", "--out", tmp_path, "--jobs", 2, "--until", 4)
    assert limited.status == 3, limited.err
    assert "the same command goes on" in limited.err
    assert "slow, seed 1: not made." in (tmp_path / "demo" / "toy-slow" / "report.md").read_text()
    running = toy_process("study", "toy-slow", "--out", tmp_path)
    assert running.stderr is not None
    while "begins" not in (line := running.stderr.readline()):
        assert line, "it ended before it began a stage"
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert err.splitlines()[-1] == "duolect study: interrupted."
    assert "Traceback" not in err
    slow = build_study("toy-slow", build_scale("demo")).entries[1].runs[1]
    assert Store(tmp_path / "stages").made(slow) is None


def test_time_that_is_up_is_said_whatever_else_went_wrong(tmp_path: Path, call: Call) -> None:
    ended = call("study", "toy-broken", "toy-lacking", "--out", tmp_path)
    assert "FAILED: spoken · broken, seed 1" in ended.err
    assert "--data llm=PATH is missing" in ended.err
    assert ended.status == 1, ended.err
    short = call("study", "toy-broken", "toy-lacking", "toy-slow", "--out", tmp_path, "--until", 3)
    assert short.status == 3, short.err
    assert "begins: spoken · broken" not in short.err  # while others wait


def test_a_plan_needs_no_data_and_makes_nothing(tmp_path: Path, call: Call) -> None:
    row = "attention decoder alone, α 1"
    planned = call("study", "joint-ctc", "--only", row, "--dry-run", "--out", tmp_path / "out")
    assert planned.status == 0, planned.err
    assert "recognition · attention decoder alone, α 1, seed 1" in planned.out
    assert "3 stages: 0 stand, 3 are to be made." in planned.out
    assert "1 training" in planned.out
    assert not list((tmp_path / "out").glob("stages/[a-z]*"))
    lacking = call("study", "toy-lacking", "--dry-run", "--out", tmp_path / "out")
    assert lacking.status == 0
    assert "spoken · many, seed 1" in lacking.out


def test_all_studies_are_listed_with_what_they_ask(tmp_path: Path, call: Call) -> None:
    listed = call("study", "--list", "--out", tmp_path)
    assert listed.status == 0
    for name in catalogue.STUDIES:
        assert f"\n{name}\n" in f"\n{listed.out}"
    assert "Does it matter how the LLM attends to the audio" in listed.out
    assert "published: Few are better than many. (a toy)" in listed.out
    assert "3 rows, 5 stages at scale demo, 0 of which stand" in listed.out


def test_bad_input_is_one_sentence(tmp_path: Path, call: Call) -> None:
    def sentence(*arguments: object) -> str:
        return call("study", *arguments, "--out", tmp_path / "out").sentence()

    assert "Did you mean 'interface'?" in sentence("interfase")
    assert "name a study" in sentence()
    assert "no entry 'most'; known are 'many'" in sentence("toy", "--only", "most")
    assert "expected whole numbers" in sentence("toy", "--seeds", "1,two")
    assert "expected NAME=VALUE, not 'llm'" in sentence("toy", "--data", "llm")
    assert "takes no data called 'speech'" in sentence("toy", "--data", "speech=x")
    assert "did you mean 'acoustic_steps'" in sentence("toy", "--set", "acustic_steps=3")
    assert "belongs to --slurm" in sentence("toy", "--slurm.partition", "gpu")
    assert "at least one stage must run at once" in sentence("toy", "--jobs", "0")
    assert "gpus must be 0 or more, not -1" in sentence("toy", "--gpus", "-1")
    assert "no study has been run" in call("study", "--report", tmp_path).sentence()
    assert "--data llm=PATH is missing" in sentence("toy-lacking", "--only", "many")
    lacking = call("study", "toy-lacking", "--out", tmp_path / "out")
    assert lacking.status == 2
    assert "--data llm=PATH is missing at scale demo; llm is a causal LLM" in lacking.err
    assert not (tmp_path / "out").exists()
