"""Frames merged between the layers of an encoder, and before the LLM: what the models make of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from duolect.data.loader import SpeechBatch
from duolect.models import AcousticModel, CompressionConfig, Model, SpeechLLM, build_model, load_model, save_model
from duolect.nn import ChainConfig, ConcatLinearConfig, ConvConfig, CtcCompressionConfig, QFormerConfig
from duolect.nn.losses import ctc_frames_needed
from duolect.nn.masks import key_bias, length_mask
from duolect.nn.merging import merge_frames
from duolect.nn.meters import read_meters
from duolect.nn.relative import relative_positions
from duolect.search import AutoregressiveScorer, CTCPrefixScorer, Weighted, frame_synchronous, label_synchronous

Build = Callable[[Any], Model]


@pytest.fixture(scope="module")
def acoustic(configs: dict[str, Any]) -> Any:
    """An acoustic model that merges frames after its first layer."""
    return dataclasses.replace(configs["acoustic"], compression=CompressionConfig(layer=1))


@pytest.fixture(scope="module")
def speech_llm(configs: dict[str, Any]) -> Any:
    """A speech LLM that merges frames after the first layer, by its CTC head, and again before the LLM."""
    return dataclasses.replace(
        configs["speech_llm"],
        ctc_layers=(1, 2),
        compression=CompressionConfig(layer=1, policy="weighted"),
        adapter=ChainConfig(links=(CtcCompressionConfig(policy="softmax"), ConcatLinearConfig(factor=2))),
    )


def _encode(model: Any, batch: SpeechBatch) -> Any:
    with torch.no_grad():
        return model.encode(batch.samples_BN, batch.sample_lengths_B)


def test_the_remaining_layers_run_on_what_is_merged(build: Build, acoustic: Any, batch: SpeechBatch) -> None:
    model = build(acoustic)
    assert isinstance(model, AcousticModel)
    encoded = _encode(model, batch)
    plain = build(dataclasses.replace(acoustic, compression=None))
    plain.load_state_dict(model.state_dict())  # compression has no weights
    before = _encode(plain, batch)
    torch.testing.assert_close(encoded.ctc_states[1], before.ctc_states[1])
    assert torch.equal(encoded.ctc_lengths[1], before.lengths_B)
    logits, lengths = model.speech.ctc_logits(encoded, 1)
    merged, counts = merge_frames(encoded.ctc_states[1], lengths, logits, acoustic.compression)
    assert encoded.lengths_B.tolist() == encoded.ctc_lengths[2].tolist() == counts.tolist()
    assert 0 < counts.sum() < lengths.sum()
    assert torch.equal(encoded.frames_B, lengths)
    mask = length_mask(counts, merged.shape[1])
    positions = relative_positions(merged.shape[1], model.speech.encoder.width, merged.device)
    with torch.no_grad():
        last = model.speech.encoder.layers[1](merged, mask, key_bias(mask, merged.dtype)[:, None, None, :], positions)
    torch.testing.assert_close(encoded.states_BTD, last * mask[..., None], atol=1e-5, rtol=0)
    assert torch.equal(encoded.ctc_states[2], encoded.states_BTD)


@pytest.mark.parametrize("kind", ["acoustic", "speech_llm"])
def test_alone_as_in_a_batch(kind: str, build: Build, batch: SpeechBatch, request: pytest.FixtureRequest) -> None:
    model = build(request.getfixturevalue(kind))
    together = _encode(model, batch)
    labels, lengths = batch.labels_BN, batch.label_lengths_B
    speaker: Any = model.decoder if kind == "acoustic" else model
    with torch.no_grad():
        scores = speaker.sequence_log_probs(together, labels, lengths)
    for b, samples in enumerate(batch.sample_lengths_B.tolist()):
        with torch.no_grad():
            alone = model.encode(batch.samples_BN[b : b + 1, :samples], batch.sample_lengths_B[b : b + 1])
            own = speaker.sequence_log_probs(alone, labels[b : b + 1], lengths[b : b + 1])
        picked = together.select(torch.tensor([b]))
        assert alone.ctc_lengths == picked.ctc_lengths
        pairs = [(alone.states_BTD, picked.states_BTD)]
        pairs += [(alone.ctc_states[layer], picked.ctc_states[layer]) for layer in (1, 2)]
        pairs += [(alone.audio[0], picked.audio[0])] if alone.audio else []
        for mine, theirs in pairs:
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
        count = int(lengths[b]) + 1
        torch.testing.assert_close(own[0, :count], scores[b, :count], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("policy", ["mean", "weighted", "softmax"])
def test_the_head_that_says_what_is_merged_learns_from_ctc_alone(
    policy: Any, configs: dict[str, Any], batch: SpeechBatch
) -> None:
    torch.manual_seed(1)
    compression = CompressionConfig(layer=1, policy=policy)
    model: Any = build_model(dataclasses.replace(configs["acoustic"], compression=compression)).train()
    terms = model(batch)
    (terms["ce"].total + terms["ctc2"].total).backward(retain_graph=True)
    assert model.speech.ctc_heads["1"].weight.grad is None
    assert all(p.grad.isfinite().all() for p in model.speech.encoder.layers[0].parameters())
    terms["ctc1"].total.backward()
    assert model.speech.ctc_heads["1"].weight.grad.any()


def test_too_few_frames_for_the_labels_are_counted_and_teach_nothing(acoustic: Any, batch: SpeechBatch) -> None:
    torch.manual_seed(2)
    model: Any = build_model(acoustic).train()
    with torch.no_grad():  # CTC finds everything equal: one vector remains of each utterance
        model.speech.ctc_heads["1"].weight.zero_()
    terms = model(batch)
    meters = read_meters(model)
    frames = model.speech(batch.samples_BN, batch.sample_lengths_B).frames_B
    assert meters["compression"] == (float(frames.sum()), 3.0)
    assert meters["ctc_too_short"] == (2.0, 3.0)  # the second has no label
    # Those two count as guessed, 12 ways each; the third has one frame that is to be blank.
    with torch.no_grad():
        model.eval()
        encoded = model.speech(batch.samples_BN, batch.sample_lengths_B)
        counted = float(model.speech.ctc_terms(encoded, batch, 1.0, 1.0)["ctc2"].total)
        blank = -float(model.ctc_log_probs(encoded, 2)[0][1, 0, -1])
    assert counted == pytest.approx(7 * math.log(12) + blank, rel=1e-5)
    terms["ctc2"].total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert terms["ctc1"].total > 0


def test_frames_needed_count_the_blanks_between_equal_labels() -> None:
    labels = torch.tensor([[3, 3, 3, 4], [5, 5, 5, 5], [1, 2, 2, 2]])
    assert ctc_frames_needed(labels, torch.tensor([4, 0, 2])).tolist() == [6, 0, 2]
    assert ctc_frames_needed(labels[:, :0], torch.tensor([0, 0, 0])).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "adapter",
    [
        ConvConfig(layers=1, kernel=3),
        QFormerConfig(window=3, queries=2, heads=2),
        CtcCompressionConfig(blanks="drop", most=4),
        ChainConfig(links=(CtcCompressionConfig(), ConvConfig(layers=1))),
    ],
    ids=lambda config: config.kind,
)
def test_saved_is_loaded(adapter: Any, build: Build, speech_llm: Any, batch: SpeechBatch, tmp_path: Path) -> None:
    model = build(dataclasses.replace(speech_llm, adapter=adapter))
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert isinstance(again, SpeechLLM)
    assert again.config == model.config
    mine, theirs = _encode(model, batch), _encode(again, batch)
    assert torch.equal(mine.audio[0], theirs.audio[0])
    assert mine.audio[1].tolist() == theirs.audio[1].tolist()
    assert mine.positions_B.sum() < mine.frames_B.sum() * (2 if adapter.kind == "qformer" else 1)


def test_joint_search_with_heads_before_and_after_the_merging(
    build: Build, acoustic: Any, speech_llm: Any, batch: SpeechBatch
) -> None:
    for config in (acoustic, speech_llm):
        model: Any = build(config)
        encoded = _encode(model, batch)
        speaker = model.decoder if isinstance(model, AcousticModel) else model
        for layer in (1, 2):
            log_probs, lengths = model.ctc_log_probs(encoded, layer)
            assert lengths.tolist() == (encoded.frames_B if layer == 1 else encoded.lengths_B).tolist()
            scorers = [
                Weighted("model", AutoregressiveScorer(speaker), 1.0),
                Weighted("ctc", CTCPrefixScorer(log_probs, lengths, eos_id=0), 0.5),
            ]
            settings: Any = {"beam": 3, "nbest": 2, "eos_id": 0, "forbidden_ids": [1]}
            found = label_synchronous(scorers, encoded, limits_B=[6, 6, 6], **settings)
            assert all(len(each) == 2 for each in found)
            for b in range(3):
                index = torch.tensor([b])
                own = CTCPrefixScorer(log_probs[index, : int(lengths[b])], lengths[index], eos_id=0)
                alone = [scorers[0], Weighted("ctc", own, 0.5)]
                (again,) = label_synchronous(alone, encoded.select(index), limits_B=[6], **settings)
                assert [h.labels for h in again] == [h.labels for h in found[b]]
            frame_synchronous(log_probs, lengths, beam=3, nbest=2, eos_id=0, forbidden_ids=[1])
