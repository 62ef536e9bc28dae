"""The one protocol by which a search asks the attention decoder, a language model and a speech LLM.

B utterances · R rows (hypotheses) · N labels · M = N + 1 · V labels (EOS included) · C labels
that an utterance keeps · P pieces of a tree · W of them.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from duolect.models.encoded import Encoded
from duolect.models.heads import LabelHead
from duolect.nn.label_tree import LabelTree


@runtime_checkable
class Autoregressive(Protocol):
    """A model of label sequences, left to right; log-probabilities are natural and float32.

    A state is never changed: `step`, `branch` and `select` return new ones, and an old one stays usable.
    """

    vocabulary: int
    bos_id: int
    eos_id: int

    def head(self, labels_BC: Tensor) -> LabelHead:
        """What makes `start` and `step` speak of the labels labels_BC[b] of utterance b alone (−1: none)."""
        ...

    def start(self, encoded: Encoded | None, rows: int, head: LabelHead | None = None) -> tuple[Tensor, Any]:
        """One row per utterance (`rows` rows where there is no audio), having consumed prompt, audio and BOS.

        Returns (log p of the first label (R, V), state). With `head` the softmax is over its C labels, in their order.
        """
        ...

    def step(
        self, state: Any, labels_RN: Tensor, counts_R: Tensor | None = None, head: LabelHead | None = None
    ) -> tuple[Tensor, Any]:
        """Row r consumes its first counts_R[r] ≥ 0 labels (None: all N).

        Returns (log p (R, N, V), state): [r, n] is the distribution after n + 1 labels; beyond a row's count it is
        meaningless, never NaN. A row of count 0 stays as it was. With `head`, whose rows are those of the state, the
        distributions (R, N, C) are over its labels; `labels_RN` are of the whole vocabulary all the same.
        """
        ...

    def select(self, state: Any, rows_R: Tensor) -> Any:
        """The state of the rows `rows_R`: picked, repeated, reordered; their number may change."""
        ...

    def forget(self, state: Any, counts_R: Tensor) -> Any:
        """The state before row r consumed its last counts_R[r] ≥ 0 labels (a draft that was wrong)."""
        ...

    def sequence_log_probs(self, encoded: Encoded | None, labels_BN: Tensor, lengths_B: Tensor) -> Tensor:
        """log p (B, M, V) given whole sequences, without a cache: [b, n] is the distribution after n labels."""
        ...


class Branching(Autoregressive, Protocol):
    """A model that can also be asked for many sequences that begin alike at once, as all models of Duolect can."""

    def branch(self, state: Any, tree: LabelTree, ends_W: Tensor) -> tuple[Tensor, Tensor, Any]:
        """Behind the rows of `state` one for each of P pieces of the tree, in one forward, no label of it twice.

        Returns (log p of each label that follows another of the tree, (P, N), 0 elsewhere; log p (W, V) after the
        pieces ends_W; state of R + P rows). A row of a piece has consumed all labels up to the piece's end.
        """
        ...
