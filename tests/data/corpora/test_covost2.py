"""CoVoST 2: Common Voice's folder with validated.tsv and clips, and covost_v2.en_de.tsv."""

from pathlib import Path

import pytest
from corpus_files import imported, lines, rows, skipped, sound

from duolect.data.corpora.covost2 import CoVoST2Options
from duolect.errors import ConfigError, ManifestError

COLUMNS = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccent"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "cv-corpus-4-2019-12-10/en"
    for number in range(1, 5):
        sound(root / f"clips/common_voice_en_{number}.mp3", 0.5)
    lines(
        root / "validated.tsv",
        COLUMNS,
        'aaa\tcommon_voice_en_1.mp3\tShe said "hello.\t2\t0\ttwenties\tfemale\tindian',
        "bbb\tcommon_voice_en_2.mp3\tGood  day.\t2\t1\t\t\t",
        "bbb\tcommon_voice_en_3.mp3\tNever translated.\t2\t1\t\t\t",
        "ccc\tcommon_voice_en_4.mp3\tThe end.\t2\t1\t\tmale\t",
    )
    lines(
        root / "covost_v2.en_de.tsv",
        "path\ttranslation\tsplit",
        'common_voice_en_1.mp3\tSie sagte: "Hallo.\ttrain',
        "common_voice_en_2.mp3\tGuten Tag.\ttrain_covost",
        "common_voice_en_4.mp3\tDas Ende.\ttest",
        "common_voice_en_9.mp3\tFort.\ttest",
        "common_voice_en_8.mp3\tDev.\tdev",
    )
    return root


def test_sentences_are_joined_with_their_translations(corpus: Path, tmp_path: Path) -> None:
    made = imported("covost2", corpus, tmp_path / "out", splits=("train", "test"))
    assert [(split.name, split.utterances, split.skipped) for split in made.splits] == [("train", 2, 0), ("test", 1, 1)]
    first, second = rows(tmp_path / "out/train.jsonl")
    assert 0.4 < first.pop("duration") < 0.7
    assert first == {
        "audio_filepath": str(corpus / "clips/common_voice_en_1.mp3"),
        "text": 'She said "hello.',
        "speaker": "aaa",
        "lang": "en",
        "translation": 'Sie sagte: "Hallo.',
        "target_lang": "de",
        "id": "common_voice_en_1",
        "corpus": "covost2",
        "age": "twenties",
        "gender": "female",
        "accent": "indian",
    }
    assert (second["text"], second["translation"]) == ("Good day.", "Guten Tag.")
    assert "age" not in second
    reason = skipped(tmp_path / "out/test.jsonl")["common_voice_en_9"]
    assert reason == "no sentence: validated.tsv does not have common_voice_en_9.mp3"


def test_bad_lines_are_named(corpus: Path, tmp_path: Path) -> None:
    with open(corpus / "validated.tsv", "ab") as handle:
        handle.write(b"too\tfew\n" + b"ddd\tcommon_voice_en_8.mp3\tbroken \xff\t2\t0\t\t\t\n")
    (corpus / "clips/common_voice_en_2.mp3").unlink()
    imported("covost2", corpus, tmp_path / "out", splits=("train",))
    path = corpus / "validated.tsv"
    why = skipped(tmp_path / "out/train.jsonl")
    assert why[f"{path}:6"] == f"bad line: {path}:6 has 2 columns, not 8"
    assert why[f"{path}:7"] == f"bad line: {path}:7 is not valid UTF-8"
    assert why["common_voice_en_2"].startswith("audio is missing")


def test_clips_that_were_converted(corpus: Path, tmp_path: Path) -> None:
    for path in (corpus / "clips").iterdir():
        path.unlink()
    sound(corpus / "clips/common_voice_en_4.wav", 0.5)
    imported("covost2", corpus, tmp_path / "out", splits=("test",), clip_suffix=".wav")
    assert rows(tmp_path / "out/test.jsonl")[0]["duration"] == 0.5


@pytest.mark.parametrize("suffix", ["wav", "", ".", "a/.wav", ".w v"])
def test_a_suffix_needs_its_dot(suffix: str) -> None:
    with pytest.raises(ConfigError, match=r"clip_suffix: must be a suffix with its dot, such as \.wav, not"):
        CoVoST2Options(clip_suffix=suffix)


def test_what_is_missing_is_named(corpus: Path, tmp_path: Path) -> None:
    (corpus / "covost_v2.en_de.tsv").rename(tmp_path / "covost_v2.en_de.tsv")
    with pytest.raises(ManifestError, match=r"expected one covost_v2\.SOURCE_TARGET\.tsv, found none"):
        imported("covost2", corpus, tmp_path / "out")
    imported("covost2", corpus, tmp_path / "out", covost=tmp_path / "covost_v2.en_de.tsv", splits=("test",))
    lines(tmp_path / "covost_v2.en_fr.tsv", "path\ttranslation", "a\tb")
    with pytest.raises(ManifestError, match="has no column split"):
        imported("covost2", corpus, tmp_path / "fr", covost=tmp_path / "covost_v2.en_fr.tsv")
    with pytest.raises(ManifestError, match="has no folder clips"):
        imported("covost2", tmp_path, tmp_path / "out2")
