"""Label sequences that begin alike as a tree of short pieces, so that what several of them share is computed once.

All pieces take part in one forward, each a row of it: a label sees those before it wherever they are computed (token
trees, as Miao et al. 2024, SpecInfer, arXiv 2305.09781, verify drafts).

R rows (hypotheses) that are continued · P pieces · N labels of a piece, padding included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_LONGEST = 8  # labels of a piece
_ROW = 2  # what a further row of a forward costs, in labels: its keys and values are gathered


@dataclass(frozen=True)
class LabelTree:
    """Pieces, each behind the one that it continues.

    rows_P: of the hypothesis that a piece, and all before it, continue. parents_P: the piece before; −1: there is none.
    before_P: labels between hypothesis and piece. labels_PN: its counts_P ≥ 1 labels, padded with 0. levels: how many
    pieces have none before them, one, …, in this order. ends: of each sequence, the piece that it ends with.
    """

    rows_P: Tensor
    parents_P: Tensor
    before_P: Tensor
    labels_PN: Tensor
    counts_P: Tensor
    levels: tuple[int, ...]
    parents: tuple[int, ...]  # as parents_P, on the host
    ends: tuple[int, ...]

    @classmethod
    def of(cls, rows: Sequence[int], sequences: Sequence[Sequence[int]], device: torch.device) -> LabelTree:
        """The tree of different sequences of at least one label, the i-th behind the row rows[i]."""
        stretches, ends = _stretches(rows, sequences)
        lengths = Counter(len(stretch.labels) for stretch in stretches)
        width = min(
            range(1, _LONGEST + 1), key=lambda n: (n + _ROW) * sum(m * -(-length // n) for length, m in lengths.items())
        )
        pieces: list[_Stretch] = []
        last: list[int] = []  # of each stretch, its last piece
        for stretch in stretches:
            parent, before = (last[stretch.parent], stretch.before) if stretch.parent >= 0 else (-1, 0)
            for start in range(0, len(stretch.labels), width):
                pieces.append(_Stretch(stretch.row, parent, before + start, stretch.labels[start : start + width]))
                parent = len(pieces) - 1
            last.append(parent)
        depths: list[int] = []
        for piece in pieces:
            depths.append(depths[piece.parent] + 1 if piece.parent >= 0 else 0)
        order = sorted(range(len(pieces)), key=depths.__getitem__)
        place = {old: new for new, old in enumerate(order)} | {-1: -1}
        pieces = [pieces[old] for old in order]
        parents = [place[piece.parent] for piece in pieces]
        longest = max((len(piece.labels) for piece in pieces), default=0)
        table = [
            (piece.row, parent, piece.before, len(piece.labels), *piece.labels, *[0] * (longest - len(piece.labels)))
            for piece, parent in zip(pieces, parents, strict=True)
        ]
        table_PX = torch.tensor(table, dtype=torch.long, device=device).view(len(pieces), 4 + longest)
        rows_P, parents_P, before_P, counts_P = table_PX[:, :4].unbind(1)
        levels = [0] * (max(depths, default=-1) + 1)
        for depth in depths:
            levels[depth] += 1
        return cls(
            rows_P,
            parents_P,
            before_P,
            table_PX[:, 4:],
            counts_P,
            tuple(levels),
            tuple(parents),
            tuple(place[last[end]] for end in ends),
        )


@dataclass
class _Stretch:
    """Labels without a branch or an end of a sequence between them; `parent` is −1 where they follow the row."""

    row: int
    parent: int
    before: int
    labels: list[int]


def common_beginning(one: Sequence[int], other: Sequence[int]) -> int:
    """How many labels both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


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
