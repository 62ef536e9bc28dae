"""CTC sees only labels that the other scorers and its own best frames like: the same search as loops, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from brute_force import ctc_sums
from test_search_exactness import BATCH, EOS, Case
from tiny_models import Audio, TabularModel

from duolect.errors import SearchError
from duolect.search import AutoregressiveScorer, CTCPrefixScorer, Weighted, label_synchronous

Labels = tuple[int, ...]


def beam_by_loops(
    case: Case, b: int, names: Sequence[str], beam: int, candidates: int, forbidden: Sequence[int]
) -> dict[Labels, float]:
    """Finished hypotheses → scores. `names`: the other scorers; CTC is one anyway."""
    sums = ctc_sums(case.parts[b]) if len(case.parts[b]) else {(): (0.0, 0.0)}
    weights = case.weights

    def log_psi(prefix: Labels) -> float:
        found = [s for a, (s, _) in sums.items() if a[: len(prefix)] == prefix]
        return float(torch.tensor(found or [-math.inf], dtype=torch.float64).logsumexp(0))

    def others(prefix: Labels, c: int) -> float:
        total = 0.0
        for name in names:
            if name == "prior":
                total -= weights[name] * float(case.prior[c]) * (c != EOS)
            else:
                model, key = (case.decoder, case.audio.keys[b]) if name == "decoder" else (case.lm, 0)
                total += weights[name] * float(model.distribution(key, prefix)[c].double())
        return total

    def estimate(prefix: Labels, c: int) -> float:
        heard = max((float(frame[c]) for frame in case.parts[b]), default=-math.inf)
        return others(prefix, c) + weights["ctc"] * heard

    live, finished = {(): 0.0}, {}
    for count in range(case.limits[b] + 1):
        continued: list[tuple[float, Labels, int]] = []
        for prefix, score in live.items():
            allowed = [c for c in case.labels if c not in forbidden]
            best = sorted(allowed, key=lambda c: -estimate(prefix, c))[:candidates] if count < case.limits[b] else []
            psi = log_psi(prefix)
            for c in [*best, EOS]:
                mass = sums.get(prefix, (-math.inf, 0.0))[0] if c == EOS else log_psi((*prefix, c))
                if mass > -math.inf:
                    continued.append((score + others(prefix, c) + weights["ctc"] * (mass - psi), prefix, c))
        continued.sort(key=lambda entry: -entry[0])
        best_entries = continued[: 2 * beam]
        finished |= {prefix: score for score, prefix, c in best_entries[:beam] if c == EOS}
        live = dict([((*prefix, c), score) for score, prefix, c in best_entries if c != EOS][:beam])
    return finished


@pytest.mark.parametrize("names", [("decoder",), ("lm", "prior"), ("decoder", "lm", "prior")])
@pytest.mark.parametrize("beam", [1, 3])
def test_equals_the_search_as_loops(names: tuple[str, ...], beam: int) -> None:
    """240 utterances a case, of one to three candidates; a forbidden label takes no candidate's place."""
    for seed in range(24):
        case = Case(seed)
        forbidden = [1] if case.vocabulary > 2 and seed % 2 else []
        candidates = 1 + seed % max(len(case.labels) - len(forbidden), 1)
        found = label_synchronous(
            [case.weighted(name) for name in (*names, "ctc")],
            case.audio,
            beam=beam,
            nbest=2,
            limits_B=case.limits,
            eos_id=EOS,
            candidates=candidates,
            forbidden_ids=forbidden,
        )
        for b, each in enumerate(found):
            where = f"seed {seed}, utterance {b}"
            expected = beam_by_loops(case, b, names, beam, candidates, forbidden)
            ranking = sorted(expected, key=lambda labels: -expected[labels])[:2]
            if not ranking:
                assert "unfinished" in each[0].flags, where
                continue
            assert [h.labels for h in each] == ranking, where
            assert [h.score for h in each] == pytest.approx([expected[a] for a in ranking], abs=1e-4), where


def test_a_label_that_only_ctc_hears_is_among_the_candidates() -> None:
    """The decoder likes 1 a little more than 2, which alone is in the sound."""

    class Deaf(TabularModel):
        def distribution(self, audio, history):
            return torch.tensor([0.2, 0.5, 0.3]).log()

    log_probs = torch.tensor([[[1e-6, 1e-6, 0.9, 0.1 - 2e-6]]]).log()
    scorers = [
        Weighted("decoder", AutoregressiveScorer(Deaf(3, 0))),
        Weighted("ctc", CTCPrefixScorer(log_probs, torch.tensor([1]), eos_id=EOS)),
    ]
    (found,) = label_synchronous(scorers, Audio([0]), beam=2, nbest=1, limits_B=[3], eos_id=EOS, candidates=1)
    assert found[0].labels == (2,)


def test_a_scorer_by_candidate_needs_an_estimate() -> None:
    model = AutoregressiveScorer(TabularModel(3, 0))
    scorers = [Weighted("decoder", model), Weighted("other", AutoregressiveScorer(TabularModel(3, 1)))]
    scorers[1].scorer.by_candidate = True
    with pytest.raises(SearchError, match="'other' is by candidate, but has no `estimate`"):
        label_synchronous(scorers, Audio([0]), beam=2, nbest=1, limits_B=[3], eos_id=EOS, candidates=1)


class Counting(CTCPrefixScorer):
    """Notes how many labels it was asked for."""

    def __init__(self, *arguments, **settings) -> None:
        super().__init__(*arguments, **settings)
        self.asked: list[int | None] = []

    def score(self, state, candidates_RC=None):
        self.asked.append(None if candidates_RC is None else candidates_RC.shape[1])
        return super().score(state, candidates_RC)


@pytest.mark.parametrize(("candidates", "asked"), [(None, {None}), (2, {3}), (7, {8}), (8, {None}), (50, {None})])
def test_ctc_is_asked_for_the_candidates_and_eos_alone(candidates: int | None, asked: set[int | None]) -> None:
    """As many candidates as labels are no candidates: then all are scored at once."""
    log_probs = torch.randn(BATCH, 6, 9, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    ctc = Counting(log_probs, torch.full((BATCH,), 6), eos_id=EOS)
    scorers = [Weighted("decoder", AutoregressiveScorer(TabularModel(8, 0))), Weighted("ctc", ctc)]
    audio = Audio(range(BATCH))
    label_synchronous(scorers, audio, beam=2, nbest=1, limits_B=[4] * BATCH, eos_id=EOS, candidates=candidates)
    assert set(ctc.asked) == asked
