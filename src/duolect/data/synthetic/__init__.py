"""A speech corpus made on the spot: English sentences from a grammar, their German translation, espeak-ng voices."""

from duolect.data.synthetic.config import Size, SoundConfig, SpeakingConfig, SyntheticConfig, synthetic_config
from duolect.data.synthetic.corpus import Corpus, make_corpus
from duolect.data.synthetic.domains import ALL_TEMPLATES, DEV_TEMPLATES, TEST_TEMPLATES, TRAINING_TEMPLATES
from duolect.data.synthetic.given import SpokenCorpus, speak_sentences
from duolect.data.synthetic.grammar import Sentence, Template, sample_sentences
from duolect.data.synthetic.homophones import HOMOPHONES, NEAR_HOMOPHONES, sound_alikes
from duolect.data.synthetic.lexicon import LEXICON
from duolect.data.synthetic.voices import Split

__all__ = [
    "ALL_TEMPLATES",
    "DEV_TEMPLATES",
    "HOMOPHONES",
    "LEXICON",
    "NEAR_HOMOPHONES",
    "TEST_TEMPLATES",
    "TRAINING_TEMPLATES",
    "Corpus",
    "Sentence",
    "Size",
    "SoundConfig",
    "SpeakingConfig",
    "Split",
    "SpokenCorpus",
    "SyntheticConfig",
    "Template",
    "make_corpus",
    "sample_sentences",
    "sound_alikes",
    "speak_sentences",
    "synthetic_config",
]
