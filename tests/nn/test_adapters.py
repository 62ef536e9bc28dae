"""Adapters: exact lengths, the same in any batch and with any padding, against plain loops, and refusals."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from duolect.configs import from_json, to_json
from duolect.errors import ConfigError
from duolect.models import SpeechLLMConfig
from duolect.nn import ChainConfig, ConcatLinearConfig, ConvConfig, CtcCompressionConfig, QFormerConfig
from duolect.nn.adapters import build_adapter, most_frames, needs_ctc

WIDTH, LLM_WIDTH, LABELS = 8, 6, 4

ADAPTERS: dict[str, Any] = {
    **{f"concat {k}": ConcatLinearConfig(factor=k) for k in (1, 2, 4, 8)},
    "conv": ConvConfig(),
    "conv gelu": ConvConfig(layers=3, kernel=4, stride=3, channels=5, activation="gelu"),
    "conv 1": ConvConfig(layers=1, kernel=1, stride=1),
    "qformer": QFormerConfig(window=5, queries=2, heads=2),
    "qformer 1": QFormerConfig(window=3, queries=1, heads=4, layers=1, feed_forward=7),
    "ctc": CtcCompressionConfig(),
    "ctc dropped": CtcCompressionConfig(policy="weighted", blanks="drop", most=3),
    "chain": ChainConfig(links=(CtcCompressionConfig(policy="softmax"), ConcatLinearConfig(factor=2))),
    "long chain": ChainConfig(
        links=(
            CtcCompressionConfig(),
            ConvConfig(layers=1, channels=4),
            QFormerConfig(window=2, queries=1, heads=2),
            ConcatLinearConfig(factor=1),
        )
    ),
}


def _build(name: str, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build_adapter(ADAPTERS[name], WIDTH, LLM_WIDTH).eval()


def _run(adapter: Any, states: Tensor, lengths: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    return adapter(states, lengths, lambda: logits)


@pytest.mark.parametrize("name", ADAPTERS)
def test_alone_in_a_batch_and_with_more_padding(name: str) -> None:
    for seed in range(6):
        adapter, draw = _build(name, seed), random.Random(seed)
        lengths = torch.tensor([draw.randint(1, 23), 0, 1, draw.randint(1, 23)])
        frames = int(lengths.max())
        logits = torch.randn(4, frames + 9, LABELS + 1)
        states = torch.randn(4, frames + 9, WIDTH)
        for b, length in enumerate(lengths.tolist()):
            states[b, length:] = 0  # as encoders give them
        with torch.no_grad():
            narrow, counts = _run(adapter, states[:, :frames], lengths, logits[:, :frames])
            wide, again = _run(adapter, states, lengths, logits)
            assert counts.tolist() == again.tolist()
            assert (counts <= adapter.output_lengths(lengths)).all()
            assert counts[1] == 0
            for b, length in enumerate(lengths.tolist()):
                count = int(counts[b])
                assert (count > 0) == (length > 0)
                assert not narrow[b, count:].any()
                assert not wide[b, count:].any()
                torch.testing.assert_close(narrow[b, :count], wide[b, :count], atol=1e-5, rtol=0)
                if length:
                    row = slice(b, b + 1)
                    alone, one = _run(adapter, states[row, :length], lengths[row], logits[row, :length])
                    assert int(one) == count
                    torch.testing.assert_close(alone[0, :count], narrow[b, :count], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", [name for name in ADAPTERS if not needs_ctc(ADAPTERS[name])])
def test_the_lengths_are_exact_and_every_position_hears_something(name: str) -> None:
    adapter = _build(name)
    for length in range(1, 40):
        states = torch.randn(1, length, WIDTH, requires_grad=True)
        audio, (count,) = adapter(states, torch.tensor([length]))
        assert int(count) == int(adapter.output_lengths(torch.tensor([length]))) == audio.shape[1]
        (last,) = torch.autograd.grad(audio[0, -1].square().sum(), states, retain_graph=True)
        assert last[0, -1].any(), f"{length} frames: the last one is not heard by the last position"


@pytest.mark.parametrize("activation", ["glu", "gelu"])
def test_convolutions_are_those_of_a_loop(activation: Any) -> None:
    config = ConvConfig(layers=2, kernel=5, stride=2, activation=activation)
    adapter = build_adapter(config, WIDTH, LLM_WIDTH).double()
    x = states = torch.randn(11, WIDTH, dtype=torch.float64)
    for convolution in adapter.convolutions:
        frames = []
        for start in range(0, len(x), 2):  # L' = ⌊(L + 2·2 - 5) / 2 + 1⌋
            taps = [(k, start + k - 2) for k in range(5) if 0 <= start + k - 2 < len(x)]
            frames.append(sum(convolution.weight[..., k] @ x[t] for k, t in taps) + convolution.bias)
        assert len(frames) == (len(x) + 4 - 5) // 2 + 1
        x = torch.stack(frames)
        x = x[:, :WIDTH] * torch.sigmoid(x[:, WIDTH:]) if activation == "glu" else functional.gelu(x)
    audio, counts = adapter(states[None], torch.tensor([11]))
    assert counts.tolist() == [3]
    torch.testing.assert_close(audio[0], adapter.linear(x))


def test_the_windows_of_a_q_former_do_not_see_each_other() -> None:
    adapter = _build("qformer")
    states = torch.randn(1, 13, WIDTH)
    before, counts = adapter(states, torch.tensor([13]))
    assert counts.tolist() == [6]
    for window in range(3):
        changed = states.clone()
        changed[0, 5 * window : 5 * window + 5] += 1
        after, _ = adapter(changed, torch.tensor([13]))
        other = (after - before).abs().amax(-1)[0].unflatten(0, (3, 2)).amax(-1)
        assert [bool(difference > 1e-6) for difference in other] == [w == window for w in range(3)]
    # The queries of a window differ, and the order of its frames matters.
    assert (before[0, 0] - before[0, 1]).abs().max() > 1e-4
    assert (adapter(states.flip(1), torch.tensor([13]))[0][0, 2:4] - before[0, 2:4]).abs().max() > 1e-6


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_weight_is_trained(name: str) -> None:
    adapter = _build(name).train()
    logits = torch.randn(2, 20, LABELS + 1, requires_grad=True)
    states = torch.randn(2, 20, WIDTH, requires_grad=True)
    audio, _ = _run(adapter, states, torch.tensor([20, 11]), logits)
    (audio * torch.randn_like(audio)).sum().backward()
    assert [key for key, p in adapter.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    assert logits.grad is None
    assert states.grad is not None
    assert not states.grad[1, 11:].any()


@pytest.mark.parametrize("name", ADAPTERS)
def test_the_most_frames_for_so_many_positions(name: str) -> None:
    adapter = _build(name)
    for positions in (1, 2, 7, 96):
        frames = most_frames(adapter, positions)
        if math.isinf(frames):
            continue
        counts = [int(adapter.output_lengths(torch.tensor([n]))[0]) if n else 0 for n in (frames, frames + 1)]
        assert counts[0] <= positions < counts[1]
    assert math.isinf(most_frames(adapter, math.inf))


@pytest.mark.parametrize("name", ADAPTERS)
def test_configs_are_read_as_they_are_written(name: str) -> None:
    config = _speech_llm(adapter=ADAPTERS[name], ctc_layers=(2,))
    again = from_json(SpeechLLMConfig, to_json(config))
    assert again == config
    assert type(again.adapter) is type(ADAPTERS[name])


def _speech_llm(**fields: Any) -> SpeechLLMConfig:
    llm = {"vocabulary": 9, "width": 16, "layers": 1, "heads": 2, "intermediate": 16, "max_positions": 64}
    settings = {name: to_json(value) for name, value in fields.items()}
    return from_json(SpeechLLMConfig, {"llm": llm, "bos_id": 1, "eos_id": 0, **settings})


def test_what_does_not_fit_is_refused_by_name() -> None:
    compression = CtcCompressionConfig()
    cases: list[tuple[Any, str]] = [
        (lambda: ChainConfig(links=()), "links must name at least one"),
        (lambda: ChainConfig(links=(ConcatLinearConfig(), compression)), r"links\[1\].*must be the first"),
        (lambda: ConvConfig(kernel=2, stride=3), "stride of 3 passes over"),
        (lambda: ConvConfig(layers=0), "layers must be at least 1"),
        (lambda: QFormerConfig(window=0), "window must be at least 1"),
        (lambda: build_adapter(QFormerConfig(heads=3), WIDTH, 4), "heads must divide"),
        (lambda: _speech_llm(adapter=compression), "adapter.*ctc_layers must name"),
        (lambda: _speech_llm(adapter=ChainConfig(links=(compression,))), "adapter.*ctc_layers must name"),
        (
            lambda: _speech_llm(adapter=compression, ctc_layers=(2, 4), compression={"layer": 4}),
            r"adapter.*layer 4.*ctc_layers \(2, 4\).*beyond",
        ),
        (lambda: _speech_llm(ctc_layers=(2, 4), compression={"layer": 3}), r"compression: layer.*\(2, 4\).*not 3"),
        (lambda: _speech_llm(adapter={"kind": "chain", "links": [{"kind": "chain"}]}), r"links\[0\]: kind must be one"),
        (
            lambda: _speech_llm(
                ctc_layers=(2,), compression={"layer": 2}, encoder={"kind": "huggingface", "source": "somewhere"}
            ),
            "compression: the layers of a pre-trained encoder",
        ),
    ]
    for build, message in cases:
        with pytest.raises(ConfigError, match=message):
            build()
