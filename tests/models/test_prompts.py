"""Several prompts in one model: mixed in a batch, drawn by seed, kept on disk, exchanged for others."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from duolect.errors import ConfigError, ModelError
from duolect.models import Encoded, SpeechLLM, load_model, save_model
from duolect.models.prompts import PromptTable
from duolect.text import Prompt, SpelledPrompt

VARIOUS = (
    SpelledPrompt(Prompt("ab", "c"), (3, 4), (5,)),
    SpelledPrompt(),
    SpelledPrompt(Prompt("long one", "x"), (6, 7, 8, 9, 3, 3), (2,)),
    SpelledPrompt(Prompt("", "yes"), (), (4, 5, 6)),
)
TAGGED = tuple(
    dataclasses.replace(prompt, text=dataclasses.replace(prompt.text, tag=tag))
    for prompt, tag in zip(VARIOUS, ("de", "fr", "de", "fr"), strict=True)
)


def _model(configs: Any, build: Callable, prompts: tuple[SpelledPrompt, ...], **changes: Any) -> SpeechLLM:
    model = build(dataclasses.replace(configs["speech_llm"], prompts=prompts, **changes))
    assert isinstance(model, SpeechLLM)
    return model


def _rows(table: PromptTable, *arguments: Any) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    found = table.choose(*arguments)
    sides = [(found.before_BP, found.before_lengths_B), (found.after_BP, found.after_lengths_B)]
    cut = [[tuple(row[:n]) for row, n in zip(x.tolist(), lengths.tolist(), strict=True)] for x, lengths in sides]
    return list(zip(*cut, strict=True))


def test_prompts_are_drawn_by_the_seed_of_the_utterance_alone() -> None:
    seed = random.randrange(10**6)
    made = random.Random(seed)
    seeds = [made.getrandbits(63) for _ in range(2000)]
    table = PromptTable(VARIOUS, (), 1)
    lengths_B = torch.ones(len(seeds), dtype=torch.long)
    drawn = _rows(table, None, lengths_B, torch.tensor(seeds))
    expected = {(prompt.before, (*prompt.after, 1)) for prompt in VARIOUS}
    counts = Counter(drawn)
    assert set(counts) == expected, seed
    assert all(abs(n - 500) < 120 for n in counts.values()), seed  # 6 standard deviations
    order = made.sample(range(len(seeds)), 50)
    again = _rows(table, None, lengths_B[:50], torch.tensor([seeds[i] for i in order]))
    assert again == [drawn[i] for i in order], seed
    assert set(_rows(table, None, lengths_B)) == {((3, 4), (5, 1))}  # without seeds: the first


def test_a_tag_has_its_own_prompts() -> None:
    table = PromptTable(TAGGED, ("de", "fr"), 1)
    tags_B = torch.tensor([1, 0, 0, 1] * 100)
    lengths_B = torch.ones_like(tags_B)
    assert _rows(table, tags_B, lengths_B)[:3] == [((), (1,)), ((3, 4), (5, 1)), ((3, 4), (5, 1))]
    drawn = _rows(table, tags_B, lengths_B, torch.arange(400))
    of_tag = [{row for row, tag in zip(drawn, tags_B.tolist(), strict=True) if tag == wanted} for wanted in (0, 1)]
    assert of_tag[0] == {((3, 4), (5, 1)), ((6, 7, 8, 9, 3, 3), (2, 1))}
    assert of_tag[1] == {((), (1,)), ((), (4, 5, 6, 1))}
    assert [prompt.tag for prompt in table.first] == ["de", "fr"]
    with pytest.raises(ModelError, match="'de', 'fr', but it was not said which"):
        table.choose(None, lengths_B)
    with pytest.raises(ModelError, match="was built without any"):
        PromptTable(VARIOUS, (), 1).choose(tags_B, lengths_B)
    with pytest.raises(ConfigError, match="no prompt for the tag 'it'"):
        PromptTable(TAGGED, ("de", "fr", "it"), 1)


def _drawing_a_mixture(prompts: int) -> list[int]:
    """Seeds of three utterances that draw three different prompts."""
    table = PromptTable(VARIOUS, (), 1)
    seeds_B, one_B = torch.arange(50), torch.ones(50, dtype=torch.long)
    first: dict[Any, int] = {}
    for seed, row in enumerate(_rows(table, None, one_B, seeds_B)):
        first.setdefault(row, seed)
    return list(first.values())[:prompts]


def test_a_batch_of_different_prompts_is_as_each_utterance_alone(configs: Any, build: Callable, batch: Any) -> None:
    """The loss in training, dropout apart, and its gradient."""
    llm = dataclasses.replace(configs["speech_llm"].llm, dropout=0.0)
    encoder = dataclasses.replace(configs["speech_llm"].encoder, dropout=0.0)
    model = _model(configs, build, VARIOUS, llm=llm, encoder=encoder, freeze_encoder=True).train()
    batch = dataclasses.replace(batch, seeds_B=torch.tensor(_drawing_a_mixture(3)))
    together = model(batch)["ce"].total
    gradient = torch.autograd.grad(together, model.adapter.linear.weight)[0]
    alone, of_each = [], []
    for b in range(3):
        n, labels = int(batch.sample_lengths_B[b]), int(batch.label_lengths_B[b])
        one = dataclasses.replace(
            batch,
            samples_BN=batch.samples_BN[b : b + 1, :n],
            sample_lengths_B=batch.sample_lengths_B[b : b + 1],
            labels_BN=batch.labels_BN[b : b + 1, :labels],
            label_lengths_B=batch.label_lengths_B[b : b + 1],
            seeds_B=batch.seeds_B[b : b + 1],
        )
        alone.append(model(one)["ce"].total)
        of_each.append(torch.autograd.grad(alone[-1], model.adapter.linear.weight, retain_graph=True)[0])
    torch.testing.assert_close(sum(alone), together, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(sum(of_each), gradient, rtol=1e-4, atol=1e-5)
    model.eval()
    first = model.with_prompts(VARIOUS[:1])
    assert torch.equal(model(batch)["ce"].total, first(batch)["ce"].total)  # evaluation takes the first
    assert not torch.allclose(model(batch)["ce"].total, together)


def test_tags_mixed_in_a_search_are_as_alone(configs: Any, build: Callable, batch: Any) -> None:
    model = _model(configs, build, TAGGED, tags=("de", "fr"))
    tags_B = torch.tensor([1, 0, 1])
    with torch.no_grad():
        encoded = dataclasses.replace(model.encode(batch.samples_BN, batch.sample_lengths_B), tags_B=tags_B)
        firsts_BV, state = model.start(encoded, 3)
        seconds_BNV, _ = model.step(state, batch.labels_BN)
        whole_BMV = model.sequence_log_probs(encoded, batch.labels_BN, torch.full((3,), batch.labels_BN.shape[1]))
        for b in range(3):
            one = encoded.select(torch.tensor([b]))
            log_probs_1V, state = model.start(one, 1)
            torch.testing.assert_close(log_probs_1V[0], firsts_BV[b], atol=1e-5, rtol=0)
            stepped_1NV, _ = model.step(state, batch.labels_BN[b : b + 1])
            torch.testing.assert_close(stepped_1NV[0], seconds_BNV[b], atol=1e-5, rtol=0)
        torch.testing.assert_close(whole_BMV[:, 1:], seconds_BNV, atol=1e-5, rtol=0)
        # What the tag chooses is what an untagged model of that prompt gives.
        plain = build(dataclasses.replace(configs["speech_llm"], prompts=(VARIOUS[1],)))
        plain.load_state_dict(model.state_dict())
        untagged = dataclasses.replace(encoded, tags_B=None)
        torch.testing.assert_close(plain.start(untagged, 3)[0][[0, 2]], firsts_BV[[0, 2]], atol=1e-5, rtol=0)
        with pytest.raises(ModelError, match="not said which"):
            model.start(untagged, 3)


def test_no_prompt_is_the_empty_prompt(configs: Any, build: Callable, batch: Any) -> None:
    none, empty = (_model(configs, build, prompts) for prompts in ((), (SpelledPrompt(),)))
    with torch.no_grad():
        assert torch.equal(none(batch)["ce"].total, empty(batch)["ce"].total)
    assert none.prompts.longest == empty.prompts.longest == 0


def test_prompts_are_saved_and_exchanged(configs: Any, build: Callable, batch: Any, tmp_path: Path) -> None:
    model = _model(configs, build, TAGGED, tags=("de", "fr"))
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert isinstance(loaded, SpeechLLM)
    assert loaded.config.prompts == TAGGED
    assert loaded.config.tags == ("de", "fr")
    batch = dataclasses.replace(batch, tags_B=torch.tensor([0, 1, 1]))
    other = loaded.with_prompts(TAGGED[2:])
    with torch.no_grad():
        before = loaded(batch)["ce"].total
        assert not torch.allclose(other(batch)["ce"].total, before)
        assert torch.equal(loaded(batch)["ce"].total, before)
        assert torch.equal(before, model(batch)["ce"].total)
    assert all(a is b for a, b in zip(loaded.parameters(), other.parameters(), strict=True))
    assert loaded.config.prompts == TAGGED
    with pytest.raises(ConfigError, match="no prompt for the tag 'fr'"):
        loaded.with_prompts(TAGGED[:1])
    with pytest.raises(ConfigError, match=r"prompts\[0\] 99 is not in the vocabulary"):
        dataclasses.replace(configs["speech_llm"], prompts=(SpelledPrompt(Prompt("x"), (99,)),))


def test_a_selection_of_utterances_keeps_their_tags() -> None:
    encoded = Encoded(torch.zeros(3, 2, 4), torch.tensor([2, 1, 2]), tags_B=torch.tensor([5, 6, 7]))
    chosen = encoded.select(torch.tensor([2, 0])).tags_B
    assert chosen is not None
    assert chosen.tolist() == [7, 5]
