"""Any Hugging Face causal LLM over embedded sequences, with or without a cache, rows of different length together.

B utterances · S positions · R rows · P rows that grow · N labels · G labels consumed over all rows · L cached positions
of the longest row · X those after a step · E LLM width · V labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ModelError
from duolect.models.heads import LabelHead
from duolect.nn.dropout import Dropout
from duolect.nn.masks import key_bias, length_mask

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from duolect.models.cache import KeyValuePool


@dataclass(frozen=True)
class CausalState:
    """What each row has consumed: where in the pool the keys and values of its positions are, and how many it has."""

    pool: KeyValuePool
    slots_RL: Tensor  # 0 beyond a row's positions
    positions_R: Tensor

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

    def head(self, labels_BC: Tensor) -> LabelHead:
        """The output layer over labels_BC[b] alone for utterance b; −1 is no label."""
        table: Any = self.model.get_output_embeddings()
        return LabelHead.of(labels_BC, table.weight, getattr(table, "bias", None))

    def prefill(self, embedded_RSE: Tensor, lengths_R: Tensor) -> tuple[Tensor, CausalState]:
        """Consume right-padded prefixes of at least one position: (last states (R, E), state)."""
        from transformers import DynamicCache

        from duolect.models.cache import KeyValuePool

        self._check_positions(embedded_RSE.shape[1])
        cache = DynamicCache(config=self.model.config)
        states_RSE = self._run(embedded_RSE, past_key_values=cache, use_cache=True)
        last_RE = states_RSE[torch.arange(len(lengths_R), device=lengths_R.device), lengths_R - 1]
        return last_RE, CausalState(*KeyValuePool.of(cache, lengths_R), lengths_R)

    def step(
        self, state: CausalState, labels_RN: Tensor, counts_R: Tensor | None, head: LabelHead | None = None
    ) -> tuple[Tensor, CausalState]:
        """Row r consumes its first counts_R[r] labels (None: all): (log p (R, N, V), 0 beyond a row's count; state).

        With `head` they are (R, N, C), of its labels. Only rows that consume a label take part in the forward.
        """
        from duolect.models.cache import StepCache

        rows, labels = labels_RN.shape
        device = labels_RN.device
        if counts_R is None:
            counts_R = torch.full((rows,), labels, device=device)
        new_RN = length_mask(counts_R, labels)
        row_G, label_G = new_RN.nonzero(as_tuple=True)
        log_probs_RNV = torch.zeros(rows, labels, self.vocabulary if head is None else head.width, device=device)
        if not len(row_G):
            return log_probs_RNV, state
        positions_R = state.positions_R + counts_R
        pool, slots_RL = state.pool.with_room(len(row_G), state.slots_RL)
        new = pool.reserve(len(row_G))
        growing_P = counts_R.nonzero()[:, 0]
        width = int(positions_R[growing_P].max())
        slots_RX = slots_RL.new_zeros(rows, max(width, slots_RL.shape[1]))
        slots_RX[:, : slots_RL.shape[1]] = slots_RL
        slots_RX[row_G, state.positions_R[row_G] + label_G] = torch.arange(new.start, new.stop, device=device)
        # A padded label stands where the last one of its row does, within the positions that the LLM has.
        positions_PN = state.positions_R[growing_P, None] + torch.arange(labels, device=device)
        positions_PN = torch.minimum(positions_PN, positions_R[growing_P, None] - 1)
        seen_PNX = torch.arange(width, device=device) <= positions_PN[..., None]
        cache = StepCache(pool, slots_RX[growing_P, :width], new, new_RN[growing_P])
        states_PNE = self._run(
            self.embed(labels_RN[growing_P]),
            past_key_values=cache,
            use_cache=True,
            position_ids=positions_PN,
            attention_mask=key_bias(seen_PNX, self.dtype).unsqueeze(1),
        )
        states_GE = states_PNE.flatten(0, 1)[cache.index_G]
        log_probs_RNV[row_G, label_G] = self.log_probs(states_GE) if head is None else head.log_probs(states_GE, row_G)
        return log_probs_RNV, CausalState(pool, slots_RX, positions_R)

    def select(self, state: CausalState, rows_R: Tensor) -> CausalState:
        """The rows `rows_R`; copies no keys or values."""
        positions_R = state.positions_R[rows_R]
        width = int(positions_R.max()) if len(rows_R) else 0
        return CausalState(state.pool, state.slots_RL[rows_R, :width], positions_R)

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
