"""Models rounded to bfloat16 say nearly what they said, step by step, whatever they are made of."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import fbk_configs
import pytest
import torch
from tiny_encoders import ALL, make_source
from tiny_interfaces import INTERFACES
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from duolect.data.loader import SpeechBatch
from duolect.models import AcousticConfig, CompressionConfig, DecoderConfig, HuggingFaceEncoderConfig, Model
from duolect.models.encoders import inspect_source
from duolect.models.precision import round_to_bfloat16
from duolect.nn import CtcCompressionConfig, MaskedBatchNorm, QFormerConfig
from duolect.nn.adapters import ConvConfig
from duolect.search import (
    AutoregressiveScorer,
    CTCPrefixScorer,
    Weighted,
    label_synchronous,
    sequence_scores,
)

NEAR = 0.05
"""Nats of a label, root mean square, where log-probabilities spread by about one."""


@pytest.fixture(scope="module")
def every(configs: Any) -> Mapping[str, Any]:
    """Configs of models that write labels, by what is special about them."""
    acoustic, speech_llm = configs["acoustic"], configs["speech_llm"]
    adapters = {"conv": ConvConfig(), "qformer": QFormerConfig(window=5, queries=2, heads=2)}
    adapters["ctc"] = CtcCompressionConfig(policy="weighted")
    return {
        "acoustic": acoustic,
        "compressed": dataclasses.replace(acoustic, compression=CompressionConfig(layer=1)),
        "language": configs["language"],
        **fbk_configs.CONFIGS,
        **{name: dataclasses.replace(speech_llm, interface=each) for name, each in INTERFACES.items()},
        **{name: dataclasses.replace(speech_llm, adapter=each) for name, each in adapters.items()},
    }


NAMES = ["acoustic", "compressed", "language", *fbk_configs.CONFIGS, *INTERFACES, "conv", "qformer", "ctc"]


def rounded(model: Any) -> Any:
    other = copy.deepcopy(model)
    round_to_bfloat16(other)
    return other


def assert_near(found: Tensor, expected: Tensor) -> None:
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    error = float((found - expected).square().mean().sqrt())
    assert 0 < error < NEAR, error


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_as_likely_as_before_at_once_and_step_by_step(
    name: str, every: Any, build: Callable[[Any], Model], batch: SpeechBatch
) -> None:
    stored = build(every[name])
    model = rounded(stored)
    labels = batch.labels_BN, batch.label_lengths_B
    lists = [[(2, 3, 4), (2, 3), (5, 6, 2, 2), ()], [(7,), (7, 8)], [(3, 3, 3)]]
    with torch.inference_mode():
        both = []
        for each in (model, stored):
            encoded = None if name == "language" else each.encode(batch.samples_BN, batch.sample_lengths_B)
            writer = getattr(each, "decoder", each)
            shared = sequence_scores(writer, encoded, lists, eos_id=0)
            both.append((writer.sequence_log_probs(encoded, *labels), torch.cat(shared), encoded))
        valid = torch.arange(batch.labels_BN.shape[1] + 1) <= batch.label_lengths_B[:, None]
        assert_near(both[0][0][valid], both[1][0][valid])
        assert_near(both[0][1] / 3, both[1][1] / 3)
        encoded, writer = both[0][2], getattr(model, "decoder", model)
        scorers = [Weighted("model", AutoregressiveScorer(writer), 1.0)]
        if getattr(model.config, "ctc_layers", ()):
            log_probs_BTW, frames_B = model.ctc_log_probs(encoded)
            assert log_probs_BTW.dtype == torch.float32
            scorers.append(Weighted("ctc", CTCPrefixScorer(log_probs_BTW, frames_B, eos_id=0), 0.3))
        found = label_synchronous(scorers, encoded, beam=3, nbest=2, limits_B=[5, 3, 4], eos_id=0, forbidden_ids=[1])
        for b, hypotheses in enumerate(found):
            alone = None if encoded is None else encoded.select(torch.tensor([b]))
            for each in hypotheses:
                written_1N, count = torch.tensor([each.labels], dtype=torch.long), torch.tensor([len(each.labels)])
                log_probs_MV = writer.sequence_log_probs(alone, written_1N, count)[0]
                expected = sum(float(log_probs_MV[n, c]) for n, c in enumerate([*each.labels, 0]))
                assert dict(each.terms)["model"] == pytest.approx(expected, abs=NEAR * (1 + len(each.labels)))


@pytest.mark.parametrize("name", ["ours", *ALL])
def test_frames_are_as_likely_as_before(
    name: str, configs: Any, build: Callable[[Any], Model], batch: SpeechBatch, tmp_path: Path
) -> None:
    config = dataclasses.replace(configs["acoustic"], decoder=None)
    if name != "ours":
        source = str(make_source(name, tmp_path / name))
        config = AcousticConfig(
            vocabulary=config.vocabulary,
            bos_id=1,
            eos_id=0,
            features=inspect_source(source).features,
            encoder=HuggingFaceEncoderConfig(source=source),
            ctc_layers=(3,),
            decoder=DecoderConfig(width=16, layers=1, heads=2),
        )
    stored: Any = build(config)
    model = rounded(stored)
    with torch.inference_mode():
        (found, lengths_B), (expected, expected_B) = (
            each.ctc_log_probs(each.encode(batch.samples_BN, batch.sample_lengths_B)) for each in (model, stored)
        )
    assert torch.equal(lengths_B, expected_B)
    valid = torch.arange(found.shape[1]) < lengths_B[:, None]
    assert_near(found[valid], expected[valid])


@pytest.mark.parametrize("name", ["ours", "parakeet", "conformer-rotary"])
def test_only_what_can_be_rounded_is(name: str, configs: Any, build: Callable[[Any], Model], tmp_path: Path) -> None:
    config = configs["speech_llm"]
    if name != "ours":
        source = str(make_source(name, tmp_path / name))
        encoder = HuggingFaceEncoderConfig(source=source)
        config = dataclasses.replace(config, encoder=encoder, features=inspect_source(source).features, ctc_layers=(3,))
    stored: Any = build(config)
    model = rounded(stored)
    buffers = dict(stored.named_buffers())
    assert any("inv_freq" in key for key in buffers)
    assert all(
        torch.equal(tensor, buffers[key]) and tensor.dtype == buffers[key].dtype
        for key, tensor in model.named_buffers()
    )
    kinds = {True: set(), False: set()}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            kinds[isinstance(module, MaskedBatchNorm | _BatchNorm)].add(parameter.dtype)
    assert kinds == {True: {torch.float32}, False: {torch.bfloat16}}
    tied = nn.Linear(2, 3, bias=False), nn.Embedding(3, 2)
    tied[0].weight = tied[1].weight
    both = nn.ModuleList(tied)
    round_to_bfloat16(both)
    assert tied[0].weight is tied[1].weight
    assert tied[0].weight.dtype == torch.bfloat16
