"""Counted operations against counts by hand: a multiplication and an addition are two."""

import pytest
import torch

from duolect.models import LanguageConfig, LanguageModel, LLMConfig
from duolect.nn import ConformerConfig
from duolect.nn.conformer import ConformerLayer
from duolect.nn.flops import flop_counter
from duolect.nn.masks import key_bias
from duolect.nn.relative import relative_positions


@pytest.mark.parametrize(("utterances", "frames", "kernel"), [(1, 9, 5), (3, 14, 8)])
def test_a_conformer_layer(utterances: int, frames: int, kernel: int) -> None:
    width, heads = 12, 3
    layer = ConformerLayer(ConformerConfig(width=width, heads=heads, layers=1, kernel=kernel)).eval()
    x_BTD, mask_BT = torch.randn(utterances, frames, width), torch.ones(utterances, frames, dtype=torch.bool)
    bias_B11T = key_bias(mask_BT, x_BTD.dtype)[:, None, None]
    positions_PD = relative_positions(frames, width, x_BTD.device)
    with torch.inference_mode(), flop_counter() as counter:
        layer(x_BTD, mask_BT, bias_B11T, positions_PD)

    places, distances = utterances * frames, 2 * frames - 1
    feed_forward = 2 * (2 * places * width * 4 * width)
    projections = 2 * places * width * (3 * width + width)
    by_distance = 2 * distances * width * width + 2 * places * width * distances
    attention = 2 * (2 * places * frames * width)
    convolution = 2 * places * (width * 2 * width + width * kernel + width * width)
    assert counter.get_total_flops() == 2 * feed_forward + projections + by_distance + attention + convolution


@pytest.mark.parametrize("kv_heads", [4, 2])
def test_a_step_of_an_llm_reads_its_cache_and_computes_only_what_is_new(kv_heads: int) -> None:
    width, heads, layers, inner, vocabulary, rows, beam = 16, 4, 2, 40, 30, 3, 2
    llm = LLMConfig(
        vocabulary=vocabulary, width=width, layers=layers, heads=heads, kv_heads=kv_heads, intermediate=inner
    )
    model = LanguageModel(LanguageConfig(llm=llm, bos_id=1, eos_id=0)).eval()
    size = width // heads
    with torch.inference_mode():
        _, state = model.start(None, rows)
        state = model.select(state, torch.arange(rows).repeat_interleave(beam))
        hypotheses = rows * beam
        with flop_counter() as counter:
            model.llm.model.model.rotary_emb(torch.zeros(1), torch.zeros(hypotheses, 1, dtype=torch.long))
        # Older versions of transformers (5.17) find the angles of positions by a matrix product.
        angles = counter.get_total_flops()
        assert angles in (0, 2 * hypotheses * (size // 2))
        for before in (0, 1, 2):
            with flop_counter() as counter:
                _, state = model.step(state, torch.full((hypotheses, 1), 5))
            projections = 2 * hypotheses * width * (2 * width + 2 * kv_heads * size)
            attention = 2 * 2 * hypotheses * width * (1 + before + 1)  # BOS, which all share, and their own labels
            layer = projections + attention + 3 * 2 * hypotheses * width * inner
            expected = layers * layer + 2 * hypotheses * width * vocabulary + angles
            assert counter.get_total_flops() == expected, before
