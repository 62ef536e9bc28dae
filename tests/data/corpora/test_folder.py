"""A folder of sound: text beside each file, in a table, or none."""

import dataclasses
import json
import math
import os
import re
from pathlib import Path

import pytest
from corpus_files import imported, lines, rows, skipped, sound

from duolect.data import Utterance, load_manifest, write_manifest
from duolect.data.corpora import corpus_named, import_corpus
from duolect.data.corpora.folder import FolderOptions
from duolect.errors import ConfigError, ManifestError
from duolect.evaluation.results import HypothesisRow, read_run, write_run


def test_text_beside_the_sound(tmp_path: Path) -> None:
    root = tmp_path / "files"
    sound(root / "ann/1.wav", 0.25)
    lines(root / "ann/1.txt", "two lines", " of  text")
    sound(root / "bob/1.flac")
    lines(root / "bob/1.txt", "\ufeffhello")
    sound(root / ".hidden/1.wav")
    lines(root / "bob/notes.txt", "no sound goes with this")
    imported("folder", root, tmp_path / "out", speaker="folder", lang="en")
    first, second = rows(tmp_path / "out/all.jsonl")
    assert first == {
        "audio_filepath": str(root / "ann/1.wav"),
        "duration": 0.25,
        "text": "two lines of text",
        "speaker": "ann",
        "lang": "en",
        "id": "ann/1",
    }
    assert (second["id"], second["text"], second["speaker"]) == ("bob/1", "hello", "bob")


def test_files_below_the_manifest_are_relative_to_it(tmp_path: Path) -> None:
    """So that the folder can be moved with its manifest; the import does not take its own files for the corpus'."""
    sound(tmp_path / "a/x.wav")
    lines(tmp_path / "a/x.lab", "lab")
    for _ in range(2):
        imported("folder", tmp_path, tmp_path, text="beside", text_suffix=".lab")
    assert rows(tmp_path / "all.jsonl")[0]["audio_filepath"] == "a/x.wav"


def test_folders_named_like_splits_are_splits(tmp_path: Path) -> None:
    root = tmp_path / "files"
    for name in ("train", "dev"):
        sound(root / name / "x.wav")
        lines(root / name / "x.txt", name)
    made = imported("folder", root, tmp_path / "out")
    assert [split.name for split in made.splits] == ["dev", "train"]
    made = imported("folder", root, tmp_path / "one", layout="one", name="both")
    assert [(split.name, split.utterances) for split in made.splits] == [("both", 2)]
    sound(root / "calls/y.wav")
    made = imported("folder", root, tmp_path / "each", layout="folders", text="none")
    assert [split.name for split in made.splits] == ["calls", "dev", "train"]
    sound(root / "z.wav")
    with pytest.raises(ManifestError, match="has sound outside of subfolders"):
        imported("folder", root, tmp_path / "bad", layout="folders")


def test_sound_alone(tmp_path: Path) -> None:
    sound(tmp_path / "files/x.wav")
    imported("folder", tmp_path / "files", tmp_path / "out")
    assert rows(tmp_path / "out/all.jsonl")[0]["text"] == ""
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert record["notes"] == {"transcripts": "none"}
    lines(tmp_path / "files/y.txt", "of no sound")
    with pytest.raises(ManifestError, match=r"no transcript: expected x\.txt beside it"):
        imported("folder", tmp_path / "files", tmp_path / "again", text="beside")


def test_a_link_back_to_the_folder_does_not_multiply_it(tmp_path: Path) -> None:
    sound(tmp_path / "c" / "a" / "1.wav")
    (tmp_path / "c" / "a" / "loop").symlink_to(tmp_path / "c")
    (tmp_path / "c" / "b").symlink_to(tmp_path / "c" / "a")
    imported("folder", tmp_path / "c", tmp_path / "out", lang="en")
    assert [row["id"] for row in rows(tmp_path / "out" / "all.jsonl")] == ["a/1", "b/1"]


def test_no_sound_at_all(tmp_path: Path) -> None:
    lines(tmp_path / "files/x.txt", "text")
    with pytest.raises(ManifestError, match="there is no sound file; expected names in"):
        imported("folder", tmp_path / "files", tmp_path / "out")


def test_a_transcript_that_is_not_text(tmp_path: Path) -> None:
    for name in "ab":
        sound(tmp_path / f"files/{name}.wav")
        lines(tmp_path / f"files/{name}.txt", "text")
    (tmp_path / "files/b.txt").write_bytes(b"\xff\xfe\x00")
    imported("folder", tmp_path / "files", tmp_path / "out")
    assert skipped(tmp_path / "out/all.jsonl")["b"].startswith("the transcript cannot be read")


def test_a_table_of_hugging_face(tmp_path: Path) -> None:
    """Their audiofolder: metadata.csv with file_name, and any other columns."""
    root = tmp_path / "files"
    sound(root / "data/x.wav", 0.5)
    sound(root / "data/y.wav", 0.5)
    lines(
        root / "metadata.csv", "file_name,transcription,accent", 'data/x.wav,"hello, there",indian', "data/y.wav,bye,"
    )
    imported("folder", root, tmp_path / "out", lang="en")
    assert rows(tmp_path / "out/all.jsonl") == [
        {"audio_filepath": str(root / "data/x.wav"), "duration": 0.5, "text": "hello, there", "lang": "en"}
        | {"id": "data/x", "accent": "indian"},
        {"audio_filepath": str(root / "data/y.wav"), "duration": 0.5, "text": "bye", "lang": "en", "id": "data/y"},
    ]


def test_tables_in_the_folders_of_splits(tmp_path: Path) -> None:
    """Their audiofolder with splits: a table in each of them."""
    root = tmp_path / "files"
    for split in ("train", "test"):
        sound(root / split / "x.wav", 0.5)
        sound(root / split / "unlisted.wav", 0.5)
        lines(root / split / "metadata.csv", "file_name,transcription", f"x.wav,hello {split}")
    made = imported("folder", root, tmp_path / "out")
    assert [(split.name, split.utterances) for split in made.splits] == [("test", 1), ("train", 1)]
    assert made.remark == ""
    (row,) = rows(tmp_path / "out/train.jsonl")
    assert (row["audio_filepath"], row["text"], row["id"]) == (str(root / "train/x.wav"), "hello train", "train/x")
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert record["notes"] == {"transcripts": "test/metadata.csv, train/metadata.csv"}
    imported("folder", root, tmp_path / "one", layout="one")
    assert [row["text"] for row in rows(tmp_path / "one/all.jsonl")] == ["hello test", "hello train"]
    sound(root / "dev/y.wav")  # a split without a table, and sound that is in no split
    sound(root / "more/z.wav")
    lines(root / "dev/y.txt", "beside")
    lines(root / "more/z.txt", "further")
    lines(root / "more/metadata.csv", "of,something,else")
    made = imported("folder", root, tmp_path / "mixed")
    assert [split.name for split in made.splits] == ["all"]
    texts = {row["id"]: row["text"] for row in rows(tmp_path / "mixed/all.jsonl")}
    assert texts == {"test/x": "hello test", "train/x": "hello train", "dev/y": "beside", "more/z": "further"}
    with pytest.raises(ManifestError, match=r"more/metadata\.csv: .*"):
        imported("folder", root, tmp_path / "bad", layout="folders")
    lines(root / "train/metadata.csv", "file_name,other", "x.wav,hello")
    with pytest.raises(ManifestError, match=r"train/metadata\.csv: has no column for text"):
        imported("folder", root, tmp_path / "none")


@pytest.mark.parametrize(("mark", "said"), [(";", "';'"), ("\t", r"$'\t'"), ("|", "'|'")])
def test_a_table_of_another_delimiter_is_told_about_it(mark: str, said: str, tmp_path: Path) -> None:
    root = tmp_path / "files"
    sound(root / "x.wav")
    lines(root / "metadata.csv", f"file_name{mark}text", f"x.wav{mark}hello")
    with pytest.raises(ManifestError) as caught:
        imported("folder", root, tmp_path / "none")
    assert str(caught.value).endswith(f"if its columns are parted by {said}, give --delimiter {said}.")
    imported("folder", root, tmp_path / "out", delimiter=mark)
    assert rows(tmp_path / "out/all.jsonl")[0]["text"] == "hello"


def test_a_folder_that_is_called_like_a_split_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "train"
    sound(root / "a.wav")
    sound(root / "train/b.wav")
    lines(root / "a.txt", "beside")
    lines(root / "train/metadata.csv", "file_name,text", "b.wav,told")
    imported("folder", root, tmp_path / "out")
    found = {row["id"]: row["text"] for row in rows(tmp_path / "out/all.jsonl")}
    assert found == {"a": "beside", "train/b": "told"}


def test_the_user_is_told_where_no_transcripts_are_found(tmp_path: Path) -> None:
    root = tmp_path / "files"
    sound(root / "x.wav")
    made = imported("folder", root, tmp_path / "out")
    assert made.remark.startswith(f"{root}: no transcripts were found, so all texts are empty; looked for NAME.txt")
    assert imported("folder", root, tmp_path / "meant", text="none").remark == ""
    lines(root / "x.txt", "text")
    assert imported("folder", root, tmp_path / "beside").remark == ""


def test_a_table_without_a_header_as_of_lj_speech(tmp_path: Path) -> None:
    root = tmp_path / "LJSpeech-1.1"
    sound(root / "wavs/LJ001-0001.wav")
    lines(root / "metadata.csv", 'LJ001-0001|Printing, in 1450, "so"|Printing, in fourteen fifty, "so"')
    imported(
        "folder",
        root,
        tmp_path / "out",
        table=Path("metadata.csv"),
        delimiter="|",
        columns=("file", "written", "text"),
        audio_folder=Path("wavs"),
        audio_suffix=".wav",
    )
    (row,) = rows(tmp_path / "out/all.jsonl")
    assert (row["text"], row["written"]) == ('Printing, in fourteen fifty, "so"', 'Printing, in 1450, "so"')


def test_json_lines_with_segments(tmp_path: Path) -> None:
    """A manifest of another toolkit: stretches of long files, numbers as text, bad lines among them."""
    root = tmp_path / "files"
    sound(root / "talk.wav", 2.0)
    table = lines(
        root / "list.jsonl",
        json.dumps({"audio": "talk.wav", "text": "one", "start": 0.0, "duration": 1.0, "utt_id": 7, "snr": 10.5}),
        json.dumps(
            {"audio": "talk.wav", "text": "two", "start": "1.0", "duration": "0.5", "speaker_id": "s", "snr": math.nan}
        ),
        "{not json}",
        '["a", "list"]',
        json.dumps({"audio": "", "text": "none"}),
        json.dumps({"audio": "talk.wav", "text": "x", "start": "soon"}),
        json.dumps({"audio": "talk.wav", "text": "x", "start": -1}),
        json.dumps({"audio": "gone.wav", "text": "x"}),
        json.dumps({"audio": "talk.wav", "text": None, "utt_id": "n"}),
        json.dumps({"audio": "talk.wav", "text": "again", "utt_id": 7}),
    )
    imported("folder", root, tmp_path / "out", table=Path("list.jsonl"))
    first, second = rows(tmp_path / "out/all.jsonl")
    assert (first["id"], first["snr"], first["duration"]) == ("7", 10.5, 1.0)
    assert (second["id"], second["offset"], second["duration"], second["speaker"]) == ("talk-1.000", 1.0, 0.5, "s")
    assert "snr" not in second
    why = skipped(tmp_path / "out/all.jsonl")
    expected = {
        f"{table}:3": f"bad line: {table}:3 not valid JSON",
        f"{table}:4": f"bad line: {table}:4 is no JSON object",
        f"{table}:5": f"bad line: {table}:5 audio names no file",
        f"{table}:6": f"bad line: {table}:6 start is no number: 'soon'",
        f"{table}:7": f"bad line: {table}:7 start must be 0 or more seconds",
        "gone": "audio is missing",
        "n": "no transcript",
        "7": "duplicate id",
    }
    assert sorted(why) == sorted(expected)
    for name, reason in expected.items():
        assert why[name].startswith(reason), why[name]


def test_segments_with_their_start_and_end(tmp_path: Path) -> None:
    root = tmp_path / "files"
    sound(root / "talk.wav", 3.0)
    table = lines(
        root / "list.csv",
        "path,start,end,duration,text",
        *("talk.wav,0,1.25,,one", "talk.wav,1.25,2,,two", "talk.wav,2,9,0.5,three", "talk.wav,2.5,2.5,,none"),
        "talk.wav,2.75,,,rest",
    )
    imported("folder", root, tmp_path / "out", table=table)
    found = [(row["text"], row.get("offset", 0.0), row["duration"]) for row in rows(tmp_path / "out/all.jsonl")]
    assert found == [("one", 0.0, 1.25), ("two", 1.25, 0.75), ("three", 2.0, 0.5), ("rest", 2.75, 0.25)]
    assert "end must be after the start" in skipped(tmp_path / "out/all.jsonl")[f"{table}:5"]


def test_a_rounded_duration_of_a_whole_file_cuts_nothing_off(tmp_path: Path) -> None:
    """Only beside a beginning, even of 0, is it a stretch; where no file is opened, there is nothing better."""
    root = tmp_path / "files"
    for name, seconds in (("a", 1.9), ("b", 2.04), ("c", 0.9)):
        sound(root / f"{name}.wav", seconds)
    table = lines(root / "list.csv", "path,duration,text", "a.wav,1,one", "b.wav,2,two", "c.wav,7,three")
    (split,) = imported("folder", root, tmp_path / "out", table=table).splits
    assert [row["duration"] for row in rows(tmp_path / "out/all.jsonl")] == [1.9, 2.04, 0.9]
    assert split.far_off == 2
    record = json.loads((tmp_path / "out/import.json").read_text())
    assert record["splits"]["all"]["tallies"] == {"durations far from the sound's": 2}
    trusted = import_corpus(
        corpus_named("folder"),
        str(root),
        tmp_path / "trusted",
        options=FolderOptions(table=table),
        trust_durations=True,
    )
    assert [row["duration"] for row in rows(tmp_path / "trusted/all.jsonl")] == [1.0, 2.0, 7.0]
    assert trusted.splits[0].far_off == 0
    table = lines(root / "cut.csv", "path,start,duration,text", "a.wav,0,1,one", "b.wav,1,1,two")
    (split,) = imported("folder", root, tmp_path / "cut", table=table).splits
    assert [row["duration"] for row in rows(tmp_path / "cut/all.jsonl")] == [1.0, 1.0]
    assert split.far_off == 0


@pytest.mark.parametrize("column", ["channel", "Channel_ID"])
@pytest.mark.parametrize("trusted", [False, True])
def test_one_channel_of_several_has_no_place(column: str, trusted: bool, tmp_path: Path) -> None:
    """Both would be the mixture of all; what else a field of that name may hold is a field like others."""
    root = tmp_path / "files"
    sound(root / "call.wav", channels=2)
    sound(root / "mono.wav")
    values = {"zero": 0, "one": "1", "two": "ch2", "left": "Left", "all": "", "three": 3, "tv": "TED", "b": "B"}
    listed = [("call.wav", name, value) for name, value in values.items()] + [("mono.wav", "mono", "0")]
    table = lines(
        root / "list.jsonl",
        *(json.dumps({"path": path, "id": name, "text": "x", "duration": 0.2, column: v}) for path, name, v in listed),
    )
    options = FolderOptions(table=table)
    import_corpus(
        corpus_named("folder"), str(root), tmp_path / "out", options=options, workers=2, trust_durations=trusted
    )
    found = {row["id"]: row.get(column) for row in rows(tmp_path / "out/all.jsonl")}
    assert found == {"all": None, "three": 3, "tv": "TED", "mono": "0"}
    why = skipped(tmp_path / "out/all.jsonl")
    assert sorted(why) == ["b", "left", "one", "two", "zero"]
    assert set(why.values()) == {
        "one channel of 2: a manifest has no place for that; write the channels to files of their own"
    }


def test_a_stretch_that_comes_late_in_a_manifest_stays_one(tmp_path: Path) -> None:
    """Ours say no offset of 0, and fields come where an utterance has them."""
    root = tmp_path / "files"
    sound(root / "x.wav", 0.5)
    made = [Utterance(audio_filepath=root / "x.wav", duration=0.5, text="x", id=str(n)) for n in range(120)]
    made.append(dataclasses.replace(made[0], offset=0.25, duration=0.1, id="late", lang="de", speaker="ann"))
    write_manifest(root / "given.jsonl", made)
    imported("folder", root, tmp_path / "out", table=root / "given.jsonl")
    assert load_manifest(tmp_path / "out/all.jsonl") == made


def test_columns_beside_the_ones_that_are_meant_become_fields(tmp_path: Path) -> None:
    root = tmp_path / "files"
    sound(root / "x.wav")
    table = lines(root / "list.csv", "path,text,said,language,lang", "x.wav,raw,what was said,english,en")
    imported("folder", root, tmp_path / "out", table=table, text_column="said")
    (row,) = rows(tmp_path / "out/all.jsonl")
    assert (row["text"], row["source_text"]) == ("what was said", "raw")
    assert (row["lang"], row["language"]) == ("en", "english")


def test_a_duration_of_0_is_a_fault_not_the_rest_of_the_file(tmp_path: Path) -> None:
    root = tmp_path / "files"
    sound(root / "talk.wav", 3.0)
    table = lines(root / "list.csv", "path,start,duration,text", "talk.wav,0.5,0,one", "talk.wav,1,,two")
    other = lines(
        root / "list.jsonl", '{"path": "talk.wav", "duration": 0, "text": "a"}', '{"path": "talk.wav", "text": "b"}'
    )
    for each, line, text in ((table, 2, "two"), (other, 1, "b")):
        imported("folder", root, tmp_path / each.suffix, table=each)
        assert [row["text"] for row in rows(tmp_path / each.suffix / "all.jsonl")] == [text]
        why = skipped(tmp_path / each.suffix / "all.jsonl")[f"{each}:{line}"]
        assert "duration must be above 0 seconds, not 0.0" in why


def test_columns_in_capitals_and_columns_that_resemble_known_ones(tmp_path: Path) -> None:
    root = tmp_path / "files"
    sound(root / "x.wav", 0.5)
    table = lines(root / "list.csv", "Path,Text,Speaker,tgt_lang", "x.wav,hello,ann,de", ".,the folder,ann,de")
    imported("folder", root, tmp_path / "out", table=table)
    (row,) = rows(tmp_path / "out/all.jsonl")
    assert (row["text"], row["speaker"], row["source_tgt_lang"]) == ("hello", "ann", "de")
    (why,) = skipped(tmp_path / "out/all.jsonl").values()
    assert "is a folder" in why


def test_fields_named_like_results_are_kept_up_to_the_hypothesis_file(tmp_path: Path) -> None:
    names = ("run", "score", "reference", "flags", "terms", "nbest", "scales", "length_exponent", "time", "pred_text")
    sound(tmp_path / "files/x.wav")
    table = lines(tmp_path / "files/list.tsv", "\t".join(("path", "text", *names)), "\t".join(("x.wav", "a", *names)))
    imported("folder", tmp_path / "files", tmp_path / "out", table=table)
    (utterance,) = load_manifest(tmp_path / "out/all.jsonl")
    assert utterance.fields == {f"source_{name}": name for name in names}
    row = HypothesisRow(id=utterance.id, text="b", reference="a", score=-1.0, fields={"time": 2.0, **utterance.fields})
    write_run(tmp_path / "hyps.jsonl", [row])
    (back,), _ = read_run(tmp_path / "hyps.jsonl")
    assert back.fields == {"time": 2.0, **utterance.fields}


def test_a_suffix_is_added_where_it_lacks(tmp_path: Path) -> None:
    root = tmp_path / "files"
    sound(root / "x.wav")
    sound(root / "y.wav")
    table = lines(root / "list.csv", "path,text", "x,one", "y.wav,two")
    imported("folder", root, tmp_path / "out", table=table, audio_suffix=".wav")
    assert [row["id"] for row in rows(tmp_path / "out/all.jsonl")] == ["x", "y"]


def test_columns_are_named_where_they_are_not_known(tmp_path: Path) -> None:
    sound(tmp_path / "files/x.wav")
    table = lines(tmp_path / "files/list.tsv", "clip\tmot", 'x.wav\t"quoted')
    with pytest.raises(ManifestError, match=r"has no column for audio .*audio_column; it has clip, mot"):
        imported("folder", table.parent, tmp_path / "out", table=Path("list.tsv"))
    with pytest.raises(ManifestError, match="has no column 'words'"):
        imported("folder", table.parent, tmp_path / "out", table=table, audio_column="clip", text_column="words")
    imported("folder", table.parent, tmp_path / "out", table=table, audio_column="clip", text_column="mot")
    assert rows(tmp_path / "out/all.jsonl")[0]["text"] == '"quoted'


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    sound(folder / "x.wav")
    for name, content, said in (
        ("a.tsv", "", "the table is empty"),
        ("b.tsv", "path\tpath\nx\ty\n", r"b\.tsv:1: expected a header line with names of columns"),
        ("c.xls", "x", "is no table"),
        ("d.tsv", "path\ttext\n", "holds no line that can be read"),
    ):
        (folder / name).write_text(content)
        with pytest.raises(ManifestError, match=said):
            imported("folder", folder, tmp_path / "out", table=Path(name))
        assert not (tmp_path / "out").exists()
    for name, content, said in (
        ("latin.csv", "path,text\nx.wav,é\nx.wav,ü\n".encode("latin-1"), "the first, in line 2, is not valid UTF-8."),
        ("open.csv", b'path,text\nx.wav,"a\n', "the first, in line 2, has a quotation mark that is not closed."),
        ("list.json", b'[\n{"path": "x.wav"}]\n', "the first, in line 1, not valid JSON ("),
        ("little.csv", "\ufeffpath,text\nx.wav,a\n".encode("utf-16-le"), "little.csv: is UTF-16; save it as UTF-8."),
        ("big.tsv", "\ufeffpath\ttext\nx.wav\ta\n".encode("utf-16-be"), "big.tsv: is UTF-16; save it as UTF-8."),
    ):
        (folder / name).write_bytes(content)
        with pytest.raises(ManifestError, match=re.escape(said)):
            imported("folder", folder, tmp_path / "out", table=Path(name))
    with pytest.raises(ManifestError, match=r"none\.tsv: cannot be read"):
        imported("folder", folder, tmp_path / "out", table=Path("none.tsv"))


def test_options_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="needs the option table"):
        FolderOptions(text="table")
    with pytest.raises(ConfigError, match="leave one of them out"):
        FolderOptions(text="beside", table=Path("x.tsv"))
    with pytest.raises(ConfigError, match="name: must be"):
        FolderOptions(name="a/b")


@pytest.mark.skipif("DUOLECT_REAL_DATA" not in os.environ, reason="DUOLECT_REAL_DATA names no folder of real data")
def test_real_sound(tmp_path: Path) -> None:
    """A manifest is a table, too: what comes out is what went in."""
    root = Path(os.environ["DUOLECT_REAL_DATA"]) / "english"
    imported("folder", root, tmp_path / "out", table=Path("test.jsonl"), name="test")
    assert load_manifest(tmp_path / "out/test.jsonl") == load_manifest(root / "test.jsonl")
