"""Muon for the matrices inside a model, AdamW for all the rest, as one optimiser.

Muon (Jordan et al. 2024) replaces the momentum of a weight matrix by the nearest orthogonal matrix, so that every
direction of it learns at the same speed; with updates scaled to AdamW's (Liu et al., arXiv 2502.16982) both share one
learning rate. Embeddings, output layers, convolutions, biases and norms stay with AdamW, as both papers advise; but for
the output layer of an attention decoder, which all our small recipes have trained with Muon.

`torch.optim.Muon` makes the same steps one matrix at a time in bfloat16. Here all matrices of one shape are
orthogonalised together, in float32 on a CPU, which is about three times as fast there. Several processes divide that
work among them, matrix by matrix; each gets what the others have made, or its part of it where the model is sharded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from duolect.training.distributed import Ranks
from duolect.training.divided import is_divided

OUTPUT_LAYERS = re.compile(r"ctc_heads|lm_head|embed_out|auxiliary_output")
"""Names of output layers that are left to AdamW: their rows stand for labels."""

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
UPDATE_RMS = 0.2  # of AdamW's updates, whose size Muon's are given
AT_ONCE = 1 << 26  # elements that a process orthogonalises together


def is_hidden_matrix(name: str, parameter: nn.Parameter, embeddings: set[int]) -> bool:
    """Whether Muon is for this parameter: a matrix that is no embedding (by id), no output layer and no bias.

    Biases that are added to queries have a row for each head (Parakeet's bias_u).
    """
    bias = "bias" in name.rpartition(".")[2]
    return parameter.ndim == 2 and not bias and id(parameter) not in embeddings and not OUTPUT_LAYERS.search(name)


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices of (…, rows, columns), roughly: singular values end up between 0.7 and 1.2.

    Five Newton-Schulz iterations of the quintic polynomial of Jordan et al., in float32 (bfloat16 on a GPU).
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = (matrices.mT if tall else matrices).to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices.dtype)


def orthogonalise_together(matrices: Tensor, ranks: Ranks | None, turn: int = 0) -> Sequence[Tensor]:
    """`orthogonalise` each of (N, rows, columns), each process doing its part of the N; every process must call it.

    `matrices` are the same on all processes, and matrix i is done by rank (turn + i) mod size; or they are sharded, and
    so is the result.
    """
    if is_divided(matrices):
        from duolect.training.sharding import matrix_by_matrix

        return matrix_by_matrix(matrices, orthogonalise).unbind()
    if ranks is None or ranks.size == 1:
        return orthogonalise(matrices).unbind()
    own = matrices[(ranks.rank - turn) % ranks.size :: ranks.size]
    most = -(-len(matrices) // ranks.size)
    sent = matrices.new_empty(most, *matrices.shape[1:])
    sent[: len(own)] = orthogonalise(own)
    received = [torch.empty_like(sent) for _ in range(ranks.size)]
    dist.all_gather(received, sent)
    return [received[(turn + i) % ranks.size][i // ranks.size] for i in range(len(matrices))]


class MuonWithAdamW(torch.optim.Optimizer):
    """`groups` as for any optimiser, each with a flag "muon"; betas and eps are AdamW's.

    `ranks`: the processes that take part, each with the same gradients or its shard of them.
    State: momentum_buffer for Muon's parameters; exp_avg, exp_avg_sq and step for AdamW's.
    """

    def __init__(
        self,
        groups: list[dict[str, Any]],
        *,
        lr: float,
        momentum: float,
        betas: tuple[float, float],
        eps: float,
        ranks: Ranks | None = None,
    ) -> None:
        # "fused", which AdamW below is, tells whoever loads its state that its "step" belongs on the device.
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "fused": True})
        self.momentum, self.ranks = momentum, ranks
        rest = [{"params": g["params"], "weight_decay": g["weight_decay"]} for g in self._groups(muon=False)]
        self._adamw = torch.optim.AdamW(rest, lr=lr, betas=betas, eps=eps, fused=True) if rest else None

    def _groups(self, *, muon: bool) -> list[dict[str, Any]]:
        return [group for group in self.param_groups if group["muon"] is muon]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of both; gradients as they are in the parameters."""
        loss = closure() if closure is not None else None
        for group in self._groups(muon=True):
            self._muon_step(group)
        if self._adamw is not None:
            self._adamw.state = self.state  # one place for all state, whoever has loaded it
            for theirs, group in zip(self._adamw.param_groups, self._groups(muon=False), strict=True):
                theirs["lr"] = group["lr"]
            self._adamw.step()
        return loss

    def _muon_step(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape.setdefault(parameter.shape, []).append(parameter)
        turn = 0  # so that no rank gets the odd matrix of every shape
        for shape, parameters in by_shape.items():
            number = max(AT_ONCE // shape.numel(), 1) * (self.ranks.size if self.ranks is not None else 1)
            for start in range(0, len(parameters), number):
                self._update(parameters[start : start + number], group["lr"], group["weight_decay"], turn)
            turn += len(parameters)

    def _update(self, parameters: list[Tensor], lr: float, weight_decay: float, turn: int) -> None:
        """One step of parameters of one shape."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        buffers = [self.state[p].setdefault("momentum_buffer", torch.zeros_like(p)) for p in parameters]
        # Not torch._foreach_lerp_: for the parts of a sharded model torch 2.11 has no list version of it.
        for buffer, gradient in zip(buffers, gradients, strict=True):
            buffer.lerp_(gradient, 1 - self.momentum)
        updates = torch.stack([g.lerp(b, self.momentum) for g, b in zip(gradients, buffers, strict=True)])  # Nesterov's
        orthogonal = orthogonalise_together(updates, self.ranks, turn)
        scale = lr * UPDATE_RMS * max(parameters[0].shape) ** 0.5
        torch._foreach_mul_(parameters, 1 - lr * weight_decay)
        torch._foreach_add_(parameters, list(orthogonal), alpha=-scale)
