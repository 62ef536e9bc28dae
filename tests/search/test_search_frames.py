"""Frame-synchronous search with a narrow beam equals a plain dictionary implementation; invariances; odd input."""

from __future__ import annotations

import math

import pytest
import torch
from brute_force import pad, random_posteriors
from tiny_models import Audio, TabularModel
from torch import Tensor

from duolect.errors import SearchError
from duolect.search import (
    AutoregressiveScorer,
    PriorScorer,
    Weighted,
    count_prior,
    ctc_full_sum,
    frame_synchronous,
    greedy,
)

EOS = 0


def add(a: float, b: float, merge: str) -> float:
    if merge == "max" or -math.inf in (a, b):
        return max(a, b)
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def dictionary_search(
    posteriors: Tensor,
    beam: int,
    per_frame: int | None,
    merge: str,
    gain,
    skip_blank: float = math.inf,
    limit: int = 1 << 62,
) -> dict:
    """Prefix beam search as it is usually written; `gain(labels)` is what the last of them adds to the score."""
    width = posteriors.shape[1]
    entries = {(): (0.0, -math.inf)}
    extra = {(): 0.0}
    for frame_W in posteriors.double():
        y = frame_W.tolist()
        allowed = sorted(range(1, width - 1), key=lambda c: -y[c])[:per_frame]
        if y[-1] >= math.log(skip_blank):
            allowed = []
        grown: dict[tuple[int, ...], list[float]] = {}
        for labels, (blank, label) in entries.items():
            total = add(blank, label, merge)
            slot = grown.setdefault(labels, [-math.inf, -math.inf])
            slot[0] = add(slot[0], total + y[-1], merge)
            if labels:
                slot[1] = add(slot[1], label + y[labels[-1]], merge)
            for c in range(1, width - 1):
                longer = (*labels, c)
                if (c not in allowed and longer not in entries) or len(longer) > limit:
                    continue
                mass = (blank if labels and labels[-1] == c else total) + y[c]
                slot = grown.setdefault(longer, [-math.inf, -math.inf])
                slot[1] = add(slot[1], mass, merge)
                extra[longer] = extra[labels] + gain(longer)
        kept = sorted(grown, key=lambda a: -(add(*grown[a], merge) + extra[a]))[:beam]
        entries = {a: tuple(grown[a]) for a in kept if add(*grown[a], merge) + extra[a] > -math.inf}
    return {a: add(*masses, merge) + extra[a] for a, masses in entries.items()}


@pytest.mark.parametrize("merge", ["sum", "max"])
@pytest.mark.parametrize("per_frame", [None, 2])
@pytest.mark.parametrize("with_lm", [False, True])
def test_equals_a_dictionary_search(merge, per_frame, with_lm) -> None:
    """Also where sequences leave the beam and come back, which long utterances and few labels make frequent."""
    for seed in range(12):
        generator = torch.Generator().manual_seed(seed)
        width, beam = 5 + seed % 3, 2 + seed % 5
        parts = [random_posteriors(generator, frames, width, 1.5) for frames in (25, 40, 9, 31)]
        log_probs, lengths = pad(parts, 1)
        lm = TabularModel(width - 1, seed, listens=False)
        prior = count_prior([[1, 2, 2]], width - 1, eos_id=EOS, smoothing=0.5)
        scores = {}
        if with_lm:
            scores = {
                "lm": Weighted("lm", AutoregressiveScorer(lm), 0.6),
                "prior": Weighted("prior", PriorScorer(prior), 0.3),
            }
        found = frame_synchronous(
            log_probs, lengths, beam=beam, nbest=beam, eos_id=EOS, labels_per_frame=per_frame, merge=merge, **scores
        )

        def gain(labels, lm=lm, prior=prior) -> float:
            if not with_lm:
                return 0.0
            return 0.6 * float(lm.distribution(0, labels[:-1])[labels[-1]]) - 0.3 * float(prior[labels[-1]])

        for b, part in enumerate(parts):
            expected = dictionary_search(part, beam, per_frame, merge, gain)
            if with_lm:
                expected = {a: s + 0.6 * float(lm.distribution(0, a)[EOS]) for a, s in expected.items()}
            got = {h.labels: h.score for h in found[b]}
            assert got == pytest.approx(expected, abs=2e-4), f"seed {seed}, utterance {b}"


@pytest.mark.parametrize("merge", ["sum", "max"])
def test_no_hypothesis_has_more_labels_than_its_limit(merge) -> None:
    cut = 0
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        parts = [random_posteriors(generator, frames, 6, 1.5) for frames in (9, 40, 25, 31)]
        limits = [4, 0, 7, 12]
        log_probs, lengths = pad(parts, 1)
        lm = TabularModel(5, seed, listens=False)
        settings = {"beam": 4, "nbest": 4, "eos_id": EOS, "merge": merge}
        told = Weighted("lm", AutoregressiveScorer(lm), 0.6)
        found = frame_synchronous(log_probs, lengths, lm=told, limits_B=limits, **settings)
        for b, limit in enumerate(limits):
            expected = dictionary_search(
                parts[b], 4, None, merge, lambda a, lm=lm: 0.6 * float(lm.distribution(0, a[:-1])[a[-1]]), limit=limit
            )
            expected = {a: s + 0.6 * float(lm.distribution(0, a)[EOS]) for a, s in expected.items()}
            assert {h.labels: h.score for h in found[b]} == pytest.approx(expected, abs=2e-4), f"seed {seed}, {b}"
            assert all(h.truncated == (len(h.labels) == limit) for h in found[b])
            cut += sum(h.truncated for h in found[b])
        assert max(len(place) - 1 for rows in lm.stepped for place in rows) <= 12
        alone = frame_synchronous(log_probs, lengths, limits_B=limits, **settings)
        for b, limit in enumerate(limits):
            expected = dictionary_search(parts[b], 4, None, merge, lambda a: 0.0, limit=limit)
            assert {h.labels: h.score for h in alone[b]} == pytest.approx(expected, abs=2e-4), f"seed {seed}, {b}"
    assert cut > 20


@pytest.mark.parametrize("merge", ["sum", "max"])
def test_no_label_is_new_in_frames_that_are_surely_blank(merge) -> None:
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        parts = [random_posteriors(generator, frames, 6, 1.5) for frames in (25, 40, 9, 31)]
        for part in parts:
            part[torch.rand(len(part), generator=generator) < 0.4, -1] += 5.0
        parts = [part.log_softmax(-1) for part in parts]
        log_probs, lengths = pad(parts, 1)
        lm = TabularModel(5, seed, listens=False)
        settings = {"beam": 4, "nbest": 4, "eos_id": EOS, "merge": merge, "skip_blank": 0.7}
        for b, (each, alone) in enumerate(
            zip(
                frame_synchronous(log_probs, lengths, lm=Weighted("lm", AutoregressiveScorer(lm), 0.6), **settings),
                frame_synchronous(log_probs, lengths, **settings),
                strict=True,
            )
        ):
            expected = dictionary_search(
                parts[b], 4, None, merge, lambda a, lm=lm: 0.6 * float(lm.distribution(0, a[:-1])[a[-1]]), 0.7
            )
            expected = {a: s + 0.6 * float(lm.distribution(0, a)[EOS]) for a, s in expected.items()}
            assert {h.labels: h.score for h in each} == pytest.approx(expected, abs=2e-4), f"seed {seed}, utterance {b}"
            expected = dictionary_search(parts[b], 4, None, merge, lambda a: 0.0, 0.7)
            assert {h.labels: h.score for h in alone} == pytest.approx(expected, abs=2e-4), f"seed {seed}, {b}"
            (single,) = frame_synchronous(log_probs[b : b + 1], lengths[b : b + 1], **settings)
            assert {h.labels: h.score for h in alone} == pytest.approx({h.labels: h.score for h in single}, abs=2e-4)


@pytest.mark.parametrize("skip", [0.0, -1.0, 1.5, math.nan])
def test_a_threshold_that_is_no_probability_is_refused(skip) -> None:
    with pytest.raises(SearchError, match="skip_blank"):
        frame_synchronous(
            torch.zeros(1, 1, 3).log_softmax(-1), torch.tensor([1]), beam=1, nbest=1, eos_id=EOS, skip_blank=skip
        )


def test_lm_scores_each_new_sequence_once_and_all_utterances_together() -> None:
    generator = torch.Generator().manual_seed(3)
    parts = [random_posteriors(generator, frames, 5) for frames in (6, 4, 5)]
    log_probs, lengths = pad(parts)
    lm = TabularModel(4, 3)
    scorer = AutoregressiveScorer(lm)
    frame_synchronous(
        log_probs, lengths, beam=400, nbest=1, eos_id=EOS, lm=Weighted("lm", scorer, 0.5), encoded=Audio([0, 1, 2])
    )
    grown = [place for call in lm.stepped for place in call]
    assert len(grown) == len(set(grown))  # nothing leaves an unlimited beam, so nothing is computed again
    assert len(lm.stepped) <= 8  # at most one forward per frame, for all utterances
    assert scorer.statistics.labels == len(grown)


def test_alone_in_a_batch_in_another_order_with_more_padding() -> None:
    generator = torch.Generator().manual_seed(5)
    parts = [random_posteriors(generator, frames, 12) for frames in (60, 1, 33, 60, 0, 47)]
    lm, prior = TabularModel(11, 5), count_prior([[1, 2]], 11, eos_id=EOS)

    def search(order: list[int], padding: int, fill: float):
        log_probs, lengths = pad([parts[i] for i in order], padding, fill)
        found = frame_synchronous(
            log_probs,
            lengths,
            beam=6,
            nbest=4,
            eos_id=EOS,
            labels_per_frame=5,
            lm=Weighted("lm", AutoregressiveScorer(lm), 0.5),
            prior=Weighted("prior", PriorScorer(prior), 0.2),
            encoded=Audio(order),
            exact_ctc=True,
        )
        return dict(zip(order, found, strict=True))

    together = search([0, 1, 2, 3, 4, 5], 0, 0.0)
    others = [search([3, 5, 4, 1, 0, 2], 7, float("nan"))] + [search([i], 3, 1e9) for i in range(6)]
    for other in others:
        for i, found in other.items():
            assert [h.labels for h in found] == [h.labels for h in together[i]]
            for a, b in zip(found, together[i], strict=True):
                assert a.score == pytest.approx(b.score, abs=1e-4, rel=1e-6)
                assert dict(a.terms) == pytest.approx(dict(b.terms), abs=1e-4, rel=1e-6)


def test_sums_of_a_narrow_beam_are_lower_bounds_and_exact_ctc_is_the_sum() -> None:
    generator = torch.Generator().manual_seed(9)
    log_probs = torch.randn(3, 50, 20, generator=generator).log_softmax(-1)
    lengths = torch.tensor([50, 31, 44])
    settings = {"beam": 8, "nbest": 8, "eos_id": EOS}
    first = frame_synchronous(log_probs, lengths, **settings)
    exact = frame_synchronous(log_probs, lengths, exact_ctc=True, **settings)
    for b, found in enumerate(first):
        sums = dict(
            zip(
                [h.labels for h in found],
                ctc_full_sum(log_probs, lengths, [[h.labels for h in f] for f in first])[b].tolist(),
                strict=True,
            )
        )
        assert all(h.score <= sums[h.labels] + 1e-4 for h in found)
        assert {h.labels: h.score for h in exact[b]} == pytest.approx(sums, abs=1e-4)


def test_greedy_is_the_best_path() -> None:
    log_probs = torch.full((1, 6, 4), -20.0)
    for t, c in enumerate([3, 1, 1, 3, 1, 2]):
        log_probs[0, t, c] = 10.0
    log_probs = log_probs.log_softmax(-1)
    (found,) = greedy(log_probs, torch.tensor([6]), eos_id=EOS)
    assert found[0].labels == (1, 1, 2)
    assert found[0].score == pytest.approx(float(log_probs.max(-1).values.sum()))
    (shorter,) = greedy(log_probs, torch.tensor([3]), eos_id=EOS)
    assert shorter[0].labels == (1,)


@pytest.mark.parametrize("frames", [0, 1, 5])
def test_only_blanks_one_frame_no_frame_beam_beyond_the_vocabulary(frames) -> None:
    log_probs = torch.full((2, frames, 3), -torch.inf)
    log_probs[..., -1] = 0.0
    for found in (
        frame_synchronous(log_probs, torch.tensor([frames, 0]), beam=9, nbest=9, eos_id=EOS, exact_ctc=True),
        greedy(log_probs, torch.tensor([frames, 0]), eos_id=EOS),
    ):
        assert [[h.labels for h in each] for each in found] == [[()], [()]]
        assert [h[0].score for h in found] == pytest.approx([0.0, 0.0], abs=1e-5)
        assert [h[0].flags for h in found] == [() if frames else ("no_frames",), ("no_frames",)]


def test_nothing_but_impossible_sequences_is_an_answer_with_a_flag() -> None:
    log_probs = torch.full((1, 3, 3), -torch.inf)
    log_probs[..., EOS] = 0.0  # CTC must not emit EOS
    (found,) = frame_synchronous(log_probs, torch.tensor([3]), beam=3, nbest=3, eos_id=EOS, exact_ctc=True)
    assert [h.labels for h in found] == [()]
    assert found[0].flags == ("unfinished",)


def test_no_utterances() -> None:
    nothing = torch.zeros(0, 5, 4)
    assert frame_synchronous(nothing, torch.zeros(0, dtype=torch.long), beam=2, nbest=1, eos_id=EOS) == []
    assert greedy(nothing, torch.zeros(0, dtype=torch.long), eos_id=EOS) == []


def test_forbidden_labels_never_occur() -> None:
    generator = torch.Generator().manual_seed(2)
    log_probs = (torch.randn(2, 20, 8, generator=generator) * 2).log_softmax(-1)
    lengths = torch.tensor([20, 20])
    for found in (
        frame_synchronous(log_probs, lengths, beam=9, nbest=9, eos_id=EOS, forbidden_ids=[1, 3]),
        greedy(log_probs, lengths, eos_id=EOS, forbidden_ids=[1, 3]),
    ):
        assert all(not {0, 1, 3} & set(h.labels) for each in found for h in each)
