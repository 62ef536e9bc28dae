"""Rescoring in other units, tuning from n-best lists, and what the hypothesis files say of it."""

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPT2Config

from duolect.data import Utterance, write_manifest
from duolect.errors import ConfigError, DuolectError, ManifestError, ScoringError
from duolect.evaluation import HypothesisRow, read_run, score_file, score_run
from duolect.models import LanguageConfig, LanguageModel, LLMConfig
from duolect.search import sequence_scores
from duolect.storage import file_hash
from duolect.systems import (
    Component,
    GridConfig,
    Scales,
    SearchConfig,
    System,
    combine,
    estimate_prior,
    read_lists,
    recognize_manifest,
    tune,
    tune_lists,
    utterance_set_hash,
    write_lists,
)
from duolect.systems.grid import GridResult, search_grid
from duolect.systems.lines import HowRecognized, stands
from duolect.systems.lists import Entry, term_table
from duolect.text import CharacterUnits

RESCORE = SearchConfig(first_pass="frames", after=Scales(lm=0.5), beam=8, nbest=8)


def test_another_spelling_is_scored_through_the_text(
    system: System, make: dict[str, Callable], corpus: list[Utterance]
) -> None:
    other = make["language"](CharacterUnits("xyz hgfedcba"))
    found = combine(acoustic=system, language=other, search=RESCORE).recognize(corpus, nbest=True)
    for row in found.rows:
        texts = [entry["text"] for entry in row.fields["nbest"]]
        (expected,) = sequence_scores(
            other.model, None, [[other.units.encode(t) for t in texts]], eos_id=other.units.eos_id
        )
        assert [e["terms"]["lm"] for e in row.fields["nbest"]] == pytest.approx(expected.tolist(), abs=1e-3)
    assert found.statistics["lm.rows"] > 0


def test_a_text_the_lm_cannot_spell_is_flagged_and_ranked_without_it(
    system: System, make: dict[str, Callable], corpus: list[Utterance]
) -> None:
    narrow = combine(acoustic=system, language=make["language"](CharacterUnits("abc ")), search=RESCORE)
    plain = system.with_search(dataclasses.replace(RESCORE, after=Scales())).recognize(corpus, nbest=True)
    flagged = 0
    for row, bare in zip(narrow.recognize(corpus, nbest=True).rows, plain.rows, strict=True):
        nbest = row.fields["nbest"]
        cannot = [bool(set(e["text"]) - set("abc ")) for e in nbest]
        assert [("lm_cannot_spell" in e["flags"]) for e in nbest] == cannot
        assert all(("lm_left_out" in e["flags"]) == any(cannot) == ("lm" not in e["terms"]) for e in nbest)
        if any(cannot):
            flagged += 1
            assert [e["text"] for e in nbest] == [e["text"] for e in bare.fields["nbest"]]
            assert row.score == pytest.approx(bare.score)
    assert flagged


def test_a_text_longer_than_the_lm_reads_is_flagged(
    system: System, make: dict[str, Callable], units: CharacterUnits, corpus: list[Utterance]
) -> None:
    short = make["language"](units)
    short.model.llm.model.config.max_position_embeddings = 8
    for row in combine(acoustic=system, language=short, search=RESCORE).recognize(corpus, nbest=True).rows:
        nbest = row.fields["nbest"]
        assert [("lm_too_long" in e["flags"]) for e in nbest] == [e["labels"] + 2 > 8 for e in nbest]
        assert ("lm" in row.terms) == all(e["labels"] + 2 <= 8 for e in nbest)


def test_audio_beyond_the_positions_of_a_speech_llm_is_skipped(
    make: dict[str, Callable], units: CharacterUnits, corpus: list[Utterance]
) -> None:
    short = make["speech_llm"](units)
    short.model.llm.model.config.max_position_embeddings = 18
    found = System(speech_llm=short).with_method("speech-llm").recognize(corpus)
    assert found.rows
    assert [s.id for s in found.skipped] == ["u2", "u4"]
    assert all("recognised in one piece" in s.reason for s in found.skipped)


@pytest.mark.parametrize("method", ["speech-llm", "speech-llm-draft", "speech-llm+ctc"])
def test_labels_stop_where_the_positions_of_a_speech_llm_end(
    method: str, make: dict[str, Callable], units: CharacterUnits, corpus: list[Utterance]
) -> None:
    short = make["speech_llm"](units)
    short.model.llm.model.config.max_position_embeddings = 18
    with torch.no_grad():  # it never wants to end
        short.model.llm.model.get_input_embeddings().weight[units.eos_id] = 0.0
    system = System(speech_llm=short).with_method(method)
    assert system.search is not None
    for row in system.recognize(corpus).rows:
        seconds = row.duration
        assert seconds is not None
        left = 18 - short.model.prompts.longest - 2 - int(seconds * 100 / 6 / 2)  # two frames of 60 ms a position
        assert len(units.encode(row.text)) <= left, row.id
        assert method == "speech-llm+ctc" or "truncated" in row.flags


def test_labels_stop_where_the_learned_positions_of_an_lm_end(
    system: System, units: CharacterUnits, corpus: list[Utterance], tmp_path: Path
) -> None:
    """GPT-2 has a table of positions, and fails where a hypothesis goes beyond it."""
    sizes = {"vocab_size": units.size, "n_positions": 8, "n_embd": 16, "n_layer": 1, "n_head": 2}
    GPT2Config(**sizes, bos_token_id=units.bos_id, eos_token_id=units.eos_id).save_pretrained(tmp_path)
    config = LLMConfig(vocabulary=units.size, source=str(tmp_path), pretrained=False)
    torch.manual_seed(1)
    model = LanguageModel(LanguageConfig(llm=config, bos_id=units.bos_id, eos_id=units.eos_id))
    search = SearchConfig(first_pass="frames", inside=Scales(ctc=1.0, lm=0.1), beam=4, nbest=4)
    mixed = combine(acoustic=system, language=Component(model, units), search=search)
    long = {row.id for row in system.with_method("ctc-beam").recognize(corpus).rows if len(row.text) > 6}
    assert long
    for row in mixed.recognize(corpus).rows:
        assert len(units.encode(row.text)) <= 6  # and BOS and EOS
        assert row.id not in long or "truncated" in row.flags


def test_a_text_longer_than_a_speech_llm_has_room_for_is_flagged(
    system: System, make: dict[str, Callable], units: CharacterUnits, corpus: list[Utterance]
) -> None:
    short = make["speech_llm"](units)
    short.model.llm.model.config.max_position_embeddings = 18
    search = SearchConfig(first_pass="frames", after=Scales(speech_llm=0.5), beam=8, nbest=8)
    rows = combine(acoustic=system, speech_llm=short, search=search).recognize(corpus, nbest=True).rows
    long = [any("speech_llm_too_long" in e["flags"] for e in row.fields["nbest"]) for row in rows]
    assert any(long)
    assert [("speech_llm" not in row.terms) for row in rows] == long


def test_terms_that_share_units_are_the_same_inside_and_after(system: System, corpus: list[Utterance]) -> None:
    inside = SearchConfig(first_pass="frames", inside=Scales(ctc=1.0, lm=0.4, prior=0.2), beam=12, nbest=12)
    after = SearchConfig(first_pass="frames", after=Scales(lm=0.4, prior=0.2), beam=12, nbest=12)
    for a, b in zip(
        system.with_search(inside).recognize(corpus, nbest=True).rows,
        system.with_search(after).recognize(corpus, nbest=True).rows,
        strict=True,
    ):
        terms = {entry["text"]: entry["terms"] for entry in b.fields["nbest"]}
        for entry in a.fields["nbest"]:
            if entry["text"] in terms:
                for term in ("lm", "prior"):
                    assert entry["terms"][term] == pytest.approx(terms[entry["text"]][term], abs=1e-3)


def test_an_estimated_prior_is_a_distribution(system: System, corpus: list[Utterance]) -> None:
    assert system.acoustic is not None
    log_prior_V = system.acoustic.log_prior_V
    assert log_prior_V is not None
    ordinary = [i for i in range(len(log_prior_V)) if i not in system.acoustic.units.special_ids]
    assert float(log_prior_V[ordinary].exp().sum()) == pytest.approx(1.0, abs=1e-4)
    again = estimate_prior(system.acoustic, corpus[::-1], batch_seconds=0.1)
    assert torch.allclose(again.log_prior_V, log_prior_V, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["attention+ctc", "ctc+lm-rescoring", "ctc+lm-labelwise", "speech-llm+ctc"])
def test_tuning_lowers_the_error_of_its_lists_and_is_repeatable(
    method: str, system: System, corpus: list[Utterance]
) -> None:
    tuned = tune(system, corpus, method, nbest=16)
    record = tuned.record
    assert record.oracle_wer <= tuned.wer <= tuned.wer_before
    assert tuned.wer == min(r.wer for r in record.rounds)
    assert [r.list_wer is None for r in record.rounds] == [True] + [False] * (len(record.rounds) - 1)
    assert len(tuned.table) >= 21
    assert tuned.scales == record.search.scales
    assert tuned.scales.ctc == 1.0
    assert (record.utterances, record.set_hash) == (6, utterance_set_hash(corpus))
    assert tune(system, corpus, method, nbest=16).record == record
    assert tune(system, corpus[::-1], method, nbest=16, batch_seconds=1.0).record == record
    retuned = tune(system.with_tuning(record), corpus, method, nbest=16).record
    assert retuned == record
    found = system.with_tuning(record).recognize(corpus)
    assert len(found.rows) == 6
    assert found.tuned_on_this_set


@pytest.mark.parametrize("method", ["attention+ctc", "ctc+lm-rescoring", "ctc+lm-labelwise", "speech-llm+ctc"])
def test_a_tuned_search_has_the_error_rate_that_was_promised(
    method: str, system: System, corpus: list[Utterance], tmp_path: Path
) -> None:
    write_manifest(tmp_path / "dev.jsonl", corpus)
    tuned = tune(system, corpus, method, nbest=32)
    recognize_manifest(system.with_tuning(tuned.record), tmp_path / "dev.jsonl", tmp_path / "hyps.jsonl")
    assert score_file(tmp_path / "hyps.jsonl").wer == pytest.approx(tuned.wer)


@pytest.mark.parametrize("method", ["ctc+attention-rescoring", "ctc+lm-rescoring", "ctc+speech-llm-rescoring"])
def test_rescoring_is_tuned_on_the_lists_that_it_will_choose_from(
    method: str, system: System, corpus: list[Utterance]
) -> None:
    search = dataclasses.replace(system.search_of(method, tuned=False), beam=6, nbest=3)
    tuned = tune(system, corpus, method, search=search, nbest=50)
    rows = system.with_search(search).recognize(corpus, nbest=True).rows
    assert {n: {e.text for e in each} for n, each in tuned.lists.items()} == {
        row.id: {entry["text"] for entry in row.fields["nbest"]} for row in rows
    }
    assert tuned.record.nbest == 3
    for each in tuned.record.rounds[1:]:  # the lists keep their promise at once
        assert (each.new, each.wer) == (0, pytest.approx(each.list_wer))
    assert len(tuned.record.rounds) <= 2
    assert tuned.wer == min(point["wer"] for point in tuned.table) or tuned.wer == tuned.wer_before


@pytest.mark.parametrize("method", ["attention+ctc", "speech-llm+ctc"])
def test_a_search_that_repeats_nothing_can_be_tuned(method: str, system: System, corpus: list[Utterance]) -> None:
    search = dataclasses.replace(
        system.search_of(method), no_repeat_ngram=2, max_labels_per_second=30.0, stop="heuristic"
    )
    tuned = tune(system, corpus, method, search=search, nbest=8, rounds=1)
    assert (tuned.record.search.no_repeat_ngram, tuned.record.search.stop) == (2, "heuristic")


def test_a_term_can_be_left_out(system: System, corpus: list[Utterance]) -> None:
    search = dataclasses.replace(
        system.search_of("ctc+lm-labelwise"), inside=Scales(ctc=1.0, lm=0.3, prior=0.2), beam=8, nbest=8
    )
    tuned = tune(system, corpus, "ctc+lm-labelwise", search=search, without=["prior"], nbest=8)
    assert tuned.record.search.beam == 8
    assert tuned.record.rounds[0].scales == Scales(ctc=1.0, lm=0.3)
    assert all(r.scales.prior == 0.0 for r in tuned.record.rounds)
    assert all("prior" not in e.terms for each in tuned.lists.values() for e in each)
    with pytest.raises(ConfigError, match="no scales to tune"):
        tune(system, corpus, "ctc+lm-labelwise", without=["lm", "prior"])


def test_a_term_that_the_method_does_not_tune_keeps_its_scale(system: System, corpus: list[Utterance]) -> None:
    search = dataclasses.replace(
        system.search_of("ctc+lm-rescoring", tuned=False), after=Scales(lm=0.5, speech_llm=0.7), beam=4, nbest=4
    )
    tuned = tune(system, corpus, "ctc+lm-rescoring", search=search, without=["prior"], nbest=4, rounds=1)
    assert [each.scales.speech_llm for each in tuned.record.rounds] == [0.7, 0.7]
    assert tuned.record.search.after.speech_llm == 0.7
    assert {point["speech_llm"] for point in tuned.table} == {0.7}


def test_lists_are_believed_only_as_far_as_the_search_confirms(
    system: System, corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A grid that promises no errors, each answer is tried, and the search itself decides."""
    answers = [{"ctc": 1.0, "lm": lm, "prior": prior} for lm, prior in ((0.0, 9.0), (2.0, 4.0), (0.1, 0.0))]
    given = iter(answers)

    def promise(table: object, **_: object) -> GridResult:
        return GridResult(next(given), 0, False, 0, [])

    monkeypatch.setattr("duolect.systems.tuning_plan.search_grid", promise)
    tuned = tune(system, corpus, "ctc+lm-labelwise", rounds=3)
    rounds = tuned.record.rounds
    assert [(r.scales.lm, r.scales.prior) for r in rounds[1:]] == [(0.0, 9.0), (2.0, 4.0), (0.1, 0.0)][
        : len(rounds) - 1
    ]
    assert len(rounds) == 4 or rounds[-1].new == 0  # a promise of no errors is never kept
    assert {r.list_wer for r in rounds[1:]} == {0.0}
    kept = min(rounds, key=lambda r: r.wer)  # the first of equal ones
    assert (tuned.scales, tuned.wer, tuned.wer_before) == (kept.scales, kept.wer, rounds[0].wer)
    for each in rounds:
        search = dataclasses.replace(tuned.record.search, inside=each.scales)
        rows = system.with_search(search).recognize(corpus).rows
        assert score_run(rows).wer == pytest.approx(each.wer)


def test_scales_are_chosen_again_from_a_file_of_lists_alone(
    system: System, corpus: list[Utterance], tmp_path: Path
) -> None:
    tuned = tune(system, corpus, "ctc+lm-rescoring", nbest=16, rounds=1)
    write_lists(tmp_path / "lists.jsonl", tuned.lists, {u.id: u.text for u in corpus})
    lists = read_lists(tmp_path / "lists.jsonl")
    assert lists == tuned.lists
    again = tune_lists(system, corpus, lists, "ctc+lm-rescoring")
    assert again.record.rounds == ()
    assert again.record.oracle_wer == tuned.record.oracle_wer
    assert again.wer == min(point["wer"] for point in again.table) <= again.wer_before
    assert again.record.set_hash == tuned.record.set_hash
    scales = again.scales

    def rescored(entry: Entry) -> float:
        return scales.combine(entry.terms)

    best = {name: max(each, key=rescored).text for name, each in lists.items()}
    rows = [HypothesisRow(id=u.id, text=best[u.id], reference=u.text) for u in corpus]
    assert score_run(rows).wer == pytest.approx(again.wer)

    without = tune_lists(system, corpus, {n: each for n, each in lists.items() if n != "u0"}, "ctc+lm-rescoring")
    assert (without.skipped, without.record.utterances) == (1, 5)
    assert without.left_out == {"u0": "there is no list of it"}
    assert without.wer == tune_lists(system, corpus[1:], lists, "ctc+lm-rescoring").wer
    silent = [*corpus, dataclasses.replace(corpus[0], id="silent", text="")]  # `tune` gives it no list
    assert tune_lists(system, silent, lists, "ctc+lm-rescoring").wer == again.wer
    with pytest.raises(ConfigError, match="no n-best list of any utterance of dev, such as 'u0'"):
        tune_lists(system, corpus, {"another": lists["u0"]}, "ctc+lm-rescoring")
    with pytest.raises(ConfigError, match="the term 'decoder'"):
        tune_lists(system, corpus, lists, "attention+ctc")
    plain = {n: [e._replace(terms={t: v for t, v in e.terms.items() if t != "prior"}) for e in lists[n]] for n in lists}
    bare = tune_lists(system, corpus, plain, "ctc+lm-rescoring")
    assert (again.lacking, bare.lacking, bare.scales.prior) == ((), ("prior",), 0.0)
    assert bare.table == tune_lists(system, corpus, lists, "ctc+lm-rescoring", without=("prior",)).table
    (tmp_path / "bare.jsonl").write_text('{"id": "u0", "text": "a"}\n')
    with pytest.raises(ScoringError, match="'u0' has no list"):
        read_lists(tmp_path / "bare.jsonl")


def test_a_planted_optimum_is_found_from_candidates() -> None:
    def candidate(text: str, ctc: float, lm: float) -> Entry:
        return Entry(text, {"ctc": ctc, "lm": lm}, 2)

    lists = [
        [candidate("a bat", -2.0, -9.0), candidate("a cat", -4.0, -3.0)],  # right from λ = 1/3 on
        [candidate("the dog", -3.0, -8.0), candidate("the hog", -8.0, -2.0)],  # right up to λ = 5/6
        [candidate("A CAT!", -1.0, -1.0), candidate("no", -9.0, -9.0)],
    ]
    table = term_table(lists, ["a cat", "the dog", "a cat"], ("ctc", "lm"))
    result = search_grid(table, anchor="ctc", axes=("lm",))
    assert (result.errors, table.words) == (0, 6)
    assert result.scales["lm"] == pytest.approx(0.4)


def test_what_cannot_be_tuned_is_told(system: System, corpus: list[Utterance], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no scales to tune"):
        tune(system, corpus, "ctc-greedy")
    with pytest.raises(ConfigError, match="say which"):
        tune(system, corpus)
    lost = [dataclasses.replace(u, audio_filepath=tmp_path / "no.wav") for u in corpus]
    with pytest.raises(ConfigError, match="none of the 6 utterances"):
        tune(system, lost, "attention+ctc")
    with pytest.raises(ConfigError, match="upper"):
        GridConfig(upper=0.0)


def test_a_set_is_known_whatever_its_order_and_ids(corpus: list[Utterance], tmp_path: Path) -> None:
    renamed = [
        dataclasses.replace(u, id=f"x{i}", audio_filepath=tmp_path / u.audio_filepath.name)
        for i, u in enumerate(corpus)
    ]
    assert utterance_set_hash(renamed[::-1]) == utterance_set_hash(corpus)
    assert utterance_set_hash(corpus[1:]) != utterance_set_hash(corpus)


def test_the_hypothesis_file_says_what_made_it(system: System, corpus: list[Utterance], tmp_path: Path) -> None:
    lost = dataclasses.replace(corpus[0], audio_filepath=tmp_path / "gone.wav", id="gone", text="gone")
    write_manifest(tmp_path / "test.jsonl", [*corpus, lost])
    searching = system.with_tuning(tune(system, [*corpus, lost], "ctc+lm-labelwise", nbest=8).record)
    recognize_manifest(searching, tmp_path / "test.jsonl", tmp_path / "out" / "hyps.jsonl", name="tiny", nbest=True)
    rows, record = read_run(tmp_path / "out" / "hyps.jsonl")
    assert [r.id for r in rows] == [u.id for u in corpus]
    assert record is not None
    assert (record.system, record.method, record.beam) == ("tiny", "ctc+lm-labelwise", 16)
    assert record.config_hash == searching.fingerprint()
    assert record.threads == torch.get_num_threads()
    assert "16 labels a frame" in (record.pruning or "")
    assert "features to text" in record.region
    assert record.wall_seconds > 0
    assert record.search["tuned_on_this_set"] is True
    assert record.search["tuning"]["method"] == "ctc+lm-labelwise"
    assert all(row.fields["tuned_on_this_set"] for row in rows)
    assert [s.id for s in record.skipped] == ["gone"]
    assert score_file(tmp_path / "out" / "hyps.jsonl").skipped == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["hyps.jsonl", "hyps.run.json"]


def test_hypotheses_of_another_longest_utterance_do_not_stand(
    system: System, corpus: list[Utterance], tmp_path: Path
) -> None:
    chosen, manifest, out = system.with_method("ctc-greedy"), tmp_path / "test.jsonl", tmp_path / "hyps.jsonl"
    write_manifest(manifest, corpus)
    for made, skipped in ((1.0, 2), (120.0, 0), (math.inf, 0)):
        assert len(recognize_manifest(chosen, manifest, out, max_seconds=made).skipped) == skipped
        for asked in (1.0, 120.0, math.inf):
            how = HowRecognized(max_seconds=asked)
            assert stands(out, chosen, file_hash(manifest), how) == (asked == made)


def test_hypotheses_of_scales_from_another_set_do_not_stand(
    system: System, corpus: list[Utterance], tmp_path: Path
) -> None:
    """Though the scales are the same: whether they were chosen on this very set is to be said."""
    manifest, out, how = tmp_path / "test.jsonl", tmp_path / "hyps.jsonl", HowRecognized()
    write_manifest(manifest, corpus)
    tuned = tune(system, corpus, "ctc+lm-labelwise", nbest=8).record
    here = system.with_tuning(tuned)
    elsewhere = system.with_tuning(dataclasses.replace(tuned, set_name="dev", set_hash="0" * 16))
    assert not recognize_manifest(elsewhere, manifest, out).tuned_on_this_set
    hashed = file_hash(manifest)
    assert stands(out, elsewhere, hashed, how)
    assert not stands(out, here, hashed, how)
    assert recognize_manifest(here, manifest, out).tuned_on_this_set
    assert stands(out, here, hashed, how)


def test_a_bad_manifest_or_output_stops_before_anything_is_written(
    system: System, corpus: list[Utterance], tmp_path: Path
) -> None:
    good = {"audio_filepath": str(corpus[0].audio_filepath), "duration": 0.9, "text": "a"}
    (tmp_path / "bad.jsonl").write_text(json.dumps(good) + "\n{broken\n")
    with pytest.raises(ManifestError, match=r"bad\.jsonl:2"):
        recognize_manifest(system.with_method("ctc-greedy"), tmp_path / "bad.jsonl", tmp_path / "hyps.jsonl")
    write_manifest(tmp_path / "good.jsonl", corpus[:1])
    (tmp_path / "file").write_text("")
    with pytest.raises(DuolectError, match="file"):
        recognize_manifest(system.with_method("ctc-greedy"), tmp_path / "good.jsonl", tmp_path / "file" / "hyps.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.jsonl", "file", "good.jsonl"]


@pytest.mark.parametrize("method", ["attention+ctc", "ctc+lm-rescoring", "ctc+lm-labelwise", "speech-llm+ctc"])
def test_terms_taken_over_from_a_search_are_those_of_the_sequence(
    method: str, system: System, corpus: list[Utterance], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = tune(system, corpus, method, nbest=8, rounds=1).lists
    monkeypatch.setattr("duolect.systems.lists.exact_terms", lambda search: set())
    scored = tune(system, corpus, method, nbest=8, rounds=1).lists
    for name, entries in taken.items():
        anew: dict[tuple[str, int], list] = {}
        for e in scored[name]:  # as many labels may read as the same text in several ways
            anew.setdefault((e.text, e.labels), []).append(pytest.approx(e.terms, abs=1e-3))
        for entry in entries:
            if (entry.text, entry.labels) in anew:  # the last lists may differ where scales are tied
                assert entry.terms in anew[entry.text, entry.labels]
