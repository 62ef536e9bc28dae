"""Any Hugging Face causal LLM over embedded sequences, with or without a cache, rows of different length together.

B utterances · S positions · R rows · N labels · L cached positions · X = L + N · E LLM width · V labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ModelError
from duolect.models import cache as caches
from duolect.nn.dropout import Dropout
from duolect.nn.masks import key_bias, length_mask, step_mask

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


@dataclass(frozen=True)
class CausalState:
    """What has been consumed by each row: keys and values, which of them count, and the next position."""

    cache: Cache
    valid_RL: Tensor
    positions_R: Tensor
    dense: bool  # all of valid_RL is True: no mask needed

    def __len__(self) -> int:
        return len(self.positions_R)


class CausalLLM(nn.Module):
    """Left-to-right states of an LLM; log-probabilities over its first `vocabulary` labels.

    Rows are right-padded and their positions have no gaps; what stands behind a row's end is never attended to.
    """

    def __init__(self, model: PreTrainedModel, vocabulary: int, embedding_dropout: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.vocabulary = vocabulary
        self.dropout = Dropout(embedding_dropout)

    @property
    def width(self) -> int:
        """E."""
        table: Any = self.model.get_input_embeddings()
        return table.weight.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """Of the states."""
        return self.model.dtype

    def embed(self, labels: Tensor) -> Tensor:
        """(..., E) of labels of any shape."""
        return self.dropout(self.model.get_input_embeddings()(labels))

    def hidden(self, embedded_BSE: Tensor) -> Tensor:
        """States of the last layer (B, S, E), each of what stands at and before it. For training: keeps no cache."""
        self._check_positions(embedded_BSE.shape[1])
        return self._run(embedded_BSE)

    def log_probs(self, states: Tensor) -> Tensor:
        """(..., V) in float32 of states (..., E)."""
        return self.logits(states).float().log_softmax(-1)

    def logits(self, states: Tensor) -> Tensor:
        """(..., V) of states (..., E); rows of the table beyond V take no part."""
        head: Any = self.model.get_output_embeddings()
        weight, bias = head.weight, getattr(head, "bias", None)
        if len(weight) == self.vocabulary:
            return head(states)
        bias = None if bias is None else bias[: self.vocabulary]
        return functional.linear(states, weight[: self.vocabulary], bias)

    def prefill(self, embedded_RSE: Tensor, lengths_R: Tensor) -> tuple[Tensor, CausalState]:
        """Consume right-padded prefixes of at least one position: (last states (R, E), state)."""
        positions = embedded_RSE.shape[1]
        self._check_positions(positions)
        cache = caches.new_cache(self.model.config)
        states_RSE = self._run(embedded_RSE, past_key_values=cache, use_cache=True)
        valid_RL = length_mask(lengths_R, positions)
        last_RE = states_RSE[torch.arange(len(lengths_R), device=lengths_R.device), lengths_R - 1]
        return last_RE, CausalState(cache, valid_RL, lengths_R, bool(valid_RL.all()))

    def step(self, state: CausalState, labels_RN: Tensor, counts_R: Tensor | None) -> tuple[Tensor, CausalState]:
        """Row r consumes its first counts_R[r] labels (None: all): (states (R, N, E), state)."""
        rows, labels = labels_RN.shape
        if not labels_RN.numel():  # no row left, or no label: more than some LLMs can reshape
            return torch.zeros(rows, labels, self.width, device=labels_RN.device, dtype=self.dtype), state
        dense = state.dense and (counts_R is None or bool((counts_R == labels).all()))
        if counts_R is None:
            counts_R = torch.full((rows,), labels, device=labels_RN.device)
        mask_RNX, valid_RX = step_mask(state.valid_RL, counts_R, labels)
        embedded_RNE = self.embed(labels_RN)
        positions_RN = state.positions_R[:, None] + torch.arange(labels, device=labels_RN.device)
        cache = caches.fork(state.cache)
        states_RNE = self._run(
            embedded_RNE,
            past_key_values=cache,
            use_cache=True,
            # A padded label stays within the positions of its row, for LLMs with a table of positions.
            position_ids=torch.minimum(positions_RN, (state.positions_R + counts_R.clamp(min=1) - 1)[:, None]),
            attention_mask=None if dense else key_bias(mask_RNX, embedded_RNE.dtype).unsqueeze(1),
        )
        return states_RNE, CausalState(cache, valid_RX, state.positions_R + counts_R, dense)

    def select(self, state: CausalState, rows_R: Tensor) -> CausalState:
        """The rows `rows_R`; positions that count in none of them are dropped."""
        valid_RL, columns_L, dense = state.valid_RL[rows_R], None, state.dense
        if not dense:
            used_L = valid_RL.any(0)
            if not bool(used_L.all()):
                valid_RL, columns_L = valid_RL[:, used_L], used_L
            dense = bool(valid_RL.all())
        unchanged = len(rows_R) == len(state) and torch.equal(rows_R, torch.arange(len(state), device=rows_R.device))
        cache = caches.pick(state.cache, None if unchanged else rows_R, columns_L)
        return CausalState(cache, valid_RL, state.positions_R[rows_R], dense)

    def _run(self, embedded: Tensor, **arguments: Any) -> Tensor:
        decoder = getattr(self.model, self.model.base_model_prefix)
        arguments.setdefault("use_cache", False)
        return decoder(inputs_embeds=embedded, **arguments).last_hidden_state

    def _check_positions(self, positions: int) -> None:
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if limit is not None and positions > limit:
            raise ModelError(
                f"A sequence of {positions} positions (prompt, audio and labels) is longer than the {limit} positions "
                f"of the LLM; use shorter utterances or more downsampling."
            )
