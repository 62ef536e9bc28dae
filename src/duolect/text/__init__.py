"""Text: its plain form, and the label units that models speak."""

from duolect.text.build import UnitsConfig, build_units, load_units
from duolect.text.characters import CharacterUnits
from duolect.text.huggingface import HuggingFaceUnits
from duolect.text.normalise import normalise, words
from duolect.text.pieces import SentencePieceUnits, train_sentencepiece
from duolect.text.retokenise import Retokeniser, Spelled, retokeniser
from duolect.text.units import Units, require_same_units

__all__ = [
    "CharacterUnits",
    "HuggingFaceUnits",
    "Retokeniser",
    "SentencePieceUnits",
    "Spelled",
    "Units",
    "UnitsConfig",
    "build_units",
    "load_units",
    "normalise",
    "require_same_units",
    "retokeniser",
    "train_sentencepiece",
    "words",
]
