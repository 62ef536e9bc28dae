"""What a plan says of a chain of stages, against sums by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from duolect.errors import ModelError
from duolect.studies import figures
from duolect.studies.catalogue import build_scale, build_study
from duolect.studies.plan import plan_columns, plan_stages, plan_summary
from duolect.studies.scales.base import AEDModel
from duolect.studies.stages import Store, in_order
from duolect.training import Plan
from duolect.training.cost import StepCost

PLAN = Plan(
    parts={"total": (10, 4)},
    vocabulary=5,
    steps=50,
    utterances=2,
    labels=70,
    seconds=20.0,
    weights=40.0,
    gradients=16.0,
    optimiser=32.0,
    cost=StepCost(forward={"encoder": 100.0, "ctc": 20.0, "decoder": 30.0}, backward=350.0, activations=1.0),
    checkpoint=7.0,
    notes=("a note",),
)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    found: list[Any] = []

    def plan(recipe: Any, device: Any) -> Plan:
        found.append(recipe)
        if recipe.task.kind == "language":
            return dataclasses.replace(PLAN, seconds=0.0)
        return PLAN

    monkeypatch.setattr(figures, "plan_training", plan)
    return found


def test_a_chain_sums_up(tmp_path: Path, counted: list[Any]) -> None:
    scale = build_scale("demo", settings={"size": "tiny"}, planned=True)
    joint = scale.recognition("joint", scale.acoustic(1), "attention+ctc", changes={"beam": 6})
    rescored = scale.recognition("rescored", scale.system(1, "acoustic", "language"), "ctc+lm-rescoring")
    tuned = scale.tuned(scale.acoustic(1), "attention+ctc", nbest=3)
    planned = {p.stage.name: p for p in plan_stages(in_order([joint, rescored, tuned]), Store(tmp_path), sustained=2.0)}
    trained = planned[scale.acoustic(1).name]
    assert trained.hours == pytest.approx(500 * 50 / 2 / 3600)
    assert trained.disk == 40 + (2 + 1) * 7
    seconds = 8 * figures._SYNTHETIC_SECONDS  # eight utterances of test, and of dev
    assert planned["joint"].hours == pytest.approx((120 + 6 * 30) / 20 * seconds / (2 * 0.1) / 3600)
    assert planned["joint"].disk == pytest.approx(seconds * 200)
    assert planned[tuned.name].hours == pytest.approx((120 + 3 * 30) / 20 * seconds / (2 * 0.1) / 3600)
    beam = figures.find_method("ctc+lm-rescoring").search.beam
    of_speech, of_labels = (120 + beam * 30) / 20, (120 + beam * 30) * 3.5 / 70
    assert planned["rescored"].hours == pytest.approx((of_speech + of_labels) * seconds / (2 * 0.1) / 3600)


def test_devices_that_share_a_step_hear_and_do_more_together(tmp_path: Path, counted: list[Any]) -> None:
    scale = build_scale("paper", planned=True)
    given, planned = plan_stages(
        in_order([scale.aed(1, AEDModel(architecture="cross-conformer"))]), Store(tmp_path), sustained=2.0
    )
    assert planned.hours == pytest.approx(500 * 50 / 2 / 3600)
    assert (planned.gpu_hours, planned.operations) == (pytest.approx(4 * 500 * 50 / 2 / 3600), 4 * 500 * 50)
    assert planned.audio == pytest.approx(4 * 50 * 20 / 3600)
    assert "1 h" in [cell.text for c in plan_columns([given, planned]) if c.title == "Audio heard" for cell in c.cells]


def test_what_was_counted_is_kept_for_all_seeds(tmp_path: Path, counted: list[Any]) -> None:
    scale, store = build_scale("demo", settings={"size": "tiny"}), Store(tmp_path)
    first = figures.training_figures(scale.acoustic(1), store)
    assert figures.training_figures(scale.acoustic(2), store) == first == PLAN
    assert len(counted) == 1
    figures.training_figures(scale.acoustic(1, units=99), store)
    assert len(counted) == 2


def test_starting_points_that_differ_in_their_seeds_are_counted_once(
    tmp_path: Path, counted: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    scale, store = build_scale("paper", planned=True), Store(tmp_path)
    for seed in scale.seeds:
        figures.training_figures(scale.speech_llm(seed, units="acoustic"), store)
    assert len(counted) == 1
    figures.training_figures(scale.speech_llm(1, units="acoustic", prompts=["none"]), store)
    figures.training_figures(scale.speech_llm(1, units="characters"), store)
    assert len(counted) == 3
    monkeypatch.setattr(Store, "made", lambda self, stage: stage if stage.kind == "given" else None)
    figures.training_figures(scale.speech_llm(1, units="acoustic"), store)  # now there are data to look at
    assert len(counted) == 4


def test_notes_name_inputs_as_the_user_knows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plan(recipe: Any, device: Any) -> Plan:
        (train,), dev = recipe.task.train, recipe.task.dev
        notes = (f"{train} is not there yet", f"{dev} is odd", "/else.jsonl is not there yet", "a note")
        return dataclasses.replace(PLAN, notes=notes)

    monkeypatch.setattr(figures, "plan_training", plan)
    scale = build_scale("paper", planned=True)
    found = figures.training_figures(scale.acoustic(1), Store(tmp_path))
    assert isinstance(found, Plan)
    assert found.notes == ("loquacious/dev is odd", "/else.jsonl is not there yet", "a note")


def test_data_that_are_given_are_looked_at_and_a_cpu_is_no_gpu(tmp_path: Path) -> None:
    lines = [{"audio_filepath": f"{n}.wav", "duration": 3.0, "text": "a cab", "id": f"u{n}"} for n in range(40)]
    data = {part: tmp_path / f"{part}.jsonl" for part in ("train", "dev", "test")}
    data["train"].write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    settings = {"gpus": 0, "acoustic_steps": 10}
    scale = build_scale("small", data=data, settings=settings, planned=True)
    found = figures.training_figures(scale.acoustic(1), Store(tmp_path / "store"))
    assert isinstance(found, Plan)
    assert (found.utterances, found.seconds) == (40, 120.0)
    assert not [note for note in found.notes if "assumed" in note or "bfloat16" in note or "not there" in note]
    on_gpu = build_scale("small", data=data, settings=settings | {"gpus": 1}, planned=True)
    there = figures.training_figures(on_gpu.acoustic(1), Store(tmp_path / "store"))
    assert isinstance(there, Plan)
    assert [note for note in there.notes if "bfloat16" in note]
    assert there.utterances == 40
    data["train"].write_text("".join(f"{json.dumps(line | {'duration': 6.0})}\n" for line in lines))
    longer = figures.training_figures(
        build_scale("small", data=data, settings=settings, planned=True).acoustic(1), Store(tmp_path / "store")
    )
    assert isinstance(longer, Plan)
    assert longer.utterances == 20


def test_an_llm_that_is_not_given_is_said_to_lack(tmp_path: Path) -> None:
    scale = build_scale("small", planned=True)
    stages = in_order(build_study("pretraining", scale).stages)
    planned = {
        p.stage.name: p for p in plan_stages([s for s in stages if s.kind in ("llm", "training")], Store(tmp_path))
    }
    said = "pre-trained LLM: none is given, so that trainings which start from it are not counted. Give --data llm=PATH"
    assert planned["pre-trained LLM"].note.startswith(said)
    assert [p.note for p in planned.values() if p.stage.kind == "training" and p.note.startswith(said)]


def test_progress_is_told(tmp_path: Path, counted: list[Any]) -> None:
    scale, told = build_scale("demo", settings={"size": "tiny"}, planned=True), []
    stages = in_order([scale.acoustic(1), scale.acoustic(2)])
    plan_stages(stages, Store(tmp_path), progress=lambda *counts: told.append(counts))
    assert told == [(number, len(stages)) for number in range(len(stages))]


def test_a_model_that_cannot_be_built_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Plan:
        raise ModelError("no such model.")

    monkeypatch.setattr(figures, "plan_training", fail)
    scale = build_scale("demo", settings={"size": "tiny"}, planned=True)
    *_, last = plan_stages(in_order([scale.acoustic(1)]), Store(tmp_path), sustained=1.0)
    assert (last.plan, last.hours, last.note) == (None, None, "no such model.")


def test_a_plan_names_every_import_that_is_missing(tmp_path: Path) -> None:
    scale = build_scale("paper", seeds=(1,), data={"translator": tmp_path / "nmt"}, planned=True)
    studies = [build_study(name, scale) for name in ("interface", "leaderboard", "distillation", "languages")]
    stages = in_order(stage for study in studies for stage in study.stages)
    given = [stage for stage in stages if stage.kind in ("given", "sets", "translator")]
    names = {stage.whole for stage in given}
    assert {"loquacious", "MuST-C en-de", "CoVoST 2 fr-en", "test sets of the leaderboard"} <= names
    planned = plan_stages(given, Store(tmp_path / "store"))
    assert all(each.note for each in planned)
    notes = [line for line in plan_summary(planned) if line.startswith("Note: ")]
    assert len(notes) == 5, notes
    for said in (
        "loquacious: train, dev, test data are not there. Fetch it",
        "MuST-C en-de: train, dev, test data are not there. Make its manifests",
        "duolect import covost2",
        "test sets of the leaderboard: no manifests are there. `duolect import open-asr-leaderboard",
        f"translation model: there is no folder {tmp_path / 'nmt'}",
    ):
        assert any(said in note for note in notes), said
