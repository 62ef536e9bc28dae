"""Draft and verify: what plain greedy search finds, whatever is drafted; and drafts that are worth it."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from brute_force import ctc_sums, pad, random_posteriors
from tiny_models import Audio, TabularModel

from duolect.errors import SearchError
from duolect.models import LanguageConfig, LLMConfig, build_model
from duolect.search import (
    AutoregressiveScorer,
    CTCDrafter,
    DraftStatistics,
    Hypothesis,
    SequenceDrafter,
    Weighted,
    confident,
    draft_and_verify,
    frame_entropies,
    greedy,
    label_synchronous,
)

EOS = 0


def plain(model, encoded, limits, *, forbidden=(), weight: float = 1.0) -> list[Hypothesis]:
    scorers = [Weighted("speech_llm", AutoregressiveScorer(model), weight)]
    found = label_synchronous(scorers, encoded, beam=1, nbest=1, limits_B=limits, eos_id=EOS, forbidden_ids=forbidden)
    return [each[0] for each in found]


def assert_same(found: list[list[Hypothesis]], expected: list[Hypothesis], where: str) -> None:
    assert [len(each) for each in found] == [1] * len(expected), where
    for (one,), other in zip(found, expected, strict=True):
        assert (one.labels, one.truncated, one.flags) == (other.labels, other.truncated, other.flags), where
        assert one.score == pytest.approx(other.score, abs=1e-4), where
        assert dict(one.terms) == pytest.approx(dict(other.terms), abs=1e-4), where


class Words:
    """Drafts that are given: of each utterance one continuation for every prefix, right or wrong."""

    def __init__(self, choose) -> None:
        self.choose = choose

    def start(self, rows):
        return [(b, ()) for b in range(rows)]

    def follow(self, state, rows_R, labels_RN, counts_R):
        grown = zip(rows_R.tolist(), labels_RN.tolist(), counts_R.tolist(), strict=True)
        return [(state[r][0], (*state[r][1], *labels[:n])) for r, labels, n in grown]

    def propose(self, state, most_R):
        drafts = [list(self.choose(b, prefix))[:most] for (b, prefix), most in zip(state, most_R.tolist(), strict=True)]
        longest = max(map(len, drafts), default=0)
        padded = [d + [0] * (longest - len(d)) for d in drafts]
        return torch.tensor(padded, dtype=torch.long).view(len(drafts), longest), torch.tensor([len(d) for d in drafts])


def agreeable(generator: torch.Generator, model: TabularModel, key: int, frames: int, noise: float) -> torch.Tensor:
    """Posteriors (T, W) that say what the model says, more or less: a peak every other frame."""
    labels: list[int] = []
    while len(labels) < frames // 2:
        best = int(model.distribution(key, labels).argmax())
        if best == EOS:
            break
        labels.append(best)
    logits = torch.randn(frames, model.vocabulary + 1, generator=generator) * noise
    logits[:, -1] += 3.0
    for n, label in enumerate(labels):
        logits[2 * n + 1, label] += 6.0
    return logits.log_softmax(-1)


def test_equals_greedy_search_in_random_cases() -> None:
    """CTC of any quality, and fixed sequences that are partly right; ragged batches, limits, forbidden labels."""
    cases, accepted, ended, cut = 0, 0, 0, 0
    for seed in range(120):
        chance, generator = random.Random(seed), torch.Generator().manual_seed(seed)
        vocabulary, batch = chance.randint(2, 7), chance.randint(1, 4)
        model = TabularModel(vocabulary, seed, sharpness=chance.choice([1.0, 3.0]))
        keys = [chance.randrange(50) for _ in range(batch)]
        frames = [chance.randint(0, 12) for _ in range(batch)]
        limits = [chance.randint(0, 9) for _ in range(batch)]
        forbidden = [1] if vocabulary > 3 and chance.random() < 0.5 else []
        noise = chance.choice([0.3, 1.0, 8.0])
        parts = [agreeable(generator, model, key, t, noise) for key, t in zip(keys, frames, strict=True)]
        log_probs, lengths = pad(parts, chance.randint(0, 2), float("nan"))
        ctc = CTCDrafter(log_probs, lengths, eos_id=EOS, forbidden_ids=forbidden)
        expected = plain(model, Audio(keys), limits, forbidden=forbidden, weight=0.7)
        given = [
            [c if chance.random() < 0.8 else chance.randrange(vocabulary) for c in (*h.labels, 1, 1)] for h in expected
        ]
        ended += sum(not h.truncated for h in expected)
        cut += sum(h.truncated for h in expected)
        longest = chance.choice([None, 0, 1, 3, "adaptive"])
        for drafter in (ctc, SequenceDrafter(given)):
            statistics = DraftStatistics()
            found = draft_and_verify(
                model,
                Audio(keys),
                drafter,
                limits_B=limits,
                eos_id=EOS,
                forbidden_ids=forbidden,
                longest_draft=longest,
                weight=0.7,
                statistics=statistics,
            )
            assert_same(found, expected, f"seed {seed}, {type(drafter).__name__}, longest draft {longest}")
            labels = sum(len(h.labels) for h in expected)
            assert statistics.accepted <= min(statistics.drafted, labels), f"seed {seed}"
            assert statistics.utterances == batch
            # Every forward decides one label of the model's own (or EOS) besides those it accepts.
            assert statistics.rows == labels - statistics.accepted + batch, f"seed {seed}"
            if longest == 0:
                assert statistics.drafted == 0
            accepted += statistics.accepted
            cases += batch
    assert cases >= 400
    assert min(accepted, ended, cut) > 90


@pytest.mark.parametrize(
    ("name", "draft"),
    [
        ("empty", lambda model, key, prefix: []),
        ("wrong", lambda model, key, prefix: [(int(model.distribution(key, prefix).argmax()) % 4) + 1] * 5),
        ("EOS", lambda model, key, prefix: [EOS] * 3),
        ("right, then far beyond the end", lambda model, key, prefix: right(model, key, prefix) + [1] * 20),
        ("right", lambda model, key, prefix: right(model, key, prefix)),
    ],
)
def test_any_draft_finds_the_same(name, draft) -> None:
    model = TabularModel(5, 3, sharpness=2.0)
    keys, limits = list(range(40)), [key % 9 for key in range(40)]
    statistics = DraftStatistics()
    drafter = Words(lambda b, prefix: draft(model, keys[b], prefix))
    found = draft_and_verify(
        model, Audio(keys), drafter, limits_B=limits, eos_id=EOS, name="speech_llm", statistics=statistics
    )
    assert_same(found, plain(model, Audio(keys), limits), name)
    if name == "right":
        assert statistics.accepted == statistics.drafted > 0
        assert statistics.forwards == 2
    if name in ("empty", "EOS"):
        assert statistics.accepted == 0


def right(model: TabularModel, key: int, prefix) -> list[int]:
    """What greedy search goes on with."""
    labels = list(prefix)
    while len(labels) < 9 and (best := int(model.distribution(key, labels).argmax())) != EOS:
        labels.append(best)
    return labels[len(prefix) :]


def test_the_same_alone_in_a_batch_and_with_more_padding() -> None:
    model = TabularModel(8, 1, sharpness=2.0)
    generator = torch.Generator().manual_seed(2)
    parts = [agreeable(generator, model, key, frames, 1.0) for key, frames in enumerate([14, 1, 0, 9, 20])]
    limits = [9, 3, 4, 0, 12]

    def search(order: list[int], padding: int) -> dict[int, tuple[Hypothesis, float]]:
        log_probs, lengths = pad([parts[i] for i in order], padding, float("nan"))
        statistics = DraftStatistics()
        found = draft_and_verify(
            model,
            Audio(order),
            CTCDrafter(log_probs, lengths, eos_id=EOS),
            limits_B=[limits[i] for i in order],
            eos_id=EOS,
            statistics=statistics,
        )
        return {i: (each[0], statistics.rows) for i, each in zip(order, found, strict=True)}

    together = search([0, 1, 2, 3, 4], 0)
    rows = 0.0
    for order, padding in (([4, 2, 0, 3, 1], 3), ([0], 0), ([1], 5), ([2], 1), ([3], 0), ([4], 2)):
        found = search(order, padding)
        for i, (hypothesis, _) in found.items():
            assert hypothesis == together[i][0]
        rows += found[order[0]][1] if len(order) == 1 else 0
    assert rows == together[0][1]  # the same drafts, too


def test_ended_utterances_leave_the_forwards() -> None:
    model = TabularModel(5, 0)
    model.stepped.clear()
    draft_and_verify(model, Audio([1, 2, 3]), Words(lambda b, prefix: []), limits_B=[1, 6, 3], eos_id=EOS)
    live = [len(call) for call in model.stepped]
    assert live == sorted(live, reverse=True)
    assert live[-1] == 1


def test_no_utterance_and_bad_settings() -> None:
    model = TabularModel(4, 0)
    nobody = Words(lambda b, prefix: [])
    assert draft_and_verify(model, Audio([]), nobody, limits_B=[], eos_id=EOS) == []
    for settings, message in (
        ({"limits_B": [-1]}, "utterance 0 may have -1 labels"),
        ({"longest_draft": -1}, "longest_draft"),
        ({"eos_id": 4}, "outside the vocabulary of 4"),
        ({"forbidden_ids": [9]}, "outside the vocabulary of 4"),
        ({"weight": float("nan")}, "weight"),
        ({"ids": ["a", "b"]}, "2 were given for 1"),
    ):
        with pytest.raises(SearchError, match=message):
            draft_and_verify(model, Audio([0]), nobody, **{"limits_B": [3], "eos_id": EOS, **settings})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_model_that_gives_nonsense_is_named(bad: float) -> None:
    """Where greedy search would meet it; what lies behind a draft that was wrong is never looked at."""
    model = TabularModel(4, 7, sharpness=3.0)
    key = next(k for k in range(50) if len(right(model, k, ())) > 2)
    path = right(model, key, ())
    model.distribution(key, path[:1])[2] = bad
    drafter = Words(lambda b, prefix: right(TabularModel(4, 7, sharpness=3.0), key, prefix))
    with pytest.raises(SearchError, match=r"speech_llm: the model gave (NaN|\+inf) for utterance talk"):
        draft_and_verify(model, Audio([key]), drafter, limits_B=[9], eos_id=EOS, ids=["talk"])
    other = TabularModel(4, 7, sharpness=3.0)
    wrong = next(c for c in (1, 2, 3) if c != path[1])
    other.distribution(key, (path[0], wrong))[:] = bad
    drafter = Words(lambda b, prefix: [wrong] * 3)
    assert draft_and_verify(other, Audio([key]), drafter, limits_B=[9], eos_id=EOS)[0][0].labels == tuple(path)


def test_no_possible_end_is_said() -> None:
    """EOS has a probability of zero at the limit: the prefix, flagged, as in the search over labels."""
    model = TabularModel(3, 1)
    for history in itertools.product((1, 2), repeat=2):
        model.distribution(0, history)[EOS] = -torch.inf
    model.distribution(0, ())[EOS] = -torch.inf
    for history in ((1,), (2,)):
        model.distribution(0, history)[EOS] = -9.0
    found = draft_and_verify(model, Audio([0]), SequenceDrafter([[1, 2, 1]]), limits_B=[2], eos_id=EOS)
    assert_same(found, plain(model, Audio([0]), [2]), "no end")
    assert found[0][0].flags == ("unfinished",)
    assert found[0][0].truncated


def test_ties_are_counted() -> None:
    model = TabularModel(4, 0)
    model.distribution(0, ())[:] = torch.tensor([0.1, 0.45 - 1e-6, 0.45 + 1e-6, 0.0]).log()
    statistics = DraftStatistics()
    draft_and_verify(model, Audio([0]), SequenceDrafter([[]]), limits_B=[1], eos_id=EOS, statistics=statistics)
    assert statistics.ties == 1
    assert statistics.numbers()["forwards_per_utterance"] == statistics.rows


def test_equals_generate() -> None:
    """A real tiny LLM with its caches, drafts in part right: transformers' own greedy search."""
    for seed in range(3):
        torch.manual_seed(seed)
        llm = LLMConfig(vocabulary=23, width=32, layers=2, heads=4, kv_heads=2, intermediate=48)
        model = build_model(LanguageConfig(llm=llm, bos_id=1, eos_id=EOS)).eval()
        with torch.no_grad():
            model.llm.model.get_input_embeddings().weight.mul_(40.0)
        out = model.llm.model.generate(
            torch.tensor([[1]]),
            attention_mask=torch.ones(1, 1, dtype=torch.long),
            max_new_tokens=40,
            do_sample=False,
            eos_token_id=EOS,
            pad_token_id=EOS,
        )[0, 1:].tolist()
        labels = out[: out.index(EOS)] if EOS in out else out
        draft = [c if n % 7 else 5 for n, c in enumerate(labels)]
        statistics = DraftStatistics()
        found = draft_and_verify(
            model,
            None,
            SequenceDrafter([draft, labels, []]),
            limits_B=[40, 40, 40],
            eos_id=EOS,
            name="lm",
            statistics=statistics,
        )
        expected = plain(model, None, [40])[0]
        for (hypothesis,) in found:
            assert hypothesis.labels == tuple(labels) == expected.labels, f"seed {seed}"
            assert hypothesis.score == pytest.approx(expected.score, abs=1e-3), f"seed {seed}"
        assert statistics.accepted > len(labels), f"seed {seed}"


def test_a_draft_of_ctc_is_its_best_path_and_goes_on_after_any_prefix() -> None:
    """Of the empty prefix: the best path. Of a prefix that path begins with, and is sure of: the rest of it."""
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        frames = int(torch.randint(0, 9, (), generator=generator))
        sharp = torch.randn(frames, 5, generator=generator)
        sharp[:, EOS] -= 9.0
        log_probs_TW = (8.0 * torch.nn.functional.one_hot(sharp.argmax(-1), 5) + sharp).log_softmax(-1)
        log_probs, lengths = pad([log_probs_TW], 2, float("nan"))
        best = greedy(log_probs.nan_to_num(0.0), lengths, eos_id=EOS)[0][0].labels if frames else ()
        drafter = CTCDrafter(log_probs, lengths, eos_id=EOS)
        rows_R, most_R = torch.tensor([0]), torch.tensor([9])
        for n in range(len(best) + 1):
            state = drafter.follow(
                drafter.start(1), rows_R, torch.tensor([best[:n]], dtype=torch.long), torch.tensor([n])
            )
            labels_RN, counts_R = drafter.propose(state, most_R)
            assert tuple(labels_RN[0, : int(counts_R[0])].tolist()) == best[n:], f"seed {seed}, prefix {best[:n]}"
            assert int(drafter.propose(state, torch.tensor([1]))[1][0]) == min(len(best) - n, 1)


def test_a_draft_takes_up_what_the_model_put_in() -> None:
    """Another label in the place of one, one more, one less: the draft goes on with what follows."""
    best = [1, 2, 3, 4, 2]
    logits = torch.full((10, 6), 0.0)
    logits[:, 5] = 4.0
    for n, label in enumerate(best):
        logits[2 * n + 1, label] = 9.0
    logits[3, 4:] = 7.0  # where 2 is said, it may have been 4, or nothing
    log_probs = logits.log_softmax(-1)[None]
    for drafter in (CTCDrafter(log_probs, torch.tensor([10]), eos_id=EOS), SequenceDrafter([best])):
        for prefix, rest in (([1, 4], [3, 4, 2]), ([1, 3], [4, 2]), ([1, 2, 2, 3], [4, 2]), ([1, 2, 3], [4, 2])):
            state = drafter.start(1)
            for label in prefix:
                state = drafter.follow(state, torch.tensor([0]), torch.tensor([[label]]), torch.tensor([1]))
            labels_RN, counts_R = drafter.propose(state, torch.tensor([9]))
            assert labels_RN[0, : int(counts_R[0])].tolist() == rest, (type(drafter).__name__, prefix)


def test_a_draft_that_ctc_cannot_align_is_empty() -> None:
    generator = torch.Generator().manual_seed(0)
    parts = [random_posteriors(generator, frames, 5) for frames in (2, 0)]
    drafter = CTCDrafter(*pad(parts), eos_id=EOS)
    state = drafter.follow(
        drafter.start(2), torch.tensor([0, 1]), torch.tensor([[1, 2, 3], [1, 0, 0]]), torch.tensor([3, 1])
    )
    _, counts_R = drafter.propose(state, torch.tensor([5, 5]))
    assert counts_R.tolist() == [0, 0]


def test_a_draft_is_possible_and_allowed() -> None:
    """Prefix and draft together have an alignment, and no label is in the draft that must not be."""
    for seed in range(100):
        generator = torch.Generator().manual_seed(seed)
        log_probs_TW = random_posteriors(generator, 5, 4)
        sums = ctc_sums(log_probs_TW)
        drafter = CTCDrafter(log_probs_TW[None], torch.tensor([5]), eos_id=EOS, forbidden_ids=[1])
        for prefix in ([2], [2, 2], [1], [1, 2]):
            state = drafter.follow(
                drafter.start(1), torch.tensor([0]), torch.tensor([prefix]), torch.tensor([len(prefix)])
            )
            labels_RN, counts_R = drafter.propose(state, torch.tensor([9]))
            draft = labels_RN[0, : int(counts_R[0])].tolist()
            assert not {0, 1} & set(draft)
            if any(s[0] > -torch.inf and a[: len(prefix)] == tuple(prefix) for a, s in sums.items()) and draft:
                assert sums[(*prefix, *draft)][0] > -torch.inf, f"seed {seed}, {prefix}"


def test_the_gate_takes_what_ctc_is_sure_of() -> None:
    generator = torch.Generator().manual_seed(3)
    parts = [random_posteriors(generator, frames, 6, 3.0) for frames in (4, 9, 0, 1)]
    log_probs, lengths = pad(parts, 2, float("nan"))
    for by in ("mean", "max"):
        expected = []
        for part in parts:
            entropies = torch.distributions.Categorical(probs=part.double().exp()).entropy()
            expected.append(0.0 if not len(part) else float(entropies.mean() if by == "mean" else entropies.max()))
        assert frame_entropies(log_probs, lengths, by).tolist() == pytest.approx(expected, abs=1e-5)
        middle = sorted(expected)[2]
        assert confident(log_probs, lengths, middle, by).tolist() == [e < middle for e in expected]
        assert not confident(log_probs, lengths, None, by).any()
        assert not confident(log_probs, lengths, 0.0, by).any()
        assert confident(log_probs, lengths, float("inf"), by).all()
    assert confident(log_probs[:, :0], lengths * 0, 0.1).all()
    for bad in (-0.1, float("nan")):
        with pytest.raises(SearchError, match="entropy"):
            confident(log_probs, lengths, bad)


@pytest.mark.parametrize("draft", [[2], [2, 0], [2, 0, 0]])
def test_a_draft_of_labels_without_a_chance_is_not_agreed_with(draft: list[int]) -> None:
    class Forbidding(TabularModel):
        def distribution(self, audio: int, history: tuple[int, ...]) -> torch.Tensor:
            return torch.tensor([0.0, 1.0, 0.0, 0.0] if history else [0.2, 0.1, 0.4, 0.3]).log()

    model = Forbidding(4, 0)
    model.eos_id = model.bos_id = 3
    settings = {"limits_B": [5], "eos_id": 3, "forbidden_ids": [1]}
    scorers = [Weighted("speech_llm", AutoregressiveScorer(model))]
    ((expected,),) = label_synchronous(scorers, Audio([0]), beam=1, nbest=1, **settings)
    assert (expected.labels, expected.flags) == ((2,), ("unfinished",))
    ((found,),) = draft_and_verify(model, Audio([0]), SequenceDrafter([draft]), **settings)
    assert (found.labels, found.flags, found.truncated) == (expected.labels, expected.flags, expected.truncated)
    assert found.score == pytest.approx(expected.score)
