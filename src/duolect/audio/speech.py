"""Speech by espeak-ng, from the library that the `espeakng-loader` wheel carries; nothing is installed on the system.

The library keeps hidden state (the phase of its vocal flutter, the random numbers of breath and aspiration) through
which each utterance would depend on those before. So it is loaded and seeded anew for each one, which costs about 1 ms:
the same text and voice give the same samples in any order and any process.
"""

from __future__ import annotations

import _ctypes
import contextlib
import ctypes
import itertools
import re
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from duolect.audio.files import SAMPLE_RATE
from duolect.errors import AudioError, ConfigError

_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: hand samples to the callback, return when done
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT
_UTF8 = 1
_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4, "word_gap": 7}
_IPA = 0x02
_PARTED = _IPA | ord("_") << 8  # with this character between phonemes
_SWITCH = re.compile(r"\([^)]*\)")  # "(fr)": what follows is said in another language
_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Voice:
    """How espeak-ng speaks.

    `name` is a language or voice ("en-gb", "en-us"), `variant` a voice quality ("f3", "m5", "croak"); `rate` in words
    per minute (80 to 450), `pitch` and `range` from 0 to 99, `word_gap` in units of 10 ms.
    """

    name: str = "en-gb"
    variant: str | None = None
    rate: int = 175
    pitch: int = 50
    range: int = 50
    word_gap: int = 0

    def __post_init__(self) -> None:
        for field, low, high in (("rate", 80, 450), ("pitch", 0, 99), ("range", 0, 99), ("word_gap", 0, 100)):
            value = getattr(self, field)
            if not low <= value <= high:
                raise ConfigError(f"voice: {field} must be from {low} to {high}, not {value}.")

    @property
    def full_name(self) -> str:
        """What espeak-ng calls it: "en-gb+f3"."""
        return f"{self.name}+{self.variant}" if self.variant else self.name


def speak(text: str, voice: Voice | None = None) -> np.ndarray:
    """The samples, float32 (N,) at 16 kHz in [-1, 1], of `text` read in `voice`.

    Raises AudioError for an unknown voice, and when the text has nothing to say: it is empty, or punctuation alone.
    """
    voice = voice or Voice()
    file = _voice_file(voice)
    with _engine() as engine:
        engine.choose(file, voice)
        samples = engine.synthesise(text)
    if not samples.any():
        raise AudioError(f"espeak-ng gave no sound for the text {text[:60]!r}.")
    import soxr

    return soxr.resample(samples.astype(np.float32) / 32768, engine.rate, SAMPLE_RATE, quality="HQ").astype(np.float32)


def phonemes(text: str, voice: Voice | None = None) -> str:
    """The pronunciation of `text` in IPA, words apart by spaces. Raises AudioError for an unknown voice."""
    voice = voice or Voice()
    file = _voice_file(voice)
    with _engine() as engine:
        engine.choose(file, voice)
        return engine.phonemes(text)


def pronunciations(words: Iterable[str], voice: Voice | None = None) -> list[tuple[str, ...]]:
    """The phonemes of each word said by itself, in IPA, as espeak-ng parts them: "cheese" is "tʃ", "ˈiː", "z".

    Stress marks stand before the vowel of their syllable. A word that espeak-ng has nothing to say for has no phonemes.
    The library is loaded once for all words, which do not depend on each other. Raises AudioError for an unknown voice.
    """
    voice = voice or Voice()
    file = _voice_file(voice)
    with _engine() as engine:
        engine.choose(file, voice)
        said = (_SWITCH.sub(" ", engine.phonemes(word, _PARTED)) for word in words)
        return [tuple(part for part in re.split("[_ ]", each) if part) for each in said]


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    """All languages and accents of the library, such as "en-gb" and "de", sorted."""
    return tuple(sorted(_voice_files()))


def voices(language: str) -> list[str]:
    """The voices of a language with all its accents: "en" gives "en-gb", "en-us" and so on, sorted."""
    return [name for name in languages() if name == language or name.startswith(language + "-")]


@lru_cache(maxsize=1)
def variants() -> tuple[str, ...]:
    """The voice qualities that can be combined with every voice, such as "f3" and "m5", sorted."""
    return tuple(sorted(path.name for path in (_data_path() / "voices" / "!v").iterdir() if path.is_file()))


def _bytes(text: str) -> bytes:
    return text.replace("\0", " ").encode(errors="replace") + b"\0"


def _data_path() -> Path:
    import espeakng_loader

    return Path(espeakng_loader.get_data_path())


@lru_cache(maxsize=1)
def _voice_files() -> dict[str, str]:
    """Language to voice file, listed once: it takes as long as an utterance."""
    with _engine() as engine:
        return engine.list_voices()


def _voice_file(voice: Voice) -> str:
    """What the library takes: files, not languages; "en-gb" with the quality f3 is "gmw/en+f3" to it."""
    if voice.name not in _voice_files():
        raise AudioError(f"espeak-ng has no voice {voice.full_name!r}; duolect.audio.voices('en') lists some.")
    if voice.variant is None:
        return _voice_files()[voice.name]
    if voice.variant not in variants():
        raise AudioError(f"espeak-ng has no voice variant {voice.variant!r}; duolect.audio.variants() lists them.")
    return f"{_voice_files()[voice.name]}+{voice.variant}"


class _VoiceEntry(ctypes.Structure):
    """The head of espeak_VOICE; `languages` is a priority byte and a name, zero-ended, several in a row."""

    _fields_ = (("name", ctypes.c_char_p), ("languages", ctypes.c_void_p), ("identifier", ctypes.c_char_p))


class _Engine:
    """The library, loaded and initialised."""

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self.library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceEntry))
        self.chunks: list[np.ndarray] = []
        path = str(_data_path().parent).encode()
        self.rate: int = self.library.espeak_Initialize(_SYNCHRONOUS, 0, path, _DONT_EXIT)
        if self.rate <= 0:
            raise AudioError("espeak-ng could not be started; is the package espeakng-loader whole?")
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # seeded by the clock otherwise; breath is made of it
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = prototype(self._collect)  # kept: the library holds only its address
        self.library.espeak_SetSynthCallback(self.callback)

    def _collect(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: int | None) -> int:
        if samples and count > 0:
            self.chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def list_voices(self) -> dict[str, str]:
        entries, found = self.library.espeak_ListVoices(None), {}
        for entry in itertools.takewhile(bool, (entries[i] for i in itertools.count())):
            language = ctypes.string_at(entry.contents.languages + 1).decode()
            found.setdefault(language, entry.contents.identifier.decode())
        return found

    def choose(self, file: str, voice: Voice) -> None:
        if self.library.espeak_SetVoiceByName(file.encode()) != 0:
            raise AudioError(f"espeak-ng cannot load the voice {voice.full_name!r} from its file {file!r}.")
        values = {
            "rate": voice.rate,
            "volume": 100,
            "pitch": voice.pitch,
            "range": voice.range,
            "word_gap": voice.word_gap,
        }
        for name, value in values.items():
            self.library.espeak_SetParameter(_PARAMETERS[name], value, 0)

    def synthesise(self, text: str) -> np.ndarray:
        data = _bytes(text)
        self.chunks = []
        status = self.library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, _UTF8, None, None)
        self.library.espeak_Synchronize()
        if status != 0:
            raise AudioError(f"espeak-ng failed with status {status} on the text {text[:60]!r}.")
        return np.concatenate(self.chunks) if self.chunks else np.zeros(0, dtype=np.int16)

    def phonemes(self, text: str, mode: int = _IPA) -> str:
        pointer = ctypes.c_char_p(_bytes(text))
        address = ctypes.cast(pointer, ctypes.c_void_p)
        parts = []
        while address.value:
            part = self.library.espeak_TextToPhonemes(ctypes.byref(address), _UTF8, mode)
            parts.append(part.decode() if part else "")
        return " ".join(" ".join(parts).split())


@contextlib.contextmanager
def _engine() -> Generator[_Engine]:
    """A freshly loaded library in its initial state; one at a time in a process."""
    with _LOCK:
        ctypes.CDLL(None).srand(1)
        engine = _Engine()
        try:
            yield engine
        finally:
            engine.library.espeak_Terminate()
            _ctypes.dlclose(engine.library._handle)
