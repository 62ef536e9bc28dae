"""The compiled search over frames gives what the tensor one gives."""

from __future__ import annotations

import random

import pytest
import torch
from brute_force import ctc_sums, pad, random_posteriors

from duolect.search import Hypothesis, ctc_full_sum, frame_synchronous, kernels

pytestmark = pytest.mark.skipif(not kernels.available(), reason="Numba is not installed")
EOS = 0


@pytest.fixture
def both(monkeypatch):
    """A search by the compiled loop and by tensors."""

    def search(*args, **settings) -> tuple[list[list[Hypothesis]], list[list[Hypothesis]]]:
        called = []
        beams = kernels.ctc_beams
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "ctc_beams", lambda *a, **k: called.append(1) or beams(*a, **k))
            compiled = frame_synchronous(*args, eos_id=EOS, **settings)
            assert called
            patch.setattr(kernels, "available", lambda: False)
            tensors = frame_synchronous(*args, eos_id=EOS, **settings)
            assert len(called) == 1
        return compiled, tensors

    return search


def same(compiled: list[list[Hypothesis]], tensors: list[list[Hypothesis]], case: object) -> None:
    """Equal lists: labels, scores, terms, flags, order; neighbours closer than the tolerance may change places."""
    for b, (ours, theirs) in enumerate(zip(compiled, tensors, strict=True)):
        place = f"{case}, utterance {b}"
        expected = [h.score for h in theirs]
        assert [h.score for h in ours] == pytest.approx(expected, abs=1e-4, rel=1e-6), place
        assert [h.flags for h in ours] == [h.flags for h in theirs], place
        by_labels = {h.labels: h for h in theirs}
        assert len({h.labels for h in ours}) == len(ours), place
        for i, h in enumerate(ours):
            if h.labels in by_labels:
                assert h.score == pytest.approx(by_labels[h.labels].score, abs=1e-4, rel=1e-6), place
                assert dict(h.terms) == pytest.approx(dict(by_labels[h.labels].terms), abs=1e-4, rel=1e-6), place
            else:  # one of a tie at the end of the list
                assert abs(h.score - expected[-1]) < 2e-4, place
            if h.labels != theirs[i].labels:
                assert sum(abs(h.score - e) < 2e-4 for e in expected) > 1 or i == len(ours) - 1, place


def test_random_cases(both) -> None:
    """Beams narrow and wide, few labels that repeat and return, limits on labels, both merges, forbidden labels."""
    for seed in range(240):
        draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
        width = draw.choice([3, 4, 6, 12, 40])
        lengths = [draw.choice([0, 1, 2, 5, 12, 30]) for _ in range(draw.choice([1, 3]))]
        parts = [random_posteriors(generator, n, width, draw.choice([0.3, 1.5, 4.0])) for n in lengths]
        settings = {
            "beam": draw.choice([1, 2, 5, 16, 70]),
            "nbest": draw.choice([1, 4, 100]),
            "labels_per_frame": draw.choice([None, None, 1, 3, 100]),
            "merge": draw.choice(["sum", "max"]),
            "ctc_weight": draw.choice([1.0, 0.3]),
            "forbidden_ids": draw.choice([[], [width - 2]]) if width > 3 else [],
            "exact_ctc": draw.random() < 0.2,
            "skip_blank": draw.choice([None, None, 0.2, 0.6]),
        }
        log_probs, lengths_B = pad(parts, draw.choice([0, 3]), float("nan"))
        compiled, tensors = both(log_probs, lengths_B, **settings)
        same(compiled, tensors, f"seed {seed}, {settings}")


def test_narrow_beams_over_flat_posteriors(both) -> None:
    """The threshold rises often, also at a repeated label, which has less mass than the labels after it."""
    for seed in range(400):
        draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)
        width, beam, frames = draw.choice([4, 5, 6, 8]), draw.choice([3, 4, 5, 8]), draw.choice([4, 6, 8, 12])
        log_probs = random_posteriors(generator, frames, width, draw.choice([0.3, 1.0, 2.0]))[None]
        same(*both(log_probs, torch.tensor([frames]), beam=beam, nbest=beam), f"seed {seed}")


def test_long_utterances_and_many_labels(both) -> None:
    """The trie and its hash table grow several times."""
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        log_probs = (torch.randn(1, 200, 60, generator=generator) * 2.5).log_softmax(-1)
        same(*both(log_probs, torch.tensor([200]), beam=48, nbest=48), f"seed {seed}")


def test_unlimited_beam_equals_brute_force() -> None:
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        posteriors = random_posteriors(generator, 1 + seed % 6, 4)
        sums = {a: s[0] for a, s in ctc_sums(posteriors).items() if EOS not in a and s[0] > -torch.inf}
        found = kernels.ctc_beams(
            posteriors[None],
            torch.tensor([len(posteriors)]),
            beam=2000,
            nbest=2000,
            special=[EOS],
            labels_per_frame=None,
            take_max=False,
            skip_blank=None,
            ctc_weight=1.0,
            name="ctc",
        )
        assert {h.labels: h.score for h in found[0]} == pytest.approx(sums, abs=1e-5), f"seed {seed}"


def test_ties(both) -> None:
    """All labels equally likely: any of the tied sequences may stay; the lists are full, the scores are sums."""
    for frames, width, beam in ((1, 5, 3), (4, 5, 6), (6, 3, 64), (3, 30, 10)):
        log_probs = torch.zeros(2, frames, width).log_softmax(-1)
        lengths = torch.tensor([frames, frames])
        compiled, tensors = both(log_probs, lengths, beam=beam, nbest=beam)
        sums = ctc_full_sum(log_probs, lengths, [[h.labels for h in each] for each in compiled])
        for ours, theirs, exact in zip(compiled, tensors, sums, strict=True):
            assert len({h.labels for h in ours}) == len(ours) == len(theirs)
            assert all(h.score <= most + 1e-5 for h, most in zip(ours, exact.tolist(), strict=True))
            if frames == 1 or beam == 64:
                assert [h.score for h in ours] == pytest.approx([h.score for h in theirs], abs=1e-5)
        assert compiled[0] == compiled[1]


def test_odd_input(both) -> None:
    """No utterance, no frame, one frame, only blanks, only what must not be emitted, a beam beyond all sequences."""
    blanks = torch.full((2, 5, 3), -torch.inf)
    blanks[..., -1] = 0.0
    same(*both(blanks, torch.tensor([5, 0]), beam=9, nbest=9, exact_ctc=True), "blanks")
    impossible = torch.full((1, 3, 3), -torch.inf)
    impossible[..., EOS] = 0.0
    compiled, tensors = both(impossible, torch.tensor([3]), beam=3, nbest=3)
    assert compiled == tensors
    assert compiled[0][0].flags == ("unfinished",)
    assert frame_synchronous(torch.zeros(0, 5, 4), torch.zeros(0, dtype=torch.long), beam=2, nbest=1, eos_id=EOS) == []
    one = torch.randn(3, 1, 7).log_softmax(-1)
    same(*both(one, torch.tensor([1, 1, 1]), beam=500, nbest=500), "one frame")
    half = torch.randn(2, 9, 7).log_softmax(-1).to(torch.bfloat16).float().log_softmax(-1).double()
    same(*both(half, torch.tensor([9, 4]), beam=8, nbest=8), "float64")


def test_threads_batch_order_and_padding_do_not_matter(monkeypatch) -> None:
    generator = torch.Generator().manual_seed(4)
    parts = [random_posteriors(generator, n, 30) for n in (50, 0, 21, 50, 1, 33)]
    log_probs, lengths = pad(parts)
    settings = {"beam": 12, "nbest": 12, "eos_id": EOS}
    together = frame_synchronous(log_probs, lengths, **settings)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert frame_synchronous(log_probs, lengths, **settings) == together
    padded, lengths = pad(parts[::-1], 11, float("nan"))
    assert frame_synchronous(padded, lengths, **settings) == together[::-1]
    for i, part in enumerate(parts):
        assert frame_synchronous(part[None], torch.tensor([len(part)]), **settings) == [together[i]]
