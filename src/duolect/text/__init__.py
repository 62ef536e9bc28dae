"""Text: its plain form, and the label units that models speak."""

from duolect.text.build import UnitsConfig, build_units, load_units
from duolect.text.characters import CharacterUnits
from duolect.text.huggingface import HuggingFaceUnits
from duolect.text.normalise import normalise, tidy, words
from duolect.text.phonemes import PhonemeUnits
from duolect.text.pieces import SentencePieceUnits, train_sentencepiece
from duolect.text.prompts import PROMPTS, Prompt, SpelledPrompt, check_prompts, find_prompt, spell_prompts
from duolect.text.retokenise import Retokeniser, Spelled, retokeniser
from duolect.text.units import SoundUnits, Units, require_same_units, spellings

__all__ = [
    "PROMPTS",
    "CharacterUnits",
    "HuggingFaceUnits",
    "PhonemeUnits",
    "Prompt",
    "Retokeniser",
    "SentencePieceUnits",
    "SoundUnits",
    "Spelled",
    "SpelledPrompt",
    "Units",
    "UnitsConfig",
    "build_units",
    "check_prompts",
    "find_prompt",
    "load_units",
    "normalise",
    "require_same_units",
    "retokeniser",
    "spell_prompts",
    "spellings",
    "tidy",
    "train_sentencepiece",
    "words",
]
