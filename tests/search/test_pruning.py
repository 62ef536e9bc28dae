"""Label pruning: the search over the kept labels finds the best sequence of the restricted, renormalised problem."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from brute_force import all_sequences, ctc_sums, pad, random_posteriors
from tiny_models import Audio, TabularModel
from torch import Tensor

from duolect.errors import SearchError
from duolect.search import (
    AutoregressiveScorer,
    CTCPrefixScorer,
    Hypothesis,
    KeptLabels,
    PriorScorer,
    RestrictedModel,
    Weighted,
    count_prior,
    frame_synchronous,
    keep_labels,
    label_synchronous,
)

EOS = 0
BATCH, BATCHES = 8, 30  # 240 utterances a test
WEIGHTS = {"ctc": 0.8, "decoder": 1.1, "lm": 0.5, "prior": 0.3}


def kept_by_loop(log_probs_TW: Tensor, count: int, forbidden: Sequence[int], by: str) -> list[int]:
    """The kept labels of one utterance in ascending order, EOS not among them."""
    ranks = {}
    for c in range(log_probs_TW.shape[1] - 1):
        values = log_probs_TW[:, c].double().tolist()
        if c in (EOS, *forbidden) or all(v == -math.inf for v in values):
            continue
        ranks[c] = max(values) if by == "max" else sum(max(v, -1e4) for v in values) / len(values)
    return sorted(sorted(ranks, key=lambda c: -ranks[c])[:count])


class Case:
    """A batch of random utterances; `settings` differ from batch to batch."""

    def __init__(self, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        draw = lambda low, high: int(torch.randint(low, high + 1, (), generator=generator))  # noqa: E731
        self.seed, self.vocabulary = seed, draw(4, 7)
        self.forbidden = [1] if seed % 3 == 0 else []
        self.count = draw(1, min(self.vocabulary - 2 - len(self.forbidden), 3))
        self.by = ("mean", "max")[seed % 2]
        self.parts = [random_posteriors(generator, draw(0, 5), self.vocabulary + 1) for _ in range(BATCH)]
        for part in self.parts[:2]:  # labels that no frame gives any probability
            part[:, 2:4] = -math.inf
            part[:] = part.log_softmax(-1)
        self.log_probs, self.lengths = pad(self.parts, draw(0, 2), fill=math.nan)
        self.limits = [draw(0, 4) for _ in self.parts]
        self.audio = Audio([draw(0, 10**6) for _ in self.parts])
        self.decoder = TabularModel(self.vocabulary, seed)
        self.lm = TabularModel(self.vocabulary, seed + 5, listens=False)
        self.prior = count_prior(
            [[draw(2, self.vocabulary - 1)] * 3], self.vocabulary, eos_id=EOS, forbidden_ids=self.forbidden
        )

    def keep(self) -> KeptLabels:
        kept = keep_labels(
            self.log_probs, self.lengths, self.count, eos_id=EOS, forbidden_ids=self.forbidden, by=self.by
        )
        assert kept is not None
        return kept

    def scorer(self, name: str, kept: KeptLabels) -> Weighted:
        if name == "prior":
            return Weighted(name, PriorScorer(kept.prior(self.prior)), WEIGHTS[name])
        if name == "ctc":
            scorer = CTCPrefixScorer(kept.posteriors(self.log_probs), self.lengths, eos_id=kept.eos_id)
            return Weighted(name, scorer, WEIGHTS[name])
        return Weighted(name, AutoregressiveScorer(RestrictedModel(getattr(self, name), kept)), WEIGHTS[name])

    def reference(self, b: int, names: Sequence[str], limit: int) -> dict[tuple[int, ...], float]:
        """Every sequence of kept labels → its score, in float64 and without a search."""
        labels = kept_by_loop(self.parts[b], self.count, self.forbidden, self.by)
        classes = [EOS, *labels]
        ctc: dict[tuple[int, ...], float] = {}
        if "ctc" in names:
            part = self.parts[b].double()[:, [*classes, self.vocabulary]].log_softmax(-1)
            sums = ctc_sums(part) if len(part) else {(): (0.0, 0.0)}
            ctc = {tuple(classes[c] for c in a): s for a, (s, _) in sums.items() if 0 not in a}
        found = {}
        for a in ctc if "ctc" in names else all_sequences(labels, limit):
            if len(a) > limit:
                continue
            total = WEIGHTS["ctc"] * ctc[a] if "ctc" in names else 0.0
            for name, model, key in (("decoder", self.decoder, self.audio.keys[b]), ("lm", self.lm, 0)):
                if name in names:
                    for n, c in enumerate((*a, EOS)):
                        log_probs = model.distribution(key, a[:n]).double()[classes].log_softmax(0)
                        total += WEIGHTS[name] * float(log_probs[classes.index(c)])
            if "prior" in names and labels:
                log_prior = self.prior.double()[labels].log_softmax(0)
                total -= WEIGHTS["prior"] * sum(float(log_prior[labels.index(c)]) for c in a)
            found[a] = total
        return found


def check(case: Case, b: int, found: Sequence[Hypothesis], reference: dict[tuple[int, ...], float]) -> None:
    where = f"seed {case.seed}, utterance {b}"
    expected = sorted((s for s in reference.values() if s > -math.inf), reverse=True)[:3]
    if not expected:
        assert "unfinished" in found[0].flags, where
        return
    assert [h.score for h in found[:3]] == pytest.approx(expected, abs=1e-4), where
    for h in found:
        assert reference[h.labels] == pytest.approx(h.score, abs=1e-4), where


@pytest.mark.parametrize("names", [("ctc", "decoder"), ("decoder",), ("ctc", "lm", "prior"), ("ctc", "decoder", "lm")])
def test_over_labels(names: tuple[str, ...]) -> None:
    for seed in range(BATCHES):
        case = Case(seed)
        kept = case.keep()
        found = kept.restore(
            label_synchronous(
                [case.scorer(name, kept) for name in names],
                case.audio,
                beam=200,
                nbest=4,
                limits_B=case.limits,
                eos_id=kept.eos_id,
            )
        )
        for b, each in enumerate(found):
            check(case, b, each, case.reference(b, names, case.limits[b]))


@pytest.mark.parametrize("names", [("ctc",), ("ctc", "lm", "prior"), ("ctc", "decoder")])
def test_over_frames(names: tuple[str, ...]) -> None:
    for seed in range(BATCHES):
        case = Case(seed)
        kept = case.keep()
        others = {name: case.scorer(name, kept) for name in names if name != "ctc"}
        found = kept.restore(
            frame_synchronous(
                kept.posteriors(case.log_probs),
                case.lengths,
                beam=400,
                nbest=4,
                eos_id=kept.eos_id,
                ctc_weight=WEIGHTS["ctc"],
                lm=others.get("lm"),
                prior=others.get("prior"),
                scorers=[others["decoder"]] if "decoder" in others else [],
                encoded=case.audio,
            )
        )
        for b, each in enumerate(found):
            check(case, b, each, case.reference(b, names, 5))


def test_the_kept_labels_are_the_likeliest() -> None:
    """Padding (NaN) takes no part; utterances that have fewer labels are filled with −1."""
    filled = 0
    for seed in range(200):
        case = Case(seed)
        kept = case.keep()
        expected = [kept_by_loop(part, case.count, case.forbidden, case.by) for part in case.parts]
        width = max(1, *map(len, expected))
        assert kept.width == width + 1, f"seed {seed}"
        assert kept.counts_B.tolist() == [len(labels) + 1 for labels in expected], f"seed {seed}"
        for row, labels in zip(kept.labels_BC.tolist(), expected, strict=True):
            assert row == [EOS, *labels, *[-1] * (width - len(labels))], f"seed {seed}"
            filled += len(labels) < width
    assert filled


def test_nothing_to_prune() -> None:
    """Off, and as many labels as there are without EOS and the forbidden ones: the search is not touched at all."""
    log_probs, lengths = torch.zeros(2, 3, 7).log_softmax(-1), torch.tensor([3, 2])
    for count in (None, 4, 5, 6, 1000):
        assert keep_labels(log_probs, lengths, count, eos_id=EOS, forbidden_ids=[2]) is None
    kept = keep_labels(log_probs, lengths, 3, eos_id=EOS, forbidden_ids=[2])
    assert kept is not None
    assert kept.width == 4
    assert not (kept.labels_BC == 2).any()
    assert keep_labels(log_probs[:0], lengths[:0], 3, eos_id=EOS) is None


def test_keeping_all_labels_but_improbable_ones_is_no_pruning() -> None:
    """Where all that is dropped has probability zero anyway, labels and scores are those of the search without."""
    for seed in range(60):
        generator = torch.Generator().manual_seed(seed)
        parts = [random_posteriors(generator, frames, 9, 1.0) for frames in (12, 5, 9)]
        for part in parts:
            part[:, [3, 6]] = -math.inf
            part[:] = part.log_softmax(-1)
        log_probs, lengths = pad(parts)
        kept = keep_labels(log_probs, lengths, 5, eos_id=EOS)
        assert kept is not None
        settings = {"beam": 8, "nbest": 4, "eos_id": EOS}
        plain = frame_synchronous(log_probs, lengths, **settings)
        pruned = kept.restore(frame_synchronous(kept.posteriors(log_probs), lengths, **settings))
        over_labels = {"encoded": None, "limits_B": lengths, **settings}
        plain += label_synchronous([Weighted("ctc", CTCPrefixScorer(log_probs, lengths, eos_id=EOS))], **over_labels)
        scorer = CTCPrefixScorer(kept.posteriors(log_probs), lengths, eos_id=EOS)
        pruned += kept.restore(label_synchronous([Weighted("ctc", scorer)], **over_labels))
        for a, b in zip(plain, pruned, strict=True):
            assert [h.labels for h in a] == [h.labels for h in b], f"seed {seed}"
            assert [h.score for h in a] == pytest.approx([h.score for h in b], abs=1e-5), f"seed {seed}"


def test_alone_in_a_batch_in_another_order_with_more_padding() -> None:
    """An utterance that keeps fewer labels than its neighbours is searched as if it were alone."""
    case = Case(3)
    names = ("ctc", "decoder", "lm", "prior")

    def search(order: list[int], extra: int, candidates: int | None) -> dict[int, list[Hypothesis]]:
        log_probs, lengths = pad([case.parts[i] for i in order], extra, fill=math.nan)
        part = Case(3)
        part.log_probs, part.lengths = log_probs, lengths
        kept = keep_labels(log_probs, lengths, 3, eos_id=EOS)
        assert kept is not None
        found = label_synchronous(
            [part.scorer(name, kept) for name in names],
            Audio([case.audio.keys[i] for i in order]),
            beam=4,
            nbest=4,
            limits_B=[case.limits[i] for i in order],
            eos_id=kept.eos_id,
            candidates=candidates,
        )
        return dict(zip(order, kept.restore(found), strict=True))

    for candidates in (None, 2):
        together = search(list(range(BATCH)), 0, candidates)
        for order, extra in [([i], i % 3) for i in range(BATCH)] + [(list(range(BATCH))[::-1], 4)]:
            if all(not len(case.parts[i]) for i in order):
                extra += 1
            for i, found in search(order, extra, candidates).items():
                assert [h.labels for h in found] == [h.labels for h in together[i]]
                for a, b in zip(found, together[i], strict=True):
                    assert a.score == pytest.approx(b.score, abs=1e-4)
                    assert dict(a.terms) == pytest.approx(dict(b.terms), abs=1e-4)


def test_utterances_without_frames_or_labels() -> None:
    """Nothing heard, only blanks, a whole batch of that: the empty hypothesis, never a crash."""
    silence = torch.full((2, 4, 8), -math.inf)
    silence[..., -1] = 0.0
    for lengths in (torch.tensor([0, 0]), torch.tensor([4, 0])):
        kept = keep_labels(silence, lengths, 2, eos_id=EOS)
        assert kept is not None
        assert kept.counts_B.tolist() == [1, 1]
        posteriors = kept.posteriors(silence)
        found = kept.restore(frame_synchronous(posteriors, lengths, beam=3, nbest=2, eos_id=kept.eos_id))
        scorer = Weighted("ctc", CTCPrefixScorer(posteriors, lengths, eos_id=kept.eos_id))
        found += kept.restore(label_synchronous([scorer], None, beam=3, nbest=2, limits_B=[4, 0], eos_id=kept.eos_id))
        assert all(each[0].labels == () and each[0].score == 0.0 for each in found)


def test_a_frame_in_which_nothing_kept_is_possible_becomes_a_blank() -> None:
    log_probs = torch.full((1, 3, 6), -math.inf)
    for t, c in itertools.product(range(3), (1, 5)):
        log_probs[0, t, c] = math.log(0.5)
    log_probs[0, 1] = -math.inf
    log_probs[0, 1, 3] = 0.0
    kept = keep_labels(log_probs, torch.tensor([3]), 1, eos_id=EOS, by="mean")
    assert kept is not None
    assert kept.labels_BC.tolist() == [[EOS, 1]]
    assert kept.posteriors(log_probs)[0, 1].tolist() == [-math.inf, -math.inf, 0.0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "keep_labels: 0 is not an integer"),
        ({"count": 1.5}, "keep_labels: 1.5"),
        ({"by": "sum"}, "keep_labels: 'sum' is neither 'mean' nor 'max'"),
        ({"eos_id": 6}, "label 6 is outside the vocabulary of 6"),
        ({"forbidden_ids": [1, 2, 3, 4, 5]}, "they are all 6 labels"),
    ],
)
def test_bad_settings(settings: dict, message: str) -> None:
    given = {"count": 2, "eos_id": EOS, **settings}
    with pytest.raises(SearchError, match=message):
        keep_labels(torch.zeros(1, 2, 7).log_softmax(-1), torch.tensor([2]), **given)


def test_a_search_over_another_batch_is_refused() -> None:
    case = Case(0)
    kept = case.keep()
    with pytest.raises(SearchError, match=f"{BATCH} utterances keep labels, but the search is over 2"):
        RestrictedModel(case.lm, kept).start(None, 2)
    with pytest.raises(SearchError, match=f"prior: {BATCH} utterances have one, but the search is over 2"):
        PriorScorer(kept.prior(case.prior)).start(None, 2)
