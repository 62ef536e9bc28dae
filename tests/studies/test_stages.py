"""Stages are kept by content, made once, in order, side by side, by real processes that may fail or be killed."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

import duolect
from duolect.errors import ConfigError, DuolectError
from duolect.studies.stages import Stage, Store, in_order
from duolect.studies.stages.code import _bare, code_fingerprint
from duolect.studies.stages.devices import device_of
from duolect.studies.stages.launchers import Call, Local, WorkerProcess
from duolect.studies.stages.runner import run_stages
from duolect.studies.stages.slurm import Queue, Slurm, StageJob
from tests.studies.toy_stages import Sum, Twice, diamond, interrupted, on_gpus, told_to_end

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


def quiet() -> Console:
    return Console(file=io.StringIO(), width=200)


def call(root: Path, **arguments: object) -> Call:
    return Call(root, "tests.studies.toy_stages:diamond", json.dumps(arguments))


def times(store: Store, stage: Sum) -> tuple[float, float]:
    began, ended = (store.folder(stage) / "times").read_text().split()
    return float(began), float(ended)


def test_keys_follow_from_content_and_not_from_names() -> None:
    stages = {stage.name: stage for stage in in_order(diamond())}
    other = {stage.name: stage for stage in in_order(diamond(base=2))}
    assert list(stages) == ["base", "left", "right", "total", "apart"]
    assert stages["apart"].key == other["apart"].key == Sum(name="else", number=7, timed=True).key
    for name in ("base", "left", "right", "total"):
        assert stages[name].key != other[name].key, name
    assert len(in_order([*diamond(), *diamond()])) == 5


def test_what_is_missing_is_made_once_and_in_order(tmp_path: Path) -> None:
    stages = diamond(sleep=0.5)
    found = run_stages(stages, call(tmp_path, sleep=0.5), Local(places=2), quiet())
    assert {outcome.stage.name: outcome.state for outcome in found.values()} == dict.fromkeys(
        ("base", "left", "right", "total", "apart"), "made"
    )
    store = Store(tmp_path)
    assert (store.folder(stages[0]) / "total").read_text() == "112"
    named = {stage.name: stage for stage in in_order(stages)}
    left, right, apart = (times(store, named[name]) for name in ("left", "right", "apart"))
    assert max(left[0], right[0]) < min(left[1], right[1]), "side by side"
    for begin, end in (left, right):
        assert apart[1] <= begin or end <= apart[0], "a timed stage runs alone"
    made = store.made(stages[0])
    assert made is not None
    assert (made.name, made.uses) == ("total", {"left": named["left"].place, "right": named["right"].place})

    again = run_stages(stages, call(tmp_path, sleep=0.5), Local(places=2), quiet())
    assert {outcome.state for outcome in again.values()} == {"stood"}
    assert (store.folder(stages[0]) / "calls").read_text() == "x"


def test_stages_at_once_share_no_gpu_while_there_are_enough(tmp_path: Path) -> None:
    stages = on_gpus()
    call = Call(tmp_path, "tests.studies.toy_stages:on_gpus", "{}")
    run_stages(stages, call, Local(places=3, gpus=8), quiet())
    seen = [(Store(tmp_path).folder(stage) / "gpus").read_text() for stage in stages]
    assert seen == ["0,1,2,3", "4,5", "6"]


def test_a_failure_holds_up_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    console = quiet()
    found = run_stages(diamond(fail=True), call(tmp_path, fail=True), Local(), console)
    assert {outcome.stage.name: outcome.state for outcome in found.values()} == {
        "base": "made",
        "left": "failed",
        "right": "made",
        "total": "held up",
        "apart": "made",
    }
    said = console.file.getvalue()  # ty: ignore[unresolved-attribute]
    assert "left: the sum came out wrong." in said
    assert [stage.name for stage in in_order(diamond(fail=True)) if Store(tmp_path).has_failed(stage)] == ["left"]
    assert "not made: sum · total, for want of left" in said


def test_what_failed_before_waits_for_all_else(tmp_path: Path) -> None:
    def order() -> list[str]:
        console = quiet()
        run_stages(diamond(), call(tmp_path), Local(places=2), console)
        said = console.file.getvalue()  # ty: ignore[unresolved-attribute]
        return [line.split()[-1] for line in said.splitlines() if "begins:" in line]

    stages = {stage.name: stage for stage in in_order(diamond())}
    Store(tmp_path).make(stages["base"], quiet())
    Store(tmp_path).note_failure(stages["left"], True)
    assert order() == ["right", "apart", "left", "total"]
    assert not Store(tmp_path).has_failed(stages["left"])


def test_time_is_kept_and_the_rest_is_left_for_the_next_call(tmp_path: Path) -> None:
    found = run_stages(diamond(sleep=30), call(tmp_path, sleep=30), Local(places=2), quiet(), seconds=4)
    states = {outcome.stage.name: outcome.state for outcome in found.values()}
    assert states["base"] == "made"
    assert states["left"] == states["right"] == states["total"] == "not begun"
    assert {o.state for o in run_stages(diamond(), call(tmp_path), Local(places=2), quiet()).values()} == {
        "stood",
        "made",
    }


def test_two_calls_at_once_make_each_stage_once(tmp_path: Path) -> None:
    code = """
import io, sys
from pathlib import Path
from rich.console import Console
from tests.studies.test_stages import Local, call, diamond, run_stages
found = run_stages(diamond(0.5), call(Path(sys.argv[1]), sleep=0.5), Local(places=2), Console(file=io.StringIO()))
assert all(outcome.good for outcome in found.values())
"""
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    for stage in in_order(diamond()):
        assert (Store(tmp_path).folder(stage) / "calls").read_text() == "x", stage.name


def test_a_killed_stage_is_taken_up_again_and_its_time_counted(tmp_path: Path) -> None:
    stage = Sum(name="apart", number=7, timed=True)
    command = [sys.executable, "-m", "duolect.studies.stages.worker", str(tmp_path)]
    made_of = ["tests.studies.toy_stages:diamond", json.dumps({"sleep": 60}), stage.key]
    process = subprocess.Popen([*command, *made_of], cwd=ROOT)
    calls = tmp_path / stage.place / "calls"
    deadline = time.monotonic() + 60
    while not calls.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Store(tmp_path).made(stage) is None
    Store(tmp_path).make(stage, quiet())
    assert calls.read_text() == "xx"
    assert Store(tmp_path).made(stage) is not None


def test_a_stage_that_somebody_else_stops_has_not_failed(tmp_path: Path) -> None:
    """It is gone on with by the next call, and so is what uses it."""
    stages, asked = told_to_end(), Call(tmp_path, "tests.studies.toy_stages:told_to_end", "{}")
    console = quiet()
    found = run_stages(stages, asked, Local(), console)
    assert {outcome.stage.name: outcome.state for outcome in found.values()} == dict.fromkeys(
        ("first", "then"), "not begun"
    )
    said = console.file.getvalue()  # ty: ignore[unresolved-attribute]
    assert "interrupted: interrupted · first" in said
    assert "FAILED" not in said
    assert not any(Store(tmp_path).has_failed(stage) for stage in in_order(stages))
    assert {outcome.state for outcome in run_stages(stages, asked, Local(), quiet()).values()} == {"made"}


@pytest.mark.parametrize(("status", "ends"), [("0", False), ("130", True), ("1", None)])
def test_a_job_knows_whether_its_worker_was_stopped(tmp_path: Path, status: str, ends: bool | None) -> None:
    job = StageJob(["sh", "-c", f"exit {status}"], tmp_path / "log")
    if ends is None:
        with pytest.raises(DuolectError, match="log: the worker failed"):
            job()
    else:
        assert job() is ends


def test_a_worker_that_is_told_before_it_listens_was_interrupted_too(tmp_path: Path) -> None:
    job = WorkerProcess.start(["sleep", "60"], tmp_path / "log")
    job.stop()
    job.join()
    assert (job.failed(), job.interrupted()) == (True, True)
    assert (tmp_path / "log").read_text() == ""


def test_a_worker_that_was_killed_is_told_of(tmp_path: Path) -> None:
    (stage,) = interrupted()
    job = Local().start(Call(tmp_path, "tests.studies.toy_stages:interrupted", "{}"), stage)
    job.process.kill()
    job.join()
    assert [job.failed(), job.failed()] == [True, True]
    assert job.log.read_text() == "duolect: ended by SIGKILL; was there enough memory?\n"


def test_every_room_of_a_stage_is_there() -> None:
    package = Path(duolect.__file__).parent
    waiting: list[type[Stage]] = [Stage]
    found: set[str] = set()
    while waiting:
        for kind in waiting.pop().__subclasses__():
            waiting.append(kind)
            found |= set(kind.rooms)
    assert {"training", "systems/prior.py", "studies/sampled_text.py"} <= found
    assert [room for room in found if not (package / room).exists()] == []


def test_jobs_of_submitit_do_the_same(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    found = run_stages(diamond(), call(tmp_path), Slurm(cluster="local"), quiet())
    assert {outcome.state for outcome in found.values()} == {"made"}
    assert (Store(tmp_path).folder(diamond()[0]) / "total").read_text() == "112"


def test_a_job_whose_time_is_up_is_queued_again(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    (stage,) = interrupted()
    job = Slurm(cluster="local").start(Call(tmp_path, "tests.studies.toy_stages:interrupted", "{}"), stage)
    calls, deadline = Store(tmp_path).folder(stage) / "calls", time.monotonic() + 120
    while not calls.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if b"submitit.core._submit" in command and bytes(tmp_path) in command:
                os.kill(int(process.name), signal.SIGUSR2)  # as SLURM gives notice
    while job.failed() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert job.failed() is False, job.log.read_text()
    assert calls.read_text() == "xx"
    assert Store(tmp_path).made(stage) is not None


def test_a_failed_job_shows_what_its_worker_said(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    console = quiet()
    found = run_stages(diamond(fail=True), call(tmp_path, fail=True), Slurm(cluster="local"), console)
    assert {o.stage.name: o.state for o in found.values()}["left"] == "failed"
    assert "duolect: left: the sum came out wrong." in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_job_that_is_no_longer_listed_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed, squeue = tmp_path / "listed", tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\n. {listed}\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def seen(queue: Queue, *answers: str) -> list[bool]:
        found = []
        for answer in answers:
            listed.write_text(answer)
            found.append(queue.has_lost("7"))
        return found

    unreachable, purged = "echo no controller >&2; exit 1", "echo Invalid job id specified >&2; exit 1"
    assert seen(Queue(seconds=0.0), "echo RUNNING", "true", "true") == [False, False, True]
    assert seen(Queue(seconds=0.0), "true", "echo PENDING", purged, purged) == [False, False, False, True]
    assert seen(Queue(seconds=0.0), unreachable, unreachable, unreachable) == [False, False, False]
    assert seen(Queue(seconds=3600.0), "true", "true", "true") == [False, False, False]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"slurm_nosuch": 3}, "--slurm.*Unknown argument 'nosuch'"), ({"timeout_min": "long"}, "--slurm.*timeout_min")],
)
def test_parameters_that_no_job_has_are_named(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(ConfigError, match=said):
        Slurm(cluster="local", settings=settings).start(call(tmp_path), diamond()[0])


def test_bad_input_is_named(tmp_path: Path) -> None:
    total = diamond()[0]
    with pytest.raises(DuolectError, match=r"total: left .*has not been made"):
        Store(tmp_path).make(total, quiet())
    folder = tmp_path / total.place
    (folder / "stage.json").write_text('{"kind": "sum"}')
    with pytest.raises(DuolectError, match="is not the record of a stage"):
        Store(tmp_path).made(total)
    worker = [sys.executable, "-m", "duolect.studies.stages.worker", str(tmp_path)]
    done = subprocess.run(
        [*worker, "tests.studies.toy_stages:diamond", "{}", "0" * 16], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "gives no stage 0000000000000000" in done.stderr


@pytest.mark.parametrize("leaves", [True, False])
def test_what_goes_on_from_other_code_is_of_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leaves: bool) -> None:
    """Code that is edited while a stage is made does not count; what fails and leaves nothing begins anew."""
    store, code = Store(tmp_path), ["first"]
    monkeypatch.setattr("duolect.studies.stages.store.code_fingerprint", lambda _: code[0])
    stage = Twice(name="twice", leaves=leaves, edited=lambda: code.__setitem__(0, "second"))
    with pytest.raises(DuolectError, match="not at once"):
        store.make(stage, quiet())
    store.make(stage, quiet())
    made = store.made(stage)
    assert made is not None
    assert made.code == ("first" if leaves else "second")
    assert (store.state(stage) == "stands") is not leaves
    assert made.seconds >= 0.4, "of both calls"


def test_code_is_what_runs() -> None:
    assert _bare('"""Text."""\nx = 1  # why\n') == _bare("x   =   1\n")
    assert _bare("x = 1\n") != _bare("x = 2\n")
    assert code_fingerprint(("text",)) == code_fingerprint(("text",)) != code_fingerprint(("audio",))
    one, two = code_fingerprint(("systems/prior.py",)), code_fingerprint(("search/priors.py",))
    assert len({one, two, code_fingerprint(()), code_fingerprint(("systems",))}) == 4


def test_a_stage_that_finds_too_few_gpus_says_so() -> None:
    assert device_of(Sum(name="sum")) == device_of(Sum(name="sum", gpus=-1)) == "cpu"
    with pytest.raises(DuolectError, match=r"^sum: needs 100 GPUs, and torch finds \w+ here; --set gpus=N asks for"):
        device_of(Sum(name="sum", gpus=100))
