"""Which system writes least often where nobody speaks.

Systems may have left out different recordings, so that their own rates are of different ones. The tests are on those
that both of a pair recognised, and their sign decides before the rates do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from duolect.evaluation import PairedRate, Panel, Rate, compare_panels
from duolect.evaluation.intervals import LEVEL
from duolect.evaluation.pairs import holm
from duolect.evaluation.utterance_signs import NON_SPEECH
from duolect.reports.cells import interval_text, percent
from duolect.reports.compare.advice import Advice, listed, p_words

_OUTPUT, _CHARACTERS = f"{NON_SPEECH}output", f"{NON_SPEECH}characters"


def safest(panels: Mapping[str, Panel], names: Sequence[str]) -> Advice | None:
    """Who writes least often where nobody speaks; None where fewer than two systems heard any non-speech."""
    rates = {name: rate for name in names if name in panels and (rate := panels[name].rate(_OUTPUT)) is not None}
    if len(rates) < 2:
        return None
    better = _significantly_less(panels, list(rates))

    def order(name: str) -> tuple[int, float, float]:
        return sum(name == worse for _, worse in better), rates[name].value, _characters(panels[name])

    ranked = sorted(rates, key=order)
    best, others = ranked[0], ranked[1:]
    proof = tuple(f"{name}: {_output(rates[name], panels[name])}." for name in ranked)
    alike = [name for name in others if (best, name) not in better]
    same = len({_heard(panels[name]) for name in rates}) == 1
    if not alike:
        where = "" if same else " on the recordings that both recognised"
        return Advice(
            "Safest on non-speech",
            (best,),
            f"{best}, {_output(rates[best], panels[best])}; significantly less often than "
            f"{others[0] if len(others) == 1 else 'each of the others'}{where} "
            f"({p_words(max(better[best, name] for name in others))}).",
            proof,
        )
    tied = (best, *alike)
    low, high = (end(rates[name].value for name in tied) for end in (min, max))
    share = f"{percent(low, 1)} %" if low == high else f"{percent(low, 1)} to {percent(high, 1)} %"
    of = f"{rates[best].total:,.0f} recordings without speech"
    if not same:
        of = "the recordings without speech that each of them recognised"
    rest = "" if len(alike) == len(others) else " The others do significantly more often."
    return Advice(
        "Safest on non-speech",
        tied,
        f"No significant difference between {listed(tied)}: they write something for {share} of {of}.{rest}",
        proof,
    )


def _significantly_less(panels: Mapping[str, Panel], names: Sequence[str]) -> dict[tuple[str, str], float]:
    """(who writes less often, than whom) → corrected p-value, of the pairs that differ significantly."""
    pairs = list(combinations(names, 2))
    tested = [compare_common(panels[a], panels[b]).get(_OUTPUT) for a, b in pairs]
    corrected = holm([test.p_value if test is not None else 1.0 for test in tested])
    found = {}
    for (a, b), test, p_value in zip(pairs, tested, corrected, strict=True):
        if test is not None and p_value < 1 - LEVEL and test.difference != 0:
            found[(a, b) if test.difference > 0 else (b, a)] = p_value
    return found


def compare_common(baseline: Panel, other: Panel) -> dict[str, PairedRate]:
    """As `compare_panels`; empty where the two systems recognised nothing in common."""
    return compare_panels(baseline, other) if set(baseline.ids) & set(other.ids) else {}


def _heard(panel: Panel) -> frozenset[str]:
    """The recordings without speech that the rate is of."""
    return frozenset(key for key, (_, counted) in zip(panel.ids, panel.counts[_OUTPUT], strict=True) if counted)


def _output(rate: Rate, panel: Panel) -> str:
    sure = f" (95 % interval {interval_text(rate.interval)} %)" if rate.interval is not None else ""
    characters = panel.rate(_CHARACTERS)
    minute = f", {characters.value:,.1f} characters per minute" if characters is not None else ""
    return f"any text for {percent(rate.value, 1)} % of {rate.total:,.0f} recordings without speech{sure}{minute}"


def _characters(panel: Panel) -> float:
    rate = panel.rate(_CHARACTERS)
    return rate.value if rate is not None else math.inf
