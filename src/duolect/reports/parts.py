"""A part of a report: one question, answered on the page, as Markdown and as raw values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ReportPart:
    """What a report has under one heading.

    anchor: the heading's id, unique in the page; one of the page's own ("lead", "speed", "utterances") takes that
    part's place. html: its elements, without the heading. markdown: its text below the heading; "" where it is for the
    page alone. raw: system name → values for that system's line of results.jsonl.
    """

    anchor: str
    title: str
    html: Sequence[str] = field(repr=False)
    markdown: str = field(default="", repr=False)
    raw: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
