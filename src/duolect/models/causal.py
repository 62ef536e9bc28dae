"""Any Hugging Face causal LLM over embedded sequences, with or without a cache, rows of different length together.

B utterances · S positions · R rows · P rows of a forward · N labels · G labels consumed over all rows · E LLM width ·
V labels · C labels of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ModelError
from duolect.models.given_labels import given_log_probs, tree_log_probs
from duolect.models.heads import LabelHead
from duolect.models.positions import most_positions
from duolect.nn.dropout import Dropout
from duolect.nn.label_tree import LabelTree
from duolect.nn.rows import RowLayout
from duolect.nn.shared_prefix import SharedPrefix
from duolect.nn.slots import Growth, KeysValues, KeyValuePool, LabelSlots

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class CausalState:
    """What each row has consumed: the prefix of its utterance, kept once, and its own labels."""

    prefix: SharedPrefix
    layout: RowLayout
    labels: LabelSlots

    @classmethod
    def of(cls, layers: list[KeysValues], lengths_B: Tensor) -> CausalState:
        """One row for each utterance, with a right-padded prefix, (B, H, T, d) in each layer, and no label yet."""
        prefix, rows = SharedPrefix.of(layers, lengths_B), len(lengths_B)
        utterance_B = torch.arange(rows, device=lengths_B.device)
        return cls(prefix, RowLayout.of(utterance_B, rows), LabelSlots.none(KeyValuePool.like(prefix.layers), rows))

    def __len__(self) -> int:
        return len(self.labels.lengths_R)

    def keys_values(self) -> Iterator[KeysValues]:
        """All keys and values that are held."""
        yield from self.prefix.layers
        yield from self.labels.pool.layers


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

    def hidden(self, embedded_BSE: Tensor, seen_BSS: Tensor | None = None, **to_layers: Any) -> Tensor:
        """States of the last layer (B, S, E), each of what stands at and before it. For training: keeps no cache.

        `seen_BSS`: what each position sees instead, never nothing. `to_layers`: keywords for every layer.
        """
        self.check_positions(embedded_BSE.shape[1])
        return self.run(embedded_BSE, **_seeing(seen_BSS), **to_layers)

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

    def prefill(
        self, embedded_BSE: Tensor, lengths_B: Tensor, seen_BSS: Tensor | None = None, **to_layers: Any
    ) -> tuple[Tensor, CausalState]:
        """Consume right-padded prefixes of at least one position: (last states (B, E), state of one row each).

        `seen_BSS` and `to_layers` are as for `hidden`; whatever is consumed later sees the whole prefix.
        """
        self.check_positions(embedded_BSE.shape[1])
        states_BSE, layers = self.run_cached(embedded_BSE, **_seeing(seen_BSS), **to_layers)
        index_B = torch.arange(len(lengths_B), device=lengths_B.device)
        return states_BSE[index_B, lengths_B - 1], CausalState.of(layers, lengths_B)

    def step(
        self,
        state: CausalState,
        labels_RN: Tensor,
        counts_R: Tensor | None,
        head: LabelHead | None = None,
        **to_layers: Any,
    ) -> tuple[Tensor, CausalState]:
        """Row r consumes its first counts_R[r] labels (None: all): (log p (R, N, V), 0 beyond a row's count; state).

        With `head` the log-probabilities are of its labels, (R, N, C). Only rows that consume a label take part in the
        forward. `to_layers`: keywords for every layer.
        """
        consumed = self._consume(state, labels_RN, counts_R, **to_layers)
        if consumed is None:
            vocabulary = self.vocabulary if head is None else head.width
            return torch.zeros(*labels_RN.shape, vocabulary, device=labels_RN.device), state
        states_GE, growth, after = consumed
        log_probs_G = self.log_probs(states_GE) if head is None else head.log_probs(states_GE, growth.row_G)
        return growth.spread(log_probs_G), after

    def extend(self, state: CausalState, labels_RN: Tensor, counts_R: Tensor) -> tuple[Tensor, Tensor, CausalState]:
        """Row r consumes its first counts_R[r] labels; as `step`, but without a distribution after every label.

        Returns (log p of each label that follows another of them, (R, N), 0 elsewhere; log p (P, V) after the last, of
        the P rows that consume any; state). Memory grows with P·V, not with R·N·V.
        """
        scores_RN = torch.zeros(labels_RN.shape, dtype=torch.float32, device=labels_RN.device)
        consumed = self._consume(state, labels_RN, counts_R)
        if consumed is None:
            return scores_RN, scores_RN.new_zeros(0, self.vocabulary), state
        states_GE, growth, after = consumed
        place_G = growth.place_G
        last_G = place_G % growth.labels + 1 == counts_R[place_G // growth.labels]
        next_X = place_G[~last_G] + 1
        source_X = torch.arange(len(next_X), device=next_X.device)
        scores_RN.view(-1)[next_X] = given_log_probs(
            self.log_probs, self.vocabulary, states_GE[~last_G], source_X, labels_RN.flatten()[next_X]
        )
        return scores_RN, self.log_probs(states_GE[last_G]), after

    def branch(
        self, state: CausalState, tree: LabelTree, ends_W: Tensor, **to_layers: Any
    ) -> tuple[Tensor, Tensor, CausalState]:
        """See `Branching.branch`. `to_layers`: keywords for every layer."""
        growth, slots = state.labels.branch(tree)
        layout = state.layout.rows(tree.rows_P)
        states_GE, prefix = self._grown(state, growth, layout, tree.labels_PN, **to_layers)
        scores_PN, after_WV = tree_log_probs(self.log_probs, self.vocabulary, states_GE, growth, tree, ends_W)
        return scores_PN, after_WV, CausalState(prefix, state.layout.followed_by(layout), slots)

    def _consume(
        self, state: CausalState, labels_RN: Tensor, counts_R: Tensor | None, **to_layers: Any
    ) -> tuple[Tensor, Growth, CausalState] | None:
        """States (G, E) of the labels that count, row by row; None where there is none."""
        grown = state.labels.grow(labels_RN.shape[1], counts_R)
        if grown is None:
            return None
        growth, slots = grown
        layout = state.layout if growth.rows_P is None else state.layout.rows(growth.rows_P)
        states_GE, prefix = self._grown(state, growth, layout, growth.pick(labels_RN), **to_layers)
        return states_GE, growth, CausalState(prefix, state.layout, slots)

    def _grown(
        self, state: CausalState, growth: Growth, layout: RowLayout, labels_PN: Tensor, **to_layers: Any
    ) -> tuple[Tensor, SharedPrefix]:
        """States (G, E) of the labels that count in the rows of a forward, and the prefix that they saw."""
        from duolect.models.cache import StepCache, check_attention

        prefix = state.prefix.differentiable()
        check_attention(self.model)
        cache = StepCache(prefix, layout, growth, self.dtype)
        positions_PN = prefix.lengths_B[layout.utterance_R, None] + growth.before_PN
        longest = prefix.layers[0][0].shape[2] + growth.slots_PX.shape[1]
        limit = self.positions
        if limit is not None and longest > limit:  # else there is no need to wait for a GPU's lengths
            self.check_positions(int(positions_PN.max()) + 1)
        states_PNE = self.run(
            self.embed(labels_PN),
            past_key_values=cache,
            use_cache=True,
            position_ids=positions_PN,
            attention_mask=cache.no_mask,
            shared=cache,
            **to_layers,
        )
        cache.check(self.model)
        return growth.counted(states_PNE), prefix

    def select(self, state: CausalState, rows_R: Tensor) -> CausalState:
        """The rows `rows_R`, and the prefixes of their utterances; copies keys and values only where one leaves."""
        layout, kept_B = state.layout.select(rows_R)
        prefix = state.prefix if kept_B is None else state.prefix.select(kept_B)
        return CausalState(prefix, layout, state.labels.select(rows_R))

    def forget(self, state: CausalState, counts_R: Tensor) -> CausalState:
        """The rows without the last counts_R[r] labels of each."""
        return CausalState(state.prefix, state.layout, state.labels.forget(counts_R))

    def run(self, embedded: Tensor, **arguments: Any) -> Tensor:
        """States of the last layer, of the decoder given `arguments` beside its embedded input."""
        decoder = getattr(self.model, self.model.base_model_prefix)
        arguments.setdefault("use_cache", False)
        return decoder(inputs_embeds=embedded, **arguments).last_hidden_state

    def run_cached(self, embedded_BSE: Tensor, **arguments: Any) -> tuple[Tensor, list[KeysValues]]:
        """As `run`, and of each layer the keys and values (B, H, S, d)."""
        from transformers import DynamicCache

        cache = DynamicCache(config=self.model.config)
        states_BSE = self.run(embedded_BSE, past_key_values=cache, use_cache=True, **arguments)
        layers: list[Any] = list(cache.layers)
        return states_BSE, [(layer.keys, layer.values) for layer in layers]

    @property
    def positions(self) -> int | None:
        """The most positions the LLM was made for; None where there is no such limit."""
        return most_positions(self.model.config)

    def check_positions(self, positions: int) -> None:
        """Raise ModelError where the LLM was not made for so many positions."""
        limit = self.positions
        if limit is not None and positions > limit:
            raise ModelError(
                f"A sequence of {positions} positions (prompt, audio and labels) is longer than the {limit} positions "
                f"of the LLM; use shorter utterances or more downsampling."
            )


def _seeing(seen_BSS: Tensor | None) -> dict[str, Tensor]:
    """Keywords of a decoder: the mask, and the positions, which some (OPT) would take from a mask of padding alone."""
    if seen_BSS is None:
        return {}
    return {
        "attention_mask": seen_BSS[:, None],
        "position_ids": torch.arange(seen_BSS.shape[-1], device=seen_BSS.device)[None],
    }
