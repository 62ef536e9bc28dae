import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from duolect.errors import DuolectError
from duolect.evaluation import HypothesisRow
from duolect.reports import Comparison, SystemResult, write_page
from duolect.reports.page import page

VOID = {"meta", "br", "link", "img", "input", "hr", "line", "circle", "path", "use", "rect"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Outline(HTMLParser):
    """Tags with attributes, text by enclosing tag, and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.texts.append((self.open[-1], data.strip()))

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def of(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def test_structure(comparison: Comparison) -> None:
    outline = Outline(page(comparison))
    assert outline.attributes("html") == [{"lang": "en"}]
    assert outline.of("h1") == ["Three systems"]
    assert outline.of("h2") == [
        "Results",
        "Accuracy and speed",
        "Training",
        "Where the systems differ",
        "How these numbers were made",
    ]
    assert len(outline.attributes("article")) == 8
    assert len(outline.attributes("main")) == 1
    assert "width=device-width" in str(outline.attributes("meta"))
    heads = outline.attributes("th")
    assert heads
    assert all(head.get("scope") in ("col", "row") for head in heads)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in outline.tags:
        for label in (attributes.get("aria-labelledby") or "").split():
            assert label in ids
    drawn = outline.attributes("svg")
    assert all(svg.get("role") == "img" or svg.get("class") == "whisker" for svg in drawn)
    assert sum(svg.get("role") == "img" for svg in drawn) == 4


def test_every_number_of_the_table_is_there(comparison: Comparison) -> None:
    text = page(comparison)
    for system in comparison.systems:
        assert f'data-title="WER %">{100 * system.score.wer:.2f}<' in text
        assert system.description in text
    assert "★" in text  # the best is marked by more than weight
    assert "duolect demo" in text
    assert "Scales were tuned on dev." in text


def test_the_summary_is_the_callers_or_the_findings(comparison: Comparison) -> None:
    assert "Most accurate: Speech LLM" in page(comparison)
    given = page(replace(comparison, summary=["We found <nothing>."]))
    assert "We found &lt;nothing&gt;." in given
    assert "Most accurate" not in given


def test_errors_are_marked_without_colour_and_for_the_ear(comparison: Comparison) -> None:
    text = page(comparison)
    substituted = '<span class="wrong"><del>four</del><span class="unsaid"> heard as </span><ins>for</ins></span>'
    assert substituted in text
    assert '<del class="missing"><span class="unsaid">left out: </span>there</del>' in text
    assert '<ins class="extra"><span class="unsaid">added: </span>the</ins>' in text
    assert '.extra::before { content: "+"; }' in text
    assert "line-through" in text


def test_nothing_is_loaded_and_no_script_runs(comparison: Comparison) -> None:
    text = page(comparison)
    outline = Outline(text)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in outline.tags}
    assert set(re.findall(r"https?://[^\"'\s<]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "@import" not in text
    assert all(not name.startswith("on") for _, attributes in outline.tags for name in attributes)
    policy = next(meta for meta in outline.attributes("meta") if meta.get("http-equiv"))
    assert str(policy["content"]).startswith("default-src 'none'")


EVIL = "<script>alert(1)</script>\"'&\x00</style></svg>"


def test_hostile_text_stays_text(make: Callable[..., SystemResult]) -> None:
    def spoil(system: SystemResult, name: str) -> SystemResult:
        rows = [replace(row, text=f"{EVIL} {name}", flags=(EVIL,)) for row in system.rows]
        return replace(system, name=name, description=EVIL, rows=rows, provenance={"device": EVIL, EVIL: {EVIL: EVIL}})

    base, other = make("CTC greedy"), make("CTC + LM")
    comparison = Comparison(
        title=EVIL,
        systems=[spoil(base, f"A {EVIL}"), spoil(replace(other, paired=None), f"B {EVIL}")],
        baseline=f"A {EVIL}",
        notes=[EVIL],
        provenance={EVIL: EVIL, "command": EVIL, "list": [EVIL], "nested": {"a": {"b": EVIL}}},
    )
    text = page(comparison)
    outline = Outline(text)
    assert "script" not in {tag for tag, _ in outline.tags}
    assert text.count("</style>") == 1
    assert "\x00" not in text
    assert "alert(1)" in " ".join(outline.of("ins"))


def test_dark_print_and_phone_have_their_rules(comparison: Comparison) -> None:
    text = page(comparison)
    for rule in ("(prefers-color-scheme: dark)", "@media print", "@media (max-width"):
        assert rule in text


def test_one_system_without_anything_else_makes_a_page(make: Callable[..., SystemResult]) -> None:
    outline = Outline(page(Comparison(title="x", systems=[make("CTC greedy")], baseline="CTC greedy")))
    assert outline.of("h2") == ["Results", "How these numbers were made"]


def test_utterances_a_system_lost_are_shown_as_such(comparison: Comparison) -> None:
    first = comparison.systems[0]
    rows: list[HypothesisRow] = [row for row in first.rows if row.id != "u1"]
    text = page(replace(comparison, systems=[replace(first, rows=rows), *comparison.systems[1:]]))
    assert "not recognised" in text


def test_the_page_is_written_whole_and_always_the_same(comparison: Comparison, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "report.html"
    write_page(comparison, target)
    first = target.read_bytes()
    write_page(comparison, target)
    assert target.read_bytes() == first
    assert first.decode().startswith("<!doctype html>\n")
    assert [p.name for p in target.parent.iterdir()] == ["report.html"]
    (tmp_path / "file").write_text("")
    with pytest.raises(DuolectError):
        write_page(comparison, tmp_path / "file" / "report.html")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("size", ["1280,1600", "500,1600"])
def test_a_browser_shows_it_without_complaint(comparison: Comparison, tmp_path: Path, size: str) -> None:
    write_page(comparison, tmp_path / "report.html")
    shot = tmp_path / "shot.png"
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
            *(f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}", f"--screenshot={shot}"),
            (tmp_path / "report.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "CONSOLE" not in done.stderr  # neither errors nor refused loads
    assert shot.stat().st_size > 20_000
