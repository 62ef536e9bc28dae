"""Every search with an unlimited beam finds the best of all sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from brute_force import all_sequences, ctc_sums, pad, random_posteriors
from tiny_models import Audio, TabularModel

from duolect.search import (
    AutoregressiveScorer,
    CTCPrefixScorer,
    Hypothesis,
    PriorScorer,
    Weighted,
    combine,
    count_prior,
    ctc_full_sum,
    frame_synchronous,
    label_synchronous,
    sequence_scores,
)

EOS = 0
BATCH, BATCHES = 10, 24  # 240 utterances per test
Scores = Mapping[tuple[int, ...], float]


class Case:
    """A batch of random utterances with everything that may score them."""

    def __init__(self, seed: int, limit: int = 4) -> None:
        generator = torch.Generator().manual_seed(seed)
        draw = lambda low, high: int(torch.randint(low, high + 1, (), generator=generator))  # noqa: E731
        self.seed = seed
        self.vocabulary = draw(2, 4)
        self.labels = list(range(1, self.vocabulary))
        self.unlimited = {2: 8, 3: 128, 4: 400}[self.vocabulary]  # more than there are sequences that fit into 6 frames
        self.parts = [random_posteriors(generator, draw(0, 6), self.vocabulary + 1) for _ in range(BATCH)]
        if not any(len(p) for p in self.parts):
            self.parts[0] = random_posteriors(generator, 3, self.vocabulary + 1)
        self.log_probs, self.lengths = pad(self.parts, draw(0, 2))
        self.limits = [draw(0, limit) for _ in self.parts]
        self.audio = Audio([draw(0, 10**6) for _ in self.parts])
        self.lm = TabularModel(self.vocabulary, seed, listens=False)
        self.decoder = TabularModel(self.vocabulary, seed + 7)
        self.prior = count_prior([[draw(1, self.vocabulary - 1)] * 3], self.vocabulary, eos_id=EOS, smoothing=0.3)
        self.weights = {
            name: round(float(torch.rand((), generator=generator)) * 1.5 + 0.1, 3)
            for name in ("ctc", "decoder", "lm", "prior")
        }

    def weighted(self, name: str) -> Weighted:
        scorer = {
            "ctc": lambda: CTCPrefixScorer(self.log_probs, self.lengths, eos_id=EOS),
            "decoder": lambda: AutoregressiveScorer(self.decoder),
            "lm": lambda: AutoregressiveScorer(self.lm),
            "prior": lambda: PriorScorer(self.prior),
        }[name]()
        return Weighted(name, scorer, self.weights[name])

    def ctc(self, b: int) -> Mapping[tuple[int, ...], tuple[float, float]]:
        """Sequences with at least one alignment → full sum and best alignment."""
        sums = ctc_sums(self.parts[b]) if len(self.parts[b]) else {(): (0.0, 0.0)}
        return {labels: scores for labels, scores in sums.items() if EOS not in labels}

    def term(self, name: str, b: int, labels: tuple[int, ...]) -> float:
        """Unweighted log p by a model other than CTC."""
        if name == "decoder":
            return self.decoder.sequence_score(self.audio.keys[b], labels, EOS)
        return self.lm.sequence_score(0, labels, EOS) if name == "lm" else float(sum(self.prior[c] for c in labels))

    def reference(
        self, b: int, names: tuple[str, ...], limit: int, *, exponent: float = 0.0, best: bool = False
    ) -> Scores:
        """The weighted score of every possible sequence of at most `limit` labels."""
        ctc = self.ctc(b)
        scores = {}
        for labels in ctc if "ctc" in names else all_sequences(self.labels, limit):
            if len(labels) > limit:
                continue
            total = self.weights["ctc"] * ctc[labels][best] if "ctc" in names else 0.0
            for name in set(names) - {"ctc"}:
                total += (-1 if name == "prior" else 1) * self.weights[name] * self.term(name, b, labels)
            scores[labels] = total / (len(labels) + 1) ** exponent
        return scores


def check(case: Case, b: int, found: list[Hypothesis], reference: Scores, *, depth: int = 1) -> None:
    """The first `depth` hypotheses are the best sequences, in order, with their scores."""
    where = f"seed {case.seed}, utterance {b}"
    expected = sorted((s for s in reference.values() if s > -torch.inf), reverse=True)[:depth]
    assert [h.score for h in found[:depth]] == pytest.approx(expected, abs=1e-4), where
    for hypothesis in found:
        assert reference[hypothesis.labels] == pytest.approx(hypothesis.score, abs=1e-4), where
    assert len({h.labels for h in found}) == len(found), where


def run_all(
    search: Callable[[Case], list[list[Hypothesis]]], reference: Callable[[Case, int], Scores], depth: int
) -> None:
    """240 random utterances."""
    for seed in range(BATCHES):
        case = Case(seed)
        for b, found in enumerate(search(case)):
            check(case, b, found, reference(case, b), depth=depth)


@pytest.mark.parametrize("merge", ["sum", "max"])
def test_ctc_over_frames(merge) -> None:
    def search(case: Case):
        return frame_synchronous(
            case.log_probs,
            case.lengths,
            beam=case.unlimited,
            nbest=5,
            eos_id=EOS,
            merge=merge,
            ctc_weight=case.weights["ctc"],
        )

    run_all(search, lambda case, b: case.reference(b, ("ctc",), 6, best=merge == "max"), depth=5)


@pytest.mark.parametrize("names", [(), ("decoder", "lm", "prior")])
@pytest.mark.parametrize("merge", ["sum", "max"])
def test_over_frames_within_limits(names, merge) -> None:
    def search(case: Case):
        return frame_synchronous(
            case.log_probs,
            case.lengths,
            beam=case.unlimited,
            nbest=5,
            eos_id=EOS,
            merge=merge,
            ctc_weight=case.weights["ctc"],
            scorers=[case.weighted(name) for name in names],
            encoded=case.audio,
            limits_B=case.limits,
        )

    run_all(search, lambda case, b: case.reference(b, ("ctc", *names), case.limits[b], best=merge == "max"), depth=5)


@pytest.mark.parametrize("names", [("lm",), ("lm", "prior"), ("decoder",), ("decoder", "lm", "prior")])
def test_label_wise_over_frames(names) -> None:
    def search(case: Case):
        return frame_synchronous(
            case.log_probs,
            case.lengths,
            beam=case.unlimited,
            nbest=5,
            eos_id=EOS,
            ctc_weight=case.weights["ctc"],
            lm=case.weighted("lm") if "lm" in names else None,
            prior=case.weighted("prior") if "prior" in names else None,
            scorers=[case.weighted("decoder")] if "decoder" in names else [],
            encoded=case.audio,
        )

    run_all(search, lambda case, b: case.reference(b, ("ctc", *names), 6), depth=5)


@pytest.mark.parametrize(
    ("names", "exponent"),
    [
        (("ctc",), 0.0),
        (("decoder",), 0.0),
        (("decoder",), 1.0),
        (("lm", "prior"), 0.7),
        (("decoder", "ctc"), 0.0),
        (("ctc", "lm", "prior"), 0.0),
        (("decoder", "lm", "ctc"), 1.0),
        (("decoder", "ctc", "lm", "prior"), 0.5),
    ],
)
def test_over_labels(names, exponent) -> None:
    def search(case: Case):
        return label_synchronous(
            [case.weighted(n) for n in names],
            case.audio,
            beam=case.unlimited,
            nbest=4,
            limits_B=case.limits,
            eos_id=EOS,
            length_exponent=exponent,
        )

    run_all(search, lambda case, b: case.reference(b, names, case.limits[b], exponent=exponent), depth=4)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_exact_stopping_with_one_best(exponent) -> None:
    """The bound lets an utterance end early, but never too early."""

    def search(case: Case):
        scorers = [case.weighted(n) for n in ("decoder", "ctc", "prior")]
        return label_synchronous(
            scorers,
            case.audio,
            beam=case.unlimited,
            nbest=1,
            limits_B=case.limits,
            eos_id=EOS,
            length_exponent=exponent,
        )

    run_all(
        search, lambda case, b: case.reference(b, ("decoder", "ctc", "prior"), case.limits[b], exponent=exponent), 1
    )


@pytest.mark.parametrize("spare", [0, 3])
def test_all_candidates_change_nothing(spare) -> None:
    """C = V − 1 (all labels that are not EOS) and C ≥ V equal the search without candidate limits."""
    for seed in range(BATCHES):
        case = Case(seed)
        settings = {"beam": 5, "nbest": 3, "limits_B": case.limits, "eos_id": EOS}
        scorers = lambda: [case.weighted(n) for n in ("decoder", "ctc", "prior")]  # noqa: B023, E731
        plain = label_synchronous(scorers(), case.audio, **settings)
        limited = label_synchronous(scorers(), case.audio, candidates=case.vocabulary - 1 + spare, **settings)
        for a, b in zip(plain, limited, strict=True):
            assert [h.labels for h in a] == [h.labels for h in b], f"seed {seed}"
            assert [h.score for h in a] == pytest.approx([h.score for h in b], abs=1e-4), f"seed {seed}"
            assert [h.truncated for h in a] == [h.truncated for h in b], f"seed {seed}"


def test_rescoring() -> None:
    """The n-best list of an unlimited CTC beam, rescored, holds the best sequence under all terms."""

    def search(case: Case):
        nbest = frame_synchronous(case.log_probs, case.lengths, beam=case.unlimited, nbest=case.unlimited, eos_id=EOS)
        labels = [[h.labels for h in each] for each in nbest]
        scores = {
            "lm": sequence_scores(case.lm, None, labels, eos_id=EOS, max_tokens=64),
            "decoder": sequence_scores(case.decoder, case.audio, labels, eos_id=EOS, max_tokens=64),
            "prior": [[float(case.prior[list(a)].sum()) for a in each] for each in labels],
            "ctc": ctc_full_sum(case.log_probs, case.lengths, labels),
        }
        found: list[list[Hypothesis]] = []
        for b, sequences in enumerate(labels):
            terms = [{name: float(scores[name][b][k]) for name in scores} for k in range(len(sequences))]
            rescored = [
                Hypothesis(labels=a, score=combine(t, case.weights), terms=t)
                for a, t in zip(sequences, terms, strict=True)
            ]
            found.append(sorted(rescored, key=lambda h: -h.score))
        return found

    run_all(search, lambda case, b: case.reference(b, ("ctc", "decoder", "lm", "prior"), 6), depth=5)


def test_terms_sum_to_the_score() -> None:
    """The terms are unweighted logs; their weighted sum is the score, and each is that model's own."""
    for seed in range(BATCHES):
        case = Case(seed)
        names = ("ctc", "decoder", "lm", "prior")
        over_labels = label_synchronous(
            [case.weighted(n) for n in names], case.audio, beam=6, nbest=3, limits_B=[6] * BATCH, eos_id=EOS
        )
        over_frames = frame_synchronous(
            case.log_probs,
            case.lengths,
            beam=6,
            nbest=3,
            eos_id=EOS,
            ctc_weight=case.weights["ctc"],
            lm=case.weighted("lm"),
            prior=case.weighted("prior"),
            scorers=[case.weighted("decoder")],
            encoded=case.audio,
            exact_ctc=True,
        )
        for results in (over_labels, over_frames):
            for b, found in enumerate(results):
                ctc = case.ctc(b)
                for h in found:
                    expected = {name: case.term(name, b, h.labels) for name in names if name != "ctc"}
                    expected["ctc"] = ctc[h.labels][0]
                    assert dict(h.terms) == pytest.approx(expected, abs=1e-4), f"seed {seed}, utterance {b}"
                    assert combine(h.terms, case.weights) == pytest.approx(h.score, abs=1e-4)
                assert found == sorted(found, key=lambda h: -h.score)
