"""Building blocks of the models: encoder, decoder layers, adapters, normalisation, losses."""

from duolect.nn.adapters import AdapterConfig, ConcatLinear, ConcatLinearConfig
from duolect.nn.conformer import Conformer, ConformerConfig
from duolect.nn.frontend import ConvFrontEnd, FrontEndConfig
from duolect.nn.losses import LossTerm, ctc_loss, label_smoothed_cross_entropy
from duolect.nn.masks import length_mask
from duolect.nn.norms import MaskedBatchNorm, commit_batch_norms

__all__ = [
    "AdapterConfig",
    "ConcatLinear",
    "ConcatLinearConfig",
    "Conformer",
    "ConformerConfig",
    "ConvFrontEnd",
    "FrontEndConfig",
    "LossTerm",
    "MaskedBatchNorm",
    "commit_batch_norms",
    "ctc_loss",
    "label_smoothed_cross_entropy",
    "length_mask",
]
