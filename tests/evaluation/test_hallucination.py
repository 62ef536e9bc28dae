"""The panel: which signs count, of what; its intervals and tests."""

import json
import math
import random
import re
import time
from fractions import Fraction

import numpy as np
import pytest

from duolect.errors import ConfigError, ScoringError
from duolect.evaluation import (
    Blocks,
    HypothesisRow,
    Panel,
    PanelConfig,
    Skipped,
    compare_panels,
    panel_of,
    score_run,
)
from duolect.evaluation.intervals import randomisation_p_value
from duolect.evaluation.proportions import _student, blocked_interval, mcnemar_p_value, wilson_interval
from duolect.evaluation.utterance_signs import NON_SPEECH, TITLES
from duolect.evaluation.words import align, word_errors


def row(key: str, reference: str | None, text: str, duration: float | None = 10.0, **more: object) -> HypothesisRow:
    return HypothesisRow(id=key, reference=reference, text=text, duration=duration, **more)  # ty: ignore[invalid-argument-type]


def signs(panel: Panel, key: str) -> dict[str, float]:
    return {sign.name: sign.value for sign in panel.signs.get(key, ())}


def random_rows(seed: int, count: int = 40) -> list[HypothesisRow]:
    rng = random.Random(seed)
    rows = []
    for n in range(count):
        reference = rng.choice([None, "", " ".join(rng.choices("abcdé你", k=rng.randrange(1, 8)))])
        text = " ".join(rng.choices("abcdé你", k=rng.randrange(0, 14)))
        if rng.random() < 0.3:
            text += f" {rng.choice('ab')} b" * rng.randrange(1, 7)
        duration = rng.choice([None, 0.5, 2.0, 30.0])
        flags = rng.choice([(), ("truncated",), ("unfinished", "x"), ("lm_left_out",)])
        rows.append(row(f"u{n:02d}", reference, text, duration, flags=flags, run=rng.choice([None, "5a"])))
    return rows


@pytest.mark.parametrize("seed", range(40))
def test_every_count_is_that_of_its_definition(seed: int) -> None:
    rows = random_rows(seed)
    panel = panel_of(rows, normaliser="none", replicas=50)

    def length(text: str) -> int:
        return len(re.findall(r"你|[^\s你]+", text))

    def repeated(text: str, times: int) -> bool:
        words = re.findall(r"你|[^\s你]+", text)
        return any(
            words[s : s + n] * times == words[s : s + n * times] for n in range(1, 9) for s in range(len(words) - n + 1)
        )

    def expected(name: str, r: HypothesisRow) -> bool | None:
        """None: not defined."""
        spoken = r.reference if r.reference else None
        if name == "wer":
            return None if spoken is None else word_errors([spoken], [r.text]).wer > 1
        if name == "long":
            return None if spoken is None else length(r.text) > 2 * length(spoken)
        if name == "short":
            return None if spoken is None else 2 * length(r.text) < length(spoken)
        if name == "insertions":
            if spoken is None:
                return None
            runs = "".join(
                "=" if a == b else "i" if a is None else "d" if b is None else "s" for a, b in align(spoken, r.text)
            )
            return any(run.count("i") - run.count("d") >= 5 for run in runs.split("="))
        if name == "loop":
            most = max((t for t in range(1, 20) if repeated(r.text, t)), default=0)
            return most >= 4 and not repeated(r.reference or "", most)
        if name == "fast":
            return None if r.duration is None else len(" ".join(r.text.split())) > 30 * r.duration + 10
        if name == "unfinished":
            return bool({"truncated", "unfinished"} & set(r.flags)) if r.run or r.flags else None
        if name == "output":
            return bool(r.text.split()) if r.reference == "" else None
        return False  # compression, refusals and stock phrases: not in texts so short

    for silent in (False, True):
        part = [r for r in rows if (r.reference == "") == silent]
        for name in set(TITLES) - {"any", "characters", "words", "compression"}:
            found = [value for value in (expected(name, r) for r in part) if value is not None]
            rate = panel.rate(f"{NON_SPEECH if silent else ''}{name}")
            assert (rate.count, rate.total) == (sum(found), len(found)) if rate else not found, (seed, name, silent)
    assert panel.speech + panel.non_speech + panel.unknown == len(rows)
    for each in panel.rates:
        assert each.interval is None or each.interval.low <= each.value <= each.interval.high, (seed, each)


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = random_rows(3)
    assert panel_of(rows, replicas=50) == panel_of(rows[::-1], replicas=50)


def test_what_the_reference_has_too_is_no_sign() -> None:
    sorry, song = "I'm sorry, I can't hear you.", "no no no no no"
    rows = [row("a", sorry, sorry), row("b", song, song), row("c", "well", sorry), row("d", "no", song)]
    panel = panel_of(rows)
    assert signs(panel, "a") == signs(panel, "b") == {}
    assert "refusal" in signs(panel, "c")
    assert signs(panel, "d")["loop"] == 5
    text = "and so on " * 100
    assert signs(panel_of([row("e", text, text, 60)]), "e") == {}
    assert "compression" in signs(panel_of([row("e", "and so on", text, 60)]), "e")


def test_thresholds_are_exceeded_or_reached_as_they_say() -> None:
    def of(reference: str, text: str, duration: float = 10.0) -> set[str]:
        return set(signs(panel_of([row("a", reference, text, duration)]), "a"))

    assert of("a b", "c d e f") == {"wer"}  # twice the words is not more than twice
    assert of("a b", "c d") == set()  # 100 % is not above 100 %
    assert "long" in of("a b", "c d e f g")
    assert of("a b c d", "a b") == set()
    assert of("a b c d", "a") == {"short"}
    assert of("a b c d e f", "a v w x y b c d e f") == set()
    assert of("a b c d e f", "a v w x y z b c d e f") == {"insertions"}
    assert of("a b c", "a a a b c") == set()
    assert "loop" in of("a b c d e f g h", "a a a a b c d e f g h")
    assert of("x" * 70, "x" * 70, 2.0) == set()
    assert of("x" * 71, "x" * 71, 2.0) == {"fast"}


def test_non_speech_has_rates_of_its_own() -> None:
    rows = [row("a", "", "[Music] (silence)", 30), row("b", "", "Thank you. Thank you.", 30), row("c", "?!", "", 60)]
    panel = panel_of(rows, replicas=100)
    output, characters, words = (panel.rate(f"{NON_SPEECH}{name}") for name in ("output", "characters", "words"))
    assert output is not None
    assert characters is not None
    assert words is not None
    assert (output.count, output.total, output.kind) == (1, 3, "non-speech")
    assert (characters.count, characters.total, characters.value) == (len("thank you thank you"), 2.0, 9.5)
    assert words.value == 2
    assert characters.method == "bootstrap"
    assert panel.frequent == (("thank you thank you", 1),)
    assert (panel.speech, panel.non_speech, panel.unknown) == (0, 3, 0)
    assert panel.rate("any") is None
    with pytest.raises(ScoringError, match="nothing to score"):
        score_run(rows)


def test_a_sign_that_is_not_defined_does_not_count() -> None:
    panel = panel_of([row("a", None, "yes " * 30, None), row("b", "yes", "yes", None)])
    for name, total in (("wer", 1), ("long", 1), ("loop", 2), ("any", 2)):
        rate = panel.rate(name)
        assert rate is not None
        assert rate.total == total
    assert panel.rate("fast") is None
    assert panel.rate("unfinished") is None
    assert panel.unknown == 1


def test_translations_have_no_word_errors() -> None:
    panel = panel_of([row("a", "ja gut", "ach na schön so so so so")], thresholds=PanelConfig(transcripts=False))
    assert panel.rate("wer") is None
    assert set(signs(panel, "a")) == {"long", "loop"}


def test_skipped_and_marked_utterances_count_nowhere() -> None:
    lost = [Skipped(id="z", reason="damaged", reference="one two")]
    panel = panel_of([row("a", "yes", "yes"), row("b", "ignore time segment in scoring", "x " * 40)], skipped=lost)
    assert (panel.skipped, panel.marked, panel.speech) == (1, 0, 2)
    assert "b" in panel.signs
    panel = panel_of(
        [row("a", "yes", "yes"), row("b", "Ignore time segment in scoring", "x " * 40)], normaliser="open-asr-2026-03"
    )
    assert (panel.marked, panel.speech, panel.ids) == (1, 1, ("a",))
    panel, only = panel_of([row("a", "yes", "yes")]), panel_of([], skipped=lost)
    assert (only.rates, only.skipped) == ((), 1)
    assert compare_panels(panel, only) == {}


def test_references_of_a_manifest_take_the_place_of_the_rows_own() -> None:
    rows = [row("a", "no", "yes yes yes")]
    assert "wer" in signs(panel_of(rows), "a")
    assert signs(panel_of(rows, references={"a": "yes yes yes"}), "a") == {}
    with pytest.raises(ScoringError, match="'b' is in the manifest, but neither"):
        panel_of(rows, references={"a": "no", "b": "no"})
    with pytest.raises(ScoringError, match="'a' is in the hypotheses more than once"):
        panel_of([*rows, row("a", None, "again")])
    with pytest.raises(ScoringError, match="at least one hypothesis"):
        panel_of([])


def test_the_worst_utterances_come_first() -> None:
    rows = [
        row("a", "yes", "no no no"),
        row("b", "yes", "so " * 20),
        row("c", "yes", "yes"),
        row("d", "yes", "a b c d"),
    ]
    assert list(panel_of(rows).signs) == ["b", "d", "a"]


def test_a_summary_can_be_written() -> None:
    panel = panel_of(random_rows(0), replicas=50)
    read = json.loads(json.dumps(panel.summary(), allow_nan=False))
    assert {name: rate["count"] for name, rate in read["rates"].items()} == {r.name: r.count for r in panel.rates}
    assert PanelConfig(**read["thresholds"]) == panel.config


@pytest.mark.parametrize("field", ["wer", "longest", "insertions", "repeats", "window", "characters_per_second"])
def test_thresholds_are_checked(field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        PanelConfig(**{field: 0})  # ty: ignore[invalid-argument-type]
    with pytest.raises(ConfigError, match="shortest must be below longest"):
        PanelConfig(shortest=2.0)


def test_wilson_is_where_the_score_test_turns() -> None:
    for count, total in ((0, 5), (1, 7), (5, 5), (30, 200), (199, 200)):
        interval = wilson_interval(count, total)
        assert interval is not None
        for p, open_end in ((interval.low, count == 0), (interval.high, count == total)):
            if not open_end:
                z = (count / total - p) / math.sqrt(p * (1 - p) / total)
                assert abs(z) == pytest.approx(1.959964, abs=1e-6)
    assert wilson_interval(0, 0) is None
    with pytest.raises(ScoringError):
        wilson_interval(3, 2)


def test_the_interval_over_blocks_holds_what_it_says() -> None:
    """Of shares that differ between 20 speakers (beta-binomial, correlation 0.1), where independence would be wrong."""
    rng, share, draws = np.random.default_rng(5), 0.05, 2000
    held = {"blocked": 0, "independent": 0}
    totals_B = np.full(20, 20)
    for _ in range(draws):
        counts_B = rng.binomial(20, rng.beta(9 * share, 9 * (1 - share), 20))
        for name, interval in (
            ("blocked", blocked_interval(counts_B, totals_B)),
            ("independent", wilson_interval(int(counts_B.sum()), 400)),
        ):
            assert interval is not None
            held[name] += interval.low <= share <= interval.high
    assert held["independent"] / draws < 0.8
    assert 0.92 < held["blocked"] / draws < 0.98


def test_the_interval_over_blocks_by_hand() -> None:
    def of(counts: list[int], totals: list[int]) -> tuple[float, float]:
        interval = blocked_interval(np.array(counts), np.array(totals))
        assert interval is not None
        return interval.low, interval.high

    # 3 of 40, all of one speaker of four: between 4/3 (2.25² + 3 · 0.75²), the effect that over 40 · 0.075 · 0.925,
    # Student's t for three degrees of freedom 3.1824.
    trials = 40 / (4 / 3 * (2.25**2 + 3 * 0.75**2) / (40 * 0.075 * 0.925)) * (1.959964 / 3.1824463) ** 2
    low, high = of([3, 0, 0, 0], [10] * 4)
    for p in (low, high):
        assert abs(0.075 - p) / math.sqrt(p * (1 - p) / trials) == pytest.approx(1.959964, rel=2e-3)
    assert of([3, 0, 0, 0, 0], [10] * 4 + [0]) == (low, high)
    assert of([1, 1], [10, 10])[1] > 0.9  # two speakers say next to nothing
    none, one = (of([count, *[0] * 39], [10] * 40) for count in (0, 1))
    assert none[0] == 0.0 < one[0]
    assert 0.0095 < none[1] < one[1] < 0.016
    assert of([10] * 40, [10] * 40) == pytest.approx((1 - none[1], 1.0))
    assert blocked_interval(np.array([3, 0]), np.array([10, 0])) is None
    with pytest.raises(ScoringError, match="more than all"):
        blocked_interval(np.array([3, 1]), np.array([2, 2]))


@pytest.mark.parametrize(
    ("freedom", "point"), [(1, 12.706205), (2, 4.302653), (3, 3.182446), (9, 2.262157), (99, 1.984217)]
)
def test_students_points_are_those_of_the_tables(freedom: int, point: float) -> None:
    assert _student(freedom) == pytest.approx(point, rel=4e-3 if freedom == 3 else 2e-5)


def test_mcnemar_is_the_binomial_tail_and_the_randomisation_test_of_zeros_and_ones() -> None:
    for gained in range(13):
        for lost in range(13 - gained):
            n = gained + lost
            tail = sum(Fraction(math.comb(n, k), 2**n) for k in range(n + 1) if abs(2 * k - n) >= abs(gained - lost))
            assert mcnemar_p_value(gained, lost) == pytest.approx(float(tail), rel=1e-12)
            drawn = np.array([1] * gained + [-1] * lost)
            assert mcnemar_p_value(gained, lost) == pytest.approx(randomisation_p_value(drawn))
    assert mcnemar_p_value(10_000, 9_000) < 1e-10
    for gained, lost in ((1000, 1000), (1000, 1001), (2000, 2150), (1900, 1500), (3000, 10)):
        tail = Fraction(
            2 * sum(math.comb(gained + lost, k) for k in range(min(gained, lost) + 1)), 2 ** (gained + lost)
        )
        assert mcnemar_p_value(gained, lost) == pytest.approx(min(1.0, float(tail)), rel=1e-9)
    before = time.process_time()
    assert mcnemar_p_value(300_000, 302_000) == pytest.approx(0.00998, abs=2e-5)  # the normal distribution's, corrected
    assert time.process_time() - before < 5
    assert mcnemar_p_value(20_000, 0) == 0.0  # below what a float can tell from it


def paired_rows(seed: int) -> tuple[list[HypothesisRow], list[HypothesisRow]]:
    rng = random.Random(seed)
    one, two = [], []
    for n in range(30):
        reference = "" if n % 3 == 0 else "one two"
        texts = [rng.choice(["one two", "", "x " * rng.randrange(1, 9)]) for _ in range(2)]
        one.append(row(f"u{n:02d}", reference, texts[0]))
        two.append(row(f"u{n:02d}", reference, texts[1]))
    return one, two


@pytest.mark.parametrize("seed", range(10))
def test_systems_are_compared_on_the_same_utterances(seed: int) -> None:
    one, two = paired_rows(seed)
    first, second = panel_of(one, replicas=200), panel_of(two[5:], replicas=200)
    pairs = compare_panels(first, second)
    shown = [
        {key for key, found in panel.signs.items() if "wer" in {s.name for s in found}} for panel in (first, second)
    ]
    common = {r.id for r in two[5:]}
    pair = pairs["wer"]
    gained, lost = len((shown[1] - shown[0]) & common), len((shown[0] - shown[1]) & common)
    assert (pair.gained, pair.lost) == (gained, lost), seed
    assert pair.p_value == mcnemar_p_value(gained, lost)
    assert pair.utterances == sum(r.reference != "" for r in two[5:])
    characters = pairs[f"{NON_SPEECH}characters"]
    assert characters.test == "randomisation"
    gains = [
        len(b.text.strip()) - len(a.text.strip()) for a, b in zip(one[5:], two[5:], strict=True) if a.reference == ""
    ]
    assert characters.p_value == randomisation_p_value(np.array(gains))
    assert characters.difference == pytest.approx(sum(gains) / (len(gains) / 6))
    assert compare_panels(second, first)["wer"].p_value == pair.p_value


def test_blocks_are_drawn_and_tested_as_wholes() -> None:
    one, two = paired_rows(1)
    blocks = Blocks("speaker", {r.id: f"s{n % 4}" for n, r in enumerate(one)})
    first, second = (panel_of(rows, blocks=blocks, replicas=300) for rows in (one, two))
    rate = first.rate("wer")
    assert rate is not None
    pooled_42 = np.array([first.counts["wer"][n::4].sum(axis=0) for n in range(4)])
    assert (rate.method, rate.interval) == ("wilson", blocked_interval(*pooled_42.T))
    assert [each.method for each in first.rates if each.per_minute] == ["bootstrap"] * 2
    gain = second.counts["wer"][:, 0] - first.counts["wer"][:, 0]
    sums = np.array([gain[n::4].sum() for n in range(4)])
    assert compare_panels(first, second)["wer"].p_value == randomisation_p_value(sums)
    never = first.rate("refusal")
    assert never is not None
    assert never.interval == blocked_interval(np.zeros(4), np.array([1, 1, 1, never.total - 3]))  # wherever they are
    with pytest.raises(ScoringError, match="same blocks"):
        compare_panels(first, panel_of(two))


def test_panels_that_cannot_be_compared_are_refused() -> None:
    one, two = paired_rows(2)
    with pytest.raises(ScoringError, match="different normalisers"):
        compare_panels(panel_of(one), panel_of(two, normaliser="none"))
    with pytest.raises(ScoringError, match="no utterance in common"):
        compare_panels(panel_of(one[:5]), panel_of(two[5:]))
