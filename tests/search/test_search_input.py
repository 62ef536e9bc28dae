"""Impossible input is one named error; rescoring, priors and combination by themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny_models import Audio, TabularModel

from duolect.errors import SearchError
from duolect.models import LanguageConfig, LanguageModel, LLMConfig
from duolect.search import (
    AutoregressiveScorer,
    CTCDrafter,
    CTCPrefixScorer,
    PriorScorer,
    SearchStatistics,
    Weighted,
    combine,
    count_prior,
    ctc_full_sum,
    draft_and_verify,
    frame_synchronous,
    greedy,
    keep_labels,
    label_synchronous,
    sequence_scores,
    soft_collapse,
    softmax_prior,
)
from duolect.search.checks import check_log_probs, in_parts

EOS = 0
GOOD = torch.zeros(2, 5, 4).log_softmax(-1)
LENGTHS = torch.tensor([5, 3])


def frames(log_probs=GOOD, lengths=LENGTHS, **settings):
    given = {"beam": 2, "nbest": 1, "eos_id": EOS, "ids": ["first", "second"], **settings}
    return frame_synchronous(log_probs, lengths, **given)


def labels(scorers=None, **settings):
    scorers = [Weighted("lm", AutoregressiveScorer(TabularModel(3, 0)))] if scorers is None else scorers
    given = {"beam": 2, "nbest": 1, "limits_B": [3, 3], "eos_id": EOS, "ids": ["first", "second"], **settings}
    return label_synchronous(scorers, None, **given)


def only_ctc() -> Weighted:
    return Weighted("ctc", CTCPrefixScorer(GOOD, LENGTHS, eos_id=EOS))


def spoilt(value: float, frame: int = 2):
    log_probs = GOOD.clone()
    log_probs[1, frame, 1] = value
    return log_probs


# Everything that reads posteriors: name → a call with (log_probs, lengths, ids).
READERS = {
    "frame_synchronous": lambda y, n, ids: frames(y, n, ids=ids),
    "frame_synchronous with an LM": lambda y, n, ids: frames(
        y, n, ids=ids, lm=Weighted("lm", AutoregressiveScorer(TabularModel(3, 0)))
    ),
    "greedy": lambda y, n, ids: greedy(y, n, eos_id=EOS, ids=ids),
    "CTCPrefixScorer": lambda y, n, ids: CTCPrefixScorer(y, n, eos_id=EOS, ids=ids),
    "CTCDrafter": lambda y, n, ids: CTCDrafter(y, n, eos_id=EOS, ids=ids),
    "ctc_full_sum": lambda y, n, ids: ctc_full_sum(y, n, [[(1,)]] * len(y), ids),
    "soft_collapse": lambda y, n, ids: soft_collapse(y, n, 0.9, ids=ids),
    "soft_collapse off": lambda y, n, ids: soft_collapse(y, n, None, ids=ids),
    "keep_labels": lambda y, n, ids: keep_labels(y, n, 1, eos_id=EOS, ids=ids),
    "keep_labels off": lambda y, n, ids: keep_labels(y, n, None, eos_id=EOS, ids=ids),
}
FAULTS = {
    "NaN": (spoilt(math.nan), LENGTHS, "ctc: utterance second, frame 2 is NaN"),
    "+inf": (spoilt(math.inf), LENGTHS, "ctc: utterance second, frame 2 is \\+inf"),
    "not normalised": (spoilt(0.0), LENGTHS, "ctc: utterance second, frame 2 is not normalised .log-sum-exp 0.5596"),
    "all zero": (torch.full_like(GOOD, -math.inf), LENGTHS, "ctc: utterance first, frame 0 is not normalised"),
    "probabilities": (GOOD.exp(), LENGTHS, "ctc: utterance first, frame 0 is not normalised"),
    "too long": (GOOD, torch.tensor([5, 6]), "utterance second has length 6, but the tensor holds 5 frames"),
    "negative length": (GOOD, torch.tensor([-1, 3]), "utterance first has length -1"),
    "a length missing": (GOOD, torch.tensor([5]), "lengths must be 2 integers"),
    "lengths of floats": (GOOD, torch.tensor([5.0, 3.0]), "lengths must be 2 integers"),
    "no label": (GOOD[..., :1], LENGTHS, "1 classes per frame"),
    "integers": (GOOD.long(), LENGTHS, "float tensor"),
    "no batch": (GOOD[:, 0], LENGTHS, "float tensor"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("reader", READERS)
def test_bad_posteriors(reader: str, fault: str) -> None:
    log_probs, lengths, message = FAULTS[fault]
    with pytest.raises(SearchError, match=message):
        READERS[reader](log_probs, lengths, ["first", "second"])


@pytest.mark.parametrize("reader", READERS)
def test_ids_of_another_batch(reader: str) -> None:
    with pytest.raises(SearchError, match="ids: 1 were given for 2 utterances"):
        READERS[reader](GOOD, LENGTHS, ["one"])


@pytest.mark.parametrize("fault", ["NaN", "+inf", "not normalised", "too long"])
def test_bad_posteriors_for_a_prior(fault: str) -> None:
    log_probs, lengths, message = FAULTS[fault]
    with pytest.raises(SearchError, match=message.replace("ctc: ", "prior: ").replace("second", "3")):
        softmax_prior([(GOOD, LENGTHS), (log_probs, lengths)], eos_id=EOS)


# Everything that takes EOS and forbidden labels.
CHOOSERS = {
    "frame_synchronous": lambda **given: frames(**given),
    "label_synchronous": lambda **given: labels(**given),
    "greedy": lambda **given: greedy(GOOD, LENGTHS, **{"eos_id": EOS, **given}),
    "CTCDrafter": lambda **given: CTCDrafter(GOOD, LENGTHS, **{"eos_id": EOS, **given}),
    "keep_labels": lambda **given: keep_labels(GOOD, LENGTHS, 1, **{"eos_id": EOS, **given}),
    "draft_and_verify": lambda **given: draft_and_verify(
        TabularModel(3, 0),
        None,
        CTCDrafter(GOOD, LENGTHS, eos_id=EOS),
        **{"limits_B": [3, 3], "eos_id": EOS, **given},
    ),
}


@pytest.mark.parametrize("chooser", CHOOSERS)
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"forbidden_ids": [1, 2]}, "they are all 3 labels; none is left"),
        ({"forbidden_ids": [1, 3]}, "label 3 is outside the vocabulary of 3"),
        ({"eos_id": -1}, "label -1 is outside the vocabulary of 3"),
    ],
)
def test_no_label_left_or_unknown_labels(chooser: str, given: dict, message: str) -> None:
    with pytest.raises(SearchError, match=message):
        CHOOSERS[chooser](**given)


def test_bad_label_sequences() -> None:
    """The utterance is named, and no model is asked before all are seen to be right."""
    model, ids = TabularModel(3, 0), ["first", "second"]
    with pytest.raises(SearchError, match="lm: utterance second: label 3 is outside the vocabulary of 3"):
        sequence_scores(model, None, [[(1,)], [(1,), (1, 3)]], eos_id=EOS, ids=ids)
    assert not model.table
    with pytest.raises(SearchError, match="lm: eos_id: label 3"):
        sequence_scores(model, None, [[(1,)]], eos_id=3)
    with pytest.raises(SearchError, match="max_tokens: 0"):
        sequence_scores(model, None, [[(1,)]], eos_id=EOS, max_tokens=0)
    with pytest.raises(SearchError, match="ctc: utterance second: label 3 is outside the vocabulary of 3"):
        ctc_full_sum(GOOD, LENGTHS, [[(1,)], [(3,)]], ids)
    with pytest.raises(SearchError, match="ctc: 1 n-best lists for 2 utterances"):
        ctc_full_sum(GOOD, LENGTHS, [[(1,)]], ids)


def test_vocabularies_are_compared_before_a_model_is_asked() -> None:
    decoder = TabularModel(5, 0)
    wrong = [Weighted("decoder", AutoregressiveScorer(decoder)), only_ctc()]
    with pytest.raises(SearchError, match="'decoder' and 'ctc' do not share their labels: 5 and 3"):
        labels(wrong)
    with pytest.raises(SearchError, match="'decoder' has 5 labels, but CTC has 3"):
        frames(scorers=wrong[:1])
    assert not decoder.table


def test_padding_may_hold_anything() -> None:
    assert frames(spoilt(math.nan, frame=4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam": 0}, "beam: 0 is not an integer ≥ 1"),
        ({"nbest": 0}, "nbest: 0"),
        ({"labels_per_frame": 0}, "labels_per_frame: 0"),
        ({"merge": "mean"}, "merge: 'mean'"),
        ({"ctc_weight": 0.0}, "CTC weight above 0"),
        ({"ctc_weight": -1.0}, "weight 'ctc': -1.0"),
        ({"ctc_weight": math.nan}, "weight 'ctc': nan"),
        ({"eos_id": 3}, "label 3 is outside the vocabulary of 3"),
        ({"forbidden_ids": [-1]}, "label -1 is outside"),
        ({"ids": ["one"]}, "1 were given for 2 utterances"),
        ({"lm": Weighted("ctc", AutoregressiveScorer(TabularModel(3, 0)))}, "names must differ"),
        ({"lm": Weighted("lm", AutoregressiveScorer(TabularModel(5, 0)))}, "'lm' has 5 labels, but CTC has 3"),
    ],
)
def test_bad_settings_over_frames(settings, message) -> None:
    with pytest.raises(SearchError, match=message):
        frames(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scorers": []}, "at least one must have a weight above 0"),
        (
            {"scorers": [Weighted("lm", AutoregressiveScorer(TabularModel(3, 0)), 0.0)]},
            "at least one must have a weight",
        ),
        ({"beam": 0}, "beam: 0"),
        ({"beam": True}, "beam: True"),
        ({"nbest": -1}, "nbest: -1"),
        ({"limits_B": [3, -1]}, "limits: utterance second may have -1 labels"),
        ({"length_exponent": -0.5}, "length_exponent: -0.5"),
        ({"length_exponent": math.nan}, "length_exponent: nan"),
        ({"stop": "soon"}, "stop: 'soon'"),
        ({"candidates": 0}, "candidates: 0"),
        (
            {"candidates": 2, "scorers": [only_ctc()]},
            "no other scorer",
        ),
        (
            {"candidates": 2, "scorers": [only_ctc(), Weighted("prior", PriorScorer(torch.zeros(3)))]},
            "no other scorer",
        ),
        ({"eos_id": 7}, "label 7 is outside the vocabulary of 3"),
        ({"forbidden_ids": [9]}, "label 9 is outside"),
    ],
)
def test_bad_settings_over_labels(settings, message) -> None:
    with pytest.raises(SearchError, match=message):
        labels(**settings)


def test_scorers_of_different_units() -> None:
    with pytest.raises(SearchError, match="'lm' and 'ctc' do not share their labels: 5 and 3"):
        labels(
            [
                Weighted("lm", AutoregressiveScorer(TabularModel(5, 0))),
                Weighted("ctc", CTCPrefixScorer(GOOD, LENGTHS, eos_id=EOS)),
            ]
        )


@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_bad_weights(weight) -> None:
    with pytest.raises(SearchError, match="weight 'lm'"):
        Weighted("lm", AutoregressiveScorer(TabularModel(3, 0)), weight)


def test_the_prior_is_known_by_its_name() -> None:
    prior = PriorScorer(torch.tensor([0.0, -1.0, -1.0]))
    assert Weighted("prior", prior, 0.5).factor == -0.5
    with pytest.raises(SearchError, match="named 'prior'"):
        Weighted("lm", prior)
    with pytest.raises(SearchError, match="finite"):
        PriorScorer(torch.tensor([0.0, -math.inf]))


class Broken(TabularModel):
    """Says something impossible about utterance 1 after one label."""

    def __init__(self, value: float) -> None:
        super().__init__(3, 0)
        self.value = value

    def distribution(self, audio, history):
        found = super().distribution(audio, history)
        return torch.tensor([-1.0, self.value, -1.0]) if audio == 1 and len(history) == 1 else found


@pytest.mark.parametrize(("value", "what"), [(math.nan, "NaN"), (math.inf, "\\+inf")])
def test_nan_from_a_model_names_utterance_and_scorer(value, what) -> None:
    broken = AutoregressiveScorer(Broken(value), Audio([0, 1]))
    message = f"decoder: the model gave {what} for utterance second"
    lm = Weighted("lm", AutoregressiveScorer(TabularModel(3, 0)))
    with pytest.raises(SearchError, match=message):
        labels([lm, Weighted("decoder", broken, 0.5)], nbest=9, beam=9)
    with pytest.raises(SearchError, match=message):
        frames(scorers=[Weighted("decoder", broken, 0.5)], lm=lm, beam=9)
    with pytest.raises(SearchError, match=message):
        sequence_scores(
            broken.model, Audio([0, 1]), [[(1,)], [(1, 1)]], eos_id=EOS, ids=["first", "second"], name="decoder"
        )


def test_sequence_scores_do_not_depend_on_packing() -> None:
    model = TabularModel(5, 1)
    generator = torch.Generator().manual_seed(0)
    nbest = [
        [tuple(torch.randint(1, 5, (n,), generator=generator).tolist()) for n in sizes]
        for sizes in ([3, 0, 9, 1, 3], [], [12, 2], [0])
    ]
    for audio in (Audio([4, 5, 6, 7]), None):
        keys = audio.keys if audio else [0] * 4
        for max_tokens in (1, 7, 40, 10_000):
            found = sequence_scores(model, audio, nbest, eos_id=EOS, max_tokens=max_tokens)
            for key, each, scores in zip(keys, nbest, found, strict=True):
                expected = [model.sequence_score(key, a, EOS) for a in each]
                assert scores.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("max_tokens", [1, 7, 30, 4096])
def test_a_language_model_computes_once_what_texts_share(max_tokens: int) -> None:
    """However they are packed: the numbers of a forward over each whole text."""
    torch.manual_seed(2)
    llm = LLMConfig(vocabulary=6, width=16, layers=2, heads=2, max_positions=32)
    model = LanguageModel(LanguageConfig(llm=llm, bos_id=1, eos_id=EOS)).eval()
    generator = torch.Generator().manual_seed(3)
    lists = [
        [tuple(torch.randint(2, 4, (int(n),), generator=generator).tolist()) for n in torch.randint(0, 9, (12,))]
        for _ in range(3)
    ]
    statistics = SearchStatistics()
    found = sequence_scores(model, None, lists, eos_id=EOS, max_tokens=max_tokens, statistics=statistics)
    for texts, scores in zip(lists, found, strict=True):
        for text, score in zip(texts, scores.tolist(), strict=True):
            ended = torch.tensor([[*text, EOS]])
            with torch.no_grad():
                log_probs_MV = model.sequence_log_probs(None, ended[:, :-1], torch.tensor([len(text)]))[0]
            assert score == pytest.approx(float(log_probs_MV.gather(1, ended.mT).sum()), abs=1e-4)
    beginnings = {text[:n] for texts in lists for text in texts for n in range(1, len(text) + 1)}
    assert statistics.labels == len(beginnings) or (max_tokens < 4096 and statistics.labels > len(beginnings))


def test_a_language_model_scores_equal_sequences_once() -> None:
    statistics = SearchStatistics()
    sequence_scores(TabularModel(5, 1), None, [[(1, 2), (3,)], [(1, 2)]], eos_id=EOS, statistics=statistics)
    assert (statistics.forwards, statistics.rows, statistics.labels) == (2, 3, 3)  # BOS is a forward of one row
    with pytest.raises(SearchError, match="label 5 is outside"):
        sequence_scores(TabularModel(5, 1), None, [[(5,)]], eos_id=EOS)
    with pytest.raises(SearchError, match="2 n-best lists for 1 utterances"):
        sequence_scores(TabularModel(5, 1), Audio([0]), [[()], [()]], eos_id=EOS)


def test_combine_takes_numbers_and_arrays() -> None:
    assert combine({"ctc": -2.0, "prior": -3.0}, {"ctc": 1.0, "prior": 0.5}) == -0.5
    assert combine({"ctc": -2.0, "lm": -math.inf}, {"ctc": 1.0, "lm": 0.0}) == -2.0
    arrays = {"ctc": np.array([-1.0, -2.0]), "lm": np.array([-3.0, -4.0])}
    assert combine(arrays, {"ctc": 2.0, "lm": 1.0}).tolist() == [-5.0, -8.0]


def test_softmax_prior_is_the_mean_without_blank_and_padding() -> None:
    generator = torch.Generator().manual_seed(1)
    log_probs = torch.randn(2, 6, 6, generator=generator).log_softmax(-1)
    log_probs[1, 4:] = math.nan
    lengths = torch.tensor([6, 4])
    prior = softmax_prior([(log_probs, lengths), (log_probs[:1], lengths[:1])], eos_id=0, forbidden_ids=[2])
    frames_ = torch.cat([log_probs[0], log_probs[0], log_probs[1, :4]]).double().exp()[:, [1, 3, 4]].sum(0)
    assert prior[[1, 3, 4]].tolist() == pytest.approx((frames_ / frames_.sum()).log().tolist(), abs=1e-5)
    assert prior[[0, 2]].tolist() == [0.0, 0.0]
    with pytest.raises(SearchError, match="no frames"):
        softmax_prior([], eos_id=0)
    with pytest.raises(SearchError, match="no frames"):
        softmax_prior([(log_probs, torch.tensor([0, 0]))], eos_id=0)


def test_posteriors_are_read_in_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    log_probs = torch.randn(5, 6, 7, generator=generator, dtype=torch.float64).log_softmax(-1)
    lengths = torch.tensor([6, 4, 0, 1, 5])
    before = log_probs.clone()
    whole = softmax_prior([(log_probs, lengths)], eos_id=0)
    assert len(in_parts(log_probs)) == 1
    monkeypatch.setattr("duolect.search.checks._NUMBERS", 2 * 6 * 7)
    assert [len(part) for part in in_parts(log_probs)] == [2, 2, 1]
    assert softmax_prior([(log_probs, lengths)], eos_id=0).tolist() == pytest.approx(whole.tolist(), abs=1e-6)
    assert torch.equal(log_probs, before)
    log_probs[3, 0, 2] = math.nan
    with pytest.raises(SearchError, match="utterance d, frame 0 is NaN"):
        check_log_probs(log_probs, lengths, ids=list("abcde"), name="ctc")
    monkeypatch.setattr("duolect.search.checks._NUMBERS", 1)
    assert [len(part) for part in in_parts(log_probs)] == [1] * 5
    assert len(in_parts(log_probs[:, :0])) == 5
    assert [part.shape for part in in_parts(log_probs[:0])] == [(0, 6, 7)]


def test_count_prior_is_smoothed_and_has_no_special_labels() -> None:
    prior = count_prior([[2, 2, 3], [2, 0]], 5, eos_id=0, forbidden_ids=[1], smoothing=0.3)
    expected = [0.7 * n / 4 + 0.1 for n in (3, 1, 0)]
    assert prior[2:].exp().tolist() == pytest.approx(expected, abs=1e-6)
    assert prior[:2].tolist() == [0.0, 0.0]
    assert count_prior([], 3, eos_id=0)[1:].exp().tolist() == pytest.approx([0.5, 0.5])
    with pytest.raises(SearchError, match="smoothing"):
        count_prior([[1]], 3, eos_id=0, smoothing=0.0)
    with pytest.raises(SearchError, match="label 3 is outside"):
        count_prior([[3]], 3, eos_id=0)
