"""The output layer over some labels only, others for each utterance: their rows of the output table alone multiply.

B utterances · R rows (hypotheses) · G positions, any number per row · C labels kept · D width · V labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from duolect.nn.rows import RowLayout


@dataclass(frozen=True)
class LabelHead:
    """p(c | h) of the kept labels of a row's utterance, renormalised: softmax over them of W·h + b.

    The rows of the table are copied once per utterance, not per hypothesis or step. `norm` is applied to the states
    first, where the model's own output layer does so.
    """

    weight_BCD: Tensor
    bias_BC: Tensor  # float32; −inf where there is no label
    utterance_R: Tensor
    norm: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(
        cls,
        labels_BC: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None = None,
        norm: Callable[[Tensor], Tensor] | None = None,
    ) -> LabelHead:
        """The head for one row per utterance; a label of −1 is none and has probability 0."""
        index_BC = labels_BC.clamp(min=0)
        bias_BC = weight_VD.new_zeros(labels_BC.shape) if bias_V is None else bias_V[index_BC]
        return cls(
            weight_VD[index_BC],
            bias_BC.float().masked_fill(labels_BC < 0, -torch.inf),
            torch.arange(len(labels_BC), device=labels_BC.device),
            norm,
        )

    @property
    def width(self) -> int:
        """C."""
        return self.weight_BCD.shape[1]

    def select(self, rows_R: Tensor) -> LabelHead:
        """The head for the rows `rows_R`: picked, repeated, reordered."""
        return replace(self, utterance_R=self.utterance_R[rows_R])

    def log_probs(self, states_GD: Tensor, row_G: Tensor) -> Tensor:
        """Natural logarithms (G, C), float32, of states that belong to the rows `row_G`."""
        if not len(row_G):
            return torch.zeros(0, self.width, device=states_GD.device)
        states_GD = states_GD if self.norm is None else self.norm(states_GD)
        utterance_G = self.utterance_R[row_G]
        layout = RowLayout.of(utterance_G, len(self.weight_BCD))
        logits_BKC = layout.spread(states_GD[:, None]) @ self.weight_BCD.transpose(1, 2)
        logits_GC = layout.collect(logits_BKC, 1)[:, 0]
        return (logits_GC.float() + self.bias_BC[utterance_G]).log_softmax(-1)
