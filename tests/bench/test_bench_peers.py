"""The benchmarks with peers run as a whole, made small; only where `make bench-peers` has built the peers."""

from __future__ import annotations

import pytest

from bench import common, ctc, joint
from duolect.search import kernels


def needs(*peers: str) -> pytest.MarkDecorator:
    built = all((common.PEERS / peer / ".ready").exists() for peer in peers)
    return pytest.mark.skipif(not built, reason="the peers are not built (make bench-peers)")


@needs("flashlight", "pyctcdecode")
@pytest.mark.skipif(not kernels.available(), reason="Numba is not installed")
def test_ctc_beside_its_peers(tmp_path, monkeypatch) -> None:
    for name, value in {"FRAMES": 60, "VOCABULARY": 60, "LABELS": 8, "BEAMS": (6,), "LABELS_PER_FRAME": 20}.items():
        monkeypatch.setattr(ctc, name, value)
    monkeypatch.setattr(ctc, "FLASHLIGHT", {**ctc.FLASHLIGHT, "labels_per_frame": 20})
    monkeypatch.setattr(common, "PAGE", tmp_path / "page.md")
    rows = ctc.measure(1, tmp_path)
    assert [row["kind"] for row in rows] == list(ctc.TEMPERATURES)
    ctc.report(rows, common.machine())
    assert "flashlight, ms" in common.PAGE.read_text()


@needs("espnet")
def test_joint_beside_espnet(tmp_path, monkeypatch) -> None:
    for name, value in {"UTTERANCES": 3, "FRAMES": range(40, 60, 6), "VOCABULARY": 60, "BEAM": 3}.items():
        monkeypatch.setattr(joint, name, value)
    monkeypatch.setattr(joint, "DECODER", {"width": 128, "layers": 2, "heads": 2, "inner": 128})
    monkeypatch.setattr(common, "PAGE", tmp_path / "page.md")
    results = joint.measure(1, tmp_path)
    assert results["agreement"]["same_best"] == 3
    joint.report(results, common.machine())
    assert "ESPnet" in common.PAGE.read_text()


def test_two_sides_that_differ_are_not_timed() -> None:
    made = ctc.made_posteriors(16, 30, 20, 4)
    best = ctc.ours(made, 8)
    right = {"labels": [list(h.labels) for h in best], "scores": [h.score for h in best]}
    assert ctc.agreement(made, best, right)["same_best"] == 16
    for wrong in ({**right, "labels": [[1]] * 16}, {**right, "scores": [h.score + 1 for h in best]}):
        with pytest.raises(ctc.DisagreementError):
            ctc.agreement(made, best, wrong)
