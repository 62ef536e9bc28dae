"""N-best lists that scales are chosen on: every hypothesis of an utterance once, with every term of it.

U utterances · K hypotheses each · Q terms
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from duolect.evaluation import Normaliser
from duolect.evaluation.normalisers import normaliser_function
from duolect.evaluation.regimes import regime_of
from duolect.evaluation.words import utterance_counts
from duolect.systems.config import SearchConfig
from duolect.systems.context import Context
from duolect.systems.grid import TermTable
from duolect.systems.rescoring import add_terms
from duolect.systems.rows import Candidate

Key = tuple[tuple[int, ...], str]
"""What tells hypotheses apart: their labels, and the text these are read as."""


class Entry(NamedTuple):
    """A hypothesis as tuning sees it: its text, unweighted terms (natural logarithms) and number of labels, no EOS."""

    text: str
    terms: Mapping[str, float]
    labels: int


@dataclass
class NbestLists:
    """The hypotheses of each utterance, by its id, in the order in which they were found; they only become more."""

    terms: tuple[str, ...]
    found: dict[str, dict[Key, Candidate]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Hypotheses of all utterances."""
        return sum(map(len, self.found.values()))

    def add(
        self, context: Context, lists: Sequence[Sequence[Candidate]], search: SearchConfig
    ) -> list[list[Candidate]]:
        """Take in the hypotheses that `search` found in a batch; those not known yet get every term, scored on the
        whole sequence unless the search has done so.

        `context.search` says in whose units they are spelled. Returns the same lists with all terms.
        """
        scored = {t for t in exact_terms(search) if all(t in c.terms for each in lists for c in each)}
        fresh: list[list[Candidate]] = []
        for name, candidates in zip(context.ids, lists, strict=True):
            known = self.found.setdefault(name, {})
            new = {_key(c): c for c in candidates if _key(c) not in known}
            kept = [t for t in self.terms if t in scored]
            fresh.append([replace(c, terms={t: c.terms[t] for t in kept}, flags=()) for c in new.values()])
        missing = [t for t in self.terms if t not in scored]
        for name, candidates in zip(context.ids, add_terms(context, fresh, missing), strict=True):
            self.found[name] |= {_key(c): c for c in candidates}
        return [[self.found[name][_key(c)] for c in each] for name, each in zip(context.ids, lists, strict=True)]

    def entries(self, name: str) -> list[Entry]:
        """The list of an utterance."""
        return [Entry(c.text, c.terms, len(c.labels)) for c in self.found[name].values()]


def _key(candidate: Candidate) -> Key:
    return candidate.labels, candidate.text


def exact_terms(search: SearchConfig) -> set[str]:
    """The terms that a search scores as a sequence of labels is scored without any search.

    Not so over pruned labels, where models are renormalised, and of CTC over frames, which loses what leaves the beam.
    """
    if search.keep_labels is not None:
        return set()
    lossy = search.first_pass == "greedy" or (search.first_pass == "frames" and not search.exact_ctc)
    return {term for term in search.scales.active if not (lossy and term == "ctc")}


def term_table(
    lists: Sequence[Sequence[Entry]],
    references: Sequence[str],
    terms: Sequence[str],
    normaliser: Normaliser = "plain",
) -> TermTable:
    """The table that the grid works on: word errors of every hypothesis, counted once after normalisation.

    A term that one hypothesis of an utterance lacks counts for none of that utterance, and without its LM the prior
    does not count either, as in `Scales.combine`.
    """
    errors, words, values = [], 0, []
    for entries, reference in zip(lists, references, strict=True):
        spoken = spoken_words(reference, normaliser)
        words += len(spoken)
        distinct = {c.text: spoken_words(c.text, normaliser) for c in entries}
        counts_N4 = utterance_counts(
            [spoken] * len(distinct), list(distinct.values()), merge_compounds=regime_of(normaliser).merge_compounds
        )
        by_text = dict(zip(distinct, counts_N4[:, :3].sum(1).tolist(), strict=True))
        errors.append([by_text[c.text] for c in entries])
        values.append(_comparable([c.terms for c in entries], terms))
    return TermTable.build(terms, values, errors, [[c.labels + 1 for c in each] for each in lists], words)


def spoken_words(text: str, normaliser: Normaliser) -> list[str]:
    """The words that are compared."""
    return normaliser_function(normaliser)(text).split()


def _comparable(rows: Sequence[Mapping[str, float]], terms: Sequence[str]) -> list[Mapping[str, float]]:
    left_out = {term for term in terms if any(term not in row for row in rows)}
    if "lm" in left_out:
        left_out.add("prior")
    return [{name: value for name, value in row.items() if name not in left_out} for row in rows]
