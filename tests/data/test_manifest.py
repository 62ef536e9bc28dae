"""The manifest: what is written is read back; every fault names file, line and what was expected."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duolect.data.manifest import KNOWN, Utterance, load_manifest, read_manifest, write_manifest
from duolect.errors import DuolectError, ManifestError

GOOD = {"audio_filepath": "a.wav", "duration": 1.5, "text": "hello"}
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
name = text.filter(lambda s: s.strip() != "")
scalar = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
utterance = st.builds(
    Utterance,
    audio_filepath=st.lists(st.text("abcDE0-_ é", min_size=1).filter(str.strip), min_size=1, max_size=3).map(
        lambda parts: Path("/data", *parts)
    ),
    duration=st.floats(min_value=1e-3, max_value=1e5),
    text=text,
    offset=st.floats(min_value=0, max_value=1e5),
    speaker=st.none() | name,
    lang=st.none() | text,
    translation=st.none() | text,
    target_lang=st.none() | text,
    id=name,
    fields=st.dictionaries(text.map(lambda k: "x:" + k), scalar, max_size=3),
)


def _write(folder: Path, *lines: object) -> Path:
    path = folder / "train.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


@settings(max_examples=80, deadline=None)
@given(st.lists(utterance, min_size=1, max_size=6, unique_by=lambda u: u.id))
def test_write_then_read_is_lossless(tmp_path_factory: pytest.TempPathFactory, utterances: list[Utterance]) -> None:
    path = tmp_path_factory.mktemp("m") / "m.jsonl"
    write_manifest(path, utterances)
    assert load_manifest(path) == utterances
    assert [u.line for u in read_manifest(path)] == list(range(1, len(utterances) + 1))


BROKEN = st.sampled_from(
    [
        '{"audio_filepath": "a.wav"',
        "[1, 2]",
        "nonsense",
        '{"audio_filepath": "a.wav", "duration": NaN, "text": "x"}',
        '{"audio_filepath": "a.wav", "duration": 1e999, "text": "x"}',
        '{"audio_filepath": "a.wav", "duration": 0, "text": "x"}',
        '{"audio_filepath": "a.wav", "duration": -1, "text": "x"}',
        '{"audio_filepath": "a.wav", "duration": true, "text": "x"}',
        '{"audio_filepath": "a.wav", "duration": "3", "text": "x"}',
        '{"audio_filepath": "a.wav", "duration": 1}',
        '{"audio_filepath": 5, "duration": 1, "text": "x"}',
        '{"audio_filepath": "", "duration": 1, "text": "x"}',
        '{"audio_filepath": "a.wav", "duration": 1, "text": null}',
        '{"audio_filepath": "a.wav", "duration": 1, "text": "\\ud800"}',
        '{"audio_filepath": "a.wav", "duration": 1, "text": "x", "offset": -0.1}',
        '{"audio_filepath": "a.wav", "duration": 1, "text": "x", "id": " "}',
        '{"audio_filepath": "a.wav", "duration": 1, "text": "x", "id": "good-0"}',
        '{"audio_filepath": "a.wav", "duration": 1, "text": "x", "ofset": 1}',
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(0, 3), BROKEN)
def test_a_broken_line_is_named(tmp_path_factory: pytest.TempPathFactory, before: int, blank: int, broken: str) -> None:
    good = [{**GOOD, "id": f"good-{i}"} for i in range(before)]
    path = _write(tmp_path_factory.mktemp("m"), *good, *[""] * blank, broken, GOOD)
    reader = read_manifest(path)
    assert [next(reader).id for _ in range(before)] == [u["id"] for u in good]  # lazily: what comes before is given
    with pytest.raises(ManifestError) as error:
        next(reader)
    assert str(error.value).startswith(f"{path}:{before + blank + 1}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("audio_path", "audio_filepath"), ("txt", "text"), ("durations", "duration"), ("Text", "text")],
)
def test_a_misspelt_required_key_is_told(tmp_path: Path, wrong: str, right: str) -> None:
    path = _write(tmp_path, {(wrong if key == right else key): value for key, value in GOOD.items()})
    with pytest.raises(ManifestError, match=rf":1: the key '{right}' is missing; is '{wrong}' meant"):
        load_manifest(path)


@pytest.mark.parametrize(("wrong", "right"), [("speakers", "speaker"), ("offsett", "offset"), ("Lang", "lang")])
def test_a_misspelt_optional_key_is_told(tmp_path: Path, wrong: str, right: str) -> None:
    with pytest.raises(ManifestError, match=f"unknown key '{wrong}'; did you mean '{right}'"):
        load_manifest(_write(tmp_path, {**GOOD, wrong: "x"}))


def test_further_keys_are_kept(tmp_path: Path) -> None:
    further = {"text_raw": "Hello.", "speaker_id": 7, "corpus": "c", "licence": None, "snr": 1.5, "text2": "other"}
    (one,) = load_manifest(_write(tmp_path, {**GOOD, **further}))
    assert one.fields == further
    assert not set(one.fields) & set(KNOWN)


def test_paths_ids_and_types(tmp_path: Path) -> None:
    lines = [GOOD, {**GOOD, "audio_filepath": "/abs/x.flac", "speaker": 12, "id": 5, "offset": None}]
    first, second = load_manifest(_write(tmp_path, *lines))
    assert (first.audio_filepath, first.id, first.line) == (tmp_path / "a.wav", "a-1", 1)
    assert (str(second.audio_filepath), second.id, second.speaker, second.offset) == ("/abs/x.flac", "5", "12", 0.0)


def test_written_paths_are_relative_below_the_manifest(tmp_path: Path) -> None:
    inside = Utterance(audio_filepath=tmp_path / "wav" / "a.wav", duration=1.0, text="a", id="1")
    outside = Utterance(audio_filepath=Path("/elsewhere/b.wav"), duration=1.0, text="b", id="2")
    write_manifest(tmp_path / "m.jsonl", [inside, outside])
    paths = [json.loads(line)["audio_filepath"] for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert paths == ["wav/a.wav", "/elsewhere/b.wav"]
    assert load_manifest(tmp_path / "m.jsonl") == [inside, outside]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_manifest(tmp_path: Path, content: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(content)
    with pytest.raises(ManifestError, match=r"m\.jsonl: the manifest is empty"):
        load_manifest(path)


def test_a_missing_manifest(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"none\.jsonl: the manifest cannot be read \(No such file"):
        load_manifest(tmp_path / "none.jsonl")


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode() + b'\n{"text": "\xff"}\n')
    with pytest.raises(ManifestError, match=r"m\.jsonl:2: not valid UTF-8 \(byte 11\)"):
        load_manifest(path)


@pytest.mark.parametrize(
    "bad",
    [
        [Utterance(audio_filepath=Path("/a.wav"), duration=0.0, text="a", id="1")],
        [Utterance(audio_filepath=Path("/a.wav"), duration=1.0, text="a", id="1")] * 2,
        [Utterance(audio_filepath=Path("/a.wav"), duration=1.0, text="a", id="1", fields={"lang": "en"})],
        [Utterance(audio_filepath=Path("/a.wav"), duration=1.0, text="a", id="1", fields={"f": float("inf")})],
        [Utterance(audio_filepath=Path("/a.wav"), duration=1.0, text="a", id="1", fields={"f": object()})],
        [],
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path: Path, bad: list[Utterance]) -> None:
    path = _write(tmp_path, GOOD)
    with pytest.raises(DuolectError):
        write_manifest(path, bad)
    assert len(load_manifest(path)) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["train.jsonl"]
