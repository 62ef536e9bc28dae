"""All methods on real model classes: sorted lists, terms that add up, and nothing that depends on the batch."""

import dataclasses

import pytest

from duolect.data import Utterance
from duolect.errors import SearchError
from duolect.systems import METHODS, Recognition, Scales, SearchConfig, System

DELAYED = {"first_pass": "frames", "inside": Scales(ctc=1.0, lm=0.5), "lm_interval": 5}
PRIOR = SearchConfig(first_pass="frames", inside=Scales(ctc=1.0, lm=0.6, prior=0.3), beam=8, nbest=8)
ALL_TERMS = SearchConfig(
    first_pass="labels",
    inside=Scales(ctc=0.7, decoder=1.0, lm=0.4),
    after=Scales(speech_llm=0.5, prior=0.2),
    beam=6,
    nbest=6,
)
LENGTH = SearchConfig(
    first_pass="labels", inside=Scales(decoder=1.0), after=Scales(ctc=0.5), beam=4, nbest=4, length_exponent=0.8
)
FRAMES_JOINT = SearchConfig(first_pass="frames", inside=Scales(ctc=1.0, decoder=0.8), beam=6, nbest=6, exact_ctc=True)
SEARCHES = {
    **{name: method.search for name, method in METHODS.items()},
    "prior": PRIOR,
    "all terms": ALL_TERMS,
    "length": LENGTH,
    "joint over frames": FRAMES_JOINT,
}


def close(a: float | None, b: float | None) -> bool:
    assert a is not None
    assert b is not None
    return abs(a - b) <= 1e-4 + 2e-6 * abs(a)


def assert_same(one: Recognition, other: Recognition) -> None:
    assert [r.id for r in one.rows] == [r.id for r in other.rows]
    for a, b in zip(one.rows, other.rows, strict=True):
        assert (a.text, a.flags) == (b.text, b.flags)
        assert close(a.score, b.score)
        assert a.terms.keys() == b.terms.keys()
        assert all(close(a.terms[t], b.terms[t]) for t in a.terms)


@pytest.mark.parametrize("name", SEARCHES)
def test_every_method_keeps_its_promises(name: str, system: System, corpus: list[Utterance]) -> None:
    search = SEARCHES[name]
    found = system.with_search(search).recognize(corpus, nbest=True, batch_seconds=1000.0)
    assert [row.id for row in found.rows] == [u.id for u in corpus]
    assert not found.skipped
    assert any(row.text for row in found.rows)
    for row, utterance in zip(found.rows, corpus, strict=True):
        assert row.reference == utterance.text
        assert row.duration == pytest.approx(utterance.duration, abs=1e-3)
        nbest = row.fields["nbest"]
        assert 1 <= len(nbest) <= search.nbest
        assert (nbest[0]["text"], nbest[0]["score"]) == (row.text, row.score)
        scores = [entry["score"] for entry in nbest]
        assert scores == sorted(scores, reverse=True)
        for entry in nbest:
            assert set(entry["terms"]) == set(search.scales.active)
            assert close(entry["score"], search.score(entry["terms"], entry["labels"]))
    assert found.timing.audio_seconds == pytest.approx(sum(u.duration for u in corpus), abs=0.01)
    assert found.timing_with_files.wall_seconds > found.timing.wall_seconds > 0
    assert found.statistics["encoder.forwards"] == len(search.parts().keys() - {"language"})
    assert found.host_memory > 10_000_000


@pytest.mark.parametrize("name", SEARCHES)
def test_a_result_does_not_depend_on_the_batch(name: str, system: System, corpus: list[Utterance]) -> None:
    searching = system.with_search(SEARCHES[name])
    together = searching.recognize(corpus, batch_seconds=1000.0)
    assert_same(together, searching.recognize(corpus, batch_seconds=0.01))
    backwards = searching.recognize(corpus[::-1], batch_seconds=3.0)
    backwards.rows.reverse()
    assert_same(together, backwards)


@pytest.mark.parametrize("name", METHODS)
def test_named_methods_run_by_name(name: str, system: System) -> None:
    assert name in system.methods()
    named = system.with_method(name)
    assert (named.method, named.search) == (name, METHODS[name].search)
    assert named.acoustic is system.acoustic


def test_greedy_equals_a_beam_of_one_best_path(system: System, corpus: list[Utterance]) -> None:
    greedy = system.with_method("ctc-greedy").recognize(corpus)
    best_path = SearchConfig(first_pass="frames", beam=200, nbest=1, merge="max")
    assert [r.text for r in greedy.rows] == [r.text for r in system.with_search(best_path).recognize(corpus).rows]


@pytest.mark.parametrize("settings", [{"first_pass": "labels"}, {"first_pass": "frames"}, DELAYED])
def test_a_label_rate_ends_hypotheses_and_says_so(settings: dict, system: System, corpus: list[Utterance]) -> None:
    slow = SearchConfig(**{"inside": Scales(ctc=1.0), "beam": 4, "nbest": 4, "max_labels_per_second": 1.0, **settings})
    found = system.with_search(slow).recognize(corpus, nbest=True)
    for row, utterance in zip(found.rows, corpus, strict=True):
        assert all(entry["labels"] <= utterance.duration + 1 for entry in row.fields["nbest"])
    assert any("truncated" in row.flags for row in found.rows)


def test_a_label_rate_that_nothing_reaches_changes_nothing(system: System, corpus: list[Utterance]) -> None:
    search = METHODS["ctc-beam"].search
    fast = dataclasses.replace(search, max_labels_per_second=1000.0)
    limited = system.with_search(fast).recognize(corpus)
    for a, b in zip(system.with_search(search).recognize(corpus).rows, limited.rows, strict=True):
        assert (a.text, a.score, a.flags) == (b.text, b.score, b.flags)


def test_the_other_heads_and_the_other_encoder_can_be_heard(system: System, corpus: list[Utterance]) -> None:
    texts = {
        tuple(r.text for r in system.with_search(search).recognize(corpus).rows)
        for search in (SearchConfig(), SearchConfig(ctc_layer=1), SearchConfig(ctc="speech_llm"))
    }
    assert len(texts) == 3


def test_a_lone_speech_llm_uses_its_own_ctc_head(system: System, corpus: list[Utterance]) -> None:
    lone = System(speech_llm=system.speech_llm)
    speaking = ["speech-llm", "speech-llm-draft", "ctc+speech-llm-rescoring", "speech-llm+ctc"]
    assert lone.methods() == ["ctc-greedy", "ctc-beam", *speaking]
    assert lone.with_method("ctc-greedy").recognize(corpus[:2]).rows


def test_warming_up_and_progress_change_nothing(system: System, corpus: list[Utterance]) -> None:
    searching, seen = system.with_method("ctc-greedy"), []
    plain = searching.recognize(corpus, batch_seconds=2.0)
    warm = searching.recognize(
        corpus, batch_seconds=2.0, warm_up=True, progress=lambda done, of: seen.append((done, of))
    )
    assert_same(plain, warm)
    assert warm.statistics == plain.statistics
    assert seen[-1] == (6, 6)
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"batch_seconds": -3.0}, r"batch_seconds must be 0 .* not -3"),
        ({"batch_seconds": float("nan")}, r"batch_seconds .* not nan"),
        ({"max_seconds": float("nan")}, r"max_seconds must be above 0, not nan"),
    ],
)
def test_limits_that_are_none_are_refused(
    limits: dict[str, float], said: str, system: System, corpus: list[Utterance]
) -> None:
    with pytest.raises(SearchError, match=said):
        system.with_method("ctc-greedy").recognize(corpus, **limits)
