"""How each term voted, as a table for the terminal: what stands behind `duolect recognize --explain`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from duolect.systems import Explanation

Votes = Mapping[str, float]

NEGLIGIBLE = 5e-3
"""What does not show in two decimals."""


def votes_table(explanation: Explanation) -> RenderableType:
    """Both texts with their scores, and weighted log-scores of every term, one row a word where the texts differ.

    Rows "1" are the winner's, "2" its rival's, "1 − 2" their difference: above 0 the term is for the winner. Words that
    both have are taken together, for what a term gives a word depends on those before it. The rows of a hypothesis add
    up to "total", and the total divided by N^α, where there is such an exponent, is the score.
    """
    head = [Text(f"{explanation.id}: how each term voted, in weighted natural logarithms", style="bold")]
    for number, hypothesis in enumerate(explanation.hypotheses, start=1):
        said = f"{number} {hypothesis.name:<9}  {hypothesis.score:>10.2f}  {hypothesis.text or '(no words)'}"
        head.append(Text(said + (f"  [{', '.join(hypothesis.flags)}]" if hypothesis.flags else "")))
    if explanation.length_exponent:
        lengths = " and ".join(str(h.labels + 1) for h in explanation.hypotheses)
        head.append(Text(f"  score = total / N^{explanation.length_exponent:g}, N = {lengths} labels, EOS counted"))
    return Group(*head, _table(explanation))


def _table(explanation: Explanation) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column("word", overflow="fold")
    terms = tuple(explanation.factors)
    for term, factor in explanation.factors.items():
        table.add_column(f"{term}\n× {factor:g}".replace("-", "−"), justify="right")
    table.add_column("sum", justify="right", style="bold")

    def add(number: str, word: str, votes: Votes, *, last: bool = False, style: str | None = None) -> None:
        numbers = [votes[term] for term in terms]
        said = Text(word)  # "[noise]" in a plain string is rich's markup
        table.add_row(number, said, *map(_number, numbers), _number(math.fsum(numbers)), end_section=last, style=style)

    def add_pair(word: str, votes: Sequence[Votes]) -> None:
        for number, each in enumerate(votes, start=1):
            add(str(number), word, each, last=len(votes) == 1)
        add_difference(votes)

    def add_difference(votes: Sequence[Votes]) -> None:
        if len(votes) == 2:
            add("1 − 2", "", {t: votes[0][t] - votes[1][t] for t in terms}, last=True, style="dim")

    hypotheses = explanation.hypotheses
    common: list[list[Votes]] = [[] for _ in hypotheses]
    for stretch in explanation.stretches():
        sides = (stretch.first, stretch.second)[: len(hypotheses)]
        if stretch.equal:
            for gathered, words in zip(common, sides, strict=True):
                gathered.extend(word.votes for word in words)
            continue
        for number, words in enumerate(sides, start=1):
            for i, (word, votes) in enumerate(words, start=1):
                add(str(number), word, votes, last=len(hypotheses) == 1 and i == len(words))
        add_difference([_sum(terms, (w.votes for w in words)) for words in sides])
    if len(hypotheses) == 2 and common[0]:
        count = len(common[0])
        add_pair(f"({count} word{'s' if count > 1 else ''} in both)", [_sum(terms, each) for each in common])
    add_pair("(end)", [h.end for h in hypotheses])
    if any(abs(value) > NEGLIGIBLE for h in hypotheses for value in h.rest.values()):
        add_pair("(search)", [h.rest for h in hypotheses])
        table.caption = "(search): what the search counted otherwise than label by label, such as lost CTC paths"
        table.caption_justify = "left"
    add_pair("total", [h.total for h in hypotheses])
    return table


def _sum(terms: Iterable[str], votes: Iterable[Votes]) -> Votes:
    every = list(votes)
    return {term: math.fsum(each[term] for each in every) for term in terms}


def _number(value: float) -> str:
    shown = f"{value:.2f}"
    return "0.00" if shown == "-0.00" else shown.replace("-", "−")
