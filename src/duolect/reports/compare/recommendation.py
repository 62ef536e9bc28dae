"""Which system to take, in plain words that claim no more than the tests allow.

Three questions: which is the most accurate, which is the fastest among those nearly as accurate, which writes the least
where nobody speaks. A system is called better than another only where the paired test, corrected for all pairs that
were compared (Holm), says so; otherwise the answer is that there is no significant difference, and which systems share
the first place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from duolect.evaluation.blocks import FEWEST
from duolect.reports.cells import counted, escape_markdown, interval_text, percent, rtfx_text
from duolect.reports.comparability import incomparable, timed
from duolect.reports.compare.advice import Advice, listed, p_words
from duolect.reports.compare.evidence import Evidence
from duolect.reports.compare.nonspeech import safest
from duolect.reports.comparison import SystemResult
from duolect.reports.markup import escape, prose
from duolect.reports.parts import ReportPart

FEW_UTTERANCES = 100


def recommendation(evidence: Evidence) -> list[Advice]:
    """The answers that the data give, in the order of the questions."""
    found = [most_accurate(evidence), fastest(evidence), safest(evidence.nonspeech or evidence.panels, evidence.names)]
    return [advice for advice in found if advice is not None]


def recommendation_part(evidence: Evidence) -> ReportPart:
    """The answers and what they do not say, at the head of the report."""
    answers, limits = recommendation(evidence), caveats(evidence)
    return ReportPart(
        anchor="lead",
        title="Recommendation",
        html=list(_html(answers, limits)),
        markdown="\n".join(_markdown(answers, limits)),
        raw={name: {"recommended": [a.question for a in answers if name == a.single]} for name in evidence.names},
    )


def sentences(evidence: Evidence) -> list[str]:
    """The answers and caveats as plain sentences, for a terminal."""
    return [f"{a.question}: {a.sentence}" for a in recommendation(evidence)] + caveats(evidence)


def most_accurate(evidence: Evidence) -> Advice:
    """The lowest WER, and which systems it does not differ from."""
    ranked = evidence.comparison.ranked
    best, others = ranked[0], ranked[1:]
    if not others:
        return Advice(
            "Most accurate",
            (best.name,),
            f"{best.name}, {_rate(best)}. With one system there is nothing to compare.",
            (),
        )
    alike = [s for s in others if not evidence.pair(best.name, s.name).significant]
    proof = tuple(_pair_sentence(evidence, best, other) for other in others)
    if not alike:
        least = max(evidence.pair(best.name, s.name).p_holm for s in others)
        than = others[0].name if len(others) == 1 else "each of the others"
        sentence = f"{best.name}, {_rate(best)}. It is significantly better than {than} ({p_words(least)})."
        return Advice("Most accurate", (best.name,), sentence, proof)
    names = (best.name, *(s.name for s in alike))
    which = "they are" if len(alike) == len(others) else "the others are significantly worse; these are"
    lead = (
        f"No significant difference between {listed(names)}: {which} {percent(best.score.wer)} to "
        f"{percent(max(s.score.wer for s in alike))} % WER on {counted(best.score.utterances, 'utterance')}. "
        f"The lowest rate is that of {best.name}, {_rate(best)}, which may be chance."
    )
    if all(s.score.wer == best.score.wer for s in alike):
        lead = (
            f"No difference: {listed(names)} make equally many errors, {percent(best.score.wer)} % WER on "
            f"{counted(best.score.utterances, 'utterance')}."
        )
    return Advice("Most accurate", names, lead, proof)


def fastest(evidence: Evidence) -> Advice | None:
    """The fastest of the systems within a share of the best WER; None with one system, or where nothing was timed."""
    ranked, within = evidence.comparison.ranked, evidence.options.within
    best = ranked[0]
    known = timed(ranked)
    if len(ranked) < 2 or not known:
        return None
    limit = f"within {100 * within:g} % (relative) of the best WER"
    question = f"Fastest {limit}"
    if why := incomparable(known):
        return Advice(question, (), f"The speeds cannot be compared: {why}.", ())
    good = [s for s in known if s.score.wer <= best.score.wer * (1 + within)]
    if not good:
        return Advice(question, (), f"No system that was timed is {limit}.", ())
    choice = max(good, key=lambda s: s.timing.rtfx)
    speed = f"RTFx {rtfx_text(choice.timing.rtfx)}"
    others = [s for s in good if s is not choice]
    proof = tuple(
        f"{s.name}: RTFx {rtfx_text(s.timing.rtfx)} at {percent(s.score.wer)} % WER."
        for s in sorted(others, key=lambda s: -s.timing.rtfx)
    )
    if not others:
        only = "the only one" if len(known) == len(ranked) else "the only one of those timed"
        return Advice(question, (choice.name,), f"{choice.name}, {speed}, {only} within that bound.", ())
    proof = (*proof, "Each speed was measured once; a few per cent of difference may be chance.")
    if choice is best:
        return Advice(question, (choice.name,), f"{choice.name}, {speed}, which has the best WER itself.", proof)
    ratio = choice.timing.rtfx / best.timing.rtfx if best in known else math.nan
    times = f", {ratio:.1f} times as fast as {best.name}" if math.isfinite(ratio) else ""
    pair = evidence.pair(best.name, choice.name)
    verdict = (
        f"its WER is significantly higher ({p_words(pair.p_holm)})"
        if pair.significant
        else f"its WER is not significantly different ({p_words(pair.p_holm)})"
    )
    worse = choice.score.wer / best.score.wer - 1 if best.score.wer else 0.0
    return Advice(
        question,
        (choice.name,),
        f"{choice.name}, {speed}{times}, at {percent(choice.score.wer)} % WER "
        f"({100 * worse:.1f} % more errors than {best.name}; {verdict}).",
        proof,
    )


def caveats(evidence: Evidence) -> list[str]:
    """What the answers do not say: few utterances, scales tuned on this very set, speakers that were not regarded."""
    systems = evidence.comparison.systems
    score = systems[0].score
    found = []
    if score.utterances < FEW_UTTERANCES:
        were = "was" if score.utterances == 1 else "were"
        few = f"Only {counted(score.utterances, 'utterance')} {were} scored"
        found.append(f"{few}: even large differences may not be seen.")
    if score.blocks is not None and score.units < FEWEST:
        blocks = "block" if score.units == 1 else "blocks"
        found.append(f"Only {score.units} {blocks} by {score.blocks}: intervals and tests are rough.")
    tuned = [name for name, record in evidence.records.items() if record.search.get("tuned_on_this_set")]
    if tuned:
        found.append(
            f"The scales of {listed(tuned)} were tuned on this very set; "
            f"{'its' if len(tuned) == 1 else 'their'} error rates say nothing about other data."
        )
    lost = [f"{s.name} {s.score.skipped:,}" for s in systems if s.score.skipped]
    if lost:
        found.append(f"Utterances that could not be recognised count as deleted: {', '.join(lost)}.")
    speakers = evidence.fields.get("speaker", {})
    if score.blocks is None and 1 < len(set(speakers.values())) <= score.utterances / 2:
        found.append(
            f"Utterances were taken as independent, though they are of {len(set(speakers.values()))} speakers: about "
            "others the intervals are too sure."
        )
    if len(speakers) == len(evidence.ids) and len(set(speakers.values())) == 1:
        found.append("All utterances are of one speaker: the intervals and tests say nothing about others.")
    return found


def _pair_sentence(evidence: Evidence, best: SystemResult, other: SystemResult) -> str:
    pair = evidence.pair(best.name, other.name)
    sign = 1 if pair.b == best.name else -1
    points = f"{percent(abs(pair.difference))} points"
    bounds = ""
    if pair.interval is not None:
        ends = sorted((-sign * pair.interval.low, -sign * pair.interval.high))
        bounds = f" (95 % interval {percent(ends[0])} to {percent(ends[1])})"
    return f"Against {other.name}: {points} fewer{bounds}, {p_words(pair.p_holm)}."


def _rate(system: SystemResult) -> str:
    interval = system.score.interval
    sure = f" (95 % interval {interval_text(interval)} %)" if interval is not None else ""
    return f"{percent(system.score.wer)} % WER{sure}"


_HOW = "p: paired tests on the same utterances, corrected for the number of pairs by Holm's method."


def _html(answers: Sequence[Advice], limits: Sequence[str]) -> Iterator[str]:
    yield '<dl class="advice">'
    for advice in answers:
        head = advice.single or ("no significant difference" if advice.systems else "no answer")
        said = advice.sentence.removeprefix(f"{advice.single}, ")
        said = said[:1].upper() + said[1:]
        yield f"<dt>{escape(advice.question)}</dt><dd><strong>{escape(head)}</strong><p>{prose(said)}</p>"
        if advice.evidence:
            items = "".join(f"<li>{prose(line)}</li>" for line in advice.evidence)
            yield f"<details><summary>Evidence</summary><ul>{items}</ul></details>"
        yield "</dd>"
    yield "</dl>"
    for line in limits:
        yield f'<p class="caveat">{prose(line)}</p>'
    yield f'<p class="hint">{prose(_HOW)}</p>'


def _markdown(answers: Sequence[Advice], limits: Sequence[str]) -> Iterator[str]:
    for advice in answers:
        yield f"* **{escape_markdown(advice.question)}**: {escape_markdown(advice.sentence)}"
        yield from (f"  * {escape_markdown(line)}" for line in advice.evidence)
    yield from (f"* Note: {escape_markdown(line)}" for line in limits)
    yield f"\n{_HOW}"
