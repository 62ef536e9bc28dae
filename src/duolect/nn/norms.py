"""Batch normalisation over valid frames only, the same on one process as on many.

B utterances · T frames · D channels.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from duolect.nn.tensors import widest


class MaskedBatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) over the frames inside the utterances.

    Training normalises with the statistics of the micro-batch; the running statistics stay as they are until
    `commit_batch_norms`, so that they do not depend on how a batch is cut into micro-batches or spread over processes.
    Evaluation uses the running statistics alone: no utterance sees another.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, affine: bool = True, momentum: float = 0.1, eps: float = 1e-3) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        # Count, sums and square sums since the last commit. No buffer: DDP would overwrite it with rank 0's.
        self.pending: Tensor | None = None

    def forward(self, x_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Normalised x_BTD, in x's type; what stands outside the mask is arbitrary but finite."""
        with torch.autocast(x_BTD.device.type, enabled=False):
            x = x_BTD.float()
            if self.training:
                x, variance = self._centre_and_record(x, mask_BT)
            else:
                x, variance = x - self.running_mean, self.running_var
            scale = torch.rsqrt(variance + self.eps)
            if self.weight is not None and self.bias is not None:
                x = torch.addcmul(self.bias, x, scale * self.weight)
            else:
                x = x * scale
        return x.to(x_BTD.dtype)

    def _centre_and_record(self, x_BTD: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        mask_BT1 = mask_BT.unsqueeze(-1).to(x_BTD.dtype)
        count = mask_BT1.sum()
        frames = count.clamp(min=1)
        mean_D = (x_BTD * mask_BT1).sum((0, 1)) / frames
        centred_BTD = (x_BTD - mean_D) * mask_BT1
        variance_D = centred_BTD.square().sum((0, 1)) / frames
        with torch.no_grad():
            wide = widest(x_BTD.device)
            n, mean, variance = count.to(wide), mean_D.detach().to(wide), variance_D.detach().to(wide)
            sums = torch.cat((n[None], n * mean, n * (variance + mean.square())))
            self.pending = sums if self.pending is None else self.pending + sums
        return centred_BTD, variance_D

    def pending_sums(self) -> Tensor:
        """(1 + 2·D,): count, sums and square sums since the last commit; zeros when there was no forward pass."""
        if self.pending is None:
            wide = widest(self.running_mean.device)
            return self.running_mean.new_zeros(1 + 2 * len(self.running_mean), dtype=wide)
        return self.pending

    def commit(self, sums: Tensor) -> None:
        """Fold `sums` (laid out as `pending_sums`) into the running statistics and forget what was pending."""
        channels = len(self.running_mean)
        count, total, squares = sums[0], sums[1 : 1 + channels], sums[1 + channels :]
        frames = count.clamp(min=1)
        mean = total / frames
        variance = (squares / frames - mean.square()).clamp(min=0)
        rate = torch.where(count > 0, self.momentum, 0.0)
        self.running_mean += (rate * (mean - self.running_mean)).to(self.running_mean.dtype)
        self.running_var += (rate * (variance - self.running_var)).to(self.running_var.dtype)
        self.pending = None


@torch.no_grad()
def commit_batch_norms(model: nn.Module, reduce: Callable[[Tensor], object] | None = None) -> None:
    """Fold the statistics pending in every `MaskedBatchNorm` of `model` into its running statistics.

    Called once per optimiser step, after all micro-batches. `reduce(tensor)` sums the tensor over processes in place;
    it is called once for all layers together, and on every process whatever it has seen.
    """
    norms = [m for m in model.modules() if isinstance(m, MaskedBatchNorm) and m.training]
    if not norms:
        return
    flat = torch.cat([norm.pending_sums() for norm in norms])
    if reduce is not None:
        reduce(flat)
    for norm, sums in zip(norms, flat.split([1 + 2 * len(norm.running_mean) for norm in norms]), strict=True):
        norm.commit(sums)
