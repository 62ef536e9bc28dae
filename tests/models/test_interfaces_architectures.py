"""Every attention interface in decoders of other families than the LLMs we build: learned positions, parallel layers,
fused projections, experts. What they have in common is only that transformers runs them.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_interfaces import INTERFACES, VOCABULARY, WIDTH, random_heard
from transformers import AutoConfig

from duolect.models import LLMConfig
from duolect.models.causal import CausalLLM
from duolect.models.interfaces import build_interface
from duolect.models.llm import build_llm

SIZES: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": None},
    "gpt2": {},
    "opt": {"word_embed_proj_dim": WIDTH, "ffn_dim": 48},
    "gpt_neox": {},
    "phi3": {},
    "gemma": {"head_dim": 8},
    "olmo2": {},
    "mixtral": {"num_local_experts": 2},
}


@pytest.mark.parametrize("name", INTERFACES)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_is_recomputing_in_other_decoders(family: str, name: str) -> None:
    torch.manual_seed(3)
    stored = AutoConfig.for_model(family, **SIZES | FAMILIES[family])
    llm = CausalLLM(build_llm(LLMConfig(vocabulary=VOCABULARY), stored), VOCABULARY).eval()
    interface = build_interface(INTERFACES[name], llm).eval()
    with torch.inference_mode():
        for parameter in (*llm.parameters(), *interface.parameters()):
            parameter += 0.1 * torch.randn_like(parameter)
        audio, prompts, labels_BN, counts_B = random_heard(3)
        expected_BMV = llm.log_probs(interface.hidden(llm, audio, prompts, labels_BN))
        last_BE, state = interface.start(llm, audio, prompts)
        torch.testing.assert_close(llm.log_probs(last_BE), expected_BMV[:, 0], atol=5e-5, rtol=0)
        log_probs_BNV, _ = interface.step(llm, state, labels_BN, counts_B)
        said_BN = torch.arange(labels_BN.shape[1]) < counts_B[:, None]
        assert said_BN.any()
        torch.testing.assert_close(log_probs_BNV[said_BN], expected_BMV[:, 1:][said_BN], atol=5e-5, rtol=0)
        other = interface.hidden(llm, random_heard(4).audio, prompts, labels_BN)
        assert not torch.allclose(llm.log_probs(other)[:, 0], expected_BMV[:, 0], atol=1e-3)  # the audio is heard
