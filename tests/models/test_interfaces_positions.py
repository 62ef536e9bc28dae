"""How much audio and text fits into an LLM's positions: an upper bound, the sentence, and what takes none."""

from __future__ import annotations

import dataclasses
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_interfaces import INTERFACES
from transformers import AutoConfig

from duolect.errors import ModelError
from duolect.models import LanguageConfig, LanguageModel, LLMConfig
from duolect.nn.adapters import ChainConfig, ConcatLinearConfig, ConvConfig, QFormerConfig

LIMIT = 40
ADAPTERS: dict[str, Any] = {
    "concat": ConcatLinearConfig(factor=3),
    "convolutions": ConvConfig(layers=2),
    "qformer": QFormerConfig(window=5, queries=3, heads=2),
    "chain": ChainConfig(links=(ConvConfig(layers=1), ConcatLinearConfig(factor=2))),
}


def _model(name: str, adapter: Any, configs: Any, build: Callable) -> Any:
    base = configs["speech_llm"]
    llm = dataclasses.replace(base.llm, max_positions=LIMIT)
    return build(dataclasses.replace(base, llm=llm, adapter=adapter, interface=INTERFACES[name]))


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_is_said_to_fit_fits(adapter: str, configs: Any, build: Callable) -> None:
    model = _model("prefix", ADAPTERS[adapter], configs, build)
    room = pickle.loads(pickle.dumps(model.room))  # as workers get it
    chance, misfits = random.Random(adapter), 0
    with torch.inference_mode():
        for samples in [0, 1, *(chance.randint(100, 200_000) for _ in range(15))]:
            encoded = model.encode(torch.randn(1, samples) * 0.1, torch.tensor([samples]))
            taken = model.prompts.longest + 1 + int(encoded.audio[1])
            refused = [room.misfit(samples / 16_000, labels) is not None for labels in range(LIMIT)]
            most = refused.index(True) if any(refused) else LIMIT
            assert refused == [labels >= most for labels in range(LIMIT)]
            assert not most or taken + most - 1 <= LIMIT, samples
            assert taken + most >= LIMIT - 4, samples  # the bound is no more than a few positions away
            misfits += most == 0
            if most:
                model.sequence_log_probs(encoded, torch.zeros(1, most - 1).long(), torch.tensor([most - 1]))
                assert samples / 16_000 <= room.longest_seconds(most - 1) + 1e-9
    assert misfits


@pytest.mark.parametrize("name", INTERFACES)
def test_what_does_not_fit_is_one_sentence_before_the_forward(name: str, configs: Any, build: Callable) -> None:
    model = _model(name, ConcatLinearConfig(factor=1), configs, build)
    encoded = model.encode(torch.randn(1, 80_000) * 0.1, torch.tensor([80_000]))
    labels_1N = torch.zeros(1, 3).long()
    model.llm.model.register_forward_pre_hook(lambda *_: pytest.fail("the LLM was asked"))
    if not model.interface.audio_positions:
        assert model.room.misfit(1e6, 3) is None
        assert model.longest_seconds == float("inf")
        assert model.room.misfit(1.0, LIMIT) is not None
        model.sequence_log_probs(encoded, labels_1N, torch.tensor([3]))
        labels_1N = torch.zeros(1, LIMIT).long()
    else:
        assert 1 < model.longest_seconds < 5
        with pytest.raises(ModelError, match=r"positions.*is longer than the 40 positions of the LLM; use shorter"):
            model.start(encoded, 1)
    with pytest.raises(ModelError, match=r"positions.*is longer than the 40 positions of the LLM; use shorter"):
        model.sequence_log_probs(encoded, labels_1N, torch.tensor([labels_1N.shape[1]]))


@pytest.mark.parametrize("name", INTERFACES)
def test_utterances_that_fit_alone_fit_together(name: str, configs: Any, build: Callable) -> None:
    """The longest audio and the most labels of a batch need not be those of one utterance."""
    model = _model(name, ConcatLinearConfig(factor=1), configs, build)
    samples_B, labels_B = torch.tensor([28_000, 5_000, 1_000]), torch.tensor([1, 20, 30])
    with torch.inference_mode():
        encoded = model.encode(torch.randn(3, 28_000) * 0.1, samples_B)
        labels_BN = torch.randint(0, 11, (3, 30))
        together_BMV = model.sequence_log_probs(encoded, labels_BN, labels_B)
        for b, count in enumerate(labels_B.tolist()):
            alone = encoded.select(torch.tensor([b]))
            alone_1MV = model.sequence_log_probs(alone, labels_BN[b : b + 1, :count], labels_B[b : b + 1])
            torch.testing.assert_close(together_BMV[b, : count + 1], alone_1MV[0], atol=2e-5, rtol=0)


LONG = {"rope_theta": 1e4, "original_max_position_embeddings": 16}
ROPES: dict[str, tuple[str, int, dict[str, Any]]] = {
    "longrope": ("phi3", 16, {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}),
    "dynamic": ("llama", 64, {"factor": 4.0}),
    "yarn": ("llama", 64, {"factor": 8.0}),
    "llama3": ("llama", 64, {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}),
}


@pytest.mark.parametrize("kind", ROPES)
def test_within_the_positions_no_row_changes_those_of_another(kind: str) -> None:
    """Nor does a label those before it; LongRoPE would do both where a row is longer than in the original training."""
    torch.manual_seed(0)
    architecture, limit, settings = ROPES[kind]
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    stored = AutoConfig.for_model(
        architecture,
        vocab_size=40,
        pad_token_id=0,
        max_position_embeddings=64,
        rope_parameters={"rope_type": kind, **LONG, **settings},
        **sizes,
        **({"original_max_position_embeddings": 16} if architecture == "phi3" else {}),
    )
    model = LanguageModel(LanguageConfig(llm=LLMConfig(vocabulary=40), bos_id=1, eos_id=2), stored).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    assert model.llm.positions == limit
    labels_BN = torch.randint(3, 40, (2, limit - 1))
    with torch.inference_mode():
        together_BMV = model.sequence_log_probs(None, labels_BN, torch.tensor([limit - 1, 8]))
        alone_1MV = model.sequence_log_probs(None, labels_BN[1:, :8], torch.tensor([8]))
        torch.testing.assert_close(together_BMV[1:, :9], alone_1MV, atol=2e-5, rtol=0)
        _, state = model.start(None, 2)
        _, state = model.step(state, labels_BN[:, :10])
        after_BNV, state = model.step(state, labels_BN[:, 10:])
        torch.testing.assert_close(after_BNV, together_BMV[:, 11:], atol=2e-5, rtol=0)
        says = rf"A sequence of {limit + 1} positions .* is longer than the {limit} positions of the LLM"
        with pytest.raises(ModelError, match=says):
            model.step(state, labels_BN[:, :1])
        with pytest.raises(ModelError, match=says):
            model.sequence_log_probs(None, torch.cat((labels_BN, labels_BN[:, :1]), 1), torch.tensor([limit, 8]))
