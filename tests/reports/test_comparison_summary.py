from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from duolect.errors import ScoringError
from duolect.evaluation import HypothesisRow, RunRecord, Timing
from duolect.reports import Comparison, SystemResult, findings, read_curve, system_result
from duolect.reports.compare.recommendation import caveats, most_accurate
from duolect.reports.differences import examples, mark
from duolect.reports.page import page
from duolect.reports.table import legend

Make = Callable[..., SystemResult]


def many(name: str, wrong: int, speed: float, baseline: SystemResult | None = None, count: int = 60) -> SystemResult:
    """A system that gets one word wrong in each of its first `wrong` utterances."""
    rows = [
        HypothesisRow(id=f"{n:03d}", reference="a b c d", text="a b c x" if n < wrong else "a b c d")
        for n in range(count)
    ]
    record = RunRecord(system=name, region="search", audio_seconds=100.0, wall_seconds=100.0 / speed)
    return system_result(name, rows, record, baseline=baseline.score if baseline else None, normaliser="none")


def test_a_clear_winner_is_named_with_its_evidence() -> None:
    base = many("greedy", 40, 100)
    said = " ".join(findings(Comparison(title="x", systems=[base, many("joint", 10, 20, base)], baseline="greedy")))
    assert said.startswith("Most accurate: joint, 4.17 % WER (95 % interval ")
    assert "joint is significantly better than the baseline greedy: by 12.50 points, 75 % relative (p < 0.001)." in said
    assert "Fastest within 10 % (relative) of the best WER: joint itself, RTFx 20.0." in said


@pytest.mark.parametrize(("count", "said"), [(1, "1 utterance"), (2, "2 utterances")])
def test_one_utterance_is_spoken_of_in_the_singular(count: int, said: str) -> None:
    base = many("greedy", 1, 100, count=count)
    both = Comparison(title="x", systems=[base, many("joint", 0, 20, base, count)], baseline="greedy")
    alike = SimpleNamespace(a="joint", b="greedy", significant=False, difference=0.1, interval=None, p_holm=1.0)
    evidence: Any = SimpleNamespace(comparison=both, records={}, fields={}, ids=["000"], pair=lambda a, b: alike)
    assert caveats(evidence)[0].startswith(f"Only {said} {'was' if count == 1 else 'were'} scored: ")
    assert f"% WER on {said}. " in most_accurate(evidence).sentence
    assert f" points on {said} may be chance" in " ".join(findings(both))
    assert f"pooled over {said} ({4 * count} words)" in legend(both)[0]
    assert "1 utterance on which" in page(both)
    assert legend(both)[1].startswith("Interval: none, for one utterance says" if count == 1 else "Interval: perc")


def test_a_small_difference_is_called_none() -> None:
    base = many("greedy", 12, 100)
    systems = [base, many("joint", 10, 20, base), many("llm", 11, 50, base)]
    said = " ".join(findings(Comparison(title="x", systems=systems, baseline="greedy")))
    assert "No significant difference between joint and the baseline greedy: 0.83 points on 60 utterances" in said
    assert "No significant difference between joint and the runner-up llm" in said
    assert "significantly better" not in said
    assert (
        "Fastest within 10 % (relative) of the best WER: llm, 4.58 % at RTFx 50.0, 2.5 times as fast as joint." in said
    )


def test_a_baseline_that_wins_is_said_to_win() -> None:
    base = many("greedy", 5, 100)
    systems = [base, many("joint", 30, 20, base)]
    said = " ".join(findings(Comparison(title="x", systems=systems, baseline="greedy")))
    assert "It is the baseline: no other system makes fewer errors." in said
    assert "greedy is significantly better than the runner-up joint" in said
    assert "Significantly worse than the baseline greedy: joint." in said


def test_equal_systems_and_single_ones() -> None:
    base = many("greedy", 5, 100)
    said = findings(Comparison(title="x", systems=[base, many("beam", 5, 20, base)], baseline="greedy"))
    assert any("make equally many errors (p = 1.00)" in sentence for sentence in said)
    alone = findings(Comparison(title="x", systems=[base], baseline="greedy"))
    assert len(alone) == 1
    assert "nothing to compare" in alone[0]


def test_speeds_over_different_regions_are_not_compared() -> None:
    base = many("greedy", 5, 100)
    other = replace(many("beam", 3, 20, base), timing=Timing(audio_seconds=1, wall_seconds=1, region="files to text"))
    said = " ".join(findings(Comparison(title="x", systems=[base, other], baseline="greedy")))
    assert "Fastest" not in said


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"region": "files to text"}, "the clock ran over different regions"),
        ({"device": "NVIDIA H200"}, "they ran on different devices"),
        ({"threads": 16}, "they ran with different numbers of threads"),
    ],
)
def test_speeds_that_were_timed_otherwise_are_not_compared(make: Make, other: dict[str, object], why: str) -> None:
    base = make("CTC greedy")
    systems = [base, make("CTC + LM", base, **other)]
    said = findings(Comparison(title="x", systems=systems, baseline="CTC greedy"))
    assert said[-1] == f"The speeds cannot be compared: {why}."
    assert "Fastest" not in " ".join(said)


def test_comparisons_are_validated(make: Make) -> None:
    base = make("CTC greedy")
    with pytest.raises(ScoringError, match="no system to compare"):
        Comparison(title="x", systems=[], baseline="a")
    with pytest.raises(ScoringError, match="two systems are named 'CTC greedy'"):
        Comparison(title="x", systems=[base, base], baseline="CTC greedy")
    with pytest.raises(ScoringError, match="the baseline 'other' is none of its systems"):
        Comparison(title="x", systems=[base], baseline="other")


def test_a_system_result_takes_references_from_elsewhere_and_memory_from_the_accelerator() -> None:
    rows = [HypothesisRow(id="a", text="for boats"), HypothesisRow(id="b", text="sail")]
    record = RunRecord(system="x", host_memory=5, device_memory=7, device="cuda")
    result = system_result("x", rows, record, normaliser="none", references={"a": "four boats", "b": "sail"})
    assert result.score.errors.substitutions == 1
    assert [row.reference for row in result.rows] == ["four boats", "sail"]
    assert result.peak_memory == 7
    assert result.provenance["memory"] == "accelerator"
    assert "threads" not in result.provenance


def test_curves_are_read_while_the_run_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n\n{"step": 2, "loss": null}\n{"step": 3, "lo')
    assert [record["step"] for record in read_curve(path, "am").records] == [1, 2]
    path.write_text('{"step": 1}\n{"step": \n{"step": 3}\n')
    with pytest.raises(ScoringError, match=r"log\.jsonl:2: not valid JSON"):
        read_curve(path, "am")
    path.write_text('{"loss": 1}\n')
    with pytest.raises(ScoringError, match=r"log\.jsonl:1: expected an object with a number under 'step'"):
        read_curve(path, "am")
    with pytest.raises(ScoringError, match="cannot be read"):
        read_curve(tmp_path / "none", "am")


def test_marks_name_each_kind_of_error() -> None:
    found = [(part.kind, part.reference, part.hypothesis) for part in mark("four boats set", "for boats set out")]
    assert found == [
        ("substituted", "four", "for"),
        ("same", "boats", "boats"),
        ("same", "set", "set"),
        ("inserted", "", "out"),
    ]
    assert [part.kind for part in mark("a b", "a")] == ["same", "deleted"]
    assert mark("", "") == []


def test_examples_favour_no_system(comparison: Comparison) -> None:
    found = examples(comparison, 3)
    assert len(found) == 3
    best = {tuple(heard.errors == min(h.errors for h in example.heard) for heard in example.heard) for example in found}
    assert len(best) == 3  # each group of best systems has its turn
    everything = examples(comparison, 50)
    assert {example.id for example in everything} == {f"u{n}" for n in range(1, 9)}
    assert everything == examples(comparison, 50)
    for example in everything:
        errors = [heard.errors for heard in example.heard]
        assert max(errors) > min(errors)
        assert [heard.system for heard in example.heard] == [system.name for system in comparison.systems]


def test_no_examples_without_rows_or_with_one_system(comparison: Comparison) -> None:
    assert examples(replace(comparison, systems=comparison.systems[:1])) == []
    assert examples(replace(comparison, systems=[replace(s, rows=()) for s in comparison.systems])) == []
