"""From utterances to tensors: sound read, augmented, text spelled, padded; in this process or in workers.

Tensor names: B utterances, N samples or labels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from duolect.audio.decoders import SoundBytes
from duolect.audio.files import SAMPLE_RATE, read_audio
from duolect.data.augment import WaveAugmentConfig, augment_wave
from duolect.data.batching import SpeechBatches
from duolect.data.manifest import Utterance
from duolect.data.shards import CarriedBatch, RowBatches, ShardBatches
from duolect.data.skips import SkipLog, Skipped
from duolect.data.stream import Dealt, Place, stable_seed
from duolect.data.targets import Target, target_text, utterance_tag
from duolect.data.workers import born_deaf, stand_by_parent
from duolect.errors import AudioError, DuolectError, ManifestError, UnitsError

if TYPE_CHECKING:
    from duolect.text import Units

Misfit = Callable[[float, int], str | None]
"""Seconds and labels of an utterance to the reason why it cannot be used, None where it can."""

# Less sound than this gives no encoder state at the lowest frame rates in use.
SHORTEST_SECONDS = 0.1
# By how much a file may end before its manifest says, as rounding and lossy codecs do.
_TOLERANCE_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class SpeechBatch:
    """Utterances as padded tensors.

    `samples_BN`: float32 at 16 kHz, padded with 0, `sample_lengths_B` of them valid. `labels_BN`: int64 without EOS,
    padded with 0. `ctc_labels_BN`: the text in the CTC's own units, None where these are the same. `seeds_B`: int64,
    for what is random about an utterance in this epoch. `tags_B`: int64, what is to be written of each utterance, as a
    place among the model's tags; None where there is one task. `skipped`: what the batch lost on the way.
    """

    ids: tuple[str, ...]
    utterances: tuple[Utterance, ...]
    samples_BN: Tensor
    sample_lengths_B: Tensor
    labels_BN: Tensor
    label_lengths_B: Tensor
    ctc_labels_BN: Tensor | None = None
    ctc_label_lengths_B: Tensor | None = None
    seeds_B: Tensor
    tags_B: Tensor | None = None
    skipped: tuple[Skipped, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: str | torch.device, non_blocking: bool = False) -> SpeechBatch:
        """The same batch with all tensors on `device`, but for the seeds, which are only ever used on the CPU."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> SpeechBatch:
        """The same batch in page-locked memory, from which a GPU can copy while it computes."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Any) -> SpeechBatch:
        names = (f.name for f in fields(self) if f.name != "seeds_B")
        tensors = {name: value for name in names if isinstance(value := getattr(self, name), Tensor)}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})


def read_samples(utterance: Utterance, sound: bytes | None = None) -> np.ndarray:
    """The sound of an utterance: float32 (N,) at 16 kHz, about `duration` seconds; from its encoded `sound` file
    where that is at hand.

    Raises AudioError when the file cannot be read, ends more than 0.1 s before offset + duration, or gives less than
    0.1 s of sound.
    """
    source = utterance.audio_filepath if sound is None else SoundBytes(str(utterance.audio_filepath), sound)
    samples_N = read_audio(source, sample_rate=SAMPLE_RATE, offset=utterance.offset, duration=utterance.duration)
    seconds = len(samples_N) / SAMPLE_RATE
    if seconds < utterance.duration - _TOLERANCE_SECONDS:
        raise AudioError(
            f"{utterance.audio_filepath}: holds {seconds:.2f} s from {utterance.offset:.2f} s on; "
            f"the manifest expects {utterance.duration:.2f} s."
        )
    if seconds < SHORTEST_SECONDS:
        raise AudioError(f"{utterance.audio_filepath}: {seconds:.3f} s are too short; expected {SHORTEST_SECONDS} s.")
    return samples_N


def spelled(
    utterance: Utterance, units: Units | None, ctc_units: Units | None, target: Target, tags: Sequence[str]
) -> tuple[list[int], list[int], int]:
    """Labels, labels of CTC, and the place among the tags of what is to be written; for `collate`.

    Raises UnitsError where a text cannot be spelled, ManifestError where a text or a language is missing.
    """
    return (
        units.encode(target_text(utterance, target)) if units is not None else [],
        ctc_units.encode(utterance.text) if ctc_units is not None else [],
        utterance_tag(utterance, target, tags) if tags else 0,
    )


def collate(
    utterances: Sequence[Utterance],
    units: Units | None,
    ctc_units: Units | None = None,
    *,
    target: Target = "text",
    tags: Sequence[str] = (),
    seed: int = 0,
    epoch: int = 0,
    augment: WaveAugmentConfig | None = None,
    misfit: Misfit | None = None,
    sounds: Sequence[bytes | None] | None = None,
) -> SpeechBatch:
    """Read, augment, spell and pad utterances; those of which that fails are left out and listed in `skipped`.

    `units` None: no labels (recognition, where the reference need not be spelled). They spell the `target`, the labels
    of `ctc_units` always the transcript. `tags`: the languages a model can be told to write, of which each utterance
    must name one; none: it is told nothing. `augment`: for training only; drawn from (seed, epoch, id), as `seeds_B`
    are. `misfit`: what a model cannot take. `sounds`: the encoded sound file of each utterance, or None
    where it is not at hand. The batch may come out empty (B = 0).
    """
    kept: list[_Ready] = []
    skipped = []
    for utterance, sound in zip(utterances, sounds or itertools.repeat(None), strict=False):
        try:
            labels, ctc_labels, tag = spelled(utterance, units, ctc_units, target, tags)
            samples_N = read_samples(utterance, sound)
            if augment is not None:
                samples_N = augment_wave(samples_N, stable_seed("wave", seed, epoch, utterance.id), augment)
            reason = None if misfit is None else misfit(len(samples_N) / SAMPLE_RATE, len(labels))
        except (AudioError, ManifestError, UnitsError) as error:
            skipped.append(_skip(utterance, str(error)))
        except (OSError, ValueError, RuntimeError, MemoryError) as error:  # from the decoders below us
            skipped.append(_skip(utterance, f"{utterance.audio_filepath}: {type(error).__name__}: {error}"))
        else:
            if reason is None:
                kept.append(_Ready(utterance, samples_N, labels, ctc_labels, tag))
            else:
                skipped.append(_skip(utterance, reason))
    samples_BN, sample_lengths_B = _pad([ready.samples_N for ready in kept], np.float32)
    labels_BN, label_lengths_B = _pad([ready.labels for ready in kept], np.int64)
    ctc = _pad([ready.ctc_labels for ready in kept], np.int64) if ctc_units is not None else (None, None)
    used = tuple(ready.utterance for ready in kept)
    return SpeechBatch(
        ids=tuple(utterance.id for utterance in used),
        utterances=used,
        samples_BN=samples_BN,
        sample_lengths_B=sample_lengths_B,
        labels_BN=labels_BN,
        label_lengths_B=label_lengths_B,
        ctc_labels_BN=ctc[0],
        ctc_label_lengths_B=ctc[1],
        seeds_B=torch.tensor([stable_seed(seed, epoch, utterance.id) for utterance in used], dtype=torch.int64),
        tags_B=torch.tensor([ready.tag for ready in kept], dtype=torch.int64) if tags else None,
        skipped=tuple(skipped),
    )


class _Ready(NamedTuple):
    utterance: Utterance
    samples_N: np.ndarray
    labels: list[int]
    ctc_labels: list[int]
    tag: int


def _skip(utterance: Utterance, reason: str) -> Skipped:
    return Skipped(utterance.id, str(utterance.audio_filepath), reason)


def _pad(rows: Sequence[Any], dtype: Any) -> tuple[Tensor, Tensor]:
    """Rows of different lengths as one zero-padded tensor (B, longest), and their lengths."""
    lengths = [len(row) for row in rows]
    padded = np.zeros((len(rows), max(lengths, default=0)), dtype)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return torch.from_numpy(padded), torch.tensor(lengths, dtype=torch.int64)


class SpeechLoader:
    """Batches as tensors, prepared ahead by `workers` processes (0: in this one, when asked for), the same for any.

    Iterating goes on from where the loader stands: `state_dict` counts the batches that were delivered, not those that
    a worker has already prepared. Utterances that cannot be used are noted in `skipped`; a batch that lost all of its
    utterances is passed over (on several ranks its own rank is then a step ahead in the data of the others). `target`,
    `tags` and `misfit` are as for `collate`.
    Raises DuolectError when a whole epoch went by without a batch.
    """

    def __init__(
        self,
        batches: SpeechBatches | ShardBatches | RowBatches,
        units: Units | None,
        ctc_units: Units | None = None,
        augment: WaveAugmentConfig | None = None,
        workers: int = 0,
        skipped: SkipLog | None = None,
        pin_memory: bool = False,
        target: Target = "text",
        tags: Sequence[str] = (),
        misfit: Misfit | None = None,
    ) -> None:
        self.batches, self.workers, self.pin_memory = batches, workers, pin_memory
        self.skipped = SkipLog() if skipped is None else skipped
        if isinstance(batches, SpeechBatches):  # shards tell as they are read
            self.skipped.add_misfits(batches.left_out)
        self._preparation = _Preparation(
            units=units,
            ctc_units=ctc_units,
            target=target,
            tags=tuple(tags),
            seed=batches.seed,
            augment=augment,
            misfit=misfit,
        )

    def __iter__(self) -> Iterator[SpeechBatch]:
        barren_since: int | None = None
        for prepared in self._prepare(self.batches.begin()):
            epoch, after, batch = prepared
            self.skipped.extend(batch.skipped)
            if len(batch):
                barren_since = None
                self.batches.advance(after)
                yield batch
            elif barren_since is None:
                barren_since = epoch
            elif epoch > barren_since + 1:
                raise DuolectError(f"No utterance of a whole epoch could be used: {self.skipped.summary()}.")
        self.batches.end()

    def _prepare(self, place: Place) -> Iterator[tuple[int, Place, SpeechBatch]]:
        loader = DataLoader(
            self._preparation,
            sampler=_Deals(self.batches, place),
            batch_size=None,
            num_workers=self.workers,
            collate_fn=_as_it_is,
            worker_init_fn=stand_by_parent,
            pin_memory=self.pin_memory,
            generator=torch.Generator(),  # its own, or making workers would draw from the random state of the training
        )
        if not self.workers:
            return iter(loader)
        with born_deaf():
            return iter(loader)

    def state_dict(self) -> dict[str, Any]:
        """The place after the batches delivered so far: "epoch", "consumed", and where in their shards."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state_dict` was taken. Raises TrainingError when `state` names no place."""
        self.batches.load_state_dict(state)


class _Deals(Sampler):
    """What this rank gets, in order, as torch's DataLoader asks for it."""

    def __init__(self, batches: SpeechBatches | ShardBatches | RowBatches, place: Place) -> None:
        self.batches, self.place = batches, place

    def __iter__(self) -> Iterator[Any]:
        return self.batches.deal(self.place)


class _Preparation(Dataset):
    """A batch of utterances in, tensors out: what a worker does."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def __getitem__(self, index: Dealt[list[Utterance] | CarriedBatch]) -> tuple[int, Place, SpeechBatch]:
        found, sounds = index.batch, None
        if isinstance(found, CarriedBatch):
            found, sounds = found.utterances, found.sounds
        batch = collate(found, epoch=index.epoch, sounds=sounds, **self.settings)
        return index.epoch, index.after, batch


def _as_it_is(prepared: Any) -> Any:
    return prepared
