"""Which utterance each hypothesis belongs to, so that what is kept per utterance need not be copied per hypothesis.

R rows (hypotheses) · P of them · B utterances · K rows of one utterance · N labels · S = K·N · D width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from duolect.nn.tensors import bars_gradients


@dataclass(frozen=True)
class RowLayout:
    """Which utterance each row belongs to, so that the rows of an utterance share its keys and values uncopied.

    Queries are laid out as B x K places. `places_R` is None where the rows, in their order, fill the places exactly.
    """

    utterance_R: Tensor
    utterances: int
    width: int  # K, the largest number of rows of one utterance
    places_R: Tensor | None

    @staticmethod
    def of(utterance_R: Tensor, utterances: int) -> RowLayout:
        """The layout for rows that speak for the utterances `utterance_R` of `utterances`."""
        rows = len(utterance_R)
        if rows == 0 or utterances == 1:
            return RowLayout(utterance_R, utterances, rows, None)
        counts_B = torch.bincount(utterance_R, minlength=utterances)
        width = int(counts_B.max())
        order_R = torch.argsort(utterance_R, stable=True)
        starts_B = counts_B.cumsum(0) - counts_B
        rank_R = torch.empty_like(order_R)
        rank_R[order_R] = torch.arange(rows, device=order_R.device) - starts_B[utterance_R[order_R]]
        places_R = utterance_R * width + rank_R
        regular = rows == utterances * width and bool((places_R == torch.arange(rows, device=places_R.device)).all())
        return RowLayout(utterance_R, utterances, width, None if regular else places_R)

    def rows(self, rows_P: Tensor) -> RowLayout:
        """The layout of some of the rows, of the same utterances."""
        return RowLayout.of(self.utterance_R[rows_P], self.utterances)

    def followed_by(self, other: RowLayout) -> RowLayout:
        """These rows and behind them those of `other`, of the same utterances."""
        return RowLayout.of(torch.cat((self.utterance_R, other.utterance_R)), self.utterances)

    def select(self, rows_R: Tensor) -> tuple[RowLayout, Tensor | None]:
        """The layout of the rows `rows_R`, without the utterances that have no row any more.

        Beside it the utterances kept, by their old numbers; None where all are.
        """
        utterance_R = self.utterance_R[rows_R]
        if torch.equal(utterance_R, self.utterance_R):
            return self, None
        kept_B, renumbered_R = torch.unique(utterance_R, return_inverse=True)
        if len(kept_B) == self.utterances:
            return RowLayout.of(utterance_R, self.utterances), None
        return RowLayout.of(renumbered_R, len(kept_B)), kept_B

    def place(self, x: Tensor, dim: int = 0) -> Tensor:
        """Rows, R at `dim`, in the places of their utterance, B·K at `dim`: zeros where no row is."""
        if self.places_R is None:
            return x
        places = x.new_zeros(*x.shape[:dim], self.utterances * self.width, *x.shape[dim + 1 :])
        return places.index_copy(dim, _savable(self.places_R), x)

    def unplace(self, x: Tensor, dim: int = 0) -> Tensor:
        """The inverse of `place`."""
        return x if self.places_R is None else x.index_select(dim, _savable(self.places_R))

    def spread(self, x_RND: Tensor) -> Tensor:
        """All labels of an utterance's rows side by side, (B, K·N, D): zeros where it has fewer than K rows."""
        return self.place(x_RND).reshape(self.utterances, self.width * x_RND.shape[1], x_RND.shape[2])

    def collect(self, x_BSD: Tensor, labels: int) -> Tensor:
        """The inverse of `spread`: (R, N, D)."""
        return self.unplace(x_BSD.reshape(self.utterances * self.width, labels, x_BSD.shape[-1]))


def _savable(index_R: Tensor) -> Tensor:
    return index_R.clone() if bars_gradients(index_R) else index_R
