"""Made posteriors, timing in turns, and sections of the page that leave others alone."""

from __future__ import annotations

import pytest
import torch

from bench import common
from bench.posteriors import EOS, made_posteriors
from duolect.search import frame_synchronous


def test_made_posteriors_hold_their_labels() -> None:
    made = made_posteriors(4, 80, 50, 10, temperature=0.5, seed=3)
    assert made.log_probs_BTW.exp().sum(-1) == pytest.approx(torch.ones(4, 80), abs=1e-4)
    assert made.log_probs_BTW[..., EOS].max() < -10
    assert torch.equal(made.log_probs_BTW, made_posteriors(4, 80, 50, 10, temperature=0.5, seed=3).log_probs_BTW)
    found = frame_synchronous(made.log_probs_BTW, made.lengths_B, beam=8, nbest=1, eos_id=EOS)
    for each, labels_N in zip(found, made.labels_BN.tolist(), strict=True):
        assert len(set(each[0].labels) & set(labels_N)) > len(set(labels_N)) // 2
    facts = made.facts()
    assert facts["utterances"] == 4
    assert 0 < facts["entropy_nats"] < made_posteriors(4, 80, 50, 10, temperature=2, seed=3).facts()["entropy_nats"]


def test_sides_alternate() -> None:
    order = []

    def side(name: str, seconds: float):
        return lambda: order.append(name) or seconds

    times = common.interleave({"a": side("a", 1.0), "b": side("b", 3.0)}, 2)
    assert order == ["a", "b"] * 3
    assert times["a"].faster_than(times["b"]) == (3.0, 3.0, 3.0)
    assert common.ratio_text((3.0, 2.5, 31.0)) == "3.0 × (2.5–31)"


def test_a_section_takes_its_own_place_again(tmp_path, monkeypatch) -> None:
    page = tmp_path / "benchmarks.md"
    monkeypatch.setattr(common, "PAGE", page)
    for name, body in (("one", "first"), ("two", "second"), ("one", "third, with a \\1")):
        common.write_section(name, name.title(), body, command="c", facts=common.machine())
    text = page.read_text()
    assert "first" not in text
    assert text.index("third, with a \\1") < text.index("second")
    assert text.count("## ") == 2


def test_a_missing_peer_says_how_to_build_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(common, "PEERS", common.ROOT / ".no-such-folder")
    with pytest.raises(common.PeerMissingError, match="make bench-peers"):
        common.Peer("flashlight", tmp_path / "script.py")
