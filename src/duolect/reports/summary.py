"""What the numbers say, in plain sentences that claim no more than the tests allow."""

from __future__ import annotations

from duolect.evaluation import Paired, compare_scores
from duolect.reports.cells import counted
from duolect.reports.comparability import incomparable, timed
from duolect.reports.comparison import Comparison, SystemResult
from duolect.reports.table import interval_text, p_text, percent, rtfx_text


def findings(comparison: Comparison, within: float = 0.1) -> list[str]:
    """Sentences: the most accurate system; whether it truly is, against baseline and runner-up; the fastest good one.

    within: how much worse than the best WER, relatively, a system may be to count as "nearly as accurate".
    A difference is called significant at p < 0.05 (two-sided, paired, uncorrected); the p-value always stands beside.
    """
    ranked = comparison.ranked
    best = ranked[0]
    if len(ranked) == 1:
        return [f"{best.name}: {_rate(best)}. With one system there is nothing to compare."]
    sentences = [f"Most accurate: {best.name}, {_rate(best)}."]
    if best.name == comparison.baseline:
        sentences[0] += " It is the baseline: no other system makes fewer errors."
    else:
        sentences.append(_against(best, comparison.reference, "the baseline "))
    runner_up = ranked[1]
    if runner_up.name != comparison.baseline or best.name == comparison.baseline:
        sentences.append(_against(best, runner_up, "the runner-up "))
    worse = _significantly_worse(comparison)
    if worse:
        sentences.append(
            f"Significantly worse than the baseline {comparison.baseline}: {', '.join(s.name for s in worse)}."
        )
    speed = _speed(comparison, best, within)
    return [*sentences, speed] if speed else sentences


def difference_sentence(better: SystemResult, other: SystemResult, paired: Paired, title: str = "") -> str:
    """One sentence on `better` against `other`; `paired` must be of `better` against `other`."""
    p = f"p = {p_text(paired.p_value)}" if paired.p_value >= 0.001 else "p < 0.001"
    if paired.difference == 0:
        return f"{better.name} and {title}{other.name} make equally many errors ({p})."
    points = f"{percent(abs(paired.difference))} points"
    if not paired.significant:
        return (
            f"No significant difference between {better.name} and {title}{other.name}: "
            f"{points} on {counted(paired.utterances, 'utterance')} may be chance ({p})."
        )
    relative = f", {100 * abs(paired.difference) / paired.baseline_wer:.0f} % relative" if paired.baseline_wer else ""
    word = "better" if paired.difference < 0 else "worse"
    return f"{better.name} is significantly {word} than {title}{other.name}: by {points}{relative} ({p})."


def _against(better: SystemResult, other: SystemResult, title: str) -> str:
    return difference_sentence(better, other, compare_scores(other.score, better.score), title)


def _rate(system: SystemResult) -> str:
    interval = system.score.interval
    sure = f" (95 % interval {interval_text(interval)} %)" if interval is not None else ""
    return f"{percent(system.score.wer)} % WER{sure}"


def _significantly_worse(comparison: Comparison) -> list[SystemResult]:
    return [s for s in comparison.systems if s.paired and s.paired.significant and s.paired.difference > 0]


def _speed(comparison: Comparison, best: SystemResult, within: float) -> str | None:
    known = timed(comparison.systems)
    if best not in known:
        return None
    if why := incomparable(known):
        return f"The speeds cannot be compared: {why}."
    good = [s for s in known if s.score.wer <= best.score.wer * (1 + within)]
    fastest = max(good, key=lambda s: s.timing.rtfx)
    limit = f"within {100 * within:.0f} % (relative) of the best WER"
    if fastest is best:
        return f"Fastest {limit}: {best.name} itself, RTFx {rtfx_text(best.timing.rtfx)}."
    return (
        f"Fastest {limit}: {fastest.name}, {percent(fastest.score.wer)} % at RTFx {rtfx_text(fastest.timing.rtfx)}, "
        f"{fastest.timing.rtfx / best.timing.rtfx:.1f} times as fast as {best.name}."
    )
