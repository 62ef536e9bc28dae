"""The GPU benchmark runs as a whole, with tiny models on a CPU, so that it does when there is a GPU."""

from __future__ import annotations

import json

import pytest
import torch

from bench import gpu
from bench.gpu_systems import SYSTEMS, TINY, Bench, System


@pytest.fixture(scope="module")
def results() -> dict:
    return gpu.measure(TINY, torch.device("cpu"), turns=1)


def test_every_system_ran_and_found_as_many_labels_as_were_made(results) -> None:
    assert [(row["system"], row["beam"]) for row in results["rows"]] == [(each.name, each.beam) for each in SYSTEMS]
    for row in results["rows"]:
        assert row["rtfx"] > 0
        assert sum(row["split"].values()) == pytest.approx(1)
        assert all(share >= 0 for share in row["split"].values())
        assert row["labels_found"] == pytest.approx(TINY.labels, rel=0.2)
        assert (row["llm_forwards"] > 0) == (row["system"] != "ctc")


def test_only_new_rows_cost_the_llm_anything(results) -> None:
    """Over labels every hypothesis is stepped once a label; a delayed LM is asked less often than a label-wise one."""
    rows = {(row["system"], row["beam"]): row for row in results["rows"]}
    assert rows["speech LLM", 4]["llm_forwards"] == TINY.labels + 1
    assert rows["speech LLM", 4]["llm_labels"] <= 4 * TINY.labels * TINY.utterances
    assert rows["delayed LM (20)", 64]["llm_forwards"] < rows["label-wise LM", 64]["llm_forwards"]


def test_watching_changes_no_result() -> None:
    bench = Bench(TINY, torch.device("cpu"))
    for system in (System(name="label-wise LM", beam=8), System(name="speech LLM + CTC", beam=4)):
        watch = gpu.Watch(torch.device("cpu"))
        plain, _ = bench.run(system)
        watched, _ = bench.run(system, watch)
        assert [h.labels for h in plain] == [h.labels for h in watched]
        assert set(watch.seconds) == {"encoder", "ctc", "llm"}


def test_the_report_is_complete(results) -> None:
    json.dumps(results)
    assert gpu.table(results).count("\n") == len(SYSTEMS) + 2
    assert "made posteriors" in gpu.setting(results)
