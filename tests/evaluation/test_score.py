import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from duolect.errors import ScoringError
from duolect.evaluation import (
    Blocks,
    HypothesisRow,
    RunRecord,
    Skipped,
    WordErrors,
    compare_scores,
    score_file,
    score_run,
    write_run,
)
from duolect.evaluation.intervals import interval_of_counts, paired_of_counts


def row(key: str, reference: str | None, text: str) -> HypothesisRow:
    return HypothesisRow(id=key, reference=reference, text=text)


ROWS = [row("b", "four boats", "for boats"), row("a", "set sail now", "set sail now"), row("c", "", "thank you")]


def test_a_score_says_how_it_was_made() -> None:
    score = score_run(ROWS, "none", replicas=200, seed=3)
    assert score.errors == WordErrors(substitutions=1, deletions=0, insertions=0, words=5)
    assert score.wer == 0.2
    assert (score.utterances, score.empty_references, score.empty_reference_words) == (2, 1, 2)
    assert (score.normaliser, score.seed, score.replicas) == ("none", 3, 200)
    assert "kaldialign" in score.aligner
    assert score.ids == ("a", "b")
    assert np.array_equal(score.counts_N4, [[0, 0, 0, 3], [1, 0, 0, 2]])
    json.dumps(score.summary(), allow_nan=False)


def test_the_order_of_the_rows_does_not_matter() -> None:
    assert score_run(ROWS, "none") == score_run(ROWS[::-1], "none")


def test_plain_takes_case_and_punctuation_away_from_both_sides() -> None:
    rows = [row("a", "Set sail, now!", "set  SAIL now"), row("b", "Don't.", "don't")]
    assert score_run(rows, "plain").wer == 0
    assert score_run(rows, "none").wer > 0


def test_skipped_utterances_count_as_deleted_unless_asked_otherwise() -> None:
    lost = [Skipped(id="d", reason="truncated file", reference="one two three")]
    counted = score_run(ROWS, "none", skipped=lost)
    assert counted.errors == WordErrors(substitutions=1, deletions=3, insertions=0, words=8)
    assert (counted.utterances, counted.skipped, counted.skipped_as_deletions) == (3, 1, True)
    left_out = score_run(ROWS, "none", skipped=lost, skipped_as_deletions=False)
    assert left_out.wer == 0.2
    assert (left_out.utterances, left_out.skipped, left_out.skipped_as_deletions) == (2, 1, False)


def test_references_of_a_manifest_take_the_place_of_the_rows_own() -> None:
    references = {"a": "set sail now", "b": "for boats", "c": "thank you", "d": "one two"}
    score = score_run(ROWS, "none", references=references, skipped=[Skipped(id="d", reason="silent")])
    assert score.errors == WordErrors(substitutions=0, deletions=2, insertions=0, words=9)


@pytest.mark.parametrize(
    ("rows", "references", "skipped", "message"),
    [
        ([*ROWS, ROWS[0]], None, [], "utterance 'b' is in the hypotheses more than once"),
        ([*ROWS, row("d", None, "x")], None, [], "utterance 'd' is without a reference"),
        (ROWS, None, ["e"], "utterance 'e' is without a reference"),
        (ROWS, {"a": "x", "b": "y"}, [], "utterance 'c' is not in the manifest"),
        (ROWS, dict.fromkeys("abcd", "x"), [], "utterance 'd' is in the manifest, but neither"),
        (ROWS, dict.fromkeys("abcdefghij", "x"), [], r"7 utterances \('d', 'e', 'f', 'g', 'h' and 2 more\) are in the"),
        (ROWS, None, ["a"], "utterance 'a' is both recognised and listed as skipped"),
        (ROWS, None, ["z", "z"], "'z' is in the list of skipped utterances more than once"),
        (ROWS[2:], None, [], "nothing to score: 1 utterances, 1 of them with an empty reference"),
        ([], None, [], "nothing to score: 0 utterances"),
    ],
)
def test_what_does_not_belong_together_is_named(
    rows: list[HypothesisRow], references: dict[str, str] | None, skipped: list[str], message: str
) -> None:
    lost = [Skipped(id=key, reason="unreadable") for key in skipped]
    with pytest.raises(ScoringError, match=message):
        score_run(rows, "none", references=references, skipped=lost)


def test_an_unknown_normaliser_is_named() -> None:
    with pytest.raises(ScoringError, match="unknown normaliser 'whisper'; known are plain, none"):
        score_run(ROWS, "whisper")  # ty: ignore[invalid-argument-type]


def test_a_file_is_scored_with_its_skip_list(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    record = RunRecord(system="x", skipped=(Skipped(id="d", reason="silent", reference="one two"),))
    write_run(path, ROWS, record)
    assert score_file(path, "none").errors.deletions == 2
    assert score_file(path, "none", skipped_as_deletions=False).errors.deletions == 0


def test_a_file_is_scored_against_a_manifest(tmp_path: Path) -> None:
    path, manifest = tmp_path / "hyps.jsonl", tmp_path / "test.jsonl"
    write_run(path, [row("a", None, "set sail"), row("b", None, "boats")])
    lines = [{"audio_filepath": f"{k}.wav", "duration": 1.0, "text": t, "id": k} for k, t in [("a", "set sale")]]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(ScoringError, match=rf"{path.name}: utterance 'b' is not in the manifest"):
        score_file(path, "none", manifest=manifest)
    lines.append({"audio_filepath": "b.wav", "duration": 1.0, "text": "boats", "id": "b"})
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert score_file(path, "none", manifest=manifest).wer == pytest.approx(1 / 3)


def test_a_file_is_scored_in_the_blocks_that_its_utterances_say(tmp_path: Path) -> None:
    path = tmp_path / "hyps.jsonl"
    rows = [
        HypothesisRow(id=f"{n:02}", reference="one two", text="one two" if n % 3 else "", fields={"speaker": n // 2})
        for n in range(22)
    ]
    of = {r.id: str(r.fields["speaker"]) for r in rows}
    lost = Skipped(id="99", reason="silent", reference="one two", fields={"speaker": "10"})
    write_run(path, rows, RunRecord(system="x", skipped=(lost,)))
    by_hand = score_run(rows, skipped=(lost,), blocks=Blocks("speaker", of | {"99": "10"}))
    assert score_file(path) == by_hand
    assert (by_hand.units, score_file(path).blocks) == (11, "speaker")
    assert score_file(path, blocks="none") == score_run(rows, skipped=(lost,))
    with pytest.raises(ScoringError, match=r"hyps\.jsonl: no utterance has a field 'session'"):
        score_file(path, blocks="session")
    before = dataclasses.replace(lost, fields={})
    write_run(path, rows, RunRecord(system="x", skipped=(before,)))
    assert score_file(path).units == 12

    lines = [{"audio_filepath": "a.wav", "duration": 1.0, "text": "one two", "id": key} for key in [*of, "99"]]
    told = [line | {"speaker": of.get(line["id"], "7"), "session": line["id"][0]} for line in lines]
    manifest = tmp_path / "test.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in told))
    write_run(path, [dataclasses.replace(r, fields={}) for r in rows], RunRecord(system="x", skipped=(before,)))
    assert score_file(path).blocks is None
    assert (score_file(path, manifest=manifest).blocks, score_file(path, manifest=manifest).units) == ("speaker", 11)
    assert score_file(path, manifest=manifest, blocks="session").units == 4


def test_recordings_in_chunks_have_the_blocks_of_their_first(tmp_path: Path) -> None:
    rows = [
        HypothesisRow(
            id=f"{n}-{k}",
            reference="we went to the old house",
            text="we went to" if k else "the old house",
            fields={"parent_id": f"call {n}", "chunk_index": k, "speaker": f"s{n // 2}"},
        )
        for n in range(20)
        for k in range(2)
    ]
    write_run(tmp_path / "hyps.jsonl", rows)
    score = score_file(tmp_path / "hyps.jsonl")
    assert (score.utterances, score.blocks, score.units) == (20, "speaker", 10)


def test_scores_are_compared_pairwise_only_on_the_same_footing() -> None:
    base = score_run(ROWS, "none")
    better = score_run([row("b", "four boats", "four boats"), *ROWS[1:]], "none")
    comparison = compare_scores(base, better)
    assert comparison.difference == pytest.approx(-0.2)
    assert comparison.p_value == 1.0
    with pytest.raises(ScoringError, match="utterance 'b' is scored in only one"):
        compare_scores(base, score_run(ROWS[1:], "none"))
    with pytest.raises(ScoringError, match="'none' and 'plain' cannot be compared"):
        compare_scores(base, score_run(ROWS, "plain"))


def test_runs_with_other_references_are_not_compared() -> None:
    base = score_run([row("a", "set sail now", "set sail"), row("b", "four boats", "four boats"), row("c", "x", "x")])
    other = score_run([row("a", "Sail now, set!", "set sail"), row("b", "Four  boats.", "boats"), row("c", "x", "x")])
    with pytest.raises(ScoringError, match=r"the same references; utterance 'a' is scored against different ones\.$"):
        compare_scores(base, other)
    longer = score_run([row("a", "set sail now", "set"), row("b", "the four boats", "boats"), row("c", "x y", "x")])
    with pytest.raises(ScoringError, match=r"2 utterances \('b', 'c'\) are scored against different ones"):
        compare_scores(base, longer)
    pooled = [dataclasses.replace(score, texts_N=()) for score in (base, other, longer)]
    assert compare_scores(pooled[0], pooled[1]).utterances == 3
    with pytest.raises(ScoringError, match=r"2 utterances \('b', 'c'\) are scored against different ones"):
        compare_scores(pooled[0], pooled[2])
    with pytest.raises(ScoringError, match=r"2 utterances \('b', 'c'\) are scored against different ones"):
        compare_scores(base, pooled[2])


def test_blocks_are_drawn_as_wholes() -> None:
    """A speaker's utterances share their fate: the interval is that of the speakers, and is wider."""
    draw = np.random.default_rng(4)
    rows, of = [], {}
    for speaker in range(20):
        bad = draw.random() < 0.4
        for take in range(10):
            key = f"s{speaker:02}-{take}"
            rows.append(row(key, "one two three four", "won too three four" if bad else "one two three four"))
            of[key] = f"speaker {speaker}"
    blocks = Blocks("speaker", of)
    alone, together = score_run(rows), score_run(rows, blocks=blocks)

    by_hand = np.array([sum(alone.counts_N4[i : i + 10]) for i in range(0, 200, 10)])
    by_name = by_hand[np.argsort([f"speaker {n}" for n in range(20)])]
    assert np.array_equal(together.counts_K4, by_name)
    assert together.interval == interval_of_counts(by_name)
    assert (together.units, alone.units, together.wer) == (20, 200, alone.wer)
    assert alone.interval is not None
    assert together.interval is not None
    assert together.interval.high - together.interval.low > 2 * (alone.interval.high - alone.interval.low)

    better = score_run([row(r.id, r.reference, "one two three four") for r in rows[:10]] + rows[10:], blocks=blocks)
    assert compare_scores(together, better) == paired_of_counts(together.counts_K4, better.counts_K4)
    with pytest.raises(ScoringError, match="the same blocks"):
        compare_scores(together, alone)
    assert json.loads(json.dumps(together.summary()))["independent_parts"] == 20


def test_an_utterance_of_no_block_stands_for_itself() -> None:
    rows = [row(key, "one two", "one") for key in "abcd"]
    score = score_run(rows, blocks=Blocks("speaker", {"a": "x", "b": "x"}))
    assert score.units == 3
    assert score.counts_K4[:, 3].sum() == 8
    assert score_run(rows[:2], blocks=Blocks("speaker", {"a": "x", "b": "x"})).interval is None
