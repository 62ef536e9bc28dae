"""One batch from samples to ranked hypotheses: first pass, text, terms added after it, ranking."""

from __future__ import annotations

from collections.abc import Sequence

from duolect.nn.ledger import stage
from duolect.search import Hypothesis
from duolect.systems.components import spelling_units
from duolect.systems.context import Context
from duolect.systems.first_pass import run_first_pass
from duolect.systems.rescoring import add_terms, rank
from duolect.systems.rows import Candidate
from duolect.text import spellings
from duolect.text.spacing import single_spaces


def recognize_batch(context: Context) -> list[list[Candidate]]:
    """N-best lists, best first, one for each utterance of the batch.

    Every hypothesis carries the unweighted terms of the search. Raises SearchError where a model gives NaN.
    """
    with stage("search"):
        found = run_first_pass(context)
    with stage("text"):
        lists = as_candidates(context, found)
    if not context.search.after.active:
        return lists
    with stage("rescoring"):
        return rank(context, add_terms(context, lists, context.search.after.active))


def as_candidates(context: Context, lists: Sequence[Sequence[Hypothesis]]) -> list[list[Candidate]]:
    """A search's hypotheses with their text; where the search asks for it, with all the texts that sound like it.

    Texts have single spaces, whatever their labels say, and that is what other units spell: nobody was taught to score
    two of them.
    """
    units, limit = spelling_units(context.parts, context.search), context.search.spellings
    return [
        [
            Candidate(
                text=single_spaces(text),
                labels=tuple(h.labels),
                score=h.score,
                terms=dict(h.terms),
                flags=(*(("truncated",) if h.truncated else ()), *h.flags),
            )
            for h in each
            for text in spellings(units, h.labels, limit)
        ]
        for each in lists
    ]
