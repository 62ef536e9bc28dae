"""MuST-C as FBK released it: en-de/data/SPLIT/{wav,txt}."""

from pathlib import Path

import pytest
from corpus_files import imported, lines, rows, skipped, sound

from duolect.errors import ManifestError

FLOW = "- {{duration: {}, offset: {}, rW: 9, uW: 0, speaker_id: spk.767, wav: ted_767.wav}}"


def split(
    root: Path, name: str, *segments: str, spoken: tuple[str, ...], said: tuple[str, ...], lang: str = "de"
) -> None:
    """One split of one pair of languages."""
    folder = root / f"en-{lang}/data" / name
    sound(folder / "wav/ted_767.wav", 2.0)
    lines(folder / f"txt/{name}.yaml", *segments)
    lines(folder / f"txt/{name}.en", *spoken)
    lines(folder / f"txt/{name}.{lang}", *said)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "MUSTC_v1.0"
    for name in ("train", "dev", "tst-COMMON"):
        segments = (FLOW.format("0.500000", "0.250000"), FLOW.format("1.000000", "1.000000"))
        split(root, name, *segments, spoken=("Good morning.", "I\u2028 go."), said=("Guten Morgen.", "Ich gehe."))
    return root


@pytest.mark.parametrize("where", ["", "en-de", "en-de/data"])
def test_segments_of_talks(corpus: Path, tmp_path: Path, where: str) -> None:
    made = imported("mustc", corpus / where, tmp_path / "out")
    assert [(split.name, split.utterances) for split in made.splits] == [("train", 2), ("dev", 2), ("tst-COMMON", 2)]
    assert rows(tmp_path / "out/dev.jsonl")[0] == {
        "audio_filepath": str(corpus / "en-de/data/dev/wav/ted_767.wav"),
        "duration": 0.5,
        "text": "Good morning.",
        "offset": 0.25,
        "speaker": "spk.767",
        "lang": "en",
        "translation": "Guten Morgen.",
        "target_lang": "de",
        "id": "ted_767_0",
        "corpus": "mustc",
        "talk": "ted_767",
    }
    assert rows(tmp_path / "out/dev.jsonl")[1]["id"] == "ted_767_1"


def test_block_style_and_bad_segments(corpus: Path, tmp_path: Path) -> None:
    block = "- duration: 0.5\n  offset: 0.0\n  speaker_id: spk.1\n  wav: ted_767.wav"
    quoted = "- {duration: 0.5, offset: 0.5, speaker_id: 'spk.1', wav: \"ted_767.wav\"}"
    segments = (
        block,
        quoted,
        "- {duration: 0.5, offset: 0.5, speaker_id: [spk.1, wav: ted_767.wav}",
        "- {duration: half, offset: 0.5, speaker_id: spk.1, wav: ted_767.wav}",
        "- {duration: 0.5, offset: 0.5, speaker_id: spk.1}",
        "- {duration: 0.5, offset: 0.5, speaker_id: spk.1, wav: ted_1.wav}",
        "- {duration: 0.0, offset: 0.5, speaker_id: spk.1, wav: ted_767.wav}",
        "- {duration: 0.5, offset: 1.0, speaker_id: spk.1, wav: ted_767.wav}",
        "- {duration: 0.5, offset: 1.5, speaker_id: spk.1, wav: ted_767.wav}",
    )
    spoken = ("a", "b", "c", "d", "e", "f", "g", "", "i")
    said = ("A", "B", "C", "D", "E", "F", "G", "H", "")
    split(corpus, "dev", *segments, spoken=spoken, said=said)
    imported("mustc", corpus, tmp_path / "out", splits=("dev",))
    assert [(row["id"], row["text"], row["translation"]) for row in rows(tmp_path / "out/dev.jsonl")] == [
        ("ted_767_0", "a", "A"),
        ("ted_767_1", "b", "B"),
    ]
    why = skipped(tmp_path / "out/dev.jsonl")
    path = corpus / "en-de/data/dev/txt/dev.yaml"
    expected = {
        f"{path}:6": f"bad line: {path}:6 is not valid YAML",
        f"{path}:7": f"bad line: {path}:7 expected duration in seconds, found 'half'",
        f"{path}:8": f"bad line: {path}:8 expected '- {{duration",
        "ted_1_0": "audio is missing",
        "ted_767_2": "not a valid utterance: duration must be a positive",
        "ted_767_3": "no transcript",
        "ted_767_4": "no translation",
    }
    assert sorted(why) == sorted(expected)
    for name, reason in expected.items():
        assert why[name].startswith(reason), why[name]


def test_lines_that_are_not_utf_8_are_listed(corpus: Path, tmp_path: Path) -> None:
    segments = [FLOW.format("0.5", f"{number / 2}") for number in range(4)]
    split(corpus, "dev", *segments, spoken=("a", "b", "c", "d"), said=("A", "B", "C", "D"))
    folder = corpus / "en-de/data/dev/txt"
    (folder / "dev.en").write_bytes("a\né\nc\nd\n".encode("latin-1"))
    (folder / "dev.de").write_bytes("A\nB\nÜ\nD\n".encode("latin-1"))
    (folder / "dev.yaml").write_bytes("\n".join([*segments[:3], segments[3].replace("spk", "é")]).encode("latin-1"))
    imported("mustc", corpus, tmp_path / "out", splits=("dev",))
    assert [(row["id"], row["text"]) for row in rows(tmp_path / "out/dev.jsonl")] == [("ted_767_0", "a")]
    places = {"ted_767_1": folder / "dev.en:2", "ted_767_2": folder / "dev.de:3"}
    places[f"{folder / 'dev.yaml'}:4"] = folder / "dev.yaml:4"
    why = {name: f"bad line: {place} is not valid UTF-8" for name, place in places.items()}
    assert skipped(tmp_path / "out/dev.jsonl") == why


def test_texts_that_do_not_go_with_the_segments(corpus: Path, tmp_path: Path) -> None:
    lines(corpus / "en-de/data/dev/txt/dev.de", "Nur eine Zeile.")
    with pytest.raises(ManifestError, match=r"do not go together: dev\.yaml 2, dev\.en 2, dev\.de 1"):
        imported("mustc", corpus, tmp_path / "out")


def test_a_pair_must_be_named_where_there_are_several(corpus: Path, tmp_path: Path) -> None:
    split(corpus, "dev", FLOW.format("0.5", "0.25"), spoken=("Hi.",), said=("Hola.",), lang="es")
    with pytest.raises(ManifestError, match="holds en-de, en-es; say which by target"):
        imported("mustc", corpus, tmp_path / "out")
    imported("mustc", corpus, tmp_path / "out", target="es")
    assert rows(tmp_path / "out/dev.jsonl")[0]["translation"] == "Hola."
    with pytest.raises(ManifestError, match="into 'fr'; holds none"):
        imported("mustc", corpus, tmp_path / "other", target="fr")
