"""Fields by their dotted names: the declared type of a field says how what was typed for it is read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from command_line import Call

from duolect.cli.overrides import options, override
from duolect.data.synthetic import Corpus
from duolect.errors import ConfigError
from duolect.recipes.small import small_acoustic
from duolect.systems import METHODS, SearchConfig
from duolect.training import AcousticTask, OptimiserConfig, PiecewiseLinear, Recipe

DRAFT = METHODS["speech-llm-draft"].search
DELAYED = METHODS["ctc+lm-delayed"].search
RECIPE = small_acoustic(train=(Path("a"),), dev=Path("b"))
STAGED = OptimiserConfig(freeze_until={r"^llm\.": 50}, learning_rate_scales={"encoder": 0.1})


def searched(search: SearchConfig, *given: str) -> SearchConfig:
    return override(search, options(given), "search")


def changed(*given: str, **parts: Any) -> Recipe:
    return override(dataclasses.replace(RECIPE, **parts), options(given))


def refusal(*given: str) -> str:
    with pytest.raises(ConfigError) as error:
        changed(*given)
    return str(error.value)


@pytest.mark.parametrize(("typed", "value"), [("4", 4), ("null", None), ("None", None), ("adaptive", "adaptive")])
@pytest.mark.parametrize("before", [None, 7, "adaptive"])
def test_a_number_a_word_or_nothing_may_follow_one_another(typed: str, value: object, before: Any) -> None:
    search = dataclasses.replace(DRAFT, longest_draft=before)
    assert searched(search, "--longest-draft", typed).longest_draft == value


def test_a_lm_that_waits_for_the_end_can_be_given_an_interval() -> None:
    never = dataclasses.replace(DELAYED, lm_interval="never")
    assert searched(never, "--lm-interval", "5").lm_interval == 5
    assert searched(never, "--lm-interval", "null").lm_interval is None
    assert searched(DELAYED, "--lm-interval", '"never"').lm_interval == "never"


def test_null_is_no_folder() -> None:
    task = dataclasses.replace(RECIPE.task, initialise_encoder="am")
    for typed, value in (("null", None), ("7", "7"), ('"null"', "null")):
        found = changed("--task.initialise-encoder", typed, task=task).task
        assert isinstance(found, AcousticTask)
        assert found.initialise_encoder == value


def test_text_stays_text_whatever_it_looks_like() -> None:
    for text in ("[baseline]", "[1]", "3", "null", "True", '"quoted"', '{"a": 1}', ""):
        assert changed("--notes", text, notes="before").notes == text
    assert changed("--optimiser.freeze", "[ce]").optimiser.freeze == ("[ce]",)
    assert changed("--optimiser.freeze", "[1]", "2").optimiser.freeze == ("[1]", "2")
    assert changed("--optimiser.freeze", '["^a", "b"]').optimiser.freeze == ("^a", "b")
    assert changed("--optimiser.freeze", "[]").optimiser.freeze == ()
    assert refusal("--optimiser.freeze", "null").endswith("freeze must be a list, not None.")


def test_lists_are_values_in_a_row_or_json() -> None:
    points = ((0.0, 0.1), (1.0, 1.0))
    for typed in (["[[0, 0.1], [1, 1]]"], ["[0, 0.1]", "[1, 1]"]):
        schedule = changed("--schedule.kind", "piecewise_linear", "--schedule.points", *typed).schedule
        assert isinstance(schedule, PiecewiseLinear)
        assert schedule.points == points
    assert changed("--optimiser.betas", "0.8", "0.9").optimiser.betas == (0.8, 0.9)
    assert changed("--optimiser.betas", "[0.8, 0.9]").optimiser.betas == (0.8, 0.9)
    assert "betas must have 2 entries, not 1" in refusal("--optimiser.betas", "0.8")
    assert "betas must have 2 entries, not 3" in refusal("--optimiser.betas", "0.8", "0.9", "1")
    assert "steps must be int, not [1, 2]" in refusal("--loop.steps", "1", "2")


@pytest.mark.parametrize("optimiser", [OptimiserConfig(), STAGED])
def test_the_keys_of_a_dictionary_are_the_rest_of_the_name(optimiser: OptimiserConfig) -> None:
    for pattern in ("^adapter", r"^speech\.encoder\.", "speech.encoder", "lora_", "a-b", "x.kind"):
        given = (f"--optimiser.freeze-until.{pattern}", "10", f"--optimiser.learning-rate-scales.{pattern}=0.5")
        found = changed(*given, optimiser=optimiser).optimiser
        assert found.freeze_until == {**optimiser.freeze_until, pattern: 10}
        assert found.learning_rate_scales == {**optimiser.learning_rate_scales, pattern: 0.5}
    whole = changed("--optimiser.freeze-until", '{"a.b": 3}', optimiser=optimiser).optimiser
    assert whole.freeze_until == {"a.b": 3}
    assert "freeze_until.a.b must be int, not 'soon'" in refusal("--optimiser.freeze-until.a.b", "soon")


def test_numbers_have_no_fields_of_ones_own() -> None:
    with pytest.raises(ConfigError, match=r"--inside\.lmm: inside has no field 'lmm'; did you mean 'lm'\?"):
        searched(DELAYED, "--inside.lmm", "1")


def test_the_fields_of_a_kind_that_is_none_are_not_looked_for() -> None:
    given = ("--task.model.encoder.kind", "conformist", "--task.model.encoder.front-end.channels", "1")
    assert "kind must be one of 'conformer'" in refusal(*given)


def test_what_a_new_kind_still_needs_has_no_fields() -> None:
    with pytest.raises(ConfigError, match=r"task\.model\.encoder\.source is not given and has no fields"):
        changed("--task.model.encoder.kind", "huggingface", "--task.model.encoder.source.x", "1")


def test_what_the_first_pass_ignores_is_refused(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    given = ("recognize", system, corpus.test, "--out", tmp_path / "h.jsonl")
    assert call(*given, "--search.merge", "max").sentence() == (
        "search: merge applies to a search over frames only, not to a first pass of kind 'labels'."
    )
    # What belongs to the search as it was is no reason to refuse another first pass.
    over_frames = ("--search.first-pass", "frames", "--search.max-labels-per-second", 1)
    assert call(*given, *over_frames).status == 0
    rows = [json.loads(line) for line in (tmp_path / "h.jsonl").read_text().splitlines()]
    assert any("truncated" in row["flags"] for row in rows)
