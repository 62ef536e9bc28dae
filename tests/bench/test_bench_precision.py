"""The benchmark asks the same of both precisions, and both can do it."""

from __future__ import annotations

import torch

from bench.precision import LLMS, measure, report, speech_tasks, text_tasks


def test_both_sides_are_timed() -> None:
    tasks = [*speech_tasks(1), *text_tasks(next(iter(LLMS)))]
    results = [measure(task, repetitions=1) for task in tasks]
    for each in results:
        assert {name: len(time["seconds"]) for name, time in each["times"].items()} == {"stored": 1, "rounded": 1}
        stored, rounded = (each["times"][side]["median_s"] for side in ("stored", "rounded"))
        assert each["ratio"][0] == stored / rounded
    assert report(results).count("\n") == 2 + len(tasks)
    rounded = tasks[0].rounded.args[0]  # ty: ignore
    assert {parameter.dtype for parameter in rounded.parameters()} == {torch.float32, torch.bfloat16}
