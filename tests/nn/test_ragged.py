"""Joining of rows without gaps, against lists."""

import random

import torch

from duolect.nn.ragged import join


def test_joined_rows_are_the_parts_without_their_padding():
    for seed in range(200):
        draw = random.Random(seed)
        rows, parts = draw.randint(1, 4), draw.randint(1, 4)
        generator = torch.Generator().manual_seed(seed)
        given = []
        for _ in range(parts):
            width = draw.randint(0, 5)
            lengths_B = torch.tensor([draw.randint(0, width) for _ in range(rows)])
            given.append((torch.randn(rows, width, 3, generator=generator), lengths_B))

        joined_BSE, starts_PB, total_B = join(given)

        for b in range(rows):
            expected = torch.cat([x_BSE[b, : int(lengths_B[b])] for x_BSE, lengths_B in given])
            assert int(total_B[b]) == len(expected), seed
            assert torch.equal(joined_BSE[b, : len(expected)], expected), seed
            ends = [int(lengths_B[b]) for _, lengths_B in given]
            assert starts_PB[:, b].tolist() == [sum(ends[:p]) for p in range(parts)], seed


def test_gradients_reach_every_part():
    parts = [(torch.randn(2, n, 4, requires_grad=True), torch.tensor([n, 1])) for n in (2, 3)]
    joined_BSE, _, total_B = join(parts)
    joined_BSE[torch.arange(joined_BSE.shape[1]) < total_B[:, None]].sum().backward()
    for x_BSE, lengths_B in parts:
        assert x_BSE.grad is not None
        inside = torch.arange(x_BSE.shape[1]) < lengths_B[:, None]
        assert torch.equal(x_BSE.grad, inside[..., None].expand_as(x_BSE).float())
