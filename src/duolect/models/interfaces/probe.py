"""What we ask of an interface, tried out on its LLM when the two are put together.

A decoder may carry an interface and give other numbers in a search than in training, say because it adds positions to
what it is given by itself.

B utterances · T audio positions · P prompt labels · N labels · E LLM width · V labels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from duolect.models.causal import CausalLLM
from duolect.models.interfaces.base import Audio, Prompts
from duolect.models.probe import cannot_probe, embeddable, refusing, require_equal

_FRAMES, _LABELS = 2, 2


@torch.no_grad()
def probe_interface(interface: Any, llm: CausalLLM, kind: str) -> None:
    """Run `interface` over two utterances of different length. Raises ModelError, naming the LLM, unless a search is
    told label by label what training computes all at once.

    Three short forwards; no random numbers. On the meta device, which has no values, there is nothing to see.
    """
    if cannot_probe(llm, _FRAMES + _LABELS + 2):
        return
    modes = [(module, module.training) for module in (*interface.modules(), *llm.modules())]
    for module, _ in modes:
        module.training = False
    try:
        _compare(interface, llm, kind)
    finally:
        for module, training in modes:
            module.training = training


def _compare(interface: Any, llm: CausalLLM, kind: str) -> None:
    audio, prompts, labels_BN = _heard(llm)
    name = f"The LLM ({llm.model.config.model_type}) cannot carry the attention interface {kind!r}"
    with refusing(name):
        expected_BMV = llm.log_probs(interface.hidden(llm, audio, prompts, labels_BN))
        last_BE, state = interface.start(llm, audio, prompts)
        stepped_BNV, _ = interface.step(llm, state, labels_BN, None)
    what = f"{name}: with it, labels after audio are scored in another way than all at once"
    require_equal(llm, llm.log_probs(last_BE), expected_BMV[:, 0], what)
    require_equal(llm, stepped_BNV, expected_BMV[:, 1:], what)


def _heard(llm: CausalLLM) -> tuple[Audio, Prompts, Tensor]:
    """Audio, prompts and labels_BN; what sounds is the embeddings of labels, which are as large as the LLM expects."""
    device = llm.model.device
    labels = torch.arange(11, device=device) * 7 % embeddable(llm)
    lengths_B, one_B = torch.tensor([_FRAMES, 1], device=device), torch.ones(2, dtype=torch.long, device=device)
    heard_BT = torch.arange(_FRAMES, device=device) < lengths_B[:, None]
    audio = Audio(llm.embed(labels[:4].view(2, _FRAMES)) * heard_BT.unsqueeze(-1), lengths_B)
    prompts = Prompts(labels[4:6, None], lengths_B - 1, labels[6:7].expand(2, 1), one_B)
    return audio, prompts, labels[7:].view(2, _LABELS)
