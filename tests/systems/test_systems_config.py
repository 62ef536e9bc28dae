"""Search settings: what is refused, what is derived, and that every named method stands."""

import pytest

from duolect.configs import from_json, to_json
from duolect.errors import ConfigError
from duolect.systems.config import Scales, SearchConfig
from duolect.systems.effects import require_effect
from duolect.systems.methods import METHODS, find_method

WRONG = [
    ({"beam": 0, "nbest": 1, "first_pass": "frames"}, "beam"),
    ({"beam": 2, "nbest": 3, "first_pass": "frames"}, "nbest"),
    ({"beam": 4}, "greedy"),
    ({"inside": Scales()}, "at least one term"),
    ({"inside": Scales(ctc=1, lm=1)}, "inside.lm"),
    ({"exact_ctc": True, "first_pass": "labels"}, "exact_ctc"),
    ({"exact_ctc": True, "first_pass": "frames", "merge": "max"}, "exact_ctc"),
    ({"inside": Scales(lm=1), "first_pass": "frames"}, "inside.ctc"),
    ({"inside": Scales(prior=1), "first_pass": "labels"}, "prior alone"),
    ({"inside": Scales(ctc=1), "after": Scales(ctc=1), "first_pass": "labels"}, "both"),
    ({"length_exponent": 1.0}, "length_exponent"),
    ({"length_exponent": -1.0, "first_pass": "labels"}, "length_exponent"),
    ({"max_labels_per_second": 0.0}, "max_labels_per_second"),
    ({"candidates": 0}, "candidates"),
]


@pytest.mark.parametrize(("fields", "named"), WRONG)
def test_what_makes_no_sense_is_refused(fields: dict, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        SearchConfig(**fields)


IGNORED = [
    ("labels", "labels_per_frame", 1),
    ("greedy", "labels_per_frame", 1),
    ("draft", "labels_per_frame", 1),
    ("labels", "merge", "max"),
    ("greedy", "merge", "max"),
    ("frames", "candidates", 1),
    ("draft", "candidates", 1),
    ("frames", "stop", "heuristic"),
    ("greedy", "stop", "heuristic"),
    ("greedy", "max_labels_per_second", 1.0),
]


@pytest.mark.parametrize(("first_pass", "name", "value"), IGNORED)
def test_what_a_first_pass_ignores_can_be_carried_but_not_asked_for(first_pass, name: str, value) -> None:
    inside = Scales(decoder=1.0) if first_pass == "draft" else Scales(ctc=1.0)
    carrying = SearchConfig(first_pass=first_pass, inside=inside, **{name: value})
    assert from_json(SearchConfig, to_json(carrying), "stored") == carrying
    require_effect(carrying, ["beam", "inside.ctc", *({name for _, name, _ in IGNORED} - {name})])
    with pytest.raises(ConfigError, match=rf"search: {name} applies to .* not to a first pass of kind '{first_pass}'"):
        require_effect(carrying, [name])
    require_effect(SearchConfig(first_pass=first_pass, inside=inside), [name])


LM_AFTER: dict = {"first_pass": "frames", "beam": 2, "after": Scales(lm=0.5)}
LM_INSIDE: dict = {"first_pass": "frames", "beam": 2, "inside": Scales(ctc=1.0, lm=0.5)}
DECODER: dict = {"first_pass": "labels", "beam": 2, "inside": Scales(decoder=1.0)}
STEERING = [
    ("lm_interval", 5, LM_AFTER, LM_INSIDE),
    ("delay_prior", False, LM_INSIDE, {**LM_INSIDE, "lm_interval": 5}),
    ("prior_kind", "counts", {}, LM_AFTER),
    ("collapse_how", "max", LM_AFTER, {**LM_AFTER, "collapse": 0.9}),
    ("keep_labels_by", "mean", LM_AFTER, {**LM_AFTER, "keep_labels": 5}),
    ("ctc_layer", 3, DECODER, {**DECODER, "after": Scales(ctc=1.0)}),
    ("candidates", 4, DECODER, {**DECODER, "inside": Scales(decoder=1.0, ctc=0.5)}),
]


@pytest.mark.parametrize(("name", "value", "without", "having"), STEERING)
def test_what_steers_nothing_can_be_carried_but_not_asked_for(name: str, value, without: dict, having: dict) -> None:
    carrying = SearchConfig(**without, **{name: value})
    require_effect(carrying, {name for name, *_ in STEERING} - {name})
    with pytest.raises(ConfigError, match=rf"search: {name} steers .*, which this search does not have"):
        require_effect(carrying, [name])
    require_effect(SearchConfig(**having, **{name: value}), [name])


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_scales_are_finite_and_not_negative(value: float) -> None:
    with pytest.raises(ConfigError, match="lm"):
        Scales(lm=value)


def test_the_prior_is_subtracted_and_missing_terms_are_left_out() -> None:
    config = SearchConfig(first_pass="frames", after=Scales(lm=0.5, prior=0.25), beam=2)
    assert config.score({"ctc": -1.0, "lm": -2.0, "prior": -4.0}, labels=3) == pytest.approx(-1.0)
    assert config.score({"ctc": -1.0}, labels=3) == -1.0
    assert config.score({"ctc": -1.0, "prior": -4.0}, labels=3) == -1.0, (
        "the prior makes room for an LM that is not there"
    )
    assert config.scales == Scales(ctc=1.0, lm=0.5, prior=0.25)


def test_the_score_is_divided_by_the_length_with_eos() -> None:
    config = SearchConfig(first_pass="labels", inside=Scales(decoder=1.0), length_exponent=1.0)
    assert config.score({"decoder": -8.0}, labels=3) == -2.0


def test_there_are_the_methods_of_the_comparison() -> None:
    assert list(METHODS) == [
        "ctc-greedy",
        "ctc-beam",
        "attention",
        "attention+ctc",
        "ctc+attention-rescoring",
        "ctc+lm-rescoring",
        "ctc+lm-delayed",
        "ctc+lm-labelwise",
        "speech-llm",
        "speech-llm-draft",
        "ctc+speech-llm-rescoring",
        "speech-llm+ctc",
    ]


@pytest.mark.parametrize("name", METHODS)
def test_a_method_tunes_only_terms_it_has_and_survives_json(name: str) -> None:
    method = METHODS[name]
    assert from_json(SearchConfig, to_json(method.search), name) == method.search
    for search in method.variants:
        require_effect(search, to_json(search))
    assert set(method.tuned) <= {*method.search.scales.active, "prior"}
    assert method.description
    assert not method.tuned or getattr(method.search.scales, method.anchor) == 1.0


def test_components_follow_from_the_terms() -> None:
    assert METHODS["ctc+lm-rescoring"].components == ("acoustic", "language")
    assert METHODS["speech-llm+ctc"].components == ("speech_llm",)
    assert METHODS["speech-llm+ctc"].search.spelling == "speech_llm"
    prior = SearchConfig(first_pass="frames", inside=Scales(ctc=1, lm=1, prior=0.2), beam=2)
    assert prior.parts() == {"acoustic": ["ctc", "prior"], "language": ["lm"]}


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'ctc-gready'.*ctc-greedy"):
        find_method("ctc-gready")
