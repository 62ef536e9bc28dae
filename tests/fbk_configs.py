"""Tiny models of the five architectures of arXiv 2501.02370."""

from __future__ import annotations

import dataclasses
from typing import Any

from duolect.audio import FeatureConfig
from duolect.models import AcousticConfig, TransformerDecoderConfig
from duolect.nn import FBK_CONFORMER, GatedFrontEndConfig, TransformerEncoderConfig

VOCABULARY = 11
FEATURES = FeatureConfig(kind="kaldi", mels=20, normalisation="per_feature")
FRONT_END = GatedFrontEndConfig(channels=12)
TRANSFORMER = TransformerEncoderConfig(width=16, layers=2, heads=2, front_end=FRONT_END)
CONFORMER = dataclasses.replace(FBK_CONFORMER, width=16, layers=3, heads=2, kernel=5, front_end=FRONT_END)
NOTHING = dataclasses.replace(TRANSFORMER, layers=0)


def decoder(**changes: Any) -> TransformerDecoderConfig:
    """A decoder of width 16."""
    settings = {"width": 16, "layers": 3, "heads": 2}
    return TransformerDecoderConfig(**(settings | changes))


def model(encoder: Any, ctc_layers: tuple[int, ...] = (), **decoding: Any) -> AcousticConfig:
    """An acoustic model over `VOCABULARY` labels."""
    return AcousticConfig(
        vocabulary=VOCABULARY,
        bos_id=1,
        eos_id=0,
        features=FEATURES,
        encoder=encoder,
        ctc_layers=ctc_layers,
        ctc_weight=0.5,
        decoder=decoder(**decoding),
    )


CONFIGS = {
    "cross_transformer": model(TRANSFORMER),
    "prepend_transformer": model(TRANSFORMER, coupling="prepend"),
    "decoder_only": model(NOTHING, coupling="prepend", causal_prefix=False),
    "cross_conformer": model(CONFORMER, (2,)),
    "prepend_conformer": model(CONFORMER, (2,), coupling="prepend", auxiliary_layer=1),
}
