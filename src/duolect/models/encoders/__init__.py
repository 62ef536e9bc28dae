"""Encoders: our Conformer and Transformer, and those of transformers by hub name or local folder.

An encoder is a module with
* `forward(inputs, lengths_B, keep_layers)` → (states_BTD, lengths_B, {layer: (states_BTD, lengths_B)}), layers counted
  from 1;
* unless it is pre-trained, a further argument `shorten`, {layer: (states_BTD, lengths_B) → (states_BTD, lengths_B)}:
  the layers after that one, but not what is kept of it, see what comes out;
* `width` (D), `depth` (layers, perhaps none), `downsampling` (frames of the input per state);
* `padding_safe`: whether, in evaluation, an utterance has the same states alone and in any batch;
* `normalises`: whether its features are to be normalised by running statistics before;
* `masks_states`: whether SpecAugment is its own business (it then takes `masking`), not that of its features;
* `longest`: the most frames of the input it can encode (None: any number);
* `first_centre`: the frame of the input that the first state is centred on, which for convolutions that are not padded
  lies inside; state t is centred `downsampling` · t frames later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from duolect.audio.waveform import InputConfig, WaveformConfig
from duolect.errors import ConfigError
from duolect.models.encoders.base import PretrainedEncoder
from duolect.models.encoders.config import HuggingFaceEncoderConfig
from duolect.models.encoders.source import PretrainedSource, inspect_source, load_encoder
from duolect.nn.conformer import Conformer, ConformerConfig
from duolect.nn.transformer_encoder import TransformerEncoder, TransformerEncoderConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

__all__ = [
    "Encoder",
    "EncoderConfig",
    "HuggingFaceEncoderConfig",
    "PretrainedEncoder",
    "PretrainedSource",
    "build_encoder",
    "check_ctc_layers",
    "inspect_source",
]

EncoderConfig = ConformerConfig | TransformerEncoderConfig | HuggingFaceEncoderConfig
"""Every kind of encoder, told apart by `kind`."""

Encoder = Conformer | TransformerEncoder | PretrainedEncoder
"""Every class of encoder."""


def build_encoder(config: EncoderConfig, inputs: InputConfig, stored: PreTrainedConfig | None = None) -> Encoder:
    """The encoder `config` asks for, over `inputs`.

    `stored` is the architecture of a saved pre-trained encoder, which is then built with random weights and without a
    look at its source. Raises ConfigError or ModelError where the encoder cannot hear such inputs.
    """
    if isinstance(config, HuggingFaceEncoderConfig):
        return load_encoder(config, inputs, stored)
    if isinstance(inputs, WaveformConfig):
        name = type(config).__name__.removesuffix("Config")
        raise ConfigError(f"encoder: a {name} hears log-mel features (features of kind 'log10'), not a waveform.")
    if isinstance(config, TransformerEncoderConfig):
        return TransformerEncoder(config, inputs.mels)
    return Conformer(config, inputs.mels)


def check_ctc_layers(layers: tuple[int, ...], encoder: EncoderConfig) -> None:
    """Raise ConfigError unless `layers` are distinct encoder layers, counted from 1, in rising order.

    How many there are is not known of a pre-trained encoder before it is loaded.
    """
    rising = list(layers) == sorted(set(layers)) and all(layer >= 1 for layer in layers)
    if isinstance(encoder, HuggingFaceEncoderConfig):
        if not rising:
            raise ConfigError(f"ctc_layers must be distinct, rising and counted from 1, not {layers}.")
    elif layers and not encoder.layers:
        raise ConfigError(f"ctc_layers must be empty for an encoder without layers, not {layers}.")
    elif not rising or any(layer > encoder.layers for layer in layers):
        raise ConfigError(
            f"ctc_layers must be distinct, rising and from 1 to {encoder.layers} (the encoder's layers), not {layers}."
        )
