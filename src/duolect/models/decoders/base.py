"""What all attention decoders share: tables, layers, losses' logits, and the protocol a search asks them by.

B utterances · T frames · N labels · M = N + 1 positions · R rows · G labels consumed over all rows · V labels ·
D width · P pieces of a tree · W ends of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ModelError
from duolect.models.decoders.config import AnyDecoderConfig
from duolect.models.encoded import Encoded
from duolect.models.given_labels import tree_log_probs
from duolect.models.heads import LabelHead
from duolect.models.starts import Starts
from duolect.nn.dropout import Dropout
from duolect.nn.label_tree import LabelTree
from duolect.nn.masks import sinusoids
from duolect.nn.rows import RowLayout
from duolect.nn.slots import Growth, KeysValues, LabelSlots
from duolect.nn.transformer import TransformerLayer

Layers = Iterable[Callable[[Tensor], Tensor]]
"""The layers, one after the other, as what each makes of the labels' states."""


@dataclass(frozen=True)
class DecoderState(ABC):
    """What a decoder keeps between steps: which utterance each row belongs to, and each label's keys and values once.

    What is kept of the audio is added by each kind of decoder.
    """

    layout: RowLayout
    labels: LabelSlots

    @abstractmethod
    def keys_values(self) -> Iterator[KeysValues]:
        """All keys and values that are held."""

    @abstractmethod
    def select(self, rows_R: Tensor) -> Self:
        """The rows `rows_R`; utterances that have no row any more are dropped."""


State = TypeVar("State", bound=DecoderState)


class Decoder(nn.Module, ABC, Generic[State]):
    """A Transformer over the labels that listens to encoder states; implements `Autoregressive`.

    Embeddings are scaled by √D, positions are sinusoidal and count labels alone. With `tags` it begins with the
    embedding of an utterance's tag instead of BOS (`Starts`).
    """

    def __init__(
        self,
        config: AnyDecoderConfig,
        vocabulary: int,
        bos_id: int,
        eos_id: int,
        *,
        encoder_width: int | None,
        tags: int = 0,
    ) -> None:
        super().__init__()
        self.config, self.vocabulary, self.bos_id, self.eos_id = config, vocabulary, bos_id, eos_id
        width, style = config.width, config.style
        self.embedding = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.starts = Starts(vocabulary, width, bos_id, tags)
        self.dropout = Dropout(config.dropout)
        self.layers = nn.ModuleList(
            [
                TransformerLayer(
                    width, config.heads, config.inner, config.dropout, style=style, encoder_width=encoder_width
                )
                for _ in range(config.layers)
            ]
        )
        self.norm = style.norm(width)
        auxiliary = config.auxiliary_layer is not None
        self.auxiliary_norm = style.norm(width) if auxiliary else None
        self.auxiliary_output = nn.Linear(width, vocabulary, bias=False) if auxiliary else None
        self.output: nn.Linear | None = None
        if not config.tied:
            self.output = nn.Linear(width, vocabulary, bias=False)
            nn.init.normal_(self.output.weight, std=width**-0.5)

    @abstractmethod
    def _listen(self, encoded: Encoded) -> State:
        """The state before the first label: a row for each utterance."""

    @abstractmethod
    def _step_layers(self, state: State, layout: RowLayout, growth: Growth) -> Layers:
        """The layers over the new labels of `growth`, whose rows are laid out as `layout`."""

    @abstractmethod
    def _training_layers(self, encoded: Encoded, positions: int) -> Layers:
        """The layers over so many labels of each utterance from the first on, without a cache."""

    def _before_layers(self, encoded: Encoded, x_BMD: Tensor) -> Tensor:
        """What the layers without a cache begin with: the labels' embeddings x_BMD, perhaps with positions before."""
        return x_BMD

    def head(self, labels_BC: Tensor) -> LabelHead:
        """See `Autoregressive.head`."""
        return LabelHead.of(labels_BC, self._output_table, norm=self.norm)

    def start(self, encoded: Encoded | None, rows: int, head: LabelHead | None = None) -> tuple[Tensor, State]:
        """See `Autoregressive.start`; `rows` must be the number of utterances."""
        if encoded is None or rows != len(encoded):
            raise ModelError("The attention decoder starts with one row for each encoded utterance.")
        log_probs_R1V, state = self.step(self._listen(encoded), self.starts.ids(encoded)[:, None], None, head)
        return log_probs_R1V[:, 0], state

    def step(
        self, state: State, labels_RN: Tensor, counts_R: Tensor | None = None, head: LabelHead | None = None
    ) -> tuple[Tensor, State]:
        """See `Autoregressive.step`; only rows that consume a label take part in the forward."""
        rows, labels = labels_RN.shape
        grown = state.labels.grow(labels, counts_R)
        if grown is None:
            width = self.vocabulary if head is None else head.width
            return torch.zeros(rows, labels, width, device=labels_RN.device), state
        growth, slots = grown
        layout = state.layout if growth.rows_P is None else state.layout.rows(growth.rows_P)
        states_GD = self._grown(state, layout, growth, growth.pick(labels_RN))
        log_probs_G = self._log_probs(states_GD) if head is None else head.log_probs(states_GD, growth.row_G)
        return growth.spread(log_probs_G), replace(state, labels=slots)

    def branch(self, state: State, tree: LabelTree, ends_W: Tensor) -> tuple[Tensor, Tensor, State]:
        """See `Branching.branch`."""
        growth, slots = state.labels.branch(tree)
        layout = state.layout.rows(tree.rows_P)
        states_GD = self._grown(state, layout, growth, tree.labels_PN)
        scores_PN, after_WV = tree_log_probs(self._log_probs, self.vocabulary, states_GD, growth, tree, ends_W)
        return scores_PN, after_WV, replace(state, layout=state.layout.followed_by(layout), labels=slots)

    def select(self, state: State, rows_R: Tensor) -> State:
        """See `Autoregressive.select`; utterances that have no row any more are dropped."""
        return state.select(rows_R)

    def forget(self, state: State, counts_R: Tensor) -> State:
        """See `Autoregressive.forget`."""
        return replace(state, labels=state.labels.forget(counts_R))

    def sequence_log_probs(self, encoded: Encoded | None, labels_BN: Tensor, lengths_B: Tensor) -> Tensor:
        """See `Autoregressive.sequence_log_probs`."""
        if encoded is None:
            raise ModelError("The attention decoder needs encoded audio.")
        last_BMD, _ = self.hidden(encoded, labels_BN)
        return self._log_probs(last_BMD)

    def hidden(self, encoded: Encoded, labels_BN: Tensor) -> tuple[Tensor, Tensor | None]:
        """States after the start (BOS or a tag) and each of labels_BN (right-padded), BMD: of the last layer and of the
        auxiliary one."""
        labels_BM = torch.cat((self.starts.ids(encoded)[:, None], labels_BN), dim=1)
        positions = labels_BM.shape[1]
        x = self._before_layers(encoded, self._embed(labels_BM, torch.arange(positions, device=labels_BM.device)))
        last, auxiliary = self._run(x, self._training_layers(encoded, positions))
        return last, None if auxiliary is None else auxiliary[:, auxiliary.shape[1] - positions :]

    def logits(self, states: Tensor) -> Tensor:
        """(..., V) of last-layer states (..., D)."""
        return functional.linear(self.norm(states), self._output_table)

    def auxiliary_logits(self, states: Tensor) -> Tensor:
        """(..., V) of auxiliary-layer states (..., D), by the auxiliary layer's own output table."""
        if self.auxiliary_norm is None or self.auxiliary_output is None:
            raise ModelError("This decoder has no auxiliary layer.")
        return self.auxiliary_output(self.auxiliary_norm(states))

    @property
    def _output_table(self) -> Tensor:
        return self.embedding.weight if self.output is None else self.output.weight

    def _grown(self, state: State, layout: RowLayout, growth: Growth, labels_PN: Tensor) -> Tensor:
        """States (G, D) of the labels that count in the rows of a forward."""
        x, _ = self._run(self._embed(labels_PN, growth.before_PN), self._step_layers(state, layout, growth))
        return growth.counted(x)

    def _run(self, x: Tensor, layers: Layers) -> tuple[Tensor, Tensor | None]:
        auxiliary = None
        for number, layer in enumerate(layers, start=1):
            x = layer(x)
            if number == self.config.auxiliary_layer:
                auxiliary = x
        return x, auxiliary

    def _log_probs(self, states: Tensor) -> Tensor:
        return self.logits(states).float().log_softmax(-1)

    def _embed(self, labels_RN: Tensor, positions: Tensor) -> Tensor:
        """Labels at positions (R, N) or (N,)."""
        embedded = self.starts.embed(self.embedding, labels_RN) * self.config.width**0.5
        return self.dropout(embedded + sinusoids(positions, self.config.width).to(embedded.dtype))
