"""Masked batch norm: equal to PyTorch's on what is valid, and the same however a batch is cut up."""

import pytest
import torch

from duolect.nn import MaskedBatchNorm, commit_batch_norms, length_mask


def _batch(lengths: list[int], channels: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    lengths_B = torch.tensor(lengths)
    return torch.randn(len(lengths), max(lengths), channels) * 3 + 2, length_mask(lengths_B, max(lengths))


def test_training_equals_torch_batch_norm_on_the_valid_frames() -> None:
    x_BTD, mask_BT = _batch([7, 3, 5])
    ours, theirs = MaskedBatchNorm(5), torch.nn.BatchNorm1d(5, eps=1e-3)
    torch.testing.assert_close(ours(x_BTD, mask_BT)[mask_BT], theirs(x_BTD[mask_BT]), atol=1e-6, rtol=1e-5)


def test_running_statistics_wait_for_the_commit() -> None:
    norm = MaskedBatchNorm(5, momentum=1.0)
    x_BTD, mask_BT = _batch([7, 3])
    norm(x_BTD, mask_BT)
    assert torch.equal(norm.running_mean, torch.zeros(5))
    commit_batch_norms(norm)
    torch.testing.assert_close(norm.running_mean, x_BTD[mask_BT].mean(0))
    torch.testing.assert_close(norm.running_var, x_BTD[mask_BT].var(0, correction=0))
    norm.eval()
    expected = (x_BTD[mask_BT] - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(norm(x_BTD, mask_BT)[mask_BT], expected, atol=1e-5, rtol=1e-5)


def test_two_micro_batches_are_one_batch_and_are_two_processes() -> None:
    parts = [_batch([7, 3]), _batch([4, 2, 2])]
    accumulated, *ranks = (torch.nn.ModuleList([MaskedBatchNorm(5)]) for _ in range(3))
    for part in parts:
        accumulated[0](*part)
    for rank, part in zip(ranks, parts, strict=True):
        rank[0](*part)
    other = ranks[1][0].pending_sums().clone()
    commit_batch_norms(accumulated)
    commit_batch_norms(ranks[0], reduce=lambda sums: sums.add_(other))
    frames = torch.cat([x_BTD[mask_BT] for x_BTD, mask_BT in parts])
    assert torch.equal(accumulated[0].running_mean, ranks[0][0].running_mean)
    assert torch.equal(accumulated[0].running_var, ranks[0][0].running_var)
    torch.testing.assert_close(accumulated[0].running_mean, 0.1 * frames.mean(0))
    torch.testing.assert_close(accumulated[0].running_var, 0.9 + 0.1 * frames.var(0, correction=0))


def test_nothing_valid_changes_nothing() -> None:
    norm = MaskedBatchNorm(5)
    y_BTD = norm(torch.randn(2, 3, 5), torch.zeros(2, 3, dtype=torch.bool))
    commit_batch_norms(norm)
    assert y_BTD.isfinite().all()
    assert torch.equal(norm.running_var, torch.ones(5))


@pytest.mark.parametrize("affine", [True, False])
def test_gradient_is_that_of_the_formula(affine: bool) -> None:
    norm = MaskedBatchNorm(3, affine=affine).double()
    mask_BT = length_mask(torch.tensor([4, 2]), 4)
    x_BTD = torch.randn(2, 4, 3, requires_grad=True)
    reference = torch.nn.BatchNorm1d(3, eps=1e-3, affine=affine)
    weights_PD = torch.randn(6, 3)
    (mine,) = torch.autograd.grad((norm(x_BTD, mask_BT)[mask_BT] * weights_PD).sum(), x_BTD)
    (theirs,) = torch.autograd.grad((reference(x_BTD[mask_BT]) * weights_PD).sum(), x_BTD)
    torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)
