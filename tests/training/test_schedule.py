"""Schedules at their corner points; parameter groups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from duolect.errors import ConfigError, TrainingError
from duolect.training import InverseSquareRoot, LoopConfig, OptimiserConfig, PiecewiseLinear, WarmupCosine
from duolect.training.optimiser import build_optimiser, parameter_groups, set_learning_rate


@given(st.integers(20, 100_000).map(lambda n: n * 20))
def test_the_papers_schedule_meets_its_corner_points(steps: int) -> None:
    schedule = PiecewiseLinear()
    rates = [5e-4 * schedule.factor(int(steps * place), steps) for place in (0, 0.45, 0.9, 1.0)]
    assert rates == pytest.approx([5e-6, 5e-4, 5e-6, 5e-7], rel=1e-9)
    assert schedule.factor(steps * 3, steps) == pytest.approx(0.001)


@given(
    st.integers(1, 5000),
    st.one_of(st.floats(0, 0.9), st.integers(1, 500).map(float)),
    st.floats(0, 1),
)
def test_warmup_cosine_rises_then_falls_to_its_minimum(steps: int, warmup: float, minimum: float) -> None:
    schedule = WarmupCosine(warmup=warmup, minimum=minimum)
    factors = [schedule.factor(step, steps) for step in range(steps + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert all(a >= b - 1e-12 for a, b in zip(factors[top:], factors[top + 1 :], strict=False))
    if (warmup * steps if warmup < 1 else warmup) <= steps - 1:
        assert factors[-1] == pytest.approx(minimum, abs=1e-9)
    assert schedule.factor(0, steps) > 0 or minimum == 0


def test_warmup_reaches_the_peak_with_its_last_step() -> None:
    schedule = WarmupCosine(warmup=4)
    assert [schedule.factor(step, 100) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_inverse_square_root_is_vaswanis_formula_with_its_peak_at_the_end_of_the_warm_up() -> None:
    schedule = InverseSquareRoot()
    for taken in (1, 100, 24_999, 25_000, 25_001, 100_000, 400_000):  # steps, this one included
        expected = 25_000**0.5 * min(taken**-0.5, taken * 25_000**-1.5)
        assert schedule.factor(taken - 1, 100_000) == pytest.approx(expected, rel=1e-12)
    assert [schedule.factor(step, 1) for step in (0, 24_999, 99_999)] == pytest.approx([1 / 25_000, 1.0, 0.5])


@given(st.integers(1, 5000), st.one_of(st.floats(0, 0.9), st.integers(0, 500).map(float)))
def test_inverse_square_root_rises_then_falls(steps: int, warmup: float) -> None:
    factors = [InverseSquareRoot(warmup=warmup).factor(step, steps) for step in range(steps + 1)]
    top = factors.index(max(factors))
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    with pytest.raises(ConfigError, match="warmup"):
        InverseSquareRoot(warmup=-1.0)


@pytest.mark.parametrize("points", [((0.0, 1.0),), ((0.1, 1.0), (1.0, 0.0)), ((0.0, 1.0), (0.5, 1.0), (0.5, 0.5))])
def test_impossible_points_are_refused(points: tuple) -> None:
    with pytest.raises(ConfigError, match="points"):
        PiecewiseLinear(points=points)


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 0), ("accumulate", 0), ("clip_norm", 0.0), ("threads", 0), ("average_last", 3)]
)
def test_an_impossible_loop_names_the_field(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=field):
        LoopConfig(**({"steps": 10} | {field: value}))


def _model() -> nn.Module:
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(4, 3),
            "norm": nn.LayerNorm(3),
            "linear": nn.Linear(3, 3),
            "frozen": nn.Linear(3, 3).requires_grad_(False),
        }
    )


def test_only_matrices_that_are_no_embeddings_decay() -> None:
    model = _model()
    groups = parameter_groups(model, OptimiserConfig(weight_decay=0.1))
    decayed = [p for group in groups if group["weight_decay"] for p in group["params"]]
    assert [id(p) for p in decayed] == [id(model["linear"].weight)]
    assert sum(len(group["params"]) for group in groups) == 5


def test_learning_rate_scales_by_pattern() -> None:
    model = _model()
    optimiser = build_optimiser(model, OptimiserConfig(learning_rate_scales={"^linear": 0.1}))
    set_learning_rate(optimiser, 2.0)
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert rates[id(model["linear"].weight)] == rates[id(model["linear"].bias)] == pytest.approx(0.2)
    assert rates[id(model["norm"].weight)] == 2.0


def test_a_parameter_has_one_factor_whatever_the_order_of_the_patterns() -> None:
    agreed = build_optimiser(_model(), OptimiserConfig(learning_rate_scales={"^linear": 0.1, "bias": 0.1}))
    assert {group["scale"] for group in agreed.param_groups} == {0.1, 1.0}
    for scales in ({"^linear": 0.1, "weight": 2.0}, {"weight": 2.0, "^linear": 0.1}):
        with pytest.raises(TrainingError, match=r"linear\.weight fits patterns of different factors, .*'weight' \(2\)"):
            parameter_groups(_model(), OptimiserConfig(learning_rate_scales=scales))


def test_a_pattern_that_fits_nothing_is_an_error() -> None:
    with pytest.raises(TrainingError, match="encoder"):
        parameter_groups(_model(), OptimiserConfig(learning_rate_scales={"encoder": 0.1}))
    with pytest.raises(ConfigError, match="regular expression"):
        OptimiserConfig(learning_rate_scales={"(": 0.1})


def test_a_model_with_nothing_to_train_is_an_error() -> None:
    with pytest.raises(TrainingError, match="no trainable parameter"):
        parameter_groups(nn.Linear(2, 2).requires_grad_(False), OptimiserConfig())
