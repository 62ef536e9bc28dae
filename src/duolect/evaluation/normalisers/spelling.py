"""British → American spellings, from the package `whisper-normalizer`, and the leaderboard's corrections of the table.

The table (about 1,740 words) is Whisper's; it is read where it is installed and not part of Duolect.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from duolect.errors import ScoringError

PACKAGE = "whisper-normalizer"
_MODULE, _FILE = "whisper_normalizer", "normalizers/english.json"

# What the leaderboard's table says since 2025-09-11: directions turned round, and slips mended.
_TURNED_ROUND = {"archeological": "archaeological", "cancelation": "cancellation", "cancelations": "cancellations"}
_TURNED_ROUND |= {"travelog": "travelogue", "travelogs": "travelogues"}
_MENDED = {"archaeology": "archeology", "pummelled": "pummeled", "pummelling": "pummeling", "snowploughs": "snowplows"}
_MENDED |= {"mm": "hmm"}
# And since June 2026.
_ADDED = {"flyer": "flier", "ok": "okay", "kay": "okay", "etcetera": "etc"}


@cache
def whisper_spellings() -> dict[str, str]:
    """Whisper's table: British → American. Do not change it: it is shared.

    Raises ScoringError where the package is not installed or its table is not what is expected.
    """
    spec = find_spec(_MODULE)  # found, not imported: its modules for Indic languages need more
    if spec is None or not spec.submodule_search_locations:
        raise ScoringError(f"this normaliser needs the spelling table of the package {PACKAGE}: pip install {PACKAGE}.")
    path = Path(spec.submodule_search_locations[0]) / _FILE
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return {str(british): str(american) for british, american in table.items()}
    except (OSError, ValueError, AttributeError) as error:
        raise ScoringError(f"{path}: the spelling table of {PACKAGE} cannot be read ({error}).") from error


def leaderboard_spellings(*, added: bool) -> dict[str, str]:
    """The Open ASR leaderboard's table; `added`: with the words of 2026-08."""
    table = dict(whisper_spellings())
    for american, british in _TURNED_ROUND.items():
        table.pop(american, None)
        table[british] = american
    return table | _MENDED | (_ADDED if added else {})


def table_version() -> str:
    """ "whisper-normalizer 0.1.15 spellings"; without a number where the package has no metadata."""
    try:
        return f"{PACKAGE} {version(PACKAGE)} spellings"
    except PackageNotFoundError:
        return f"{PACKAGE} spellings"
