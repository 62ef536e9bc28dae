"""All systems on several test sets side by side, as the Open ASR leaderboard has them."""

from __future__ import annotations

import dataclasses

from duolect.studies.axes.overall import SYSTEMS, system
from duolect.studies.axes.rows import INTEGRATION, row
from duolect.studies.scales.base import Scale
from duolect.studies.stages.measures import AVERAGE, SetRates
from duolect.studies.study import Entry, Study


def leaderboard(scale: Scale) -> Study:
    """A column for each test set and one for their mean."""
    sets = scale.test_sets

    def entry(name: str, method: str) -> Entry:
        made = row(scale, name, lambda seed: system(scale, method, seed), method, small_effect=True, corpus=sets.corpus)
        rates = SetRates(
            name=f"test sets: {name}",
            runs=list(made.runs.values()),
            corpus=sets.corpus,
            field=sets.field,
            normaliser=sets.normaliser,
        )
        return dataclasses.replace(made, measured=[rates])

    return Study(
        name="leaderboard",
        title="Several test sets",
        question="Is the best system the best everywhere, or does it depend on what is said, and how?",
        scale=scale.name,
        entries=[entry(name, method) for name, method in SYSTEMS.items() if name != "CTC, best path"],
        notes=[
            (
                f"Columns by {sets.field}: per cent of words, normalised as {sets.normaliser}; {AVERAGE}: the plain "
                "mean of their rounded rates, as on the leaderboard. Errors of several seeds are added up."
            ),
            (
                f"{INTEGRATION} has the leaderboard's test sets; its numbers are not at hand. It tunes scales on the "
                "dev set of its training corpus, as here."
            ),
        ],
    )
