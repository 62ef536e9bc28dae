"""Delayed fusion in a system: an LM in its own units, three kinds of prior, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from duolect.data import Utterance
from duolect.errors import ConfigError, SystemFolderError, UnitsError
from duolect.storage import load_tensors, save_tensors
from duolect.systems import Component, Scales, SearchConfig, System, combine, counted_prior, load, tune
from duolect.text import CharacterUnits, train_sentencepiece

TEXT = ["a bad cab had a fad", "face the bead", "had a cage", "deaf he bade"]
DELAYED = SearchConfig(
    first_pass="frames", inside=Scales(ctc=1.0, lm=0.6, prior=0.2), beam=6, nbest=6, lm_interval=4, exact_ctc=True
)


@pytest.fixture(scope="module")
def mixed(system: System, make: dict[str, Callable[..., Component]]) -> System:
    """The LM speaks pieces of words, CTC characters; all three priors."""
    assert system.acoustic is not None
    pieces = train_sentencepiece([*TEXT, "abcdefgh a b c d e f g h"], 40)
    language, missed = counted_prior(make["language"](pieces), [*TEXT, "two unspellable", "ox"])
    assert missed == 2
    acoustic, _ = counted_prior(system.acoustic, TEXT)
    return System(acoustic=acoustic, language=language)


@pytest.mark.parametrize("kind", ["softmax", "counts", "tokens"])
@pytest.mark.parametrize("interval", [1, 4, 20, "shortest", "never"])
def test_terms_are_those_of_rescoring(kind, interval, mixed: System, corpus: list[Utterance]) -> None:
    search = dataclasses.replace(DELAYED, prior_kind=kind, lm_interval=interval)
    rescoring = dataclasses.replace(
        search, inside=Scales(ctc=1.0), after=Scales(lm=0.6, prior=0.2), beam=64, nbest=64, lm_interval=None
    )
    found = mixed.with_search(search).recognize(corpus, nbest=True, batch_seconds=1000.0)
    lists = mixed.with_search(rescoring).recognize(corpus, nbest=True, batch_seconds=1000.0)
    compared = 0
    for row, reference in zip(found.rows, lists.rows, strict=True):
        known = {entry["text"]: entry for entry in reference.fields["nbest"]}
        for entry in row.fields["nbest"]:
            if entry["text"] in known:
                compared += 1
                assert entry["terms"] == pytest.approx(known[entry["text"]]["terms"], abs=1e-4, rel=1e-6)
                assert entry["score"] == pytest.approx(known[entry["text"]]["score"], abs=1e-4, rel=1e-6)
            assert entry["score"] == pytest.approx(search.score(entry["terms"], entry["labels"]), abs=1e-4)
    assert compared > 12
    assert found.statistics["lm.forwards"] >= 2


def test_never_is_rescoring_of_the_same_beam(mixed: System, corpus: list[Utterance]) -> None:
    never = dataclasses.replace(DELAYED, lm_interval="never", prior_kind="counts")
    after = dataclasses.replace(never, inside=Scales(ctc=1.0), after=Scales(lm=0.6, prior=0.2), lm_interval=None)
    for a, b in zip(
        mixed.with_search(never).recognize(corpus, nbest=True).rows,
        mixed.with_search(after).recognize(corpus, nbest=True).rows,
        strict=True,
    ):
        assert [e["text"] for e in a.fields["nbest"]] == [e["text"] for e in b.fields["nbest"]]
        assert [e["score"] for e in a.fields["nbest"]] == pytest.approx(
            [e["score"] for e in b.fields["nbest"]], abs=1e-4, rel=1e-6
        )


@pytest.mark.parametrize("keep", [None, 5])
def test_with_pruned_labels_and_collapsed_frames(keep, mixed: System, system: System, corpus: list[Utterance]) -> None:
    """The LM is asked about whole words of the whole vocabulary, whatever CTC is pruned to."""
    for parts in (mixed, system):
        kind = "tokens" if parts is mixed else "softmax"
        search = dataclasses.replace(
            DELAYED, keep_labels=keep, collapse=0.6, skip_blank=0.9, exact_ctc=False, prior_kind=kind
        )
        rows = parts.with_search(search).recognize(corpus, nbest=True).rows
        after = dataclasses.replace(
            search, inside=Scales(ctc=1.0), after=Scales(lm=0.6, prior=0.2), lm_interval=None, beam=40, nbest=40
        )
        lists = parts.with_search(after).recognize(corpus, nbest=True).rows
        for row, reference in zip(rows, lists, strict=True):
            known = {e["text"]: e["terms"] for e in reference.fields["nbest"]}
            for entry in row.fields["nbest"]:
                for term in ("lm", "prior"):
                    if entry["text"] in known:
                        expected = known[entry["text"]][term]
                        assert entry["terms"][term] == pytest.approx(expected, abs=1e-4, rel=1e-6)


def test_text_the_lm_cannot_spell_is_flagged(system: System, make, corpus: list[Utterance]) -> None:
    poor = make["language"](CharacterUnits("abcde "))  # no f, g, h
    searching = System(acoustic=system.acoustic, language=poor).with_search(DELAYED)
    flagged = 0
    for row in searching.recognize(corpus, nbest=True).rows:
        for entry in row.fields["nbest"]:
            left_out = "lm_left_out" in entry["flags"]
            flagged += left_out
            assert ("lm" in entry["terms"]) != left_out
            assert not ("lm_cannot_spell" in entry["flags"] and not set("fgh") & set(entry["text"]))
            assert entry["score"] == pytest.approx(DELAYED.score(entry["terms"], entry["labels"]), abs=1e-4)
    assert flagged


def test_priors_are_saved_and_make_another_system(mixed: System, tmp_path: Path) -> None:
    searching = mixed.with_search(dataclasses.replace(DELAYED, prior_kind="tokens"))
    searching.save(tmp_path / "saved")
    again = load(tmp_path / "saved")
    assert again.fingerprint() == searching.fingerprint()
    for name in ("acoustic", "language"):
        assert getattr(again, name).log_counts_V.equal(getattr(mixed, name).log_counts_V)
    assert mixed.language is not None
    bare = dataclasses.replace(mixed.language, log_counts_V=None)
    assert bare.fingerprint() != mixed.language.fingerprint()
    file = tmp_path / "saved" / "language" / "prior.safetensors"
    save_tensors(file, {"prior": load_tensors(file)["log_counts"]})
    with pytest.raises(SystemFolderError, match="'log_prior' or 'log_counts', found 'prior'"):
        load(tmp_path / "saved")


@pytest.mark.parametrize("kind", ["counts", "tokens"])
def test_a_prior_that_is_not_there(kind: str, system: System) -> None:
    with pytest.raises(
        ConfigError, match=f"no prior of the kind '{kind}'; make one with `duolect combine --prior-text"
    ):
        system.with_search(dataclasses.replace(DELAYED, prior_kind=kind))


def test_labels_are_counted_in_text_as_it_is_trained_on(system: System) -> None:
    assert system.acoustic is not None
    text = [sentence.replace("the ", "") for sentence in TEXT]
    counted, _ = counted_prior(system.acoustic, text)
    written = [f"{sentence.title()}." for sentence in text] + ["\u2026", ""]
    same, missed = counted_prior(system.acoustic, written)
    assert missed == 0
    assert counted.log_counts_V is not None
    assert same.log_counts_V is not None
    assert torch.equal(same.log_counts_V, counted.log_counts_V)
    partly, missed = counted_prior(system.acoustic, [*written[:3], text[3]], normaliser="none")
    assert missed == 3
    assert partly.log_counts_V is not None
    assert not torch.equal(partly.log_counts_V, counted.log_counts_V)


def test_a_text_that_cannot_be_spelled(system: System) -> None:
    assert system.acoustic is not None
    with pytest.raises(UnitsError, match="none of the 2 sentences can be spelled"):
        counted_prior(system.acoustic, ["xyz", "zyx"])


def test_other_units_only_with_a_delay(mixed: System) -> None:
    with pytest.raises(UnitsError, match="must speak the same label units"):
        mixed.with_search(dataclasses.replace(DELAYED, lm_interval=None))
    assert "ctc+lm-delayed" in mixed.methods()
    assert "ctc+lm-labelwise" not in mixed.methods()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lm_interval": 0}, "lm_interval must be at least 1"),
        ({"skip_blank": 0.0}, "skip_blank must be a probability above 0"),
        ({"prior_kind": "tokens", "delay_prior": False}, "cannot be added label by label"),
        ({"first_pass": "labels", "exact_ctc": False}, "lm_interval applies to a search over frames only"),
    ],
)
def test_impossible_settings(given, message) -> None:
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(DELAYED, **given)


def test_tuning_moves_lm_and_prior(mixed: System, corpus: list[Utterance]) -> None:
    tuned = tune(mixed, corpus, "ctc+lm-delayed", rounds=1, nbest=8)
    assert tuned.record.search.lm_interval == 20
    assert tuned.record.search.inside.ctc == 1.0
    assert not tuned.record.search.after.active


def test_combine_takes_the_parts_with_their_priors(mixed: System) -> None:
    system = combine(acoustic=mixed.acoustic, language=mixed.language, search="ctc+lm-delayed")
    assert system.search is not None
    assert system.search.delays_lm
