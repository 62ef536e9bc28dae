"""CTC prefix beam search beside flashlight-text and pyctcdecode: `python -m bench.ctc`.

One batch of made posteriors for all; every side finds the best label sequence of each utterance. Checked before
anything is timed: the same best sequences, and scores that differ only by what the peers lose (both keep the endings
of a sequence in blank and in its last label apart, and report one of them).
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from bench import common
from bench.posteriors import EOS, Posteriors, made_posteriors
from duolect.search import Hypothesis, ctc_full_sum, frame_synchronous, kernels

UTTERANCES, FRAMES, VOCABULARY, LABELS = 16, 300, 1000, 40
BEAMS = (16, 64)
LABELS_PER_FRAME = 50
TEMPERATURES = {"peaked": 1.0, "uncertain": 1.5}
# flashlight: nothing is pruned by its distance from the best; pyctcdecode: its own defaults, which prune more.
FLASHLIGHT = {"labels_per_frame": LABELS_PER_FRAME, "threshold": 1e4}
PYCTCDECODE = {"label_floor": -5.0, "threshold": -10.0}
SCRIPTS = Path(__file__).parent / "peers"


class DisagreementError(AssertionError):
    """Two sides did not do the same work."""


def ours(posteriors: Posteriors, beam: int) -> list[Hypothesis]:
    """The best hypothesis of each utterance."""
    found = frame_synchronous(
        posteriors.log_probs_BTW,
        posteriors.lengths_B,
        beam=beam,
        nbest=1,
        eos_id=EOS,
        labels_per_frame=LABELS_PER_FRAME,
    )
    return [each[0] for each in found]


def by_tensors(work: Callable[[], object]) -> Callable[[], object]:
    """`work` with the compiled loop out of sight."""

    def run() -> object:
        with mock.patch.object(kernels, "available", return_value=False):
            return work()

    return run


def agreement(posteriors: Posteriors, best: list[Hypothesis], peer: dict[str, Any]) -> dict[str, Any]:
    """How many best sequences are the same, how far scores of the same sequence differ, and which side's are better.

    DisagreementError when ours are worse on average (by the full sum over all alignments), when the same sequence has
    scores 0.1 apart, or when fewer than 15 in 16 are the same.
    """
    theirs = [tuple(labels) for labels in peer["labels"]]
    same = [h.labels == labels for h, labels in zip(best, theirs, strict=True)]
    apart = [abs(h.score - s) for h, s, equal in zip(best, peer["scores"], same, strict=True) if equal]
    pairs = [[h.labels, labels] for h, labels in zip(best, theirs, strict=True)]
    sums = torch.stack(ctc_full_sum(posteriors.log_probs_BTW, posteriors.lengths_B, pairs))
    gain = float((sums[:, 0] - sums[:, 1]).mean())
    if gain < -1e-4 or max(apart, default=0.0) > 0.1 or sum(same) < len(same) * 15 // 16:
        raise DisagreementError(
            f"same best {sum(same)}/{len(same)}, scores up to {max(apart, default=0.0):.3g} apart, gain {gain:.3g}."
        )
    return {"same_best": sum(same), "utterances": len(same), "score_apart": max(apart), "full_sum_gain": gain}


def measure(turns: int, folder: Path) -> list[dict[str, Any]]:
    """One row for each kind of posteriors and beam."""
    rows = []
    for kind, temperature in TEMPERATURES.items():
        posteriors = made_posteriors(UTTERANCES, FRAMES, VOCABULARY, LABELS, temperature=temperature)
        path = folder / f"{kind}.npy"
        np.save(path, posteriors.log_probs_BTW.numpy())
        for beam in BEAMS:
            common.progress(f"{kind}, beam {beam}")
            rows.append({"kind": kind, "beam": beam, **posteriors.facts(), **_row(posteriors, path, beam, turns)})
    return rows


def _row(posteriors: Posteriors, path: Path, beam: int, turns: int) -> dict[str, Any]:
    with (
        common.Peer("flashlight", SCRIPTS / "flashlight_ctc.py") as flashlight,
        common.Peer("pyctcdecode", SCRIPTS / "pyctcdecode_ctc.py") as pyctcdecode,
    ):
        for peer in (flashlight, pyctcdecode):
            peer.call(do="load", path=str(path))

        def search() -> list[Hypothesis]:
            return ours(posteriors, beam)

        def ask_flashlight() -> dict[str, Any]:
            return flashlight.call(do="search", beam=beam, **FLASHLIGHT)

        def ask_pyctcdecode() -> dict[str, Any]:
            return pyctcdecode.call(do="search", beam=beam, **PYCTCDECODE)

        by_tensors(search)()
        checks = {
            "flashlight": agreement(posteriors, search(), ask_flashlight()),
            "pyctcdecode": agreement(posteriors, search(), ask_pyctcdecode()),
        }
        times = common.interleave(
            {
                "duolect": common.timed(search),
                "flashlight": lambda: ask_flashlight()["seconds"],
                "duolect, tensors": common.timed(by_tensors(search)),
                "pyctcdecode": lambda: ask_pyctcdecode()["seconds"],
            },
            turns,
            warm_ups=0,  # the checks were one
        )
    return {
        "agreement": checks,
        "times": {name: each.as_json() for name, each in times.items()},
        "faster": {
            f"{side} than {peer}": times[side].faster_than(times[peer])
            for side in ("duolect", "duolect, tensors")
            for peer in ("flashlight", "pyctcdecode")
        },
    }


def report(rows: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """The section of docs/benchmarks.md."""
    table = []
    for row in rows:
        times = {name: f"{each['median_s'] * 1e3:.0f}" for name, each in row["times"].items()}
        check = row["agreement"]["flashlight"]
        table.append(
            [
                f"{row['kind']}, beam {row['beam']}",
                times["duolect"],
                times["duolect, tensors"],
                times["flashlight"],
                times["pyctcdecode"],
                f"**{common.ratio_text(row['faster']['duolect than flashlight'])}**",
                common.ratio_text(row["faster"]["duolect, tensors than flashlight"]),
                common.ratio_text(row["faster"]["duolect than pyctcdecode"]),
                f"{check['same_best']}/{check['utterances']}",
                f"{check['score_apart']:.4f}",
            ]
        )
    head = [
        "Posteriors",
        "ours, ms",
        "ours by tensors, ms",
        "flashlight, ms",
        "pyctcdecode, ms",
        "× flashlight",
        "tensors × flashlight",
        "× pyctcdecode",
        "same best",
        "scores apart",
    ]
    kinds = {row["kind"]: row for row in rows}
    described = "; ".join(
        f"{kind}: entropy of a frame {row['entropy_nats']} nats, blank {row['blank']:.0%}"
        for kind, row in kinds.items()
    )
    turns = len(rows[0]["times"]["duolect"]["seconds"])
    setting = f"""
        {UTTERANCES} utterances of {FRAMES} frames, {VOCABULARY} labels, {LABELS} of them in an utterance; made
        posteriors ({described}). Time for the batch, from posteriors in memory to the best label sequences: medians of
        {turns} turns in which the sides alternate; ratios with their least and largest. Ours and flashlight extend by
        the {LABELS_PER_FRAME} best labels of a frame; flashlight prunes by nothing else, its decoders are made before
        the clock starts. pyctcdecode prunes by its own defaults, which is more (labels below e⁻⁵, beams 10 nats
        behind). Ours includes the check of its input; the compiled loop was compiled, or loaded, before."""
    key = """
        *same best*: utterances whose best sequence is flashlight's too; *scores apart*: largest difference of the score
        of the same sequence, in nats: the peers count the endings of a sequence in blank and in its last label as two
        hypotheses."""
    body = "\n".join([common.paragraph(setting), common.markdown_table(head, table), common.paragraph(key)])
    common.write_section("ctc", "CTC prefix beam search", body, command="python -m bench.ctc", facts=facts)


def main() -> None:
    """Measure, write bench/results/ctc.json and the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=5, help="timed turns of every side")
    arguments = parser.parse_args()
    if not kernels.available():
        raise SystemExit("bench.ctc: Numba is not installed (the extra `fast`).")
    with common.threads(1), tempfile.TemporaryDirectory() as folder:
        facts = {**common.machine(), "flashlight-text": common.peer_version("flashlight", "flashlight-text")}
        facts["pyctcdecode"] = common.peer_version("pyctcdecode", "pyctcdecode")
        rows = measure(arguments.turns, Path(folder))
    common.write_results(
        "ctc", {"facts": facts, "settings": {"flashlight": FLASHLIGHT, "pyctcdecode": PYCTCDECODE}, "rows": rows}
    )
    report(rows, facts)


if __name__ == "__main__":
    main()
