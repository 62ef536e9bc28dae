"""Sound without speech and speech under strain, made on the spot: what a recogniser should keep silent about."""

from duolect.data.nonspeech.config import StressConfig
from duolect.data.nonspeech.sounds import SOUNDS, make_sound
from duolect.data.nonspeech.strained import mixed, with_silence
from duolect.data.nonspeech.stress import StressSet, make_stress_set

__all__ = ["SOUNDS", "StressConfig", "StressSet", "make_sound", "make_stress_set", "mixed", "with_silence"]
