"""From a hub name or a folder to an encoder."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from duolect.audio.waveform import InputConfig
from duolect.errors import ModelError
from duolect.models.encoders.base import PretrainedEncoder
from duolect.models.encoders.checks import check_inputs
from duolect.models.encoders.config import HuggingFaceEncoderConfig
from duolect.models.encoders.extractor import read_extractor
from duolect.models.encoders.parakeet import ParakeetEncoder
from duolect.models.encoders.wav2vec2 import Wav2Vec2ConformerEncoder, Wav2Vec2Encoder
from duolect.models.encoders.whisper import WhisperEncoder
from duolect.models.pretrained import load_pretrained, quiet, reason

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FAMILIES: dict[str, type[PretrainedEncoder]] = {
    name: family
    for family in (WhisperEncoder, Wav2Vec2Encoder, Wav2Vec2ConformerEncoder, ParakeetEncoder)
    for name in family.model_types
}
"""transformers' model_type → the encoder that wraps it."""


@dataclass(frozen=True)
class PretrainedSource:
    """What a source is, without its weights: `layers` and `width` of its encoder, the `features` it wants to hear, the
    duration of one of its states and of the longest audio it can hear (None: any), and whether it is padding-safe."""

    features: InputConfig
    width: int
    layers: int
    seconds_per_frame: float
    longest_seconds: float | None
    padding_safe: bool


def inspect_source(source: str) -> PretrainedSource:
    """Read the configuration of the pre-trained encoder `source`, a hub name or a folder.

    Raises ModelError where it cannot be read or is no encoder that is supported.
    """
    architecture = _read_architecture(source)
    family = _family(source, architecture)
    own = family.own_architecture(architecture)
    facts, features = family.facts_of(own), family.inputs_of(own, read_extractor(source))
    seconds = features.seconds_per_frame
    return PretrainedSource(
        features=features,
        width=facts.width,
        layers=facts.depth,
        seconds_per_frame=facts.downsampling * seconds,
        longest_seconds=None if facts.longest is None else facts.longest * seconds,
        padding_safe=facts.padding_safe,
    )


def load_encoder(
    config: HuggingFaceEncoderConfig, inputs: InputConfig, stored: PreTrainedConfig | None = None
) -> PretrainedEncoder:
    """The encoder of `config.source` over `inputs`, in evaluation mode and float32; `stored` as for `build_encoder`.

    Raises ModelError where the source cannot be read, lacks weights, is of no supported kind, or wants other inputs.
    """
    source = config.source
    whole = copy.deepcopy(stored) if stored is not None else _read_architecture(source)
    family = _family(source, whole)
    own = family.own_architecture(whole)
    extractor = read_extractor(source) if stored is None else None
    check_inputs(source, inputs, family.inputs_of(own, extractor), exactly=extractor is not None)
    network = family.network(own)
    with quiet():
        if stored is None and config.pretrained:
            model = _load(network, own, family, source)
        else:
            own.dtype = torch.float32
            model = network(own)
    return family(config, model).eval()


def _family(source: str, architecture: Any) -> type[PretrainedEncoder]:
    if architecture.model_type not in FAMILIES:
        raise ModelError(
            f"encoder: {source!r} is a model of the type {architecture.model_type!r}; supported are "
            f"{', '.join(FAMILIES)}."
        )
    return FAMILIES[architecture.model_type]


def _read_architecture(source: str) -> PreTrainedConfig:
    from transformers import AutoConfig

    try:
        with quiet():
            return AutoConfig.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(source, error) from error


def _load(network: Any, architecture: Any, family: type[PretrainedEncoder], source: str) -> Any:
    try:
        return load_pretrained(
            network,
            source,
            f"encoder: {source!r}",
            lambda _: family.optional_weights,
            config=architecture,
            dtype=torch.float32,
            weights_only=True,
            key_mapping=family.key_mapping,
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise _unreadable(source, error) from error


def _unreadable(source: str, error: Exception) -> ModelError:
    return ModelError(
        f"encoder: {source!r} is neither a folder nor a hub name from which a pre-trained encoder can be loaded "
        f"({reason(error)})."
    )
