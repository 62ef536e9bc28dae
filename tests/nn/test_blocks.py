"""Losses, adapter, masks, and the row layout of the decoder's cross-attention."""

import pytest
import torch
from torch.nn import functional

from duolect.nn import ConcatLinear, ConcatLinearConfig, ctc_loss, label_smoothed_cross_entropy
from duolect.nn.rows import RowLayout


def test_ctc_loss_sums_and_forgives_what_cannot_be_aligned() -> None:
    logits_BTW = torch.randn(3, 6, 5, requires_grad=True)
    labels_BN = torch.tensor([[1, 1, 2], [3, 0, 0], [1, 1, 1]])
    lengths_B, label_lengths_B = torch.tensor([6, 4, 3]), torch.tensor([3, 1, 3])  # the last needs five frames
    total = ctc_loss(logits_BTW, lengths_B, labels_BN, label_lengths_B)
    expected = sum(
        functional.ctc_loss(
            logits_BTW[b, :t].log_softmax(-1), labels_BN[b, :n], torch.tensor(t), torch.tensor(n), 4, reduction="sum"
        )
        for b, t, n in ((0, 6, 3), (1, 4, 1))
    )
    torch.testing.assert_close(total, expected)
    total.backward()
    assert logits_BTW.grad is not None
    assert not logits_BTW.grad[2].any()
    assert not logits_BTW.grad[1, 4:].any()


def test_ctc_loss_of_no_frames_and_no_labels() -> None:
    logits_BTW = torch.randn(2, 3, 5, requires_grad=True)
    no_labels = ctc_loss(logits_BTW, torch.tensor([3, 0]), torch.zeros(2, 0, dtype=torch.long), torch.tensor([0, 0]))
    torch.testing.assert_close(no_labels, -logits_BTW[0].log_softmax(-1)[:, 4].sum())
    no_frames = ctc_loss(logits_BTW, torch.tensor([0, 0]), torch.tensor([[1], [2]]), torch.tensor([1, 1]))
    no_frames.backward()
    assert no_frames == 0
    assert logits_BTW.grad is not None
    assert not logits_BTW.grad.any()


def test_label_smoothing_is_a_mixture_with_the_uniform_distribution() -> None:
    logits_MV, targets_M = torch.randn(4, 7), torch.tensor([0, 3, 6, 2])
    log_probs = logits_MV.log_softmax(-1)
    expected = -(0.9 * log_probs[range(4), targets_M].sum() + 0.1 * log_probs.mean(-1).sum())
    torch.testing.assert_close(label_smoothed_cross_entropy(logits_MV, targets_M, 0.1), expected)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_concat_linear_is_independent_of_padding(factor: int) -> None:
    adapter = ConcatLinear(ConcatLinearConfig(factor=factor), 4, 6)
    states_BTD, lengths_B = torch.randn(3, 7, 4), torch.tensor([7, 4, 0])
    audio_BTE, out_B = adapter(states_BTD, lengths_B)
    assert torch.equal(out_B, adapter.output_lengths(lengths_B))
    assert out_B.tolist() == [-(-length // factor) for length in (7, 4, 0)]
    alone_1TE, _ = adapter(states_BTD[1:2, :4], lengths_B[1:2])
    torch.testing.assert_close(alone_1TE[0], audio_BTE[1, : out_B[1]])
    assert not audio_BTE[1, out_B[1] :].any()


@pytest.mark.parametrize("utterance_R", [[0, 1, 2], [0, 0, 1, 1], [2, 0, 0, 1, 2, 2], [1, 1], [0, 2, 1], []])
def test_rows_find_their_utterance_and_come_back(utterance_R: list[int]) -> None:
    utterances = max(utterance_R, default=-1) + 1
    layout = RowLayout.of(torch.tensor(utterance_R, dtype=torch.long), utterances)
    x_RND = torch.randn(len(utterance_R), 2, 3)
    slots_BSD = layout.spread(x_RND)
    assert slots_BSD.shape == (utterances, layout.width * 2, 3)
    assert torch.equal(layout.collect(slots_BSD, 2), x_RND)
    for r, b in enumerate(utterance_R):
        assert any(torch.equal(slot, x_RND[r]) for slot in slots_BSD[b].unflatten(0, (-1, 2)))
