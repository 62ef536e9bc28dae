"""The encoders of arXiv 2501.02370: lengths, the layers' formula, independence of padding, and shortening on the way.

B utterances · T frames · F bins · D width.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from fbk_configs import CONFORMER, NOTHING, TRANSFORMER
from torch import Tensor

from duolect.audio.waveform import WaveformConfig
from duolect.errors import ConfigError
from duolect.models.encoders import Encoder, build_encoder, check_ctc_layers
from duolect.nn import (
    ConformerConfig,
    FrontEndConfig,
    GatedFrontEnd,
    GatedFrontEndConfig,
    MaskedBatchNorm,
    TransformerEncoder,
    TransformerEncoderConfig,
)
from duolect.nn.conformer import Conformer, ConvolutionModule, FeedForward
from duolect.nn.masks import key_bias, length_mask, sinusoids
from duolect.nn.relative import RelativeAttention, relative_positions

ENCODERS: dict[str, Any] = {
    "transformer": TRANSFORMER,
    "transformer_over_planes": dataclasses.replace(TRANSFORMER, front_end=FrontEndConfig(channels=(4, 6, 6))),
    "nothing": NOTHING,
    "conformer": CONFORMER,
}


def built(kind: str) -> Encoder:
    torch.manual_seed(1)
    config, bins = ENCODERS[kind], 20
    made = (Conformer if isinstance(config, ConformerConfig) else TransformerEncoder)(config, bins).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        for module in made.modules():
            if isinstance(module, MaskedBatchNorm):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return made


@pytest.mark.parametrize(
    "config", [GatedFrontEndConfig(channels=6), GatedFrontEndConfig(channels=6, kernel=3, time_strides=(1, 3, 2))]
)
def test_lengths_are_those_of_the_paper_and_of_what_comes_out(config: GatedFrontEndConfig) -> None:
    front_end = GatedFrontEnd(5, 8, config)
    for length in range(40):
        lengths_B = torch.tensor([length, 0, length // 2])
        states_BTD, out_B = front_end(torch.randn(3, length, 5), lengths_B)
        assert torch.equal(out_B, front_end.output_lengths(lengths_B)), length
        assert states_BTD.shape == (3, max(int(out_B.max()), 1), 8), length
        expected = length
        for stride in config.time_strides:
            expected = (expected + 2 * (config.kernel // 2) - config.kernel) // stride + 1 if expected else 0
        assert out_B[0] == expected, length
        assert not states_BTD[1].any()


def test_the_front_end_is_its_formula() -> None:
    """Each output by a loop over the kernel; what lies beyond the utterance counts as zero, also between the stages."""
    front_end = GatedFrontEnd(3, 4, GatedFrontEndConfig(channels=6)).double()
    features_BTF, lengths_B = torch.randn(2, 15, 3, dtype=torch.float64), torch.tensor([15, 9])
    with torch.no_grad():
        states_BTD, out_B = front_end(features_BTF, lengths_B)
        for b, length in enumerate(lengths_B.tolist()):
            x = features_BTF[b, :length]
            for convolution in front_end.convolutions:
                weight, bias = convolution.weight, convolution.bias
                rows = []
                for place in range(0, len(x), 2):
                    near = [t for t in range(place - 2, place + 3) if 0 <= t < len(x)]
                    rows.append(bias + sum(weight[:, :, t - place + 2] @ x[t] for t in near))
                value, gate = torch.stack(rows).chunk(2, -1)
                x = value * gate.sigmoid()
            torch.testing.assert_close(states_BTD[b, : int(out_B[b])], 2 * x, atol=1e-12, rtol=0)  # √D = 2


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_utterance_is_the_same_alone_in_a_batch_and_with_more_padding(kind: str) -> None:
    encoder = built(kind)
    keep = tuple(range(1, encoder.depth + 1))
    lengths_B = torch.tensor([50, 31, 7, 1, 0])
    features_BTF = torch.randn(5, 80, 20) * 5  # beyond the lengths: rubbish
    with torch.no_grad():
        batch_BTD, out_B, kept = encoder(features_BTF, lengths_B, keep)
        assert set(kept) == set(keep)
        for b, length in enumerate(lengths_B.tolist()):
            alone_1TD, out_1, kept_alone = encoder(features_BTF[b : b + 1, :length], lengths_B[b : b + 1], keep)
            frames = int(out_1)
            assert frames == out_B[b] == -(-length // encoder.downsampling)
            for (here_BTD, there_BTD), lengths in [
                ((alone_1TD, batch_BTD), (out_1, out_B)),
                *(((kept_alone[n][0], kept[n][0]), (kept_alone[n][1], kept[n][1])) for n in keep),
            ]:
                torch.testing.assert_close(here_BTD[0, :frames], there_BTD[b, :frames], atol=2e-5, rtol=0)
                assert not there_BTD[b, frames:].any()
                assert lengths[0][0] == lengths[1][b]


def _norm(module: Any, x: Tensor) -> Tensor:
    return torch.nn.functional.layer_norm(x, x.shape[-1:], module.weight, module.bias)


def test_the_transformer_is_its_formula() -> None:
    encoder = built("transformer").double()
    features_BTF, lengths_B = torch.randn(2, 30, 20, dtype=torch.float64), torch.tensor([30, 17])
    with torch.no_grad():
        states_BTD, out_B, _ = encoder(features_BTF, lengths_B)
        front_BTD, _ = encoder.front_end(features_BTF, lengths_B)
        for b, frames in enumerate(out_B.tolist()):
            x = front_BTD[b, :frames] + sinusoids(torch.arange(frames), 16)
            for layer in encoder.layers:
                query, key, value = layer.self_attention.project(_norm(layer.self_norm, x)).chunk(3, -1)
                heads = [
                    (q @ k.T / 8**0.5).softmax(-1) @ v
                    for q, k, v in zip(query.split(8, 1), key.split(8, 1), value.split(8, 1), strict=True)
                ]
                x = x + layer.self_attention.output(torch.cat(heads, 1))
                inner = layer.feed_forward.expand(_norm(layer.feed_norm, x)).clamp(min=0)
                x = x + layer.feed_forward.contract(inner)
            torch.testing.assert_close(states_BTD[b, :frames], _norm(encoder.norm, x), atol=1e-10, rtol=0)


def test_without_layers_the_encoder_is_front_end_positions_and_norm() -> None:
    encoder = built("nothing")
    features_BTF, lengths_B = torch.randn(2, 30, 20), torch.tensor([30, 17])
    with torch.no_grad():
        states_BTD, out_B, kept = encoder(features_BTF, lengths_B)
        front_BTD, _ = encoder.front_end(features_BTF, lengths_B)
        expected_BTD = _norm(encoder.norm, front_BTD + sinusoids(torch.arange(8), 16))
    assert (encoder.depth, encoder.downsampling, kept) == (0, 4, {})
    for b, frames in enumerate(out_B.tolist()):
        torch.testing.assert_close(states_BTD[b, :frames], expected_BTD[b, :frames])


def test_the_conformers_steps_are_those_of_the_paper() -> None:
    """Attention over √width, SiLU with biases, a depthwise convolution without one, torch's own batch norm."""
    x_BTD, lengths_B = torch.randn(2, 9, 16, dtype=torch.float64), torch.tensor([9, 5])
    mask_BT = length_mask(lengths_B, 9)
    feed, convolution = FeedForward(CONFORMER).double().eval(), ConvolutionModule(CONFORMER).double().eval()
    attention = RelativeAttention(16, 2, 0.0, 16**-0.5).double().eval()
    torch.nn.init.normal_(attention.key_query_bias)
    torch.nn.init.normal_(attention.distance_query_bias)
    convolution.batch_norm.running_mean.normal_()
    with torch.no_grad():
        inner = torch.nn.functional.silu(feed.expand(_norm(feed.norm, x_BTD)))
        torch.testing.assert_close(feed(x_BTD), feed.contract(inner), atol=1e-12, rtol=0)
        assert feed.expand.bias is not None
        assert feed.contract.bias is not None

        y = torch.nn.functional.glu(convolution.expand(_norm(convolution.layer_norm, x_BTD)), -1)
        y = y.masked_fill(~mask_BT[..., None], 0.0).transpose(1, 2)
        y = torch.nn.functional.conv1d(y, convolution.depthwise.weight, padding=2, groups=16)
        norm = convolution.batch_norm
        y = torch.nn.functional.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)
        y = convolution.contract(torch.nn.functional.silu(y).transpose(1, 2))
        torch.testing.assert_close(convolution(x_BTD, mask_BT)[mask_BT], y[mask_BT], atol=1e-5, rtol=0)

        bias_B11T = key_bias(mask_BT, x_BTD.dtype)[:, None, None, :]
        attended = attention(x_BTD, bias_B11T, relative_positions(9, 16, x_BTD.device))
        query, key, value = attention.project(x_BTD).chunk(3, -1)
        distances = attention.distance(relative_positions(9, 16, x_BTD.device).double())
        for b, length in enumerate(lengths_B.tolist()):
            for i in range(length):
                heads = []
                for h in range(2):
                    part = slice(8 * h, 8 * h + 8)
                    content = key[b, :length, part] @ (query[b, i, part] + attention.key_query_bias[h, 0])
                    places = [8 - (i - j) for j in range(length)]
                    place = distances[places][:, part] @ (query[b, i, part] + attention.distance_query_bias[h, 0])
                    heads.append(((content + place) / 4).softmax(-1) @ value[b, :length, part])
                torch.testing.assert_close(attended[b, i], attention.output(torch.cat(heads)), atol=1e-10, rtol=0)


@pytest.mark.parametrize("kind", ["transformer", "conformer"])
def test_what_shortens_changes_the_layers_after_it_alone(kind: str) -> None:
    encoder = built(kind)
    features_BTF, lengths_B = torch.randn(3, 60, 20), torch.tensor([60, 33, 0])
    seen = []

    def every_second(states_BTD: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((states_BTD, lengths_B))
        return states_BTD[:, ::2], (lengths_B + 1) // 2

    def nothing(states_BTD: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        return states_BTD, lengths_B

    with torch.no_grad():
        plain_BTD, out_B, plain = encoder(features_BTF, lengths_B, (1, 2))
        same_BTD, _, _ = encoder(features_BTF, lengths_B, (), {1: nothing})
        short_BTD, short_B, kept = encoder(features_BTF, lengths_B, (1, 2), {1: every_second})
    assert torch.equal(same_BTD, plain_BTD)
    assert torch.equal(kept[1][0], plain[1][0])
    assert torch.equal(kept[1][1], out_B)
    assert torch.equal(seen[0][0], kept[1][0])
    assert (short_B.tolist(), kept[2][1].tolist()) == ([8, 5, 0], [8, 5, 0])
    assert short_BTD.shape[1] == kept[2][0].shape[1] == 8
    assert not short_BTD[1, 5:].any()


@pytest.mark.parametrize("kind", ENCODERS)
def test_training_with_an_empty_utterance_has_finite_gradients(kind: str) -> None:
    encoder = built(kind).train()
    states_BTD, _, _ = encoder(torch.randn(3, 40, 20), torch.tensor([40, 0, 3]))
    states_BTD.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert encoder(torch.zeros(2, 0, 20), torch.tensor([0, 0]))[1].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("cls", "changes", "says"),
    [
        (TransformerEncoderConfig, {"layers": -1}, "layers must be 0 or more"),
        (TransformerEncoderConfig, {"width": 12, "heads": 8}, "multiple of heads"),
        (TransformerEncoderConfig, {"feed_forward": 0}, "feed_forward"),
        (GatedFrontEndConfig, {"channels": 7}, "channels must be even"),
        (GatedFrontEndConfig, {"kernel": 4}, "kernel must be odd"),
        (GatedFrontEndConfig, {"time_strides": ()}, "time_strides"),
    ],
)
def test_impossible_sizes_are_refused(cls: type, changes: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        cls(**changes)


def test_an_encoder_says_what_it_cannot_do() -> None:
    with pytest.raises(ConfigError, match="a TransformerEncoder hears log-mel features"):
        build_encoder(TRANSFORMER, WaveformConfig())
    with pytest.raises(ConfigError, match="empty for an encoder without layers"):
        check_ctc_layers((1,), NOTHING)
