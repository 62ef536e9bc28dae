"""Findings are decided by a test over utterances and by all seeds agreeing, and left open otherwise."""

import random

import pytest

from duolect.errors import ScoringError
from duolect.evaluation import Blocks, HypothesisRow, Score, score_run
from duolect.studies.verdicts import decide, mean_interval, mean_rate


def score(rate: float, seed: int, utterances: int = 100, blocks: int = 0) -> Score:
    rng = random.Random(seed)
    rows = []
    for n in range(utterances):
        heard = ["x" if rng.random() < rate else "w" for _ in range(8)]
        rows.append(HypothesisRow(id=f"u{n}", reference=" ".join("w" * 8), text=" ".join(heard)))
    of = {row.id: str(n % blocks) for n, row in enumerate(rows)} if blocks else {}
    return score_run(rows, "none", blocks=Blocks("speaker", of) if blocks else None, replicas=500)


@pytest.mark.parametrize("blocks", [0, 20])
def test_a_clear_difference_holds_one_way_and_does_not_the_other(blocks: int) -> None:
    good, bad = [score(0.1, s, blocks=blocks) for s in (1, 2)], [score(0.3, s, blocks=blocks) for s in (3, 4)]
    assert decide(good, bad).decision == "holds"
    assert decide(bad, good).decision == "does not hold"
    assert decide(good[:1], bad[:1]).seeds == 1
    assert "2 of 2 seeds agree" in decide(good, bad).reason


def test_small_differences_and_seeds_at_odds_are_left_open() -> None:
    assert decide([score(0.2, 1)], [score(0.205, 2)]).decision == "not decidable here"
    apart = decide([score(0.1, 1), score(0.1, 2), score(0.35, 3)], [score(0.3, 4), score(0.3, 5), score(0.3, 6)])
    assert apart.paired.significant
    assert (apart.decision, apart.agreeing) == ("not decidable here", 2)


def test_alike_is_within_a_margin_and_needs_evidence() -> None:
    same, near, far = score(0.3, 1, 1000), score(0.3, 2, 1000), score(0.6, 3, 1000)
    assert decide([same], [same], margin=0.05).decision == "holds"
    assert decide([same], [near], margin=0.01).decision == "not decidable here"  # they may well differ by that much
    assert decide([same], [near], margin=0.5).decision == "holds"
    for pair in ((same, far), (far, same)):
        assert decide([pair[0]], [pair[1]], margin=0.1).decision == "does not hold"
    verdict = decide([same], [near], margin=0.5)
    assert verdict.margin == pytest.approx(0.5 * near.wer)
    assert f"alike within {50 * near.wer:.2f}, one seed" in verdict.reason


def test_means_are_over_the_words_of_all_seeds() -> None:
    scores = [score(0.1, 1), score(0.3, 2)]
    assert mean_rate(scores) == pytest.approx((scores[0].wer + scores[1].wer) / 2)
    interval = mean_interval(scores)
    assert interval is not None
    assert interval.low < mean_rate(scores) < interval.high


def test_scores_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ScoringError, match="as many seeds"):
        decide([score(0.1, 1)], [])
    with pytest.raises(ScoringError, match="same utterances"):
        mean_rate([score(0.1, 1), score(0.1, 2, utterances=99)])
