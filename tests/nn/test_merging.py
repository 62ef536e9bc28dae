"""CTC compression against a loop over lists, in float64; and the lengths that the authors' unit test has."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch

from duolect.errors import ConfigError
from duolect.nn.merging import Merge, MergeConfig, group_frames, merge_frames
from duolect.nn.meters import read_meters


def _reference(states: torch.Tensor, logits: torch.Tensor, config: MergeConfig) -> list[torch.Tensor]:
    """One utterance, frame by frame: states (T, D) and logits (T, W) of its own frames only."""
    if not len(states):
        return []
    blank = logits.shape[1] - 1
    labels = [max(range(blank + 1), key=lambda c: (row[c], -c)) for row in logits.tolist()]
    runs = [(label, list(group)) for label, group in itertools.groupby(range(len(labels)), key=labels.__getitem__)]
    if config.blanks == "drop":
        runs = [(label, group) for label, group in runs if label != blank]
        if not runs:
            return [states.mean(0)]
    if config.most is not None and len(runs) > config.most:
        factor = math.ceil(len(runs) / config.most)
        merged = []
        for start in range(0, len(runs), factor):
            several = runs[start : start + factor]
            longest = max(len(group) for _, group in several)
            label = next(label for label, group in several if len(group) == longest)
            merged.append((label, [t for _, group in several for t in group]))
        runs = merged
    vectors = []
    for label, group in runs:
        p = [math.exp(logits[t, label] - math.log(sum(math.exp(x) for x in logits[t].tolist()))) for t in group]
        raw = {"mean": [1.0] * len(p), "weighted": p, "softmax": [math.exp(x) for x in p]}[config.policy]
        vectors.append(sum(states[t] * (weight / sum(raw)) for t, weight in zip(group, raw, strict=True)))
    return vectors


def test_vectors_are_those_of_a_loop_over_runs() -> None:
    for seed in range(240):
        draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
        config = MergeConfig(
            policy=draw.choice(["mean", "weighted", "softmax"]),
            blanks=draw.choice(["keep", "drop"]),
            most=draw.choice([None, None, 1, 2, 3, 5]),
        )
        lengths = [draw.randint(0, 12) for _ in range(draw.randint(1, 4))]
        frames, vocabulary = max(1, *lengths) + draw.randint(0, 3), draw.randint(2, 5)
        logits = torch.randn(len(lengths), frames, vocabulary, generator=generator, dtype=torch.float64)
        logits[..., -1] += draw.choice([0.0, 1.0, 4.0])
        logits *= draw.choice([0.1, 1.0, 5.0])
        states = torch.randn(len(lengths), frames, 3, generator=generator, dtype=torch.float64)
        found, counts = merge_frames(states, torch.tensor(lengths), logits, config)
        for b, length in enumerate(lengths):
            expected = _reference(states[b, :length], logits[b, :length], config)
            where = f"seed {seed}, utterance {b}, {config}"
            assert int(counts[b]) == len(expected), where
            assert (length > 0) <= (len(expected) > 0), where
            assert not found[b, len(expected) :].any(), where
            if expected:
                assert torch.allclose(found[b, : len(expected)], torch.stack(expected), rtol=0, atol=1e-12), where


def test_the_lengths_of_the_authors_test() -> None:
    # 8, 7, 5 and 3 frames become 6, 7, 3 and 3 vectors; other labels stand beyond the lengths.
    paths = ["aabbcdef", "abcdabc", "aabcc", "abc"]
    labels = torch.tensor([[ord(c) - 97 for c in path.ljust(8, "g")] for path in paths])
    logits = torch.nn.functional.one_hot(labels, 8).float() * 9
    counts = group_frames(logits, torch.tensor([8, 7, 5, 3]), MergeConfig()).lengths_B
    assert counts.tolist() == [6, 7, 3, 3]


def test_merged_runs_take_the_label_of_the_longest_the_first_of_equals() -> None:
    # Frames: a b b a a a, most 1 → one group labelled a; with most 2: (a b b) labelled b, (a a a) labelled a.
    logits = torch.tensor([[[3.0, 0, 0], [0, 3, 0], [0, 3, 0], [2, 0, 0], [2, 0, 0], [2, 0, 0]]])
    p = logits.softmax(-1)
    for most, groups in ((1, [(0, range(6))]), (2, [(1, range(3)), (0, range(3, 6))])):
        found = group_frames(logits, torch.tensor([6]), MergeConfig(policy="weighted", most=most))
        assert found.lengths_B.tolist() == [most]
        for label, frames in groups:
            chosen = p[0, list(frames), label]
            torch.testing.assert_close(found.weight_BT[0, list(frames)], chosen / chosen.sum())


@pytest.mark.parametrize("policy", ["mean", "weighted", "softmax"])
def test_gradients_flow_through_the_states_alone(policy: str) -> None:
    config = MergeConfig(policy=policy, blanks="drop")  # ty: ignore[invalid-argument-type]
    states = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(2, 7, 4, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([7, 4])
    assert torch.autograd.gradcheck(lambda x: merge_frames(x, lengths, logits, config)[0], (states,))
    merge_frames(states, lengths, logits, config)[0].square().sum().backward()
    assert logits.grad is None
    assert not states.grad[1, 4:].any()


def test_half_precision_states_keep_their_type_and_are_summed_in_float32() -> None:
    states = torch.full((1, 3000, 1), 0.1).bfloat16()
    vectors, _ = merge_frames(states, torch.tensor([3000]), torch.zeros(1, 3000, 2), MergeConfig())
    assert vectors.dtype == torch.bfloat16
    assert vectors[0, 0, 0] == states[0, 0, 0]


def test_how_much_is_merged_is_measured_in_training_only() -> None:
    merge = Merge(MergeConfig(), "compression")
    logits = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 0, 1, 0]])[..., None] == torch.arange(2)
    arguments = (torch.randn(2, 5, 3), torch.tensor([5, 2]), logits.float())
    merge.eval()(*arguments)
    assert read_meters(merge) == {}
    merge.train()(*arguments)
    merge(*arguments)
    assert read_meters(merge) == {"compression": (14.0, 8.0)}
    assert read_meters(merge) == {}
    assert not merge.state_dict()


def test_a_cap_below_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="most must be at least 1"):
        MergeConfig(most=0)
