"""Label-synchronous search: peers, invariances, stopping, the label limit."""

from __future__ import annotations

import functools

import pytest
import torch
from brute_force import pad, random_posteriors
from tiny_models import Audio, TabularModel

from duolect.models import AcousticConfig, DecoderConfig, LanguageConfig, LanguageModel, LLMConfig, build_model
from duolect.nn import ConformerConfig, FrontEndConfig
from duolect.search import (
    AutoregressiveScorer,
    CTCPrefixScorer,
    PriorScorer,
    Weighted,
    count_prior,
    label_synchronous,
    sequence_scores,
)
from duolect.search.label_scores import model_label_scores

EOS = 0


def only(model, name: str = "decoder", weight: float = 1.0) -> list[Weighted]:
    return [Weighted(name, AutoregressiveScorer(model), weight)]


@functools.cache
def language_model(seed: int = 0, vocabulary: int = 13) -> LanguageModel:
    """A tiny Qwen2 that has seen two dozen short sequences, so that what it says is peaked and comes to an end."""
    torch.manual_seed(seed)
    llm = LLMConfig(vocabulary=vocabulary, width=32, layers=2, heads=4, kv_heads=2, intermediate=48)
    model = build_model(LanguageConfig(llm=llm, bos_id=1, eos_id=EOS))
    labels, lengths = torch.randint(2, vocabulary, (24, 7)), torch.randint(1, 8, (24,))
    targets = labels.masked_fill(torch.arange(7) >= lengths[:, None], EOS)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(25):
        log_probs = model.sequence_log_probs(None, labels, lengths)[:, :7]
        torch.nn.functional.nll_loss(log_probs.flatten(0, 1), targets.flatten()).backward()
        optimiser.step()
        optimiser.zero_grad()
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
@pytest.mark.parametrize("stop", ["exact", "heuristic"])
def test_equals_generate(exponent, stop) -> None:
    """transformers' own beam search: early_stopping="never" is exact, False the heuristic."""
    checked = 0
    for seed in range(4):
        model = language_model(seed)
        llm = model.llm.model
        limit, beam = 30, 4
        out = llm.generate(
            torch.tensor([[1]]),
            attention_mask=torch.ones(1, 1, dtype=torch.long),
            num_beams=beam,
            num_return_sequences=beam,
            max_new_tokens=limit,
            do_sample=False,
            length_penalty=exponent,
            early_stopping="never" if stop == "exact" else False,
            eos_token_id=EOS,
            pad_token_id=EOS,
            return_dict_in_generate=True,
            output_scores=True,
        )
        found = label_synchronous(
            only(model, "lm"),
            None,
            beam=beam,
            nbest=beam,
            limits_B=[limit - 1],
            eos_id=EOS,
            length_exponent=exponent,
            stop=stop,
        )[0]
        theirs = []
        for row, score in zip(out.sequences[:, 1:].tolist(), out.sequences_scores.tolist(), strict=True):
            if EOS in row:  # else the limit cut it
                theirs.append((tuple(row[: row.index(EOS)]), score))
        if len(theirs) < beam or any(len(h.labels) >= limit - 1 for h in found):
            continue
        checked += 1
        assert [h.labels for h in found] == [labels for labels, _ in theirs], f"seed {seed}"
        assert [h.score for h in found] == pytest.approx([s for _, s in theirs], abs=1e-4), f"seed {seed}"
    assert checked >= 3


def test_scores_with_caches_equal_scores_from_scratch() -> None:
    """A real tiny Qwen2 and a real attention decoder: what the search added up equals teacher forcing."""
    torch.manual_seed(1)
    encoder = ConformerConfig(width=16, layers=1, heads=2, kernel=4, front_end=FrontEndConfig(channels=(4, 6, 6)))
    acoustic = build_model(
        AcousticConfig(
            vocabulary=13,
            bos_id=1,
            eos_id=EOS,
            encoder=encoder,
            ctc_layers=(1,),
            decoder=DecoderConfig(width=16, layers=2, heads=2),
        )
    ).eval()
    lm = language_model(1)
    samples_BN = torch.randn(3, 9000)
    lengths_B = torch.tensor([9000, 5000, 7777])
    with torch.no_grad():
        encoded = acoustic.encode(samples_BN, lengths_B)
        posteriors = acoustic.ctc_log_probs(encoded)
    scorers = [
        Weighted("decoder", AutoregressiveScorer(acoustic.decoder), 0.8),
        Weighted("lm", AutoregressiveScorer(lm), 0.3),
        Weighted("ctc", CTCPrefixScorer(*posteriors, eos_id=EOS), 0.5),
    ]
    settings = {"beam": 4, "nbest": 4, "eos_id": EOS, "forbidden_ids": [1]}
    found = label_synchronous(scorers, encoded, limits_B=[6, 4, 5], **settings)
    labels = [[h.labels for h in each] for each in found]
    for name, model, audio in (("decoder", acoustic.decoder, encoded), ("lm", lm, None)):
        for b, (each, values) in enumerate(zip(found, sequence_scores(model, audio, labels, eos_id=EOS), strict=True)):
            alone = None if audio is None else audio.select(torch.tensor([b]))
            forced = [float(m.sum()) for m in model_label_scores(model, alone, labels[b], eos_id=EOS)]
            assert [h.terms[name] for h in each] == pytest.approx(forced, abs=1e-4)
            assert values.tolist() == pytest.approx(forced, abs=1e-4)
    for b in range(3):
        alone = encoded.select(torch.tensor([b]))
        own = [x[b : b + 1] for x in posteriors]
        scorers[2] = Weighted("ctc", CTCPrefixScorer(*own, eos_id=EOS), 0.5)
        (again,) = label_synchronous(scorers, alone, limits_B=[[6, 4, 5][b]], **settings)
        assert [h.labels for h in again] == labels[b]
        assert [h.score for h in again] == pytest.approx([h.score for h in found[b]], abs=1e-4, rel=1e-6)
        assert all(1 not in h.labels for h in again)


def test_alone_in_a_batch_in_another_order_with_more_padding() -> None:
    generator = torch.Generator().manual_seed(8)
    parts = [random_posteriors(generator, frames, 9, 1.0) for frames in (20, 6, 0, 13, 1)]
    limits = [9, 6, 3, 0, 5]
    decoder, lm = TabularModel(8, 1), TabularModel(8, 2, listens=False)
    prior = count_prior([[1, 2, 3]], 8, eos_id=EOS)

    def search(order: list[int], padding: int, candidates: int | None):
        log_probs, lengths = pad([parts[i] for i in order], padding, float("nan"))
        found = label_synchronous(
            [
                *only(decoder),
                Weighted("ctc", CTCPrefixScorer(log_probs, lengths, eos_id=EOS), 0.7),
                *only(lm, "lm", 0.4),
                Weighted("prior", PriorScorer(prior), 0.2),
            ],
            Audio(order),
            beam=5,
            nbest=5,
            limits_B=[limits[i] for i in order],
            eos_id=EOS,
            length_exponent=0.5,
            candidates=candidates,
        )
        return dict(zip(order, found, strict=True))

    for candidates in (None, 3):
        together = search([0, 1, 2, 3, 4], 0, candidates)
        for order, padding in (([3, 4, 0, 2, 1], 5), ([0], 0), ([1], 2), ([2], 1), ([3], 0), ([4], 9)):
            for i, found in search(order, padding, candidates).items():
                assert [h.labels for h in found] == [h.labels for h in together[i]]
                assert [h.truncated for h in found] == [h.truncated for h in together[i]]
                for a, b in zip(found, together[i], strict=True):
                    assert a.score == pytest.approx(b.score, abs=1e-4, rel=1e-6)
                    assert dict(a.terms) == pytest.approx(dict(b.terms), abs=1e-4, rel=1e-6)


def test_rows_of_ended_utterances_leave_the_forwards() -> None:
    model = TabularModel(5, 0)
    scorer = AutoregressiveScorer(model)
    found = label_synchronous(
        [Weighted("decoder", scorer)], Audio([1, 2, 3]), beam=3, nbest=20, limits_B=[1, 6, 3], eos_id=EOS
    )
    assert all(found)
    live = [{place[0] for place in call} for call in model.stepped]
    assert live == [{1, 2, 3}, {2, 3}, {2, 3}, {2}, {2}, {2}]
    assert all(len(call) <= 3 * len(keys) for call, keys in zip(model.stepped, live, strict=True))
    assert scorer.statistics.forwards == 1 + 6


def test_exact_stopping_ends_before_the_limit() -> None:
    model = TabularModel(5, 0, sharpness=4.0)
    found = label_synchronous(only(model), Audio([1]), beam=2, nbest=1, limits_B=[1000], eos_id=EOS)
    assert len(model.stepped) < 100
    assert not found[0][0].truncated


def test_label_limit() -> None:
    """EOS at the limit is scored like any other; `truncated` says that it was forced and not the arg-max."""
    model = TabularModel(4, 5)
    for limit in range(4):
        for key in range(30):
            (found,) = label_synchronous(only(model), Audio([key]), beam=100, nbest=100, limits_B=[limit], eos_id=EOS)
            assert max(len(h.labels) for h in found) == limit
            for h in found:
                assert h.score == pytest.approx(model.sequence_score(key, h.labels, EOS), abs=1e-4)
                forced = len(h.labels) == limit and int(model.distribution(key, h.labels).argmax()) != EOS
                assert h.truncated == forced


def test_beam_beyond_the_vocabulary_and_nbest_beyond_the_beam() -> None:
    model = TabularModel(2, 5)
    (found,) = label_synchronous(only(model), Audio([0]), beam=50, nbest=70, limits_B=[3], eos_id=EOS)
    assert sorted(h.labels for h in found) == [(), (1,), (1, 1), (1, 1, 1)]
    (few,) = label_synchronous(only(model), Audio([0]), beam=1, nbest=70, limits_B=[3], eos_id=EOS)
    assert 1 <= len(few) <= 4


class Certain(TabularModel):
    """EOS is impossible, or the only thing possible."""

    def __init__(self, ends: bool) -> None:
        super().__init__(3, 0)
        self.ends = ends

    def distribution(self, audio, history):
        inf = torch.inf
        return torch.tensor([0.0, -inf, -inf]) if self.ends else torch.tensor([-inf, -0.1, -2.3522]).log_softmax(-1)


def test_impossible_continuations_never_become_hypotheses() -> None:
    (found,) = label_synchronous(only(Certain(True)), Audio([0]), beam=4, nbest=4, limits_B=[5], eos_id=EOS)
    assert [(h.labels, h.score, h.flags) for h in found] == [((), 0.0, ())]
    limited = [
        *only(Certain(True)),
        Weighted("ctc", CTCPrefixScorer(torch.zeros(1, 2, 4).log_softmax(-1), torch.tensor([2]), eos_id=EOS)),
    ]
    (found,) = label_synchronous(limited, Audio([0]), beam=4, nbest=4, limits_B=[5], eos_id=EOS, candidates=2)
    assert [h.labels for h in found] == [()]


def test_no_sequence_that_ends_is_an_answer_with_a_flag() -> None:
    (found,) = label_synchronous(only(Certain(False)), Audio([0]), beam=2, nbest=2, limits_B=[2], eos_id=EOS)
    assert [(h.labels, h.flags, h.truncated) for h in found] == [((1, 1), ("unfinished",), True)]
    assert found[0].score == pytest.approx(found[0].terms["decoder"])


def test_no_utterances() -> None:
    assert label_synchronous(only(TabularModel(3, 0)), None, beam=2, nbest=1, limits_B=[], eos_id=EOS) == []


def test_a_scale_of_zero_scores_without_a_say() -> None:
    model, other = TabularModel(4, 1), TabularModel(4, 2)
    settings = {"beam": 3, "nbest": 3, "limits_B": [4], "eos_id": EOS}
    (plain,) = label_synchronous(only(model), Audio([0]), **settings)
    (both,) = label_synchronous([*only(model), *only(other, "lm", 0.0)], Audio([0]), **settings)
    assert [(h.labels, h.score) for h in plain] == [(h.labels, h.score) for h in both]
    assert all(h.terms["lm"] == pytest.approx(other.sequence_score(0, h.labels, EOS), abs=1e-4) for h in both)
