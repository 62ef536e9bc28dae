"""The first pass "draft": the greedy hypothesis of one model, whoever drafts; and the gate that leaves it to CTC."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from duolect.data import Utterance
from duolect.errors import ConfigError, SystemFolderError
from duolect.systems import Component, Recognition, Scales, SearchConfig, System
from duolect.text import CharacterUnits

DRAFT = SearchConfig(first_pass="draft", inside=Scales(speech_llm=1.0), ctc="speech_llm")
GREEDY = SearchConfig(first_pass="labels", inside=Scales(speech_llm=1.0))


def assert_same(one: Recognition, other: Recognition) -> None:
    for a, b in zip(one.rows, other.rows, strict=True):
        assert (a.text, a.flags) == (b.text, b.flags)
        assert a.score == pytest.approx(b.score, abs=1e-4, rel=2e-6)
        assert a.terms == pytest.approx(b.terms, abs=1e-4, rel=2e-6)


@pytest.mark.parametrize("ctc", ["speech_llm", "acoustic"])
@pytest.mark.parametrize("term", ["speech_llm", "decoder"])
def test_finds_what_a_beam_of_one_finds(ctc, term, system: System, corpus: list[Utterance]) -> None:
    inside = Scales(**{term: 0.8})
    settings = {"max_labels_per_second": 20.0, "inside": inside}
    expected = system.with_search(dataclasses.replace(GREEDY, **settings)).recognize(corpus)
    for longest in (None, 2, "adaptive"):
        search = dataclasses.replace(DRAFT, ctc=ctc, longest_draft=longest, **settings)
        found = system.with_search(search).recognize(corpus, batch_seconds=2.0)
        assert_same(found, expected)
        counted = found.statistics
        assert counted[f"{term}.utterances"] == len(corpus)
        assert counted[f"{term}.taken"] == 0
        assert counted[f"{term}.accepted"] <= counted[f"{term}.drafted"]
        assert 1 <= counted[f"{term}.forwards_per_utterance"] <= counted[f"{term}.labels"]


def test_drafts_of_other_units_are_spelled_again(
    system: System, corpus: list[Utterance], make: dict[str, Callable[..., Component]]
) -> None:
    """The acoustic model has a label that the speech LLM lacks: some texts cannot be spelled, and nothing is lost."""
    assert system.speech_llm is not None
    spoken = CharacterUnits("abcdefghz ")
    others = (System(acoustic=make["acoustic"](spoken, seed=seed)).with_method("ctc-greedy") for seed in range(20))
    heard = (sum("z" in row.text for row in other.recognize(corpus).rows) for other in others)
    seed = next(seed for seed, count in enumerate(heard) if 0 < count < len(corpus))
    other = make["acoustic"](spoken, seed=seed)
    mixed = System(acoustic=other, speech_llm=system.speech_llm)
    expected = mixed.with_search(GREEDY).recognize(corpus)
    search = dataclasses.replace(DRAFT, ctc="acoustic")
    assert_same(mixed.with_search(search).recognize(corpus), expected)
    taken = mixed.with_search(dataclasses.replace(search, draft_gate=1e9)).recognize(corpus)
    greedy = mixed.with_method("ctc-greedy").recognize(corpus)
    for row, heard, own in zip(taken.rows, greedy.rows, expected.rows, strict=True):
        assert row.text == (own.text if "z" in heard.text else heard.text)
        assert ("ctc_confident" in row.flags) == ("z" not in heard.text)


def test_the_gate_from_nothing_to_everything(system: System, corpus: list[Utterance]) -> None:
    lossless = system.with_search(DRAFT).recognize(corpus)
    shut = system.with_search(dataclasses.replace(DRAFT, draft_gate=0.0)).recognize(corpus)
    assert_same(shut, lossless)
    assert shut.statistics == lossless.statistics
    opened = system.with_search(dataclasses.replace(DRAFT, draft_gate=1e9)).recognize(corpus)
    greedy = system.with_search(SearchConfig(ctc="speech_llm")).recognize(corpus)
    for row, heard in zip(opened.rows, greedy.rows, strict=True):
        assert (row.text, row.terms, row.score) == (heard.text, heard.terms, heard.score)
        assert row.flags == ("ctc_confident",)
    assert opened.statistics["speech_llm.taken"] == len(corpus)
    assert opened.statistics["speech_llm.forwards"] == 0
    assert opened.statistics["encoder.forwards"] == 1
    low, high = 0.0, 4.0
    for _ in range(20):  # until it takes some of them and not others
        gate = (low + high) / 2
        some = system.with_search(dataclasses.replace(DRAFT, draft_gate=gate)).recognize(corpus)
        if 0 < some.statistics["speech_llm.taken"] < len(corpus):
            break
        low, high = (low, gate) if some.statistics["speech_llm.taken"] else (gate, high)
    assert 0 < some.statistics["speech_llm.taken"] < len(corpus)
    for row, heard, own in zip(some.rows, greedy.rows, lossless.rows, strict=True):
        assert row.text == (heard.text if "ctc_confident" in row.flags else own.text)


def test_settings_that_cannot_be(system: System) -> None:
    for settings, message in (
        ({"inside": Scales(speech_llm=1.0, decoder=1.0)}, "follows one model"),
        ({"inside": Scales(ctc=1.0)}, "inside.ctc cannot take part"),
        ({"beam": 2}, "has one hypothesis"),
        ({"longest_draft": 0}, "longest_draft must be at least 1"),
        ({"draft_gate": -1.0}, "draft_gate must be an entropy"),
        ({"draft_gate": float("nan")}, "draft_gate must be an entropy"),
        ({"draft_gate": 1.0, "after": Scales(lm=0.5)}, "without asking another model, but after.lm is to score it"),
        ({"draft_gate": 0.0, "after": Scales(ctc=0.5)}, "after.ctc"),
        ({"first_pass": "labels", "draft_gate": 1.0}, "draft_gate applies to a first pass of kind 'draft'"),
        ({"first_pass": "labels", "longest_draft": 1}, "longest_draft applies to a first pass of kind 'draft'"),
    ):
        with pytest.raises(ConfigError, match=message):
            dataclasses.replace(DRAFT, **settings)
    lone = System(speech_llm=system.speech_llm)
    assert lone.with_method("speech-llm-draft").search == dataclasses.replace(DRAFT, longest_draft="adaptive")
    with pytest.raises(SystemFolderError, match="no component 'acoustic'"):
        lone.with_search(dataclasses.replace(DRAFT, ctc="acoustic"))
