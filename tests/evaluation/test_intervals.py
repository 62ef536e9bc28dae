import itertools
import time
from dataclasses import replace

import kaldialign
import numpy as np
import pytest

from duolect.errors import ScoringError
from duolect.evaluation import HypothesisRow, bootstrap_interval, intervals, paired, score_run
from duolect.evaluation.intervals import interval_of_counts, paired_of_counts, randomisation_p_value
from duolect.evaluation.words import utterance_counts

WORDS = [f"w{i}" for i in range(500)]


def noisy_texts(count: int, rate: float, seed: int) -> tuple[list[str], list[str]]:
    """References (the same for every seed) and hypotheses with about `rate` substitutions and a few deletions."""
    spoken, heard = np.random.default_rng(1), np.random.default_rng(seed)
    references: list[str] = [" ".join(spoken.choice(WORDS, spoken.integers(1, 25))) for _ in range(count)]
    hypotheses = []
    for reference in references:
        words = [w if heard.random() > rate else str(heard.choice(WORDS)) for w in reference.split()]
        hypotheses.append(" ".join(w for w in words if heard.random() > 0.02))
    return references, hypotheses


def split(texts: list[str]) -> list[list[str]]:
    return [text.split() for text in texts]


def test_interval_and_improvement_agree_with_kaldialign() -> None:
    references, worse = noisy_texts(400, 0.13, seed=2)
    _, better = noisy_texts(400, 0.12, seed=3)
    theirs = kaldialign.bootstrap_wer_ci(split(references), split(worse), split(better))
    interval = bootstrap_interval(references, worse)
    assert interval is not None
    assert interval.low == pytest.approx(theirs["system1"]["ci95min"], abs=0.001)
    assert interval.high == pytest.approx(theirs["system1"]["ci95max"], abs=0.001)
    ours = paired(references, worse, better)
    # Theirs counts a tie as no improvement, ours as a half: a fraction of a per cent here.
    assert ours.probability_of_improvement == pytest.approx(theirs["p_s2_improv_over_s1"], abs=0.03)
    assert ours.interval is not None
    assert ours.interval.low < ours.difference < ours.interval.high
    assert ours.difference == pytest.approx(ours.wer - ours.baseline_wer)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_close_ones() -> None:
    references, a = noisy_texts(150, 0.1, seed=2)
    _, b = noisy_texts(150, 0.1, seed=3)
    assert paired(references, a, b, seed=5) == paired(references, a, b, seed=5)
    assert paired(references, a, b, seed=5) != paired(references, a, b, seed=6)
    assert paired(references, a, b, seed=5).p_value == pytest.approx(paired(references, a, b, seed=6).p_value, abs=0.03)


def test_swapping_the_systems_mirrors_the_comparison() -> None:
    references, a = noisy_texts(120, 0.1, seed=2)
    _, b = noisy_texts(120, 0.2, seed=3)
    one, other = paired(references, a, b), paired(references, b, a)
    assert one.difference == -other.difference
    assert one.p_value == other.p_value
    assert one.probability_of_improvement == pytest.approx(1 - other.probability_of_improvement)
    assert one.significant
    assert one.difference > 0


def test_equal_systems_are_not_different() -> None:
    result = paired(["a b", "c"], ["a x", "c"], ["a x", "c"])
    assert (result.p_value, result.probability_of_improvement, result.difference) == (1.0, 0.5, 0.0)
    assert result.differing == 0
    assert not result.significant


def test_one_utterance_proves_nothing() -> None:
    assert bootstrap_interval(["a b"], ["a x"]) is None
    result = paired(["a b c d"], ["w x y z"], ["a b c d"])
    assert result.interval is None
    assert result.p_value == 1.0


def test_utterances_of_the_same_rate_have_no_interval() -> None:
    references = ["a b", "c d e f", "g h"]
    assert bootstrap_interval(references, references) is None
    assert bootstrap_interval(references, ["", "", ""]) is None
    assert bootstrap_interval(references, ["a x", "c d x x", "g x"]) is None
    assert bootstrap_interval(references, ["a x", "c d e x", "g x"]) is not None
    rows = [HypothesisRow(id=f"u{n}", reference=text, text=text) for n, text in enumerate(references)]
    perfect = score_run(rows, "none")
    assert (perfect.wer, perfect.interval, perfect.summary()["interval_95"]) == (0.0, None, None)
    empty = score_run([replace(row, text="") for row in rows], "none")
    assert (empty.wer, empty.errors.deletions, empty.interval) == (1.0, 8, None)
    assert paired(references, references, ["", "", ""]).p_value == 0.25


def test_p_value_is_the_share_of_all_sign_assignments() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        differences = rng.integers(-4, 5, rng.integers(1, 13))
        nonzero = differences[differences != 0]
        sums = [abs(np.dot(signs, nonzero)) for signs in itertools.product([1, -1], repeat=len(nonzero))]
        share = np.mean(np.array(sums) >= abs(nonzero.sum()))
        assert randomisation_p_value(differences) == pytest.approx(share, rel=1e-12), f"seed {seed}"


def test_p_value_agrees_with_drawn_signs_on_many_utterances() -> None:
    rng = np.random.default_rng(0)
    differences = rng.integers(-3, 4, 3000) + (rng.random(3000) < 0.03)
    signs = rng.choice([-1.0, 1.0], (5000, 3000))
    drawn = np.mean(np.abs(signs @ differences) >= abs(differences.sum()))
    assert randomisation_p_value(differences) == pytest.approx(drawn, abs=0.02)


def test_many_large_differences_give_the_same_by_another_way(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        differences = rng.integers(-40, 45, rng.integers(1, 80))
        directly = randomisation_p_value(differences)
        monkeypatch.setattr(intervals, "_MOST_PRODUCTS", 0)
        assert randomisation_p_value(differences) == pytest.approx(directly, abs=1e-12), f"seed {seed}"
        monkeypatch.undo()
    long = np.random.default_rng(0).integers(-200, 202, 20_000)
    start = time.process_time()
    assert 0 < randomisation_p_value(long) < 1
    assert time.process_time() - start < 10


def test_p_value_of_one_sided_differences_is_tiny_and_not_zero() -> None:
    assert randomisation_p_value(np.ones(200, dtype=np.int64)) == pytest.approx(2.0**-199, rel=1e-9)


def test_p_values_are_uniform_when_nothing_differs() -> None:
    rng = np.random.default_rng(0)
    found = [randomisation_p_value(rng.integers(-2, 3, 60)) for _ in range(1000)]
    assert np.mean(np.array(found) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_interval_covers_the_truth_about_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for i in range(300):
        words = rng.integers(3, 20, 100)
        counts = np.stack([rng.binomial(words, 0.1), 0 * words, 0 * words, words], axis=1)
        interval = interval_of_counts(counts, replicas=500, seed=i)
        assert interval is not None
        covered += interval.low <= 0.1 <= interval.high
    assert covered / 300 == pytest.approx(0.95, abs=0.04)


def test_mismatched_and_wordless_input_is_refused() -> None:
    counts = utterance_counts(["a b", "c"], ["a", "c"])
    with pytest.raises(ScoringError, match="same utterances"):
        paired_of_counts(counts, counts[::-1])
    with pytest.raises(ScoringError, match="no reference words"):
        bootstrap_interval(["", ""], ["a", ""])
    with pytest.raises(ScoringError, match="at least one replica"):
        bootstrap_interval(["a", "b"], ["a", ""], replicas=0)


def test_twenty_thousand_utterances_within_five_seconds() -> None:
    references, hypotheses = noisy_texts(2000, 0.1, seed=2)
    rows = [
        HypothesisRow(id=f"{k}-{i}", reference=r, text=h)
        for k in range(10)
        for i, (r, h) in enumerate(zip(references, hypotheses, strict=True))
    ]
    start = time.process_time()
    score = score_run(rows, "none")
    assert time.process_time() - start < 5
    assert score.utterances == 20_000
    assert score.replicas == 10_000
