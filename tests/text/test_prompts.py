"""Prompts by name and written out, and what labels they become."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tiny_llm import make_llm

from duolect.errors import ConfigError, UnitsError
from duolect.text import (
    PROMPTS,
    CharacterUnits,
    HuggingFaceUnits,
    Prompt,
    SpelledPrompt,
    check_prompts,
    find_prompt,
    spell_prompts,
    train_sentencepiece,
)

QWEN2 = Path(os.environ.get("DUOLECT_REAL_DATA", "")) / "llm" / "qwen2-tokenizer"


@pytest.mark.skipif("DUOLECT_REAL_DATA" not in os.environ, reason="needs the tokeniser of Qwen2")
@pytest.mark.parametrize("lowercase", [False, True])
def test_the_papers_prompt_has_the_papers_labels(lowercase: bool) -> None:
    units = HuggingFaceUnits(QWEN2, lowercase=lowercase)
    prompt, none = spell_prompts([PROMPTS["role-tagged"], Prompt()], units)
    assert prompt.before == (6448, 25, 220)
    assert prompt.after == (3167, 3114, 8806, 311, 1467, 13, 35560, 3846, 2821, 25, 220)
    assert none == SpelledPrompt()


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llm")
    (folder / "text.txt").write_text("user transcribe speech to text assistant\n" * 3)
    return make_llm(folder / "llm", folder / "text.txt")


def test_a_prompt_is_spelled_as_it_is_written_whatever_the_units_do_to_speech(llm: Path) -> None:
    written = Prompt(" USER: ", "\nTranscribe, now!  ")
    plain, lower = (HuggingFaceUnits(llm, lowercase=lowercase) for lowercase in (False, True))
    assert lower.encode("USER") == plain.encode("user") != plain.encode("USER")
    (spelled,) = spell_prompts([written], lower)
    assert spelled == spell_prompts([written], plain)[0]
    assert spelled.text == written
    assert len(spelled) == len(spelled.before) + len(spelled.after)
    tokenizer = lower._tokenizer
    assert [tokenizer.decode(list(side)) for side in (spelled.before, spelled.after)] == [written.before, written.after]


@pytest.mark.parametrize("kind", ["characters", "sentencepiece"])
def test_units_without_a_character_of_the_prompt_name_it_and_the_field(kind: str) -> None:
    text = ["transcribe speech to text", "user and assistant"]
    units = CharacterUnits.from_text(text) if kind == "characters" else train_sentencepiece(text, 40)
    spelled = spell_prompts([Prompt("user", "transcribe")], units)
    assert units.decode(spelled[0].before) == "user"
    for prompt, field, character in [
        (Prompt("USER: "), "prompts[1].before", "'U'"),
        (Prompt("user: "), "prompts[1].before", "':'"),
        (Prompt("user", "transcribe."), "prompts[1].after", "'.'"),
    ]:
        with pytest.raises(UnitsError) as raised:
            spell_prompts([Prompt(), prompt], units)
        assert str(raised.value).startswith(field)
        assert character in str(raised.value)


def test_prompts_are_found_by_name_or_written_out() -> None:
    for name, prompt in PROMPTS.items():
        assert find_prompt(name) == prompt
        assert find_prompt(str(prompt)) == prompt
    assert find_prompt("USER: <audio> Write! ASSISTANT: ") == Prompt("USER: ", " Write! ASSISTANT: ")
    assert find_prompt("<audio>Deutsch:", "de") == Prompt("", "Deutsch:", "de")
    with pytest.raises(ConfigError, match="did you mean 'instruction'"):
        find_prompt("instructions")
    for text in ("Write!", "<audio> and <audio>"):
        with pytest.raises(ConfigError, match=r"nor a text with one <audio>.*none, instruction, role-tagged"):
            find_prompt(text)
    with pytest.raises(ConfigError, match="before must not hold <audio>"):
        Prompt("a <audio> b")


def test_tags_and_prompts_must_belong_together() -> None:
    german, french, bare = Prompt(after="de", tag="de"), Prompt(after="fr", tag="fr"), Prompt()
    check_prompts([], (), "here")
    check_prompts([bare, Prompt("x")], (), "here")
    check_prompts([german, french, Prompt("x", tag="de")], ("de", "fr"), "here")
    for prompts, tags, says in [
        ([german], (), r"here: prompts\[0\] has the tag 'de'; expected none"),
        ([german, bare], ("de",), r"prompts\[1\] has the tag None; expected one of the tags 'de'"),
        ([german], ("de", "fr"), "no prompt for the tag 'fr'"),
        ([], ("de",), "no prompt for the tag 'de'"),
        ([german], ("de", "de"), "must be different names"),
    ]:
        with pytest.raises(ConfigError, match=says):
            check_prompts(prompts, tags, "here")
