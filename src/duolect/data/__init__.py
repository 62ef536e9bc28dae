"""Room `data`: manifests, batches of utterances and of text, augmentation; the synthetic corpus in `data.synthetic`."""

import importlib
from typing import TYPE_CHECKING

from duolect.data.batching import BatchConfig, SpeechBatches
from duolect.data.cuts import from_cuts, to_cuts
from duolect.data.manifest import Utterance, load_manifest, read_manifest, write_manifest
from duolect.data.skips import SkipLog, Skipped
from duolect.data.targets import Target, target_text, with_targets

if TYPE_CHECKING:
    from duolect.data.augment import (
        SpecAugmentConfig,
        SpecAugmentPolicyConfig,
        WaveAugmentConfig,
        add_noise,
        augment_wave,
        change_speed,
        reverberate,
        spec_augment,
    )
    from duolect.data.loader import SpeechBatch, SpeechLoader, collate, read_samples, spelled
    from duolect.data.text import TextBatch, TextBatches, read_text

__all__ = [
    "BatchConfig",
    "SkipLog",
    "Skipped",
    "SpecAugmentConfig",
    "SpecAugmentPolicyConfig",
    "SpeechBatch",
    "SpeechBatches",
    "SpeechLoader",
    "Target",
    "TextBatch",
    "TextBatches",
    "Utterance",
    "WaveAugmentConfig",
    "add_noise",
    "augment_wave",
    "change_speed",
    "collate",
    "from_cuts",
    "load_manifest",
    "read_manifest",
    "read_samples",
    "read_text",
    "reverberate",
    "spec_augment",
    "spelled",
    "target_text",
    "to_cuts",
    "with_targets",
    "write_manifest",
]


_TORCH = {
    "augment": (
        "SpecAugmentConfig",
        "SpecAugmentPolicyConfig",
        "WaveAugmentConfig",
        "add_noise",
        "augment_wave",
        "change_speed",
        "reverberate",
        "spec_augment",
    ),
    "loader": ("SpeechBatch", "SpeechLoader", "collate", "read_samples", "spelled"),
    "text": ("TextBatch", "TextBatches", "read_text"),
}
_MODULES = {name: module for module, names in _TORCH.items() for name in names}


def __getattr__(name: str) -> object:
    """What loads torch, only when it is asked for."""
    if name in _MODULES:
        return getattr(importlib.import_module(f"duolect.data.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
