"""Recorded attention weights are those the fast kernels multiply the values by."""

from __future__ import annotations

import random

import pytest
import torch
from torch.nn import functional

from duolect.nn.recording import attention_weights, recorded_attention
from duolect.nn.rows import RowLayout
from duolect.nn.transformer import CrossAttention


@pytest.mark.parametrize("kind", ["plain", "causal", "boolean", "additive"])
def test_weights_times_values_are_what_the_kernel_gives(kind: str) -> None:
    for _ in range(20):
        seed = random.randrange(10**6)
        torch.manual_seed(seed)
        made = random.Random(seed)
        utterances, heads, group, queries, width = (made.randint(1, n) for n in (2, 3, 3, 5, 4))
        keys = queries if kind == "causal" else made.randint(1, 6)
        query = torch.randn(utterances, heads * group, queries, width)
        key, value = torch.randn(2, utterances, heads, keys, width)
        settings: dict = {"scale": made.choice([None, 0.3]), "is_causal": kind == "causal"}
        if kind == "boolean":
            settings["attn_mask"] = torch.rand(utterances, 1, queries, keys) < 0.7
            settings["attn_mask"][..., 0] = True
        if kind == "additive":
            settings["attn_mask"] = torch.randn(utterances, 1, 1, keys)
        rows = made.randint(1, queries)
        with recorded_attention(rows) as found:
            attended = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True, **settings)
        (weights,) = found
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3]), msg=f"seed {seed}")
        expected = weights @ value.repeat_interleave(group, dim=1)
        torch.testing.assert_close(attended[:, :, queries - rows :], expected, atol=1e-5, rtol=1e-5, msg=f"seed {seed}")
        whole = attention_weights(
            query, key, settings.get("attn_mask"), causal=kind == "causal", scale=settings["scale"]
        )
        assert torch.equal(whole[:, :, queries - rows :], weights), seed


def test_only_what_was_asked_for_is_recorded_and_nothing_afterwards() -> None:
    torch.manual_seed(1)
    first, second = CrossAttention(8, 6, 4, 0.0, kv_heads=2).eval(), CrossAttention(8, 6, 4, 0.0).eval()
    x_RND, states_BTD = torch.randn(2, 3, 8), torch.randn(2, 5, 6)
    bias_B11T = torch.zeros(2, 1, 1, 5)
    bias_B11T[1, ..., 3:] = -torch.inf

    def both() -> list[torch.Tensor]:
        functional.scaled_dot_product_attention(x_RND, x_RND, x_RND)
        return [m(x_RND, m.keys_values(states_BTD), bias_B11T, None) for m in (first, second)]

    plain = both()
    with recorded_attention(3, inside=[first]) as found:
        recorded = both()
    assert all(torch.equal(a, b) for a, b in zip(plain, recorded, strict=True))
    assert [tuple(weights.shape) for weights in found] == [(2, 4, 3, 5)]
    assert not found[0][1, :, :, 3:].any()
    keys, values = first.keys_values(states_BTD)
    query_BHMd = first.query(x_RND).unflatten(-1, (4, 2)).transpose(1, 2)
    for head in range(4):  # heads 0 and 1 share the first keys
        scores_BMT = query_BHMd[:, head] @ keys[:, head // 2].transpose(1, 2) / 2**0.5 + bias_B11T[:, 0]
        torch.testing.assert_close(found[0][:, head], scores_BMT.softmax(-1))
    with recorded_attention(1, keys=4) as found:
        both()
    assert found == []
    both()
    assert found == []
    layout = RowLayout.of(torch.arange(2), 2)
    assert torch.equal(first(x_RND, (keys, values), bias_B11T, layout), plain[0])
    with pytest.raises(RuntimeError), recorded_attention(1, inside=[first]):
        first(x_RND[..., :4], (keys, values), bias_B11T, None)
    assert not first._forward_hooks
    assert not first._forward_pre_hooks
