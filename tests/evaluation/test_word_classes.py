import random

import numpy as np
import pytest

from duolect.errors import ScoringError
from duolect.evaluation import align, word_errors
from duolect.evaluation.confusions import Confusions, confusions, contested, top
from duolect.evaluation.word_classes import RecallCounts, Vocabulary, recall_interval, word_recall


def best_hits(reference: list[str], hypothesis: list[str], counted: set[int]) -> set[int]:
    """How many of the `counted` places of the reference are heard, in every alignment of least cost."""
    table: dict[tuple[int, int], tuple[int, set[int]]] = {(0, 0): (0, {0})}
    for i in range(len(reference) + 1):
        for j in range(len(hypothesis) + 1):
            if (i, j) == (0, 0):
                continue
            ways = []
            if i:
                cost, hits = table[i - 1, j]
                ways.append((cost + 1, hits))
            if j:
                cost, hits = table[i, j - 1]
                ways.append((cost + 1, hits))
            if i and j:
                cost, hits = table[i - 1, j - 1]
                same = reference[i - 1] == hypothesis[j - 1]
                ways.append((cost + (not same), {h + (same and i - 1 in counted) for h in hits}))
            least = min(cost for cost, _ in ways)
            table[i, j] = least, set().union(*(hits for cost, hits in ways if cost == least))
    return table[len(reference), len(hypothesis)][1]


@pytest.mark.parametrize("seed", range(40))
def test_recall_is_that_of_a_best_alignment(seed: int) -> None:
    rng = random.Random(seed)
    words = "abcdef"
    training = [rng.choices(words[:-1], [8, 4, 2, 1, 1], k=rng.randint(1, 12)) for _ in range(2)]
    vocabulary = Vocabulary.of(training, rare=rng.randint(1, 3))
    pairs = [(rng.choices(words, k=rng.randint(1, 6)), rng.choices(words, k=rng.randint(0, 6))) for _ in range(5)]
    references, hypotheses = [" ".join(r) for r, _ in pairs], [" ".join(h) for _, h in pairs]
    found = word_recall(references, hypotheses, vocabulary)
    for place, each in enumerate(vocabulary.classes):
        of_class = [{n for n, w in enumerate(r) if vocabulary.place(w) == place} for r, _ in pairs]
        assert found[each.name].tokens == sum(map(len, of_class)), seed
        least = sum(min(best_hits(r, h, c)) for (r, h), c in zip(pairs, of_class, strict=True))
        most = sum(max(best_hits(r, h, c)) for (r, h), c in zip(pairs, of_class, strict=True))
        assert least <= found[each.name].hits <= most, seed
        if least == most:
            assert found[each.name].hits == least, seed
    errors = word_errors(references, hypotheses)
    heard = sum(recall.hits for recall in found.values())
    assert heard == errors.words - errors.substitutions - errors.deletions, seed


def test_classes_are_told_apart_by_counts() -> None:
    vocabulary = Vocabulary.of([["often"] * 3, ["twice", "twice", "once"]], rare=2)
    assert [vocabulary.place(word) for word in ("never", "once", "twice", "often")] == [0, 1, 1, 2]
    assert [each.name for each in vocabulary.classes] == [
        "never seen",
        "rare (seen 1 to 2 times)",
        "seen more than 2 times",
    ]
    with pytest.raises(ScoringError, match="at least once"):
        Vocabulary.of([["a"]], rare=0)
    with pytest.raises(ScoringError, match="no word"):
        Vocabulary.of([[]])


def test_the_interval_agrees_with_a_bootstrap_over_utterances_with_such_words() -> None:
    rng = np.random.default_rng(3)
    tokens_N = rng.integers(0, 4, 60)
    hits_N = rng.binomial(tokens_N, 0.6)
    found = recall_interval(hits_N, tokens_N)
    kept = np.flatnonzero(tokens_N)
    rates = []
    for _ in range(4000):
        drawn = rng.choice(kept, len(kept))
        rates.append(hits_N[drawn].sum() / tokens_N[drawn].sum())
    assert found is not None
    assert [found.low, found.high] == pytest.approx(np.quantile(rates, [0.025, 0.975]), abs=0.02)
    assert found == recall_interval(hits_N[kept], tokens_N[kept])  # others change nothing


def test_all_or_none_heard_has_an_interval_with_a_width() -> None:
    tokens_N = np.array([1, 2, 1, 0])
    none, all_of = recall_interval(np.zeros(4, int), tokens_N), recall_interval(tokens_N, tokens_N)
    assert none is not None
    assert all_of is not None
    assert (none.low, all_of.high) == (0.0, 1.0)
    assert none.high == pytest.approx(1 - all_of.low)
    assert none.high > 0.6  # of four words in three utterances
    assert recall_interval(np.array([1]), np.array([1])) is None


def test_blocks_are_drawn_whole() -> None:
    hits_N, tokens_N = np.array([3, 3, 0, 0]), np.array([3, 3, 3, 3])
    blocks = ["a", "a", "b", "b"]
    pooled = recall_interval(np.array([6, 0]), np.array([6, 6]))
    assert recall_interval(hits_N, tokens_N, blocks) == pooled
    alone = recall_interval(hits_N, tokens_N)
    assert pooled is not None
    assert alone is not None
    assert pooled.low < alone.low


@pytest.mark.parametrize("seed", range(20))
def test_confusions_add_up_to_the_errors(seed: int) -> None:
    rng = random.Random(seed)
    texts = [" ".join(rng.choices("abcd", k=rng.randint(1, 8))) for _ in range(40)]
    references, hypotheses = texts[:20], texts[20:]
    found, errors = confusions(references, hypotheses), word_errors(references, hypotheses)
    assert found.substitutions.total() == errors.substitutions, seed
    assert found.deletions.total() == errors.deletions, seed
    assert found.insertions.total() == errors.insertions, seed
    again = Confusions()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        again.add(align(reference, hypothesis))
    assert again == found
    assert found.missed.total() == errors.substitutions + errors.deletions


def test_words_on_which_systems_differ() -> None:
    references = ["a b c", "a b d"]
    first, second = confusions(references, ["x b c", "x b d"]), confusions(references, ["a b c", "a d"])
    tokens = {"a": 2, "b": 2, "c": 1, "d": 1}
    found = contested([first, second], tokens)
    assert [(each.word, each.tokens, each.missed) for each in found] == [("a", 2, (2, 0)), ("b", 2, (0, 1))]
    assert contested([first, first], tokens) == []
    assert contested([first, second], tokens, 1) == found[:1]


def test_equal_counts_come_in_alphabetical_order() -> None:
    found = confusions(["b", "a", "c c"], ["x", "x", "y y"])
    assert top(found.substitutions, 2) == [(("c", "y"), 2), (("a", "x"), 1)]


def test_a_recall_without_tokens_is_no_number() -> None:
    counts = RecallCounts(Vocabulary.of([["a"]]), 1)
    counts.add(0, [("a", "a")])
    found = counts.recalls()
    assert found["rare (seen 1 to 5 times)"].rate == 1.0
    assert np.isnan(found["never seen"].rate)
    assert found["never seen"].interval is None
