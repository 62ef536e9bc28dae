"""Label sequences that begin alike as a tree of pieces: which labels they share, and how these are cut.

P pieces · N labels of the longest of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from duolect.nn.label_tree import LabelTree
from duolect.search.padding import padded_labels

_LONGEST = 8  # labels of a piece
_ROW = 2  # what a further row of a forward costs, in labels: its keys and values are gathered


def label_tree(rows: Sequence[int], sequences: Sequence[Sequence[int]], device: torch.device) -> LabelTree:
    """The tree of different sequences of at least one label, the i-th behind the row rows[i]."""
    stretches, ends = _stretches(rows, sequences)
    pieces, last = _cut(stretches, _best_width(stretches))
    order = sorted(range(len(pieces)), key=lambda piece: pieces[piece].depth)
    place = {old: new for new, old in enumerate(order)} | {-1: -1}
    pieces = [pieces[old] for old in order]
    parents = tuple(place[piece.parent] for piece in pieces)
    labels_PN, counts_P = padded_labels([piece.labels for piece in pieces], device)
    facts = [(piece.row, parent, piece.before) for piece, parent in zip(pieces, parents, strict=True)]
    facts_PX = torch.tensor(facts, dtype=torch.long, device=device).view(len(pieces), 3)
    rows_P, parents_P, before_P = facts_PX.unbind(1)
    return LabelTree(
        rows_P=rows_P,
        parents_P=parents_P,
        before_P=before_P,
        labels_PN=labels_PN,
        counts_P=counts_P,
        levels=tuple(Counter(piece.depth for piece in pieces).values()),
        parents=parents,
        ends=tuple(place[last[end]] for end in ends),
    )


def common_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """How many labels both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@dataclass
class _Stretch:
    """Labels without a branch or an end of a sequence between them; `parent` is −1 where they follow the row."""

    row: int
    parent: int
    before: int
    labels: list[int]
    depth: int = 0


def _best_width(stretches: Sequence[_Stretch]) -> int:
    """The most labels of a piece: long pieces are padded, short ones are many rows."""
    lengths = Counter(len(stretch.labels) for stretch in stretches)

    def cost(width: int) -> int:
        return (width + _ROW) * sum(count * -(-length // width) for length, count in lengths.items())

    return min(range(1, _LONGEST + 1), key=cost)


def _cut(stretches: Sequence[_Stretch], width: int) -> tuple[list[_Stretch], list[int]]:
    """Pieces of at most `width` labels, and the last one of each stretch."""
    pieces: list[_Stretch] = []
    last: list[int] = []
    for stretch in stretches:
        parent = last[stretch.parent] if stretch.parent >= 0 else -1
        for start in range(0, len(stretch.labels), width):
            depth = pieces[parent].depth + 1 if parent >= 0 else 0
            labels = stretch.labels[start : start + width]
            pieces.append(_Stretch(stretch.row, parent, stretch.before + start, labels, depth))
            parent = len(pieces) - 1
        last.append(parent)
    return pieces, last


def _stretches(rows: Sequence[int], sequences: Sequence[Sequence[int]]) -> tuple[list[_Stretch], list[int]]:
    """The longest there are, each behind its parent, and the one that each sequence ends with."""
    # Nodes are labels, each behind another; node 0 stands for the rows. In sorted order a sequence shares its beginning
    # with the one before it.
    label, above, children, row_of = [-1], [-1], [0], [-1]
    leaves = [0] * len(rows)
    path, before = [0], (-1, ())
    for row, sequence, i in sorted(zip(rows, map(tuple, sequences), range(len(rows)), strict=True)):
        shared = common_beginning(before[1], sequence) if row == before[0] else 0
        del path[shared + 1 :]
        for each in sequence[shared:]:
            children[path[-1]] += 1
            label.append(each)
            above.append(path[-1])
            children.append(0)
            row_of.append(row)
            path.append(len(label) - 1)
        leaves[i], before = path[-1], (row, sequence)
    ended = set(leaves)
    stretches: list[_Stretch] = []
    own = [-1]  # of each node, its stretch
    for node in range(1, len(label)):
        parent = above[node]
        if parent and parent not in ended and children[parent] == 1:
            own.append(own[parent])
            stretches[own[parent]].labels.append(label[node])
            continue
        own.append(len(stretches))
        if parent:
            last = stretches[own[parent]]
            stretches.append(_Stretch(row_of[node], own[parent], last.before + len(last.labels), [label[node]]))
        else:
            stretches.append(_Stretch(row_of[node], -1, 0, [label[node]]))
    return stretches, [own[leaf] for leaf in leaves]
