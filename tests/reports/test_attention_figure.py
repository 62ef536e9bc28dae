"""The figure of attention maps: its panels and their texts, as a PNG and as a page."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from duolect.models.attention import AttentionMap, KeyPart
from duolect.reports.attention import attention_page, attention_svg, caption, save_attention
from duolect.systems.attention import Attention


def _attention(kind: str, layers: int = 2, heads: int = 0, labels: int = 4, seconds: float = 1.5) -> Attention:
    generator = np.random.default_rng(3)
    positions, rows = 12, (*(f"▁w{n}" for n in range(labels)), "EOS")
    keys: tuple[tuple[str, ...], ...] = ((),)
    parts = [KeyPart("audio", positions)]
    if kind == "prefix":
        text = ("BOS", *rows[:-1])
        keys = (("USER", ":"), (), (), text)
        parts = [
            KeyPart("prompt", 2, (1, 2)),
            *parts,
            KeyPart("prompt", 0),
            KeyPart("text", len(text), (-1, *[3] * labels)),
        ]
    scores = torch.from_numpy(generator.normal(size=(layers, max(heads, 1), labels + 1, sum(p.size for p in parts))))
    if kind == "prefix":
        hidden = torch.ones(labels + 1, labels + 1, dtype=torch.bool).triu(1)
        scores[..., -labels - 1 :].masked_fill_(hidden, -torch.inf)
    maps = AttentionMap(
        scores.softmax(-1).float(), tuple(range(1, layers + 1)), tuple(range(1, heads + 1)), layers, tuple(parts)
    )
    steps = np.append(0.0, generator.uniform(0.5, 2.0, positions).cumsum())
    return Attention(
        id="talk <1> & $2",
        component="speech_llm",
        maps=maps,
        rows=rows,
        keys=keys,
        edges_T1=seconds * steps / steps[-1],
        samples_N=generator.normal(size=int(16000 * seconds)).astype(np.float32),
        text=" ".join(f"w{n}" for n in range(labels)),
        recognised=True,
    )


def _size(png: Path) -> tuple[int, int]:
    content = png.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


@pytest.mark.parametrize("kind", ["prefix", "cross"])
def test_a_figure_has_a_panel_for_each_layer_and_part(kind: str) -> None:
    svg = attention_svg(_attention(kind))
    ElementTree.fromstring(svg)
    assert svg.count("<image") == 2 * (3 if kind == "prefix" else 1) + 1  # and the colour bar
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    for wanted in ("▁w0", "EOS", "audio, seconds", "attention weight", "label written"):
        assert wanted in texts, wanted
    heads = [text for text in texts if text.startswith("Layer ")]
    assert [text.split(",")[0] for text in heads] == ["Layer 1", "Layer 2"]
    assert ("BOS" in texts) == ("USER" in texts) == (kind == "prefix")
    if kind == "prefix":
        shares = [int(share) for share in re.findall(r"(\d+) %", heads[0])]
        assert sum(shares) == pytest.approx(100, abs=2)
    assert attention_svg(_attention(kind)) == svg


def test_one_panel_for_each_head_that_was_asked_for() -> None:
    svg = attention_svg(_attention("cross", layers=1, heads=3))
    assert svg.count("<image") == 3 + 1
    assert re.findall(r">(Layer 1, head \d)", svg) == [f"Layer 1, head {n}" for n in (1, 2, 3)]


def test_a_png_and_a_page_are_written_whole(tmp_path: Path) -> None:
    small, large = tmp_path / "a.png", tmp_path / "b.png"
    save_attention(_attention("cross"), small)
    save_attention(_attention("prefix", layers=3, labels=90, seconds=8.0), large)
    assert all(a < b for a, b in zip(_size(small), _size(large), strict=True))
    assert max(_size(large)) < 8000
    save_attention(_attention("prefix"), tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert page == attention_page(_attention("prefix"))
    assert "talk &lt;1&gt; &amp; $2" in page
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.png", "b.png"]


def test_the_caption_names_heads_layers_and_shares() -> None:
    said = caption(_attention("prefix"))
    assert "mean over all heads of layers 1, 2 of 2" in said
    assert said.count("% audio") == said.count("% prompt") == said.count("% text") == 2
    assert "heads 1, 2 of layer 1 of 1" in caption(_attention("prefix", layers=1, heads=2))
    assert "% audio" not in caption(_attention("cross"))


def test_an_utterance_without_labels_or_of_one_position_is_drawn(tmp_path: Path) -> None:
    empty = _attention("prefix", labels=0)
    assert "(no words)" in attention_page(empty)
    save_attention(empty, tmp_path / "empty.png")
    assert _size(tmp_path / "empty.png")[0] > 300


def test_no_class_of_the_page_hides_its_body() -> None:
    """What is for wide windows alone is hidden in narrow ones; the whole page must not be."""
    page = attention_page(_attention("cross"))
    (body,) = re.findall(r'<body class="([^"]+)">', page)
    style = page[page.index("<style>") : page.index("</style>")]
    assert f".{body} >" in style
    assert not re.search(rf"\.{body} {{ display: none", style)
