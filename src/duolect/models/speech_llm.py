"""The speech LLM: encoder, adapter and LLM trained together, p(a | x) = Π p(a_n | x, a_1 … a_n-1), EOS included.

B utterances · N samples or labels · T frames · M = N + 1 · R rows · V labels · W = CTC labels + blank · E LLM width.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import Tensor, nn

from duolect.audio.features import FeatureConfig
from duolect.audio.waveform import InputConfig
from duolect.data.augment import AnySpecAugmentConfig
from duolect.data.targets import Target
from duolect.errors import ConfigError, ModelError
from duolect.models.acoustic import AcousticModel
from duolect.models.causal import CausalLLM
from duolect.models.compression import CompressionConfig, check_adapter, check_compression
from duolect.models.encoded import Encoded
from duolect.models.encoders import EncoderConfig, check_ctc_layers
from duolect.models.heads import LabelHead
from duolect.models.interfaces import Audio, InterfaceConfig, PrefixConfig, build_interface
from duolect.models.language import LanguageModel
from duolect.models.llm import LLMConfig, build_llm
from duolect.models.lora import (
    Finetune,
    LoraSettings,
    check_finetune,
    load_base_state,
    merged_state,
    prepare_finetuning,
)
from duolect.models.prompts import PromptTable
from duolect.models.room import Room
from duolect.models.speech_encoder import SpeechEncoder
from duolect.models.targets import label_count, next_label_targets
from duolect.nn.adapters import AdapterConfig, ConcatLinearConfig, build_adapter
from duolect.nn.conformer import ConformerConfig
from duolect.nn.label_tree import LabelTree
from duolect.nn.ledger import stage
from duolect.nn.losses import LossTerm, label_smoothed_cross_entropy
from duolect.text import SpelledPrompt, check_prompts

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from duolect.data.loader import SpeechBatch


@dataclass(frozen=True, kw_only=True)
class SpeechLLMConfig:
    """A speech LLM over the LLM's labels.

    The `prompts` are kept as text and as labels, so that training and use cannot differ: in training one of them is
    drawn for each utterance, recognition and evaluation take the first. With `tags` (names of what may be asked for,
    languages to translate into, say) an utterance has the prompts of its tag. No prompts: the audio alone. `target`:
    the labels spell the transcript or the translation; the CTC heads always hear the transcript.
    """

    kind: Literal["speech_llm"] = "speech_llm"
    llm: LLMConfig
    bos_id: int
    eos_id: int
    features: InputConfig = field(default_factory=FeatureConfig)
    encoder: EncoderConfig = field(default_factory=ConformerConfig)
    compression: CompressionConfig | None = None  # merges frames after a layer; None: all layers see all frames
    adapter: AdapterConfig = field(default_factory=ConcatLinearConfig)
    interface: InterfaceConfig = field(default_factory=PrefixConfig)
    prompts: tuple[SpelledPrompt, ...] = ()
    tags: tuple[str, ...] = ()
    target: Target = "text"
    ctc_layers: tuple[int, ...] = ()
    ctc_weight: float = 1.0  # 0: the heads stay as they are, for decoding only
    ctc_vocabulary: int | None = None  # where CTC speaks other units than the LLM; None: those of the LLM
    label_smoothing: float = 0.1
    finetune: Finetune = "full"
    lora: LoraSettings | None = None
    freeze_embeddings: bool = False  # the LLM's input and output tables stay as they are, the rest of it is trained
    freeze_encoder: bool = False
    spec_augment: AnySpecAugmentConfig | None = None

    def __post_init__(self) -> None:
        ids: dict[str, tuple[int, ...]] = {"bos_id": (self.bos_id,), "eos_id": (self.eos_id,)}
        ids |= {f"prompts[{i}]": (*prompt.before, *prompt.after) for i, prompt in enumerate(self.prompts)}
        for name, values in ids.items():
            for value in values:
                if not 0 <= value < self.llm.vocabulary:
                    raise ConfigError(f"speech LLM: {name} {value} is not in the vocabulary of {self.llm.vocabulary}.")
        if self.prompts:  # without any, those of a recipe are still to be spelled
            check_prompts(self.prompts, self.tags, "speech LLM")
        check_ctc_layers(self.ctc_layers, self.encoder)
        check_compression(self.compression, self.ctc_layers, self.encoder)
        check_adapter(self.adapter, self.ctc_layers, self.compression)
        if self.ctc_weight < 0:
            raise ConfigError(f"speech LLM: ctc_weight must not be negative, is {self.ctc_weight}.")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"speech LLM: label_smoothing must be in [0, 1), not {self.label_smoothing}.")
        check_finetune(self.finetune, self.lora, self.freeze_embeddings, self.llm.replace_embeddings)


class SpeechLLM(nn.Module):
    """Implements `Autoregressive`, and `ctc_log_probs` where it has CTC heads.

    Trained on L = CE(labels and EOS, smoothed) + w_ctc · Σ_l CTC_l (arXiv 2603.15045). A frozen LLM or encoder stays in
    evaluation mode. `stored` is the LLM's architecture when a saved model is rebuilt or its LLM taken over (then
    `as_from_source`; see `build_llm`), `stored_encoder` that of a pre-trained encoder (see `build_encoder`).
    """

    def __init__(
        self,
        config: SpeechLLMConfig,
        stored: PreTrainedConfig | None = None,
        stored_encoder: PreTrainedConfig | None = None,
        *,
        as_from_source: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.vocabulary, self.bos_id, self.eos_id = config.llm.vocabulary, config.bos_id, config.eos_id
        ctc_vocabulary = config.ctc_vocabulary or self.vocabulary
        self.speech = SpeechEncoder(
            config.features,
            config.encoder,
            config.ctc_layers,
            ctc_vocabulary,
            config.spec_augment,
            compression=config.compression,
            frozen=config.freeze_encoder,
            stored=stored_encoder,
        )
        dropout = config.llm.dropout if config.llm.source is None else 0.0
        self.llm = CausalLLM(build_llm(config.llm, stored, as_from_source=as_from_source), self.vocabulary, dropout)
        self.adapter = build_adapter(config.adapter, self.speech.encoder.width, self.llm.width)
        self.interface = build_interface(config.interface, self.llm)
        self.prompts = PromptTable(config.prompts, config.tags, config.bos_id)
        prepare_finetuning(
            self.llm.model,
            config.finetune,
            config.lora,
            freeze_embeddings=config.freeze_embeddings,
            train_embeddings=config.llm.replace_embeddings,
        )
        if not config.ctc_weight:
            self.speech.ctc_heads.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but what is frozen stays in evaluation mode (dropout, batch statistics)."""
        super().train(mode)
        if self.config.finetune == "frozen":
            self.llm.eval()
        return self

    @property
    def seconds_per_frame(self) -> float:
        """Duration one encoder state (before the adapter) stands for."""
        return self.speech.seconds_per_frame

    @property
    def room(self) -> Room | None:
        """The positions of the LLM, and how many of them audio takes; None where it has any number."""
        positions, prompt = self.llm.positions, self.prompts.longest + 1
        if positions is None:
            return None
        return Room.of(positions, prompt, self.adapter, self.interface.audio_positions, self.seconds_per_frame)

    @property
    def longest_seconds(self) -> float:
        """The longest audio that encoder and LLM have positions for, before any label; infinite where both have."""
        room = self.room
        return min(self.speech.longest_seconds, math.inf if room is None else room.longest_seconds())

    def encode(self, samples_BN: Tensor, lengths_B: Tensor) -> Encoded:
        """States of waveforms at the features' sampling rate, and what the LLM reads; `lengths_B` in samples."""
        return self._adapted(self.speech(samples_BN, lengths_B))

    def ctc_log_probs(self, encoded: Encoded, layer: int | None = None) -> tuple[Tensor, Tensor]:
        """(log p_BTW in float32, blank last, lengths_B) of the head at `layer` (None: the last head)."""
        return self.speech.ctc_log_probs(encoded, layer)

    def head(self, labels_BC: Tensor) -> LabelHead:
        """See `Autoregressive.head`."""
        return self.llm.head(labels_BC)

    def start(self, encoded: Encoded | None, rows: int, head: LabelHead | None = None) -> tuple[Tensor, Any]:
        """See `Autoregressive.start`; `rows` must be the number of utterances."""
        if encoded is None or rows != len(encoded):
            raise ModelError("The speech LLM starts with one row for each encoded utterance.")
        prompts = self.prompts.choose(encoded.tags_B, encoded.lengths_B)
        last_RE, state = self.interface.start(self.llm, _audio(encoded), prompts)
        if head is not None:
            return head.log_probs(last_RE, torch.arange(rows, device=last_RE.device)), state
        return self.llm.log_probs(last_RE), state

    def step(
        self, state: Any, labels_RN: Tensor, counts_R: Tensor | None = None, head: LabelHead | None = None
    ) -> tuple[Tensor, Any]:
        """See `Autoregressive.step`."""
        return self.interface.step(self.llm, state, labels_RN, counts_R, head)

    def branch(self, state: Any, tree: LabelTree, ends_W: Tensor) -> tuple[Tensor, Tensor, Any]:
        """See `Branching.branch`."""
        return self.interface.branch(self.llm, state, tree, ends_W)

    def select(self, state: Any, rows_R: Tensor) -> Any:
        """See `Autoregressive.select`."""
        return self.interface.select(self.llm, state, rows_R)

    def forget(self, state: Any, counts_R: Tensor) -> Any:
        """See `Autoregressive.forget`."""
        return self.interface.forget(self.llm, state, counts_R)

    def sequence_log_probs(self, encoded: Encoded | None, labels_BN: Tensor, lengths_B: Tensor) -> Tensor:
        """See `Autoregressive.sequence_log_probs`."""
        if encoded is None:
            raise ModelError("The speech LLM needs encoded audio.")
        return self.llm.log_probs(self._hidden(encoded, labels_BN, lengths_B))

    def loss_counts(self, batch: SpeechBatch) -> dict[str, float]:
        """How many labels each term of `forward` will be summed over; cheap."""
        return {"ce": label_count(batch), **self._ctc_counts(batch)}

    def forward(self, batch: SpeechBatch, step: int = 0, counts: dict[str, float] | None = None) -> dict[str, LossTerm]:
        """The loss terms of a batch at training step `step`; `counts`, where known already, are `loss_counts`."""
        counts = self.loss_counts(batch) if counts is None else counts
        encoded = self._adapted(self.speech(batch.samples_BN, batch.sample_lengths_B, batch.seeds_B, step))
        encoded = dataclasses.replace(encoded, tags_B=batch.tags_B)
        mask_BM, targets_P = next_label_targets(batch.labels_BN, batch.label_lengths_B, self.eos_id)
        seeds_B = batch.seeds_B if self.training else None
        states_BME = self._hidden(encoded, batch.labels_BN, batch.label_lengths_B, seeds_B)
        logits_PV = self.llm.logits(states_BME[mask_BM])
        total = label_smoothed_cross_entropy(logits_PV, targets_P, self.config.label_smoothing)
        terms = {"ce": LossTerm(total, counts["ce"])}
        if self._trains_ctc:
            count = counts[f"ctc{self.speech.ctc_layers[0]}"]
            terms |= self.speech.ctc_terms(encoded, batch, self.config.ctc_weight, count)
        return terms

    def with_prompts(self, prompts: tuple[SpelledPrompt, ...]) -> SpeechLLM:
        """The same model, its weights shared, under other prompts. Raises ConfigError where they do not fit it."""
        other = copy.copy(self)
        other.config = dataclasses.replace(self.config, prompts=prompts)
        other.prompts = PromptTable(prompts, self.config.tags, self.bos_id)
        return other

    def initialise_encoder(self, acoustic: AcousticModel, heads: bool = True) -> list[str]:
        """Start from the encoder of `acoustic`, and with `heads` from its CTC heads where layer and vocabulary agree.

        It may have fewer layers than this one. Returns the encoder parameters that remain new. Raises ModelError where
        features or sizes differ.
        """
        return self.speech.initialise_from(acoustic.speech, heads)

    def initialise_llm(self, language: LanguageModel) -> None:
        """Start from a language model of the same architecture and units, its LoRA, if any, merged.

        Raises ModelError, naming the first tensor, where the two do not fit.
        """
        load_base_state(self.llm.model, merged_state(language.llm.model), "The language model to start from")

    @property
    def _trains_ctc(self) -> bool:
        return bool(self.speech.ctc_layers) and self.config.ctc_weight > 0

    def _ctc_counts(self, batch: SpeechBatch) -> dict[str, float]:
        return self.speech.ctc_counts(batch) if self._trains_ctc else {}

    def _hidden(self, encoded: Encoded, labels_BN: Tensor, lengths_B: Tensor, seeds_B: Tensor | None = None) -> Tensor:
        prompts = self.prompts.choose(encoded.tags_B, encoded.lengths_B, seeds_B)
        return self.interface.hidden(self.llm, _audio(encoded), prompts, labels_BN, lengths_B)

    def _adapted(self, encoded: Encoded) -> Encoded:
        with stage("adapter"):
            audio = self.adapter(encoded.states_BTD, encoded.lengths_B, lambda: self.speech.ctc_logits(encoded)[0])
        return dataclasses.replace(encoded, audio=audio)


def _audio(encoded: Encoded) -> Audio:
    if encoded.audio is None:
        raise ModelError("The speech LLM reads what it has encoded itself, not the states of another model.")
    return Audio(*encoded.audio)
