"""Speech by espeak-ng."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from duolect.audio import Voice, languages, phonemes, speak, variants, voices
from duolect.errors import AudioError, ConfigError

TEXT = "she sells 42 sea shells"
# Klatt synthesis, breath, whisper, echo and flutter: whatever keeps a state or draws random numbers.
CASES = [
    (TEXT, Voice()),
    (TEXT, Voice(name="en-us", variant="croak", rate=220)),
    *((TEXT, Voice(variant=variant)) for variant in ("f2", "f3", "Alicia", "whisper", "klatt3", "klatt6", "UniRobot")),
    ("and then?", Voice(name="en-gb-scotland", variant="Alex", range=90, word_gap=3, pitch=20)),
    ("guten Morgen, Leute", Voice(name="de", variant="m3")),
]


def _digest(case: tuple[str, Voice]) -> str:
    return hashlib.sha256(speak(*case).tobytes()).hexdigest()[:12]


def test_sound_is_right() -> None:
    samples = speak(TEXT)
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert 1.0 < len(samples) / 16_000 < 4.0
    assert 0.1 < np.abs(samples).max() <= 1.2
    assert len(speak(TEXT, Voice(rate=300))) < len(samples) < len(speak(TEXT, Voice(rate=100)))


def test_the_same_in_any_order_thread_and_process() -> None:
    wanted = [_digest(case) for case in CASES]
    assert len(set(wanted)) == len(CASES)
    for seed in range(3):
        order = random.Random(seed).sample(range(len(CASES)), len(CASES))
        assert [_digest(CASES[i]) for i in order] == [wanted[i] for i in order]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(_digest, CASES)) == wanted
    code = (
        "import hashlib; from duolect.audio import Voice, speak\n"
        f"print(*(hashlib.sha256(speak(*case).tobytes()).hexdigest()[:12] for case in {CASES[::-1]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == wanted[::-1]


def test_every_quality_is_deterministic() -> None:
    """A second round in another order: 104 qualities, of which nine once came out differently each time."""
    wanted = {variant: _digest(("hello", Voice(variant=variant))) for variant in variants()}
    for variant in reversed(variants()):
        assert _digest(("hello", Voice(variant=variant))) == wanted[variant], variant


def test_lists() -> None:
    assert {"en-gb", "en-us", "en-gb-scotland"} <= set(voices("en"))
    assert voices("de") == ["de"]
    assert voices("xx") == []
    assert {"en-gb", "de", "fr-fr"} <= set(languages())
    assert {"f1", "m5", "klatt3"} <= set(variants())


def test_unknown_voices_are_named() -> None:
    for make in (speak, phonemes):
        with pytest.raises(AudioError, match="no voice 'xx-yy'"):
            make("hello", Voice(name="xx-yy"))
        with pytest.raises(AudioError, match="no voice variant 'f99'"):
            make("hello", Voice(variant="f99"))
    assert len(speak("hello")) > 1000  # and the library goes on


@pytest.mark.parametrize("text", ["", "  ", "...", "\0"])
def test_nothing_to_say(text: str) -> None:
    with pytest.raises(AudioError, match="no sound for the text"):
        speak(text)


def test_odd_text_is_spoken() -> None:
    np.testing.assert_array_equal(speak("one\0two"), speak("one two"))
    assert len(speak("half \ud800 a pair")) > 1000


def test_phonemes() -> None:
    assert phonemes("hello world") == "həlˈəʊ wˈɜːld"
    assert phonemes("hello world", Voice(name="en-us")) == "həlˈoʊ wˈɜːld"
    assert phonemes("sail") == phonemes("sale")
    assert phonemes("") == ""


def test_voice_settings() -> None:
    assert Voice(variant="f3").full_name == "en-gb+f3"
    for wrong in ({"rate": 10}, {"pitch": 100}, {"range": -1}, {"word_gap": -1}):
        with pytest.raises(ConfigError, match="voice: "):
            Voice(**wrong)
