"""From trained runs to results: combine, tune, recognize, score, transcribe; and the demo."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from command_line import Call

from duolect.data import load_manifest
from duolect.data.synthetic import Corpus
from duolect.evaluation import read_run, score_file
from duolect.search import combine
from duolect.systems import System


def test_combine_names_the_method_and_what_it_can_run(runs: Path, tmp_path: Path, call: Call) -> None:
    result = call("combine", "--acoustic", runs / "am", "--language", runs / "lm", "--out", tmp_path / "system")
    assert result.status == 0
    assert "method ctc+lm-rescoring; able to run ctc-greedy, ctc-beam, attention," in result.out
    assert System.load(tmp_path / "system").method == "ctc+lm-rescoring"


def test_tune_keeps_scales_and_the_systems_own_method(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "tuned"
    result = call("tune", system, corpus.dev, "--method", "ctc+lm-labelwise", "--nbest", 4, "--out", out)
    assert result.status == 0, result.err
    assert "ctc+lm-labelwise: ctc 1" in result.out
    assert "% before" in result.out
    tuned = System.load(out)
    assert tuned.method == "attention+ctc"
    assert tuned.tuned["ctc+lm-labelwise"].set_name == str(corpus.dev)
    assert not System.load(system).tuned
    assert call("tune", out, corpus.dev, "--nbest", 2).status == 0
    assert set(System.load(out).tuned) == {"ctc+lm-labelwise", "attention+ctc"}
    other = ("tune", system, corpus.dev, "--method", "ctc+lm-rescoring", "--nbest", 2, "--rounds", 1, "--out", out)
    lost = f"{out}: holds the scales tuned for ctc+lm-labelwise, attention+ctc, which would be lost;"
    assert call(*other).sentence().startswith(lost)
    on_dev = call("recognize", out, corpus.dev, "--out", tmp_path / "dev.jsonl")
    assert "tuned on this very set" in on_dev.err
    assert "no scales to tune" in call("tune", out, corpus.dev, "--method", "ctc-greedy").sentence()
    lists, again = tmp_path / "lists.jsonl", tmp_path / "again"
    rescoring = ("tune", system, corpus.dev, "--method", "ctc+lm-rescoring", "--out", again)
    assert "WER of the search" in call(*rescoring, "--nbest", 4, "--rounds", 1, "--write-lists", lists).out
    assert "WER of the lists" in call(*rescoring, "--lists", lists).out
    assert "--rounds: does not go with --lists" in call(*rescoring, "--lists", lists, "--rounds", 1).sentence()
    untuned = ("recognize", system, corpus.dev, "--method", "ctc+lm-rescoring", "--nbest", 4, "--out", lists)
    assert call(*untuned).status == 0
    bare = call(*rescoring, "--lists", lists)
    assert bare.status == 0, bare.err
    assert f"No list of {lists} has the term 'prior': it has no scale" in bare.err
    assert System.load(again).tuned["ctc+lm-rescoring"].rounds == ()


def test_tuning_another_method_leaves_the_systems_own_search_alone(
    system: Path, corpus: Corpus, tmp_path: Path, call: Call
) -> None:
    own, out = tmp_path / "own", tmp_path / "tuned"
    given = ("--search.beam", 3, "--search.nbest", 2, "--search.no-repeat-ngram", 5)
    assert (
        call(
            "combine", "--acoustic", system, "--language", system, "--method", "attention+ctc", *given, "--out", own
        ).status
        == 0
    )
    asked = ("tune", own, corpus.dev, "--method", "ctc+lm-labelwise", "--nbest", 2, "--rounds", 1, "--out", out)
    assert call(*asked).status == 0
    kept = System.load(out)
    assert (kept.method, kept.search) == ("attention+ctc", System.load(own).search)
    assert "ctc+lm-labelwise" in kept.tuned


def test_any_setting_of_the_search_can_be_given(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "hyps.jsonl"
    given = ("--search.beam", 5, "--search.nbest=2", "--search.inside.lm", 0.25, "--search.merge", "max")
    found = call("recognize", system, corpus.test, "--method", "ctc+lm-labelwise", *given, "--out", out)
    assert found.status == 0, found.err
    record = read_run(out)[1]
    assert record is not None
    assert (record.search["beam"], record.search["nbest"], record.search["merge"]) == (5, 2, "max")
    assert record.search["inside"]["lm"] == 0.25
    assert record.method == "ctc+lm-labelwise"

    tuned = tmp_path / "tuned"
    call("tune", system, corpus.dev, "--method", "ctc+lm-labelwise", "--nbest", 4, *given, "--out", tuned)
    kept = System.load(tuned).tuned["ctc+lm-labelwise"]
    assert (kept.search.beam, kept.search.merge) == (5, "max")
    assert kept.rounds[0].scales.lm == 0.25
    call(
        "combine", "--acoustic", system, "--method", "ctc-beam", "--search.labels-per-frame", 3, "--out", tmp_path / "c"
    )
    assert System.load(tmp_path / "c").search.labels_per_frame == 3

    assert call("recognize", system, corpus.test, "--search.beam", 2, "--out", out).status == 0
    narrow = read_run(out)[1]
    assert narrow is not None
    assert (narrow.search["beam"], narrow.search["nbest"]) == (2, 2)

    def complaint(*settings: object) -> str:
        return call("recognize", system, corpus.test, "--out", out, *settings).sentence()

    assert complaint("--search.beem", 5).endswith("--search.beem: a search has no field 'beem'; did you mean 'beam'?")
    assert "nbest is 8" in complaint("--search.beam", 2, "--search.nbest", 8)
    assert "a value is missing" in complaint("--search.beam")


def test_recognize_and_score(system: Path, runs: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    greedy, beam = tmp_path / "greedy.jsonl", tmp_path / "beam.jsonl"
    first = call("recognize", runs / "am", corpus.test, "--method", "ctc-greedy", "--out", greedy)
    assert first.status == 0, first.err
    score = score_file(greedy)
    assert f"8 utterances; WER {100 * score.wer:.2f} %" in first.out
    assert "RTFx" in first.out
    options = ("--method", "ctc-beam", "--beam", 6, "--nbest", 3, "--batch-seconds", 9, "--warm-up")
    assert call("recognize", system, corpus.test, *options, "--out", beam).status == 0
    rows, record = read_run(beam)
    assert record is not None
    assert (record.beam, record.method, record.batch) == (6, "ctc-beam", "9 s of padded audio")
    assert record.command is not None
    assert record.command.startswith("duolect recognize ")
    assert all(1 <= len(row.fields["nbest"]) <= 3 for row in rows)

    table = call("score", greedy, beam, "--manifest", corpus.test).out
    assert f"{100 * score.wer:.2f}" in table
    assert "baseline" in table
    by = call("score", greedy, beam, "--by", "seen_template", "--markdown").out
    assert "### seen_template: True" in by
    assert by.count("| greedy |") == 1 + len({row.fields["seen_template"] for row in rows})
    assert by.count("RTFx |") == 1  # of a part no speed is known
    blocks = call("score", greedy, beam, "--blocks", "speaker", "--markdown")
    speakers = {utterance.speaker for utterance in load_manifest(corpus.test)}
    assert f"{len(speakers)} blocks of utterances (by speaker, too few" in blocks.out
    assert "in blocks by speaker" in blocks.out
    assert "--blocks: no utterance has a field 'session'" in call("score", greedy, "--blocks", "session").sentence()
    assert "has a field 'corpus'; known are" in call("score", greedy, "--by", "corpus").sentence()
    assert "in the manifest" in call("score", greedy, "--manifest", corpus.dev).sentence()


def test_an_nbest_file_says_how_its_scores_came_about(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "lists.jsonl"
    result = call("recognize", system, corpus.test, "--method", "ctc+lm-labelwise", "--nbest", 5, "--out", out)
    assert result.status == 0, result.err
    rows, record = read_run(out)
    assert record is not None
    for row in rows:
        scales, exponent = row.fields["scales"], row.fields["length_exponent"]
        assert scales == {term: scale for term, scale in record.search["inside"].items() if scale}
        assert (row.text, row.score) == (row.fields["nbest"][0]["text"], row.fields["nbest"][0]["score"])
        for entry in row.fields["nbest"]:
            assert set(entry) == {"text", "score", "terms", "labels", "flags"}
            assert entry["terms"].keys() == scales.keys()
            score = combine(entry["terms"], scales) / (entry["labels"] + 1) ** exponent
            assert entry["score"] == pytest.approx(score, abs=1e-4, rel=1e-6)


def test_recognize_and_score_give_the_same_interval(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    lines = [json.loads(line) for line in corpus.train.read_text().splitlines()]
    for number, line in enumerate(lines):
        line |= {"audio_filepath": str(corpus.train.parent / line["audio_filepath"]), "session": f"s{number // 2}"}
    manifest, out = tmp_path / "sessions.jsonl", tmp_path / "hyps.jsonl"
    manifest.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    result = call("recognize", system, manifest, "--method", "attention+ctc", "--out", out)
    score = score_file(out)
    assert (score.blocks, score.units) == ("session", 12)
    assert score.interval is not None
    bounds = f"[{100 * score.interval.low:.2f}, {100 * score.interval.high:.2f}] by session"
    assert f"WER {100 * score.wer:.2f} % {bounds} (" in result.out


def test_explain_prints_how_each_term_voted(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    out, ids = tmp_path / "hyps.jsonl", [u.id for u in load_manifest(corpus.test)]
    given = ("recognize", system, corpus.test, "--method", "attention+ctc", "--out", out)
    result = call(*given, "--explain", ids[2], ids[0])
    assert result.status == 0, result.err
    assert result.out.index(f"{ids[2]}: how each term voted") < result.out.index(f"{ids[0]}: how each term voted")
    for word in ("1 winner", "2 runner-up", "ctc", "decoder", "(end)", "total", "1 − 2", "8 utterances; WER"):
        assert word in result.out
    row = next(row for row in read_run(out)[0] if row.id == ids[0])
    total = [line.split() for line in result.out.splitlines() if " total " in line][-2]
    assert float(total[-1].replace("−", "-")) == pytest.approx(row.score, abs=0.011)
    assert "2 reference" in call(*given, "--explain", ids[0], "--rival", "reference").out
    assert "has no utterance 'nobody'" in call(*given, "--explain", "nobody").sentence()
    lines = [json.loads(line) for line in corpus.test.read_text().splitlines()]
    for line in lines:
        line["audio_filepath"] = str(corpus.test.parent / line["audio_filepath"])
    lines[0]["text"] = "Ω"
    manifest = tmp_path / "odd.jsonl"
    manifest.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    given = ("recognize", system, manifest, "--method", "attention+ctc", "--out", out, "--rival", "reference")
    result = call(*given, "--explain", ids[0], ids[2])
    assert result.status == 1
    assert f"--explain {ids[0]}: The character 'ω' in" in result.err
    assert result.out.index("8 utterances; WER") < result.out.index(f"{ids[2]}: how each term voted")


def test_a_greedy_method_has_no_beam(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    given = ("--method", "ctc-greedy", "--beam", 4, "--out", tmp_path / "h.jsonl")
    assert "greedy" in call("recognize", system, corpus.test, *given).sentence()
    given = ("--method", "ctc-beam", "--beam", 2, "--nbest", 4, "--out", tmp_path / "h.jsonl")
    assert "nbest is 4, but a beam of 2" in call("recognize", system, corpus.test, *given).sentence()


def test_score_without_the_sidecar(system: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    rows = [{"id": "a", "reference": "one two", "text": "one too"}, {"id": "b", "reference": "three", "text": "three"}]
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hyps.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = call("score", tmp_path / "x" / "hyps.jsonl", tmp_path / "y" / "hyps.jsonl")
    assert result.status == 0
    assert "33.33" in result.out
    assert "RTFx" not in result.out


def test_combine_replaces_what_would_be_lost_only_where_that_is_asked_for(
    runs: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "system"
    both = ("combine", "--acoustic", runs / "am", "--language", runs / "lm", "--out", out)
    assert call(*both).status == 0
    alone = ("combine", "--acoustic", runs / "am", "--out", out)
    assert call(*alone).sentence() == (
        f"{out}: holds the language model, which would be lost; choose another folder, or replace it (--overwrite)."
    )
    assert (out / "language").is_dir()
    assert call(*both, "--method", "ctc-greedy").status == 0  # the same models
    assert call(*alone, "--overwrite").status == 0
    assert not (out / "language").exists()
    assert call(*both).status == 0


def test_transcribe(runs: Path, corpus: Corpus, tmp_path: Path, call: Call) -> None:
    files = sorted((corpus.folder / "audio" / "test").iterdir())[:2]
    alone = call("transcribe", files[0], "--system", runs / "sllm", "--method", "ctc-greedy")
    assert alone.status == 0
    several = call("transcribe", *files, tmp_path / "no.wav", "--system", runs / "sllm", "--method", "ctc-greedy")
    assert several.status == 1
    assert several.out.splitlines()[0] == f"{files[0]}: {alone.out}".rstrip("\n")
    assert len(several.out.splitlines()) == 2
    assert f"{tmp_path / 'no.wav'}: there is no such audio file." in several.err
    given = call("transcribe", files[0], tmp_path / "no.wav", "--system", runs / "am", "--json")
    good, bad = map(json.loads, given.out.splitlines())
    assert set(good) == {"file", "text", "score", "terms", "flags", "duration", "segments"}
    assert set(bad) == {"file", "error"}
    assert "no audio file is given" in call("transcribe", "--system", runs / "am").sentence()


@pytest.mark.slow
def test_the_demo_goes_from_sound_to_report(corpus: Corpus, tmp_path: Path, call: Call) -> None:
    shutil.copytree(corpus.folder, tmp_path / "demo" / "corpus")
    given = ("demo", "--size", "tiny", "--steps", 1, 1, 1, "--out", tmp_path / "demo")
    result = call(*given)
    assert result.status == 0, result.err
    report = (tmp_path / "demo" / "report.html").read_text()
    for method in ("ctc-greedy", "ctc+lm-labelwise", "speech-llm+ctc"):
        assert method in result.out
        assert method in report


def test_measuring_prints_where_the_time_went_and_changes_no_hypothesis(
    system: Path, corpus: Corpus, tmp_path: Path, call: Call
) -> None:
    plain, measured = tmp_path / "plain.jsonl", tmp_path / "measured.jsonl"
    call("recognize", system, corpus.dev, "--out", plain)
    found = call("recognize", system, corpus.dev, "--measure", "--latency-utterances", 2, "--out", measured)
    assert found.status == 0, found.err
    assert "Where the time went" in found.out
    assert "Latency of 2 utterances, one at a time" in found.out
    (rows, record), (others, _) = read_run(measured), read_run(plain)
    assert record is not None
    assert record.flops
    assert [(row.text, row.score) for row in rows] == [(row.text, row.score) for row in others]
    assert "What recognition cost" in call("score", plain, measured).out
    assert "What recognition cost" not in call("score", plain).out
    again = ("recognize", system, corpus.dev, "--out", plain, "--latency-utterances")
    assert "at least 1, not 0" in call(*again, 0, "--measure").sentence()
    assert "belongs to --measure" in call(*again, 3).sentence()
    assert "--rival: belongs to --explain" in call(*again[:-1], "--rival", "reference").sentence()
