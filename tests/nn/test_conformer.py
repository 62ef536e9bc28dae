"""The encoder: lengths, relative positions, independence of padding and batch, and the paper's size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.nn import Conformer, ConformerConfig, ConvFrontEnd, FrontEndConfig, length_mask
from duolect.nn.conformer import SquaredReLU
from duolect.nn.dropout import Dropout
from duolect.nn.masks import key_bias
from duolect.nn.relative import RelativeAttention, relative_positions, shift

SMALL_FRONT_END = FrontEndConfig(channels=(4, 6, 6))


def _encoder(**changes: object) -> Conformer:
    settings = {"width": 16, "layers": 2, "heads": 2, "kernel": 4, "front_end": SMALL_FRONT_END} | changes
    encoder = Conformer(ConformerConfig(**settings), bins=20).eval()  # type: ignore[arg-type]
    for module in encoder.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return encoder


@settings(max_examples=30, deadline=None)
@given(
    length=st.integers(1, 60),
    strides=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    frequency=st.integers(1, 2),
)
def test_length_formula_is_what_comes_out(length: int, strides: list[int], frequency: int) -> None:
    config = FrontEndConfig(
        channels=(3,) * len(strides), time_strides=tuple(strides), frequency_strides=(frequency,) * len(strides)
    )
    front_end = ConvFrontEnd(20, 8, config)
    lengths_B = torch.tensor([length, 0, max(length // 2, 1)])
    states_BTD, out_B = front_end(torch.randn(3, length, 20), lengths_B)
    assert torch.equal(out_B, front_end.output_lengths(lengths_B))
    assert states_BTD.shape[1] == out_B.max()
    assert not states_BTD[1].any()


@pytest.mark.parametrize(("frames", "pool"), [(13, 2), (1, 1), (6, 3)])
def test_the_front_end_is_its_formula(frames: int, pool: int) -> None:
    config = FrontEndConfig(channels=(3, 4), time_strides=(1, 3), frequency_strides=(1, 2), frequency_pool=pool)
    front_end = ConvFrontEnd(20, 8, config).double()
    features_BTF = torch.randn(2, frames, 20, dtype=torch.float64)
    lengths_B = torch.tensor([frames, -(-frames // 2)])
    states_BTD, out_B = front_end(features_BTF, lengths_B)
    for b, length in enumerate(lengths_B):  # one at a time, unpadded
        x = features_BTF[b, :length].reshape(1, 1, -1, 20)
        for stage, (convolution, strides) in enumerate(zip(front_end.convolutions, ((1, 1), (3, 2)), strict=True)):
            x = functional.conv2d(x, convolution.weight, convolution.bias, strides, padding=1)
            x = functional.max_pool2d(torch.relu(x), (1, pool if stage == 0 else 1))
        expected_TD = front_end.project(x.permute(0, 2, 3, 1).flatten(2))[0]
        torch.testing.assert_close(states_BTD[b, : out_B[b]], expected_TD)


def test_the_front_end_keeps_channels_last() -> None:
    front_end = ConvFrontEnd(20, 8, SMALL_FRONT_END)
    kept = []
    for convolution in front_end.convolutions:
        convolution.register_forward_hook(
            lambda _, inputs, output: kept.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    front_end(torch.randn(2, 9, 20), torch.tensor([9, 5]))
    assert kept == [True, True, True]  # without it all convolutions take twice as long on a CPU


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (1, 5), (4, 4), (3, 7)])
def test_shift_picks_the_score_of_each_distance(queries: int, keys: int) -> None:
    scores = torch.randn(2, queries, keys + queries - 1)
    shifted = shift(scores, keys)
    for query in range(queries):
        for key in range(keys):
            assert torch.equal(shifted[:, query, key], scores[:, query, queries - 1 - query + key])


def test_relative_attention_is_the_formula_and_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = RelativeAttention(8, 2, 0.0).eval()
    torch.nn.init.normal_(attention.key_query_bias)
    torch.nn.init.normal_(attention.distance_query_bias)
    x_BTD, lengths_B = torch.randn(2, 5, 8), torch.tensor([5, 3])
    bias_B11T = key_bias(length_mask(lengths_B, 5), x_BTD.dtype)[:, None, None, :]
    positions_PD = relative_positions(5, 8, x_BTD.device)
    with torch.no_grad():
        whole = attention(x_BTD, bias_B11T, positions_PD)
        monkeypatch.setattr("duolect.nn.relative.QUERY_BLOCK", 2)
        torch.testing.assert_close(attention(x_BTD, bias_B11T, positions_PD), whole)
        query, key, value = attention.project(x_BTD).unflatten(-1, (3, 2, 4)).unbind(2)
        distance_PHd = attention.distance(positions_PD).unflatten(-1, (2, 4))
        for b, length in enumerate(lengths_B.tolist()):
            for i in range(5):
                scores_HT = torch.stack(
                    [
                        (query[b, i] + attention.key_query_bias[:, 0]).mul(key[b, j]).sum(-1)
                        + (query[b, i] + attention.distance_query_bias[:, 0]).mul(distance_PHd[4 - (i - j)]).sum(-1)
                        for j in range(length)
                    ],
                    dim=-1,
                )
                weights_HT = (scores_HT / 2).softmax(-1)
                expected_Hd = torch.einsum("ht,thd->hd", weights_HT, value[b, :length])
                torch.testing.assert_close(whole[b, i], attention.output(expected_Hd.flatten()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kernel", [1, 4, 5])
def test_an_utterance_is_the_same_alone_in_a_batch_and_with_more_padding(kernel: int) -> None:
    encoder = _encoder(kernel=kernel)
    lengths_B = torch.tensor([50, 31, 7, 1, 0])
    features_BTF = torch.randn(5, 80, 20) * 5  # beyond the lengths: rubbish
    with torch.no_grad():
        batch_BTD, out_B, kept = encoder(features_BTF, lengths_B, keep_layers=(1,))
        assert out_B.tolist() == [9, 6, 2, 1, 0]
        for b, length in enumerate(lengths_B.tolist()):
            alone_1TD, out_1, kept_alone = encoder(features_BTF[b : b + 1, :length], lengths_B[b : b + 1], (1,))
            assert out_1[0] == out_B[b]
            frames = int(out_1)
            torch.testing.assert_close(alone_1TD[0, :frames], batch_BTD[b, :frames], atol=1e-5, rtol=0)
            torch.testing.assert_close(kept_alone[1][0][0, :frames], kept[1][0][b, :frames], atol=1e-5, rtol=0)
            assert not batch_BTD[b, frames:].any()
            assert not kept[1][0][b, frames:].any()


def test_training_with_an_empty_utterance_has_finite_gradients() -> None:
    encoder = _encoder().train()
    states_BTD, _, _ = encoder(torch.randn(3, 40, 20), torch.tensor([40, 0, 3]))
    states_BTD.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    assert encoder(torch.zeros(2, 0, 20), torch.tensor([0, 0]))[1].tolist() == [0, 0]


def test_squared_relu_has_its_gradient() -> None:
    x = torch.randn(20, dtype=torch.double, requires_grad=True)
    assert torch.equal(SquaredReLU.apply(x), torch.relu(x).square())
    assert torch.autograd.gradcheck(SquaredReLU.apply, (x,))


def test_dropout_keeps_the_mean_and_the_share() -> None:
    dropout, ones = Dropout(0.3), torch.ones(300, 1001)
    dropped = dropout(ones)
    assert abs((dropped == 0).float().mean().item() - 0.3) < 0.005
    assert abs(dropped.mean().item() - 1) < 0.01
    assert dropout.eval()(ones) is ones
    torch.manual_seed(1)
    first = Dropout(0.3)(ones)
    torch.manual_seed(1)
    assert torch.equal(first, Dropout(0.3)(ones))


@pytest.mark.parametrize(
    ("cls", "changes", "says"),
    [
        (ConformerConfig, {"width": 10, "heads": 4}, "multiple of heads"),
        (ConformerConfig, {"kernel": 0}, "kernel must be positive"),
        (ConformerConfig, {"dropout": 1.0}, "dropout"),
        (FrontEndConfig, {"channels": (8,)}, "equally many"),
        (FrontEndConfig, {"time_strides": (1, 0, 2)}, "time_strides"),
    ],
)
def test_impossible_sizes_are_refused(cls: type, changes: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        cls(**changes)
