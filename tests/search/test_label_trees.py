"""The tree holds what each sequence has, and what several of them share once."""

from __future__ import annotations

import random

import pytest
import torch

from duolect.search.label_trees import label_tree

CPU = torch.device("cpu")


def random_sequences(rng: random.Random) -> tuple[list[int], list[tuple[int, ...]]]:
    """Rows and different sequences behind them, many of which begin alike or are beginnings of others."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for _ in range(rng.randint(1, 30)):
        row, known = rng.randint(0, 2), rng.choice(found)[1] if found else ()
        text = (*known[: rng.randint(0, len(known))], *rng.choices((1, 2, 3), k=rng.randint(1, 12)))
        found.append((row, text))
    kept = sorted(set(found), key=lambda _: rng.random())
    return [row for row, _ in kept], [text for _, text in kept]


@pytest.mark.parametrize("seed", range(60))
def test_every_sequence_is_there_and_every_beginning_once(seed: int) -> None:
    rows, sequences = random_sequences(random.Random(seed))
    tree = label_tree(rows, sequences, CPU)
    assert sum(tree.levels) == len(tree.parents) == len(tree.rows_P)
    assert tree.parents_P.tolist() == list(tree.parents)
    paths: list[tuple[int, ...]] = []
    depths: list[int] = []
    for p, parent in enumerate(tree.parents):
        before = paths[parent] if parent >= 0 else ()  # parents stand before their children
        depths.append(depths[parent] + 1 if parent >= 0 else 0)
        count = int(tree.counts_P[p])
        assert count >= 1
        assert not tree.labels_PN[p, count:].any()
        assert int(tree.before_P[p]) == len(before)
        assert parent < 0 or tree.rows_P[p] == tree.rows_P[parent]
        paths.append((*before, *tree.labels_PN[p, :count].tolist()))
    assert depths == sorted(depths)
    assert [depths.count(depth) for depth in range(len(tree.levels))] == list(tree.levels)
    assert [paths[end] for end in tree.ends] == sequences
    assert [int(tree.rows_P[end]) for end in tree.ends] == rows
    beginnings = {(row, text[:n]) for row, text in zip(rows, sequences, strict=True) for n in range(1, len(text) + 1)}
    assert int(tree.counts_P.sum()) == len(beginnings)


def test_one_long_sequence_is_a_chain_without_padding() -> None:
    tree = label_tree([4], [range(1, 17)], CPU)
    assert tree.labels_PN.tolist() == [[*range(1, 9)], [*range(9, 17)]]
    assert (tree.rows_P.tolist(), tree.parents, tree.ends) == ([4, 4], (-1, 0), (1,))


def test_no_sequences_make_no_pieces() -> None:
    tree = label_tree([], [], CPU)
    assert (len(tree.rows_P), tree.levels, tree.ends) == (0, (), ())
