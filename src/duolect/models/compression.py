"""Merging frames between the layers of an encoder, by what the CTC head of one of them says.

B utterances · T frames · D width · W = V + 1 with the blank last.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from duolect.errors import ConfigError
from duolect.models.encoders import EncoderConfig, HuggingFaceEncoderConfig
from duolect.nn.adapters import AdapterConfig, needs_ctc
from duolect.nn.masks import Frames, Shorten
from duolect.nn.merging import Merge, MergeConfig


@dataclass(frozen=True, kw_only=True)
class CompressionConfig(MergeConfig):
    """CTC compression after an encoder layer, counted from 1, that carries a CTC head; the remaining layers, and all
    that follows, see the vectors. (Gaido et al., EACL 2021; layer 8 of 12, mean, blanks kept in arXiv 2501.02370.)
    """

    layer: int


class Compression(Merge):
    """CTC compression after a layer, as a step between the layers of an encoder."""

    def __init__(self, config: CompressionConfig) -> None:
        super().__init__(config, "compression")
        self.layer = config.layer

    def shorten(self, heads: nn.ModuleDict) -> dict[int, Shorten]:
        """What the encoder is to do after which layer; `heads` are the CTC heads by layer."""
        head = heads[str(self.layer)]

        def merged(states_BTD: Tensor, lengths_B: Tensor) -> Frames:
            with torch.no_grad():
                logits_BTW = head(states_BTD)
            return self(states_BTD, lengths_B, logits_BTW)

        return {self.layer: merged}


def check_compression(
    compression: CompressionConfig | None, ctc_layers: tuple[int, ...], encoder: EncoderConfig
) -> None:
    """Raise ConfigError unless the encoder's frames can be merged where `compression` says."""
    if compression is None:
        return
    if isinstance(encoder, HuggingFaceEncoderConfig):
        raise ConfigError(
            "compression: the layers of a pre-trained encoder must see all frames; leave it out, or use an adapter of "
            "kind 'ctc_compression' instead."
        )
    if compression.layer not in ctc_layers:
        raise ConfigError(
            f"compression: layer must be one of ctc_layers {ctc_layers}, whose heads say what belongs together, not "
            f"{compression.layer}."
        )


def check_adapter(adapter: AdapterConfig, ctc_layers: tuple[int, ...], compression: CompressionConfig | None) -> None:
    """Raise ConfigError unless there is a CTC head of the encoder's last frames for an adapter that asks for one."""
    if not needs_ctc(adapter):
        return
    if not ctc_layers:
        raise ConfigError(
            "adapter: the kind 'ctc_compression' merges what the last CTC head finds equal; ctc_layers must name a "
            "layer."
        )
    if compression is not None and compression.layer >= ctc_layers[-1]:
        raise ConfigError(
            f"adapter: the kind 'ctc_compression' needs a CTC head of what the compression after layer "
            f"{compression.layer} leaves; ctc_layers {ctc_layers} must name a layer beyond it."
        )
