"""How each term voted: parts that add up to the scores, for every kind of search and of units."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from duolect.data import Utterance
from duolect.errors import AudioError, SearchError, SystemFolderError, UnitsError
from duolect.systems import METHODS, Component, Explanation, Scales, SearchConfig, System, explain
from duolect.systems.explanation import words_of
from duolect.text import CharacterUnits, train_sentencepiece

ALL = SearchConfig(
    first_pass="labels",
    inside=Scales(ctc=0.7, decoder=1.0, lm=0.4),
    after=Scales(speech_llm=0.5, prior=0.2),
    beam=6,
    nbest=6,
    length_exponent=0.8,
)
BEAM = SearchConfig(first_pass="frames", inside=Scales(ctc=1.0, lm=0.6, prior=0.3), beam=8, nbest=8)
DRAFT = SearchConfig(first_pass="draft", inside=Scales(speech_llm=1.3), ctc="speech_llm")
EXACT = {
    "all terms": ALL,
    "rescoring": METHODS["ctc+lm-rescoring"].search,
    "speech LLM": METHODS["speech-llm"].search,
    "joint": METHODS["attention+ctc"].search,
    "draft": DRAFT,
}
OTHERS = {
    "greedy": SearchConfig(),
    "label-wise": BEAM,
    "gate": SearchConfig(first_pass="draft", inside=Scales(speech_llm=1.3), ctc="speech_llm", draft_gate=1e9),
}


def check(explained: Explanation, search: SearchConfig, *, exact: bool) -> None:
    for h in explained.hypotheses:
        assert " ".join(w.word for w in h.words) == " ".join(h.text.split())
        normal = (h.labels + 1) ** explained.length_exponent
        total = sum(h.total.values())
        assert total / normal == pytest.approx(h.score, abs=1e-4, rel=1e-6), h
        assert set(h.end) == set(h.rest) == set(explained.factors)
        assert all(set(w.votes) == set(explained.factors) for w in h.words)
        for term, factor in explained.factors.items():
            parts = sum(w.votes[term] for w in h.words) + h.end[term] + h.rest[term]
            assert parts == pytest.approx(h.total[term], abs=1e-6)
            if exact:
                assert h.rest[term] == pytest.approx(0.0, abs=1e-4 + 1e-6 * abs(h.total[term])), (term, h)
            if term == "ctc":  # paths that the search did not know can only add to the sum
                assert factor * h.rest[term] <= 1e-4
    a, *b = explained.hypotheses
    stretches = explained.stretches()
    assert [w for s in stretches for w in s.first] == list(a.words)
    assert [w for s in stretches for w in s.second] == [w for h in b for w in h.words]
    for s in stretches:
        if s.equal:
            assert [w.word for w in s.first] == [w.word for w in s.second]


@pytest.mark.parametrize("name", [*EXACT, *OTHERS])
def test_the_parts_add_up_to_the_scores(name: str, system: System, corpus: list[Utterance]) -> None:
    search = (EXACT | OTHERS)[name]
    searching = system.with_search(search)
    rows = searching.recognize(corpus, nbest=True).rows
    rivals = 0
    for row, utterance in zip(rows, corpus, strict=True):
        explained = explain(searching, utterance)
        winner = explained.hypotheses[0]
        assert (explained.id, winner.name, winner.text, winner.flags) == (row.id, "winner", row.text, row.flags)
        assert winner.score == pytest.approx(row.score, abs=1e-4, rel=2e-6)
        for term, value in row.terms.items():
            assert winner.total[term] == pytest.approx(explained.factors[term] * value, abs=2e-4, rel=2e-6)
        texts = [entry["text"] for entry in row.fields["nbest"] if entry["text"] != row.text]
        assert [h.text for h in explained.hypotheses[1:]] == texts[:1]
        rivals += len(texts[:1])
        check(explained, search, exact=name in EXACT)
    assert rivals == (0 if search.beam == 1 else rivals)


def test_against_the_reference(system: System, corpus: list[Utterance]) -> None:
    """A reference with a higher score than the winner can only be the beam's fault; scores are those of the search."""
    searching = system.with_search(ALL)
    for utterance in corpus:
        explained = explain(searching, utterance, rival="reference")
        winner, reference = explained.hypotheses
        assert (reference.name, reference.text) == ("reference", utterance.text)
        check(explained, ALL, exact=True)
        assert winner.score != reference.score
    written = dataclasses.replace(corpus[-1], text=f"{corpus[-1].text.upper()}!")  # as nobody here can spell
    assert explain(searching, written, rival="reference").hypotheses[1] == reference
    utterance = corpus[0]
    same = Utterance(
        audio_filepath=utterance.audio_filepath, duration=utterance.duration, text=winner.text, id=utterance.id
    )
    text = explain(searching, utterance).hypotheses[0].text
    same = Utterance(audio_filepath=utterance.audio_filepath, duration=utterance.duration, text=text, id="same")
    assert [h.name for h in explain(searching, same, rival="reference").hypotheses] == ["winner"]
    other = Utterance(audio_filepath=utterance.audio_filepath, duration=utterance.duration, text="zebra", id="z")
    with pytest.raises(UnitsError, match="'z'"):
        explain(searching, other, rival="reference")


def test_a_term_in_other_units_gives_its_tokens_to_their_words(
    system: System, corpus: list[Utterance], make: dict[str, Callable[..., Component]]
) -> None:
    sentences = ["a bad cab", "face", "bead", "a cage", "deaf", "had a fad", "abcdefgh hgfedcba"]
    pieces = train_sentencepiece(sentences, 24)
    mixed = System(acoustic=system.acoustic, language=make["language"](pieces))
    search = SearchConfig(first_pass="frames", after=Scales(lm=0.7), beam=4, nbest=4, exact_ctc=True)
    searching = mixed.with_search(search)
    for utterance in corpus:
        explained = explain(searching, utterance)
        assert "lm" in explained.factors or "lm_left_out" in explained.hypotheses[0].flags
        check(explained, search, exact=True)


def test_a_reference_that_is_too_long_for_the_language_model_is_told(
    system: System, corpus: list[Utterance], make: dict[str, Callable[..., Component]]
) -> None:
    language = make["language"](system.acoustic.units, positions=10)
    searching = System(acoustic=system.acoustic, language=language).with_method("ctc+lm-rescoring")
    heard = {u.id: explain(searching, u).factors for u in corpus}
    utterance = next(u for u in corpus if "lm" in heard[u.id])
    longer = dataclasses.replace(utterance, text="a bad cab a bad cab")
    with pytest.raises(SearchError, match=f"{utterance.id}: the reference cannot .* score of 'lm' .*lm_too_long"):
        explain(searching, longer, rival="reference")


def test_a_label_belongs_to_the_word_it_spells() -> None:
    characters = CharacterUnits("abc ")
    assert words_of(characters, characters.encode("ab c")) == [0, 0, 1, 1]
    assert words_of(characters, characters.encode(" a  b ")) == [0, 0, 1, 1, 1, 1]
    assert words_of(characters, characters.encode("  ")) == [0, 0]
    assert words_of(characters, []) == []
    chance = random.Random(0)
    words = ["".join(chance.choices("abcde", k=chance.randint(1, 6))) for _ in range(60)]
    for units in (train_sentencepiece([" ".join(words)], 20), CharacterUnits("abcde ")):
        for seed in range(100):
            spoken = random.Random(seed).choices(words, k=random.Random(seed).randint(1, 8))
            labels = units.encode(" ".join(spoken))
            places = words_of(units, labels)
            spelled = [
                "".join(units.decode([c]).strip() for c, p in zip(labels, places, strict=True) if p == n)
                for n in range(len(spoken))
            ]
            assert spelled == spoken, f"seed {seed}"


def test_what_cannot_be_explained(system: System, corpus: list[Utterance], tmp_path: Path) -> None:
    with pytest.raises(SystemFolderError, match="no search"):
        explain(System(acoustic=system.acoustic), corpus[0])
    missing = Utterance(audio_filepath=tmp_path / "no.wav", duration=1.0, text="a", id="no")
    with pytest.raises(AudioError, match="no such"):
        explain(system.with_search(SearchConfig()), missing)
