"""Scales chosen on a development set: n-best lists with every term, a grid, minimum word errors; then the real search.

The grid (`grid.py`) works on lists alone, and trusts them: where a scale makes a search prefer hypotheses that no list
holds, the lists cannot tell (a prior that is subtracted rewards every further label, say). So the set is decoded with
the scales found, what that finds joins the lists, and the scales are chosen again, until the search does what the
lists promise (the outer loop of Och 2003, "Minimum error rate training in statistical machine translation"). The scales
kept are those with which the search itself, not a list, made the fewest word errors.

Terms that are added after the first pass choose from one list, whatever their scales: it alone is what these are chosen
on, for what suits a longer list need not suit it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from duolect.data import Utterance
from duolect.errors import ConfigError
from duolect.evaluation import Normaliser
from duolect.systems.batches import LONGEST_SECONDS, utterance_source
from duolect.systems.config import Scales, SearchConfig
from duolect.systems.context import Context
from duolect.systems.first_pass import run_first_pass
from duolect.systems.grid import GridConfig
from duolect.systems.languages import with_languages
from duolect.systems.lists import Entry, NbestLists
from duolect.systems.provenance import TuningRound
from duolect.systems.recognition import Progress, run_batches
from duolect.systems.recognizer import as_candidates, recognize_batch
from duolect.systems.rows import Candidate
from duolect.systems.system import BATCH_SECONDS, System
from duolect.systems.tuning_plan import Tuned, TuningPlan, tuning_plan, with_scales

NBEST = 64
ROUNDS = 6
SETTLED = 0.01  # of the lists' word error rate: no more than that is left to gain
LABELS_PER_FRAME = 16  # of the lists of CTC alone, where the search itself names no number


@dataclass
class _Job:
    """The lists of a set, which each decoding lengthens."""

    plan: TuningPlan
    found: NbestLists
    batch_seconds: float
    max_seconds: float
    progress: Progress | None
    used: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def decode(self, search: SearchConfig, also: Sequence[SearchConfig] = ()) -> tuple[float, int]:
        """The word error rate of `search` on the set, and how many hypotheses were new to the lists: what it finds, and
        what the searches `also` find, joins them."""

        def collect(context: Context) -> list[list[Candidate]]:
            # Views of a context share what the encoders have computed.
            own = recognize_batch(dataclasses.replace(context, search=search))
            for other in also:
                view = dataclasses.replace(context, search=other)
                self.found.add(context, as_candidates(view, run_first_pass(view)), other)
            return self.found.add(context, own, search)

        plan, before = self.plan, self.found.size
        parts, utterances = plan.system.with_search(plan.search).parts, list(plan.utterances.values())
        sources = [utterance_source(i, u) for i, u in enumerate(utterances)]
        sources, speechless = with_languages(parts, plan.search, sources, utterances)
        run = run_batches(
            parts,
            plan.search,
            sources,
            batch_seconds=self.batch_seconds,
            max_seconds=self.max_seconds,
            device=plan.system.device,
            progress=self.progress,
            decode=collect,
        )
        names = list(plan.utterances)
        self.left_out = {names[i]: reason for i, (_, reason) in sorted({**run.bad, **speechless}.items())}
        best = {name: run.candidates[i][0] for i, name in enumerate(plan.utterances) if i in run.candidates}
        self.used = plan.scored(best, self.left_out)
        # A list of one: its best is what the search said.
        said = plan.table({n: [Entry(best[n].text, {}, 0)] for n in self.used})
        return said.oracle_errors / said.words, self.found.size - before

    def lists(self) -> dict[str, list[Entry]]:
        """The lists of all utterances that can be scored."""
        return {n: self.found.entries(n) for n in self.used}


def tune(
    system: System,
    utterances: Sequence[Utterance],
    method: str | None = None,
    *,
    search: SearchConfig | None = None,
    without: Collection[str] = (),
    set_name: str = "dev",
    grid: GridConfig | None = None,
    nbest: int = NBEST,
    rounds: int = ROUNDS,
    batch_seconds: float = BATCH_SECONDS,
    max_seconds: float = LONGEST_SECONDS,
    normaliser: Normaliser = "plain",
    progress: Progress | None = None,
) -> Tuned:
    """Choose the scales of `method` (None: the system's own) on a development set; λ of the method's anchor stays 1.

    The lists begin with the `nbest` of CTC alone and those of the search with its untuned scales; each of at most
    `rounds` rounds chooses scales on them and decodes the set. Where all scales are of terms added after the first pass
    the lists are its own, and `nbest` is the search's. `search`: other settings than the method's, and the scales to
    begin with (a term that the method does not tune keeps its own); `without`: terms of the method that are left out.
    `progress` starts anew with each round.

    The system is not changed: `system.with_tuning(tuned.record)` uses and remembers the result. Raises ConfigError for
    a method without scales to tune, for an id that two utterances have, or when no utterance of the set can be used.
    """
    if rounds < 1:
        raise ConfigError(f"tuning: rounds must be at least 1, not {rounds}.")
    plan = tuning_plan(system, utterances, method, search, without, set_name, grid, nbest, normaliser)
    also = [_ctc_alone(plan.search, nbest)]
    if plan.rescores:
        plan, also = dataclasses.replace(plan, nbest=plan.search.nbest), []
    job = _Job(plan, NbestLists(plan.terms), batch_seconds, max_seconds, progress)
    wer, new = job.decode(plan.search, also)
    tried = [TuningRound(scales=plan.search.scales, list_wer=None, wer=wer, new=new)]
    searches, edges = [plan.search], [False]
    for _ in range(rounds):
        table = plan.table(job.lists())
        result = plan.choose(table)
        candidate = with_scales(plan.search, result)
        if candidate in searches:
            break
        wer, new = job.decode(candidate)
        list_wer = result.errors / table.words
        tried.append(TuningRound(scales=candidate.scales, list_wer=list_wer, wer=wer, new=new))
        searches.append(candidate)
        edges.append(result.at_edge)
        if not new or abs(wer - list_wer) <= SETTLED * list_wer:  # the lists hold what the search finds
            break
    best = min(range(len(tried)), key=lambda i: tried[i].wer)
    lists = job.lists()
    return plan.tuned(
        searches[best],
        lists,
        plan.table(lists),
        result,
        wer_before=tried[0].wer,
        wer_after=tried[best].wer,
        at_edge=edges[best],
        rounds=tuple(tried),
        left_out=job.left_out,
    )


def tune_lists(
    system: System,
    utterances: Sequence[Utterance],
    lists: Mapping[str, Sequence[Entry]],
    method: str | None = None,
    *,
    search: SearchConfig | None = None,
    without: Collection[str] = (),
    set_name: str = "dev",
    grid: GridConfig | None = None,
    normaliser: Normaliser = "plain",
) -> Tuned:
    """As `tune`, from n-best lists (by utterance id) alone: no model runs, so the lists are believed.

    That is right for rescoring of just these lists; a one-pass search may find with these scales what they do not hold.
    Utterances without a list are left out. So is a term that no list has and that the untuned search does not weigh,
    such as the prior of lists that were made without one: `lacking` names it. Raises ConfigError where there is a list
    of none, or where the lists lack another term of the method.
    """
    longest = max((len(each) for each in lists.values()), default=0)
    plan = tuning_plan(system, utterances, method, search, without, set_name, grid, longest, normaliser)
    scored = plan.scored(plan.utterances)
    known = {n: list(lists[n]) for n in scored if n in lists}
    if not known:
        raise ConfigError(f"tuning: there is no n-best list of any utterance of {set_name}, such as {scored[0]!r}.")
    held = {name for each in lists.values() for entry in each for name in entry.terms}
    lacking = tuple(term for term in plan.axes if term not in {*held, *plan.search.scales.active})
    if len(lacking) < len(plan.axes):
        plan = dataclasses.replace(plan, without=plan.without | set(lacking))
    for term in plan.terms:
        if term not in held:
            raise ConfigError(
                f"tuning: no hypothesis of the n-best lists has the term {term!r}, which the method needs."
            )
    table = plan.table(known)
    signed = plan.search.scales.signed()
    untuned = table.word_errors(np.array([[signed.get(t, 0.0) for t in plan.terms]]), plan.search.length_exponent)
    result = plan.choose(table)
    return plan.tuned(
        with_scales(plan.search, result),
        known,
        table,
        result,
        wer_before=int(untuned[0]) / table.words,
        wer_after=result.errors / table.words,
        at_edge=result.at_edge,
        left_out={n: "there is no list of it" for n in scored if n not in known},
        lacking=lacking,
    )


def _ctc_alone(search: SearchConfig, nbest: int) -> SearchConfig:
    return dataclasses.replace(
        search,
        first_pass="frames",
        inside=Scales(ctc=1.0),
        after=Scales(),
        beam=nbest,
        nbest=nbest,
        length_exponent=0.0,
        stop="exact",
        no_repeat_ngram=None,
        labels_per_frame=search.labels_per_frame or LABELS_PER_FRAME,
        merge="sum",
        exact_ctc=True,
    )
