import io
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from rich.console import Console

from duolect.evaluation import HypothesisRow, RunRecord, Skipped, Timing
from duolect.reports import Comparison, SystemResult, markdown_table, system_result, terminal_table
from duolect.reports.cells import draw_terminal, plain_column
from duolect.reports.page import page
from duolect.reports.table import columns, legend, memory_text, p_text, percent, rtfx_text

Make = Callable[..., SystemResult]


def printed(comparison: Comparison, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(terminal_table(comparison, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cell(comparison: Comparison, title: str, n: int) -> tuple[str, bool]:
    column = next(column for column in columns(comparison) if column.title == title)
    return column.cells[n].text, column.cells[n].best


def test_cells_hold_what_was_measured(comparison: Comparison) -> None:
    errors = comparison.systems[1].score.errors
    assert cell(comparison, "WER %", 1) == (f"{100 * errors.errors / errors.words:.2f}", False)
    assert cell(comparison, "Sub/Del/Ins", 1) == ("1/1/0", False)
    assert cell(comparison, "WER %", 2)[1]
    assert cell(comparison, "RTFx", 0) == ("200", True)
    assert [cell(comparison, "Peak memory", n) for n in range(3)] == [("300 MiB", True)] * 3
    assert cell(comparison, "p", 0)[0] == "baseline"
    assert re.fullmatch(r"0\.\d+", cell(comparison, "p", 1)[0])


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"region": "files to text"}, "the clock ran over different regions"),
        ({"device": "NVIDIA H200", "device_memory": 100 << 20}, "they ran on different devices"),
        ({"threads": 16}, "they ran with different numbers of threads"),
    ],
)
def test_what_cannot_be_compared_is_not_marked(make: Make, other: dict[str, object], why: str) -> None:
    base = make("CTC greedy")
    both = Comparison(title="x", systems=[base, make("CTC + LM", base, **other)], baseline="CTC greedy")
    assert [cell(both, "RTFx", n) for n in range(2)] == [("200", False), ("10.0", False)]
    said = f"No RTFx is marked as the best, for the speeds cannot be compared: {why}."
    assert said in legend(both)
    one_kind = "device_memory" not in other
    assert [cell(both, "Peak memory", n)[1] for n in range(2)] == [one_kind, one_kind]
    assert any("not of one kind, so that none is marked" in line for line in legend(both)) != one_kind
    alike = Comparison(title="x", systems=[base, make("CTC + LM", base)], baseline="CTC greedy")
    assert cell(alike, "RTFx", 0) == ("200", True)
    assert not [line for line in legend(alike) if "marked" in line]


def test_a_system_without_errors_has_no_interval_and_the_legend_says_why(comparison: Comparison) -> None:
    first = comparison.systems[0]
    rows = [replace(row, text=row.reference or "") for row in first.rows]
    perfect = system_result("perfect", rows, RunRecord(system="perfect"), baseline=first.score, normaliser="none")
    both = replace(comparison, systems=[first, perfect])
    assert (cell(both, "WER %", 1)[0], cell(both, "95 % interval", 1)[0]) == ("0.00", "–")
    assert "none where all utterances have the same error rate" in legend(both)[1]
    assert "none where" not in legend(comparison)[1]
    text = page(both)
    assert text.count('class="whisker"') == 2, "drawn, one as a point"
    assert "Most accurate: perfect, 0.00\u00a0% WER" in text
    alone = page(Comparison(title="x", systems=[perfect], baseline="perfect"))
    assert 'class="whisker"' not in alone


def test_eighty_columns_hold_the_whole_table(comparison: Comparison) -> None:
    text = printed(comparison, 80)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 80
    for part in ("WER %", "interval", "Sub/Del/Ins", "RTFx", "memory", "baseline", "CTC + LM"):
        assert part in text
    assert "Left out" not in text


@pytest.mark.parametrize("width", [64, 56, 46])
def test_a_narrow_terminal_keeps_the_error_rates_and_says_what_is_gone(comparison: Comparison, width: int) -> None:
    text = printed(comparison, width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert "…" not in text
    assert "Left out for want of width: Peak memory" in " ".join(text.split())
    for system in comparison.systems:
        assert percent(system.score.wer) in text


def test_long_texts_share_the_width_and_are_broken_between_words() -> None:
    names = ["cross-attention, Conformer", "prepended, Conformer, compressed"]
    against = ["–", "cross-attention, Conformer, original"]
    wanted = [plain_column(*each) for each in (("System", names), ("Against", against), ("WER %", ["9.75", "10.25"]))]
    console = Console(file=io.StringIO(), width=48)
    console.print(draw_terminal("toy", wanted, [], 48))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 48
    words = " ".join(lines).split()
    assert {"cross-attention,", "compressed", "original", "10.25"} <= set(words)


def test_names_are_not_taken_for_markup(comparison: Comparison) -> None:
    systems = [replace(comparison.systems[0], name="[red]a|b[/red]")]
    odd = replace(comparison, systems=systems, baseline="[red]a|b[/red]")
    assert "[red]a|b[/red]" in printed(odd, 100)
    assert "[red]a\\|b[/red]" in markdown_table(odd)


def test_markdown_has_the_same_cells_with_the_best_in_bold(comparison: Comparison) -> None:
    lines = markdown_table(comparison).splitlines()
    assert lines[0].startswith("| System | WER % | 95 % interval | Sub/Del/Ins | p | RTFx | Peak memory |")
    assert lines[1] == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert all(line.count("|") == 8 for line in lines[:5])
    assert "| **200** |" in lines[2]
    best = percent(comparison.systems[2].score.wer)
    assert f"| **{best}** |" in lines[4]


def test_the_legend_says_how_the_numbers_were_made(comparison: Comparison) -> None:
    text = " ".join(legend(comparison))
    for part in (
        "8 utterances (33 words)",
        "normaliser none",
        "kaldialign",
        "10,000 replicas, seed 0",
        "randomisation test against CTC greedy",
        "not corrected for the number of systems",
        "timed region: samples to text",
        "device cpu; threads 2; batch 16 utterances",
        "beam 8 (CTC greedy: 1)",
        "(host)",
    ):
        assert part in text


def test_the_legend_says_that_a_sentence_without_spaces_is_a_word() -> None:
    def said(*texts: str) -> str:
        rows = [HypothesisRow(id=str(n), reference=text, text=text) for n, text in enumerate(texts)]
        system = system_result("x", rows, RunRecord(system="x"))
        return " ".join(legend(Comparison(title="x", systems=[system], baseline="x")))

    text = said("请在三点之前打电话给我。", "我们明天去", "four")
    assert "Most references are in a script without spaces, and a word is what white space parts: there 8.0" in text
    assert "script without spaces" not in said("四 百 人", "我 们 明 天 去")
    assert "script without spaces" not in said("four boats")


def test_the_legend_counts_what_is_not_in_the_rates(make: Make) -> None:
    base = make("CTC greedy", skipped=(Skipped(id="u9", reason="truncated", reference="one two"),))
    text = " ".join(legend(Comparison(title="x", systems=[base], baseline="CTC greedy")))
    assert "could not be recognised: 1 counted as deleted." in text
    assert "9 utterances" in text


def test_what_was_not_measured_is_a_dash_or_no_column(make: Make) -> None:
    nothing = {"peak_memory": None, "timing": Timing(audio_seconds=0, wall_seconds=0, region="x")}
    full = make("CTC greedy")
    bare = replace(full, name="bare", **nothing)
    both = Comparison(title="x", systems=[bare, full], baseline="bare")
    assert cell(both, "RTFx", 0) == ("–", False)
    assert cell(both, "Peak memory", 0) == ("–", False)
    one = Comparison(title="x", systems=[bare], baseline="bare")
    assert [column.title for column in columns(one)] == ["System", "WER %", "95 % interval", "Sub/Del/Ins", "p"]
    assert cell(one, "WER %", 0)[1] is False  # the best of one is no news
    assert not re.search("RTFx|Peak memory", " ".join(legend(one)))


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (percent(0.05123), "5.12"),
        (percent(float("inf")), "∞"),
        (p_text(0.0001), "<0.001"),
        (p_text(0.0134), "0.013"),
        (p_text(0.4), "0.40"),
        (rtfx_text(4295.3), "4,295"),
        (rtfx_text(41.84), "41.8"),
        (rtfx_text(0.934), "0.93"),
        (memory_text(812 << 20), "812 MiB"),
        (memory_text(3 << 29), "1.50 GiB"),
        (memory_text(None), "–"),
    ],
)
def test_numbers_as_text(shown: str, text: str) -> None:
    assert shown == text


def test_the_legend_says_which_tests_do_not_survive_their_number(comparison: Comparison) -> None:
    base, second, third = comparison.systems

    def with_p(system: SystemResult, p_value: float) -> SystemResult:
        assert system.paired is not None
        return replace(system, paired=replace(system.paired, p_value=p_value))

    def said(*p_values: float) -> str:
        others = [with_p(system, p) for system, p in zip((second, third), p_values, strict=True)]
        return " ".join(legend(replace(comparison, systems=[base, *others])))

    assert f"Holm's correction for 2 tests {second.name} would not be below 0.05" in said(0.04, 0.2)
    assert "Holm's correction for 2 tests the same are below 0.05" in said(0.04, 0.001)
