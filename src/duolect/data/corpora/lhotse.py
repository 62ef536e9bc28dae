"""What lhotse has prepared: a file of cuts, or the folder of a recipe's recordings and supervisions (or cuts).

An utterance is a supervision of a cut: a cut with one that spans it keeps its id, any other gives an utterance for each
of its supervisions, with their ids. The sound of a Shar folder, which lies in archives, is copied into parquet shards.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duolect.audio.parquet import row_address
from duolect.data.corpora.base import Corpus, Entry, Plan, Split, repeatable, sign_files, source_folder
from duolect.data.corpora.lhotse_shar import read_shar, shar_files
from duolect.data.corpora.lines import GENDERS
from duolect.data.cuts import from_cuts
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import ManifestError

_SUFFIX = r"\.jsonl(?:\.gz)?"
_FILE = re.compile(rf"(?:(?P<prefix>.+?)[_-])?(?P<kind>cuts|recordings|supervisions)(?:[_-](?P<part>.+?))?{_SUFFIX}")
_SAME = 0.01  # seconds


@dataclass(frozen=True, kw_only=True)
class LhotseOptions:
    """Options of `lhotse`."""

    root: Path | None = None
    """Folder that relative paths of sound start from; by default the working folder, as for lhotse."""
    lang: str | None = None
    """Language of the supervisions that name none."""
    text: bool = True
    """Whether there are transcripts; without, cuts are imported whole, to be transcribed."""


@dataclass(frozen=True)
class _Part:
    """The files of one split."""

    cuts: Path | None = None
    recordings: Path | None = None
    supervisions: Path | None = None

    @property
    def files(self) -> list[Path]:
        return [path for path in (self.cuts, self.recordings, self.supervisions) if path is not None]


def plan(source: str, options: LhotseOptions, out: Path) -> Plan:
    """One split for a file of cuts, or one for each part of a recipe. Raises ManifestError where there is none."""
    path = Path(source).expanduser()
    if path.is_dir() and (archives := shar_files(path)):
        return _plan_shar(path, archives, options, out)
    parts = {_split_name(path): _Part(cuts=path.absolute())} if path.is_file() else _parts(source_folder(source))

    def reader(part: _Part) -> Callable[[], Iterator[Utterance | Skipped]]:
        return lambda: _utterances(part, options)

    splits = tuple(Split(name, repeatable(reader(part)), transcribed=options.text) for name, part in parts.items())
    return Plan(splits, sign_files(file for part in parts.values() for file in part.files))


def _plan_shar(folder: Path, archives: list[tuple[Path, Path]], options: LhotseOptions, out: Path) -> Plan:
    """The one split of a Shar folder, whose sound is copied into shards below `out`."""
    name = folder.absolute().name

    def read(state: Any) -> Iterator[Entry]:
        return read_shar(archives, lambda cut, where: _of_cut(cut, where, options), state, out=out, name=name)

    signature = sign_files(file for pair in archives for file in pair)
    return Plan(
        (Split(name, read, trusted=True, transcribed=options.text),), signature, {"sound": "copied into shards/"}
    )


def _split_name(path: Path) -> str:
    match = _FILE.fullmatch(path.name)
    if match and (name := match["part"] or match["prefix"]):
        return name
    return re.sub(f"{_SUFFIX}$", "", path.name)


def _parts(folder: Path) -> dict[str, _Part]:
    """The parts a recipe wrote as PREFIX_KIND_PART.jsonl.gz; cuts are taken before recordings and supervisions."""
    found: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for path in sorted(folder.iterdir()):
        if match := _FILE.fullmatch(path.name):
            found[match["prefix"] or "", match["part"] or ""][match["kind"]] = path
    usable = {key: files for key, files in found.items() if "cuts" in files or len(files) == 2}
    if not usable:
        raise ManifestError(
            f"{folder}: holds no cuts_PART.jsonl.gz, nor recordings_PART.jsonl.gz with supervisions_PART.jsonl.gz."
        )
    several = len({prefix for prefix, _ in usable}) > 1
    parts = {}
    for (prefix, part), files in usable.items():
        name = "_".join(filter(None, (prefix, part))) if several else part
        parts[name or prefix or "all"] = _Part(cuts=files["cuts"]) if "cuts" in files else _Part(**files)
    return parts


def _utterances(part: _Part, options: LhotseOptions) -> Iterator[Utterance | Skipped]:
    for where, cut in _cuts(part):
        if isinstance(cut, Skipped):
            yield cut
        else:
            yield from _of_cut(cut, where, options)


def _of_cut(cut: Any, where: str, options: LhotseOptions) -> Iterator[Utterance | Skipped]:
    """The utterances of one cut that stands in the file `where`."""
    recording = getattr(cut, "recording", None)
    if (channels := getattr(recording, "num_channels", 1) or 1) > 1:
        yield Skipped(str(cut.id), where, f"one channel of {channels}: a manifest has no place for that")
        return
    for piece in _pieces(cut) if options.text else [cut]:
        yield from _converted(piece, where, options)


def _converted(cut: Any, where: str, options: LhotseOptions) -> Iterator[Utterance | Skipped]:
    from dataclasses import replace

    try:
        (utterance,) = from_cuts([cut])
    except ManifestError as error:
        yield Skipped(str(cut.id), where, f"cannot be a line of a manifest: {error}")
        return
    path = utterance.audio_filepath
    if options.root is not None and row_address(path) is None:
        source = cut.recording.sources[0].source
        path = Path(os.path.abspath(options.root / source))
    gender = next((s.gender for s in cut.supervisions if getattr(s, "gender", None)), None)
    fields = dict(utterance.fields)
    if gender:
        fields.setdefault("gender", GENDERS.get(str(gender).lower(), gender))
    yield replace(utterance, audio_filepath=path, lang=utterance.lang or options.lang, fields=fields)


def _pieces(cut: Any) -> Iterator[Any]:
    """The cut itself where one supervision spans it, or a cut for each of its supervisions."""
    from lhotse import MonoCut
    from lhotse.utils import fastcopy

    alone = cut.supervisions[0] if len(cut.supervisions) == 1 else None
    spanned = alone is not None and abs(alone.start) <= _SAME and abs(alone.end - cut.duration) <= _SAME
    if spanned or not isinstance(cut, MonoCut) or not cut.supervisions:  # what is no MonoCut is refused later
        yield cut
        return
    for supervision in cut.supervisions:
        yield fastcopy(
            cut,
            id=supervision.id,
            start=round(cut.start + supervision.start, 6),
            duration=supervision.duration,
            supervisions=[supervision.with_offset(-supervision.start)],
        )


def _cuts(part: _Part) -> Iterator[tuple[str, Any]]:
    """Cuts, or what is wrong, with the place of each; a recipe's files give a cut for each supervision."""
    from lhotse import MonoCut, Recording, SupervisionSegment
    from lhotse.serialization import deserialize_item

    if part.cuts is not None:
        yield from _items(part.cuts, deserialize_item)
        return
    assert part.recordings is not None
    assert part.supervisions is not None
    recordings: dict[str, Recording] = {}
    for where, item in _items(part.recordings, Recording.from_dict):
        if isinstance(item, Skipped):
            yield where, item
        else:
            recordings[item.id] = item
    for where, item in _items(part.supervisions, SupervisionSegment.from_dict):
        if isinstance(item, Skipped):
            yield where, item
        elif item.recording_id not in recordings:
            yield where, Skipped(item.id, where, f"no sound: the recording {item.recording_id!r} is not there")
        else:
            yield (
                where,
                MonoCut(
                    id=item.id,
                    start=item.start,
                    duration=item.duration,
                    channel=0,
                    supervisions=[item.with_offset(-item.start)],
                    recording=recordings[item.recording_id],
                ),
            )


def _items(path: Path, make: Callable[[Any], Any]) -> Iterator[tuple[str, Any]]:
    """The lines of a JSON-lines file, plain or gzipped, as what `make` makes of them."""
    import gzip
    import json
    import zlib

    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as handle:
            for line, raw in enumerate(handle, start=1):
                if not raw.strip():
                    continue
                where = f"{path}:{line}"
                try:
                    item = make(json.loads(raw))
                except Exception as error:  # whatever lhotse stumbles over
                    kind = type(error).__name__
                    yield where, Skipped(where, str(path), f"bad line: {where} is no such object ({kind}: {error})")
                else:
                    yield where, item
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ManifestError(f"{path}: the gzip file is damaged or cut off ({error}).") from error
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror or error}).") from error


CORPUS = Corpus(
    name="lhotse",
    title="what lhotse has prepared: cuts, or a recipe's recordings and supervisions",
    source="a cut set (cuts.jsonl.gz), a recipe's folder of …_recordings_… and …_supervisions_…, or a Shar folder",
    options=LhotseOptions,
    plan=plan,
)
