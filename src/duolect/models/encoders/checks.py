"""Whether the features a source wants are among those there are."""

from __future__ import annotations

from typing import Any

from duolect.audio.features import FeatureConfig
from duolect.audio.waveform import InputConfig
from duolect.configs import to_json
from duolect.errors import ModelError


def require(extractor: Any, **settings: Any) -> None:
    """Raise ModelError unless a feature extractor has these settings, as far as it says."""
    kind = getattr(extractor, "feature_extractor_type", "of no stated type")
    for name, wanted in settings.items():
        found = getattr(extractor, name, wanted)
        if found != wanted:
            raise ModelError(f"encoder: its features ({kind}) have {name} {found}; only {wanted} is supported.")


def check_inputs(source: str, given: InputConfig, wanted: InputConfig, exactly: bool) -> None:
    """Raise ModelError, saying what would be right, where an encoder is given other inputs than it wants.

    Unless `exactly`, only what its weights depend on must be the same: the kind and the number of bins.
    """

    def summary(inputs: InputConfig) -> tuple[str, int | None]:
        return inputs.kind, inputs.mels if isinstance(inputs, FeatureConfig) else None

    if given == wanted or (not exactly and summary(given) == summary(wanted)):
        return
    right = missing_settings(given, wanted)
    raise ModelError(f"encoder: {source!r} was trained on other features; they must have {right}.")


def missing_settings(given: InputConfig, wanted: InputConfig) -> str:
    """The settings of `wanted` that `given` does not have: "kind 'whisper', fft 400"."""
    there = to_json(given)
    return ", ".join(f"{name} {value!r}" for name, value in to_json(wanted).items() if there.get(name) != value)
