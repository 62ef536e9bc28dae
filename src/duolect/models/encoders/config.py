"""Which pre-trained encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from duolect.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class HuggingFaceEncoderConfig:
    """The encoder of `source`, a hub name or a local folder: its sizes and weights come from there.

    Supported are Whisper, wav2vec 2.0, HuBERT, WavLM, wav2vec2-conformer and Parakeet; see `inspect_source` for the
    features that one wants. A decoder or head of the source is left behind. Saved models need the source no more.
    """

    kind: Literal["huggingface"] = "huggingface"
    source: str
    pretrained: bool = True  # False: the architecture of `source` with random weights (the control experiment)
    train_front_end: bool = True  # False: the convolutions before the layers stay as they are

    def __post_init__(self) -> None:
        if not self.source:
            raise ConfigError("encoder: source must be a hub name or the folder of a model.")
