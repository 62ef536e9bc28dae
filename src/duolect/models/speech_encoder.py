"""From samples to encoder states and CTC log-probabilities: what the acoustic model and the speech LLM share.

B utterances · N samples · T frames · F feature bins · D width · W = V + 1 with the blank last.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from duolect.audio.features import FeatureConfig
from duolect.audio.waveform import InputConfig, build_input
from duolect.data.augment import AnySpecAugmentConfig, hide, spec_augment_masks
from duolect.errors import ConfigError, ModelError
from duolect.models.compression import Compression, CompressionConfig
from duolect.models.encoded import Encoded
from duolect.models.encoders import EncoderConfig, PretrainedEncoder, build_encoder
from duolect.models.encoders.checks import missing_settings
from duolect.models.targets import ctc_count, ctc_labels
from duolect.nn.ledger import stage
from duolect.nn.losses import LossTerm, ctc_frames_needed, ctc_loss
from duolect.nn.masks import Frames, length_mask
from duolect.nn.meters import Meter
from duolect.nn.norms import MaskedBatchNorm

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from duolect.data.loader import SpeechBatch


class SpeechEncoder(nn.Module):
    """Input, masked batch norm over it, SpecAugment in training, encoder, and CTC heads at chosen layers.

    An encoder that does not want it (a pre-trained one, or one over gated convolutions) hears its features without the
    batch norm; one of waveforms hides its own states instead of features. With `compression` the frames are merged
    after a layer by what its CTC head says; the heads up to that layer speak of all frames, later ones of what is left.
    With `frozen` only the heads are trained, the rest stays in evaluation mode, but for SpecAugment. `stored` is the
    architecture of a saved pre-trained encoder (see `build_encoder`).
    """

    augments = True  # in training mode, whether or not it is trained itself

    def __init__(
        self,
        features: InputConfig,
        encoder: EncoderConfig,
        ctc_layers: tuple[int, ...],
        ctc_vocabulary: int,
        augment: AnySpecAugmentConfig | None,
        *,
        compression: CompressionConfig | None = None,
        frozen: bool = False,
        stored: PreTrainedConfig | None = None,
    ) -> None:
        super().__init__()
        self.feature_config, self.augment, self.ctc_vocabulary = features, augment, ctc_vocabulary
        self.compression = None if compression is None else Compression(compression)
        self.unaligned = Meter("ctc_too_short")
        self.features = build_input(features)
        self.encoder = build_encoder(encoder, features, stored)
        self.feature_norm: MaskedBatchNorm | None = None
        if isinstance(features, FeatureConfig) and self.encoder.normalises:
            self.feature_norm = MaskedBatchNorm(features.mels, affine=False)
        if any(layer > self.encoder.depth for layer in ctc_layers):
            raise ConfigError(
                f"ctc_layers must be from 1 to {self.encoder.depth} (the encoder's layers), not {ctc_layers}."
            )
        self.ctc_heads = nn.ModuleDict(
            {str(layer): nn.Linear(self.encoder.width, ctc_vocabulary + 1) for layer in ctc_layers}
        )
        if frozen:
            self.encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As `nn.Module.train`, but what is frozen stays in evaluation mode (dropout, batch statistics)."""
        super().train(mode)
        if not any(parameter.requires_grad for parameter in self.encoder.parameters()):
            self.encoder.eval()
            if self.feature_norm is not None:
                self.feature_norm.eval()
        return self

    @property
    def ctc_layers(self) -> tuple[int, ...]:
        """Layers that carry a CTC head, counted from 1."""
        return tuple(int(layer) for layer in self.ctc_heads)

    @property
    def seconds_per_frame(self) -> float:
        """Duration one encoder state stands for."""
        return self.feature_config.seconds_per_frame * self.encoder.downsampling

    @property
    def first_centre(self) -> float:
        """Seconds from the beginning of the sound to the middle of the first state."""
        return self.feature_config.first_centre + self.encoder.first_centre * self.feature_config.seconds_per_frame

    @property
    def longest_seconds(self) -> float:
        """The longest audio the encoder has positions for; infinite for most."""
        longest = self.encoder.longest
        return math.inf if longest is None else longest * self.feature_config.seconds_per_frame

    def forward(self, samples_BN: Tensor, lengths_B: Tensor, seeds_B: Tensor | None = None, step: int = 0) -> Encoded:
        """Encode waveforms. With `seeds_B`, and in training only, SpecAugment of training step `step` is applied."""
        masking: Any = None
        if self.training and self.augment is not None and seeds_B is not None:
            masking = functools.partial(spec_augment_masks, seeds_B=seeds_B, step=step, config=self.augment)
        own: dict[str, Any] = {"masking": masking} if self.encoder.masks_states else {}
        if self.compression is not None:
            own["shorten"] = self.compression.shorten(self.ctc_heads)
        with stage("features"), torch.no_grad(), torch.autocast(samples_BN.device.type, enabled=False):
            features, lengths_B = self.features(samples_BN.float(), lengths_B)
            if self.feature_norm is not None:
                features = self.feature_norm(features, length_mask(lengths_B, features.shape[1]))
            if masking is not None and not self.encoder.masks_states:
                features = hide(features, masking(lengths_B, *features.shape[1:]))
        features = features.to(next(self.encoder.parameters()).dtype)
        states_BTD, lengths_B, kept = self.encoder(features, lengths_B, self.ctc_layers, **own)
        ctc_states = {layer: x_BTD for layer, (x_BTD, _) in kept.items()}
        return Encoded(states_BTD, lengths_B, ctc_states, {layer: lengths_B for layer, (_, lengths_B) in kept.items()})

    def ctc_logits(self, encoded: Encoded, layer: int | None = None) -> Frames:
        """(logits_BTW, lengths_B) of the head at `layer` (None: the last head), whose frames have their own lengths.

        Raises ModelError where there is no such head.
        """
        if not self.ctc_heads:
            raise ModelError("This model has no CTC head; train it with ctc_layers set.")
        layer = self.ctc_layers[-1] if layer is None else layer
        if str(layer) not in self.ctc_heads:
            raise ModelError(f"There is no CTC head at layer {layer}; there are heads at {self.ctc_layers}.")
        return self.ctc_heads[str(layer)](encoded.ctc_states[layer]), encoded.ctc_lengths[layer]

    def ctc_log_probs(self, encoded: Encoded, layer: int | None = None) -> Frames:
        """(log p_BTW in float32, blank last, lengths_B); frames outside an utterance are arbitrary."""
        logits_BTW, lengths_B = self.ctc_logits(encoded, layer)
        return logits_BTW.float().log_softmax(-1), lengths_B

    def ctc_terms(self, encoded: Encoded, batch: SpeechBatch, weight: float, count: float) -> dict[str, LossTerm]:
        """A loss term "ctc<layer>" for each head.

        An utterance with fewer frames than its labels need teaches nothing, and counts as if its labels were guessed:
        without an alignment no model is to look better than with one. Where compression leaves so few, the share of
        such utterances is shown as "ctc_too_short".
        """
        labels_BN, label_lengths_B = ctc_labels(batch)
        needed_B = ctc_frames_needed(labels_BN, label_lengths_B)
        terms = {}
        for layer in self.ctc_layers:
            logits_BTW, lengths_B = self.ctc_logits(encoded, layer)
            short_B = lengths_B < needed_B
            guessed = (label_lengths_B * short_B).sum() * math.log(logits_BTW.shape[-1])
            total = ctc_loss(logits_BTW, lengths_B, labels_BN, label_lengths_B) + guessed
            if self.compression is not None and layer > self.compression.layer:
                self.unaligned.add(short_B.sum(), torch.full_like(short_B, True).sum())
            terms[f"ctc{layer}"] = LossTerm(total, count, weight)
        return terms

    def ctc_counts(self, batch: SpeechBatch) -> dict[str, float]:
        """The counts of `ctc_terms`."""
        return {f"ctc{layer}": ctc_count(batch) for layer in self.ctc_layers}

    @torch.no_grad()
    def initialise_from(self, other: SpeechEncoder, heads: bool = True) -> list[str]:
        """Take over the weights of `other`, which may have fewer layers and other CTC heads; without `heads` no head.

        Returns the names of this encoder's parameters that stay as they were. Raises ModelError, naming what differs,
        where the features or the encoder's sizes are not the same.
        """
        if self.feature_config != other.feature_config:
            raise ModelError(
                "The encoder hears other features than the one it is to start from; they must have "
                f"{missing_settings(self.feature_config, other.feature_config)}."
            )
        _check_alike(self.encoder, other.encoder)
        state = self.state_dict()
        source = {
            name: tensor
            for name, tensor in other.state_dict().items()
            if name in state and (not name.startswith("ctc_heads.") or state[name].shape == tensor.shape)
        }
        if not heads or self.ctc_vocabulary != other.ctc_vocabulary:
            source = {name: tensor for name, tensor in source.items() if not name.startswith("ctc_heads.")}
        self.load_state_dict(source, strict=False)
        return [name for name, _ in self.named_parameters() if name not in source]


def _check_alike(mine: Any, theirs: Any) -> None:
    """Raise ModelError unless the encoder `mine` can take over the weights of `theirs`."""
    if isinstance(mine, PretrainedEncoder) or isinstance(theirs, PretrainedEncoder):
        _check_same_network(mine, theirs)
        return
    for field in dataclasses.fields(mine.config):
        a, b = getattr(mine.config, field.name), getattr(theirs.config, field.name)
        if field.name not in ("layers", "dropout") and a != b:
            raise ModelError(f"The encoder has {field.name} {a}, the one it is to start from has {b}.")
    if theirs.depth > mine.depth:
        raise ModelError(
            f"The encoder has {mine.depth} layers, fewer than the {theirs.depth} of the one it is to start from."
        )


def _check_same_network(mine: nn.Module, theirs: nn.Module) -> None:
    if type(mine) is not type(theirs):
        raise ModelError(
            f"The encoder is a {type(mine).__name__}, the one it is to start from a {type(theirs).__name__}."
        )
    a, b = ({name: tuple(x.shape) for name, x in module.state_dict().items()} for module in (mine, theirs))
    for name in sorted(set(a) | set(b)):
        if a.get(name) != b.get(name):
            raise ModelError(
                f"The encoder's {name} has the shape {a.get(name)}, that of the one it is to start from {b.get(name)}."
            )
