"""From samples to encoder states and CTC log-probabilities: what the acoustic model and the speech LLM share.

B utterances · N samples · T frames · F feature bins · D width · W = V + 1 with the blank last.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from duolect.audio.features import FeatureConfig, LogMel
from duolect.data.augment import SpecAugmentConfig, spec_augment
from duolect.errors import ConfigError, ModelError
from duolect.models.encoded import Encoded
from duolect.models.targets import ctc_count, ctc_labels
from duolect.nn.conformer import Conformer, ConformerConfig
from duolect.nn.losses import LossTerm, ctc_loss
from duolect.nn.masks import length_mask
from duolect.nn.norms import MaskedBatchNorm

if TYPE_CHECKING:
    from duolect.data.loader import SpeechBatch

EncoderConfig = ConformerConfig
"""Every kind of encoder (a union of their configs, told apart by `kind`)."""


def build_encoder(config: EncoderConfig, bins: int) -> Conformer:
    """The encoder `config` asks for, over features of `bins` bins.

    An encoder has `width`, `downsampling` and `padding_safe`, Conformer's `forward`, and `layers` (counted from 1) in
    its config.
    """
    return Conformer(config, bins)


def check_ctc_layers(layers: tuple[int, ...], encoder: EncoderConfig) -> None:
    """Raise ConfigError unless `layers` are distinct encoder layers, counted from 1, in rising order."""
    if list(layers) != sorted(set(layers)) or any(not 1 <= layer <= encoder.layers for layer in layers):
        raise ConfigError(
            f"ctc_layers must be distinct, rising and from 1 to {encoder.layers} (the encoder's layers), not {layers}."
        )


class SpeechEncoder(nn.Module):
    """Features, masked batch norm over them, SpecAugment in training, encoder, and CTC heads at chosen layers."""

    def __init__(
        self,
        features: FeatureConfig,
        encoder: EncoderConfig,
        ctc_layers: tuple[int, ...],
        ctc_vocabulary: int,
        augment: SpecAugmentConfig | None,
    ) -> None:
        super().__init__()
        self.feature_config, self.augment, self.ctc_vocabulary = features, augment, ctc_vocabulary
        self.features = LogMel(features)
        self.feature_norm = MaskedBatchNorm(features.mels, affine=False)
        self.encoder = build_encoder(encoder, features.mels)
        self.ctc_heads = nn.ModuleDict(
            {str(layer): nn.Linear(self.encoder.width, ctc_vocabulary + 1) for layer in ctc_layers}
        )

    @property
    def ctc_layers(self) -> tuple[int, ...]:
        """Layers that carry a CTC head, counted from 1."""
        return tuple(int(layer) for layer in self.ctc_heads)

    @property
    def seconds_per_frame(self) -> float:
        """Duration one encoder state stands for."""
        return self.feature_config.shift_ms / 1000 * self.encoder.downsampling

    def forward(self, samples_BN: Tensor, lengths_B: Tensor, seeds_B: Tensor | None = None, step: int = 0) -> Encoded:
        """Encode waveforms. With `seeds_B`, and in training only, SpecAugment of training step `step` is applied."""
        with torch.no_grad(), torch.autocast(samples_BN.device.type, enabled=False):
            features_BTF, lengths_B = self.features(samples_BN.float(), lengths_B)
            features_BTF = self.feature_norm(features_BTF, length_mask(lengths_B, features_BTF.shape[1]))
            if self.training and self.augment is not None and seeds_B is not None:
                features_BTF = spec_augment(features_BTF, lengths_B, seeds_B, step, self.augment)
        states_BTD, lengths_B, kept = self.encoder(features_BTF, lengths_B, self.ctc_layers)
        return Encoded(states_BTD, lengths_B, kept)

    def ctc_logits(self, encoded: Encoded, layer: int | None = None) -> Tensor:
        """logits_BTW of the head at `layer` (None: the last head). Raises ModelError where there is no such head."""
        if not self.ctc_heads:
            raise ModelError("This model has no CTC head; train it with ctc_layers set.")
        layer = self.ctc_layers[-1] if layer is None else layer
        if str(layer) not in self.ctc_heads:
            raise ModelError(f"There is no CTC head at layer {layer}; there are heads at {self.ctc_layers}.")
        return self.ctc_heads[str(layer)](encoded.ctc_states[layer])

    def ctc_log_probs(self, encoded: Encoded, layer: int | None = None) -> Tensor:
        """log p_BTW in float32, blank last; frames outside an utterance are arbitrary."""
        return self.ctc_logits(encoded, layer).float().log_softmax(-1)

    def ctc_terms(self, encoded: Encoded, batch: SpeechBatch, weight: float, count: float) -> dict[str, LossTerm]:
        """A loss term "ctc<layer>" for each head."""
        labels_BN, label_lengths_B = ctc_labels(batch)
        terms = {}
        for layer in self.ctc_layers:
            total = ctc_loss(self.ctc_logits(encoded, layer), encoded.lengths_B, labels_BN, label_lengths_B)
            terms[f"ctc{layer}"] = LossTerm(total, count, weight)
        return terms

    def ctc_counts(self, batch: SpeechBatch) -> dict[str, float]:
        """The counts of `ctc_terms`."""
        return {f"ctc{layer}": ctc_count(batch) for layer in self.ctc_layers}

    @torch.no_grad()
    def initialise_from(self, other: SpeechEncoder) -> list[str]:
        """Take over the weights of `other`, which may have fewer layers and other CTC heads.

        Returns the names of this encoder's parameters that stay as they were. Raises ModelError, naming what differs,
        where features, front end, width, heads, feed-forward or kernel are not the same.
        """
        if self.feature_config != other.feature_config:
            raise ModelError(
                f"The encoder hears other features than the one it is to start from: {self.feature_config} against "
                f"{other.feature_config}."
            )
        mine, theirs = self.encoder.config, other.encoder.config
        free = {"layers", "dropout"}
        for field in dataclasses.fields(mine):
            a, b = getattr(mine, field.name), getattr(theirs, field.name)
            if field.name not in free and a != b:
                raise ModelError(f"The encoder has {field.name} {a}, the one it is to start from has {b}.")
        if theirs.layers > mine.layers:
            raise ModelError(
                f"The encoder has {mine.layers} layers, fewer than the {theirs.layers} of the one it is to start from."
            )
        state = self.state_dict()
        source = {
            name: tensor
            for name, tensor in other.state_dict().items()
            if name in state and (not name.startswith("ctc_heads.") or state[name].shape == tensor.shape)
        }
        if self.ctc_vocabulary != other.ctc_vocabulary:
            source = {name: tensor for name, tensor in source.items() if not name.startswith("ctc_heads.")}
        self.load_state_dict(source, strict=False)
        return [name for name, _ in self.named_parameters() if name not in source]
