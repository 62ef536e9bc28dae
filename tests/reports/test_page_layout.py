"""How pages are laid out in a real browser, on a phone and on a laptop, also where words have no place to break."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from duolect.reports import Comparison, SystemResult
from duolect.reports.cells import Cell, Column
from duolect.reports.markup import columns_table, legend_list
from duolect.reports.page import page
from duolect.reports.parts import ReportPart

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LONG = "x" * 86

# The page lies in a frame, for a headless browser's own window is never as narrow as a phone.
MEASURE = """
<!doctype html><title>measuring</title><body><script>
onload = () => {
  const inside = document.querySelector("iframe").contentDocument;
  const words = (cell) => {
    const range = inside.createRange();
    const shown = [...cell.childNodes].filter((node) => !(node.classList || []).contains?.("unsaid"));
    if (!shown.length) return cell.getBoundingClientRect();
    range.setStartBefore(shown[0]);
    range.setEndAfter(shown[0]);
    return range.getBoundingClientRect();
  };
  const tables = [...inside.querySelectorAll("table.results")].map((table) => {
    const found = { overlapping: 0, cut: 0 };
    const end = table.closest(".scroll").getBoundingClientRect().right;
    for (const row of table.querySelectorAll("tbody tr")) {
      const cells = [...row.children].filter((cell) => inside.defaultView.getComputedStyle(cell).display != "none");
      for (const cell of cells) {
        const own = cell.getBoundingClientRect(), right = words(cell).right;
        found.cut += right > end + 1;
        found.overlapping += cells.some((other) => {
          const box = other.getBoundingClientRect();
          return Math.abs(box.top - own.top) < 3 && box.left > own.left && right > box.left + 1;
        });
      }
    }
    return found;
  });
  const width = inside.documentElement.scrollWidth;
  document.body.dataset.found = JSON.stringify({ width, tables });
};
</script>
"""


def measured(text: str, width: int, folder: Path) -> dict[str, Any]:
    """How wide the page is in a window of `width` pixels, and for each table the cells that overlap or are cut."""
    target = folder / "measured.html"
    target.write_text(f'{MEASURE}<iframe width="{width}" height="900" style="border: 0" srcdoc="{html.escape(text)}">')
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={folder / 'profile'}", "--window-size=1500,1000"]
    command += ["--virtual-time-budget=10000", "--dump-dom", target.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=True)
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found is not None, done.stdout[:2000]
    return json.loads(html.unescape(found.group(1)))


def panel(names: list[str]) -> ReportPart:
    cells = tuple(Cell("0.0 [0.0–20.4]", best=True, below="p 1.00") for _ in range(3))
    signs = Column("Sign", tuple(map(Cell, ("any sign", "words < 0.5 ×", LONG))))
    prose = Column("Notes", 3 * (Cell("What is said here has more characters than a number."),))
    found = [signs, *(Column(name, cells) for name in names), prose]
    table = columns_table(found, "Signs of hallucination")
    return ReportPart(anchor="panel", title="What nobody said", html=[*table, legend_list([f"As {LONG}."])])


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1400])
def test_numbers_of_a_panel_do_not_run_into_each_other(comparison: Comparison, tmp_path: Path, width: int) -> None:
    text = page(comparison, parts=[panel(["ctc-greedy", "ctc-beam", "attention+ctc", "speech-llm"])])
    found = measured(text, width, tmp_path)
    assert found["width"] == width
    assert found["tables"] == 2 * [{"overlapping": 0, "cut": 0}]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [400, 1400])
def test_long_words_and_names_do_not_widen_the_page(
    make: Callable[..., SystemResult], tmp_path: Path, width: int
) -> None:
    base, other = make("CTC greedy"), make("CTC + LM")
    rows = [replace(row, reference=f"{LONG} {row.reference}", text=f"{LONG[1:]} {row.text}") for row in other.rows]
    texts = tuple((f"{LONG} {said}", f"{LONG[1:]} {heard}") for said, heard in other.score.texts_N)
    spoilt = replace(other, name=LONG, rows=rows, paired=None, score=replace(other.score, texts_N=texts))
    aside = [f'<p class="caveat">{LONG}</p><p class="hint">{LONG}</p><p class="told">{LONG}</p>']
    aside += [f'<ul class="key"><li>{LONG}</li></ul><div class="controls"><label>Show <select><option>{LONG}']
    aside += ["</option></select></label></div>"]
    text = page(
        Comparison(title=LONG, systems=[spoilt, base], baseline=LONG, summary=[LONG], notes=[LONG]),
        parts=[panel(["a", LONG]), ReportPart(anchor="aside", title=LONG, html=aside)],
    )
    assert f"</span>{LONG} " in text, "a reference"
    found = measured(text, width, tmp_path)
    assert found["width"] == width
    assert all(table["cut"] == 0 for table in found["tables"])
