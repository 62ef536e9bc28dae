"""Attention maps: equal to what an eager model gives, by layer, head and part; and the times of audio positions."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from duolect.errors import ConfigError, ModelError
from duolect.models import DecoderConfig, SpeechLLM
from duolect.models.attention import attention_map, hear
from duolect.models.compression import CompressionConfig
from duolect.models.decoders import TransformerDecoderConfig
from duolect.models.interfaces import CrossConfig, MergedConfig, PrefixConfig
from duolect.nn import ChainConfig, ConcatLinearConfig, CtcCompressionConfig
from duolect.nn.transformer import CrossAttention

LABELS = (3, 7, 2, 9, 4)


def _eager(model: SpeechLLM, encoded: Any, bidirectional: bool) -> torch.Tensor:
    """weights_LHMK of the rows after BOS and each label, by transformers' own eager attention."""
    architecture = copy.deepcopy(model.llm.model.config)
    reference = AutoModelForCausalLM.from_config(architecture, attn_implementation="eager").eval()
    reference.load_state_dict(model.llm.model.state_dict())
    audio_1TE, length_1 = encoded.audio
    before, after = (model.llm.embed(torch.tensor([labels])) for labels in ((3, 4), (5, model.bos_id, *LABELS)))
    embedded_1SE = torch.cat((before, audio_1TE[:, : int(length_1)], after), dim=1)
    positions = embedded_1SE.shape[1]
    mask = None
    if bidirectional:
        seen_SS = torch.ones(positions, positions, dtype=torch.bool).tril()
        seen_SS[2 : 2 + int(length_1), 2 : 2 + int(length_1)] = True
        mask = torch.zeros(1, 1, positions, positions).masked_fill(~seen_SS, torch.finfo(torch.float32).min)
    given = reference(inputs_embeds=embedded_1SE, attention_mask=mask, output_attentions=True)
    return torch.stack(given.attentions)[:, 0, :, -len(LABELS) - 1 :]


@pytest.mark.parametrize("audio", ["causal", "bidirectional"])
def test_a_prefix_models_map_is_that_of_an_eager_model(audio: Any, configs: Any, build: Callable, batch: Any) -> None:
    config = dataclasses.replace(configs["speech_llm"], interface=PrefixConfig(audio=audio))
    model = build(config)
    with torch.no_grad():
        heard = hear(model, batch.samples_BN[:1], batch.sample_lengths_B[:1])
        expected_LHMK = _eager(model, heard.encoded, audio == "bidirectional")
    found = attention_map(model, heard.encoded, LABELS, heads=range(1, 5))
    torch.testing.assert_close(found.weights_LHMK, expected_LHMK, atol=1e-5, rtol=1e-4)
    assert (found.layers, found.heads, found.depth) == ((1, 2), (1, 2, 3, 4), 2)
    positions = int(heard.encoded.positions_B[0])
    assert [(part.kind, part.size, part.labels) for part in found.parts] == [
        ("prompt", 2, (3, 4)),
        ("audio", positions, ()),
        ("prompt", 1, (5,)),
        ("text", 6, (-1, *LABELS)),
    ]
    torch.testing.assert_close(found.weights_LHMK.sum(-1), torch.ones(2, 4, 6))
    text_LHMM = found.weights_LHMK[..., -6:]
    assert not text_LHMM.triu(1).any()
    assert bool((text_LHMM.diagonal(dim1=2, dim2=3) > 0).all())
    # Some layers, some heads, or the mean over them.
    some = attention_map(model, heard.encoded, LABELS, layers=(2,), heads=(3, 1))
    torch.testing.assert_close(some.weights_LHMK, expected_LHMK[1:, [2, 0]], atol=1e-5, rtol=1e-4)
    mean = attention_map(model, heard.encoded, LABELS)
    torch.testing.assert_close(mean.weights_LHMK, expected_LHMK.mean(1, keepdim=True), atol=1e-5, rtol=1e-4)
    assert mean.heads == ()


def test_a_merged_models_map_is_by_hand_that_of_its_layers(configs: Any, build: Callable, batch: Any) -> None:
    """Rotary positions 0 … T − 1 for the audio, which is the adapter's output in each layer, and T … for the text."""
    model = build(dataclasses.replace(configs["speech_llm"], interface=MergedConfig()))
    heard = hear(model, batch.samples_BN[:1], batch.sample_lengths_B[:1])
    found = attention_map(model, heard.encoded, LABELS, heads=range(1, 5))
    positions = int(heard.encoded.positions_B[0])
    assert [(part.kind, part.size, part.labels) for part in found.parts] == [
        ("audio", positions, ()),
        ("prompt", 3, (3, 4, 5)),
        ("text", 6, (-1, *LABELS)),
    ]
    llm = model.llm.model.model
    assert heard.encoded.audio is not None
    audio_1TE = heard.encoded.audio[0]
    rotary = llm.rotary_emb(audio_1TE, torch.arange(positions + 9)[None])
    inputs: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, arguments, keywords: inputs.append(arguments[0]), with_kwargs=True)
        for layer in llm.layers
    ]
    with torch.inference_mode():
        model.sequence_log_probs(heard.encoded, torch.tensor([LABELS]), torch.tensor([len(LABELS)]))
        for hook in hooks:
            hook.remove()
        for layer, x_1SE, weights_HMK in zip(llm.layers, inputs, found.weights_LHMK, strict=True):
            both_1KE = layer.input_layernorm(torch.cat((audio_1TE, x_1SE), dim=1))
            attention = layer.self_attn
            query, key = (
                project(both_1KE).unflatten(-1, (-1, attention.head_dim)).transpose(1, 2)
                for project in (attention.q_proj, attention.k_proj)
            )
            query, key = apply_rotary_pos_emb(query, key, *rotary)
            scores = query[0] @ key[0].repeat_interleave(2, 0).transpose(1, 2) * attention.head_dim**-0.5
            seen = torch.ones(positions + 9, positions + 9, dtype=torch.bool).tril()
            expected_HMK = scores.masked_fill(~seen, -torch.inf).softmax(-1)[:, -6:]
            torch.testing.assert_close(weights_HMK, expected_HMK, atol=1e-5, rtol=1e-4)


def _by_hand(modules: list[CrossAttention], run: Callable[[], object]) -> torch.Tensor:
    """weights_LHMT of cross-attention modules, recomputed from what went into them."""
    found = []

    def note(module: Any, arguments: Any) -> None:
        x_1MD, (keys, _), bias_B11T, _ = arguments
        query = module.query(x_1MD).unflatten(-1, (module.heads, -1)).transpose(1, 2)
        keys = keys.repeat_interleave(module.heads // module.kv_heads, 1)
        found.append(((query @ keys.transpose(2, 3)) * query.shape[-1] ** -0.5 + bias_B11T).softmax(-1)[0])

    hooks = [module.register_forward_pre_hook(note) for module in modules]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return torch.stack(found)


@pytest.mark.parametrize("every", [1, 2])
def test_a_cross_models_map_is_that_of_its_blocks(every: int, configs: Any, build: Callable, batch: Any) -> None:
    llm = dataclasses.replace(configs["speech_llm"].llm, layers=4)
    model = build(dataclasses.replace(configs["speech_llm"], llm=llm, interface=CrossConfig(every=every)))
    heard = hear(model, batch.samples_BN[:1], batch.sample_lengths_B[:1])
    labels_1N, length_1 = torch.tensor([LABELS]), torch.tensor([len(LABELS)])
    modules = [block.attention for block in model.interface.blocks]
    expected_LHMT = _by_hand(modules, lambda: model.sequence_log_probs(heard.encoded, labels_1N, length_1))
    found = attention_map(model, heard.encoded, LABELS, heads=range(1, 5))
    torch.testing.assert_close(found.weights_LHMK, expected_LHMT[:, :, -6:], atol=1e-5, rtol=1e-4)
    assert found.layers == tuple(range(every, 5, every))
    assert [part.kind for part in found.parts] == ["audio"]
    if every == 2:
        with pytest.raises(ConfigError, match=r"no layer 3 .*; there are 2, 4"):
            attention_map(model, heard.encoded, LABELS, layers=(3,))


def test_an_attention_decoders_map_is_that_of_its_layers(models: Any, batch: Any) -> None:
    model = models["acoustic"]
    heard = hear(model, batch.samples_BN[:1], batch.sample_lengths_B[:1])
    labels_1N, length_1 = torch.tensor([LABELS]), torch.tensor([len(LABELS)])
    modules = [layer.cross_attention for layer in model.decoder.layers]
    expected_LHMT = _by_hand(modules, lambda: model.decoder.sequence_log_probs(heard.encoded, labels_1N, length_1))
    found = attention_map(model, heard.encoded, LABELS, heads=(1, 2))
    torch.testing.assert_close(found.weights_LHMK, expected_LHMT, atol=1e-5, rtol=1e-4)
    assert found.layers == (1, 2, 3)
    torch.testing.assert_close(found.weights_LHMK.sum(-1), torch.ones(3, 2, 6))


def test_a_prepend_decoders_map_has_audio_and_text(configs: Any, build: Callable, batch: Any) -> None:
    decoder = TransformerDecoderConfig(width=16, layers=3, heads=2, coupling="prepend")
    model = build(dataclasses.replace(configs["acoustic"], decoder=decoder))
    heard = hear(model, batch.samples_BN[:1], batch.sample_lengths_B[:1])
    found = attention_map(model, heard.encoded, LABELS)
    assert [(part.kind, part.size) for part in found.parts] == [("audio", int(heard.encoded.lengths_B[0])), ("text", 6)]
    assert found.weights_LHMK.shape == (3, 1, 6, sum(part.size for part in found.parts))
    torch.testing.assert_close(found.weights_LHMK.sum(-1), torch.ones(3, 1, 6))
    assert not found.weights_LHMK[..., -6:].triu(1).any()


def test_no_label_leaves_the_row_of_eos(models: Any, batch: Any) -> None:
    model = models["speech_llm"]
    heard = hear(model, batch.samples_BN[:1], batch.sample_lengths_B[:1])
    found = attention_map(model, heard.encoded, ())
    assert found.weights_LHMK.shape[2] == 1


def test_what_does_not_exist_is_one_sentence(models: Any, configs: Any, build: Callable, batch: Any) -> None:
    model = models["speech_llm"]
    heard = hear(model, batch.samples_BN[:1], batch.sample_lengths_B[:1])
    for settings, says in [
        ({"layers": (3,)}, r"no layer 3 .*there are 1, 2\."),
        ({"layers": (0,)}, "no layer 0 "),
        ({"heads": (5,)}, r"no head 5 in each layer; there are 1, 2, 3, 4\."),
    ]:
        with pytest.raises(ConfigError, match=says):
            attention_map(model, heard.encoded, LABELS, **settings)
    deaf = build(dataclasses.replace(configs["acoustic"], decoder=None))
    heard = hear(deaf, batch.samples_BN[:1], batch.sample_lengths_B[:1])
    with pytest.raises(ModelError, match="CTC heads alone"):
        attention_map(deaf, heard.encoded, LABELS)


@torch.inference_mode()
def test_the_times_of_audio_positions(configs: Any, build: Callable, batch: Any) -> None:
    samples_1N, lengths_1 = batch.samples_BN[:1], batch.sample_lengths_B[:1]
    base = configs["speech_llm"]

    def edges(**changes: Any) -> tuple[Any, Any, np.ndarray]:
        model = build(dataclasses.replace(base, **changes))
        heard = hear(model, samples_1N, lengths_1)
        assert len(heard.edges_T1) == int(heard.encoded.positions_B[0]) + 1
        assert (np.diff(heard.edges_T1) > 0).all()
        end = int(heard.encoded.frames_B[0]) * model.seconds_per_frame
        assert heard.edges_T1[-1] == pytest.approx(end)
        return model, heard.encoded, heard.edges_T1

    for factor in (1, 2, 3):
        model, encoded, found = edges(adapter=ConcatLinearConfig(factor=factor))
        frames = int(encoded.lengths_B[0])
        assert frames % 3
        expected = [min(factor * i, frames) * model.seconds_per_frame for i in range(len(found))]
        np.testing.assert_allclose(found, expected)

    for blanks in ("keep", "drop"):
        merged = CtcCompressionConfig(blanks=blanks)
        model, encoded, found = edges(adapter=merged)
        labels = model.speech.ctc_logits(encoded)[0][0].argmax(-1).tolist()
        blank = model.vocabulary
        runs = [t for t in range(len(labels)) if t == 0 or labels[t] != labels[t - 1]]
        kept = [t for t in runs if blanks == "keep" or labels[t] != blank] or [0]
        np.testing.assert_allclose(found[:-1], np.array(kept) * model.seconds_per_frame)
        chained = ChainConfig(links=(merged, ConcatLinearConfig(factor=2)))
        _, _, halved = edges(adapter=chained)
        np.testing.assert_allclose(halved[:-1], found[:-1][::2])

    model, encoded, found = edges(
        adapter=ConcatLinearConfig(factor=1), ctc_layers=(1, 2), compression=CompressionConfig(layer=1)
    )
    labels = model.speech.ctc_logits(encoded, 1)[0][0].argmax(-1).tolist()
    runs = [t for t in range(len(labels)) if t == 0 or labels[t] != labels[t - 1]]
    np.testing.assert_allclose(found[:-1], np.array(runs) * model.seconds_per_frame)


def test_a_decoder_over_all_layers_is_not_disturbed_by_being_watched(models: Any, batch: Any) -> None:
    model = models["acoustic"]
    heard = hear(model, batch.samples_BN[:1], batch.sample_lengths_B[:1])
    arguments = (heard.encoded, torch.tensor([LABELS]), torch.tensor([len(LABELS)]))
    with torch.no_grad():
        before = model.decoder.sequence_log_probs(*arguments)
        attention_map(model, heard.encoded, LABELS)
        assert torch.equal(model.decoder.sequence_log_probs(*arguments), before)
    assert isinstance(model.config.decoder, DecoderConfig)
