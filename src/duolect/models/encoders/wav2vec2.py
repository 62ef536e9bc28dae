"""wav2vec 2.0 (Baevski et al. 2020) and its relatives. B utterances · N samples · T frames · D width."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from duolect.audio.waveform import WaveformConfig
from duolect.models.encoders.base import Facts, Masking, PretrainedEncoder, conv_lengths
from duolect.models.encoders.checks import require
from duolect.nn.masks import length_mask


class Wav2Vec2Encoder(PretrainedEncoder):
    """wav2vec 2.0, HuBERT, WavLM: convolutions over samples (20 ms a state), a convolution for positions, Transformer.

    Those whose front end normalises over time ("group", most base models) hear padding, and are not padding-safe, nor
    are HuBERTs with a batch norm before the convolution for positions; those that normalise over channels ("layer",
    most large ones) are. SpecAugment hides frames after the front end, and channels, as in the paper, but drawn for
    each utterance by its own seed; a hidden frame is the vector learnt for that purpose in pre-training, which stays as
    it is.
    """

    model_types = ("wav2vec2", "hubert", "wavlm")
    optional_weights = ("masked_spec_embed",)
    masks_states = True

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        model.feature_extractor._requires_grad = False  # else it would compute the gradient of the samples
        hidden = getattr(model, "masked_spec_embed", None)
        if hidden is not None:
            hidden.requires_grad_(False)

    @classmethod
    def own_architecture(cls, architecture: Any) -> Any:
        """See `PretrainedEncoder`."""
        architecture.layerdrop = 0.0
        architecture.apply_spec_augment = False
        architecture.add_adapter = False
        return architecture

    @classmethod
    def network(cls, architecture: Any) -> Any:
        """See `PretrainedEncoder`."""
        from transformers import MODEL_MAPPING

        return MODEL_MAPPING[type(architecture)]

    @classmethod
    def facts_of(cls, architecture: Any) -> Facts:
        """See `PretrainedEncoder`."""
        # A batch norm before the convolution for positions makes something of the zeros that pad an utterance.
        shifted = getattr(architecture, "conv_pos_batch_norm", False)
        return Facts(
            width=architecture.hidden_size,
            depth=architecture.num_hidden_layers,
            downsampling=math.prod(architecture.conv_stride),
            padding_safe=architecture.feat_extract_norm == "layer" and not shifted,
        )

    @classmethod
    def inputs_of(cls, architecture: Any, extractor: Any | None) -> WaveformConfig:
        """See `PretrainedEncoder`."""
        if extractor is None:
            return WaveformConfig()
        require(extractor, sampling_rate=16_000, feature_size=1)
        return WaveformConfig(normalise=bool(getattr(extractor, "do_normalize", True)))

    @property
    def front_end(self) -> list[nn.Module]:
        """See `PretrainedEncoder`."""
        return [self.model.feature_extractor]

    @property
    def layers(self) -> nn.ModuleList:
        """See `PretrainedEncoder`."""
        return self.model.encoder.layers

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """See `PretrainedEncoder`."""
        for kernel, stride in zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True):
            lengths_B = conv_lengths(lengths_B, kernel, stride)
        return lengths_B

    def encode(self, inputs: Tensor, lengths_B: Tensor, frames_B: Tensor, masking: Masking | None) -> Tensor:
        """See `PretrainedEncoder`."""
        samples_BN = functional.pad(inputs, (0, max(0, self._shortest - inputs.shape[1])))
        projected = self.model.feature_projection(self.model.feature_extractor(samples_BN).transpose(1, 2))
        x_BTD = projected[0] if isinstance(projected, tuple) else projected
        x_BTD = self._hide(x_BTD, frames_B, masking)
        with warnings.catch_warnings():
            # WavLM gives torch a boolean mask beside its position bias.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask", category=UserWarning)
            # Cloned, for the frames outside are set to 0 in place.
            return self.model.encoder(x_BTD.clone(), attention_mask=length_mask(frames_B, x_BTD.shape[1]))[0]

    @property
    def first_centre(self) -> float:
        """The middle of the samples that the first state is made of: its convolutions are not padded."""
        return (self._shortest - 1) / 2

    @property
    def _shortest(self) -> int:
        """Samples that give one state."""
        samples = 1
        layers = zip(self.model.config.conv_kernel, self.model.config.conv_stride, strict=True)
        for kernel, stride in reversed(list(layers)):
            samples = (samples - 1) * stride + kernel
        return samples

    def _hide(self, x_BTD: Tensor, frames_B: Tensor, masking: Masking | None) -> Tensor:
        masks = None if masking is None else masking(frames_B, x_BTD.shape[1], x_BTD.shape[2])
        if masks is None:
            return x_BTD
        time_BT, channels_BD = masks
        hidden_D = getattr(self.model, "masked_spec_embed", None)
        hidden_D = x_BTD.new_zeros(x_BTD.shape[2]) if hidden_D is None else hidden_D.to(x_BTD.dtype)
        return torch.where(time_BT.unsqueeze(-1), hidden_D, x_BTD).masked_fill(channels_BD.unsqueeze(1), 0.0)


class Wav2Vec2ConformerEncoder(Wav2Vec2Encoder):
    """wav2vec 2.0 with Conformer layers, whose convolutions hear padding: not padding-safe with any front end."""

    model_types = ("wav2vec2-conformer",)

    def __init__(self, config: Any, model: Any) -> None:
        super().__init__(config, model)
        model.encoder.pos_conv_embed.requires_grad_(False)  # it has one, but does not use it

    @classmethod
    def facts_of(cls, architecture: Any) -> Facts:
        """See `PretrainedEncoder`."""
        facts = super().facts_of(architecture)
        return Facts(facts.width, facts.depth, facts.downsampling, padding_safe=False)

    def encode(self, inputs: Tensor, lengths_B: Tensor, frames_B: Tensor, masking: Masking | None) -> Tensor:
        """See `PretrainedEncoder`."""
        self._forget_positions()
        return super().encode(inputs, lengths_B, frames_B, masking)

    def _forget_positions(self) -> None:
        """Positions cached in another mode, or on another device, cannot be used in training."""
        positions = self.model.encoder.embed_positions
        if getattr(positions, "cached_rotary_positional_embedding", None) is not None:
            positions.cached_sequence_length = None
        table = getattr(positions, "pe", None)
        if table is not None and table.is_inference() and not torch.is_inference_mode_enabled():
            positions.pe = table.clone()
