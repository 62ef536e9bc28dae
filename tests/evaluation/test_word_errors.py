import math
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolect.errors import ScoringError
from duolect.evaluation import WordErrors, align, word_errors
from duolect.evaluation.words import spelled_alike

WORD_LISTS = st.lists(st.sampled_from(["a", "b", "c", "dd"]), max_size=7)


def edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein distance by the textbook recursion, one row at a time."""
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, start=1):
        previous, row = row, [i]
        for j, other in enumerate(hypothesis, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (word != other)))
    return row[-1]


def test_counts_of_each_kind() -> None:
    found = word_errors(
        ["the ship set sail", "four boats", "a b c", ""], ["the ship set sale", "for the boats", "a c", ""]
    )
    assert found == WordErrors(substitutions=2, deletions=1, insertions=1, words=9)
    assert found.errors == 4
    assert found.wer == pytest.approx(4 / 9)


def test_rates_are_pooled_not_averaged() -> None:
    assert word_errors(["a", "b c d"], ["x", "b c d"]).wer == 0.25


@pytest.mark.parametrize(
    ("reference", "hypothesis", "wer"), [("", "", 0.0), ("", "a", math.inf), ("a", "", 1.0), ("a", "b c", 2.0)]
)
def test_edges_of_the_rate(reference: str, hypothesis: str, wer: float) -> None:
    assert word_errors([reference], [hypothesis]).wer == wer


def test_unequal_lists_are_named() -> None:
    with pytest.raises(ScoringError, match="2 references cannot be paired with 1 hypotheses"):
        word_errors(["a", "b"], ["a"])


def test_words_with_spaces_inside_lists_stay_whole() -> None:
    assert word_errors([["new york", "city"]], [["new york", "town"]]).substitutions == 1


@given(WORD_LISTS, WORD_LISTS)
def test_errors_are_the_edit_distance_and_the_alignment_spells_both(
    reference: list[str], hypothesis: list[str]
) -> None:
    pairs = align(reference, hypothesis)
    assert [r for r, _ in pairs if r is not None] == reference
    assert [h for _, h in pairs if h is not None] == hypothesis
    assert all(pair != (None, None) for pair in pairs)
    errors = word_errors([reference], [hypothesis])
    assert sum(r != h for r, h in pairs) == errors.errors == edit_distance(reference, hypothesis)
    assert errors.words == len(reference)
    assert errors.deletions - errors.insertions == len(reference) - len(hypothesis)


def test_importing_the_room_does_not_import_torch() -> None:
    command = "import sys, duolect.evaluation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def test_compounds_spelled_alike_cost_as_much_as_merged_or_less() -> None:
    seed, fewer = 0, 0
    rng = random.Random(seed)
    for _ in range(2000):
        reference, hypothesis = (rng.choices(["a", "b", "ab", "ba", "aba", "abb"], k=rng.randint(1, 6)) for _ in "rh")
        merged = word_errors([reference], [hypothesis], merge_compounds=True)
        again = word_errors(*([text] for text in spelled_alike(reference, hypothesis)))
        assert (again.words, again.errors <= merged.errors) == (merged.words, True), (seed, reference, hypothesis)
        fewer += again.errors < merged.errors
    assert fewer < 100
    assert spelled_alike("ab ab b", "abb b") == ("ab ab b", "ab b b")
    assert word_errors(["ab ab b"], ["abb b"], merge_compounds=True).errors == 2
    assert word_errors(["ab ab b"], ["ab b b"]).errors == 1
