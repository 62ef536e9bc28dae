"""Delayed fusion: the LM has its say on finished words, every n frames and at the end, in its own tokens.

(Hori et al. 2025, arXiv 2501.09258; as compared in arXiv 2603.15045.)

Between two fusions hypotheses are pruned by what is known of them so far. At a fusion every surviving hypothesis hands
over its labels up to the last complete word; where LM and CTC share their units, all its labels. At the end the rest of
its text is handed over, and EOS: the LM's and the prior's terms of a finished hypothesis are functions of its text and
labels alone, the same for every schedule and in rescoring.

Legend: n live utterances (at the end all of them) · K beam · M terms · F facts of an entry · P entries that hand over
labels · V labels (EOS included).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from duolect.errors import SearchError
from duolect.search.checks import check_count
from duolect.search.frame_beam import FACTS, NODE, Beam, Trie
from duolect.search.prefix_scores import PrefixScores, Tokens
from duolect.search.scorer import PriorScorer, Weighted
from duolect.text.retokenise import Retokeniser, Spelled

Interval = int | Literal["shortest", "never"]

# Further facts of an entry: the trie's nodes up to which its words are complete, and up to which they were handed over,
# what is known of the latter (a place in `_records`), and whether the LM cannot spell it.
_STABLE, _DONE, _RECORD, _BAD = range(FACTS, FACTS + 4)


@dataclass(frozen=True, kw_only=True)
class Delayed:
    """A language model that is asked on finished words.

    lm: scores beginnings of texts without hearing anything, shared by all utterances.
    interval: n fuses at frames n−1, 2n−1, …; "shortest" at each frame at which every hypothesis of the utterance has a
        new complete word (with shared units: a new label) since its last fusion, the shortest one included; "never"
        only at the end, which is rescoring of the final beam.
    retokeniser: from the labels of CTC to the LM's tokens; None where they share their units.
    prior: added with the LM, over the same stretch; None: there is none, or it is added label by label.
    prior_over: whether the prior counts "labels" of CTC or "tokens" of the LM.
    max_tokens: the most tokens, EOS not counted, that the LM's positions allow; None: no limit.
    labels_BC: what the labels of CTC stand for, where they are local ones (`pruning.KeptLabels`); LM and prior speak of
        the whole vocabulary all the same.
    eos_id: the LM's EOS; None: that of the retokeniser's target, or of the search where there is none.

    An utterance of which a hypothesis cannot be spelled by the LM (or has too many tokens) is ranked without LM and
    prior if that hypothesis is in the final beam, and flagged; until then that hypothesis is charged what the others
    are charged at most.
    """

    lm: Weighted
    interval: Interval = 20
    retokeniser: Retokeniser | None = None
    prior: Weighted | None = None
    prior_over: Literal["labels", "tokens"] = "labels"
    max_tokens: int | None = None
    labels_BC: Tensor | None = None
    eos_id: int | None = None

    def __post_init__(self) -> None:
        if self.interval not in ("shortest", "never"):
            if isinstance(self.interval, str):
                raise SearchError(f"interval: {self.interval!r} is none of a number of frames, 'shortest' and 'never'.")
            check_count("interval", self.interval)
        if self.prior_over not in ("labels", "tokens"):
            raise SearchError(f"prior_over: {self.prior_over!r} is neither 'labels' nor 'tokens'.")
        if self.prior is not None and not isinstance(self.prior.scorer, PriorScorer):
            raise SearchError("prior: a delayed prior is a PriorScorer.")
        if self.max_tokens is not None:
            check_count("max_tokens", self.max_tokens)

    @property
    def weighted(self) -> tuple[Weighted, ...]:
        """The terms it adds, in the order of their columns."""
        return (self.lm,) if self.prior is None else (self.lm, self.prior)


@dataclass(frozen=True, slots=True)
class _Record:
    """What was handed over of a hypothesis; `before`: the tokens of the record it continues."""

    spelled: Spelled
    prior: float = 0.0
    before: Tokens | None = None
    flags: tuple[str, ...] = ()


@dataclass
class DelayedFusion:
    """One search with a delayed LM.

    labelwise: the terms before its own; labels: V of CTC; order, names, lengths: of the utterances, longest first.
    """

    settings: Delayed
    labelwise: Sequence[Weighted]
    trie: Trie
    labels: int
    order: Sequence[int]
    names: Sequence[str]
    lengths: Sequence[int]
    device: torch.device
    _records: list[_Record] = field(default_factory=lambda: [_Record(Spelled())])
    _waiting: set[Tokens] = field(default_factory=set)

    def __post_init__(self) -> None:
        settings, retokeniser = self.settings, self.settings.retokeniser
        self.prefixes = PrefixScores(settings.lm, self.names)
        self.tables: list[list[int]] | None = None
        if settings.labels_BC is not None:
            self.tables = settings.labels_BC[list(self.order)].tolist()
        tokens = settings.lm.scorer.vocabulary
        labels = self.labels if self.tables is None else tokens
        if retokeniser is not None:
            labels = retokeniser.source.size
            if self.tables is None and labels != self.labels:
                raise SearchError(
                    f"retokeniser: its source has {labels} labels, but CTC has {self.labels} besides blank."
                )
        expected = labels if retokeniser is None else retokeniser.target.size
        if tokens != expected:
            raise SearchError(
                f"scorer {settings.lm.name!r} has {tokens} labels, but the units it is given have {expected}."
            )
        self.lengths_n = torch.tensor(self.lengths, device=self.device)
        self.starts_BV = None if retokeniser is None else self._starts(retokeniser)
        self.log_prior: list[float] = []
        if settings.prior is not None:
            scorer = settings.prior.scorer
            log_prior_V = scorer.score(scorer.start(None, 1))[0][0]
            wanted = labels if settings.prior_over == "labels" else expected
            if len(log_prior_V) != wanted:
                raise SearchError(
                    f"scorer 'prior' has {len(log_prior_V)} {settings.prior_over}, but {wanted} are wanted."
                )
            self.log_prior = log_prior_V.double().tolist()

    def _starts(self, retokeniser: Retokeniser) -> Tensor:
        """Which labels of each utterance begin a word (B, V)."""
        starts_V = torch.from_numpy(retokeniser.starts_V).to(self.device)
        if self.settings.labels_BC is None:
            return starts_V.expand(len(self.order), -1)
        return starts_V[self.settings.labels_BC.to(self.device)[list(self.order)].clamp(min=0)]

    def start(self, beam: Beam) -> Beam:
        """The first beam with the facts and columns of the fusion."""
        facts_FnK = beam.known_FnK.new_zeros(4, *beam.blank_nK.shape)
        columns_nKM = beam.terms_nKM.new_zeros(*beam.blank_nK.shape, len(self.settings.weighted))
        return Beam(
            beam.blank_nK,
            beam.label_nK,
            beam.extra_nK,
            torch.cat([beam.terms_nKM, columns_nKM], -1),
            torch.cat([beam.known_FnK, facts_FnK]),
        )

    def follow(self, known_FnK: Tensor, before_FnK: Tensor, grown_nK: Tensor, label_nK: Tensor) -> Tensor:
        """The facts after a frame; `before_FnK`: those of the entries that the new ones came from."""
        if self.starts_BV is None:
            stable_nK = known_FnK[NODE]
        else:
            complete_nK = grown_nK & self.starts_BV[: len(label_nK)].gather(1, label_nK)
            stable_nK = torch.where(complete_nK, before_FnK[NODE], before_FnK[_STABLE])
        return torch.cat([known_FnK, stable_nK[None], before_FnK[_DONE:]])

    def fuse(self, beam: Beam, t: int) -> None:
        """After frame t, where the schedule says so (changes `beam`); what ends with this frame is left to `end`."""
        interval, n = self.settings.interval, len(beam.blank_nK)
        if interval == "never" or (isinstance(interval, int) and (t + 1) % interval):
            return
        alive_nK = beam.alive_nK
        pending_nK = alive_nK & (beam.known_FnK[_STABLE] != beam.known_FnK[_DONE])
        due_n = self.lengths_n[:n] > t + 1
        if interval == "shortest":
            due_n = due_n & (pending_nK | ~alive_nK).all(1)
        pending_nK &= due_n[:, None]
        if not bool(pending_nK.any()):
            return
        self._hand_over(beam, pending_nK, beam.known_FnK[_STABLE], alive_nK)
        self._charge(beam, pending_nK.any(1), alive_nK)

    def wait(self, beam: Beam) -> None:
        """Utterances that have no more frames keep their LM states until all have ended."""
        self._waiting |= self._tokens(beam.known_FnK[_RECORD][beam.alive_nK])

    def end(self, beam: Beam, eos_id: int) -> dict[int, dict[int, tuple[str, ...]]]:
        """All that is left, and EOS, for the final beams of all utterances (changes `beam`).

        Returns, for utterances that must do without the LM, what is wrong with which slots; they carry no weighted LM
        or prior.
        """
        if self.settings.eos_id is not None:
            eos_id = self.settings.eos_id
        elif self.settings.retokeniser is not None:
            eos_id = self.settings.retokeniser.target.eos_id
        alive_nK = beam.alive_nK
        self._hand_over(beam, alive_nK, beam.known_FnK[NODE], alive_nK, eos_id)
        wrong: dict[int, dict[int, tuple[str, ...]]] = {}
        for b, k in (alive_nK & beam.known_FnK[_BAD].bool()).nonzero().tolist():
            record = self._records[int(beam.known_FnK[_RECORD, b, k])]
            wrong.setdefault(b, {})[k] = record.flags
        self._charge(beam, torch.ones_like(alive_nK[:, 0]), alive_nK)
        for b in wrong:
            beam.extra_nK[b] = self._labelwise(beam, without_prior=True)[b]
        return wrong

    def _hand_over(
        self, beam: Beam, pending_nK: Tensor, until_nK: Tensor, alive_nK: Tensor, eos_id: int | None = None
    ) -> None:
        """Entries `pending_nK` hand over their labels up to the node `until_nK`; with `eos_id` these are all."""
        known = beam.known_FnK
        row_P, slot_P = pending_nK.nonzero(as_tuple=True)
        node_P = until_nK[row_P, slot_P]
        places: dict[tuple[int, int], int] = {}
        first: list[int] = []
        which = []
        for i, key in enumerate(zip(row_P.tolist(), node_P.tolist(), strict=True)):
            if key not in places:
                places[key] = len(first)
                first.append(i)
            which.append(places[key])
        pick_P = torch.tensor(first, dtype=torch.long, device=row_P.device)
        done_P = known[_DONE, row_P, slot_P][pick_P]
        stretches = self.trie.between(row_P[pick_P], done_P, node_P[pick_P])
        if self.tables is not None:
            rows = row_P[pick_P].tolist()
            stretches = [[self.tables[b][c] for c in part] for b, part in zip(rows, stretches, strict=True)]
        origins = known[_RECORD, row_P, slot_P][pick_P].tolist()
        begin = len(self._records)
        self._records += [self._record(o, s) for o, s in zip(origins, stretches, strict=True)]
        wanted = {
            record.spelled.tokens: b
            for (b, _), record in reversed(list(zip(places, self._records[begin:], strict=True)))
            if record.spelled.tokens is not None
        }
        kept = set() if eos_id is not None else self._waiting | self._tokens(known[_RECORD][alive_nK])
        self.prefixes.extend(wanted, kept)
        logs = self.prefixes.logs if eos_id is None else self.prefixes.ended(wanted, eos_id)
        values, columns = [], len(self.settings.weighted)
        for record in self._records[begin:]:
            lm = 0.0 if record.spelled.tokens is None else logs[record.spelled.tokens]
            values.append((lm, record.prior)[:columns])
        which_P = torch.tensor(which, dtype=torch.long, device=row_P.device)
        columns_PM = torch.tensor(values, dtype=beam.terms_nKM.dtype, device=row_P.device).view(-1, columns)[which_P]
        bad_P = torch.tensor([bool(r.flags) for r in self._records[begin:]], device=row_P.device)[which_P]
        beam.terms_nKM[row_P, slot_P, len(self.labelwise) :] = columns_PM
        known[_DONE, row_P, slot_P] = node_P
        known[_RECORD, row_P, slot_P] = begin + which_P
        known[_BAD, row_P, slot_P] = bad_P.long()

    def _record(self, origin: int, stretch: Sequence[int]) -> _Record:
        """What a hypothesis that has handed over the record `origin` hands over with `stretch`."""
        before, settings = self._records[origin], self.settings
        name, retokeniser = settings.lm.name, settings.retokeniser
        labels = (*before.spelled.labels, *stretch)
        if retokeniser is None:
            spelled = Spelled(labels, labels)
        else:
            spelled = retokeniser.extend(before.spelled, stretch)
        flags: tuple[str, ...] = ()
        if spelled.tokens is None:
            flags = (f"{name}_cannot_spell",)
        elif settings.max_tokens is not None and len(spelled.tokens) > settings.max_tokens:
            spelled, flags = Spelled(labels, None, plain=False), (f"{name}_too_long",)
        prior = 0.0
        if self.log_prior and settings.prior_over == "labels":
            prior = sum((self.log_prior[label] for label in stretch), before.prior)
        elif self.log_prior:  # of what was handed over before the tokens may be others now
            prior = sum(self.log_prior[token] for token in spelled.tokens or ())
        return _Record(spelled, prior, before.spelled.tokens, flags)

    def _charge(self, beam: Beam, rows_n: Tensor, alive_nK: Tensor) -> None:
        """The weighted sum of all terms so far, for the utterances `rows_n` (changes `beam`)."""
        delayed_nK = torch.zeros_like(beam.extra_nK)
        for column, weighted in enumerate(self.settings.weighted, len(self.labelwise)):
            if weighted.factor:
                delayed_nK = delayed_nK + weighted.factor * beam.terms_nKM[..., column]
        bad_nK = beam.known_FnK[_BAD].bool()
        if bool((bad_nK & alive_nK).any()):
            others_nK = delayed_nK.masked_fill(bad_nK | ~alive_nK | (delayed_nK == -torch.inf), torch.inf)
            least_n1 = others_nK.amin(1, keepdim=True)
            least_n1 = torch.where(least_n1 < torch.inf, least_n1, 0.0)
            delayed_nK = torch.where(bad_nK, least_n1, delayed_nK)
        beam.extra_nK = torch.where(rows_n[:, None], self._labelwise(beam) + delayed_nK, beam.extra_nK)

    def _labelwise(self, beam: Beam, without_prior: bool = False) -> Tensor:
        total_nK = torch.zeros_like(beam.extra_nK)
        for column, weighted in enumerate(self.labelwise):
            if weighted.factor and not (without_prior and isinstance(weighted.scorer, PriorScorer)):
                total_nK = total_nK + weighted.factor * beam.terms_nKM[..., column]
        return total_nK

    def _tokens(self, record_P: Tensor) -> set[Tokens]:
        """The tokens of these records; where some may be taken back, also those handed over before them."""
        again = self.settings.retokeniser is not None and self.settings.retokeniser.rule is None
        tokens: set[Tokens] = set()
        for place in set(record_P.tolist()):
            record = self._records[place]
            for part in (record.spelled.tokens, record.before if again else None):
                if part is not None:
                    tokens.add(part)
        return tokens
