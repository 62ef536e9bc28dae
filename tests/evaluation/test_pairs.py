"""All pairs: the same figures as each comparison alone, Holm's correction, and speed."""

import random
import time

import numpy as np
import pytest

from duolect.errors import ScoringError
from duolect.evaluation import Blocks, HypothesisRow, Score, all_pairs, compare_scores, holm, score_run
from duolect.evaluation.mapsswe import error_places, mapsswe


def scored(rate: float, seed: int, utterances: int = 80, blocks: bool = False) -> Score:
    """A system that gets a share of the words wrong; the references are the same for every seed."""
    texts, errors = random.Random(0), random.Random(seed)
    rows = []
    for n in range(utterances):
        words = [str(texts.randrange(200)) for _ in range(texts.randint(1, 20))]
        heard = ["wrong" if errors.random() < rate else word for word in words if errors.random() > rate / 4]
        rows.append(HypothesisRow(id=f"u{n}", reference=" ".join(words), text=" ".join(heard)))
    of = {row.id: str(n % 12) for n, row in enumerate(rows)}
    return score_run(rows, "none", blocks=Blocks("speaker", of) if blocks else None)


@pytest.mark.parametrize("blocks", [False, True])
def test_each_pair_is_what_the_two_give_alone(blocks: bool) -> None:
    scores = {f"s{seed}": scored(rate, seed, blocks=blocks) for seed, rate in enumerate((0.1, 0.12, 0.3), start=1)}
    pairs = all_pairs(scores)
    assert [(pair.a, pair.b) for pair in pairs] == [("s1", "s2"), ("s1", "s3"), ("s2", "s3")]
    for pair in pairs:
        alone = compare_scores(scores[pair.a], scores[pair.b])
        for name in ("difference", "interval", "p_value", "probability_of_improvement"):
            assert getattr(pair, name) == getattr(alone, name), (pair, name)
        references, a = zip(*scores[pair.a].texts_N, strict=True)
        b = [heard for _, heard in scores[pair.b].texts_N]
        test = mapsswe(error_places(references, a), error_places(references, b))
        assert (pair.mapsswe_p, pair.segments) == (test.p_value, test.segments)
    assert [pair.p_holm for pair in pairs] == holm([pair.p_value for pair in pairs])
    assert pairs[1].significant
    assert not pairs[0].significant
    assert all_pairs({"s1": scores["s1"]}) == []


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_finds_a_difference_among_equals_one_time_in_twenty_at_most() -> None:
    rng = np.random.default_rng(0)
    found = [min(holm(rng.random(10).tolist())) < 0.05 for _ in range(2000)]
    assert np.mean(found) == pytest.approx(0.05, abs=0.02)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ScoringError, match="same utterances"):
        all_pairs({"a": scored(0.1, 1), "b": scored(0.1, 2, utterances=79)})
    with pytest.raises(ScoringError, match="same blocks"):
        all_pairs({"a": scored(0.1, 1), "b": scored(0.1, 2, blocks=True)})


def test_twenty_thousand_utterances_within_seconds() -> None:
    small = [scored(rate, seed, utterances=1000) for seed, rate in enumerate((0.1, 0.11))]
    scores = {}
    for name, score in zip("ab", small, strict=True):
        rows = [
            HypothesisRow(id=f"{copy}-{key}", reference=reference, text=text)
            for copy in range(20)
            for key, (reference, text) in zip(score.ids, score.texts_N, strict=True)
        ]
        scores[name] = score_run(rows, "none", replicas=100)
    start = time.process_time()
    assert len(all_pairs(scores)) == 1
    assert time.process_time() - start < 5
