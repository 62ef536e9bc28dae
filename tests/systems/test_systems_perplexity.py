"""Perplexities of several systems side by side, and LLMs of Hugging Face as language models."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_llm import make_llm

from duolect.errors import ModelError, ScoringError, SystemFolderError, UnitsError
from duolect.evaluation import Interval
from duolect.models import TextLogProb, label_log_probs
from duolect.systems import System, combine, pretrained_language
from duolect.systems.perplexity import TextPerplexity, measure_perplexity
from duolect.text import CharacterUnits

TEXT = "A bad cab.\n\nFace!\nbead zoo\n...\ndeaf\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    (folder / "text").write_text(TEXT.lower())
    return make_llm(folder / "llm", folder / "text")


def test_each_row_is_the_sum_over_what_all_can_spell(system: System, make: Any, llm: Path, text: Path) -> None:
    other = System(language=make["language"](CharacterUnits("abcdefz o"), 5))
    third = combine(language=pretrained_language(llm))
    report = measure_perplexity({"a": system, "b": other, "llm": third}, [text])
    assert [(entry.system, entry.place.rpartition(":")[2]) for entry in report.left_out] == [("a", "4")]
    sentences = ["a bad cab", "face", "deaf"]
    for row, each in zip(report.rows, (system, other, third), strict=True):
        assert each.language is not None
        units, model = each.language.units, each.language.model
        labels = [units.encode(sentence) for sentence in sentences]
        log_probs = [
            float(label_log_probs(model, None, torch.tensor([ids]), torch.tensor([len(ids)]))[0].double().sum())
            for ids in labels
        ]
        assert row.sums.log_prob == pytest.approx(sum(log_probs), abs=1e-3)
        assert (row.sums.sentences, row.sums.words, row.sums.tokens) == (3, 5, sum(map(len, labels)) + 3)
        assert row.sums.per_word == pytest.approx(math.exp(-sum(log_probs) / 8))
        assert row.interval is not None
        assert row.interval.low <= row.sums.per_word <= row.interval.high
    first, second = report.rows[:2]
    assert (first.ratio, first.ratio_interval) == (None, None)
    assert second.ratio == pytest.approx(second.sums.per_word / first.sums.per_word)
    stored = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert stored["rows"][2]["per_token"] == report.rows[2].sums.per_token
    assert stored["models"]["llm"]["units"]["kind"] == "huggingface"


def test_what_has_no_number_is_written_as_none() -> None:
    diverged = TextPerplexity(
        system="a",
        text="t",
        sums=TextLogProb(log_prob=-math.inf, tokens=3, words=2, sentences=1),
        interval=Interval(4.0, math.inf),
        ratio=math.inf,
        ratio_interval=Interval(math.nan, math.inf),
    )
    stored = json.loads(json.dumps(diverged.summary(), allow_nan=False))
    assert [stored[name] for name in ("log_prob", "per_token", "per_word", "ratio")] == [None] * 4
    assert (stored["interval"], stored["ratio_interval"]) == ({"low": 4.0, "high": None}, {"low": None, "high": None})


def test_several_texts_have_a_row_each_and_one_of_all(system: System, text: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.txt"
    more.write_text("head\nA cage\n")
    report = measure_perplexity({"a": system}, [text, more])
    one, two, both = report.rows
    assert (one.text, two.text, both.text) == (str(text), str(more), "all")
    assert both.sums.log_prob == pytest.approx((one.sums + two.sums).log_prob)
    assert (both.sums.tokens, both.sums.words) == (one.sums.tokens + two.sums.tokens, one.sums.words + two.sums.words)
    plain = measure_perplexity({"a": system}, [more], normaliser="none")
    assert [entry.place for entry in plain.left_out] == [f"{more}:2"]  # a capital letter


def test_a_text_counts_once_and_may_be_called_as_the_sum_is(
    system: System, text: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("all").write_text("head\nbead\na cage\n")
    one, other, both = measure_perplexity({"a": system}, [Path("all"), text]).rows
    assert [(row.text, row.total, row.sums.sentences) for row in (one, other, both)] == [
        ("all", False, 3),
        (str(text), False, 3),
        ("all", True, 6),
    ]
    assert [row.summary()["total"] for row in (one, other, both)] == [False, False, True]
    assert [row.total for row in measure_perplexity({"a": system}, ["all"]).rows] == [False]
    Path("link").symlink_to("all")
    for again in ("all", tmp_path / "all", "link"):
        with pytest.raises(ScoringError, match=rf"{again}: is the same text as all, and would count twice\."):
            measure_perplexity({"a": system}, ["all", text, again])


def test_what_cannot_be_measured_is_one_sentence(system: System, text: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemFolderError, match="deaf: has no language model, only acoustic"):
        measure_perplexity({"deaf": System(acoustic=system.acoustic)}, [text])
    (tmp_path / "x").write_text("xylophone\n")
    with pytest.raises(ScoringError, match=r"no sentence that every model can spell; the first, .*x:1: The character"):
        measure_perplexity({"a": system}, [tmp_path / "x"])
    (tmp_path / "long").write_text("a" * 512 + "\n" + "b" * 511 + "\n")
    report = measure_perplexity({"a": system}, [tmp_path / "long"])
    assert "its 512 labels are more than the model's 512 positions" in report.left_out[0].reason
    assert report.rows[0].sums.tokens == 512


def test_an_llm_as_it_is_makes_a_system_that_needs_its_source_no_more(llm: Path, tmp_path: Path) -> None:
    made = combine(language=pretrained_language(llm))
    made.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert again.fingerprint() == made.fingerprint()
    assert again.search is None
    assert str(llm) not in (tmp_path / "system" / "language" / "llm_config.json").read_text()
    with pytest.raises(UnitsError, match="no tokeniser could be loaded"):
        pretrained_language(tmp_path / "none")
    (llm / "model.safetensors").rename(llm / "gone")
    with pytest.raises(ModelError, match="neither a folder nor a hub name"):
        pretrained_language(llm)
    (llm / "gone").rename(llm / "model.safetensors")
