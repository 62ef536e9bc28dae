"""CTC prefix scores: enumeration, a float64 recursion as it is written, F.ctc_loss."""

from __future__ import annotations

import math

import pytest
import torch
from brute_force import all_sequences, ctc_sums, pad, random_posteriors
from torch import Tensor
from torch.nn import functional

from duolect.errors import SearchError
from duolect.search import CTCPrefixScorer, ctc_full_sum
from duolect.search import ctc_prefix as module

EOS = 0


def after(scorer: CTCPrefixScorer, utterances: int, labels: list[tuple[int, ...]], owner: list[int]):
    """State with one row per label sequence, reached label by label."""
    state = scorer.start(None, utterances)
    rows = torch.tensor(owner)
    for n in range(max(map(len, labels))):
        label = torch.tensor([a[n] if n < len(a) else -1 for a in labels])
        state = scorer.advance(state, None, rows, label)
        rows = torch.arange(len(labels))
    return state if labels and max(map(len, labels)) else scorer.advance(state, None, rows, torch.full_like(rows, -1))


def recursion(log_probs_TW: Tensor, labels: tuple[int, ...]) -> tuple[Tensor, float]:
    """The recursion as it is written, in float64: log ψ(h·c) for all c (EOS in its column), log ψ(h)."""
    y = log_probs_TW.double()
    frames, blank = len(y), y.shape[1] - 1
    ninf = torch.tensor(-math.inf, dtype=torch.float64)
    g_n = [ninf] * (frames + 1)
    g_b = [torch.zeros((), dtype=torch.float64)]
    for t in range(frames):
        g_b.append(g_b[-1] + y[t, blank])
    psi = torch.zeros((), dtype=torch.float64)

    def phi(t: int, c: int, last: int | None) -> Tensor:
        return g_b[t - 1] if c == last else torch.logaddexp(g_b[t - 1], g_n[t - 1])

    last = None
    for c in labels:
        new_n, new_b = [ninf], [ninf]
        psi = ninf
        for t in range(1, frames + 1):
            psi = torch.logaddexp(psi, phi(t, c, last) + y[t - 1, c])
            new_b.append(torch.logaddexp(new_b[-1], new_n[-1]) + y[t - 1, blank])
            new_n.append(torch.logaddexp(new_n[-1], phi(t, c, last)) + y[t - 1, c])
        g_n, g_b, last = new_n, new_b, c
    out = torch.full((blank,), -math.inf, dtype=torch.float64)
    for c in range(blank):
        for t in range(1, frames + 1):
            out[c] = torch.logaddexp(out[c], phi(t, c, last) + y[t - 1, c])
    out[EOS] = torch.logaddexp(g_n[-1], g_b[-1])
    return out, float(psi)


def test_prefix_and_end_scores_equal_enumeration() -> None:
    """ψ(h) is the sum over all sequences that begin with h; ψ(h·EOS) the sum over the alignments of h."""
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        width = int(torch.randint(3, 6, (), generator=generator))
        parts = [random_posteriors(generator, frames, width) for frames in (5, 1, 4, 6 if width < 5 else 3, 2)]
        log_probs, lengths = pad(parts, 2, fill=float("nan"))
        scorer = CTCPrefixScorer(log_probs, lengths, eos_id=EOS)
        for b, part in enumerate(parts):
            sums = {a: s for a, (s, _) in ctc_sums(part).items()}

            def psi(prefix, sums=sums):
                found = [s for a, s in sums.items() if a[: len(prefix)] == prefix]
                return float(torch.tensor(found or [-math.inf], dtype=torch.float64).logsumexp(0))

            possible = [a for a in all_sequences(range(1, width - 1), 2) if psi(a) > -math.inf]
            state = after(scorer, len(parts), possible, [b] * len(possible))
            scores, _ = scorer.score(state)
            for row, prefix in zip(scores, possible, strict=True):
                for c in range(width - 1):
                    total = sums.get(prefix, -math.inf) if c == EOS else psi((*prefix, c))
                    expected = total - psi(prefix)
                    assert float(row[c]) == pytest.approx(expected, abs=1e-4), f"seed {seed}, {prefix}, {c}"


@pytest.mark.parametrize("sharpness", [0.5, 3.0, 20.0])
def test_long_inputs_equal_a_float64_recursion(sharpness) -> None:
    """Peaked and flat posteriors, ordinary and unlikely prefixes, repeats; all labels and candidates alike."""
    generator = torch.Generator().manual_seed(int(sharpness * 10))
    parts = [random_posteriors(generator, frames, 9, sharpness) for frames in (120, 37)]
    log_probs, lengths = pad(parts, 3)
    scorer = CTCPrefixScorer(log_probs, lengths, eos_id=EOS)
    prefixes = [(1,), (2, 2, 3), (5, 5, 5, 5, 1, 2), tuple(1 + n % 7 for n in range(18)), ()]
    owner = [n % 2 for n in range(len(prefixes))]
    state = after(scorer, 2, prefixes, owner)
    everything, _ = scorer.score(state)
    candidates = torch.randint(0, 8, (len(prefixes), 5), generator=generator)
    some, _ = scorer.score(state, candidates)
    for row, (prefix, b) in enumerate(zip(prefixes, owner, strict=True)):
        totals, psi = recursion(parts[b], prefix)
        expected = totals - psi
        close = {"abs": 1e-4, "rel": 1e-5}
        assert everything[row].tolist() == pytest.approx(expected.tolist(), **close)
        assert some[row].tolist() == pytest.approx(expected[candidates[row]].tolist(), **close)


def test_lost_products_are_done_again_in_the_log_domain() -> None:
    """A label whose only frames are e⁻²⁰⁰ less likely to be reached than the others still has its exact score."""
    log_probs = torch.full((1, 40, 4), -250.0)
    log_probs[0, :, 3] = 0.0
    log_probs[0, :20, 1] = 0.0
    log_probs[0, 10, 2] = 0.0
    log_probs = log_probs.log_softmax(-1)
    scorer = CTCPrefixScorer(log_probs, torch.tensor([40]), eos_id=EOS)
    state = after(scorer, 1, [(1, 1, 1, 1, 1, 1, 1)], [0])
    state = scorer.advance(state, None, torch.tensor([0]), torch.tensor([1]))
    scores, _ = scorer.score(state)
    totals, psi = recursion(log_probs[0], (1,) * 8)
    assert scores[0].tolist() == pytest.approx((totals - psi).tolist(), abs=1e-3, rel=1e-5)


def test_end_score_is_ctc_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(4, 90, 30, generator=generator).log_softmax(-1)
    lengths = torch.tensor([90, 64, 7, 0])
    nbest = [
        [tuple(torch.randint(1, 29, (n,), generator=generator).tolist()) for n in (12, 0, 30, 1)],
        [(3, 3, 3, 3, 4), (3, 3, 3, 3, 4), (3, 3, 3)],
        [(1, 1, 1, 1, 1), (1, 2, 3, 4, 5, 6, 7), ()],  # the first needs 9 frames, and there are 7
        [(), (5,)],
    ]
    found = ctc_full_sum(log_probs, lengths, nbest)
    for b, each in enumerate(nbest):
        for labels, score in zip(each, found[b].tolist(), strict=True):
            if lengths[b]:
                frames_T1W = log_probs[b, : lengths[b], None].double()
                targets = torch.tensor([labels], dtype=torch.long)
                sizes = torch.tensor([len(labels)])
                expected = -float(functional.ctc_loss(frames_T1W, targets, lengths[b : b + 1], sizes, 29, "none"))
            else:
                expected = -math.inf if labels else 0.0
            assert score == pytest.approx(expected, abs=1e-4, rel=1e-5)
    assert ctc_full_sum(log_probs, lengths, [[], [], [], []])[0].shape == (0,)


def test_utterances_that_end_are_dropped_without_a_trace(monkeypatch) -> None:
    generator = torch.Generator().manual_seed(4)
    parts = [random_posteriors(generator, frames, 6) for frames in (9, 30, 12, 5, 20)]
    log_probs, lengths = pad(parts)
    scorer = CTCPrefixScorer(log_probs, lengths, eos_id=EOS)
    state = scorer.start(None, 5)
    scorer.score(state)
    rows = torch.tensor([2, 0, 2])
    state = scorer.advance(state, None, rows, torch.tensor([1, 2, 3]))
    assert len(state.frames.lengths_B) == 2
    assert state.frames.labels_first_BWT.shape[-1] == 12
    whole = after(CTCPrefixScorer(log_probs, lengths, eos_id=EOS), 5, [(1,), (2,), (3,)], [2, 0, 2])
    torch.testing.assert_close(scorer.score(state)[0], scorer.score(whole)[0])
    nothing = scorer.advance(state, None, torch.tensor([], dtype=torch.long), torch.tensor([], dtype=torch.long))
    assert scorer.score(nothing)[0].shape == (0, 5)
    monkeypatch.setattr(module, "_CHUNK", 7)  # scores do not depend on the size of the working memory
    candidates = torch.tensor([[1, 2, 0], [4, 4, 1], [3, 2, 1]])
    expected = scorer.score(state)[0].gather(1, candidates)
    torch.testing.assert_close(scorer.score(state, candidates)[0], expected)


def test_append_is_the_sum_of_single_scores() -> None:
    generator = torch.Generator().manual_seed(6)
    log_probs, lengths = pad([random_posteriors(generator, frames, 5, 0.5) for frames in (9, 14)])
    scorer = CTCPrefixScorer(log_probs, lengths, eos_id=EOS)
    labels, counts = torch.tensor([[1, 1, 2], [3, 2, 0]]), torch.tensor([3, 2])
    total, state = scorer.append(scorer.start(None, 2), labels, counts)
    expected = torch.zeros(2)
    single = scorer.start(None, 2)
    for n in range(3):
        live = n < counts
        expected += torch.where(live, scorer.score(single)[0].gather(1, labels[:, n : n + 1])[:, 0], 0.0)
        single = scorer.advance(single, None, torch.arange(2), torch.where(live, labels[:, n], -1))
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(scorer.score(state)[0], scorer.score(single)[0])


def test_impossible_prefixes_give_no_nan() -> None:
    log_probs = torch.full((1, 2, 3), -math.inf)
    log_probs[..., 2] = 0.0
    scorer = CTCPrefixScorer(log_probs, torch.tensor([2]), eos_id=EOS)
    state = scorer.advance(scorer.start(None, 1), None, torch.tensor([0]), torch.tensor([1]))
    for scores in (scorer.score(state)[0], scorer.score(state, torch.tensor([[0, 1]]))[0]):
        assert scores.tolist() == [[-math.inf, -math.inf]]


def test_batch_of_another_size_is_refused() -> None:
    scorer = CTCPrefixScorer(torch.zeros(1, 2, 3).log_softmax(-1), torch.tensor([2]), eos_id=EOS)
    with pytest.raises(SearchError, match="1 utterances for a search over 3"):
        scorer.start(None, 3)
