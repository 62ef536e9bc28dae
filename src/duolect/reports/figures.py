"""Figures as SVG that belongs into a page: its colours follow the page (light, dark, print), its ids are its own.

Figures are drawn by matplotlib without pyplot or a display. Text stays text (searchable, in the reader's font); the
same figure gives the same bytes. A `Theme` holds the colours; that of a page holds stand-ins, which become CSS
variables when the figure is written.
"""

from __future__ import annotations

import contextlib
import html
import io
import re
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif"
LINE_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))


@dataclass(frozen=True)
class Theme:
    """Colours of a figure. Series colours are Okabe & Ito's, which colour-blind readers can tell apart, less yellow."""

    ink: str = "#1b1f24"
    muted: str = "#5b6470"
    grid: str = "#dfe3e8"
    paper: str = "#ffffff"
    accent: str = "#0072b2"
    series: tuple[str, ...] = ("#0072b2", "#d55e00", "#009e73", "#b6568f", "#8a6a00")


LIGHT = Theme()
# Colours that no figure uses otherwise; `to_svg` puts the page's CSS variables in their place.
PAGE = Theme(
    ink="#010201",
    muted="#010202",
    grid="#010203",
    paper="#010204",
    accent="#010205",
    series=("#010301", "#010302", "#010303", "#010304", "#010305"),
)
_VARIABLES = {
    PAGE.ink: "var(--ink)",
    PAGE.muted: "var(--muted)",
    PAGE.grid: "var(--grid)",
    PAGE.paper: "var(--paper)",
    PAGE.accent: "var(--accent)",
    **{stand_in: f"var(--series-{n})" for n, stand_in in enumerate(PAGE.series, start=1)},
}


@contextlib.contextmanager
def style(theme: Theme) -> Generator[None]:
    """Matplotlib's settings for a figure of this project, put back afterwards."""
    import matplotlib as mpl

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "duolect",
        "font.family": "DejaVu Sans",  # comes with matplotlib, so that measured widths are the same everywhere
        "font.size": 11,
        "text.color": theme.ink,
        "axes.edgecolor": theme.muted,
        "axes.labelcolor": theme.ink,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.grid": True,
        "grid.color": theme.grid,
        "grid.linewidth": 0.8,
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "legend.frameon": False,
        "figure.dpi": 72,  # one point is one unit of the SVG
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # In an SVG text is drawn with the reader's fonts; only its width is guessed here.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def printable(text: str) -> str:
    """The text with each control character, which neither XML nor HTML may hold, as �."""
    return "".join(c if c >= " " or c in "\n\t" else "�" for c in text)


def new_figure(width: float, height: float) -> Figure:
    """An empty, transparent figure of `width` x `height` points."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72, facecolor="none")


def to_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as one `<svg>` element.

    name: prefix of its ids, unique within the page. title and description are read out to those who cannot see it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # Matplotlib's style sheet would apply to the whole page.
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*</defs>\s*", "", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = text.replace("url(#", f"url(#{name}-").replace("xlink:href", "href")
    text = text.replace("'DejaVu Sans'", FONTS)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, variable)
    head, body = text.split(">", 1)
    view_box = re.search(r'viewBox="[^"]+"', head)
    assert view_box is not None
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {view_box[0]} role="img" '
        f'aria-labelledby="{name}-title {name}-description" style="stroke-linejoin:round;stroke-linecap:butt"'
    )
    labels = (
        f'<title id="{name}-title">{html.escape(printable(title))}</title>'
        f'<desc id="{name}-description">{html.escape(printable(description))}</desc>'
    )
    return f"{head}>\n{labels}{body}".rstrip() + "\n"
