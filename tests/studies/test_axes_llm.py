"""The axes about the speech LLM: what each builds at every scale, and what their stages share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from duolect.configs import to_json
from duolect.errors import ConfigError, DuolectError
from duolect.evaluation.utterance_signs import TITLES
from duolect.models import CrossConfig
from duolect.nn import CtcCompressionConfig
from duolect.studies.axes.prompts import ANY
from duolect.studies.catalogue import build_scale, build_study
from duolect.studies.scales.base import Scale
from duolect.studies.stages import Stage, in_order
from duolect.studies.stages.llms import GivenLLM
from duolect.studies.stages.recognition import Recognition
from duolect.studies.stages.training import Training
from duolect.studies.study import Study
from duolect.systems.methods import find_method

AXES = {
    "units": 10,
    "finetuning": 14,
    "llm-size": 6,
    "pretraining": 9,
    "interface": 8,
    "downsampling": 14,
    "prompts": 13,
    "length": 14,
    "joint-ctc": 12,
    "optimisations": 30,
}
"""Name → entries at the demo's scale."""
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def scale() -> Scale:
    return build_scale("demo", seeds=SEEDS, settings={"size": "tiny"}, planned=True)


@pytest.fixture(scope="module")
def studies(scale: Scale) -> Mapping[str, Study]:
    return {name: build_study(name, scale) for name in AXES}


def trainings(*stages: Stage) -> dict[str, Training]:
    return {stage.key: stage for stage in in_order(stages) if isinstance(stage, Training)}


def system(study: Study, name: str, seed: int = 1) -> Training:
    """The speech LLM of an entry."""
    run = study.entry(name).runs[seed]
    assert isinstance(run, Recognition)
    assert isinstance(run.system, Training)
    return run.system


def recipe(stage: Training) -> dict[str, Any]:
    return stage.settings()


def differing(a: Any, b: Any, where: str = "") -> set[str]:
    """The fields in which two JSON values differ."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return {found for key in a for found in differing(a[key], b[key], f"{where}.{key}")}
    return set() if a == b else {where.removeprefix(".")}


@pytest.mark.parametrize("name", AXES)
def test_every_axis_builds_and_its_rows_are_told_apart(name: str, studies: Mapping[str, Study]) -> None:
    study = studies[name]
    assert (study.name, study.scale, len(study.entries)) == (name, "demo", AXES[name])
    runs = [run for entry in study.entries for run in entry.runs.values()]
    assert len({run.key for run in runs}) == len(runs)  # no two rows are the same
    for run in runs:
        assert isinstance(run, Recognition)
        find_method(run.method)
    for entry in study.entries:
        assert set(entry.runs) in ({1}, set(SEEDS))
    for claim in study.claims:
        assert len(study.entry(claim.better).runs) == len(study.entry(claim.worse).runs)
    assert set(study.panel) <= TITLES.keys()
    assert study.notes


@pytest.mark.parametrize("size", ["small", "paper"])
def test_every_axis_builds_at_the_other_scales(size: str) -> None:
    scale = build_scale(size, planned=True, seeds=(1,))
    for name in AXES:
        study = build_study(name, scale)
        runs = [run.key for entry in study.entries for run in entry.runs.values()]
        assert len(set(runs)) == len(runs), name


def test_the_usual_system_is_one_stage_whatever_study_it_is_in(scale: Scale, studies: Mapping[str, Study]) -> None:
    usual = scale.speech_llm(1).key
    for name, entry in (
        ("units", "the acoustic model's pieces, alone"),
        ("finetuning", "all trained, alone"),
        ("llm-size", "3 layers of 160, alone"),
        ("interface", "prefix, causal, alone"),
        ("downsampling", "2 frames side by side, alone"),
        ("prompts", "none, alone"),
        ("length", "alone, beam 4, α 1"),
        ("joint-ctc", "CTC 1"),
    ):
        assert system(studies[name], entry).key == usual, name
    assert scale.speech_llm(2).key != usual
    found = trainings(*(stage for study in studies.values() for stage in study.stages))
    speech = [each for each in found.values() if recipe(each)["task"]["kind"] == "speech_llm"]
    assert len(speech) == 48, "a speech LLM is minutes of work: share what can be shared"
    for name in ("length", "joint-ctc", "optimisations"):  # they train nothing of their own
        assert len(trainings(*studies[name].stages)) == 3 * len(studies[name].entries[0].runs)


def test_rows_differ_in_what_they_say_and_in_nothing_else(studies: Mapping[str, Study]) -> None:
    def changed(study: str, usual: str, other: str) -> set[str]:
        a, b = (system(studies[study], f"{name}, alone") for name in (usual, other))
        return differing(recipe(a), recipe(b))

    assert changed("interface", "prefix, causal", "prefix, audio bidirectional") == {"task.model.interface.audio"}
    cross = recipe(system(studies["interface"], "cross-attention, alone"))["task"]["model"]["interface"]
    assert cross == to_json(CrossConfig())
    assert changed("downsampling", "2 frames side by side", "8 frames side by side") == {"task.model.adapter.factor"}
    assert changed("finetuning", "all trained", "LLM frozen") == {"task.model.finetune"}
    assert changed("finetuning", "LLM frozen", "adapter alone") == {"task.model.freeze_encoder"}
    assert changed("finetuning", "all trained", "encoder frozen") == {"task.model.freeze_encoder"}
    assert changed("finetuning", "all trained", "adapter first") == {"optimiser.freeze_until"}
    assert changed("finetuning", "all trained", "LoRA on q, k, v, o") == {"task.model.finetune", "task.model.lora"}
    assert changed("prompts", "none", "role-tagged") == {"task.prompts"}
    assert changed("units", "the acoustic model's pieces", "the acoustic model's pieces, CTC in phonemes") == {
        "task.ctc_units"
    }
    assert changed("pretraining", "pre-trained, all trained", "random, all trained") == {"task.model.llm.pretrained"}
    sizes = changed("llm-size", "3 layers of 160", "4 layers of 256")
    assert sizes == {f"task.model.llm.{name}" for name in ("width", "layers", "intermediate")}
    adapter = recipe(system(studies["downsampling"], "CTC compression, alone"))["task"]["model"]["adapter"]
    assert adapter == to_json(CtcCompressionConfig())


def test_rows_are_tested_against_one_that_is_searched_in_the_same_way(studies: Mapping[str, Study]) -> None:
    for name in ("finetuning", "llm-size", "interface", "downsampling", "prompts", "length", "optimisations"):
        for entry in studies[name].entries:
            base, run = studies[name].base(entry), entry.runs[1]
            if base is not None and base.name not in (studies[name].baseline.name, entry.name):
                other = base.runs[1]
                assert isinstance(run, Recognition)
                assert isinstance(other, Recognition)
                assert run.method == other.method, entry.name
    found = studies["pretraining"]
    for entry in found.entries:
        if entry.name.startswith("random"):
            base = found.base(entry)
            assert base is not None
            assert base.name == entry.name.replace("random", "pre-trained")


def test_the_llm_speaks_the_units_of_its_language_model(studies: Mapping[str, Study]) -> None:
    """Of the acoustic model in the one case, of its own or characters in the others, which need no acoustic model."""
    for name, kind in (("the LLM's own labels", "sentencepiece"), ("characters", "characters")):
        language = system(studies["units"], f"{name}, alone").inputs["language"]
        assert isinstance(language, Training)
        assert language.settings()["task"]["units"]["kind"] == kind
        assert "acoustic" not in language.inputs
    usual = system(studies["units"], "the acoustic model's pieces, alone").inputs["language"]
    assert "acoustic" in usual.uses()


def test_prompts_are_asked_for_in_recognition_as_in_training(scale: Scale, studies: Mapping[str, Study]) -> None:
    study = studies["prompts"]
    drawn = recipe(system(study, f"{ANY}, alone"))["task"]["prompts"]
    assert [f"{p['before']}<audio>{p['after']}" for p in drawn] == [
        "<audio>",
        scale.prompts["instruction"],
        scale.prompts["role-tagged"],
    ]
    other = study.entry("role-tagged, asked with none, alone").runs[1]
    assert isinstance(other, Recognition)
    assert other.prompt == "none"
    assert other.system.key == system(study, "role-tagged, alone").key


def test_weights_and_exponents_are_those_of_the_axis(studies: Mapping[str, Study]) -> None:
    for entry in studies["joint-ctc"].entries:
        run = entry.runs[1]
        assert isinstance(run, Recognition)
        if entry.value is not None:
            assert run.changes["inside"] == {"ctc": entry.value}
    for entry in studies["length"].entries:
        run = entry.runs[1]
        assert isinstance(run, Recognition)
        assert run.changes.get("length_exponent", 0.0) == entry.value


def test_optimisations_keep_the_scales_of_their_method(studies: Mapping[str, Study]) -> None:
    study = studies["optimisations"]
    for entry in study.entries:
        run, base = entry.runs[1], study.entry(entry.name.partition(",")[0]).runs[1]
        assert isinstance(run, Recognition)
        assert isinstance(base, Recognition)
        assert (run.system.key, run.method) == (base.system.key, base.method)
        assert bool(run.changes) == ("," in entry.name)


def test_published_numbers_have_their_place(studies: Mapping[str, Study]) -> None:
    for study in studies.values():
        for entry in study.entries:
            assert not entry.published or "arXiv" in entry.published or "comment" in entry.published, entry.name
        for claim in study.claims:
            assert "arXiv" in claim.source, claim.text


def test_what_a_scale_has_not_is_said(scale: Scale) -> None:
    with pytest.raises(ConfigError, match=r"no LLM of the size 'huge'; known are 2 layers of 96"):
        scale.speech_llm(1, size="huge")
    with pytest.raises(ConfigError, match="a pre-trained LLM has its own units"):
        scale.speech_llm(1, pretrained=True, units="llm")
    lacking = build_scale("demo")
    with pytest.raises(ConfigError, match=r"--data llm=PATH is missing at scale demo; llm is a causal LLM"):
        build_study("pretraining", lacking)
    with pytest.raises(DuolectError, match="there is no such folder with a causal language model"):
        GivenLLM(name="llm", source=Path("/no/such/folder")).settings()
