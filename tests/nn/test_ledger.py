"""Stages within stages: what each took alone, on a clock of our own."""

import random
import threading
from typing import Any

import pytest
import torch

from duolect.nn.ledger import GpuClock, Ledger, stage, staged


class Clock:
    """Goes on only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Model:
    size = 7

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def work(self, seconds: float, *, fail: bool = False) -> float:
        self.clock.now += seconds
        if fail:
            raise ValueError("as asked")
        return seconds


@pytest.mark.parametrize("seed", range(20))
def test_stages_within_stages_sum_to_the_whole(seed: int) -> None:
    """Random trees of stages; what each name took alone is added up beside them."""
    draw, clock = random.Random(seed), Clock()
    ledger, expected = Ledger(clock), dict.fromkeys(["root", "a", "b", "c"], 0.0)

    def run(name: str, depth: int) -> None:
        for _ in range(draw.randrange(4)):
            if depth < 4 and draw.random() < 0.6:
                inner = draw.choice("abc")
                with stage(inner):
                    run(inner, depth + 1)
            else:
                step = draw.randrange(1, 9)
                clock.now += step
                expected[name] += step

    for _ in range(3):
        clock.now += 100  # between two openings nothing counts
        with ledger.open("root"):
            run("root", 0)
    for name, seconds in expected.items():
        assert ledger.spent.get(name, 0.0) == seconds, f"seed {seed}: {name}"
    assert sum(ledger.spent.values()) == clock.now - 300


def test_the_methods_of_what_is_staged_are_a_stage_and_its_attributes_are_its_own() -> None:
    clock = Clock()
    ledger, model = Ledger(clock), Model(clock)
    assert staged(model, "model") is model  # no one keeps a ledger
    with ledger.open("root"):
        proxy = staged(model, "model")
        clock.now += 1
        assert proxy.work(2) == 2
        with pytest.raises(ValueError, match="as asked"):
            proxy.work(3, fail=True)
        clock.now += 4
        assert proxy.size == 7
        assert getattr(proxy, "extend", None) is None
    assert ledger.spent == {"root": 5, "model": 5}
    assert proxy.work(1) == 1  # after the ledger is closed: as without it
    assert ledger.spent == {"root": 5, "model": 5}


def test_a_ledger_is_that_of_its_thread() -> None:
    clock = Clock()
    ledger = Ledger(clock)

    def elsewhere() -> None:
        with stage("other thread"):
            clock.now += 1

    with ledger.open("root"):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert ledger.spent == {"root": 1}


def test_events_of_a_gpu_are_read_once_it_has_been_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, waited = Clock(), False

    class Event:
        def __init__(self) -> None:
            self.at = clock.now

        def elapsed_time(self, end: Any) -> float:
            assert waited
            return 1000 * (end.at - self.at)

    gpu = GpuClock(torch.device("cuda"))
    monkeypatch.setattr(gpu, "_read", Event)
    for batch in (1, 2):
        waited = False
        with gpu.open("root"):
            clock.now += batch
            with stage("encoder"):
                clock.now += 10
        waited = True
        gpu.settle()
    assert gpu.spent == {"root": 3, "encoder": 20}
