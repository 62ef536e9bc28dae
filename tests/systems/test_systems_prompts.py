"""Recognition under another prompt than the trained one, and what is said of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

import duolect
from duolect.data import Utterance, write_manifest
from duolect.errors import ConfigError, SystemFolderError, UnitsError
from duolect.systems import System, recognize_manifest
from duolect.text import Prompt


@pytest.fixture
def speaking(system: System) -> System:
    return System.of({"speech_llm": system.parts["speech_llm"]}).with_method("speech-llm")


def _score(system: System, corpus: list[Utterance]) -> list[float | None]:
    return [row.score for row in system.recognize(corpus).rows]


def test_another_prompt_changes_what_is_said_and_its_provenance(
    speaking: System, corpus: list[Utterance], tmp_path: Path
) -> None:
    write_manifest(tmp_path / "set.jsonl", corpus)
    own, other = speaking, speaking.with_prompt("fad <audio>")
    assert other.parts["speech_llm"].model.llm is own.parts["speech_llm"].model.llm
    records = []
    for name, each in (("own", own), ("other", other), ("again", other.with_prompt(Prompt("cd", "e")))):
        recognize_manifest(each, tmp_path / "set.jsonl", tmp_path / f"{name}.jsonl")
        records.append(json.loads((tmp_path / f"{name}.run.json").read_text()))
    hashes = [record["config_hash"] for record in records]
    assert hashes[0] == hashes[2] != hashes[1]
    prompts = [record["search"]["prompts"] for record in records]
    assert prompts[0] == prompts[2] == [{"before": "cd", "after": "e", "tag": None}]
    assert prompts[1] == [{"before": "fad ", "after": "", "tag": None}]
    files = [(tmp_path / f"{name}.jsonl").read_text() for name in ("own", "other", "again")]
    assert files[0] == files[2] != files[1]


def test_a_system_with_another_prompt_is_saved_with_it(
    speaking: System, corpus: list[Utterance], tmp_path: Path
) -> None:
    speaking.save(tmp_path / "own")
    other = duolect.load(tmp_path / "own").with_prompt("<audio> a bad bee")
    other.save(tmp_path / "other")
    loaded = duolect.load(tmp_path / "other")
    assert loaded.fingerprint() == other.fingerprint() != speaking.fingerprint()
    assert _score(loaded, corpus) == _score(other, corpus) != _score(speaking, corpus)
    assert loaded.parts["speech_llm"].model.config.prompts[0].text == Prompt("", " a bad bee")


def test_the_prompt_takes_positions_of_the_llm(speaking: System) -> None:
    longer = speaking.with_prompt(f"{'a' * 100}<audio>")
    own, other = (each.parts["speech_llm"].longest_seconds for each in (speaking, longer))
    assert 0 < other < own


def test_prompts_that_do_not_fit_are_one_sentence(system: System, speaking: System) -> None:
    with pytest.raises(UnitsError, match=r"prompts\[0\]\.before: The character 'U'"):
        speaking.with_prompt("USER: <audio>")
    with pytest.raises(ConfigError, match="'cad' is not the name of a prompt"):
        speaking.with_prompt("cad")
    with pytest.raises(ConfigError, match=r"has the tag 'de'; expected none"):
        speaking.with_prompt(Prompt("a", tag="de"))
    with pytest.raises(SystemFolderError, match="for a speech LLM, but this system has only acoustic, language"):
        System(acoustic=system.acoustic, language=system.language).with_prompt("none")


def test_a_prompt_is_for_all_tags_or_for_its_own(system: System) -> None:
    component = system.parts["speech_llm"]
    model = component.model.with_prompts(component.model.config.prompts)
    model.config = dataclasses.replace(model.config, prompts=(), tags=("de", "fr"))
    tagged = System.of({"speech_llm": dataclasses.replace(component, model=model)})
    both = tagged.with_prompt("a <audio>")
    prompts = [prompt.text for prompt in both.parts["speech_llm"].model.config.prompts]
    assert prompts == [Prompt("a ", tag="de"), Prompt("a ", tag="fr")]
    one = both.with_prompt(Prompt("b", tag="fr")).parts["speech_llm"].model
    assert {prompt.tag: prompt.text for prompt in one.config.prompts} == {
        "de": Prompt("a ", tag="de"),
        "fr": Prompt("b", tag="fr"),
    }
    assert one.prompts.choose(torch.tensor([1, 0]), torch.ones(2).long()).before_lengths_B.tolist() == [1, 2]
