"""Label sequences that begin alike as a tree of short pieces, so that what several of them share is computed once.

All pieces take part in one forward, each a row of it: a label sees those before it wherever they are computed (token
trees, as Miao et al. 2024, SpecInfer, arXiv 2305.09781, verify drafts).

R rows (hypotheses) that are continued · P pieces · N labels of a piece, padding included.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


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
