import dataclasses
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("whisper_normalizer")

from duolect.errors import ScoringError
from duolect.evaluation import HypothesisRow, RunRecord, Skipped, score_file, write_run
from duolect.evaluation.submission import BoardSet, known_sets, write_submission

MARCH, AUGUST = "open-asr-2026-03", "open-asr-2026-08"
MODEL, DAY = "our-lab/small-model", datetime.date(2026, 9, 1)
BOARD = "MODEL_our-lab-small-model_DATASET_hf-audio-open-asr-leaderboard_"


def hyps(path: Path, texts: Sequence[tuple[str, str]], record: RunRecord | None = None, **fields: Any) -> Path:
    rows = [
        HypothesisRow(id=f"u{n}", reference=reference, text=text, duration=2.0 + n, fields=fields)
        for n, (reference, text) in enumerate(texts)
    ]
    write_run(path, rows, record)
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_result_files_are_raw_and_give_the_score_of_the_hypothesis_file(tmp_path: Path) -> None:
    record = RunRecord(system="s", wall_seconds=0.5, region="features to text")
    texts = [("Mr. Smith's e-mail.", "mister smiths email"), ("[noise]", "hello"), ("Twenty dogs", "20 dogs")]
    file = hyps(tmp_path / "ami_cleaned_test.jsonl", texts, record)
    written = write_submission([file], tmp_path / "out", MODEL, date=DAY)
    path = tmp_path / "out/results" / f"{BOARD}ami_cleaned_test.jsonl"
    assert written.files[0] == path
    # 9 s of audio took 0.5 s; the utterance without reference is left out with its share.
    assert lines(path) == [
        {"audio_filepath": "u0", "duration": 2.0, "time": pytest.approx(2 / 18)}
        | {"text": "Mr. Smith's e-mail.", "pred_text": "mister smiths email"},
        {"audio_filepath": "u2", "duration": 4.0, "time": pytest.approx(4 / 18)}
        | {"text": "Twenty dogs", "pred_text": "20 dogs"},
    ]
    assert written.result.sets[0].score.errors == score_file(file, AUGUST).errors
    assert written.result.rtfx == pytest.approx(18.0)
    assert "'time' is the run's 0.5 s (features to text) shared out by duration" in written.notes[0]
    assert "the average is of 1 of 7 sets" in written.notes[1]
    card = (tmp_path / "out/README-snippet.md").read_text(encoding="utf-8")
    assert "| ami_cleaned_test | " in card
    assert "open_asr_leaderboard d1e99b2" in card
    assert "average" not in card
    yaml = (tmp_path / "out/.eval_results/open_asr_leaderboard.yaml").read_text(encoding="utf-8")
    wer = f"{written.result.wer:.2f}"
    assert yaml.startswith("- dataset:\n    id: hf-audio/open-asr-leaderboard\n    task_id: ami_wer\n")
    assert f"  value: {wer}\n  date: '2026-09-01'\n" in yaml
    assert "mean_wer" not in yaml


def test_all_sets_from_one_file_by_their_fields_give_the_average(tmp_path: Path) -> None:
    rows = []
    for n, kind in enumerate(known_sets(AUGUST)):
        fields: dict[str, Any] = {"dataset": kind.name, "split": kind.split, "regime": AUGUST, "time": 0.1}
        fields |= {"parent_id": "call", "chunk_index": 0} if "chunked" in kind.name else {}
        text = "a dog ran" if n else "a dog"
        rows.append(HypothesisRow(id=kind.key, reference="a dog ran", text=text, duration=2.0, fields=fields))
    write_run(tmp_path / "all.jsonl", rows)
    written = write_submission([tmp_path / "all.jsonl"], tmp_path / "out", MODEL)
    assert not written.notes
    assert len(written.result.sets) == 7
    assert written.result.wer == pytest.approx(33.33 / 7)
    assert written.result.rtfx == pytest.approx(20.0)
    names = {path.name for path in written.files}
    assert "MODEL_our-lab-small-model_DATASET_ArtificialAnalysis-Earnings22-Cleaned-AA-chunked__test.jsonl" in names
    yaml = (tmp_path / "out/.eval_results/open_asr_leaderboard.yaml").read_text(encoding="utf-8")
    tasks = [line.split()[1] for line in yaml.splitlines() if "task_id" in line]
    assert tasks == [
        *("mean_wer", "ami_wer", "gigaspeech_wer", "voxpopuli_wer", "librispeech_clean_wer", "librispeech_other_wer"),
        *("spgispeech_wer", "earnings22_wer"),
    ]
    assert "value: 4.76" in yaml
    assert "| **average** | **4.76** |" in (tmp_path / "out/README-snippet.md").read_text(encoding="utf-8")


def test_the_march_form_is_normalised_and_sets_can_come_one_by_one(tmp_path: Path) -> None:
    for name in ("ami_test", "tedlium_test"):
        file = hyps(tmp_path / f"{name}.jsonl", [("Twenty dogs!", "It's 20 dogs")])
        written = write_submission([file], tmp_path / "out", MODEL, MARCH)
    assert lines(written.files[0])[0]["text"] == "20 dogs"
    assert lines(written.files[0])[0]["pred_text"] == "it is 20 dogs"
    assert lines(written.files[0])[0]["time"] is None
    assert "so 'time' is null" in written.notes[0]
    assert len(written.result.sets) == 2
    assert BoardSet("librispeech", "test.other").task == "librispeech_other_wer"


def test_what_was_not_recognised_is_submitted_as_empty(tmp_path: Path) -> None:
    lost = (Skipped(id="lost", reason="damaged", reference="one two three"),)
    record = RunRecord(system="s", wall_seconds=0.5, audio_seconds=2.0, skipped=lost)
    file = hyps(tmp_path / "spgispeech_test.jsonl", [("a dog", "a dog")], record)
    written = write_submission([file], tmp_path / "out", MODEL)
    assert lines(written.files[0])[1]["pred_text"] == ""
    assert written.result.sets[0].score.errors == score_file(file, AUGUST).errors
    assert written.result.rtfx == pytest.approx(4.0)
    assert "RTFx 4.0, pooled over the sets." in (tmp_path / "out/README-snippet.md").read_text(encoding="utf-8")
    assert "1 lines without text and time do not count in the RTFx." in written.result.notes[0]


def test_what_was_skipped_goes_to_its_own_set_and_a_lost_recording_counts(tmp_path: Path) -> None:
    rows, lost = [], []
    for kind in known_sets(AUGUST):
        of: dict[str, Any] = {"dataset": kind.name, "split": kind.split, "regime": AUGUST, "time": 0.1}
        calls = ("first", "second", "second") if "chunked" in kind.name else (None, None)
        for n, call in enumerate(calls):
            fields = of | ({"parent_id": call, "chunk_index": n // 2} if call else {})
            said: dict[str, Any] = {"id": f"{kind.key}-{n}", "reference": "a dog"}
            if n:
                lost.append(Skipped(**said, reason="damaged", parent_id=call, fields=fields))
            else:
                rows.append(HypothesisRow(**said, text="a dog", duration=2.0, fields=fields))
    write_run(tmp_path / "all.jsonl", rows, RunRecord(system="s", skipped=tuple(lost)))
    written = write_submission([tmp_path / "all.jsonl"], tmp_path / "out", MODEL)
    assert [each.wer for each in written.result.sets] == [50.0] * 7
    assert written.result.rtfx == pytest.approx(20.0)
    calls = lines(next(path for path in written.files if "chunked" in path.name))
    assert [(each["parent_id"], each["chunk_index"], each["pred_text"]) for each in calls] == [
        ("first", 0, "a dog"),
        ("second", 0, ""),
    ]
    strange = dataclasses.replace(lost[0], fields={"dataset": "tedlium", "split": "test"})
    write_run(tmp_path / "strange.jsonl", rows[:1], RunRecord(system="s", skipped=(strange,)))
    with pytest.raises(ScoringError, match=r"strange\.jsonl: there is no set tedlium_test"):
        write_submission([tmp_path / "strange.jsonl"], tmp_path / "out", MODEL)
    before = tuple(dataclasses.replace(entry, fields={}, parent_id=None) for entry in lost[:1])
    write_run(tmp_path / "old.jsonl", rows[:2], RunRecord(system="s", skipped=before))
    with pytest.raises(ScoringError, match="of which set 'ami_cleaned_test-1' is, which could not be recognised"):
        write_submission([tmp_path / "old.jsonl"], tmp_path / "out", MODEL)


def test_every_utterance_of_the_manifest_is_in_one_of_the_files(tmp_path: Path) -> None:
    lost = (Skipped(id="lost", reason="damaged"),)
    first = hyps(tmp_path / "spgispeech_test.jsonl", [("", "a dog")], RunRecord(system="s", skipped=lost))
    rows = [HypothesisRow(id="v", text="a cat", fields={"dataset": "ami_cleaned", "split": "test"})]
    write_run(tmp_path / "other.jsonl", rows)
    references, out = {"u0": "a dog", "lost": "one", "v": "a cat"}, tmp_path / "out"
    written = write_submission([first, tmp_path / "other.jsonl"], out, MODEL, references=references)
    assert [each.wer for each in written.result.sets] == [0, 33.33]
    for texts, message in (
        (references | {"w": "no"}, "utterance 'w' is in the manifest, but neither recognised nor listed as skipped"),
        ({"u0": "a dog", "v": "a cat"}, "utterance 'lost' is not in the manifest"),
    ):
        with pytest.raises(ScoringError, match=message):
            write_submission([first, tmp_path / "other.jsonl"], tmp_path / "no", MODEL, references=texts)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(("done", "normaliser"), [("plain", AUGUST), (AUGUST, AUGUST), ("plain", MARCH)])
def test_texts_that_were_normalised_before_are_no_submission(tmp_path: Path, done: str, normaliser: Any) -> None:
    record = RunRecord(system="s", normaliser=done)
    file = hyps(tmp_path / "voxpopuli_test.jsonl", [("a dog", "a dog")], record, dataset="ami", split="test")
    with pytest.raises(
        ScoringError, match=rf"voxpopuli_test\.jsonl: its texts are normalised under '{done}'; results of"
    ):
        write_submission([file], tmp_path / "out", MODEL, normaliser)
    for as_it_was in ("none", MARCH):
        hyps(file, [("a dog", "a dog")], RunRecord(system="s", normaliser=as_it_was), dataset="ami", split="test")
        assert write_submission([file], tmp_path / "out", MODEL, MARCH).result.wer == 0


def test_lines_keep_their_times_where_others_lack_one(tmp_path: Path) -> None:
    rows = [
        HypothesisRow(id=f"u{n}", reference="a", text="a", duration=2.0, fields={"time": 0.25} if n else {})
        for n in range(3)
    ]
    file = tmp_path / "ami_cleaned_test.jsonl"
    write_run(file, rows)
    written = write_submission([file], tmp_path / "out", MODEL)
    assert [line["time"] for line in lines(written.files[0])] == [None, 0.25, 0.25]
    assert written.notes[0] == "ami_cleaned_test.jsonl: 1 of 3 lines lack their time, so theirs is null."
    assert "no RTFx, since 1 of 3 lines lack their duration or time" in written.result.notes[0]
    write_run(file, rows, RunRecord(system="s", wall_seconds=9.0))
    written = write_submission([file], tmp_path / "out", MODEL)
    assert [line["time"] for line in lines(written.files[0])] == [3.0, 3.0, 3.0]
    assert "shared out by duration, since 1 of 3 lines lack their time, not the time of each" in written.notes[0]


def test_submissions_that_cannot_be(tmp_path: Path) -> None:
    file = hyps(tmp_path / "ami_cleaned_test.jsonl", [("a", "a")])
    out = tmp_path / "out"
    with pytest.raises(ScoringError, match="under open-asr-2026-03 or open-asr-2026-08; plain was given"):
        write_submission([file], out, MODEL, "plain")
    for model in ("model", "a/b/c", "/b"):
        with pytest.raises(ScoringError, match="must be ORGANISATION/NAME"):
            write_submission([file], out, model)
    other = hyps(tmp_path / "mine.jsonl", [("a", "a")])
    with pytest.raises(
        ScoringError, match=r"neither its name nor 'u0' says of which set it is; .* are ami_cleaned_test"
    ):
        write_submission([other], out, MODEL)
    with pytest.raises(ScoringError, match=r"mine\.jsonl: there is no set tedlium_test; the sets of open-asr-2026-08"):
        write_submission([hyps(other, [("a", "a")], dataset="tedlium", split="test")], out, MODEL)
    with pytest.raises(ScoringError, match="'u0' is of the sets of open-asr-2026-03, but open-asr-2026-08"):
        write_submission([hyps(other, [("a", "a")], regime=MARCH, dataset="ami", split="test")], out, MODEL)
    twice = hyps(tmp_path / "mine.jsonl", [("a", "a")], dataset="ami_cleaned", split="test")
    with pytest.raises(ScoringError, match="the set ami_cleaned_test is also in"):
        write_submission([file, twice], out, MODEL)
    with pytest.raises(ScoringError, match="every reference is empty"):
        write_submission([hyps(file, [("(noise)", "a")])], out, MODEL)
    with pytest.raises(ScoringError, match="'u0' is not in the manifest"):
        write_submission([file], out, MODEL, references={})
    write_run(other, [HypothesisRow(id="u0", text="a", fields={"dataset": "ami_cleaned", "split": "test"})])
    with pytest.raises(ScoringError, match="'u0' is without a reference"):
        write_submission([other], out, MODEL)
    assert not out.exists()
