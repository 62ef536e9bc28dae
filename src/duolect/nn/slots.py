"""Keys and values of the labels of many hypotheses, each label kept once however many hypotheses share it.

A label's keys and values stay in the slot they were first written to; a row (hypothesis) is the list of its slots, in
the order of its labels. Repeating, reordering or dropping rows moves slot numbers only, a row that does not grow costs
nothing, and keys are gathered for the rows of a forward alone, as wide as the longest of them (paged attention,
Kwon et al. 2023, arXiv 2309.06180, with pages of one position).

R rows · P rows of a forward · N labels of each, padding included · G labels that count · L slots of a row · X those of
the longest row of a forward · H heads of keys and values · d width of a head · S slots.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from duolect.nn.label_tree import LabelTree
from duolect.nn.masks import length_mask

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer."""


class HoldsKeysValues(Protocol):
    """The state of a model's hypotheses."""

    def keys_values(self) -> Iterable[KeysValues]:
        """All keys and values that are held."""
        ...


def key_value_bytes(state: HoldsKeysValues) -> int:
    """Bytes of memory that the keys and values of a state take, room for further labels included."""
    storages = (x.untyped_storage() for pair in state.keys_values() for x in pair)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


@dataclass
class KeyValuePool:
    """Per layer the keys and values of all slots, each (H, S, d).

    A slot is written once and slots are only ever added, so states of different age use one pool. Slot 0 is of zeros:
    it stands where a row has no label, and is never attended to.
    """

    layers: list[KeysValues]
    used: int = 1

    @classmethod
    def like(cls, layers: Iterable[KeysValues]) -> KeyValuePool:
        """An empty pool for layers that have such keys and values, (H, ..., d) each."""
        return cls([(_zero_slot(keys), _zero_slot(values)) for keys, values in layers])

    def with_room(self, count: int, slots_RL: Tensor) -> tuple[KeyValuePool, Tensor]:
        """A pool with `count` free slots, and the slots of the same rows in it.

        It is this one, or, when that is full, one that keeps only what these rows use, with a quarter on top: its size
        follows the hypotheses of a search, and moving costs a constant number of times what was written.
        """
        keys = self.layers[0][0]
        # What was made in inference mode must not be written to outside of it.
        if self.used + count <= keys.shape[1] and keys.is_inference() == torch.is_inference_mode_enabled():
            return self, slots_RL
        live = torch.zeros(self.used, dtype=torch.bool, device=keys.device)
        live[slots_RL.flatten()] = True
        live[0] = True
        kept = live.nonzero()[:, 0]
        size = (5 * (len(kept) + count) + 3) // 4
        layers = [(_moved(keys, kept, size), _moved(values, kept, size)) for keys, values in self.layers]
        return KeyValuePool(layers, len(kept)), (live.cumsum(0) - 1)[slots_RL]

    def reserve(self, count: int) -> slice:
        """`count` slots that will be written now; there must be room."""
        first, self.used = self.used, self.used + count
        return slice(first, self.used)


@dataclass(frozen=True)
class Growth:
    """One forward over the rows that grow: which they are, where their new labels go, and what these may see."""

    pool: KeyValuePool
    rows: int
    labels: int
    rows_P: Tensor | None  # None: all R grow
    index_G: Tensor | None  # of (P·N), the labels that count; None: all
    target_G: Tensor | None  # the same labels as places in (R·N); None where index_G is
    new: slice  # the slots of these labels
    slots_PX: Tensor
    before_PN: Tensor  # labels that stand before each; that of the last one for a padded label
    seen_PNX: Tensor | None  # None: each label sees all X

    @property
    def place_G(self) -> Tensor:
        """The place in (R·N) of each label that counts."""
        if self.target_G is not None:
            return self.target_G
        return torch.arange(self.rows * self.labels, device=self.slots_PX.device)

    @property
    def row_G(self) -> Tensor:
        """The row of each label that counts."""
        if self.target_G is not None:
            return self.target_G // self.labels
        return torch.arange(self.rows, device=self.slots_PX.device).repeat_interleave(self.labels)

    def pick(self, x_R: Tensor) -> Tensor:
        """The rows that grow, of (R, ...)."""
        return x_R if self.rows_P is None else x_R[self.rows_P]

    def counted(self, x_PND: Tensor) -> Tensor:
        """What belongs to the labels that count, (G, D), of (P, N, D)."""
        x = x_PND.flatten(0, 1)
        return x if self.index_G is None else x[self.index_G]

    def spread(self, x_GV: Tensor) -> Tensor:
        """(R, N, V) of what was computed for the labels that count, 0 elsewhere."""
        if self.target_G is not None:
            x_GV = x_GV.new_zeros(self.rows * self.labels, x_GV.shape[1]).index_copy(0, self.target_G, x_GV)
        return x_GV.unflatten(0, (self.rows, self.labels))

    def exchange(self, layer: int, keys_PHNd: Tensor, values_PHNd: Tensor) -> KeysValues:
        """Write the new labels' keys and values into the pool; those of all labels of each row, (H, P, X, d)."""
        keys, values = self.pool.layers[layer]
        return self._exchange(keys, keys_PHNd), self._exchange(values, values_PHNd)

    def _exchange(self, slots_HSd: Tensor, states_PHNd: Tensor) -> Tensor:
        new_HGd = states_PHNd.transpose(0, 1).flatten(1, 2)
        slots_HSd[:, self.new] = new_HGd if self.index_G is None else new_HGd[:, self.index_G]
        return slots_HSd.index_select(1, self.slots_PX.flatten()).unflatten(1, self.slots_PX.shape)


@dataclass(frozen=True)
class LabelSlots:
    """Where in the pool the labels of each row are, and how many it has."""

    pool: KeyValuePool
    slots_RL: Tensor  # 0 beyond a row's labels
    lengths_R: Tensor
    even: bool = True  # known to have L labels in each row

    @classmethod
    def none(cls, pool: KeyValuePool, rows: int) -> LabelSlots:
        """`rows` rows without a label."""
        device = pool.layers[0][0].device
        slots_RL = torch.zeros(rows, 0, dtype=torch.long, device=device)
        return cls(pool, slots_RL, torch.zeros(rows, dtype=torch.long, device=device))

    def select(self, rows_R: Tensor) -> LabelSlots:
        """The rows `rows_R`; copies no keys or values."""
        slots_RL, lengths_R = self.slots_RL[rows_R], self.lengths_R[rows_R]
        if not self.even:
            slots_RL = slots_RL[:, : int(lengths_R.max()) if len(rows_R) else 0]
        return LabelSlots(self.pool, slots_RL, lengths_R, self.even)

    def forget(self, counts_R: Tensor) -> LabelSlots:
        """The rows without the last counts_R[r] labels of each; their slots are free again once the pool moves."""
        lengths_R = self.lengths_R - counts_R
        width = int(lengths_R.max()) if len(lengths_R) else 0
        slots_RL = self.slots_RL[:, :width].masked_fill(~length_mask(lengths_R, width), 0)
        return LabelSlots(self.pool, slots_RL, lengths_R, even=False)

    def grow(self, labels: int, counts_R: Tensor | None) -> tuple[Growth, LabelSlots] | None:
        """Row r gets its first counts_R[r] (None: all) of `labels` labels; None where no row gets any.

        Returns the forward that has to fill the new slots, and the rows after it.
        """
        rows, before = self.slots_RL.shape
        device = self.slots_RL.device
        if not rows * labels:
            return None
        if counts_R is None and self.even:
            pool, slots_RL = self.pool.with_room(rows * labels, self.slots_RL)
            new = pool.reserve(rows * labels)
            slots_RN = torch.arange(new.start, new.stop, device=device).view(rows, labels)
            slots_RX = torch.cat((slots_RL, slots_RN), 1)
            before_RN = self.lengths_R[:, None] + torch.arange(labels, device=device)
            seen_RNX = None
            if labels > 1:
                seen_RNX = torch.ones(labels, before + labels, dtype=torch.bool, device=device).tril(before)[None]
            growth = Growth(pool, rows, labels, None, None, None, new, slots_RX, before_RN, seen_RNX)
            return growth, LabelSlots(pool, slots_RX, self.lengths_R + labels)
        if counts_R is None:
            counts_R = torch.full((rows,), labels, device=device)
        new_RN = length_mask(counts_R, labels)
        row_G, label_G = new_RN.nonzero(as_tuple=True)
        if not len(row_G):
            return None
        lengths_R = self.lengths_R + counts_R
        pool, slots_RL = self.pool.with_room(len(row_G), self.slots_RL)
        new = pool.reserve(len(row_G))
        rows_P = counts_R.nonzero()[:, 0]
        width = int(lengths_R[rows_P].max())
        slots_RX = slots_RL.new_zeros(rows, max(width, before))
        slots_RX[:, :before] = slots_RL
        slots_RX[row_G, self.lengths_R[row_G] + label_G] = torch.arange(new.start, new.stop, device=device)
        # A padded label stands where the last one of its row does, within the positions that a model has.
        before_PN = self.lengths_R[rows_P, None] + torch.arange(labels, device=device)
        before_PN = torch.minimum(before_PN, lengths_R[rows_P, None] - 1)
        seen_PNX = torch.arange(width, device=device) <= before_PN[..., None]
        index_G = new_RN[rows_P].flatten().nonzero()[:, 0]
        target_G = row_G * labels + label_G
        growth = Growth(
            pool, rows, labels, rows_P, index_G, target_G, new, slots_RX[rows_P, :width], before_PN, seen_PNX
        )
        return growth, LabelSlots(pool, slots_RX, lengths_R, even=False)

    def branch(self, tree: LabelTree) -> tuple[Growth, LabelSlots]:
        """The forward over the pieces of a tree of labels, and behind these rows one for each piece, with all labels of
        its hypothesis up to its end."""
        device, (pieces, labels) = self.slots_RL.device, tree.labels_PN.shape
        new_PN = length_mask(tree.counts_P, labels)
        piece_G, label_G = new_PN.nonzero(as_tuple=True)
        pool, slots_RL = self.pool.with_room(len(piece_G), self.slots_RL)
        new = pool.reserve(len(piece_G))
        first_P = self.lengths_R[tree.rows_P] + tree.before_P
        lengths_P = first_P + tree.counts_P
        width = int(lengths_P.max())
        slots_PX = functional.pad(slots_RL[tree.rows_P], (0, max(width - slots_RL.shape[1], 0)))
        place_PN = first_P[:, None] + torch.arange(labels, device=device)
        slots_PX[piece_G, place_PN[piece_G, label_G]] = torch.arange(new.start, new.stop, device=device)
        before_PX = torch.arange(slots_PX.shape[1], device=device) < first_P[:, None]
        for start, end in pairwise(accumulate(tree.levels)):  # what stands before a piece is what its parent has
            level = slice(start, end)
            slots_PX[level] = torch.where(before_PX[level], slots_PX[tree.parents_P[level]], slots_PX[level])
        before_PN = torch.minimum(place_PN, lengths_P[:, None] - 1)
        seen_PNX = torch.arange(width, device=device) <= before_PN[..., None]
        counted_G = piece_G * labels + label_G
        growth = Growth(pool, pieces, labels, None, counted_G, counted_G, new, slots_PX[:, :width], before_PN, seen_PNX)
        slots_RX = functional.pad(slots_RL, (0, slots_PX.shape[1] - slots_RL.shape[1]))
        rows = LabelSlots(pool, torch.cat((slots_RX, slots_PX)), torch.cat((self.lengths_R, lengths_P)), even=False)
        return growth, rows


def _zero_slot(x: Tensor) -> Tensor:
    return x.new_zeros(x.shape[0], 1, x.shape[-1])


def _moved(slots_HSd: Tensor, kept: Tensor, size: int) -> Tensor:
    """The slots `kept` at the beginning of `size` new ones."""
    moved = slots_HSd.new_empty(slots_HSd.shape[0], size, slots_HSd.shape[2])
    moved[:, : len(kept)] = slots_HSd[:, kept]
    return moved
