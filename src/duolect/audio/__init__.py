"""Sound: files to samples, samples to features, and text to speech by espeak-ng."""

from typing import TYPE_CHECKING

from duolect.audio.files import SAMPLE_RATE, AudioInfo, audio_info, read_audio, write_audio
from duolect.audio.speech import Voice, languages, phonemes, speak, variants, voices

if TYPE_CHECKING:
    from duolect.audio.features import FeatureConfig, LogMel

__all__ = [
    "SAMPLE_RATE",
    "AudioInfo",
    "FeatureConfig",
    "LogMel",
    "Voice",
    "audio_info",
    "languages",
    "phonemes",
    "read_audio",
    "speak",
    "variants",
    "voices",
    "write_audio",
]


def __getattr__(name: str) -> object:
    """`FeatureConfig` and `LogMel` load torch, so only when they are asked for."""
    if name in ("FeatureConfig", "LogMel"):
        from duolect.audio import features

        return getattr(features, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
