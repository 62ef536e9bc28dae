"""Attention maps of whole systems: what rows and keys stand for, and what cannot be drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from duolect.audio import read_audio
from duolect.data import Utterance
from duolect.errors import AudioError, ConfigError, SystemFolderError, UnitsError
from duolect.models import SpeechLLM
from duolect.models.interfaces import CrossConfig
from duolect.systems import Component, System
from duolect.systems.attention import attend, label_text
from duolect.text import CharacterUnits, Prompt, spell_prompts, train_sentencepiece


def test_a_speech_llms_map_says_what_its_keys_are(system: System, corpus: list[Utterance]) -> None:
    found = attend(system, corpus[0].audio_filepath, text="a bad cab")
    letters = tuple("▁" if letter == " " else letter for letter in "a bad cab")
    assert found.component == "speech_llm"
    assert (found.text, found.recognised, found.id) == ("a bad cab", False, "u0")
    assert found.rows == (*letters, "EOS")
    assert found.keys == (("c", "d"), (), ("e",), ("BOS", *letters))
    assert [part.kind for part in found.maps.parts] == ["prompt", "audio", "prompt", "text"]
    assert [part.size for part in found.maps.parts] == [2, len(found.edges_T1) - 1, 1, 10]
    assert found.maps.weights_LHMK.shape == (1, 1, 10, sum(part.size for part in found.maps.parts))
    torch.testing.assert_close(found.maps.weights_LHMK.sum(-1), torch.ones(1, 1, 10))
    assert found.edges_T1[-1] == pytest.approx(corpus[0].duration, abs=0.1)
    assert np.array_equal(found.samples_N, read_audio(corpus[0].audio_filepath))
    other = attend(system.with_prompt("fad<audio>"), corpus[0].audio_filepath, text="a bad cab")
    assert other.keys[:3] == (("f", "a", "d"), (), ())


def test_what_the_system_recognises_is_drawn_by_default(system: System, corpus: list[Utterance]) -> None:
    samples_N = read_audio(corpus[3].audio_filepath)
    for method, component in (("speech-llm", None), ("ctc-greedy", "acoustic")):
        searching = system.with_method(method)
        (expected,) = searching.transcribe(samples_N)
        found = attend(searching, samples_N, component=component)
        assert found.recognised
        assert found.text == expected.text
        assert found.component == (component or "speech_llm")
        assert len(found.rows) == len(expected.text) + 1
    assert [part.kind for part in found.maps.parts] == ["audio"]


def test_an_acoustic_model_is_drawn_where_there_is_no_speech_llm(system: System, corpus: list[Utterance]) -> None:
    alone = System(acoustic=system.acoustic, language=system.language)
    found = attend(alone, corpus[0].audio_filepath, text="face", heads=(2,))
    assert (found.component, found.maps.heads) == ("acoustic", (2,))
    assert found.spread(4).maps.weights_LHMK.shape == found.maps.weights_LHMK.shape


def test_the_tags_prompt_is_among_the_keys(system: System, corpus: list[Utterance], units: CharacterUnits) -> None:
    part = system.parts["speech_llm"]
    prompts = spell_prompts([Prompt("ab", tag="de"), Prompt("fed", tag="fr")], units)
    torch.manual_seed(0)
    model = SpeechLLM(dataclasses.replace(part.model.config, prompts=prompts, tags=("de", "fr")))
    tagged = System.of({"speech_llm": Component(model, units)})
    found = attend(tagged, corpus[0].audio_filepath, text="a", target_language="fr")
    assert found.keys[0] == ("f", "e", "d")
    with pytest.raises(ConfigError, match="expected one of de, fr, not None"):
        attend(tagged, corpus[0].audio_filepath, text="a")


def test_silence_is_drawn_with_what_the_system_makes_of_it(system: System) -> None:
    searching, still = system.with_method("speech-llm"), np.zeros(80_000, np.float32)
    (expected,) = searching.transcribe(still, keep_silence=True)
    assert attend(searching, still).text == expected.text


def test_what_a_search_has_less_room_for_than_the_drawn_model_is_drawn_with_a_given_text_alone(
    system: System, units: CharacterUnits, voice: Callable
) -> None:
    config = system.parts["speech_llm"].model.config
    torch.manual_seed(0)
    model = SpeechLLM(dataclasses.replace(config, llm=dataclasses.replace(config.llm, max_positions=40)))
    parts = {"acoustic": system.parts["acoustic"], "speech_llm": Component(model, units)}
    narrow = System.of(parts).with_method("speech-llm")
    room = narrow.parts["speech_llm"].longest_seconds
    assert 1.0 < room < 4.0
    path = voice(4.0, "long.wav")
    with pytest.raises(AudioError, match=rf"long lasts 4\.0 s, more than the {room:g} s that are recognised"):
        attend(narrow, path, component="acoustic")
    assert attend(narrow, path, component="acoustic", text="a bad cab").text == "a bad cab"
    short = voice(room - 0.1, "short.wav")
    (expected,) = narrow.transcribe(short, keep_silence=True)
    assert attend(narrow, short, component="acoustic").text == expected.text


def test_layers_can_be_spread(system: System, corpus: list[Utterance], units: CharacterUnits) -> None:
    config = system.parts["speech_llm"].model.config
    llm = dataclasses.replace(config.llm, layers=9)
    torch.manual_seed(0)
    model = SpeechLLM(dataclasses.replace(config, llm=llm, interface=CrossConfig()))
    found = attend(System.of({"speech_llm": Component(model, units)}), corpus[0].audio_filepath, text="a")
    assert found.maps.layers == tuple(range(1, 10))
    some = found.spread(4)
    assert some.maps.layers[-1] == 9
    assert len(set(some.maps.layers)) == 4
    for place, layer in enumerate(some.maps.layers):
        assert torch.equal(some.maps.weights_LHMK[place], found.maps.weights_LHMK[layer - 1])
    assert found.spread(20).maps.layers == found.maps.layers


def test_labels_alone_show_where_words_begin() -> None:
    units = train_sentencepiece(["a bad cab", "had a fad", "cab cab"], 30)
    texts = [label_text(units, label) for label in units.encode("a cab")]
    assert "".join(texts).replace("▁", " ").strip() == "a cab"
    assert label_text(units, units.eos_id) == f"#{units.eos_id}"


def test_what_cannot_be_drawn_is_one_sentence(
    system: System, corpus: list[Utterance], voice: Callable, tmp_path: Path
) -> None:
    path = corpus[0].audio_filepath
    (tmp_path / "text.wav").write_text("no sound")
    for audio in (tmp_path / "nowhere.wav", tmp_path / "text.wav", voice(0.01, "short.wav")):
        with pytest.raises(AudioError, match=audio.name):
            attend(system, audio, text="a")
    with pytest.raises(AudioError, match=r"more than the 0\.5 s"):
        attend(system, path, text="a", max_seconds=0.5)
    with pytest.raises(UnitsError, match="'z' in 'zoo'"):
        attend(system, path, text="zoo")
    with pytest.raises(ConfigError, match="no layer 2 "):
        attend(system, path, text="a", layers=(2,))
    with pytest.raises(SystemFolderError, match="no component 'acoustic', only the speech LLM"):
        attend(System.of({"speech_llm": system.parts["speech_llm"]}), path, text="a", component="acoustic")
    with pytest.raises(SystemFolderError, match="no model that hears anything, only the language model"):
        attend(System.of({"language": system.parts["language"]}), path, text="a")
    with pytest.raises(SystemFolderError, match="has no search"):
        attend(System.of({"speech_llm": system.parts["speech_llm"]}), path)
