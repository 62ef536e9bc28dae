"""Text normalisers by name: what is done to reference and hypothesis before their words are compared.

* plain: lower case, no punctuation (`duolect.text.normalise`);
* none: texts are only split at white space;
* whisper-english: Whisper's English normaliser;
* open-asr-2026-03, open-asr-2026-08: the Open ASR leaderboard's at b4fe3e4 (2026-03-12) and d1e99b2 (2026-08-21).

The last three read a spelling table of the package whisper-normalizer (the extra `leaderboard`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Literal, get_args

from duolect.errors import ScoringError

Normaliser = Literal["plain", "none", "whisper-english", "open-asr-2026-03", "open-asr-2026-08"]
NORMALISERS: tuple[Normaliser, ...] = get_args(Normaliser)

_CACHED = 1 << 16  # texts; references come once for each system that is scored
_RULES_OF = {
    "whisper-english": "openai/whisper",
    "open-asr-2026-03": "open_asr_leaderboard b4fe3e4",
    "open-asr-2026-08": "open_asr_leaderboard d1e99b2",
}


@cache
def normaliser_function(name: str) -> Callable[[str], str]:
    """The function behind a `Normaliser` name.

    Raises ScoringError for a name that is none, and for one whose spelling table is not installed.
    """
    if name == "plain":
        from duolect.text.normalise import normalise

        return normalise
    if name == "none":
        return str
    if name not in NORMALISERS:
        raise ScoringError(f"unknown normaliser {name!r}; known are {', '.join(NORMALISERS)}.")
    return lru_cache(maxsize=_CACHED)(_english(name))


@cache
def normaliser_version(name: str) -> str:
    """Whose rules and which table a `Normaliser` name stands for; empty for what needs no version."""
    if name not in _RULES_OF:
        return ""
    from duolect.evaluation.normalisers.spelling import table_version

    return f"rules of {_RULES_OF[name]}, {table_version()}"


def _english(name: str) -> Callable[[str], str]:
    from duolect.evaluation.normalisers.english import LEADERBOARD_FILLERS, EnglishNormaliser, EnglishRules
    from duolect.evaluation.normalisers.spelling import leaderboard_spellings, whisper_spellings

    if name == "whisper-english":
        return EnglishNormaliser(EnglishRules(spellings=whisper_spellings()))
    if name == "open-asr-2026-03":
        return EnglishNormaliser(EnglishRules(spellings=leaderboard_spellings(added=False)))
    return EnglishNormaliser(
        EnglishRules(
            spellings=leaderboard_spellings(added=True),
            fillers=LEADERBOARD_FILLERS,
            possessives=True,
            variants=True,
        )
    )
