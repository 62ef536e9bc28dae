"""Delayed fusion: exact with an unlimited beam, the same terms for every schedule, and equal to rescoring."""

from __future__ import annotations

import pytest
import torch
from brute_force import ctc_sums, pad
from test_search_exactness import EOS, Case, run_all
from tiny_models import TabularModel

from duolect.errors import SearchError
from duolect.search import (
    AutoregressiveScorer,
    Delayed,
    PriorScorer,
    Weighted,
    count_prior,
    frame_synchronous,
    kernels,
    sequence_scores,
)
from duolect.text import CharacterUnits, Retokeniser, Units, retokeniser, train_sentencepiece
from duolect.text.spacing import single_spaces

INTERVALS = (1, 2, 5, "shortest", "never")


@pytest.mark.parametrize(
    ("interval", "delay_prior"), [(1, True), (2, False), (5, True), ("shortest", False), ("never", True)]
)
def test_shared_units_find_the_best_sequence(interval, delay_prior) -> None:
    def search(case: Case):
        prior = case.weighted("prior")
        return frame_synchronous(
            case.log_probs,
            case.lengths,
            beam=case.unlimited,
            nbest=5,
            eos_id=EOS,
            ctc_weight=case.weights["ctc"],
            prior=None if delay_prior else prior,
            delayed=Delayed(lm=case.weighted("lm"), interval=interval, prior=prior if delay_prior else None),
        )

    run_all(search, lambda case, b: case.reference(b, ("ctc", "lm", "prior"), 6), depth=5)


class Words:
    """Random utterances whose CTC speaks characters a, b and space, and an LM that speaks pieces of words."""

    source = CharacterUnits("ab ")
    letters = CharacterUnits("ab ")
    pieces = train_sentencepiece(["ab ba aab bb a b", "ba ba ab"], 12)

    def __init__(self, seed: int, target: Units, frames: int = 5) -> None:
        generator = torch.Generator().manual_seed(seed)
        draw = lambda low, high: int(torch.randint(low, high + 1, (), generator=generator))  # noqa: E731
        self.seed, self.target = seed, target
        self.parts = []
        for _ in range(4):
            logits = torch.randn(draw(1, frames), self.source.size + 1, generator=generator) * 2
            logits[:, list(self.source.special_ids)] = -torch.inf
            self.parts.append(logits.log_softmax(-1))
        self.log_probs, self.lengths = pad(self.parts)
        self.model = TabularModel(target.size, seed, listens=False)
        self.model.eos_id = target.eos_id
        self.label_prior = count_prior([[2, 3, 3]], self.source.size, eos_id=0, forbidden_ids=[1], smoothing=0.4)
        self.token_prior = count_prior([[3, 4, 4]], target.size, eos_id=target.eos_id, smoothing=0.4)

    def search(self, interval, prior_over: str = "labels", beam: int = 130, pick=None, **given):
        self.scorer = AutoregressiveScorer(self.model)
        prior = self.label_prior if prior_over == "labels" else self.token_prior
        log_probs, lengths = (self.log_probs, self.lengths) if pick is None else pad([self.parts[i] for i in pick], 2)
        delayed = Delayed(
            lm=Weighted("lm", self.scorer, 0.6),
            interval=interval,
            retokeniser=retokeniser(self.source, self.target),
            prior=Weighted("prior", PriorScorer(prior), 0.3),
            prior_over=prior_over,
        )
        settings = {"beam": beam, "nbest": beam, "eos_id": 0, "forbidden_ids": [1], "delayed": delayed}
        return frame_synchronous(log_probs, lengths, **(settings | given))

    def terms(self, labels, prior_over: str) -> dict[str, float]:
        tokens = self.target.encode(single_spaces(self.source.decode(labels)))
        prior = self.label_prior[list(labels)] if prior_over == "labels" else self.token_prior[tokens]
        lm = self.model.sequence_score(0, tokens, self.target.eos_id)
        return {"lm": lm, "prior": float(prior.sum())}


@pytest.mark.parametrize("target", [Words.letters, Words.pieces], ids=["letters", "pieces"])
@pytest.mark.parametrize("prior_over", ["labels", "tokens"])
def test_other_units_find_the_best_text_and_terms_are_those_of_the_text(target, prior_over) -> None:
    for seed in range(28):
        case = Words(seed, target, frames=4)
        reference = []
        for part in case.parts:
            sums = {a: s[0] for a, s in ctc_sums(part).items() if not {0, 1} & set(a) and s[0] > -torch.inf}
            terms = {a: case.terms(a, prior_over) for a in sums}
            reference.append({a: s + 0.6 * terms[a]["lm"] - 0.3 * terms[a]["prior"] for a, s in sums.items()})
        for interval in (INTERVALS[seed % len(INTERVALS)], "never"):
            for b, found in enumerate(case.search(interval, prior_over)):
                where = f"seed {seed}, utterance {b}, interval {interval}"
                best = sorted(reference[b].values(), reverse=True)[:5]
                assert [h.score for h in found[:5]] == pytest.approx(best, abs=1e-4), where
                for h in found:
                    assert h.score == pytest.approx(reference[b][h.labels], abs=1e-4), where
                    expected = case.terms(h.labels, prior_over)
                    assert {name: h.terms[name] for name in expected} == pytest.approx(expected, abs=1e-4), where


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_narrow_beam_gives_each_hypothesis_the_terms_of_rescoring(interval) -> None:
    for seed in range(20):
        case = Words(seed, Words.pieces, frames=14)
        found = case.search(interval, beam=5)
        spelled = [[case.target.encode(single_spaces(case.source.decode(h.labels))) for h in each] for each in found]
        scores = sequence_scores(case.model, None, spelled, eos_id=case.target.eos_id)
        for each, expected in zip(found, scores, strict=True):
            assert [h.terms["lm"] for h in each] == pytest.approx(expected.tolist(), abs=1e-4), f"seed {seed}"
            priors = [case.terms(h.labels, "labels")["prior"] for h in each]
            assert [h.terms["prior"] for h in each] == pytest.approx(priors, abs=1e-4), f"seed {seed}"


def test_never_is_rescoring_of_the_final_beam(monkeypatch) -> None:
    monkeypatch.setattr(kernels, "available", lambda: False)  # it sums in float64, and may decide a tie otherwise
    for seed in range(20):
        case = Words(seed, Words.pieces, frames=14)
        ours = case.search("never", beam=6)
        first = case.search("never", beam=6, delayed=None)
        for a, b in zip(ours, first, strict=True):
            rescored = {}
            for h in b:
                terms = case.terms(h.labels, "labels")
                rescored[h.labels] = h.score + 0.6 * terms["lm"] - 0.3 * terms["prior"]
            assert {h.labels: h.score for h in a} == pytest.approx(rescored, abs=1e-4), f"seed {seed}"
            assert [h.score for h in a] == sorted((h.score for h in a), reverse=True)


def test_every_frame_with_shared_units_and_an_unlimited_beam_is_label_wise() -> None:
    for seed in range(20):
        case = Case(seed)
        settings = {"beam": case.unlimited, "nbest": case.unlimited, "eos_id": EOS}
        lm, prior = case.weighted("lm"), case.weighted("prior")
        labelwise = frame_synchronous(case.log_probs, case.lengths, lm=lm, prior=prior, **settings)
        delayed = Delayed(lm=case.weighted("lm"), interval=1, prior=prior)
        for a, b in zip(
            labelwise, frame_synchronous(case.log_probs, case.lengths, delayed=delayed, **settings), strict=True
        ):
            assert {h.labels: h.score for h in a} == pytest.approx({h.labels: h.score for h in b}, abs=1e-4), seed


@pytest.mark.parametrize("interval", INTERVALS)
def test_alone_in_a_batch_in_another_order_with_more_padding(interval) -> None:
    for seed in range(10):
        case = Words(seed, Words.pieces, frames=16)
        together = dict(enumerate(case.search(interval, beam=4)))
        for pick in ([3, 1, 0, 2], [0], [1], [2, 3]):
            for i, found in zip(pick, case.search(interval, beam=4, pick=pick), strict=True):
                assert [h.labels for h in found] == [h.labels for h in together[i]], f"seed {seed}, {pick}"
                for a, b in zip(found, together[i], strict=True):
                    assert dict(a.terms) == pytest.approx(dict(b.terms), abs=1e-4, rel=1e-6)
                    assert a.score == pytest.approx(b.score, abs=1e-4, rel=1e-6)


@pytest.mark.parametrize("interval", [1, 4, "shortest", "never"])
def test_texts_that_begin_alike_share_their_computation(interval) -> None:
    case = Words(3, Words.pieces, frames=30)
    case.search(interval, beam=30)
    statistics = case.scorer.statistics
    reached = [(tuple(place), len(call)) for call in case.model.stepped for place in call]
    ends = [place for place, _ in reached]
    assert statistics.forwards == 1 + len(case.model.stepped)  # one packed forward a fusion, for all utterances
    assert len(case.model.stepped) <= (1 if interval == "never" else 1 + 30 // (interval if interval == 4 else 1))
    assert statistics.rows >= len(ends)
    for call in case.model.stepped:
        assert len(call) == len(set(call))  # no text twice


def test_text_that_the_lm_cannot_spell_takes_the_lm_out_of_its_utterance_only() -> None:
    source, target = CharacterUnits("abé "), CharacterUnits("ab ")
    odd, plain = source.encode("a é b"), source.encode("a b ab")
    parts = []
    for text in (odd, plain):
        logits = torch.full((2 * len(text), source.size + 1), -4.0)
        for n, label in enumerate(text):
            logits[2 * n, label] = 4.0
            logits[2 * n + 1, -1] = 4.0
        logits[:, source.encode("é")[0]] = torch.where(logits[:, source.encode("é")[0]] > 0, 4.0, -torch.inf)
        parts.append(logits.log_softmax(-1))
    log_probs, lengths = pad(parts)
    model = TabularModel(target.size, 1, listens=False)
    prior = count_prior([[2, 3]], source.size, eos_id=0, smoothing=0.5)
    found = {}
    for interval in INTERVALS:
        delayed = Delayed(
            lm=Weighted("lm", AutoregressiveScorer(model), 0.5),
            interval=interval,
            retokeniser=Retokeniser(source, target),
            prior=Weighted("prior", PriorScorer(prior), 0.2),
        )
        found = frame_synchronous(
            log_probs, lengths, beam=4, nbest=4, eos_id=0, forbidden_ids=[1], delayed=delayed, exact_ctc=True
        )
        assert source.decode(found[0][0].labels) == "a é b", interval
        for h in found[0]:
            assert h.flags[-1] == "lm_left_out"
            assert ("lm_cannot_spell" in h.flags) == ("é" in source.decode(h.labels))
            assert set(h.terms) == {"ctc"}
            assert h.score == pytest.approx(h.terms["ctc"])
        assert source.decode(found[1][0].labels) == "a b ab", interval
        assert all(not h.flags and set(h.terms) == {"ctc", "lm", "prior"} for h in found[1])


def test_a_text_longer_than_the_lm_allows_is_flagged() -> None:
    case = Words(1, Words.letters, frames=12)
    delayed = Delayed(
        lm=Weighted("lm", AutoregressiveScorer(case.model), 0.5),
        interval=3,
        retokeniser=retokeniser(case.source, case.target),
        max_tokens=2,
    )
    for each in case.search(3, beam=5, delayed=delayed):
        long = any(len(h.labels) > 2 for h in each)
        assert all(("lm_left_out" in h.flags) == long for h in each)
        assert all(("lm_too_long" in h.flags) == (long and len(h.labels) > 2) for h in each)


@pytest.mark.parametrize("interval", INTERVALS)
def test_no_frames_only_blanks_and_a_beam_beyond_the_vocabulary(interval) -> None:
    log_probs = torch.full((3, 4, Words.source.size + 1), -torch.inf)
    log_probs[..., -1] = 0.0
    case = Words(0, Words.pieces)
    delayed = Delayed(
        lm=Weighted("lm", AutoregressiveScorer(case.model), 0.5),
        interval=interval,
        retokeniser=retokeniser(case.source, case.target),
    )
    ended = case.model.sequence_score(0, (), case.target.eos_id)
    for lengths in ([4, 0, 1], [0, 0, 0]):
        found = frame_synchronous(
            log_probs, torch.tensor(lengths), beam=9, nbest=9, eos_id=0, forbidden_ids=[1], delayed=delayed
        )
        assert [[h.labels for h in each] for each in found] == [[()]] * 3
        assert [each[0].score for each in found] == pytest.approx([0.5 * ended] * 3, abs=1e-5)
        assert [each[0].flags for each in found] == [() if n else ("no_frames",) for n in lengths]


def test_nan_from_the_lm_names_the_utterance() -> None:
    case = Words(2, Words.letters)
    case.model.distribution = lambda audio, history: torch.full((case.target.size,), torch.nan)
    with pytest.raises(SearchError, match="lm: the model gave NaN for utterance talk"):
        case.search(1, ids=[f"talk{i}" for i in range(4)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"interval": 0}, "interval: 0 is not an integer"),
        ({"interval": "often"}, "'often' is none of"),
        ({"prior_over": "words"}, "'words' is neither"),
        ({"max_tokens": 0}, "max_tokens: 0"),
        ({"retokeniser": None}, "'lm' has 10 labels, but the units it is given have 5"),
    ],
)
def test_impossible_settings(given, message) -> None:
    case = Words(0, Words.pieces)
    settings = {"interval": 2, "retokeniser": retokeniser(case.source, case.target)} | given
    with pytest.raises(SearchError, match=message):
        case.search(2, delayed=Delayed(lm=Weighted("lm", AutoregressiveScorer(case.model)), **settings))


def test_an_utterance_without_a_possible_label_is_unfinished_alone_as_beside_others() -> None:
    lm = Weighted("lm", AutoregressiveScorer(TabularModel(3, 0, listens=False)), 0.5)
    zero = -torch.inf
    alone = torch.tensor([[[zero, 0.0, zero, zero]]])  # all of it on a label that is forbidden
    both = torch.cat([alone, torch.tensor([[[zero, zero, 0.0, zero]]])])
    settings = {"beam": 2, "nbest": 2, "eos_id": EOS, "forbidden_ids": [1]}
    for interval in (1, "never"):
        delayed = Delayed(lm=lm, interval=interval)
        (found,) = frame_synchronous(alone, torch.tensor([1]), delayed=delayed, **settings)
        assert [(h.labels, h.flags) for h in found] == [((), ("unfinished",))]
        assert frame_synchronous(both, torch.tensor([1, 1]), delayed=delayed, **settings)[0] == found


def test_what_the_lm_gives_no_chance_is_pruned_in_skipped_frames_too() -> None:
    class Never(TabularModel):
        def distribution(self, audio: int, history: tuple[int, ...]) -> torch.Tensor:
            return torch.tensor([0.5, 0.0, 0.5]).log()  # label 1 never

    first = torch.tensor([[0, 0.6, 0, 0.4], [0, 0.1, 0, 0.9], [0, 0.5, 0.1, 0.4]]).log()
    second = torch.tensor([[0, 0.1, 0.1, 0.8], [0, 0.4, 0.3, 0.3], [0, 0.4, 0.3, 0.3]]).log()
    lm = Weighted("lm", AutoregressiveScorer(Never(3, 0, listens=False)), 1.0)
    found = []
    for parts in ([first], [first, second]):
        log_probs, lengths = pad(parts)
        delayed = Delayed(lm=lm, interval=1)
        settings = {"beam": 2, "nbest": 2, "eos_id": EOS, "skip_blank": 0.85}
        found.append(frame_synchronous(log_probs, lengths, delayed=delayed, **settings)[0])
    assert found[0] == found[1]
    assert [h.labels for h in found[0]] == [()]
