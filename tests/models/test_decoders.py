"""Attention decoders against the papers' formulas in float64, and what each may see of audio and labels.

T frames · N labels · M = N + 1 · S positions.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fbk_configs import CONFIGS, VOCABULARY, decoder
from torch import Tensor

from duolect.errors import ConfigError
from duolect.models import DecoderConfig, Encoded, key_value_bytes
from duolect.models.decoders import AnyDecoderConfig, Decoder, build_decoder
from duolect.nn.masks import sinusoids

GATED = DecoderConfig(width=16, layers=3, heads=2)
KINDS: dict[str, AnyDecoderConfig] = {
    "gated": GATED,
    "cross": decoder(),
    "prepend_causal": decoder(coupling="prepend"),
    "prepend_whole": decoder(coupling="prepend", causal_prefix=False),
    "one_layer": decoder(coupling="prepend", layers=1),
}
PREPENDING = ["prepend_causal", "prepend_whole"]


def random_decoder(kind: str, seed: int = 0) -> Decoder:
    """In float64, its weights far from those of a fresh one, so that every term counts."""
    torch.manual_seed(seed)
    made = build_decoder(KINDS[kind], 16, VOCABULARY, 1, 0).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return made


def encoded(lengths: list[int], seed: int) -> Encoded:
    """Random states, zero outside the utterances."""
    generator = torch.Generator().manual_seed(seed)
    states_BTD = torch.zeros(len(lengths), max(*lengths, 1), 16, dtype=torch.float64)
    for states_TD, length in zip(states_BTD, lengths, strict=True):
        states_TD[:length] = torch.randn(length, 16, generator=generator)
    return Encoded(states_BTD, torch.tensor(lengths))


def norm(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    if f"{name}.bias" not in weights:
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weights[f"{name}.weight"]
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(weights: dict[str, Tensor], name: str, x: Tensor, rows: slice = slice(None)) -> Tensor:
    y = x @ weights[f"{name}.weight"][rows].T
    return y + weights[f"{name}.bias"][rows] if f"{name}.bias" in weights else y


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    outputs = []
    for q, k, v in zip(query.split(8, 1), key.split(8, 1), value.split(8, 1), strict=True):
        outputs.append((q @ k.T / 8**0.5 + mask).softmax(-1) @ v)
    return torch.cat(outputs, 1)


def mask_of(frames: int, labels: int, causal_prefix: bool) -> Tensor:
    """M_ij = 0 if j ≤ i (or j < T, where the prefix is not causal), else −∞."""
    mask = torch.full((frames + labels, frames + labels), -torch.inf, dtype=torch.float64)
    for i, j in itertools.product(range(frames + labels), repeat=2):
        if j <= i or (not causal_prefix and j < frames):
            mask[i, j] = 0.0
    return mask


def reference(made: Decoder, states_TD: Tensor, labels: list[int]) -> Tensor:
    """Logits (M, V) of one utterance, from the weights, with nothing cached, padded or batched."""
    config, weights = made.config, dict(made.named_parameters())
    inputs = torch.tensor([1, *labels])
    x = weights["embedding.weight"][inputs] * 4.0 + sinusoids(torch.arange(len(inputs)), 16)
    frames, prepends = len(states_TD), getattr(config, "coupling", "cross") == "prepend"
    mask = torch.full((len(inputs), len(inputs)), -torch.inf, dtype=torch.float64).triu(1)
    if prepends:
        x, mask = torch.cat((states_TD, x)), mask_of(frames, len(inputs), config.causal_prefix)
    for number in range(config.layers):
        layer = f"layers.{number}"
        y, project = norm(weights, f"{layer}.self_norm", x), f"{layer}.self_attention.project"
        parts = [linear(weights, project, y, slice(16 * i, 16 * i + 16)) for i in range(3)]
        x = x + linear(weights, f"{layer}.self_attention.output", attention(*parts, mask))
        if not prepends and frames:
            y, name = norm(weights, f"{layer}.cross_norm", x), f"{layer}.cross_attention"
            both = [linear(weights, f"{name}.key_value", states_TD, slice(16 * i, 16 * i + 16)) for i in range(2)]
            heard = attention(linear(weights, f"{name}.query", y), *both, torch.zeros(len(y), frames))
            x = x + linear(weights, f"{name}.output", heard)
        y = norm(weights, f"{layer}.feed_norm", x)
        if config.kind == "gated":
            gate, inner = linear(weights, f"{layer}.feed_forward.gate_expand", y).chunk(2, -1)
            inner = torch.nn.functional.silu(gate) * inner
        else:
            inner = linear(weights, f"{layer}.feed_forward.expand", y).clamp(min=0)
        x = x + linear(weights, f"{layer}.feed_forward.contract", inner)
    table = weights["embedding.weight" if config.kind == "gated" else "output.weight"]
    return norm(weights, "norm", x[frames:] if prepends else x) @ table.T


@pytest.mark.parametrize("kind", KINDS)
def test_a_decoder_is_its_formula(kind: str) -> None:
    for seed in range(12):
        made, generator = random_decoder(kind, seed), torch.Generator().manual_seed(seed)
        lengths = torch.randint(1, 7, (3,), generator=generator).tolist()
        labels_BN = torch.randint(0, VOCABULARY, (3, seed % 5), generator=generator)
        audio = encoded(lengths, seed)
        with torch.no_grad():
            logits_BMV = made.logits(made.hidden(audio, labels_BN)[0])
            for b, length in enumerate(lengths):
                expected_MV = reference(made, audio.states_BTD[b, :length], labels_BN[b].tolist())
                torch.testing.assert_close(logits_BMV[b], expected_MV, atol=1e-9, rtol=1e-9, msg=f"seed {seed}, {b}")


def test_the_mask_of_a_whole_prefix_is_a_causal_one_with_a_block_of_zeros() -> None:
    for frames, labels in itertools.product(range(5), range(1, 5)):
        block = mask_of(frames, labels, True)
        block[:frames, :frames] = 0.0
        assert torch.equal(block, mask_of(frames, labels, False))


@pytest.mark.parametrize("kind", KINDS)
def test_no_label_sees_a_later_one(kind: str) -> None:
    made, audio = random_decoder(kind), encoded([5, 3], 1)
    labels_BN = torch.randint(0, VOCABULARY, (2, 6))
    with torch.no_grad():
        before_BMD = made.hidden(audio, labels_BN)[0]
        for place in range(6):
            other_BN = labels_BN.clone()
            other_BN[:, place:] = (other_BN[:, place:] + 1) % VOCABULARY
            after_BMD = made.hidden(audio, other_BN)[0]
            torch.testing.assert_close(after_BMD[:, : place + 1], before_BMD[:, : place + 1], atol=1e-12, rtol=0)
            assert (after_BMD[:, place + 1 :] - before_BMD[:, place + 1 :]).abs().amax(2).min() > 1e-4


@pytest.mark.parametrize("kind", PREPENDING)
def test_frames_of_a_causal_prefix_see_no_later_ones_those_of_a_whole_one_do(kind: str) -> None:
    made, audio, frame = random_decoder(kind), encoded([6, 6], 2), 3
    with torch.no_grad():
        _, before = made.start(audio, 2)
        audio.states_BTD[0, frame] *= -1.0
        _, after = made.start(audio, 2)
    for number, ((old, _), (new, _)) in enumerate(zip(before.prefix.layers, after.prefix.layers, strict=True)):
        changed_BT = (new - old).abs().amax((0, 3)) > 1e-6
        assert not changed_BT[1].any()
        expected = [False] * 3 + [True] + [number > 0] * 2
        if number and kind == "prepend_whole":
            expected = [True] * 6
        assert changed_BT[0].tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_utterance_is_the_same_before_and_after_a_long_one(kind: str) -> None:
    """No mask is kept between calls: the authors' own code once spoiled theirs in this way."""
    made = random_decoder(kind)
    short, long, labels_BN = encoded([3, 2], 3), encoded([9, 7], 4), torch.randint(0, VOCABULARY, (2, 4))
    with torch.no_grad():
        first = made.hidden(short, labels_BN)[0], made.start(short, 2)[0]
        made.hidden(long, labels_BN)
        made.start(long, 2)
        again = made.hidden(short, labels_BN)[0], made.start(short, 2)[0]
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


@pytest.mark.parametrize("kind", KINDS)
def test_an_utterance_is_the_same_alone_and_in_a_batch_even_without_a_frame(kind: str) -> None:
    made, audio = random_decoder(kind), encoded([6, 0, 1], 5)
    labels_BN = torch.randint(0, VOCABULARY, (3, 4))
    with torch.no_grad():
        together_BMD = made.hidden(audio, labels_BN)[0]
        log_probs_BV, _ = made.start(audio, 3)
        for b in range(3):
            alone = audio.select(torch.tensor([b]))
            torch.testing.assert_close(
                made.hidden(alone, labels_BN[b : b + 1])[0][0], together_BMD[b], atol=1e-10, rtol=0
            )
            torch.testing.assert_close(made.start(alone, 1)[0][0], log_probs_BV[b], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", PREPENDING)
def test_the_audio_is_kept_once_per_utterance(kind: str) -> None:
    made, audio = random_decoder(kind), encoded([6, 4], 6)
    with torch.no_grad():
        _, state = made.start(audio, 2)
        before = key_value_bytes(state)
        assert before == 3 * 2 * 16 * 8 * (2 * 6 + len(state.labels.pool.layers[0][0][0]))
        beams = made.select(state, torch.arange(2).repeat_interleave(5))
        assert beams.prefix is state.prefix
        assert key_value_bytes(beams) == before
        ended = made.select(beams, torch.tensor([7, 5]))  # both of the second utterance
        assert ended.prefix.layers[0][0].shape[1:3] == (1, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_over_some_labels_is_the_softmax_over_them(kind: str) -> None:
    made, audio = random_decoder(kind), encoded([6, 4], 7)
    kept_BC = torch.tensor([[0, 3, 9], [0, 5, -1]])
    labels_RN = torch.randint(0, VOCABULARY, (4, 2))
    rows_R = torch.tensor([0, 0, 1, 1])
    with torch.no_grad():
        head = made.head(kept_BC)
        _, state = made.start(audio, 2)
        few_BC, _ = made.start(audio, 2, head)
        state = made.select(state, rows_R)
        all_RNV, _ = made.step(state, labels_RN, torch.tensor([2, 1, 0, 2]))
        few_RNC, _ = made.step(state, labels_RN, torch.tensor([2, 1, 0, 2]), head.select(rows_R))
        all_BV = made.start(audio, 2)[0]
    for b in range(2):
        labels = [c for c in kept_BC[b].tolist() if c >= 0]
        torch.testing.assert_close(few_BC[b, : len(labels)], all_BV[b, labels].log_softmax(-1), atol=1e-6, rtol=0)
    for row, place in ((0, 0), (0, 1), (1, 0), (3, 0), (3, 1)):
        labels = [c for c in kept_BC[rows_R[row]].tolist() if c >= 0]
        expected = all_RNV[row, place, labels].log_softmax(-1)
        torch.testing.assert_close(few_RNC[row, place, : len(labels)], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_gets_its_gradient_in_training(kind: str) -> None:
    made = random_decoder(kind).train()
    made.logits(made.hidden(encoded([6, 0, 4], 8), torch.randint(0, VOCABULARY, (3, 5)))[0]).square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_prepended_states_must_be_as_wide_as_the_decoder() -> None:
    with pytest.raises(ConfigError, match="width must be the encoder's 24, not 16"):
        build_decoder(KINDS["prepend_causal"], 24, VOCABULARY, 1, 0)
    assert build_decoder(KINDS["cross"], 24, VOCABULARY, 1, 0)


@pytest.mark.parametrize("changes", [{"width": 15}, {"heads": 0}, {"feed_forward": 0}, {"auxiliary_layer": 3}])
def test_impossible_sizes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="decoder: "):
        decoder(**changes)


@pytest.mark.parametrize("kind", CONFIGS)
def test_models_of_every_architecture_see_each_utterance_alone(kind: str, build: Callable, batch: Any) -> None:
    made = build(CONFIGS[kind])
    with torch.inference_mode():
        together = made.encode(batch.samples_BN, batch.sample_lengths_B)
        log_probs_BMV = made.decoder.sequence_log_probs(together, batch.labels_BN, batch.label_lengths_B)
        for b, (samples, labels) in enumerate(
            zip(batch.sample_lengths_B.tolist(), batch.label_lengths_B.tolist(), strict=True)
        ):
            one = slice(b, b + 1)
            alone = made.encode(batch.samples_BN[one, :samples], batch.sample_lengths_B[one])
            alone_1MV = made.decoder.sequence_log_probs(
                alone, batch.labels_BN[one, :labels], batch.label_lengths_B[one]
            )
            torch.testing.assert_close(alone_1MV[0], log_probs_BMV[b, : labels + 1], atol=2e-5, rtol=0)
