"""What lhotse writes: cut sets, and the recordings and supervisions of its recipes."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from corpus_files import imported, lines, rows, skipped, sound
from lhotse import CutSet, Recording, RecordingSet, SupervisionSegment, SupervisionSet
from lhotse.cut import MonoCut

from duolect.audio import read_audio
from duolect.data import load_manifest
from duolect.errors import ManifestError


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    return Recording.from_file(sound(tmp_path / "wav/one.wav", 2.0))


def supervision(name: str, start: float, duration: float, **more: str) -> SupervisionSegment:
    return SupervisionSegment(id=name, recording_id="one", start=start, duration=duration, **{"text": name} | more)


def test_a_recipe(recording: Recording, tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    for part in ("train-clean-5", "dev-clean-2"):
        RecordingSet.from_recordings([recording]).to_file(prepared / f"librispeech_recordings_{part}.jsonl.gz")
        segments = [
            supervision("a", 0.5, 0.75, speaker="s", language="English", gender="F"),
            supervision("b", 1.0, 1.0),
            supervision("c", 1.9, 1.0),
            SupervisionSegment(id="d", recording_id="two", start=0.0, duration=1.0, text="d"),
        ]
        SupervisionSet.from_segments(segments).to_file(prepared / f"librispeech_supervisions_{part}.jsonl.gz")
    made = imported("lhotse", prepared, tmp_path / "out", lang="en")
    assert [(split.name, split.utterances) for split in made.splits] == [("dev-clean-2", 2), ("train-clean-5", 2)]
    first, second = rows(tmp_path / "out/dev-clean-2.jsonl")
    assert first == {
        "audio_filepath": str(tmp_path / "wav/one.wav"),
        "duration": 0.75,
        "text": "a",
        "offset": 0.5,
        "speaker": "s",
        "lang": "English",
        "id": "a",
        "gender": "female",
    }
    assert second["lang"] == "en"
    why = skipped(tmp_path / "out/dev-clean-2.jsonl")
    assert why["c"].startswith("ends after the end of its file")
    assert why["d"].startswith("no sound: the recording 'two' is not there")


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_cuts(recording: Recording, tmp_path: Path, suffix: str) -> None:
    spanned = MonoCut("spanned", 0.5, 1.0, 0, [supervision("x", 0.0, 1.0)], recording=recording)
    several = MonoCut(
        "several", 0.5, 1.5, 0, [supervision("y", 0.0, 0.5), supervision("z", 0.5, 0.5)], recording=recording
    )
    path = tmp_path / f"cuts_dev{suffix}"
    CutSet.from_cuts([spanned, several, spanned.mix(several)]).to_file(path)
    with (gzip.open if suffix.endswith("gz") else open)(path, "ab") as handle:
        handle.write(b'{"id": "broken", \n')
    imported("lhotse", path, tmp_path / "out")
    found = [
        (row["id"], row["text"], row.get("offset", 0.0), row["duration"]) for row in rows(tmp_path / "out/dev.jsonl")
    ]
    assert found == [("spanned", "x", 0.5, 1.0), ("y", "y", 0.5, 0.5), ("z", "z", 1.0, 0.5)]
    why = skipped(tmp_path / "out/dev.jsonl")
    assert why[f"{path}:4"].startswith(f"bad line: {path}:4 is no such object")
    assert sum(reason.startswith("cannot be a line of a manifest: cut") for reason in why.values()) == 1


def test_cuts_without_text_stay_whole(recording: Recording, tmp_path: Path) -> None:
    CutSet.from_cuts([MonoCut("all", 0.0, 2.0, 0, [], recording=recording)]).to_file(tmp_path / "cuts.jsonl")
    imported("lhotse", tmp_path / "cuts.jsonl", tmp_path / "out", text=False)
    assert rows(tmp_path / "out/cuts.jsonl")[0]["id"] == "all"


def test_what_cannot_be_read_is_named(recording: Recording, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no cuts_PART\.jsonl\.gz"):
        imported("lhotse", tmp_path, tmp_path / "out")
    sound(tmp_path / "shar/x.wav")
    lines(tmp_path / "shar/recording.000000.tar")
    with pytest.raises(ManifestError, match=r"has no counterpart; expected cuts\.000000\.jsonl\.gz"):
        imported("lhotse", tmp_path / "shar", tmp_path / "out")
    cut = MonoCut("all", 0.0, 2.0, 0, [supervision("x", 0.0, 2.0)], recording=recording)
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl.gz")
    whole = (tmp_path / "cuts.jsonl.gz").read_bytes()
    for out, damaged in (("end", whole[:-12]), ("middle", whole[:60] + bytes(40) + whole[100:])):
        (tmp_path / "cuts.jsonl.gz").write_bytes(damaged)
        with pytest.raises(ManifestError, match="is damaged or cut off"):
            imported("lhotse", tmp_path / "cuts.jsonl.gz", tmp_path / out)
        assert not (tmp_path / out / "cuts.jsonl").exists()


@pytest.fixture
def shar(recording: Recording, tmp_path: Path) -> Path:
    """Seven cuts in three archives; one has two supervisions, one no text."""
    cuts = []
    for number in range(7):
        cut = MonoCut(f"c{number}", 0.2 * number, 0.5, 0, [supervision(f"s{number}", 0.0, 0.5)], recording=recording)
        if number == 2:
            cut.supervisions = [supervision("x", 0.0, 0.25, speaker="a"), supervision("y", 0.25, 0.25)]
        if number == 3:
            cut.supervisions[0].text = ""
        cuts.append(cut)
    (tmp_path / "shar").mkdir()
    CutSet.from_cuts(cuts).to_shar(str(tmp_path / "shar"), fields={"recording": "flac"}, shard_size=3)
    return tmp_path / "shar"


def test_the_sound_of_shar_is_copied_into_shards(shar: Path, tmp_path: Path) -> None:
    imported("lhotse", shar, tmp_path / "out")
    found = load_manifest(tmp_path / "out/shar.jsonl")
    assert [u.id for u in found] == ["c0", "c1", "x", "y", "c4", "c5", "c6"]
    assert rows(tmp_path / "out/shar.jsonl")[3]["audio_filepath"] == "shards/shar-00000.parquet#2"
    whole = read_audio(tmp_path / "wav/one.wav")
    for utterance, start in zip(found, (0.0, 0.2, 0.4, 0.65, 0.8, 1.0, 1.2), strict=True):
        heard = read_audio(utterance.audio_filepath, offset=utterance.offset, duration=utterance.duration)
        first = round(start * 16_000)
        np.testing.assert_allclose(heard, whole[first : first + len(heard)], atol=2e-4)
        assert len(heard) == round(utterance.duration * 16_000)
    assert skipped(tmp_path / "out/shar.jsonl") == {"c3": "no transcript"}


def test_an_interrupted_import_of_shar_goes_on(shar: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("duolect.data.corpora.run.NOTE_SECONDS", 0.0)
    imported("lhotse", shar, tmp_path / "whole")
    archive = shar / "recording.000001.tar"
    content, when = archive.read_bytes(), archive.stat()
    archive.write_bytes(b"x" * len(content))
    os.utime(archive, ns=(when.st_atime_ns, when.st_mtime_ns))
    with pytest.raises(ManifestError, match=r"recording\.000001\.tar: it or its cuts are damaged"):
        imported("lhotse", shar, tmp_path / "out")
    archive.write_bytes(content)
    os.utime(archive, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert imported("lhotse", shar, tmp_path / "out").splits[0].resumed == 4
    for name in ("shar.jsonl", *(f"shards/shar-0000{n}.parquet" for n in range(3))):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
