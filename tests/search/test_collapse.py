"""Soft collapse: a float64 loop as reference, what must never be merged, and nothing that depends on the batch."""

from __future__ import annotations

import math

import pytest
import torch
from brute_force import pad, random_posteriors
from torch import Tensor

from duolect.errors import SearchError
from duolect.search import CTCPrefixScorer, frame_synchronous, greedy, soft_collapse

EOS = 0


def collapsed_by_loop(log_probs_TW: Tensor, threshold: float, how: str) -> tuple[list[Tensor], list[int]]:
    """The new frames and which of them each old one belongs to, as the definition says it."""
    frames, segments = log_probs_TW.double(), []
    for t, frame_W in enumerate(frames):
        best, before = int(frame_W.argmax()), int(frames[t - 1].argmax()) if t else -1
        sure = t > 0 and min(float(log_probs_TW[i].max().exp()) for i in (t - 1, t)) >= threshold
        if best == before and sure:
            segments[-1].append(t)
        else:
            segments.append([t])
    merged = []
    for segment in segments:
        part = frames[segment]
        if how == "mean":
            merged.append(part.logsumexp(0) - math.log(len(segment)))
        else:
            merged.append(part.amax(0).log_softmax(0))
    return merged, [s for s, segment in enumerate(segments) for _ in segment]


def spoken(generator: torch.Generator, frames: int, width: int) -> Tensor:
    """Posteriors with runs of blanks and labels, sure and unsure, some probabilities exactly zero."""
    logits = random_posteriors(generator, frames, width, 2.0)
    best = torch.randint(0, width, (frames,), generator=generator)
    for t in range(1, frames):
        if torch.rand((), generator=generator) < 0.6:
            best[t] = best[t - 1]
    boost = torch.rand(frames, generator=generator) * 12.0
    logits[torch.arange(frames), best] = logits[torch.arange(frames), best].clamp(min=-3.0) + boost
    return logits.log_softmax(-1)


@pytest.mark.parametrize("how", ["mean", "max"])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.8, 1.0])
def test_equals_a_loop_over_frames(how: str, threshold: float) -> None:
    """240 random utterances a case; what stands in the padding is NaN."""
    shorter = 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        width = int(torch.randint(2, 8, (), generator=generator))
        parts = [spoken(generator, int(torch.randint(0, 20, (), generator=generator)), width) for _ in range(6)]
        log_probs, lengths = pad(parts, seed % 3, fill=math.nan)
        found = soft_collapse(log_probs, lengths, threshold, how=how)
        assert found.log_probs_BSW.shape[1] == int(found.lengths_B.max()), f"seed {seed}"
        assert not found.log_probs_BSW.isnan().any(), f"seed {seed}"
        for b, part in enumerate(parts):
            expected, segments = collapsed_by_loop(part, threshold, how)
            where = f"seed {seed}, utterance {b}"
            assert int(found.lengths_B[b]) == len(expected), where
            assert found.segment_BT[b].tolist() == segments + [-1] * (log_probs.shape[1] - len(part)), where
            for s, frame_W in enumerate(expected):
                assert found.log_probs_BSW[b, s].tolist() == pytest.approx(frame_W.tolist(), abs=1e-5, rel=1e-6), where
            padding = found.log_probs_BSW[b, len(expected) :]
            assert (padding[:, -1] == 0.0).all(), where
            assert (padding[:, :-1] == -math.inf).all(), where
        old, new = int(lengths.sum()), int(found.lengths_B.sum())
        assert found.ratio == pytest.approx(old / new if new else 1.0), f"seed {seed}"
        shorter += old - new
    assert shorter > 0 or threshold == 1.0


def test_the_best_path_keeps_its_labels() -> None:
    """However low the threshold: the class that frames share is the best of each, and so of their mean and maximum."""
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        log_probs, lengths = pad([spoken(generator, n, 6) for n in (30, 11, 1)])
        log_probs[..., EOS] = -math.inf
        log_probs = log_probs.log_softmax(-1)
        plain = greedy(log_probs, lengths, eos_id=EOS)
        for how in ("mean", "max"):
            found = soft_collapse(log_probs, lengths, (seed % 10) / 10, how=how)
            merged = greedy(found.log_probs_BSW, found.lengths_B, eos_id=EOS)
            assert [h[0].labels for h in merged] == [h[0].labels for h in plain], f"seed {seed}"


def test_a_repeated_label_and_two_neighbouring_labels_survive() -> None:
    blank = 3
    path = [blank, 1, 1, blank, blank, 1, 2, 2, 2, 1, blank]
    log_probs = torch.full((1, len(path), 4), -20.0)
    log_probs[0, torch.arange(len(path)), path] = 0.0
    found = soft_collapse(log_probs.log_softmax(-1), torch.tensor([len(path)]), 0.9)
    assert found.log_probs_BSW.argmax(-1).tolist() == [[blank, 1, blank, 1, 2, 1, blank]]
    assert found.segment_BT.tolist() == [[0, 1, 1, 2, 2, 3, 4, 4, 4, 5, 6]]
    assert found.ratio == 11 / 7
    ((best,),) = frame_synchronous(found.log_probs_BSW, found.lengths_B, beam=4, nbest=1, eos_id=EOS)
    assert best.labels == (1, 1, 2, 1)


def test_unsure_neighbours_stay_apart() -> None:
    """Both must reach the threshold, so two sure stretches with an unsure frame between them are two segments."""
    probabilities = torch.tensor([0.95, 0.9, 0.79, 0.9, 0.85])
    log_probs = torch.stack([(1 - probabilities) / 2, (1 - probabilities) / 2, probabilities], -1).log()[None]
    assert soft_collapse(log_probs, torch.tensor([5]), 0.8).segment_BT.tolist() == [[0, 0, 1, 2, 2]]


def test_off_and_nothing_to_merge_change_no_bit() -> None:
    generator = torch.Generator().manual_seed(1)
    log_probs, lengths = pad([spoken(generator, n, 5) for n in (9, 4)], 2)
    off = soft_collapse(log_probs, lengths, None)
    assert torch.equal(off.log_probs_BSW, log_probs)
    assert torch.equal(off.lengths_B, lengths)
    assert off.segment_BT.tolist() == [list(range(9)) + [-1] * 2, list(range(4)) + [-1] * 7]
    assert off.ratio == 1.0
    flat = log_probs * 1e-3
    apart = soft_collapse(flat.log_softmax(-1), lengths, 0.9)
    for b, length in enumerate(lengths.tolist()):
        assert torch.equal(apart.log_probs_BSW[b, :length], flat.log_softmax(-1)[b, :length])


def test_one_is_not_off() -> None:
    """A float32 softmax reaches 1; the off-value is None."""
    log_probs = torch.tensor([[[-30.0, 0.0], [-30.0, 0.0]]]).log_softmax(-1)
    assert soft_collapse(log_probs, torch.tensor([2]), 1.0).lengths_B.tolist() == [1]


def test_alone_in_a_batch_in_another_order_with_more_padding() -> None:
    generator = torch.Generator().manual_seed(3)
    parts = [spoken(generator, n, 7) for n in (17, 3, 0, 8, 1)]
    for how in ("mean", "max"):
        together = soft_collapse(*pad(parts), 0.7, how=how)
        for order, extra in (([4, 2, 0, 3, 1], 3), ([0], 5), ([2], 1), ([3], 0)):
            log_probs, lengths = pad([parts[i] for i in order], extra, fill=math.nan)
            found = soft_collapse(log_probs, lengths, 0.7, how=how)
            for row, i in enumerate(order):
                count = int(together.lengths_B[i])
                assert int(found.lengths_B[row]) == count
                assert torch.equal(found.log_probs_BSW[row, :count], together.log_probs_BSW[i, :count])


def test_one_frame_no_frame_no_utterance() -> None:
    one = torch.zeros(1, 1, 3).log_softmax(-1)
    assert torch.equal(soft_collapse(one, torch.tensor([1]), 0.0).log_probs_BSW, one)
    for log_probs, lengths in ((one, torch.tensor([0])), (one[:, :0], torch.tensor([0])), (one[:0], torch.tensor([]))):
        found = soft_collapse(log_probs, lengths.long(), 0.5)
        assert found.lengths_B.tolist() == [0] * len(log_probs)
        assert found.ratio == 1.0
    state = CTCPrefixScorer(found.log_probs_BSW, found.lengths_B, eos_id=EOS)
    assert state.vocabulary == 2


@pytest.mark.parametrize(
    ("threshold", "how", "message"),
    [
        (-0.1, "mean", "threshold of -0.1"),
        (1.1, "mean", "threshold of 1.1"),
        (math.nan, "max", "threshold of nan"),
        (0.5, "sum", "'sum' is neither"),
    ],
)
def test_bad_settings(threshold: float, how: str, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        soft_collapse(torch.zeros(1, 2, 3).log_softmax(-1), torch.tensor([2]), threshold, how=how)
