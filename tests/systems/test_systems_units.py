"""CTC in phonemes beside models of other units: what can be searched, and words that sound alike."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from duolect.data import Utterance, read_samples
from duolect.errors import UnitsError
from duolect.models import AcousticModel, LanguageConfig, LanguageModel, LLMConfig, SpeechLLM
from duolect.search import Hypothesis, ctc_full_sum, sequence_scores
from duolect.systems import Component, Scales, SearchConfig, System, estimate_prior, explain, load, tune
from duolect.systems.context import Context
from duolect.systems.recognizer import as_candidates
from duolect.systems.rescoring import add_terms
from duolect.systems.rows import Candidate
from duolect.text import CharacterUnits, PhonemeUnits, UnitsConfig, build_units, train_sentencepiece

PHONEMES = UnitsConfig(kind="phonemes", language="en-gb")
SENTENCES = ["a bad cab", "face", "bead", "a cage", "deaf", "had a fad", "be a bee", "ad add a bade"]
ALIKE = ["their house is over there", "their sail is for sale", "there is a sale"]


@pytest.fixture(scope="session")
def phonemes() -> PhonemeUnits:
    units = build_units(PHONEMES, SENTENCES)
    assert isinstance(units, PhonemeUnits)
    return units


@pytest.fixture(scope="session")
def mixed(
    system: System, units: CharacterUnits, phonemes: PhonemeUnits, corpus: list[Utterance], make: dict[str, Callable]
) -> System:
    """Decoder and speech LLM in characters with CTC in phonemes, the LM in pieces."""
    parts = {}
    for name, seed in (("acoustic", 1), ("speech_llm", 3)):
        component = getattr(system, name)
        torch.manual_seed(seed)
        config = dataclasses.replace(component.model.config, ctc_vocabulary=phonemes.size)
        model = type(component.model)(config)
        assert isinstance(model, AcousticModel | SpeechLLM)
        fresh = {n: x for n, x in model.state_dict().items() if "ctc_heads" in n}
        model.load_state_dict({**component.model.state_dict(), **{n: 8 * x for n, x in fresh.items()}})
        parts[name] = Component(model, units, phonemes)
    parts["acoustic"] = estimate_prior(parts["acoustic"], corpus)
    parts["language"] = make["language"](train_sentencepiece(SENTENCES, 30))
    return System.of(parts)


def texts(system: System, corpus: list[Utterance], **how: float) -> list[tuple[str, float | None]]:
    return [(row.text, row.score) for row in system.recognize(corpus, **how).rows]  # ty: ignore[invalid-argument-type]


def test_other_units_score_the_text_without_the_spaces_that_labels_have_too_many(
    mixed: System, units: CharacterUnits, corpus: list[Utterance]
) -> None:
    search = SearchConfig(first_pass="labels", inside=Scales(decoder=1.0), after=Scales(lm=0.5), beam=4, nbest=4)
    samples = read_samples(corpus[0])
    context = Context(mixed.parts, search, ["a"], torch.from_numpy(samples)[None], torch.tensor([len(samples)]))
    plain, odd = tuple(units.encode("a bad cab")), tuple(units.encode(" a  bad cab "))
    assert units.decode(odd) == " a  bad cab "
    found = as_candidates(context, [[Hypothesis(labels=labels, score=0.0, terms={}) for labels in (plain, odd)]])
    assert [(c.text, c.labels) for c in found[0]] == [("a bad cab", plain), ("a bad cab", odd)]
    ((one, other),) = add_terms(context, found, ["lm"])
    assert one.terms["lm"] == pytest.approx(other.terms["lm"])


def test_methods_of_one_pass_need_the_same_units(mixed: System) -> None:
    assert mixed.methods() == [
        "ctc-greedy",
        "ctc-beam",
        "attention",
        "ctc+attention-rescoring",
        "ctc+lm-rescoring",
        "ctc+lm-delayed",
        "speech-llm",
        "speech-llm-draft",
        "ctc+speech-llm-rescoring",
    ]
    for method, term in (("attention+ctc", "ctc"), ("ctc+lm-labelwise", "lm"), ("speech-llm+ctc", "ctc")):
        with pytest.raises(UnitsError, match=rf"the term '{term}' must speak the same label units.* by rescoring or"):
            mixed.with_method(method)


def test_every_method_that_can_be_run_gives_the_same_in_any_batch(
    mixed: System, phonemes: PhonemeUnits, corpus: list[Utterance]
) -> None:
    rescoring = SearchConfig(first_pass="labels", inside=Scales(decoder=1.0), after=Scales(ctc=0.5), beam=4, nbest=4)
    searches = {name: mixed.search_of(name) for name in mixed.methods()}
    searches |= {
        "attention, then ctc": rescoring,
        "ctc, then attention and lm": SearchConfig(
            first_pass="frames", after=Scales(decoder=0.5, lm=0.3, prior=0.2), beam=6, nbest=6, spellings=3
        ),
        "speech llm, then the acoustic ctc": SearchConfig(
            first_pass="labels", inside=Scales(speech_llm=1.0), after=Scales(ctc=0.5), beam=3, nbest=3
        ),
    }
    lexicon = {entry.word for entry in phonemes.lexicon}
    for name, search in searches.items():
        searching = mixed.with_search(search)
        together = searching.recognize(corpus[1:4], nbest=True, batch_seconds=1000.0)
        assert any(row.text for row in together.rows), name
        alone = texts(searching, corpus[1:4], batch_seconds=0.01)
        for row, (text, score) in zip(together.rows, alone, strict=True):
            assert (row.text, row.score) == (text, pytest.approx(score, abs=1e-4, rel=2e-6)), name
            if search.first_pass in ("greedy", "frames"):
                assert set(row.text.split()) <= lexicon
            for entry in row.fields["nbest"]:
                left_out = {flag.removesuffix("_left_out") for flag in entry["flags"] if flag.endswith("_left_out")}
                assert set(entry["terms"]) == set(search.scales.active) - left_out, name
                if entry["terms"].keys() == set(search.scales.active):
                    assert entry["score"] == pytest.approx(
                        search.score(entry["terms"], entry["labels"]), abs=1e-4, rel=2e-6
                    )


def test_rescoring_by_ctc_spells_the_decoders_text_in_phonemes(
    mixed: System, units: CharacterUnits, phonemes: PhonemeUnits, corpus: list[Utterance]
) -> None:
    search = SearchConfig(first_pass="labels", inside=Scales(decoder=1.0), after=Scales(ctc=0.5), beam=4, nbest=4)
    samples = [torch.from_numpy(read_samples(utterance)) for utterance in corpus[:2]]
    samples_BN = torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)
    context = Context(mixed.parts, search, ["a", "b"], samples_BN, torch.tensor([len(x) for x in samples]))
    lists = [["a bad cab", "a bade bee", ""], ["face", "thief"]]  # the lexicon has no θ
    candidates = [[Candidate(text, tuple(units.encode(text)), -1.0, {}) for text in each] for each in lists[:1]]
    candidates.append([Candidate(text, (2, 3), -1.0, {}) for text in lists[1]])
    with torch.no_grad():
        first, second = add_terms(context, candidates, ["ctc"])
        (wanted, _) = ctc_full_sum(*context.ctc(), [[phonemes.encode(text) for text in lists[0]], []])
    assert [c.terms["ctc"] for c in first] == pytest.approx(wanted.tolist())
    assert not any(c.flags for c in first)
    assert [c.flags for c in second] == [("ctc_left_out",), ("ctc_cannot_spell", "ctc_left_out")]


def test_a_system_of_mixed_units_survives_its_folder(mixed: System, corpus: list[Utterance], tmp_path: Path) -> None:
    searching = mixed.with_method("ctc+lm-rescoring")
    searching.save(tmp_path / "system")
    loaded = load(tmp_path / "system")
    assert (tmp_path / "system" / "acoustic" / "ctc_units" / "lexicon.tsv").is_file()
    assert loaded.fingerprint() == searching.fingerprint()
    assert texts(loaded, corpus[:3]) == texts(searching, corpus[:3])


def test_spellings_change_nothing_where_labels_have_one(system: System, corpus: list[Utterance]) -> None:
    assert system.search_of("ctc+lm-rescoring").spellings > 1
    searching = system.with_method("ctc+lm-rescoring")
    assert searching.search is not None
    once = dataclasses.replace(searching.search, spellings=1)
    assert texts(searching, corpus) == texts(system.with_search(once), corpus)


@pytest.fixture(scope="module")
def alike(mixed: System) -> System:
    """CTC in phonemes with homophones, and a language model of characters that has learnt three sentences."""
    sounds, letters = build_units(PHONEMES, ALIKE), CharacterUnits.from_text(ALIKE)
    assert mixed.acoustic is not None
    acoustic = mixed.acoustic.model
    config = dataclasses.replace(acoustic.config, vocabulary=sounds.size, ctc_vocabulary=None, decoder=None)
    torch.manual_seed(5)
    llm = LLMConfig(vocabulary=letters.size, width=32, layers=1, heads=2, max_positions=64)
    language = LanguageModel(LanguageConfig(llm=llm, bos_id=letters.bos_id, eos_id=letters.eos_id))
    rows = [letters.encode(sentence) for sentence in ALIKE]
    lengths_B = torch.tensor([len(row) for row in rows])
    labels_BN = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    optimiser = torch.optim.Adam(language.parameters(), lr=0.02)
    for _ in range(60):
        log_probs_BMV = language.sequence_log_probs(None, labels_BN, lengths_B)
        mask_BN = torch.arange(labels_BN.shape[1]) < lengths_B[:, None]
        loss = -log_probs_BMV[:, :-1].gather(2, labels_BN[..., None])[..., 0][mask_BN].mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return System(acoustic=Component(AcousticModel(config), sounds), language=Component(language, letters))


@pytest.fixture
def said(alike: System, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[int]]:
    """Lets CTC hear a sentence: a sharp frame for each of its phonemes, each followed by one of blank."""
    assert alike.acoustic is not None
    units = alike.acoustic.units

    def say(sentence: str) -> list[int]:
        labels = units.encode(sentence)
        frames = [frame for label in labels for frame in (label, units.size)]
        logits_TW = torch.zeros(len(frames), units.size + 1)
        logits_TW[torch.arange(len(frames)), torch.tensor(frames)] = 12.0
        log_probs_1TW = logits_TW.log_softmax(-1)[None]
        monkeypatch.setattr(Context, "posteriors", lambda self: (log_probs_1TW, torch.tensor([len(frames)])))
        return labels

    return say


@pytest.mark.parametrize("sentence", ALIKE)
def test_the_language_model_decides_between_words_that_sound_alike(
    sentence: str, alike: System, said: Callable[[str], list[int]], corpus: list[Utterance]
) -> None:
    labels = said(sentence)
    units, language = alike.parts["acoustic"].units, alike.parts["language"]
    assert isinstance(units, PhonemeUnits)
    (greedy,) = alike.with_method("ctc-greedy").recognize(corpus[:1]).rows
    assert greedy.text == units.decode(labels)
    found = alike.with_method("ctc+lm-rescoring").recognize(corpus[:1], nbest=True).rows[0]
    assert found.text == sentence
    # Of all that sound the same, each with one and the same score of CTC, it is the likeliest text.
    choices = [("there", "their") if w in ("there", "their") else ("sale", "sail") if w[0] == "s" else (w,)
               for w in sentence.split()]  # fmt: skip
    every = [" ".join(words) for words in itertools.product(*choices)]
    assert sorted(units.spellings(labels, 99)) == sorted(every)
    (scores,) = sequence_scores(
        language.model, None, [[language.units.encode(text) for text in every]], eos_id=language.units.eos_id
    )
    assert every[int(scores.argmax())] == sentence
    listed = {entry["text"]: entry["terms"] for entry in found.fields["nbest"] if entry["text"] in every}
    assert listed.keys() == set(every)
    assert len({terms["ctc"] for terms in listed.values()}) == 1
    for text, score in zip(every, scores.tolist(), strict=True):
        assert listed[text]["lm"] == pytest.approx(score, abs=1e-3)
    one = dataclasses.replace(alike.search_of("ctc+lm-rescoring"), spellings=1)
    assert alike.with_search(one).recognize(corpus[:1]).rows[0].text == greedy.text


def test_tuning_and_explaining_know_hypotheses_that_sound_alike(
    alike: System, said: Callable[[str], list[int]], corpus: list[Utterance]
) -> None:
    said(ALIKE[1])
    meant = dataclasses.replace(corpus[0], text=ALIKE[1])
    untuned = dataclasses.replace(alike.search_of("ctc+lm-rescoring"), beam=4, nbest=4)
    found = tune(alike, [meant], "ctc+lm-rescoring", search=untuned, nbest=4)
    assert found.wer == 0.0
    assert found.record.oracle_wer == 0.0
    (entries,) = found.lists.values()
    assert len({entry.text for entry in entries if entry.text.split()[1:2] != ["sale"]}) >= 4
    explained = explain(alike.with_method("ctc+lm-rescoring"), meant, rival="runner-up")
    winner, rival = explained.hypotheses
    assert (winner.text, len(winner.words)) == (ALIKE[1], len(rival.words))
    assert sum(votes.votes["ctc"] for votes in winner.words) == pytest.approx(
        sum(votes.votes["ctc"] for votes in rival.words)
    )
