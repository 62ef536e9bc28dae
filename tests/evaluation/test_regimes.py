import dataclasses
import json
import random
from pathlib import Path

import kaldialign
import numpy as np
import pytest

pytest.importorskip("whisper_normalizer")

from duolect.errors import ScoringError
from duolect.evaluation import (
    HypothesisRow,
    RunRecord,
    Skipped,
    align,
    compare_scores,
    score_file,
    score_run,
    write_run,
)
from duolect.evaluation.intervals import interval_of_counts
from duolect.evaluation.pairs import all_pairs
from duolect.evaluation.regimes import regime_of
from duolect.evaluation.words import is_same, utterance_counts
from duolect.reports import Comparison, compare_files
from duolect.reports.differences import examples

MARCH, AUGUST = "open-asr-2026-03", "open-asr-2026-08"
LETTERS = ["ba", "ko", "lu", "mi", "te"]


def row(key: str, reference: str, text: str, **fields: object) -> HypothesisRow:
    return HypothesisRow(id=key, reference=reference, text=text, duration=2.0, fields=fields)


def pairs(rng: random.Random, count: int) -> list[tuple[str, str]]:
    """Random texts in which the other side often parts words elsewhere."""
    found = []
    for _ in range(count):
        words = ["".join(rng.choices(LETTERS, k=rng.randint(1, 3))) for _ in range(rng.randint(1, 7))]
        other = "".join(
            word[:2] + (" " if rng.random() < 0.2 else "") + word[2:] + ("" if rng.random() < 0.2 else " ")
            if rng.random() < 0.8
            else rng.choice(["", "zu "])
            for word in words
        )
        found.append((" ".join(words), other.strip()))
    return found


def test_a_split_compound_is_no_error_under_the_current_regime_only() -> None:
    rows = [row("a", "a white paper here", "a whitepaper here"), row("b", "the ice-cream", "the icecream van")]
    assert score_run(rows, AUGUST, replicas=50).counts_N4.tolist() == [[0, 0, 0, 4], [0, 0, 1, 3]]
    assert score_run(rows, MARCH, replicas=50).errors.errors == 4


def test_the_counts_of_utterances_sum_to_those_of_the_batch() -> None:
    for seed in range(20):
        texts = pairs(random.Random(seed), 30)
        spoken, said = [r for r, _ in texts], [h for _, h in texts]
        batch = kaldialign.batch_error_rate(
            [r.split() for r in spoken], [h.split() for h in said], merge_compounds=True
        )
        counts_N4 = utterance_counts(spoken, said, merge_compounds=True)
        total = [batch[key] for key in ("sub", "del", "ins", "ref_len")]
        assert counts_N4.sum(0).tolist() == total, seed
        for (r, h), counts in zip(texts, counts_N4, strict=True):
            shown = align(r, h, merge_compounds=True)
            assert sum(not is_same(*pair) for pair in shown) == counts[:3].sum(), (seed, r, h)


def test_what_was_compared_can_be_aligned_again_without_merging() -> None:
    rows = [row(str(n), r, h) for n, (r, h) in enumerate(pairs(random.Random(3), 200))]
    score = score_run(rows, AUGUST, replicas=50)
    again_N4 = utterance_counts([r for r, _ in score.texts_N], [h for _, h in score.texts_N])
    assert np.array_equal(again_N4[:, :3].sum(1), score.counts_N4[:, :3].sum(1))
    assert score.interval == interval_of_counts(score.counts_N4, replicas=50, seed=score.seed)


def test_systems_that_write_a_compound_in_different_ways_are_tested_on_the_same_words() -> None:
    references = ["a white paper here", "more words now"]
    heard = {"joined": ["a whitepaper here", "more word now"], "apart": ["a white paper her", "more words"]}
    scores = {
        name: score_run([row(str(n), *both) for n, both in enumerate(zip(references, texts, strict=True))], AUGUST)
        for name, texts in heard.items()
    }
    for score in scores.values():
        assert [reference for reference, _ in score.texts_N] == references
    (pair,) = all_pairs(scores)
    assert (pair.difference, pair.segments) == (1 / 7, 2)


def test_a_score_says_its_regime_and_version() -> None:
    score = score_run([row("a", "one", "one")], AUGUST, replicas=50)
    found = json.loads(json.dumps(score.summary()))
    assert found["normaliser"] == AUGUST
    assert "open_asr_leaderboard d1e99b2" in found["normaliser_version"]
    assert "whisper-normalizer" in found["normaliser_version"]
    assert found["aligner"].endswith("compounds merged")
    assert "merged" not in score_run([row("a", "one", "one")], MARCH).aligner
    assert regime_of("plain").version == ""


def test_references_that_are_not_to_be_scored_are_dropped_and_counted() -> None:
    rows = [row("a", "Ignore time segment in scoring.", "words"), row("b", "(uh) Um.", "two words"), row("c", "x", "x")]
    for normaliser in (MARCH, AUGUST):
        score = score_run(rows, normaliser)
        assert (score.utterances, score.empty_references, score.empty_reference_words) == (1, 1, 2)
        assert score.marked_references == score.summary()["marked_references"] == 1
    assert score_run(rows, "plain").utterances == 3
    with pytest.raises(ScoringError, match="2 utterances, 1 of them with an empty reference, 1 marked as not to be"):
        score_run(rows[:2], AUGUST)


def test_scores_of_different_regimes_or_versions_are_not_compared() -> None:
    rows = [row("a", "one two", "one"), row("b", "three", "tree")]
    plain, march, august = (score_run(rows, name, replicas=50) for name in ("plain", MARCH, AUGUST))
    with pytest.raises(ScoringError, match="'open-asr-2026-03' and 'open-asr-2026-08' cannot be compared"):
        compare_scores(march, august)
    with pytest.raises(ScoringError, match="cannot be compared"):
        compare_scores(plain, march)
    other = dataclasses.replace(march, normaliser_version="rules of open_asr_leaderboard b4fe3e4, others")
    with pytest.raises(ScoringError, match=r"others' cannot be compared\.$"):
        compare_scores(march, other)
    assert compare_scores(august, august).p_value == 1


def test_texts_that_were_normalised_under_another_regime_are_refused(tmp_path: Path) -> None:
    record = RunRecord(system="s", normaliser=MARCH)
    write_run(tmp_path / "march.jsonl", [row("a", "1 dog", "1 dog")], record)
    assert score_file(tmp_path / "march.jsonl", MARCH).wer == 0
    with pytest.raises(ScoringError, match=r"march\.jsonl: its texts are normalised under 'open-asr-2026-03', but"):
        score_file(tmp_path / "march.jsonl", AUGUST)
    with pytest.raises(ScoringError, match="give --normaliser open-asr-2026-03, or hypotheses as the system"):
        compare_files([tmp_path / "march.jsonl"])


def test_recordings_joined_from_chunks_are_compared_by_files(tmp_path: Path) -> None:
    whole = [chunk("call", 0, "we went to"), chunk("call", 1, "the old house")]
    write_run(tmp_path / "one.jsonl", whole)
    write_run(tmp_path / "two.jsonl", [whole[0], dataclasses.replace(whole[1], text="the cold house")])
    (table,) = compare_files([tmp_path / "one.jsonl", tmp_path / "two.jsonl"], normaliser=AUGUST)
    assert isinstance(table, Comparison)
    assert [line.score.errors.errors for line in table.systems] == [0, 1]
    assert [row.id for row in table.systems[1].rows] == ["call"]
    assert [part.kind for part in examples(table)[0].heard[1].parts].count("substituted") == 1


def chunk(parent: str, index: int, text: str, reference: str = "we went to the old house") -> HypothesisRow:
    return row(f"{parent}-{index}", reference, text, parent_id=parent, chunk_index=index)


def test_chunks_of_a_recording_are_scored_as_one() -> None:
    rows = [
        chunk("call", 2, " old house "),
        chunk("call", 0, "we went"),
        chunk("call", 1, ""),
        row("x", "then", "then"),
    ]
    score = score_run(rows, AUGUST, replicas=50)
    assert score.ids == ("call", "x")
    assert score.counts_N4.tolist() == [[0, 2, 0, 6], [0, 0, 0, 1]]
    references = {r.id: r.reference or "" for r in rows}
    bare = [dataclasses.replace(r, reference=None) for r in rows]
    assert np.array_equal(score_run(bare, AUGUST, references=references, replicas=50).counts_N4, score.counts_N4)
    lost = [Skipped(id="call-1", reason="damaged", reference="we went to the old house")]
    without = score_run([rows[0], rows[1], rows[3]], AUGUST, skipped=lost, replicas=50)
    assert np.array_equal(without.counts_N4, score.counts_N4)
    assert without.skipped == 1
    with pytest.raises(ScoringError, match="'call-1' is"):
        score_run([bare[0], bare[1], bare[3]], AUGUST, references=references)
    with pytest.raises(ScoringError, match="chunk 0 of 'call' is there twice"):
        score_run([rows[1], dataclasses.replace(rows[1], id="again")], AUGUST)
    with pytest.raises(ScoringError, match="'chunk_index' must be an integer from 0; it is '0'"):
        score_run([row("c", "a", "a", parent_id="p", chunk_index="0")], AUGUST)


def gone(parent: str, index: int, reference: str = "we went to the old house") -> Skipped:
    return Skipped(id=f"{parent}-{index}", reason="damaged", reference=reference, parent_id=parent)


def test_a_recording_of_which_all_chunks_were_skipped_counts_once() -> None:
    heard = [chunk("call", 0, "we went to"), row("x", "then", "then")]
    # The chunk of "call" gives no words; "other", which has the same words, and "x2" have no other chunk.
    lost = [gone("call", 1), gone("other", 0), gone("other", 1), Skipped(id="x2", reason="damaged", reference="then")]
    score = score_run(heard, AUGUST, skipped=lost, replicas=50)
    assert dict(zip(score.ids, score.counts_N4.tolist(), strict=True)) == {
        "call": [0, 3, 0, 6],
        "other": [0, 6, 0, 6],
        "x": [0, 0, 0, 1],
        "x2": [0, 1, 0, 1],
    }
    references = {entry.id: entry.reference or "" for entry in (*heard, *lost)}
    bare = [dataclasses.replace(entry, reference=None) for entry in heard]
    named = [dataclasses.replace(entry, reference=None) for entry in lost]
    again = score_run(bare, AUGUST, references=references, skipped=named, replicas=50)
    assert again.ids == score.ids
    assert np.array_equal(again.counts_N4, score.counts_N4)
    only = score_run(heard[1:], AUGUST, skipped=lost[1:], replicas=50)
    assert only.ids == ("other", "x", "x2")


def test_chunks_of_chinese_are_joined_without_spaces() -> None:
    rows = [chunk("call", 0, "我们去了", "我们去了老房子"), chunk("call", 1, "老房子", "我们去了老房子")]
    assert score_run(rows, "plain", replicas=50).counts_N4.tolist() == [[0, 0, 0, 1]]


CALL = "we went to the old house by the river"


def test_white_space_does_not_part_the_chunks_of_a_recording(tmp_path: Path) -> None:
    first = [chunk("call", 0, "we went to", f"{CALL} "), chunk("call", 1, "the old house", CALL.replace(" ", "  "))]
    rows = [*first, chunk("next", 0, "we went", CALL), chunk("next", 1, "to the old house", CALL)]
    score = score_run(rows, AUGUST, replicas=50)
    assert dict(zip(score.ids, score.counts_N4.tolist(), strict=True)) == {"call": [0, 3, 0, 9], "next": [0, 3, 0, 9]}
    lost = [Skipped(id="old", reason="damaged", reference=f" {CALL}")]
    assert score_run(rows, AUGUST, skipped=lost, replicas=50).ids == ("call", "next")
    write_run(tmp_path / "calls.jsonl", rows)
    (table,) = compare_files([tmp_path / "calls.jsonl"])
    assert isinstance(table, Comparison)
    assert [row.id for row in table.systems[0].rows] == ["call", "next"]


def test_recordings_with_the_whole_reference_beside_others_without_are_refused(tmp_path: Path) -> None:
    rows = [chunk("a", 0, "we went to", CALL), chunk("a", 1, "the old house", CALL)]
    rows += [chunk("b", 0, "we went to", CALL), chunk("b", 1, "the old house", f"{CALL} then")]
    said = r"the chunks of 'a' have all one reference, .* but those of 'b' have different ones; leave out 'parent_id'"
    with pytest.raises(ScoringError, match=said):
        score_run(rows, AUGUST, replicas=50)
    write_run(tmp_path / "calls.jsonl", rows)
    with pytest.raises(ScoringError, match=f"^calls: {said}"):
        compare_files([tmp_path / "calls.jsonl"])
    # What is said in every chunk of a recording by chance makes it no whole one.
    alike = [chunk("c", n, "yes", "yes thank you") for n in range(2)] + [chunk("d", n, "", "") for n in range(2)]
    own = [*rows[2:], *alike, chunk("e", 0, "one", CALL)]
    assert score_run(own, AUGUST, replicas=50).ids == ("b-0", "b-1", "c-0", "c-1", "e-0")
    # Nor where most others have texts of their own.
    more = [chunk("f", 0, "one", "one"), chunk("f", 1, "two", "two")]
    assert score_run([*rows, *more], AUGUST, replicas=50).ids == ("a-0", "a-1", "b-0", "b-1", "f-0", "f-1")


def test_segments_with_references_of_their_own_are_utterances_like_any_other() -> None:
    rows = [chunk("talk", 0, "one", "one"), chunk("talk", 1, "two", "two")]
    assert score_run(rows, "none", replicas=50).ids == ("talk-0", "talk-1")
