"""Many people at once, and talk played backwards, by synthetic voices: the sound of speech, and no word to write.

Each talker says random sentences in a voice, at a place of the sentence, that only the generator decides. With twelve
equally loud ones none can be followed, and the right transcript is an empty one. That rests on the number of talkers;
what is played backwards has no words whoever listens.
"""

from __future__ import annotations

import random

import numpy as np

from duolect.audio.files import SAMPLE_RATE
from duolect.data.synthetic.domains import TRAINING_TEMPLATES
from duolect.data.synthetic.grammar import sample_sentences
from duolect.data.synthetic.lexicon import LEXICON
from duolect.data.synthetic.sound import babble_track
from duolect.data.synthetic.voices import VARIANTS, speakers

_TALKERS = 12
_WORDS_PER_SECOND = 4  # hardly any voice is faster, so that nobody runs out of sentences
_WORDS_PER_SENTENCE = 6
_LONGEST_START = 2.0


def babble(count: int, rng: np.random.Generator) -> np.ndarray:
    """Twelve talkers, equally loud, each at a random place of what it says."""
    return sum((_talker(count, rng) for _ in range(_TALKERS)), np.zeros(count))


def backwards(count: int, rng: np.random.Generator) -> np.ndarray:
    """One talker, played backwards."""
    return _talker(count, rng)[::-1]


def _talker(count: int, rng: np.random.Generator) -> np.ndarray:
    seed = int(rng.integers(2**48))
    draw = random.Random(f"duolect/nonspeech/{seed}")
    cast = [speaker for split in VARIANTS for speaker in speakers(split)]
    voice = cast[int(draw.random() * len(cast))].voice(draw)
    start = int(draw.random() * _LONGEST_START * SAMPLE_RATE)
    seconds = (start + count) / SAMPLE_RATE
    number = 2 + round(seconds * _WORDS_PER_SECOND / _WORDS_PER_SENTENCE)
    sentences = sample_sentences(TRAINING_TEMPLATES, number, f"nonspeech/{seed}", lexicon=LEXICON)
    return babble_track([sentence.text for sentence in sentences], [voice], seconds)[-count:].astype(np.float64)
