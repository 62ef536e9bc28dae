"""The grid finds the scales that a made n-best list was made for, in the stated order of preference."""

import itertools

import numpy as np
import pytest

from duolect.errors import ConfigError
from duolect.systems.grid import GridConfig, TermTable, search_grid


def planted(lm: float, prior: float, utterances: int = 400, width: int = 12, seed: int = 0) -> TermTable:
    """The better a hypothesis' planted score, the fewer its errors: only scales near the planted order all lists."""
    random = np.random.default_rng(seed)
    terms = random.normal(size=(utterances, width, 3)) * [4.0, 5.0, 5.0] - 20.0
    score = terms @ [1.0, lm, -prior]
    errors = (-score).argsort(axis=1).argsort(axis=1)  # 0 for the hypothesis with the best planted score
    rows = [[dict(zip(("ctc", "lm", "prior"), t, strict=True)) for t in row] for row in terms]
    return TermTable.build(("ctc", "lm", "prior"), rows, errors.tolist(), [[5] * width] * utterances, utterances * 10)


@pytest.mark.parametrize(("lm", "relative"), [(0.5, 0.0), (0.43, 0.62), (1.37, 0.25), (0.0, 0.0)])
def test_a_planted_optimum_is_found(lm: float, relative: float) -> None:
    result = search_grid(planted(lm, lm * relative), anchor="ctc", axes=("lm", "prior"))
    assert result.errors <= 4
    assert result.scales["lm"] == pytest.approx(lm, abs=0.02)
    assert result.scales["prior"] == pytest.approx(lm * relative, abs=0.02)
    assert result.scales["ctc"] == 1.0
    assert not result.at_edge


def test_refining_beats_the_coarse_grid() -> None:
    table = planted(0.437, 0.0)
    coarse = search_grid(table, anchor="ctc", axes=("lm",), grid=GridConfig(refinements=0))
    fine = search_grid(table, anchor="ctc", axes=("lm",))
    assert fine.errors < coarse.errors
    assert fine.refined >= 1


def test_equal_errors_choose_the_smaller_scales() -> None:
    rows = [[{"ctc": -1.0, "lm": -5.0}, {"ctc": -2.0, "lm": -1.0}]]
    table = TermTable.build(("ctc", "lm"), rows, [[1, 0]], [[2, 2]], 10)  # right for every λ above 1/4
    result = search_grid(table, anchor="ctc", axes=("lm",))
    assert (result.scales["lm"], result.errors) == (0.3, 0)
    never = TermTable.build(("ctc", "lm"), rows, [[1, 1]], [[2, 2]], 10)
    assert search_grid(never, anchor="ctc", axes=("lm",)).scales["lm"] == 0.0


def test_an_optimum_beyond_the_grid_is_told() -> None:
    result = search_grid(planted(3.0, 0.0), anchor="ctc", axes=("lm",))
    assert result.at_edge
    assert result.scales["lm"] == 2.0


def test_errors_equal_a_plain_loop() -> None:
    table = planted(0.7, 0.2, utterances=30, width=5)
    table.valid_UK[3, 2:] = False
    table.lengths_UK[:] = np.random.default_rng(1).integers(1, 9, table.lengths_UK.shape)
    points = np.array(list(itertools.product([1.0], [0.0, 0.5, 1.0], [0.0, -0.3])))
    expected = []
    for scales in points:
        total = 0
        for u in range(30):
            scores = [
                float(table.terms_UKQ[u, k] @ scales) / table.lengths_UK[u, k] ** 0.7
                if table.valid_UK[u, k]
                else -np.inf
                for k in range(5)
            ]
            total += int(table.errors_UK[u, int(np.argmax(scores))])
        expected.append(total)
    assert table.word_errors(points, 0.7).tolist() == expected
    assert table.oracle_errors <= min(expected)


def test_many_axes_stay_affordable() -> None:
    names = ("ctc", "decoder", "speech_llm", "lm", "prior")
    random = np.random.default_rng(0)
    rows = [[dict(zip(names, values, strict=True)) for values in random.normal(size=(6, 5))] for _ in range(20)]
    table = TermTable.build(names, rows, random.integers(0, 5, (20, 6)).tolist(), [[3] * 6] * 20, 100)
    result = search_grid(table, anchor="ctc", axes=names[1:])
    assert len(result.tried) <= 60_000
    assert result.errors == min(errors for _, errors in result.tried)


def test_no_axes_and_unknown_axes() -> None:
    table = planted(0.5, 0.0, utterances=5)
    assert search_grid(table, anchor="ctc", axes=()).scales == {"ctc": 1.0}
    with pytest.raises(ConfigError, match="no term 'decoder'"):
        search_grid(table, anchor="ctc", axes=("decoder",))
    with pytest.raises(ConfigError, match="odd"):
        GridConfig(steps=4)
