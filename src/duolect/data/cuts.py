"""Manifests to and from lhotse cut sets, so that lhotse's corpora and tools can be used on either side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duolect.audio.files import AudioInfo, audio_info
from duolect.data.manifest import KNOWN, Utterance, field_name
from duolect.errors import ManifestError

if TYPE_CHECKING:
    from lhotse import CutSet

# What lhotse and its data loaders note in `custom` for themselves.
_INTERNAL = frozenset({"dataloading_info", "shard_origin", "shar_epoch"})
_TRANSLATED = ("translation", "target_lang")


def to_cuts(utterances: Iterable[Utterance], sampling_rate: int | None = None) -> CutSet:
    """Utterances as MonoCuts with one supervision each; further fields, the translation and its language go to its
    `custom`.

    The rate of a file is its utterance's field "sampling_rate", or else `sampling_rate`; then no audio is opened, and
    the recording is taken to end with the utterance, and to have one channel. Where neither is known the file's header
    is read once (AudioError when that fails), and of several channels lhotse reads the first, not their mean.
    """
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
    from lhotse.audio import AudioSource

    headers: dict[Path, AudioInfo] = {}

    def recording(utterance: Utterance) -> Recording:
        path, end, channels = utterance.audio_filepath, utterance.offset + utterance.duration, 1
        rate = utterance.fields.get("sampling_rate", sampling_rate)
        if not isinstance(rate, int) or rate <= 0:
            if path not in headers:
                headers[path] = audio_info(path)
            rate, end, channels = headers[path].sample_rate, headers[path].duration, headers[path].channels
        return Recording(
            id=path.stem,
            sources=[AudioSource(type="file", channels=list(range(channels)), source=str(path))],
            sampling_rate=rate,
            num_samples=round(end * rate),
            duration=end,
        )

    def cut(utterance: Utterance) -> MonoCut:
        custom = dict(utterance.fields)
        for key in _TRANSLATED:
            if (value := getattr(utterance, key)) is not None:
                custom[key] = value
        said = recording(utterance)
        supervision = SupervisionSegment(
            id=utterance.id,
            recording_id=said.id,
            start=0.0,  # counted from the start of the cut
            duration=utterance.duration,
            text=utterance.text,
            language=utterance.lang,
            speaker=utterance.speaker,
            custom=custom or None,
        )
        return MonoCut(
            id=utterance.id,
            start=utterance.offset,
            duration=utterance.duration,
            channel=0,
            supervisions=[supervision],
            recording=said,
        )

    return CutSet.from_cuts(cut(utterance) for utterance in utterances)


def from_cuts(cuts: Iterable[Any]) -> Iterator[Utterance]:
    """Utterances of MonoCuts, lazily; the texts of several supervisions of a cut are joined in order of time.

    Speaker and language are kept where all supervisions agree, custom values where JSON can hold them (the cut's own
    win). Raises ManifestError naming a cut that is not a stretch of one audio file of one channel: mixed, of features
    only, one channel of several, or with an augmentation (resampling excepted).
    """
    for cut in cuts:
        supervisions = sorted(cut.supervisions, key=lambda supervision: supervision.start)
        custom: dict[str, Any] = {}
        for holder in (*reversed(supervisions), cut):
            custom |= {key: value for key, value in (getattr(holder, "custom", None) or {}).items() if _plain(value)}
        translated = {key: value for key in _TRANSLATED if isinstance(value := custom.get(key), str)}
        yield Utterance(
            audio_filepath=_file(cut),
            duration=float(cut.duration),
            text=" ".join(text for supervision in supervisions if (text := (supervision.text or "").strip())),
            offset=float(cut.start),
            speaker=_common(supervision.speaker for supervision in supervisions),
            lang=_common(supervision.language for supervision in supervisions),
            **translated,
            id=str(cut.id),
            fields={
                field_name(key): value for key, value in custom.items() if key not in KNOWN and key not in _INTERNAL
            },
        )


def _file(cut: Any) -> Path:
    recording = getattr(cut, "recording", None)
    if recording is None or not hasattr(cut, "start"):
        raise ManifestError(f"cut {cut.id!r}: expected a stretch of one recording, found a {type(cut).__name__}.")
    sources = recording.sources
    if len(sources) != 1 or sources[0].type != "file":
        raise ManifestError(
            f"cut {cut.id!r}: expected sound in one file, found {', '.join(s.type for s in sources) or 'none'}."
        )
    if recording.num_channels > 1:
        raise ManifestError(
            f"cut {cut.id!r}: is of a file with {recording.num_channels} channels, which would be mixed."
        )
    for transform in recording.transforms or ():
        name = transform["name"] if isinstance(transform, dict) else type(transform).__name__
        if name != "Resample":
            raise ManifestError(f"cut {cut.id!r}: has the augmentation {name}; save its sound to a file first.")
    return Path(sources[0].source).absolute()


def _plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_plain, value))
    return value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value))


def _common(values: Iterable[Any]) -> str | None:
    found = set(values)
    return str(only) if len(found) == 1 and (only := found.pop()) is not None else None
