"""Whisper's encoder (Radford et al. 2022). B utterances · T frames · F mel bins · D width."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from duolect.audio.features import FeatureConfig
from duolect.models.encoders.base import Facts, Masking, PretrainedEncoder, conv_lengths
from duolect.models.encoders.checks import require
from duolect.nn.masks import key_bias, length_mask


class WhisperEncoder(PretrainedEncoder):
    """Two convolutions (the second halves the rate: 20 ms a state), learnt positions, Transformer layers.

    The original pads whatever it hears to 30 s and attends to all of it, silence included. Here an utterance has the
    first T of those positions and attends to its own frames alone: far less to compute, and the same in any batch.
    Its weights have only met full windows, though: it is meant to be trained further, not used as it comes. It cannot
    hear anything longer than 30 s.
    """

    model_types = ("whisper",)
    key_mapping = {r"^(model\.)?encoder\.": ""}  # noqa: RUF012

    @classmethod
    def own_architecture(cls, architecture: Any) -> Any:
        """See `PretrainedEncoder`."""
        architecture.encoder_layerdrop = 0.0
        return architecture

    @classmethod
    def network(cls, architecture: Any) -> Any:
        """See `PretrainedEncoder`."""
        from transformers.models.whisper.modeling_whisper import WhisperEncoder as Network

        return Network

    @classmethod
    def facts_of(cls, architecture: Any) -> Facts:
        """See `PretrainedEncoder`."""
        return Facts(
            width=architecture.d_model,
            depth=architecture.encoder_layers,
            downsampling=2,
            longest=2 * architecture.max_source_positions,
        )

    @classmethod
    def inputs_of(cls, architecture: Any, extractor: Any | None) -> FeatureConfig:
        """See `PretrainedEncoder`."""
        if extractor is not None:
            require(extractor, sampling_rate=16_000, hop_length=160, n_fft=400, feature_size=architecture.num_mel_bins)
        return FeatureConfig(kind="whisper", mels=architecture.num_mel_bins, fft=400)

    @property
    def front_end(self) -> list[nn.Module]:
        """See `PretrainedEncoder`."""
        return [self.model.conv1, self.model.conv2]

    @property
    def layers(self) -> nn.ModuleList:
        """See `PretrainedEncoder`."""
        return self.model.layers

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """See `PretrainedEncoder`."""
        return conv_lengths(lengths_B, kernel=3, stride=2, padding=1)

    def encode(self, inputs: Tensor, lengths_B: Tensor, frames_B: Tensor, masking: Masking | None) -> Tensor:
        """See `PretrainedEncoder`."""
        network = self.model
        features_BFT = functional.pad(inputs.transpose(1, 2), (0, max(0, 1 - inputs.shape[1])))
        x_BDT = functional.gelu(network.conv1(features_BFT))
        # The second convolution must find silence after an utterance, as it does after the last frame of a batch.
        x_BDT = x_BDT.masked_fill(~length_mask(lengths_B, x_BDT.shape[2])[:, None], 0.0)
        x_BTD = functional.gelu(network.conv2(x_BDT)).transpose(1, 2)
        x_BTD = x_BTD + network.embed_positions.weight[: x_BTD.shape[1]]
        x_BTD = functional.dropout(x_BTD, p=network.dropout, training=network.training)
        bias_B11T = key_bias(length_mask(frames_B, x_BTD.shape[1]), x_BTD.dtype)[:, None, None, :]
        for layer in network.layers:
            x_BTD = layer(x_BTD, bias_B11T)
        return network.layer_norm(x_BTD)
