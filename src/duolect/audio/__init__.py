"""Sound: files to samples, samples to features, and text to speech by espeak-ng."""

import importlib
from typing import TYPE_CHECKING

from duolect.audio.files import SAMPLE_RATE, AudioInfo, audio_info, read_audio, write_audio
from duolect.audio.speech import Voice, languages, phonemes, pronunciations, speak, variants, voices

if TYPE_CHECKING:
    from duolect.audio.features import FeatureConfig, LogMel
    from duolect.audio.waveform import InputConfig, Waveform, WaveformConfig

__all__ = [
    "SAMPLE_RATE",
    "AudioInfo",
    "FeatureConfig",
    "InputConfig",
    "LogMel",
    "Voice",
    "Waveform",
    "WaveformConfig",
    "audio_info",
    "languages",
    "phonemes",
    "pronunciations",
    "read_audio",
    "speak",
    "variants",
    "voices",
    "write_audio",
]


_TORCH = {
    "FeatureConfig": "features",
    "LogMel": "features",
    "InputConfig": "waveform",
    "Waveform": "waveform",
    "WaveformConfig": "waveform",
}


def __getattr__(name: str) -> object:
    """What loads torch, only when it is asked for."""
    if name in _TORCH:
        return getattr(importlib.import_module(f"duolect.audio.{_TORCH[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
