"""How each term voted: the score of a hypothesis taken apart into its words, beside its strongest rival.

Every term is scored label by label on the whole sequence (CTC: the differences of its prefix scores ψ), weighted, and
its labels are gathered into the words of the text; a term in other units by the words that its own tokens spell. What
the search counted differently from this (CTC paths that fell out of the beam, a softmax over fewer labels) is kept
apart, so that the sums are the scores.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from duolect.data import Utterance
from duolect.errors import AudioError, SearchError, SystemFolderError, UnitsError
from duolect.search.label_scores import ctc_label_scores, model_label_scores
from duolect.systems.batches import LONGEST_SECONDS, read_batch, utterance_source
from duolect.systems.components import log_prior, spelling_units, term_units, written
from duolect.systems.config import SearchConfig
from duolect.systems.context import Context
from duolect.systems.drafting import TAKEN
from duolect.systems.languages import reference, with_languages
from duolect.systems.recognizer import recognize_batch
from duolect.systems.rescoring import IMPOSSIBLE, add_terms
from duolect.systems.rows import Candidate
from duolect.systems.system import System
from duolect.text import Units, normalise

Votes = Mapping[str, float]
"""Term → weighted natural logarithm: its part of the score."""

Rival = Literal["runner-up", "reference"]


class WordVotes(NamedTuple):
    """A word of a hypothesis, and what each term gave for it."""

    word: str
    votes: Votes


@dataclass(frozen=True)
class HypothesisVotes:
    """A hypothesis taken apart: of each term, words + end + rest is its weighted value, and Σ / N^α is the score.

    end: what the terms gave for ending here (EOS); rest: what the search counted otherwise than label by label.
    name: "winner", "runner-up" or "reference".
    """

    name: str
    text: str
    score: float
    labels: int
    flags: tuple[str, ...]
    words: tuple[WordVotes, ...]
    end: Votes
    rest: Votes

    @property
    def total(self) -> Votes:
        """The weighted terms, before any normalisation by the length."""
        parts = [*(each.votes for each in self.words), self.end, self.rest]
        return {term: math.fsum(part[term] for part in parts) for term in self.end}


class Stretch(NamedTuple):
    """Words of the two hypotheses that stand against each other: the same (`equal`), or not; either may be empty."""

    equal: bool
    first: tuple[WordVotes, ...]
    second: tuple[WordVotes, ...]


@dataclass(frozen=True)
class Explanation:
    """Of one utterance the winner and, where there is one, its rival. `factors`: term → λ, negative for the prior."""

    id: str
    factors: Votes
    length_exponent: float
    hypotheses: tuple[HypothesisVotes, ...]

    def stretches(self) -> list[Stretch]:
        """The words of both, aligned; of a lone winner one stretch with all of its words."""
        first = self.hypotheses[0].words
        if len(self.hypotheses) == 1:
            return [Stretch(False, first, ())]
        second = self.hypotheses[1].words
        matcher = difflib.SequenceMatcher(None, [w.word for w in first], [w.word for w in second], autojunk=False)
        return [Stretch(tag == "equal", first[a:b], second[c:d]) for tag, a, b, c, d in matcher.get_opcodes()]


def explain(
    system: System,
    utterance: Utterance,
    *,
    rival: Rival = "runner-up",
    max_seconds: float = LONGEST_SECONDS,
    target_language: str | None = None,
) -> Explanation:
    """Recognise `utterance` and take its winner and a rival apart.

    rival: the best hypothesis of another text, or the reference ("why not this?": a reference that scores higher than
    the winner was lost by the search, one that scores lower by the models), in lower case and without punctuation where
    the model writes no others. Without such a rival, or where the reference is the winner, the winner stands alone.
    target_language: as for `System.recognize`.
    Raises AudioError where the audio cannot be recognised, ConfigError where its language is unknown or missing,
    UnitsError where the reference cannot be spelled, and SearchError where a model that scored the winner cannot score
    it (it is longer than an LM's positions).
    """
    search = system.search
    if search is None:
        raise SystemFolderError("This system has no search, and so nothing to explain.")
    sources = [utterance_source(0, utterance)]
    sources, _ = with_languages(system.parts, search, sources, [utterance], target_language)
    batch, bad = read_batch(sources, max_seconds)
    if batch is None:
        raise AudioError(bad[0][1])
    samples_1N, lengths_1 = batch.samples_BN.to(system.device), batch.lengths_B.to(system.device)
    languages = [source.language for source in batch.sources]
    context = Context(system.parts, search, [utterance.id], samples_1N, lengths_1, languages=languages)
    with torch.inference_mode():
        found = recognize_batch(context)[0]
        names, candidates = ["winner"], [found[0]]
        other = _reference(context, utterance, found[0]) if rival == "reference" else _runner_up(found)
        if other is not None:
            names.append(rival)
            candidates.append(other)
        factors = _factors(search, candidates[0])
        parts = {term: _label_votes(context, term, candidates) for term in factors}
    hypotheses = tuple(
        _taken_apart(name, c, factors, {term: parts[term][i] for term in factors})
        for i, (name, c) in enumerate(zip(names, candidates, strict=True))
    )
    return Explanation(utterance.id, factors, search.length_exponent, hypotheses)


class _Label(NamedTuple):
    """A label's score of one term, and which word of the text it belongs to; EOS has None."""

    word: int | None
    score: float


def _runner_up(found: Sequence[Candidate]) -> Candidate | None:
    return next((c for c in found if c.text != found[0].text), None)


def _reference(context: Context, utterance: Utterance, winner: Candidate) -> Candidate | None:
    """The reference as a hypothesis of this search, every term scored on the whole sequence."""
    text = reference(utterance, written(context.parts, context.search))
    if text is None:
        return None
    search, units = context.search, spelling_units(context.parts, context.search)
    try:
        labels = units.encode(text)
    except UnitsError:
        # Most models write neither capitals nor punctuation.
        text = normalise(text)
        labels = units.encode(text)
    if text == winner.text:
        return None
    candidate = Candidate(text=text, labels=tuple(labels), score=0.0, terms={})
    terms = tuple(_factors(search, winner))
    ((scored,),) = add_terms(context, [[candidate]], terms)
    if lacking := [term for term in terms if term not in scored.terms]:
        raise SearchError(
            f"{utterance.id}: the reference cannot be compared with the winner, for it has no score of {lacking[0]!r} "
            f"({', '.join(scored.flags)})."
        )
    if TAKEN in winner.flags:
        return replace(scored, score=scored.terms["ctc"], flags=(*scored.flags, TAKEN))
    return replace(scored, score=search.score(scored.terms, len(scored.labels)))


def _factors(search: SearchConfig, candidate: Candidate) -> dict[str, float]:
    """Term → signed λ, of the terms that counted for this utterance; as in `Scales.combine`."""
    if TAKEN in candidate.flags:
        return {"ctc": 1.0}
    factors = {term: factor for term, factor in search.scales.signed().items() if term in candidate.terms}
    if search.scales.lm and "lm" not in factors:
        factors.pop("prior", None)
    return factors


def _label_votes(context: Context, term: str, candidates: Sequence[Candidate]) -> list[list[_Label]]:
    """Unweighted scores of the labels and EOS of each candidate, in the units of the term."""
    own, units = spelling_units(context.parts, context.search), term_units(context.parts, context.search, term)
    shared = own.fingerprint == units.fingerprint
    spelled = [c.labels if shared else tuple(units.encode(c.text)) for c in candidates]
    if term == "ctc":
        scores = [s.tolist() for s in ctc_label_scores(*context.ctc(), spelled, eos_id=units.eos_id)]
    elif term == "prior":
        prior_V = log_prior(context.parts, context.search)
        assert prior_V is not None, "checked when the system was made"
        scores = [[*prior_V.double()[list(a)].tolist(), 0.0] for a in spelled]
    else:
        found = model_label_scores(*context.speaker(term), spelled, eos_id=units.eos_id, name=term)
        scores = [s.tolist() for s in found]
    return [
        [_Label(word, score) for word, score in zip([*words_of(units, a), None], values, strict=True)]
        for a, values in zip(spelled, scores, strict=True)
    ]


def words_of(units: Units, labels: Sequence[int]) -> list[int]:
    """The number of the word, counted from 0, that each label spells; a space belongs to the word after it."""
    last = max(len(units.decode(list(labels)).split()) - 1, 0)
    places, before = [], 0
    for n, label in enumerate(labels):
        after = len(units.decode(list(labels[: n + 1])).split())
        place = before if units.starts_word(label) else max(after - 1, 0)
        places.append(min(max(place, places[-1] if places else 0), last))
        before = after
    return places


def _taken_apart(
    name: str, candidate: Candidate, factors: Votes, labels: Mapping[str, Sequence[_Label]]
) -> HypothesisVotes:
    words = candidate.text.split()
    votes = [dict.fromkeys(factors, 0.0) for _ in words]
    end, rest = dict.fromkeys(factors, 0.0), {}
    for term, factor in factors.items():
        value = candidate.terms[term]
        counted = 0.0
        for label in labels[term]:
            # After a label of probability zero nothing counts any more; in files that is a finite number.
            possible = math.isfinite(label.score)
            score = label.score if possible else IMPOSSIBLE - counted
            place = end if label.word is None or not words else votes[min(label.word, len(words) - 1)]
            place[term] += factor * score
            counted += score
            if not possible:
                break
        rest[term] = factor * (value - counted)
    return HypothesisVotes(
        name=name,
        text=candidate.text,
        score=candidate.score,
        labels=len(candidate.labels),
        flags=candidate.flags,
        words=tuple(WordVotes(word, each) for word, each in zip(words, votes, strict=True)),
        end=end,
        rest=rest,
    )
