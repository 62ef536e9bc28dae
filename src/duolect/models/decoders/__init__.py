"""Attention decoders: from encoder states to labels, by cross-attention or by putting the states before the labels."""

from __future__ import annotations

from duolect.models.decoders.base import Decoder
from duolect.models.decoders.config import AnyDecoderConfig, DecoderConfig, TransformerDecoderConfig
from duolect.models.decoders.cross import AttentionDecoder
from duolect.models.decoders.prepend import PrependDecoder

__all__ = [
    "AnyDecoderConfig",
    "AttentionDecoder",
    "Decoder",
    "DecoderConfig",
    "PrependDecoder",
    "TransformerDecoderConfig",
    "build_decoder",
]


def build_decoder(
    config: AnyDecoderConfig, encoder_width: int, vocabulary: int, bos_id: int, eos_id: int, tags: int = 0
) -> Decoder:
    """The decoder `config` asks for, over encoder states of `encoder_width`; `tags`: how many it can begin with."""
    if isinstance(config, TransformerDecoderConfig) and config.coupling == "prepend":
        return PrependDecoder(config, encoder_width, vocabulary, bos_id, eos_id, tags)
    return AttentionDecoder(config, encoder_width, vocabulary, bos_id, eos_id, tags)
