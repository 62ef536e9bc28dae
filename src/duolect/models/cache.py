"""Keys and values of many hypotheses, each position kept once however many hypotheses share it.

A position's keys and values stay in the slot they were first written to; a row (hypothesis) is the list of its slots,
in the order of its positions. Repeating, reordering or dropping rows moves slot numbers only, a row that does not grow
costs nothing, and keys are gathered for the rows of a forward alone, as wide as the longest of them (paged attention,
Kwon et al. 2023, arXiv 2309.06180, with pages of one position).

R rows · P rows of a forward · N labels of each, padding included · G labels that count · L slots of a row · X those of
the longest row of a forward · H heads · D width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from duolect.nn.masks import length_mask


@dataclass
class KeyValuePool:
    """Per layer the keys and values of all slots, each (slots, H, D).

    A slot is written once and slots are only ever added, so states of different age use one pool. Slot 0 is of zeros:
    it stands where a row has no position, and is never attended to.
    """

    layers: list[tuple[Tensor, Tensor]]
    used: int

    @classmethod
    def of(cls, cache: DynamicCache, lengths_R: Tensor) -> tuple[KeyValuePool, Tensor]:
        """The pool of a right-padded prefix that was run with `cache`, and the slots (R, L) of its rows."""
        mask_RL = length_mask(lengths_R, cache.get_seq_length())
        slots_RL = mask_RL.flatten().cumsum(0).view_as(mask_RL) * mask_RL
        cached: list[Any] = list(cache.layers)
        layers = [(_slots(layer.keys, mask_RL), _slots(layer.values, mask_RL)) for layer in cached]
        return cls(layers, len(layers[0][0])), slots_RL

    def with_room(self, count: int, slots_RL: Tensor) -> tuple[KeyValuePool, Tensor]:
        """A pool with `count` free slots, and the slots of the same rows in it.

        It is this one, or, when that is full, one that keeps only what these rows use and is half empty: its size
        follows the hypotheses of a search, and moving costs a constant share of what was written.
        """
        keys = self.layers[0][0]
        # What was made in inference mode must not be written to outside of it.
        if self.used + count <= len(keys) and keys.is_inference() == torch.is_inference_mode_enabled():
            return self, slots_RL
        live = torch.zeros(self.used, dtype=torch.bool, device=keys.device)
        live[slots_RL.flatten()] = True
        live[0] = True
        kept = live.nonzero()[:, 0]
        size = 2 * (len(kept) + count)
        layers = [(_moved(keys, kept, size), _moved(values, kept, size)) for keys, values in self.layers]
        return KeyValuePool(layers, len(kept)), (live.cumsum(0) - 1)[slots_RL]

    def reserve(self, count: int) -> slice:
        """`count` slots that will be written now; there must be room."""
        first, self.used = self.used, self.used + count
        return slice(first, self.used)


class StepCache(DynamicCache):
    """The cache of one forward over the rows that grow: new positions go to the pool, and all of a row's come back.

    slots_PX: of each row, the new positions included; new: the slots of these; new_PN: which of the positions of the
    forward they are, row by row. index_G: the same as places in (P·N).
    """

    def __init__(self, pool: KeyValuePool, slots_PX: Tensor, new: slice, new_PN: Tensor) -> None:
        super().__init__()
        self.pool, self.new = pool, new
        self.slots, self.shape = slots_PX.flatten(), slots_PX.shape
        self.before = slots_PX.shape[1] - new_PN.shape[1]
        self.index_G = new_PN.flatten().nonzero()[:, 0]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values (P, H, X, D) of all positions, given those of the new ones (P, H, N, D)."""
        keys, values = self.pool.layers[layer_idx]
        return self._exchange(keys, key_states), self._exchange(values, value_states)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Positions before this forward."""
        return self.before

    def _exchange(self, slots: Tensor, states_PHND: Tensor) -> Tensor:
        slots[self.new] = states_PHND.transpose(1, 2).flatten(0, 1)[self.index_G]
        return slots.index_select(0, self.slots).unflatten(0, self.shape).transpose(1, 2)


def _slots(states_RHLD: Tensor, mask_RL: Tensor) -> Tensor:
    """The positions where `mask_RL` is True, behind a slot of zeros."""
    states_GHD = states_RHLD.transpose(1, 2)[mask_RL]
    return torch.cat((states_GHD.new_zeros(1, *states_GHD.shape[1:]), states_GHD))


def _moved(slots: Tensor, kept: Tensor, size: int) -> Tensor:
    """The slots `kept` at the beginning of `size` new ones."""
    moved = slots.new_empty(size, *slots.shape[1:])
    moved[: len(kept)] = slots[kept]
    return moved
