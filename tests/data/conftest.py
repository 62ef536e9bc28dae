"""Units small enough to see through, and a little corpus of tones on disk."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from duolect.data.manifest import Utterance
from duolect.errors import UnitsError

LETTERS = "abcdefghijklmnopqrstuvwxyz '"


class Letters:
    """One id a letter, from 1 on; EOS is 0. `step` 2 spells every other letter only: units unlike those of step 1."""

    kind = "letters"
    size = len(LETTERS) + 1
    eos_id = bos_id = 0
    special_ids = frozenset({0})
    fingerprint = "letters"

    def __init__(self, step: int = 1) -> None:
        self.step = step

    def encode(self, text: str) -> list[int]:
        for character in text:
            if character not in LETTERS:
                raise UnitsError(f"The units cannot spell {character!r}.")
        return [1 + LETTERS.index(character) for character in text][:: self.step]

    def decode(self, ids: list[int]) -> str:
        return "".join(LETTERS[i - 1] for i in ids if i)


@pytest.fixture(scope="session")
def letters() -> Letters:
    return Letters()


@pytest.fixture(scope="session")
def other_letters() -> Letters:
    return Letters(2)


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., list[Utterance]]:
    """Writes one 16 kHz wav for each text, 0.3 s and longer, with a tone of its own, and gives the utterances."""

    def make(texts: list[str], folder: Path = tmp_path) -> list[Utterance]:
        utterances = []
        for number, text in enumerate(texts):
            seconds = 0.3 + 0.05 * (number % 7)
            wave = 0.3 * np.sin(np.arange(int(16000 * seconds)) * (0.05 + 0.01 * number))
            path = folder / f"tone{number}.wav"
            soundfile.write(path, wave, 16000)
            utterances.append(Utterance(audio_filepath=path, duration=seconds, text=text, id=f"tone{number}"))
        return utterances

    return make
