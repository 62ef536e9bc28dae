"""lhotse's Shar: cuts in numbered JSON lines, their sound beside them in tar archives, which cannot be addressed.

    cuts.000000.jsonl.gz, recording.000000.tar, cuts.000001.jsonl.gz …

The sound of each archive is copied, encoded as it is, into one parquet shard below the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from duolect.data.corpora.base import Checkpoint, Entry
from duolect.data.manifest import Utterance
from duolect.data.skips import Skipped
from duolect.errors import DuolectError, ManifestError

_CUTS = re.compile(r"cuts\.(\d+)\.jsonl(?:\.gz)?")
_ONE_SHARD = 1 << 62  # bytes: a shard is closed with its part, however large that is
_NAME = re.compile(r"recording\.(\d+)\.tar")


def shar_files(folder: Path) -> list[tuple[Path, Path]]:
    """The cuts and the archive of each part of a Shar folder, in order; empty where it is none.

    Raises ManifestError naming the cuts or the archive that lacks its counterpart.
    """
    cuts = {match[1]: path for path in folder.iterdir() if (match := _CUTS.fullmatch(path.name))}
    archives = {match[1]: path for path in folder.iterdir() if (match := _NAME.fullmatch(path.name))}
    if not archives:
        return []
    for number, path in {**cuts, **archives}.items():
        if (number in cuts) != (number in archives):
            raise ManifestError(
                f"{path}: has no counterpart; expected cuts.{number}.jsonl.gz and recording.{number}.tar."
            )
    return [(cuts[number], archives[number]) for number in sorted(archives)]


def read_shar(
    parts: list[tuple[Path, Path]],
    convert: Callable[[Any, str], Iterator[Utterance | Skipped]],
    state: Any,
    *,
    out: Path,
    name: str,
) -> Iterator[Entry]:
    """The utterances that `convert` makes of each cut, once its sound stands in a file of `out`.

    A part is a shard, and so is the state: how many parts are done with, and which shard comes next. `convert` gets the
    cut with the address of its sound, and the file it stood in. Raises ManifestError naming a part that is damaged.
    """
    try:
        import pyarrow as arrow
    except ImportError as error:
        raise DuolectError(
            "the sound of Shar is copied into parquet files, which need pyarrow: pip install pyarrow."
        ) from error
    from lhotse import CutSet
    from lhotse.audio import AudioSource
    from lhotse.utils import fastcopy

    from duolect.data.corpora.in_place import measure
    from duolect.data.corpora.shard_writer import ShardWriter, shard_path, shard_schema

    done, shard = (0, 0) if state is None else (state["parts"], state["shard"])
    for earlier in range(shard):
        if not (path := shard_path(out, name, earlier)).exists():
            raise ManifestError(f"{path}: is gone since the import was interrupted; begin anew (--restart).")
    schema = shard_schema({"id": arrow.string(), "text": arrow.string()})
    with ShardWriter(out, name, schema, shard_bytes=_ONE_SHARD, first=shard) as writer:
        for number, (cuts, archive) in enumerate(parts[done:], start=done + 1):
            waiting: list[Utterance | Skipped] = []
            for cut in _guarded(CutSet.from_shar(fields={"cuts": [str(cuts)], "recording": [str(archive)]}), archive):
                recording = getattr(cut, "recording", None)
                source = recording.sources[0] if recording is not None and len(recording.sources) == 1 else None
                if source is None or source.type != "memory":
                    waiting.append(
                        Skipped(str(cut.id), str(archive), "audio is missing: the archive holds none for it")
                    )
                    continue
                seconds = measure(source.source, str(cut.id))
                if isinstance(seconds, str):
                    waiting.append(Skipped(str(cut.id), str(archive), seconds))
                    continue
                text = " ".join(supervision.text or "" for supervision in cut.supervisions)
                address = writer.add(source.source, None, {"id": str(cut.id), "text": text})
                there = fastcopy(recording, sources=[AudioSource("file", source.channels, str(address))])
                waiting += convert(fastcopy(cut, recording=there), str(cuts))
            writer.close()
            yield from waiting
            yield Checkpoint({"parts": number, "shard": writer.number})


def _guarded(cuts: Any, archive: Path) -> Iterator[Any]:
    """Cuts; whatever lhotse stumbles over in one sentence."""
    try:
        yield from cuts
    except DuolectError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise ManifestError(f"{archive}: it or its cuts are damaged or do not go together ({said}).") from error
