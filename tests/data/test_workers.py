"""Workers live as long as the process they work for: not shorter, whoever sends signals, and not longer."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from duolect.data.batching import BatchConfig, SpeechBatches
from duolect.data.loader import SpeechLoader
from duolect.data.manifest import Utterance
from duolect.data.workers import stand_by_parent

Make = Callable[..., list[Utterance]]
ONE_EACH = BatchConfig(max_utterances=1, buckets=1)


def _signal(name: str, workers: list[str]) -> None:
    subprocess.run(["kill", f"-{name}", *workers], check=True)


def _workers() -> list[str]:
    return sorted(str(child.pid) for child in multiprocessing.active_children())


def _stand_by_parent_late(worker: int) -> None:
    time.sleep(0.5)
    stand_by_parent(worker)


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_signals_at_their_birth_change_nothing(
    make_corpus: Make, letters: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("duolect.data.loader.stand_by_parent", _stand_by_parent_late)
    batches = iter(SpeechLoader(SpeechBatches(make_corpus(["a", "b", "c"]), ONE_EACH), letters, workers=2))

    def signal_newborn() -> list[str]:
        while len(born := _workers()) < 2:
            time.sleep(0.01)
        _signal(name, born)
        return born

    with ThreadPoolExecutor() as beside:
        born = beside.submit(signal_newborn)
        assert [len(next(batches)) for _ in range(12)] == [1] * 12
    assert _workers() == born.result()


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_what_others_send_to_workers_changes_nothing(make_corpus: Make, letters: Any, name: str) -> None:
    source = SpeechLoader(SpeechBatches(make_corpus(["a", "b", "c"]), ONE_EACH), letters, workers=2)
    batches = iter(source)
    next(batches)
    workers = _workers()
    assert len(workers) == 2
    _signal(name, workers)
    time.sleep(0.3)
    assert [len(next(batches)) for _ in range(12)] == [1] * 12
    assert _workers() == workers


def _load(utterances: list[Utterance], letters: Any, file: Path, fails: bool) -> None:
    batches = iter(SpeechLoader(SpeechBatches(utterances, ONE_EACH), letters, workers=2))
    next(batches)
    partial = file.with_suffix(".partial")
    partial.write_text(" ".join(_workers()))
    partial.rename(file)
    if fails:  # the loader then lives on in the error's traceback until the process has ended
        raise RuntimeError("a bug")
    time.sleep(60)


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
@pytest.mark.parametrize("how", ["killed", "failed"])
def test_no_worker_is_left_behind(tmp_path: Path, make_corpus: Make, letters: Any, how: str) -> None:
    """Nor one that waits for room to hand over a batch: two of them are more than a pipe takes."""
    file, utterances = tmp_path / "workers", make_corpus(["a" * 200_000 for _ in range(6)])
    arguments = (utterances, letters, file, how == "failed")
    process = multiprocessing.get_context("fork").Process(target=_load, args=arguments)
    process.start()
    deadline = time.monotonic() + 20
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = file.read_text().split()
    assert len(workers) == 2
    if how == "killed":
        time.sleep(0.3)  # the pipe is full
        os.kill(process.pid or 0, signal.SIGKILL)
    process.join(20)
    assert process.exitcode == (-signal.SIGKILL if how == "killed" else 1)
    while any(map(_lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_lives, workers))
