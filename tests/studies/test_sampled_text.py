"""Text sampled from a language model: drawn from its distribution, cut into whole sentences."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # for the helper beside the tests

from talking_llm import SPARE, WORDS, make_talking_llm

from duolect.errors import DuolectError
from duolect.studies.sampled_text import SentenceBounds, sampled_sentences, sentences_of
from duolect.systems import Component, pretrained_language
from duolect.text import CharacterUnits, normalise


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Component:
    return pretrained_language(make_talking_llm(tmp_path_factory.mktemp("llm")))


def cut(*texts: str, ends: str = "") -> list[str]:
    units = CharacterUnits("".join(texts) + "\n ")
    labels = [[label for part in text.split("|") for label in (*units.encode(part), units.eos_id)] for text in texts]
    return list(sentences_of([each[:-1] for each in labels], units))


def test_texts_are_cut_into_whole_plain_sentences() -> None:
    assert cut("Tim ran home. He didn't  stop!\nWas it late? Then he w") == [
        *("Tim ran home.", "He didn't stop!", "Was it late?")
    ]
    assert cut('He said, "Go." Then he left. "Ouch! It hurts!" she said. Well, well.') == [
        "Then he left.",
        "Well, well.",
    ]
    assert cut("He had 3 cats. Mr. Fox ate them… No.", "So it ended", "|It was a red|ball.|| Yes.") == [
        *("Mr.", "ball.", "Yes.")  # "Fox ate them… No." has an ellipsis; what EOS parts is not one sentence
    ]


def test_sentences_differ_are_within_bounds_and_depend_on_the_seed_alone(llm: Component) -> None:
    bounds, calls = SentenceBounds(shortest=2, longest=5), []
    state = torch.get_rng_state()
    first = sampled_sentences(
        llm.model, llm.units, 40, seed=1, bounds=bounds, progress=lambda *call: calls.append(call)
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert len({normalise(sentence) for sentence in first}) == 40
    for sentence in first:
        assert 2 <= len(normalise(sentence).split()) <= 5
        assert sentence[-1] in ".!"
        assert set(sentence[:-1].split()) <= set(WORDS)
        assert llm.units.decode(llm.units.encode(sentence)) == sentence
    assert calls[-1] == (40, 40)
    torch.manual_seed(99)
    assert sampled_sentences(llm.model, llm.units, 40, seed=1, bounds=bounds) == first
    assert sampled_sentences(llm.model, llm.units, 12, seed=1, bounds=bounds) == first[:12]
    assert sampled_sentences(llm.model, llm.units, 40, seed=2, bounds=bounds) != first


def test_labels_are_drawn_from_the_models_own_distribution(llm: Component) -> None:
    """Surprise minus entropy has mean zero over labels drawn at temperature 1 from all labels, and from these only."""
    from duolect.studies.sampled_text import _sample

    total, variance, labels = 0.0, 0.0, 0
    for text in _sample(llm.model, llm.units, seed=5):
        text = text[: text.index(llm.units.eos_id) + 1] if llm.units.eos_id in text else text
        assert max(text) < llm.units.size  # the spare rows of the table are no labels
        given = torch.tensor([text[:-1]], dtype=torch.long)
        with torch.inference_mode():
            log_p_NV = llm.model.sequence_log_probs(None, given, torch.tensor([len(text) - 1]))[0].double()
        p_NV = log_p_NV.exp()
        entropy_N = -(p_NV * log_p_NV).sum(1)
        surprise_N = -log_p_NV.gather(1, torch.tensor(text)[:, None])[:, 0]
        total += float((surprise_N - entropy_N).sum())
        variance += float(((p_NV * log_p_NV.square()).sum(1) - entropy_N.square()).sum())
        labels += len(text)
    assert llm.model.llm.model.get_output_embeddings().weight.shape[0] == llm.units.size + SPARE
    assert labels > 1000
    assert variance / labels > 0.2  # an uneven distribution, of which temperature or top-k would be seen
    assert abs(total) / math.sqrt(variance) < 4


def test_a_model_that_says_too_little_is_told(llm: Component, tmp_path: Path) -> None:
    with pytest.raises(DuolectError, match=r"of 128 texts .* only \d+ different sentences of 60 to 70 words .* 5 are"):
        sampled_sentences(llm.model, llm.units, 5, seed=1, bounds=SentenceBounds(shortest=60, longest=70))
    endless = pretrained_language(make_talking_llm(tmp_path / "endless", ends=()))
    with pytest.raises(DuolectError, match="only 0 different sentences of 3 to 14 words could be made, 5 are needed"):
        sampled_sentences(endless.model, endless.units, 5, seed=1)
