"""Cuts: a manifest goes to lhotse and comes back as it was, without a look at the sound."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from duolect.data.cuts import from_cuts, to_cuts
from duolect.data.loader import read_samples
from duolect.data.manifest import Utterance, load_manifest, write_manifest
from duolect.errors import ManifestError

name = st.text("abc é0-_", min_size=1, max_size=8).filter(str.strip)
utterance = st.builds(
    Utterance,
    audio_filepath=name.map(lambda n: Path("/nowhere") / (n.strip() + ".wav")),
    duration=st.floats(0.01, 1e4),
    text=st.lists(name.map(str.strip), max_size=3).map(" ".join),
    offset=st.floats(0, 1e4),
    speaker=st.none() | name,
    lang=st.none() | st.sampled_from(["en", "de"]),
    translation=st.none() | name,
    target_lang=st.none() | st.sampled_from(["de", "fr"]),
    id=name,
    fields=st.dictionaries(name.map(lambda k: "x:" + k), st.none() | st.integers() | st.booleans() | name, max_size=3),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(utterance, max_size=5))
def test_there_and_back_without_opening_audio(utterances: list[Utterance]) -> None:
    assert list(from_cuts(to_cuts(utterances, sampling_rate=16000))) == utterances


@pytest.fixture
def recorded(tmp_path: Path) -> list[Utterance]:
    soundfile.write(tmp_path / "long.wav", np.sin(np.arange(24000) / 9.0) / 2, 8000)
    return [
        Utterance(audio_filepath=tmp_path / "long.wav", duration=d, text=t, offset=o, id=t, speaker="s", lang="en")
        for o, d, t in [(0.0, 1.0, "first"), (1.0, 2.0, "second")]
    ]


def test_lhotse_reads_the_sound_we_read(recorded: list[Utterance]) -> None:
    for cut, one in zip(to_cuts(recorded), recorded, strict=True):  # the rate comes from the file's header
        assert cut.sampling_rate == 8000
        theirs, ours = cut.load_audio()[0], read_samples(one)
        assert len(theirs) == one.duration * 8000
        assert np.corrcoef(theirs[500:-500], ours[::2][500:-500])[0, 1] > 0.999


def test_custom_values_that_resemble_keys_of_a_manifest(tmp_path: Path, recorded: list[Utterance]) -> None:
    cuts = to_cuts(dataclasses.replace(u, fields={"translations": ["a", "b"], "snr": math.nan}) for u in recorded)
    write_manifest(tmp_path / "m.jsonl", from_cuts(cuts))
    assert [u.fields for u in load_manifest(tmp_path / "m.jsonl")] == [{"source_translations": ["a", "b"]}] * 2


def test_through_files_of_both_kinds(tmp_path: Path, recorded: list[Utterance]) -> None:
    from lhotse import CutSet

    to_cuts(recorded).to_file(tmp_path / "cuts.jsonl.gz")
    write_manifest(tmp_path / "m.jsonl", from_cuts(CutSet.from_file(tmp_path / "cuts.jsonl.gz")))
    assert load_manifest(tmp_path / "m.jsonl") == recorded


def test_several_supervisions_and_custom_values(recorded: list[Utterance]) -> None:
    from lhotse import SupervisionSegment

    (cut,) = to_cuts(recorded[:1])
    cut.supervisions.insert(
        0, SupervisionSegment("b", "long", 0.5, 0.5, text=" then this ", speaker="t", language="en", custom={"a": 1})
    )
    cut.custom = {"a": 2, "translation": "erst", "text": "no", "dataloading_info": {"rank": 0}, "array": object()}
    (one,) = from_cuts([cut])
    assert (one.text, one.speaker, one.lang, one.translation) == ("first then this", None, "en", "erst")
    assert one.fields == {"a": 2}


def test_what_is_not_a_stretch_of_a_file_is_refused(recorded: list[Utterance]) -> None:
    cut, other = to_cuts(recorded)
    for wrong, reason in [
        (cut.append(other), "MixedCut"),
        (cut.perturb_speed(1.1), "augmentation Speed"),
        (dataclasses.replace(cut, recording=None), "MonoCut"),
        (cut.move_to_memory(), "memory"),
        (dataclasses.replace(cut, recording=dataclasses.replace(cut.recording, channel_ids=[0, 1])), "2 channels"),
    ]:
        with pytest.raises(ManifestError, match=f"cut .*{reason}"):
            list(from_cuts([wrong]))
    (resampled,) = from_cuts([cut.resample(16000)])
    assert resampled == recorded[0]
