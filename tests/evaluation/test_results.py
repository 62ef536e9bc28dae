import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duolect.errors import ScoringError
from duolect.evaluation import (
    HypothesisRow,
    Latency,
    RunRecord,
    Skipped,
    read_rows,
    read_run,
    run_record_path,
    score_file,
    write_run,
)
from duolect.evaluation.rows import line_of, row_of

FINITE = st.floats(allow_nan=False, allow_infinity=False)
ROWS = st.builds(
    HypothesisRow,
    id=st.text(min_size=1),
    text=st.text(),
    reference=st.none() | st.text(),
    score=st.none() | FINITE,
    terms=st.dictionaries(st.sampled_from(["ctc", "decoder", "lm"]), FINITE),
    flags=st.lists(st.sampled_from(["truncated", "empty"])).map(tuple),
    duration=st.none() | FINITE,
    run=st.none() | st.just("0123456789abcdef"),
    fields=st.dictionaries(st.sampled_from(["speaker", "accent", "age"]), st.text() | st.integers()),
)
ROW = HypothesisRow(id="a-1", text="for boats", reference="four boats", score=-3.5, terms={"ctc": -3.0}, duration=1.25)
RECORD = RunRecord(system="runs/joint", config_hash="abc", search={"beam": 8, "weights": {"ctc": 0.3}}, seed=1, beam=8)


@given(ROWS)
def test_a_row_survives_its_line(row: HypothesisRow) -> None:
    line = line_of(row, None)
    assert "\n" not in line
    assert row_of(line, "x:1") == row


def test_rows_and_record_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "hyps.jsonl"
    record = replace(RECORD, skipped=(Skipped(id="bad", reason="truncated", reference="a b"),), wall_seconds=2.0)
    write_run(path, [ROW, replace(ROW, id="a-2", fields={"accent": "Ulster"})], record)
    rows, back = read_run(path)
    assert back == record
    assert [row.id for row in rows] == ["a-1", "a-2"]
    assert {row.run for row in rows} == {record.hash}
    assert rows[1].fields == {"accent": "Ulster"}
    assert sorted(p.name for p in path.parent.iterdir()) == ["hyps.jsonl", "hyps.run.json"]


def test_fields_of_what_was_skipped_come_back_and_may_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    lost = Skipped(id="bad", reason="too long", reference="a", fields={"speaker": "s1", "snr": 3.5, "of": ["x"]})
    write_run(path, [ROW], replace(RECORD, skipped=(lost,)))
    assert read_run(path)[1] == replace(RECORD, skipped=(lost,))
    sidecar = json.loads(run_record_path(path).read_text())
    del sidecar["skipped"][0]["fields"]
    run_record_path(path).write_text(json.dumps(sidecar))
    assert read_run(path)[1] == replace(RECORD, skipped=(replace(lost, fields={}),))


def test_the_hash_is_of_what_determines_the_text() -> None:
    assert replace(RECORD, wall_seconds=9.0, date="today", host_memory=5, command="x").hash == RECORD.hash
    assert replace(RECORD, beam=9).hash != RECORD.hash
    assert replace(RECORD, search={"beam": 8, "weights": {"ctc": 0.4}}).hash != RECORD.hash


def test_what_a_run_cost_is_kept_and_determines_nothing(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    costly = replace(
        RECORD,
        audio_seconds=60.0,
        wall_seconds_with_files=3.5,
        stages={"reading": 0.5, "encoder.acoustic": 2.0, "search/ctc": 1.0},
        flops={"encoder.acoustic": 2.5e9},
        latency=Latency.of([0.2, 0.1], [2.0, 3.0]),
        parameters={"acoustic": 101_000},
    )
    assert costly.hash == RECORD.hash
    write_run(path, [ROW], costly)
    assert read_run(path)[1] == costly
    assert costly.timing_with_files is not None
    assert costly.timing_with_files.rtfx == pytest.approx(60 / 3.5)


def test_records_of_before_there_were_costs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    write_run(path, [ROW], replace(RECORD, audio_seconds=9.0, statistics={"wall_seconds_with_files": 3.0}))
    sidecar = json.loads(run_record_path(path).read_text())
    for key in ("wall_seconds_with_files", "stages", "flops", "latency", "parameters"):
        del sidecar[key]
    run_record_path(path).write_text(json.dumps(sidecar))
    record = read_run(path)[1]
    assert record is not None
    assert record.timing_with_files is not None
    assert record.timing_with_files.rtfx == 3.0
    assert (record.stages, record.flops, record.latency) == ({}, {}, None)
    assert replace(record, statistics={}).timing_with_files is None


def test_rows_of_another_run_than_the_record_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    write_run(path, [ROW], RECORD)
    write_run(path, [replace(ROW, run="feedfeedfeedfeed")])
    with pytest.raises(ScoringError, match=r"'a-1' is of run feedfeed.*hyps\.run\.json"):
        read_run(path)


def test_names_with_points_have_records_of_their_own(tmp_path: Path) -> None:
    names = {"test.clean": "test.clean.run.json", "test.other": "test.other.run.json", "x.y.jsonl": "x.y.run.json"}
    names |= {"bare": "bare.run.json", "nemo.JSON": "nemo.run.json"}
    for seed, (name, sidecar) in enumerate(names.items()):
        write_run(tmp_path / name, [ROW], replace(RECORD, seed=seed))
        assert run_record_path(tmp_path / name) == tmp_path / sidecar
    assert [read_run(tmp_path / name)[1] for name in names] == [replace(RECORD, seed=n) for n in range(len(names))]


def test_records_of_before_are_found_under_their_old_names(tmp_path: Path) -> None:
    path, before = tmp_path / "test.clean", tmp_path / "test.run.json"
    write_run(path, [ROW], RECORD)
    run_record_path(path).rename(before)
    assert read_run(path)[1] == RECORD
    write_run(tmp_path / "test.jsonl", [ROW], replace(RECORD, seed=9))
    with pytest.raises(ScoringError, match=r"test\.clean: .*'a-1' is of run .*test\.run\.json is of"):
        read_run(path)
    (tmp_path / "test.theirs").write_text('{"id": "1", "text": "hello"}')
    assert read_run(tmp_path / "test.theirs")[1] is None  # the record is not known to be of this file
    write_run(path, [ROW], RECORD)
    assert read_run(path)[1] == RECORD


def test_integer_ids_are_those_of_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"id": 7, "audio_filepath": "a.wav", "duration": 1, "text": "four boats"}\n')
    (tmp_path / "hyps.jsonl").write_text('{"id": 7, "text": "for boats"}\n')
    assert score_file(tmp_path / "hyps.jsonl", manifest=tmp_path / "m.jsonl").ids == ("7",)
    (tmp_path / "nemo.jsonl").write_text(json.dumps(NEMO | {"id": 7}))
    assert score_file(tmp_path / "nemo.jsonl", manifest=tmp_path / "m.jsonl").wer == 0.5


def test_a_file_without_a_record_is_read(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    path.write_text('{"id": "1", "text": "hello"}\n\n{"id": "2", "text": ""}\n')
    rows, record = read_run(path)
    assert [row.text for row in rows] == ["hello", ""]
    assert record is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "1", "text": ', "not valid JSON"),
        ("[1, 2]", "expected an object"),
        ('{"text": "hello"}', "'id' must be a string; it is missing"),
        ('{"id": 7.0, "text": "hello"}', "'id' must be a string; it is 7.0"),
        ('{"id": true, "text": "hello"}', "'id' must be a string; it is True"),
        ('{"id": 0, "text": "hello"}', "the id '0' is already on line 1"),
        ('{"id": "1", "text": null}', "'text' must be a string"),
        ('{"id": "1", "text": "", "reference": 3}', "'reference' must be a string"),
        ('{"id": "1", "text": "", "score": NaN}', "NaN is not a JSON number"),
        ('{"id": "1", "text": "", "score": true}', "'score' must be a finite number"),
        ('{"id": "1", "text": "", "score": 1e999}', "'score' must be a finite number"),
        (f'{{"id": "1", "text": "", "score": {10**400}}}', "'score' must be a finite number; it is 1000"),
        (f'{{"id": "1", "text": "", "duration": -{10**400}}}', "'duration' must be a finite number"),
        ('{"id": "1", "text": "", "terms": {"ctc": "x"}}', "the term 'ctc' must be a finite number"),
        ('{"id": "1", "text": "", "terms": [1]}', "'terms' must be an object"),
        ('{"id": "1", "text": "", "flags": "truncated"}', "'flags' must be a list of strings"),
        ('{"id": "0", "text": ""}', "the id '0' is already on line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "hyps.jsonl"
    path.write_text('{"id": "0", "text": "fine"}\n' + line + "\n")
    with pytest.raises(ScoringError) as caught:
        list(read_rows(path))
    assert str(caught.value).startswith(f"{path}:2: ")
    assert message in str(caught.value)


def test_missing_empty_and_binary_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match=r"none\.jsonl: the hypothesis file cannot be read"):
        list(read_rows(tmp_path / "none.jsonl"))
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(ScoringError, match="there is no hypothesis in this file"):
        list(read_rows(empty))
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScoringError, match="not UTF-8"):
        list(read_rows(binary))


def test_what_is_not_utf8_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    lines = [f'{{"id": "{n}", "text": "fine"}}\n'.encode() for n in range(6)]
    lines[4] = '\n{"id": "4", "text": "für"}\n'.encode("latin-1")
    path.write_bytes(b"".join(lines))
    with pytest.raises(ScoringError, match=r"hyps\.jsonl:6: not UTF-8 text \(byte 23\)\.$"):
        list(read_rows(path))


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"id": "0", "text": "fine"}\r\n{"id": "1", "text": ""}\r\n')
    assert [(row.id, row.text) for row in read_rows(path)] == [("0", "fine"), ("1", "")]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    write_run(path, [ROW], RECORD)
    sidecar = run_record_path(path)
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"beams": 3}))
    with pytest.raises(ScoringError, match="unknown field 'beams'; did you mean 'beam'"):
        read_run(path)


def test_a_score_that_is_no_number_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match="'a-1'"):
        write_run(tmp_path / "hyps.jsonl", [replace(ROW, score=float("nan"))])
    assert not list(tmp_path.iterdir())


NEMO = {"audio_filepath": "/x/a.wav", "duration": 1.5, "text": "four boats", "pred_text": "for boats", "lang": "en"}


def test_nemos_lines_have_the_hypothesis_in_pred_text(tmp_path: Path) -> None:
    path = tmp_path / "nemo.json"
    lines = [
        NEMO | {"id": "own"},
        NEMO,
        NEMO | {"audio_filepath": "b.flac", "pred_text": None},
        NEMO | {"id": "given", "reference": "4 boats", "run": 2, "score": "good"},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    rows, record = read_run(path)
    assert record is None
    assert [(row.id, row.text, row.reference) for row in rows] == [
        ("own", "for boats", "four boats"),
        ("a-2", "for boats", "four boats"),  # the id that the manifest's reader gives this line
        ("b-3", "", "four boats"),
        ("given", "for boats", "4 boats"),
    ]
    assert rows[0].duration == 1.5
    assert rows[0].fields == {"audio_filepath": "/x/a.wav", "lang": "en"}
    assert rows[3].run is None
    assert rows[3].fields == rows[0].fields | {"source_run": 2, "source_score": "good"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([NEMO, {"id": "b", "text": "x"}], ":2: has no 'pred_text' as line 1; all lines must have it"),
        ([{"id": "b", "text": "x"}, NEMO], ":2: has 'pred_text', but line 1 has not; all lines must have it"),
        ([NEMO | {"pred_text": 3}], ":1: 'pred_text' must be a string; it is 3."),
        ([NEMO | {"text": 3}], ":1: 'text' must be a string; it is 3."),
        ([{"pred_text": "x"}], ":1: 'id' must be a string; it is missing."),
    ],
)
def test_a_bad_line_of_nemos_is_named(tmp_path: Path, lines: list[dict[str, object]], message: str) -> None:
    path = tmp_path / "nemo.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ScoringError) as caught:
        list(read_rows(path))
    assert message in str(caught.value)


def test_pred_text_of_a_manifest_is_a_field_of_our_own_lines(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    line = {"id": "a", "reference": "four", "text": "for", "run": RECORD.hash, "pred_text": "fore"}
    path.write_text(json.dumps(line))
    row = next(read_rows(path))
    assert (row.text, row.reference, row.fields) == ("for", "four", {"pred_text": "fore"})


def test_fields_named_like_what_a_line_has_are_kept_under_other_names(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    said = {"run": "night", "score": "B", "reference": 7, "flags": "no", "terms": None, "pred_text": "fore", "room": 1}
    kept = {f"source_{key}": value for key, value in said.items() if key != "room"} | {"room": 1}
    lost = Skipped(id="lost", reason="r", fields=said)
    both = replace(ROW, id="a-2", fields={"run": "day", "source_run": "x"})
    write_run(path, [replace(ROW, fields=said), both], replace(RECORD, skipped=(lost,)))
    rows, record = read_run(path)
    assert record is not None
    assert (rows[0].fields, record.skipped[0].fields) == (kept, kept)
    assert rows[1].fields == {"source_run": "x", "source_source_run": "day"}
    assert replace(rows[0], fields={}, run=None) == ROW
    write_run(path, rows, record)  # once more: nothing is renamed again
    assert read_run(path) == (rows, record)
    write_run(path, [replace(ROW, fields=said)])  # without a run, it is no line of NeMo's
    assert [(row.text, row.fields) for row in read_rows(path)] == [(ROW.text, kept)]
