"""Language models over label sequences: p(a) = Π p(a_n | BOS, a_1 … a_n-1), EOS included.

B sentences · N labels · M = N + 1 positions · R rows · V labels · E LLM width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.errors import ConfigError
from duolect.models.causal import CausalLLM, CausalState
from duolect.models.encoded import Encoded
from duolect.models.heads import LabelHead
from duolect.models.llm import LLMConfig, build_llm
from duolect.models.lora import Finetune, LoraSettings, check_finetune, prepare_finetuning
from duolect.models.targets import LabelBatch, label_count, next_label_targets
from duolect.nn.label_tree import LabelTree
from duolect.nn.losses import LossTerm, label_smoothed_cross_entropy

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True, kw_only=True)
class LanguageConfig:
    """A language model; `bos_id` may be `eos_id` where the units have only one of them."""

    kind: Literal["language"] = "language"
    llm: LLMConfig
    bos_id: int
    eos_id: int
    label_smoothing: float = 0.0
    finetune: Finetune = "full"
    lora: LoraSettings | None = None
    freeze_embeddings: bool = False  # input and output tables stay as they are, the rest is trained

    def __post_init__(self) -> None:
        for name in ("bos_id", "eos_id"):
            if not 0 <= getattr(self, name) < self.llm.vocabulary:
                raise ConfigError(
                    f"language model: {name} {getattr(self, name)} is not in the vocabulary of {self.llm.vocabulary}."
                )
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"language model: label_smoothing must be in [0, 1), not {self.label_smoothing}.")
        check_finetune(self.finetune, self.lora, self.freeze_embeddings, self.llm.replace_embeddings)


class LanguageModel(nn.Module):
    """A causal LLM as a model of sentences; implements `Autoregressive`.

    `stored` is the LLM's architecture when a saved model is rebuilt (see `build_llm`).
    """

    def __init__(self, config: LanguageConfig, stored: PreTrainedConfig | None = None) -> None:
        super().__init__()
        self.config = config
        self.vocabulary, self.bos_id, self.eos_id = config.llm.vocabulary, config.bos_id, config.eos_id
        dropout = config.llm.dropout if config.llm.source is None else 0.0
        self.llm = CausalLLM(build_llm(config.llm, stored), self.vocabulary, dropout)
        prepare_finetuning(
            self.llm.model,
            config.finetune,
            config.lora,
            freeze_embeddings=config.freeze_embeddings,
            train_embeddings=config.llm.replace_embeddings,
        )

    def head(self, labels_BC: Tensor) -> LabelHead:
        """See `Autoregressive.head`."""
        return self.llm.head(labels_BC)

    def start(self, encoded: Encoded | None, rows: int, head: LabelHead | None = None) -> tuple[Tensor, CausalState]:
        """See `Autoregressive.start`; audio, if any, is not listened to."""
        device = next(self.parameters()).device
        bos_11 = torch.full((1, 1), self.bos_id, dtype=torch.long, device=device)
        last_1E, state = self.llm.prefill(self.llm.embed(bos_11), torch.ones_like(bos_11[0]))
        every_R = torch.zeros(rows, dtype=torch.long, device=device)
        if head is None:
            log_probs_RV = self.llm.log_probs(last_1E)[every_R]
        else:
            log_probs_RV = head.log_probs(last_1E[every_R], torch.arange(rows, device=device))
        return log_probs_RV, self.llm.select(state, every_R)

    def step(
        self, state: CausalState, labels_RN: Tensor, counts_R: Tensor | None = None, head: LabelHead | None = None
    ) -> tuple[Tensor, CausalState]:
        """See `Autoregressive.step`."""
        return self.llm.step(state, labels_RN, counts_R, head)

    def extend(self, state: CausalState, labels_RN: Tensor, counts_R: Tensor) -> tuple[Tensor, Tensor, CausalState]:
        """Several labels a row at once, with a distribution after the last only; see `CausalLLM.extend`."""
        return self.llm.extend(state, labels_RN, counts_R)

    def branch(self, state: CausalState, tree: LabelTree, ends_W: Tensor) -> tuple[Tensor, Tensor, CausalState]:
        """See `Branching.branch`."""
        return self.llm.branch(state, tree, ends_W)

    def select(self, state: CausalState, rows_R: Tensor) -> CausalState:
        """See `Autoregressive.select`."""
        return self.llm.select(state, rows_R)

    def forget(self, state: CausalState, counts_R: Tensor) -> CausalState:
        """See `Autoregressive.forget`."""
        return self.llm.forget(state, counts_R)

    def sequence_log_probs(self, encoded: Encoded | None, labels_BN: Tensor, lengths_B: Tensor) -> Tensor:
        """See `Autoregressive.sequence_log_probs`."""
        return self.llm.log_probs(self._hidden(labels_BN))

    def loss_counts(self, batch: LabelBatch) -> dict[str, float]:
        """How many labels `forward` will sum over; cheap."""
        return {"ce": label_count(batch)}

    def forward(self, batch: LabelBatch, step: int = 0, counts: dict[str, float] | None = None) -> dict[str, LossTerm]:
        """The cross-entropy of labels and EOS; `step` plays no part."""
        counts = self.loss_counts(batch) if counts is None else counts
        mask_BM, targets_P = next_label_targets(batch.labels_BN, batch.label_lengths_B, self.eos_id)
        logits_PV = self.llm.logits(self._hidden(batch.labels_BN)[mask_BM])
        total = label_smoothed_cross_entropy(logits_PV, targets_P, self.config.label_smoothing)
        return {"ce": LossTerm(total, counts["ce"])}

    def _hidden(self, labels_BN: Tensor) -> Tensor:
        return self.llm.hidden(self.llm.embed(functional.pad(labels_BN, (1, 0), value=self.bos_id)))
