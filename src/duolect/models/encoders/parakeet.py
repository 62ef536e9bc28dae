"""Parakeet's encoder, a FastConformer (Rekesh et al. 2023). B utterances · T frames · F mel bins · D width."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from duolect.audio.features import PREEMPHASIS, FeatureConfig
from duolect.models.encoders.base import Facts, Masking, PretrainedEncoder, conv_lengths
from duolect.models.encoders.checks import require
from duolect.nn.masks import length_mask


class ParakeetEncoder(PretrainedEncoder):
    """Depthwise convolutions (80 ms a state), Conformer layers with relative positions."""

    model_types = ("parakeet_ctc", "parakeet_rnnt", "parakeet_tdt", "parakeet_encoder")

    @classmethod
    def own_architecture(cls, architecture: Any) -> Any:
        """See `PretrainedEncoder`."""
        own = getattr(architecture, "encoder_config", None) or architecture
        own.layerdrop = 0.0
        return own

    @classmethod
    def network(cls, architecture: Any) -> Any:
        """See `PretrainedEncoder`."""
        from transformers import ParakeetEncoder as Network

        return Network

    @classmethod
    def facts_of(cls, architecture: Any) -> Facts:
        """See `PretrainedEncoder`."""
        return Facts(
            width=architecture.hidden_size,
            depth=architecture.num_hidden_layers,
            downsampling=architecture.subsampling_factor,
        )

    @classmethod
    def inputs_of(cls, architecture: Any, extractor: Any | None) -> FeatureConfig:
        """See `PretrainedEncoder`."""
        if extractor is not None:
            mels = architecture.num_mel_bins
            require(extractor, sampling_rate=16_000, hop_length=160, win_length=400, n_fft=512, feature_size=mels)
            require(extractor, preemphasis=PREEMPHASIS)
        return FeatureConfig(kind="nemo", mels=architecture.num_mel_bins, normalisation="per_feature")

    @property
    def front_end(self) -> list[nn.Module]:
        """See `PretrainedEncoder`."""
        return [self.model.subsampling]

    @property
    def layers(self) -> nn.ModuleList:
        """See `PretrainedEncoder`."""
        return self.model.layers

    def output_lengths(self, lengths_B: Tensor) -> Tensor:
        """See `PretrainedEncoder`."""
        kernel, stride = self.model.config.subsampling_conv_kernel_size, self.model.config.subsampling_conv_stride
        for _ in range(int(math.log2(self.model.config.subsampling_factor))):
            lengths_B = conv_lengths(lengths_B, kernel, stride, (kernel - 1) // 2)
        return lengths_B

    def encode(self, inputs: Tensor, lengths_B: Tensor, frames_B: Tensor, masking: Masking | None) -> Tensor:
        """See `PretrainedEncoder`."""
        features_BTF = functional.pad(inputs, (0, 0, 0, max(0, 1 - inputs.shape[1])))
        mask_BT = length_mask(lengths_B.clamp(min=1), features_BTF.shape[1])
        return self.model(features_BTF, attention_mask=mask_BT).last_hidden_state
