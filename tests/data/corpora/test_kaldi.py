"""Kaldi data directories: files, segments, and commands that are understood but never run."""

import json
import random
from pathlib import Path

import pytest
from corpus_files import imported, lines, rows, skipped, sound

from duolect.data.corpora.kaldi_pipes import read_extended
from duolect.errors import ManifestError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """data/train: two recordings cut into segments; data/test: recordings that are utterances, relative paths."""
    s5 = tmp_path / "s5"
    one, two = sound(s5 / "wav/one.wav", 1.0), sound(s5 / "wav/two.flac", 0.5)
    train = s5 / "data/train"
    lines(train / "wav.scp", f"one {one}", f"two flac -c -d -s {two} |")
    lines(train / "segments", "a-1 one 0.10 0.40", "a-2 one 0.5 -1", "b-1 two 0.0 0.5")
    lines(train / "text", "a-1 hello there", "a-2 again", "b-1 bye")
    lines(train / "utt2spk", "a-1 a", "a-2 a", "b-1 b")
    lines(train / "spk2gender", "a f", "b m")
    lines(train / "utt2lang", "a-1 en", "a-2 en", "b-1 de")
    test = s5 / "data/test"
    lines(test / "wav.scp", "u1\twav/one.wav", "u2 wav/two.flac")
    lines(test / "text", "u1 one", "u2\ttwo")
    lines(test / "utt2dur", "u1 1.0", "u2 0.5")
    return s5 / "data"


def test_segments(data: Path, tmp_path: Path) -> None:
    imported("kaldi", data / "train", tmp_path / "out")
    one, two = data.parent / "wav/one.wav", data.parent / "wav/two.flac"
    assert rows(tmp_path / "out/train.jsonl") == [
        {"audio_filepath": str(one), "duration": 0.3, "text": "hello there", "offset": 0.1, "speaker": "a"}
        | {"lang": "en", "id": "a-1", "recording": "one", "gender": "female"},
        {"audio_filepath": str(one), "duration": 0.5, "text": "again", "offset": 0.5, "speaker": "a"}
        | {"lang": "en", "id": "a-2", "recording": "one", "gender": "female"},
        {"audio_filepath": str(two), "duration": 0.5, "text": "bye", "speaker": "b"}
        | {"lang": "de", "id": "b-1", "recording": "two", "gender": "male"},
    ]


def test_a_folder_of_data_directories_with_relative_paths(data: Path, tmp_path: Path) -> None:
    made = imported("kaldi", data, tmp_path / "out", lang="en")
    assert [(split.name, split.utterances) for split in made.splits] == [("test", 2), ("train", 3)]
    first = rows(tmp_path / "out/test.jsonl")[0]
    assert first["audio_filepath"] == str(data.parent / "wav/one.wav")
    assert (first["duration"], first["lang"], first["text"]) == (1.0, "en", "one")
    with pytest.raises(ManifestError, match="audio is missing"):
        imported("kaldi", data, tmp_path / "elsewhere", root=tmp_path)


def test_rounded_durations_of_recordings_cut_nothing_off(data: Path, tmp_path: Path) -> None:
    lines(data / "test/utt2dur", "u1 0.9", "u2 0.49")
    (split,) = imported("kaldi", data / "test", tmp_path / "out").splits
    assert [row["duration"] for row in rows(tmp_path / "out/test.jsonl")] == [1.0, 0.5]
    assert split.far_off == 1


def test_lines_that_are_not_utf_8_are_listed(data: Path, tmp_path: Path) -> None:
    """With the utterances that need them, and nothing of them stands in the manifest."""
    folder, one = data / "test", data.parent / "wav/one.wav"
    names = ["u1", "u2", "u3", "u4", "u5"]
    scp = [f"{name} {one}" for name in names]
    (folder / "wav.scp").write_bytes("\n".join([*scp, "u6 /caf\u00e9.wav"]).encode("latin-1"))
    (folder / "text").write_bytes("u1 Grüße\nu2 straße\nu3 x\nu4 y\nu5 z\nu9 né\n".encode("latin-1"))
    (folder / "utt2spk").write_bytes("u3 José\nu4 ann\nu5 bob\n".encode("latin-1"))
    (folder / "spk2gender").write_bytes("ann f\nbob \xe9\n".encode("latin-1"))
    lines(folder / "utt2dur", *(f"{name} 1.0" for name in names))
    imported("kaldi", folder, tmp_path / "out")
    found = rows(tmp_path / "out/test.jsonl")
    assert [(row["id"], row["text"], row.get("gender")) for row in found] == [("u4", "y", "female"), ("u5", "z", None)]
    places = {"u1": "text:1", "u2": "text:2", "u3": "utt2spk:1", "u6": "wav.scp:6", "u9": "text:6"}
    expected = {name: f"bad line: {folder / place} is not valid UTF-8" for name, place in places.items()}
    gender = f"{folder / 'spk2gender'}:2"
    assert skipped(tmp_path / "out/test.jsonl") == expected | {gender: f"bad line: {gender} is not valid UTF-8"}
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert record["splits"]["test"]["reasons"] == {"bad line": 6}
    (folder / "text").write_bytes(b"u1 \xe9\n")
    imported("kaldi", folder, tmp_path / "untold", text=False)
    assert [row["id"] for row in rows(tmp_path / "untold/test.jsonl")] == ["u1", "u2", "u4", "u5"]


def test_segments_that_are_not_utf_8_are_listed(data: Path, tmp_path: Path) -> None:
    segments = data / "train/segments"
    segments.write_bytes(b"a-1 one 0.10 0.40\na-2 on\xe9 0.5 -1\nb-\xe9 two 0.0 0.5\n")
    imported("kaldi", data / "train", tmp_path / "out")
    assert [row["id"] for row in rows(tmp_path / "out/train.jsonl")] == ["a-1"]
    why = skipped(tmp_path / "out/train.jsonl")
    assert why["a-2"] == f"bad line: {segments}:2 is not valid UTF-8"
    assert why[f"{segments}:3"] == f"bad line: {segments}:3 is not valid UTF-8"


def test_sound_alone(data: Path, tmp_path: Path) -> None:
    (data / "test/text").unlink()
    with pytest.raises(ManifestError, match="has no file text"):
        imported("kaldi", data / "test", tmp_path / "out")
    imported("kaldi", data / "test", tmp_path / "out", text=False)
    assert [row["text"] for row in rows(tmp_path / "out/test.jsonl")] == ["", ""]


def test_what_does_not_fit_together_is_listed(data: Path, tmp_path: Path) -> None:
    train = data / "train"
    stereo = sound(data.parent / "wav/both.wav", 0.5, channels=2)
    lines(
        train / "wav.scp",
        f"one {data.parent / 'wav/one.wav'}",
        f"fast sox {stereo} -t wav - speed 0.9 |",
        f"side sph2pipe -f wav -c 2 {stereo} |",
        "ark /somewhere/raw.ark:17",
        "none",
    )
    lines(
        train / "segments",
        "a-1 one 0.1 0.4",
        "a-2 one 0.4 0.3",
        "a-3 one 0.5",
        "a-4 gone 0 1",
        "a-5 one 1.5 2.0",
        "a-6 one 0.5 1.4",
        "a-7 one 0.5 1.7",
        "a-8 fast 0 0.1",
        "a-9 side 0 0.1",
        "b-1 ark 0 0.1",
        "b-2 none 0 0.1",
        "b-3 one 0 0.1",
    )
    lines(train / "text", *(f"{n} word" for n in ("a-1", "a-2", "a-3", "a-4", "a-5", "a-6", "a-7", "a-8", "a-9")))
    with open(train / "text", "a") as handle:
        handle.write("b-1 word\nb-2 word\nb-9 never said\n")
    imported("kaldi", train, tmp_path / "out")
    assert [(row["id"], row["duration"]) for row in rows(tmp_path / "out/train.jsonl")] == [("a-1", 0.3), ("a-6", 0.5)]
    why = skipped(tmp_path / "out/train.jsonl")
    assert why.pop("a-2").startswith(f"bad line: {train / 'segments'}:2 expected UTTERANCE RECORDING START END")
    expected = {
        "a-3": "bad line",
        "a-4": "no sound: the recording 'gone' is not in wav.scp",
        "a-5": "begins after the end of its file",
        "a-7": "ends after the end of its file",
        "a-8": "behind a command, which is not run: sox",
        "a-9": "one channel of 2",
        "b-1": "in a Kaldi archive",
        "b-2": "bad line: wav.scp names no file",
        "b-3": "no transcript: it is not in the file text",
        "b-9": "no sound: it is in the file text but not in segments",
    }
    assert sorted(why) == sorted(expected)
    for name, reason in expected.items():
        assert why[name].startswith(reason), name


@pytest.mark.parametrize("seed", range(3))
def test_files_in_any_order_give_the_same(data: Path, tmp_path: Path, seed: int) -> None:
    """In Kaldi's order nothing is kept in memory; any other order must only cost memory."""
    imported("kaldi", data / "train", tmp_path / "out")
    generator = random.Random(seed)
    for name in ("text", "utt2spk", "utt2lang"):
        texts = (data / "train" / name).read_text().splitlines()
        generator.shuffle(texts)
        lines(data / "train" / name, *texts)
    imported("kaldi", data / "train", tmp_path / "again")
    same = [(tmp_path / folder / "train.jsonl").read_bytes() for folder in ("out", "again")]
    assert same[0] == same[1], f"seed {seed}"


FILE = "/a/b c.sph"
READ = [
    "cat '/a/b c.sph' |",
    "flac -c -d -s '/a/b c.sph' |",
    "/usr/bin/flac -cds '/a/b c.sph' |",
    "flac --decode --stdout --silent '/a/b c.sph'|",
    "sph2pipe -f wav -p '/a/b c.sph' |",
    "/k/sph2pipe_v2.5/sph2pipe -f wav '/a/b c.sph' |",
    "ffmpeg -nostdin -loglevel quiet -i '/a/b c.sph' -f wav -ar 16000 -ac 1 - |",
    "ffmpeg -v 0 -i '/a/b c.sph' -ar 16k -acodec pcm_s16le -f wav pipe:1 |",
    "sox '/a/b c.sph' -t wav - |",
    "sox -t flac '/a/b c.sph' -r 16k -b 16 -c 1 -t wav - |",
    "sox -G '/a/b c.sph' -t wav - rate 16000 |",
]
REFUSED = [
    "rm -rf '/a/b c.sph' |",
    "flac -c -s '/a/b c.sph' |",
    "flac -c -d --skip=0:10 '/a/b c.sph' |",
    "flac -c -d -s '/a/b c.sph' | sox - -t wav - speed 1.1 |",
    "cat '/a/b c.sph'; rm x |",
    "cat $(ls) |",
    "cat a b |",
    "cat |",
    "sph2pipe -f wav -t 1:2 '/a/b c.sph' |",
    "ffmpeg -ss 10 -i '/a/b c.sph' -f wav - |",
    "ffmpeg -i '/a/b c.sph' -ar 8000 -f wav - |",
    "ffmpeg -i '/a/b c.sph' -af atempo=1.1 -f wav - |",
    "ffmpeg -i '/a/b c.sph' out.wav |",
    "ffmpeg -i x -i y -f wav - |",
    "sox '/a/b c.sph' -t wav - speed 0.9 |",
    "sox '/a/b c.sph' -t wav - trim 0 1 |",
    "sox '/a/b c.sph' -r 8k -t wav - |",
    "sox --vol 2.0 '/a/b c.sph' -t wav - |",
    "sox '/a/b c.sph' |",
    "gunzip -c '/a/b c.sph' |",
    "cat '/a/b c.sph |",
    "|",
]


@pytest.mark.parametrize("text", READ)
def test_commands_that_only_decode(text: str) -> None:
    assert read_extended(text).path == FILE


@pytest.mark.parametrize("text", REFUSED)
def test_commands_that_do_more(text: str) -> None:
    found = read_extended(text)
    assert not found.path
    assert found.fault.startswith("behind a command, which is not run")


def test_one_channel_is_told() -> None:
    assert read_extended("sph2pipe -f wav -p -c 2 x.sph |").one_channel
    assert read_extended("sox x.wav -t wav - remix 2 |").one_channel
    assert not read_extended("sox x.wav -t wav - remix - |").one_channel
    assert read_extended("x.wav").path == "x.wav"


def test_no_data_directory(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"expected the file wav\.scp"):
        imported("kaldi", tmp_path, tmp_path / "out")
