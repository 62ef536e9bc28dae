"""One answer of the recommendation, and how it speaks of p-values and of several systems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from duolect.reports.cells import p_text


@dataclass(frozen=True)
class Advice:
    """One answer: the question, the systems that answer it (several: no significant difference), what to say and
    why."""

    question: str
    systems: tuple[str, ...]
    sentence: str
    """Begins with the system's name and a comma where one answers."""
    evidence: tuple[str, ...]

    @property
    def single(self) -> str | None:
        """The one system that answers."""
        return self.systems[0] if len(self.systems) == 1 else None


def p_words(p_value: float) -> str:
    """A p-value as it is said in brackets: "p = 0.43"."""
    return f"p = {p_text(p_value)}" if p_value >= 0.001 else "p < 0.001"


def listed(names: Sequence[Any]) -> str:
    """Names as a sentence has them: "a, b and c"."""
    return str(names[0]) if len(names) == 1 else f"{', '.join(map(str, names[:-1]))} and {names[-1]}"
