import itertools
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  (its cache is made once, outside the tests' time)
import numpy as np
import pytest

from duolect.evaluation import Timing
from duolect.reports import Comparison, SystemResult, TrainingCurve, curves_svg, save_png, speed_svg
from duolect.reports.curves import panels
from duolect.reports.labels import Box, nearest, place_labels
from duolect.reports.plots import frontier, pareto, speed_caption

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("form", ["wide", "narrow"])
def test_the_speed_figure_names_each_system_in_text(comparison: Comparison, form: str) -> None:
    svg = speed_svg(comparison, form)  # ty: ignore[invalid-argument-type]
    assert svg is not None
    said = texts(svg)
    for system in comparison.systems:
        assert said.count(system.name) == 1
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    labelled = root.get("aria-labelledby", "").split()
    ids = [node.get("id") for node in root.iter() if node.get("id")]
    assert set(labelled) <= set(ids)
    assert len(ids) == len(set(ids))


def test_figures_are_the_same_each_time_and_belong_to_the_page(comparison: Comparison) -> None:
    svg = speed_svg(comparison)
    assert svg is not None
    assert svg == speed_svg(comparison)
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert "var(--ink)" in svg
    assert not re.search(r"#0[0-9a-f]{5}\b", svg)  # no stand-in colour is left
    assert re.findall(r"https?://[^\"' ]+", svg) == ["http://www.w3.org/2000/svg"]
    for target in re.findall(r'(?:href="|url\()#([^")]+)', svg):
        assert f'id="{target}"' in svg


def test_names_are_escaped_in_figures(comparison: Comparison) -> None:
    systems = [replace(comparison.systems[0], name="<script>&$x^2$"), *comparison.systems[1:]]
    svg = speed_svg(replace(comparison, systems=systems, baseline="<script>&$x^2$"))
    assert svg is not None
    assert "<script>" not in svg
    assert "<script>&$x^2$" in texts(svg)  # nor taken for a formula


def test_untimed_systems_have_no_speed_figure(comparison: Comparison, tmp_path: Path) -> None:
    untimed = Timing(audio_seconds=0, wall_seconds=0, region="x")
    none = replace(comparison, systems=[replace(s, timing=untimed) for s in comparison.systems])
    assert speed_svg(none) is None
    save_png(none, tmp_path / "speed.png")
    assert not list(tmp_path.iterdir())


def test_a_png_is_written_whole_and_always_the_same(comparison: Comparison, tmp_path: Path) -> None:
    save_png(comparison, tmp_path / "a.png", dpi=72)
    save_png(comparison, tmp_path / "b.png", dpi=72)
    assert (tmp_path / "a.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_one_perfect_system_can_be_drawn(make: Callable[..., SystemResult]) -> None:
    system = make("Speech LLM")
    assert speed_svg(Comparison(title="x", systems=[system], baseline="Speech LLM")) is not None


def test_the_frontier_holds_what_nothing_beats(comparison: Comparison) -> None:
    assert [system.name for system in frontier(comparison.systems)] == ["CTC greedy", "Speech LLM"]


def test_a_figure_calls_none_the_best_where_speeds_cannot_be_compared(make: Callable[..., SystemResult]) -> None:
    base = make("CTC greedy")
    there = make("Speech LLM", base, device="NVIDIA H200")
    both = Comparison(title="x", systems=[base, there], baseline="CTC greedy")
    assert frontier(both.systems) == []
    assert pareto(both.systems) == []
    caption = speed_caption(both)
    assert caption.endswith("for the speeds cannot be compared: they ran on different devices.")
    assert "beaten" not in caption
    svg = speed_svg(both)
    assert svg is not None
    assert {"CTC greedy", "Speech LLM"} <= set(texts(svg))
    alike = Comparison(title="x", systems=[base, make("Speech LLM", base)], baseline="CTC greedy")
    assert pareto(alike.systems) == alike.systems
    assert "Filled points are beaten by no other system" in speed_caption(alike)


def test_panels_show_loss_and_dev_values_over_time(curves: list[TrainingCurve]) -> None:
    loss, wer = panels(curves)
    assert (loss.title, wer.title) == ("Training loss", "Dev WER %")
    assert loss.x_title == "minutes"
    assert [line.name for line in wer.lines] == ["Acoustic model", "Speech LLM"]
    assert wer.lines[0].y == [2.0, 1.0]
    assert wer.lines[1].x == pytest.approx([2.5, 5.0])  # the clock of the loss lines at the same steps


def test_of_many_dev_values_the_telling_ones_are_drawn() -> None:
    dev = {"dev_ctc_ler": 0.3, "dev_ctc_wer": 0.5, "dev_loss": 2.0, "dev_ctc_6": 3.0, "dev_decoder": 2.5}
    speech = TrainingCurve(name="am", records=[{"step": 1, "loss": 3.0}, {"step": 1, **dev}])
    text = {"dev_loss": 2.0, "dev_perplexity_token": 7.0, "dev_perplexity_word": 90.0}
    language = TrainingCurve(name="lm", records=[{"step": 1, **text}])
    found = panels([speech, language])
    assert [panel.title for panel in found] == ["Training loss", "Dev CTC WER %", "Dev perplexity word", "Dev loss"]
    assert found[1].lines[0].y == [50.0]
    assert [line.name for line in found[3].lines] == ["am", "lm"]


def test_panels_fall_back_to_steps_and_keep_the_later_line() -> None:
    records = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.5}, {"step": 2, "loss": 2.0}, {"step": 3, "loss": None}]
    (panel,) = panels([TrainingCurve(name="a", records=records)])
    assert panel.x_title == "step"
    assert (panel.lines[0].x, panel.lines[0].y) == ([1, 2], [3.0, 2.0])


def test_a_clock_that_goes_back_is_not_trusted() -> None:
    records = [{"step": 1, "loss": 3.0, "time": 50.0}, {"step": 2, "loss": 2.0, "time": 10.0}]
    assert panels([TrainingCurve(name="a", records=records)])[0].x_title == "step"


def test_long_logs_are_thinned_and_keep_their_end() -> None:
    records = [{"step": n, "loss": 1.0 + n} for n in range(5001)]
    line = panels([TrainingCurve(name="a", records=records)])[0].lines[0]
    assert len(line.x) <= 401
    assert line.x[-1] == 5000


def test_nothing_logged_nothing_drawn(curves: list[TrainingCurve]) -> None:
    assert curves_svg([]) is None
    assert curves_svg([TrainingCurve(name="a", records=[{"step": 1, "lr": 0.1}])]) is None
    svg = curves_svg(curves, "narrow")
    assert svg is not None
    assert {"Acoustic model", "Speech LLM", "Training loss", "Dev WER %"} <= set(texts(svg))


def test_labels_of_crowded_points_do_not_collide() -> None:
    rng = np.random.default_rng(0)
    points = [(float(x), float(y)) for x, y in rng.uniform((150, 120), (330, 240), (9, 2))]
    sizes = [(float(width), 12.0) for width in rng.integers(40, 110, 9)]
    dots = [Box(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    bounds = Box(0, 0, 500, 340)
    boxes = place_labels(points, sizes, dots, bounds)
    assert boxes == place_labels(points, sizes, dots, bounds)
    assert all(a.overlap(b) == 0 for a, b in itertools.combinations(boxes, 2))
    assert all(box.overlap(dot) == 0 for box in boxes for dot in dots)
    for box, point, (width, height) in zip(boxes, points, sizes, strict=True):
        assert box.overlap(bounds) == pytest.approx(width * height)
        assert math.dist(nearest(box, point), point) < 60
