"""What we ask of any LLM, tried out on this one when it is built.

A decoder may take an attention function of ours and still see labels that come later, have a transform before its
output layer, or keep something else in its cache than the keys and values that it attends to. Only running it tells.

S positions · R rows · N labels · E LLM width · V labels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from duolect.errors import ModelError
from duolect.models.causal import CausalLLM
from duolect.models.pretrained import reason

INSTEAD = "use a decoder such as Qwen2, Qwen3 or Llama."

_PREFIX, _LABELS = 3, 2  # of each row: what it shares, and what is its own
# Relative to the size of what is compared. In bfloat16, rounding may also hand a label to another expert.
_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.25}


@torch.no_grad()
def probe_llm(llm: CausalLLM, name: str) -> None:
    """Run `llm`, in evaluation mode, over a few labels in two rows. Raises ModelError, which begins with `name`, unless

    * its logits are those of its output layer over its last states,
    * no label changes the states before it,
    * two rows, label by label after what they share, are what they are all at once.

    Four short forwards; no random numbers. On the meta device, which has no values, there is nothing to see.
    """
    if cannot_probe(llm, _PREFIX + _LABELS):
        return
    labels_RS = _rows(llm)
    with refusing(f"{name} cannot be run over labels"):
        own_RSV = llm.model(input_ids=labels_RS).logits[..., : llm.vocabulary]
        states_RSE = llm.hidden(llm.embed(labels_RS))
        logits_RSV = llm.logits(states_RSE)
    require_equal(llm, states_RSE[1, :-1], states_RSE[0, :-1], f"{name} sees labels that come later")
    require_equal(llm, logits_RSV, own_RSV, f"{name} has more between its decoder and its logits than an output layer")
    with refusing(f"{name} cannot go on from a prefix that rows share"):
        last_1E, state = llm.prefill(llm.embed(labels_RS[:1, :_PREFIX]), labels_RS.new_tensor([_PREFIX]))
        state = llm.select(state, labels_RS.new_zeros(2))
        stepped_RNV, _ = llm.step(state, labels_RS[:, _PREFIX:], None)
        expected_RSV = llm.log_probs(states_RSE)
    what = f"{name} scores labels after a prefix in another way than all at once"
    require_equal(llm, llm.log_probs(last_1E), expected_RSV[:1, _PREFIX - 1], what)
    require_equal(llm, stepped_RNV, expected_RSV[:, _PREFIX:], what)


def cannot_probe(llm: CausalLLM, positions: int) -> bool:
    """Whether `llm` has no values, or other numbers than are ever asked for, or not so many positions."""
    unknown = llm.model.device.type == "meta" or llm.dtype not in _TOLERANCES
    return unknown or positions > (llm.positions or positions)


@contextlib.contextmanager
def refusing(what: str) -> Generator[None]:
    """Make of whatever a decoder raises a ModelError that begins with `what`."""
    try:
        yield
    except Exception as error:  # of any kind: the code is not ours, and was not made for this
        kind = "" if isinstance(error, ModelError) else f"{type(error).__name__}: "
        why = reason(error).split("; use ")[0].rstrip(".")
        raise ModelError(f"{what} ({kind}{why}); {INSTEAD}") from error


def require_equal(llm: CausalLLM, found: Tensor, expected: Tensor, what: str) -> None:
    """Raise ModelError, which begins with `what`, unless vectors (..., V) or (..., E) agree as far as the LLM's numbers
    can."""
    found, expected = found.float(), expected.float()
    # What all labels have in common, which a softmax does not see, would hide a difference.
    found, expected = found - found.mean(-1, keepdim=True), expected - expected.mean(-1, keepdim=True)
    most = _TOLERANCES[llm.dtype] * expected.norm(dim=-1) + 1e-6
    if not bool(((found - expected).norm(dim=-1) <= most).all()):
        raise ModelError(f"{what}; {INSTEAD}")


def embeddable(llm: CausalLLM) -> int:
    """How many labels there are to embed."""
    table: Any = llm.model.get_input_embeddings()
    return min(llm.vocabulary, len(table.weight))


def _rows(llm: CausalLLM) -> Tensor:
    """labels_RS: two rows that differ in the last label alone."""
    vocabulary = embeddable(llm)
    chance = torch.Generator().manual_seed(1)
    labels_S = torch.randint(vocabulary, (_PREFIX + _LABELS,), generator=chance)
    other_S = labels_S.clone()
    other_S[-1] = (other_S[-1] + 1 + vocabulary // 2) % vocabulary
    return torch.stack((labels_S, other_S)).to(llm.model.device)
