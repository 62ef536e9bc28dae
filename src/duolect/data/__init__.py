"""Room `data`: manifests, batches of utterances and of text, augmentation; the synthetic corpus in `data.synthetic`."""

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
from duolect.data.batching import BatchConfig, SpeechBatches
from duolect.data.cuts import from_cuts, to_cuts
from duolect.data.loader import SpeechBatch, SpeechLoader, collate, read_samples
from duolect.data.manifest import Utterance, load_manifest, read_manifest, write_manifest
from duolect.data.skips import SkipLog, Skipped
from duolect.data.targets import Target, target_text, with_targets
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
    "target_text",
    "to_cuts",
    "with_targets",
    "write_manifest",
]
