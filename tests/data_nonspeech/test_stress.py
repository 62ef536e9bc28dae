"""Stress sets: what is in them, that they follow from their config, and what they do with bad input."""

import dataclasses
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from duolect.audio import SAMPLE_RATE, read_audio, write_audio
from duolect.cli import main
from duolect.data import Utterance, load_manifest, read_samples, write_manifest
from duolect.data.nonspeech import SOUNDS, StressConfig, make_stress_set
from duolect.data.nonspeech.strained import Strain, strained_samples
from duolect.errors import AudioError, ConfigError, DuolectError, ManifestError
from duolect.evaluation import HypothesisRow, score_run

SMALL = StressConfig(
    kinds=("zeros", "white", "band", "rain"),
    seconds=(0.2, 0.5),
    utterances=3,
    snr=(0.0,),
    masks=("pink", "hum"),
    silence=0.5,
    joined=(2.0,),
    recordings=2,
    gap=0.1,
)


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six utterances of two speakers, each a tone of its own."""
    folder = tmp_path_factory.mktemp("speech")
    rows = []
    for n in range(6):
        time = np.arange(int((0.5 + 0.1 * n) * SAMPLE_RATE)) / SAMPLE_RATE
        path = folder / f"{n}.wav"
        write_audio(path, 0.1 * np.sin(2 * np.pi * (200 + 100 * n) * time))
        rows.append(
            Utterance(
                audio_filepath=path,
                duration=len(time) / SAMPLE_RATE,
                text=f"word {n}",
                translation=f"Wort {n}",
                target_lang="de",
                speaker="ab"[n % 2],
                lang="en",
                id=f"u{n}",
                fields={"snr": 99, "room": 1},
            )
        )
    write_manifest(folder / "speech.jsonl", rows)
    return folder / "speech.jsonl"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_same_config_gives_the_same_bytes_whatever_the_workers(speech: Path, tmp_path: Path) -> None:
    made = [make_stress_set(tmp_path / str(n), SMALL, speech=speech, workers=n) for n in (1, 2)]
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    assert made[0].hours == made[1].hours
    other = make_stress_set(tmp_path / "3", dataclasses.replace(SMALL, seed=1), speech=speech, workers=1)
    white = "audio/noise/white-0.2s-0.wav"
    assert (other.manifest.parent / white).read_bytes() != (tmp_path / "1" / white).read_bytes()


def test_a_complete_set_is_found_again_and_another_config_makes_it_anew(speech: Path, tmp_path: Path) -> None:
    small = dataclasses.replace(SMALL, kinds=("white",))
    make_stress_set(tmp_path / "s", small, workers=1)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*.wav")}
    steps: list[int] = []
    make_stress_set(tmp_path / "s", small, workers=1, progress=lambda done, total: steps.append(done))
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*.wav")} == before
    assert steps == []
    again = make_stress_set(tmp_path / "s", dataclasses.replace(small, takes=2), workers=1)
    assert len(load_manifest(again.manifest)) == 4


def test_every_condition_holds_what_it_says(speech: Path, tmp_path: Path) -> None:
    made = make_stress_set(tmp_path / "s", SMALL, speech=speech, workers=1)
    given = {u.id: u for u in load_manifest(speech)}
    rows = load_manifest(made.manifest)
    assert Counter(u.fields["condition"] for u in rows) == {
        "silence": 2,
        "noise": 2,
        "music": 2,
        "environment": 2,
        "clean": 3,
        "silence before": 3,
        "silence after": 3,
        "silence inside": 3,
        "in noise 0 dB": 3,
        "joined 2 s": 2,
    }
    assert len(made.skipped) == 0
    drawn = [u.fields["of"] for u in rows if u.fields["condition"] == "clean"]
    for u in rows:
        samples = read_samples(u)
        assert len(samples) == round(u.duration * SAMPLE_RATE)
        condition = u.fields["condition"]
        if condition in {sound.condition for sound in SOUNDS.values()}:
            assert u.text == ""
            continue
        parts = [given[key] for key in u.fields["of"]]
        assert u.text == " ".join(p.text for p in parts)
        assert u.fields["source"] == parts[0].id
        assert u.translation == " ".join(p.translation or "" for p in parts)
        assert (u.lang, u.target_lang) == ("en", "de")
        if condition.startswith("joined"):
            assert len(samples) == sum(len(read_samples(p)) for p in parts) + (len(parts) - 1) * 1600
            assert 2.0 <= u.duration < 2.0 + max(g.duration for g in given.values()) + 0.2
            assert u.speaker == (parts[0].speaker if len({p.speaker for p in parts}) == 1 else None)
        else:
            assert u.fields["of"] in drawn
            assert u.fields["room"] == 1
            assert u.speaker == parts[0].speaker
        if condition == "clean":
            assert u.audio_filepath == parts[0].audio_filepath
        if condition.startswith("silence "):
            assert len(samples) == len(read_samples(parts[0])) + 8000
        assert u.fields.get("snr") == (0.0 if condition.startswith("in noise") else None)
    assert {u.fields["sound"] for u in rows if u.fields["condition"].startswith("in noise")} == {"pink", "hum"}
    assert made.hours["clean"] == round(sum(u.duration for u in rows if u.fields["condition"] == "clean") / 3600, 4)


def test_an_utterance_that_cannot_be_read_is_named_and_costs_no_other(speech: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in speech.read_text().splitlines()]
    for line in lines:
        line["audio_filepath"] = str(speech.parent / line["audio_filepath"])
    lines[2]["audio_filepath"] = str(tmp_path / "gone.wav")
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = dataclasses.replace(SMALL, kinds=(), utterances=10, joined=(), snr=())
    made = make_stress_set(tmp_path / "s", config, speech=tmp_path / "bad.jsonl", workers=2)
    wanted = {"u2", *(f"u2+silence-{where}" for where in ("before", "after", "inside"))}
    assert {entry.id for entry in made.skipped} == wanted
    assert "gone.wav" in made.skipped.summary()
    rows = load_manifest(made.manifest)
    counts = Counter(row.fields["condition"] for row in rows)
    assert counts == {"clean": 5, "silence before": 5, "silence after": 5, "silence inside": 5}
    assert "u2" not in {row.fields["source"] for row in rows}
    found = make_stress_set(tmp_path / "s", config, speech=tmp_path / "bad.jsonl")
    assert len(found.skipped) == 4


def test_an_utterance_lost_under_one_condition_is_in_none_of_them(
    speech: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(strain: Strain, config: StressConfig) -> np.ndarray:
        if strain.id == "u3+silence-after":
            raise AudioError("3.wav: is damaged.")
        return strained_samples(strain, config)

    monkeypatch.setattr("duolect.data.nonspeech.stress.strained_samples", refuse)
    config = dataclasses.replace(SMALL, kinds=(), utterances=10)
    made = make_stress_set(tmp_path / "s", config, speech=speech, workers=1)
    rows = [row for row in load_manifest(made.manifest) if not row.fields["condition"].startswith("joined")]
    assert Counter(row.fields["condition"] for row in rows) == dict.fromkeys(
        ("clean", "silence before", "silence after", "silence inside", "in noise 0 dB"), 5
    )
    assert "u3" not in {row.fields["source"] for row in rows}
    assert len(made.skipped) == 5
    assert sum("joined" not in str(p) for p in (tmp_path / "s/audio").rglob("*.wav")) == 4 * 5


def test_a_folder_of_sounds_is_read_in_place_in_pieces_and_its_speech_left_out(tmp_path: Path) -> None:
    tone = 0.1 * np.sin(np.arange(5 * SAMPLE_RATE) / 10)
    for name in ("music/jazz/a.wav", "noise/b.flac", "speech/us/c.wav"):
        (tmp_path / "musan" / name).parent.mkdir(parents=True, exist_ok=True)
        write_audio(tmp_path / "musan" / name, tone)
    (tmp_path / "musan" / "noise" / "broken.wav").write_bytes(b"")
    (tmp_path / "musan" / "README").write_text("no sound")
    config = StressConfig(kinds=(), piece=2.0)
    made = make_stress_set(tmp_path / "s", config, sounds=[tmp_path / "musan"])
    rows = load_manifest(made.manifest)
    assert [(u.id, u.fields["condition"], u.text) for u in rows] == [
        *((f"musan/music/jazz/a.wav#{n}", "musan/music", "") for n in range(3)),
        *((f"musan/noise/b.flac#{n}", "musan/noise", "") for n in range(3)),
    ]
    assert all(u.duration <= 2 for u in rows)
    whole = np.concatenate([read_samples(u) for u in rows[:3]])
    assert abs(len(whole) - 5 * SAMPLE_RATE) <= 48
    assert np.array_equal(whole[:SAMPLE_RATE], read_audio(tmp_path / "musan/music/jazz/a.wav")[:SAMPLE_RATE])
    reasons = {entry.id: entry.reason for entry in made.skipped}
    assert reasons.keys() == {"musan/noise/broken.wav", "musan/speech/us/c.wav"}
    assert reasons["musan/speech/us/c.wav"] == "lies in a folder named speech"


def test_sounds_behind_a_linked_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "far" / "rain").mkdir(parents=True)
    write_audio(tmp_path / "far" / "rain" / "a.wav", np.full(SAMPLE_RATE, 0.1))
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "near").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "sounds")
    (tmp_path / "sounds" / "gone.wav").symlink_to(tmp_path / "none.wav")
    made = make_stress_set(tmp_path / "s", StressConfig(kinds=()), sounds=[tmp_path / "sounds"])
    assert [u.id for u in load_manifest(made.manifest)] == ["sounds/near/rain/a.wav#0"]
    assert [entry.id for entry in made.skipped] == ["sounds/gone.wav"]


def test_folders_of_sounds_with_the_same_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a/noise/x.wav", "b/noise/x.wav", "b/noise/loud/y.wav", "c/music/z.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_audio(tmp_path / name, np.full(SAMPLE_RATE, 0.1))
    folders = [tmp_path / name for name in ("a/noise", "b/noise", "c/music")]
    made = make_stress_set(tmp_path / "s", StressConfig(kinds=()), sounds=folders)
    assert [(u.id, u.fields["condition"]) for u in load_manifest(made.manifest)] == [
        ("a/noise/x.wav#0", "a/noise"),
        ("b/noise/loud/y.wav#0", "b/noise/loud"),
        ("b/noise/x.wav#0", "b/noise"),
        ("c/music/z.wav#0", "c/music"),
    ]
    with pytest.raises(ConfigError, match=r"b/noise: is named twice among the folders of sounds"):
        make_stress_set(tmp_path / "t", SMALL, sounds=[*folders, tmp_path / "b" / ".." / "b" / "noise"])
    assert not (tmp_path / "t").exists()


def test_chunks_are_scored_by_themselves_and_need_texts_of_their_own(speech: Path, tmp_path: Path) -> None:
    def chunk(n: int, text: str) -> Utterance:
        fields = {"parent_id": f"call {n // 2}", "chunk_index": n % 2}
        return dataclasses.replace(rows[n], text=text, fields=fields)

    rows = load_manifest(speech)
    call = "we went to the old house by the river"
    parts = [chunk(0, "one two"), chunk(1, "three"), chunk(2, call), chunk(3, f"{call} "), chunk(4, "yes"), rows[5]]
    write_manifest(tmp_path / "m.jsonl", parts)
    config = dataclasses.replace(SMALL, kinds=(), utterances=10, joined=())
    made = make_stress_set(tmp_path / "s", config, speech=tmp_path / "m.jsonl", workers=1)
    reason = "is a chunk with the text of its whole recording, call 1"
    assert [(entry.id, entry.reason) for entry in made.skipped] == [("u2", reason), ("u3", reason)]
    found = load_manifest(made.manifest)
    assert Counter((u.fields["source"], u.fields.get("parent_id")) for u in found) == {
        ("u0", "call 0"): 5,
        ("u1", "call 0"): 5,
        ("u4", "call 2"): 5,
        ("u5", None): 5,
    }
    hyps = [HypothesisRow(id=u.id, reference=u.text, text=u.text, fields=u.fields) for u in found]
    assert score_run(hyps, replicas=10).utterances == 20


def test_wrong_settings_and_places_are_refused(speech: Path, tmp_path: Path) -> None:
    for settings, message in (
        ({"kinds": ("flute",)}, "kinds has 'flute'; known are zeros"),
        ({"seconds": (0.01,)}, "seconds must be different numbers from 0.1 to 3600"),
        ({"snr": (0.0, 0.0)}, "snr must be different numbers"),
        ({"utterances": 0}, "utterances must be at least 1"),
        ({"silence": -1.0}, "silence must be from 0.1"),
        ({"masks": ()}, "at least one sound in masks"),
    ):
        with pytest.raises(ConfigError, match=message):
            StressConfig(**settings)
    with pytest.raises(ManifestError, match="is no folder of sounds"):
        make_stress_set(tmp_path / "s", sounds=[tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="holds no sound file"):
        make_stress_set(tmp_path / "s", sounds=[tmp_path / "empty"])
    with pytest.raises(ManifestError, match="there is nothing to write"):
        make_stress_set(tmp_path / "s", StressConfig(kinds=()))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("dear")
    with pytest.raises(DuolectError, match="name a new or empty folder"):
        make_stress_set(tmp_path / "full", SMALL)
    assert (tmp_path / "full" / "thesis.txt").read_text() == "dear"


def test_the_command_writes_a_set_and_says_what_is_in_it(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--kinds", "zeros", "white", "--seconds", "0.2", "--utterances", "2", "--snr", "5", "--joined", "1"]
    out = ["stress", "--out", str(tmp_path / "s"), "--workers", "1"]
    assert main([*out, *few, "--recordings", "1", "--speech", str(speech)]) == 0
    printed = capsys.readouterr().out
    assert [line.split("  ")[0] for line in printed.splitlines()[:-1]] == [
        *("silence", "noise", "clean", "silence before", "silence after", "silence inside"),
        *("in noise 5 dB", "joined 1 s"),
    ]
    assert printed.splitlines()[-1].startswith(str(tmp_path / "s" / "stress.jsonl"))
    assert main(["stress", "--out", str(tmp_path / "t"), "--kinds", "flute"]) == 2
    assert "kinds has 'flute'" in capsys.readouterr().err
    assert main(["stress", "--out", str(tmp_path / "t"), "--kinds", "none"]) == 2
    assert "there is nothing to write" in capsys.readouterr().err


def test_utterances_without_text_are_left_out(speech: Path, tmp_path: Path) -> None:
    rows = load_manifest(speech)
    write_manifest(tmp_path / "m.jsonl", [dataclasses.replace(rows[0], text=" "), *rows[1:]])
    config = dataclasses.replace(SMALL, kinds=(), utterances=10, joined=(), snr=())
    made = make_stress_set(tmp_path / "s", config, speech=tmp_path / "m.jsonl", workers=1)
    assert [(entry.id, entry.reason) for entry in made.skipped] == [("u0", "has no text")]
    assert len(load_manifest(made.manifest)) == 5 * 4
