"""Building blocks of the models: encoder, decoder layers, adapters, normalisation, losses."""

from duolect.nn.adapters import (
    AdapterConfig,
    ChainConfig,
    ConcatLinear,
    ConcatLinearConfig,
    ConvConfig,
    CtcCompressionConfig,
    QFormerConfig,
)
from duolect.nn.conformer import FBK_CONFORMER, Conformer, ConformerConfig
from duolect.nn.frontend import ConvFrontEnd, FrontEndConfig, GatedFrontEnd, GatedFrontEndConfig
from duolect.nn.losses import LossTerm, ctc_loss, label_smoothed_cross_entropy
from duolect.nn.masks import length_mask
from duolect.nn.norms import MaskedBatchNorm, commit_batch_norms
from duolect.nn.transformer_encoder import TransformerEncoder, TransformerEncoderConfig

__all__ = [
    "FBK_CONFORMER",
    "AdapterConfig",
    "ChainConfig",
    "ConcatLinear",
    "ConcatLinearConfig",
    "Conformer",
    "ConformerConfig",
    "ConvConfig",
    "ConvFrontEnd",
    "CtcCompressionConfig",
    "FrontEndConfig",
    "GatedFrontEnd",
    "GatedFrontEndConfig",
    "LossTerm",
    "MaskedBatchNorm",
    "QFormerConfig",
    "TransformerEncoder",
    "TransformerEncoderConfig",
    "commit_batch_norms",
    "ctc_loss",
    "label_smoothed_cross_entropy",
    "length_mask",
]
