"""Attention maps as figures: labels in rows, what they look at in columns, audio over time in seconds.

After Figure 1 of Lam et al. (arXiv 2501.02370). One row of panels for each layer (and head), in it a panel for each
part of the keys, which all have one scale of colours.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from duolect.models.attention import KeyPart
from duolect.reports.figures import LIGHT, PAGE, Theme, new_figure, printable, style, to_svg
from duolect.reports.markup import escape
from duolect.reports.page import document
from duolect.storage import atomic_file
from duolect.systems.attention import Attention

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#ffffff", "#d3e6f3", "#8cc0e0", "#3a93c8", "#0072b2", "#014876", "#00233d")
"""Of the weights, from 0 on: white to the accent of the figures, and on into the dark."""
_CELL = 13.0  # points: the height of a row, and the width of a label's column
_TICKS_APART = 11.0
_TITLE, _ABOVE = 30.0, 66.0  # above the first panel, the waveform among it
_MARGINS = {"left": 92.0, "right": 84.0, "bottom": 40.0, "between": 44.0, "gap": 9.0}


def attention_svg(attention: Attention) -> str:
    """The maps as one `<svg>` element, for a page."""
    with style(PAGE):
        return to_svg(_figure(attention, PAGE, titled=False), "attention", _title(attention), caption(attention))


def save_attention(attention: Attention, path: str | os.PathLike[str], dpi: int = 160) -> None:
    """Write the maps to `path`, whole or not at all: a page that needs nothing else (.html), else a PNG on white."""
    if os.fspath(path).lower().endswith((".html", ".htm")):
        with atomic_file(path) as handle:
            handle.write(attention_page(attention))
        return
    with style(LIGHT):
        figure = _figure(attention, LIGHT)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, facecolor=LIGHT.paper, metadata={"Software": None})
    with atomic_file(path, "wb") as handle:
        handle.write(buffer.getvalue())


def attention_page(attention: Attention) -> str:
    """The maps as one HTML document."""
    said = "recognised" if attention.recognised else "given"
    body = (
        f'<div class="lead"><p>{escape(attention.text or "(no words)")}</p></div>',
        '<section aria-labelledby="maps"><h2 id="maps">Attention</h2>',
        # On a phone the figure is scrolled, not shrunk until nothing can be read.
        f'<figure><div class="scroll"><div style="min-width: 640px">{attention_svg(attention)}</div></div>',
        f"<figcaption>{escape(caption(attention))}</figcaption></figure>",
        f"<p>The text is the one that was {said}.</p></section>",
    )
    return document(f"{_title(attention)}: {attention.id}", body, wide=True)


def caption(attention: Attention) -> str:
    """What is to be seen, in words."""
    maps = attention.maps
    heads = f"heads {', '.join(map(str, maps.heads))}" if maps.heads else "the mean over all heads"
    shares = "; ".join(f"layer {layer}: {_shares(attention, place, 0)}" for place, layer in enumerate(maps.layers))
    also = f" All rows together look at: {shares}." if len(maps.parts) > 1 and not maps.heads else ""
    return (
        f"Each row is a label as it is written, each column something it can look at; the weights of a row sum to 1. "
        f"Shown are {heads} of {_list('layer', maps.layers)} of {maps.depth}; the colours grow with the square root of "
        f"the weight.{also}"
    )


def _list(word: str, numbers: Sequence[int]) -> str:
    return f"{word}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _title(attention: Attention) -> str:
    kinds = {part.kind for part in attention.maps.parts}
    return "Attention to audio and text" if "text" in kinds else "Cross-attention to the audio"


def _shares(attention: Attention, layer: int, head: int) -> str:
    """ "62 % audio, 8 % prompt, 30 % text" of one panel's rows together."""
    weights_MK = attention.maps.weights_LHMK[layer, head].numpy()
    sums: dict[str, float] = {}
    for part, columns, _ in _columns(attention):
        sums[part.kind] = sums.get(part.kind, 0.0) + float(weights_MK[:, columns].sum() / len(weights_MK))
    order = [kind for kind in ("audio", "prompt", "text") if kind in sums]
    return ", ".join(f"{100 * sums[kind]:.0f} % {kind}" for kind in order)


def _columns(attention: Attention) -> Iterator[tuple[KeyPart, slice, tuple[str, ...]]]:
    """Each part of the keys that is not empty, its columns, and the texts of its keys."""
    start = 0
    for part, texts in zip(attention.maps.parts, attention.keys, strict=True):
        if part.size:
            yield part, slice(start, start + part.size), texts
        start += part.size


@dataclass(frozen=True)
class _Panel:
    """A part of the keys on paper: its columns of the weights, its width in points, the texts below it."""

    kind: Literal["prompt", "audio", "text"]
    columns: slice
    width: float
    texts: tuple[str, ...]


def _figure(attention: Attention, theme: Theme, *, titled: bool = True) -> Figure:
    maps, panels, above = attention.maps, _panels(attention), _ABOVE + (_TITLE if titled else 0.0)
    places = [(n, h) for n in range(len(maps.layers)) for h in range(maps.weights_LHMK.shape[1])]
    height = min(max(_CELL * len(attention.rows), 90.0), 640.0)
    inner = sum(panel.width for panel in panels) + _MARGINS["gap"] * (len(panels) - 1)
    total_width = _MARGINS["left"] + inner + _MARGINS["right"]
    deep = max((len(text) for panel in panels for text in panel.texts), default=0)
    bottom = _MARGINS["bottom"] + 5.5 * min(deep, 24)
    body = len(places) * height + (len(places) - 1) * _MARGINS["between"]
    total_height = above + body + bottom
    figure = new_figure(total_width, total_height)
    norm = _norm(maps.weights_LHMK.numpy())
    for number, (layer, head) in enumerate(places):
        top = above + number * (height + _MARGINS["between"])
        left = _MARGINS["left"]
        for place, panel in enumerate(panels):
            box = (
                left / total_width,
                1 - (top + height) / total_height,
                panel.width / total_width,
                height / total_height,
            )
            axes = figure.add_axes(box)
            _draw(axes, attention, panel, maps.weights_LHMK[layer, head].numpy(), norm, theme)
            _label_axes(axes, attention, panel, height, first=place == 0, last=number == len(places) - 1, theme=theme)
            if place == 0:
                axes.text(
                    0,
                    1 + 8 / height,
                    _name(attention, layer, head),
                    transform=axes.transAxes,
                    va="bottom",
                    fontweight="bold",
                    fontsize=11,
                )
            if panel.kind == "audio" and number == 0:
                _waveform(figure, attention, box, total_height, theme)
            left += panel.width + _MARGINS["gap"]
    if titled:
        figure.text(
            _MARGINS["left"] / total_width,
            1 - 10 / total_height,
            printable(f"{_title(attention)}: {attention.id[:60]}"),
            va="top",
            fontsize=13,
            fontweight="bold",
            parse_math=False,
        )
    _colour_bar(figure, norm, (total_width, total_height), above, min(body, 260.0), theme)
    return figure


def _panels(attention: Attention) -> list[_Panel]:
    seconds = float(attention.edges_T1[-1])
    found = []
    for part, columns, texts in _columns(attention):
        width = min(max(110.0 * seconds, 240.0), 640.0) if part.kind == "audio" else _CELL * min(part.size, 45)
        found.append(_Panel(part.kind, columns, width, texts))
    return found


def _norm(weights: np.ndarray) -> Any:
    """Square roots: a few keys take most of the attention, and the rest would be one pale surface."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0.0, vmax=max(float(np.quantile(weights, 0.998)), 1e-6), clip=True)


def _colour_map() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("attention", COLOURS)


def _draw(axes: Axes, attention: Attention, panel: _Panel, weights_MK: np.ndarray, norm: Any, theme: Theme) -> None:
    rows = len(weights_MK)
    part_MK = weights_MK[:, panel.columns]
    end = float(part_MK.shape[1])
    if panel.kind == "audio":
        # Positions may stand for stretches of different length: columns of the shortest of them.
        edges, end = attention.edges_T1, float(attention.edges_T1[-1])
        columns = min(round(end / float(np.diff(edges).min())), 4000)
        centres = (np.arange(columns) + 0.5) * end / columns
        part_MK = part_MK[:, np.searchsorted(edges, centres, side="right") - 1]
    extent = (0.0, end, rows, 0.0)
    # What a row may not see (later labels) stays empty.
    part_MK = np.ma.masked_equal(part_MK, 0.0)
    axes.imshow(part_MK, cmap=_colour_map(), norm=norm, aspect="auto", interpolation="none", extent=extent)
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color(theme.grid)


def _label_axes(
    axes: Axes, attention: Attention, panel: _Panel, height: float, *, first: bool, last: bool, theme: Theme
) -> None:
    axes.tick_params(length=0 if panel.kind != "audio" else 3, pad=3)
    if first:
        _ticks(axes.yaxis, attention.rows, height)
        axes.set_ylabel("label written", color=theme.muted, fontsize=10)
    else:
        axes.set_yticks([])
    if not last:
        axes.tick_params(labelbottom=False)
    if panel.kind == "audio":
        if last:
            axes.set_xlabel("audio, seconds", color=theme.muted, fontsize=10)
        return
    _ticks(axes.xaxis, panel.texts, panel.width, rotation=90)
    if last and panel.width > 40:
        axes.set_xlabel(panel.kind, color=theme.muted, fontsize=10)


def _ticks(axis: Any, texts: Sequence[str], room: float, rotation: float = 0) -> None:
    """The texts at the middles of their cells, as many as there is room for."""
    step = max(1, -(-round(_TICKS_APART * len(texts)) // max(round(room), 1)))
    shown = range(0, len(texts), step)
    axis.set_ticks([n + 0.5 for n in shown], [printable(texts[n]) for n in shown])
    for label in axis.get_ticklabels():
        label.set(rotation=rotation, fontsize=8.5, parse_math=False)


def _name(attention: Attention, layer: int, head: int) -> str:
    maps = attention.maps
    what = f"head {maps.heads[head]}" if maps.heads else "mean over the heads"
    shares = f"  ·  {_shares(attention, layer, head)}" if len(maps.parts) > 1 else ""
    return f"Layer {maps.layers[layer]}, {what}{shares}"


def _waveform(
    figure: Figure, attention: Attention, box: tuple[float, float, float, float], total: float, theme: Theme
) -> None:
    """The sound above its panel: the range of the samples in each of some hundred stretches."""
    left, bottom, width, height = box
    axes = figure.add_axes((left, bottom + height + 24 / total, width, 30 / total))
    samples = attention.samples_N
    stretches = np.array_split(samples, min(400, len(samples)))
    seconds = (np.arange(len(stretches)) + 0.5) * len(samples) / 16000 / len(stretches)
    low, high = [s.min() for s in stretches], [s.max() for s in stretches]
    axes.fill_between(seconds, low, high, color=theme.muted, lw=0)
    axes.set_xlim(0, float(attention.edges_T1[-1]))
    axes.set_axis_off()


def _colour_bar(figure: Figure, norm: Any, size: tuple[float, float], above: float, room: float, theme: Theme) -> None:
    from matplotlib.cm import ScalarMappable

    width, height = size
    box = (1 - (_MARGINS["right"] - 16) / width, 1 - (above + room) / height, 12 / width, room / height)
    axes = figure.add_axes(box)
    bar = figure.colorbar(ScalarMappable(norm, _colour_map()), cax=axes, extend="max")
    marks = norm.vmax * np.linspace(0, 1, 5) ** 2  # evenly spaced under the square root
    bar.set_ticks(marks, labels=[f"{mark:.2g}" for mark in marks])
    bar.set_label("attention weight", color=theme.muted, fontsize=10)
    bar.outline.set_visible(False)
    axes.tick_params(length=2, labelsize=9)
    axes.grid(visible=False)
