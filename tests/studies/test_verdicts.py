"""Findings are decided by a test over utterances and by all seeds agreeing, and left open otherwise."""

import random

import pytest

from duolect.errors import ScoringError
from duolect.evaluation import Blocks, HypothesisRow, Score, TranslationScore, score_run, score_translations
from duolect.studies.verdicts import decide, difference, points, points_interval, pooled


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
    assert decide(good[:1], bad[:1]).reason.endswith("one seed")
    assert "2 of 2 seeds agree" in decide(good, bad).reason


def test_small_differences_and_seeds_at_odds_are_left_open() -> None:
    assert decide([score(0.2, 1)], [score(0.205, 2)]).decision == "not decidable here"
    apart = decide([score(0.1, 1), score(0.1, 2), score(0.35, 3)], [score(0.3, 4), score(0.3, 5), score(0.3, 6)])
    assert apart.difference.significant
    assert (apart.decision, apart.difference.better, apart.difference.worse) == ("not decidable here", 2, 1)


def test_alike_is_within_a_margin_and_needs_evidence() -> None:
    same, near, far = score(0.3, 1, 1000), score(0.3, 2, 1000), score(0.6, 3, 1000)
    assert decide([same], [same], margin=0.05).decision == "holds"
    assert decide([same], [near], margin=0.01).decision == "not decidable here"  # they may well differ by that much
    assert decide([same], [near], margin=0.5).decision == "holds"
    for pair in ((same, far), (far, same)):
        assert decide([pair[0]], [pair[1]], margin=0.1).decision == "does not hold"
    verdict = decide([same], [near], margin=0.5)
    assert verdict.margin == pytest.approx(50 * near.wer)
    assert f"alike within {50 * near.wer:.2f}, one seed" in verdict.reason


def test_one_sided_claims_ask_only_whether_the_first_is_worse() -> None:
    good, bad = score(0.3, 1, 1000), score(0.6, 3, 1000)
    better = decide([good], [bad], margin=0.1, one_sided=True)
    assert better.decision == "holds"
    assert f"no worse than by {10 * bad.wer:.2f}, one seed" in better.reason
    assert decide([bad], [good], margin=0.1, one_sided=True).decision == "does not hold"
    fluent, poor = translation(0.1, 1), translation(0.6, 2)
    assert decide([fluent], [poor], margin=0.1, one_sided=True).decision == "holds"
    assert decide([poor], [fluent], margin=0.1, one_sided=True).decision == "does not hold"
    near = decide([score(0.3, 2, 1000)], [good], margin=0.01, one_sided=True)
    assert near.decision == "not decidable here"  # it may well be worse by that much


def test_systems_that_recognise_nothing_are_not_alike() -> None:
    nothing = score(1.0, 1)
    assert decide([nothing], [nothing], margin=0.05).decision == "not decidable here"


def test_means_are_over_the_words_of_all_seeds() -> None:
    scores = [score(0.1, 1), score(0.3, 2)]
    both = pooled(scores)
    assert points(both) == pytest.approx((points(scores[0]) + points(scores[1])) / 2)
    interval = points_interval(both)
    assert interval is not None
    assert interval.low < points(both) < interval.high
    assert pooled(scores[:1]) is scores[0]


def translation(rate: float, seed: int) -> TranslationScore:
    """Of one set of references, whatever rate and seed."""
    references, heard = random.Random("references"), random.Random(seed)
    rows = []
    for n in range(60):
        wanted = [references.choice("abcdefgh") for _ in range(8)]
        written = [heard.choice("abcdefgh") if heard.random() < rate else word for word in wanted]
        rows.append(HypothesisRow(id=f"u{n}", reference=" ".join(wanted), text=" ".join(written)))
    return score_translations(rows, replicas=100)


def test_translations_are_better_with_more_points() -> None:
    good, bad = [translation(0.1, s) for s in (1, 2)], [translation(0.6, s) for s in (3, 4)]
    assert decide(good, bad).decision == "holds"
    assert decide(bad, good).decision == "does not hold"
    found = difference(bad, good)
    assert found.points < 0
    assert (found.better, found.worse) == (0, 2)
    assert points(pooled(good)) == pytest.approx((points(good[0]) + points(good[1])) / 2, abs=0.5)
    with pytest.raises(ScoringError, match="cannot be compared"):
        decide(good[:1], [score(0.1, 1)])


def test_scores_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(ScoringError, match="as many seeds"):
        decide([score(0.1, 1)], [])
    with pytest.raises(ScoringError, match="same utterances"):
        pooled([score(0.1, 1), score(0.1, 2, utterances=99)])
