"""Joint CTC/attention search beside ESPnet's `BatchBeamSearch`: `python -m bench.joint`.

Both run in ESPnet's environment, on the same torch, over the same ESPnet Transformer decoder and the same posteriors.
ESPnet's search is measured with its decoder as it is, which projects the keys and values of the encoder states and of
all past labels in every step, and with the cached one that ours uses (bench/peers/cached_decoder.py): the second line
compares the searches alone.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import torch

from bench import common
from bench.ctc import DisagreementError
from bench.posteriors import made_posteriors

UTTERANCES, VOCABULARY, LABEL_EVERY = 16, 1000, 8
FRAMES = range(100, 200, 6)
DECODER = {"width": 256, "layers": 6, "heads": 4, "inner": 2048}
BEAM, CTC_WEIGHT, PRE_BEAM_RATIO = 10, 0.3, 1.5
SCRIPT = Path(__file__).parent / "peers" / "espnet_joint.py"


def made_data() -> tuple[dict[str, Any], dict[str, Any]]:
    """Posteriors (B, T, W) of utterances of 100 to 190 frames, their labels and the frames of these; and their facts.

    Label 0 never occurs (ESPnet's blank), nor does V − 1 (EOS), whose posterior is e⁻⁸⁰.
    """
    parts = [
        made_posteriors(1, frames, VOCABULARY - 1, frames // LABEL_EVERY, temperature=1.5, seed=b)
        for b, frames in enumerate(FRAMES[:UTTERANCES])
    ]
    lengths_B = torch.cat([each.lengths_B for each in parts])
    log_probs_BTW = torch.zeros(UTTERANCES, int(lengths_B.max()), VOCABULARY + 1)
    for b, each in enumerate(parts):
        log_probs_1TX = each.log_probs_BTW
        eos_1T1 = torch.full_like(log_probs_1TX[..., :1], -80.0)
        log_probs_BTW[b, : FRAMES[b]] = torch.cat([log_probs_1TX[..., :-1], eos_1T1, log_probs_1TX[..., -1:]], -1)[0]
    facts = [each.facts() for each in parts]
    mean = {name: sum(each[name] for each in facts) / len(facts) for name in ("entropy_nats", "blank")}
    data = {
        "log_probs_BTW": log_probs_BTW,
        "lengths_B": lengths_B,
        "labels": [each.labels_BN[0].tolist() for each in parts],
        "places": [each.places_BN[0].tolist() for each in parts],
    }
    return data, mean


def check(peer: common.Peer, ours: dict[str, Any], theirs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Are both sides right? DisagreementError when not.

    * The CTC prefix scores of both, for all labels along ESPnet's hypotheses, differ by at most 1e-4 + 1e-5·|score|;
    * the score that each side gave its hypotheses is the one computed from scratch, within 1e-3;
    * our best hypotheses are on average not worse than ESPnet's.
    """
    espnet = theirs["as it is"]
    facts: dict[str, Any] = {"ctc": peer.call(do="compare_ctc", labels=espnet["labels"])}
    if facts["ctc"]["worst_in_tolerances"] > 1:
        raise DisagreementError(f"CTC prefix scores: {facts['ctc']}.")
    sides = {"duolect": ours, **{f"espnet, {name}": each for name, each in theirs.items()}}
    for name, side in sides.items():
        scratch = peer.call(do="rescore", labels=side["labels"])["scores"]
        facts[name] = max(abs(a - b) for a, b in zip(scratch, side["scores"], strict=True))
        if facts[name] > 1e-3:
            raise DisagreementError(f"{name}: scores differ from those computed from scratch by {facts[name]:.3g}.")
    facts["same_best"] = sum(a == b for a, b in zip(ours["labels"], espnet["labels"], strict=True))
    gains = [a - b for a, b in zip(ours["scores"], espnet["scores"], strict=True)]
    facts["mean_gain"], facts["least_gain"] = sum(gains) / len(gains), min(gains)
    if facts["mean_gain"] < -1e-4:
        raise DisagreementError(f"our hypotheses are worse by {-facts['mean_gain']:.3g} on average.")
    return facts


def measure(turns: int, folder: Path) -> dict[str, Any]:
    """Checks, then times."""
    data, facts = made_data()
    path = folder / "joint.pt"
    torch.save(data, path)
    ours_site = Path(sysconfig.get_paths()["purelib"])
    site = common.PEERS / "espnet" / ours_site.relative_to(sys.prefix)
    with common.Peer("espnet", SCRIPT, path=(site, common.ROOT / "src", ours_site)) as peer:
        prepared = peer.call(do="prepare", path=str(path), threads=1, ctc=CTC_WEIGHT, **DECODER)

        def ours() -> dict[str, Any]:
            return peer.call(do="duolect", beam=BEAM, candidates=int(PRE_BEAM_RATIO * BEAM))

        def espnet(cached: bool) -> dict[str, Any]:
            return peer.call(do="espnet", beam=BEAM, cached=cached)

        common.progress("checks")
        mine, cached = ours(), espnet(True)
        agreement = check(peer, mine, {"as it is": espnet(False), "cached decoder": cached})
        common.progress("times")
        times = common.interleave(
            {
                "duolect": lambda: ours()["seconds"],
                "espnet": lambda: espnet(False)["seconds"],
                "espnet, cached decoder": lambda: espnet(True)["seconds"],
            },
            turns,
            warm_ups=0,  # the checks were one
        )
    return {
        "posteriors": facts,
        "decoder": {**DECODER, **prepared},
        "labels": [len(each) for each in data["labels"]],
        "agreement": agreement,
        "decoder_share": {
            name: each["decoder_seconds"] / each["seconds"]
            for name, each in (("duolect", mine), ("espnet, cached decoder", cached))
        },
        "times": {name: each.as_json() for name, each in times.items()},
        "faster": {name: times["duolect"].faster_than(each) for name, each in times.items() if name != "duolect"},
    }


def report(results: dict[str, Any], facts: dict[str, Any]) -> None:
    """The section of docs/benchmarks.md."""
    times, faster, checks = results["times"], results["faster"], results["agreement"]
    rows = []
    for name, told in (
        ("duolect", "ours, all utterances in one batch"),
        ("espnet", "ESPnet, its decoder as it is"),
        ("espnet, cached decoder", "ESPnet's search, the decoder cached as ours"),
    ):
        share = f"{results['decoder_share'][name]:.0%}" if name in results["decoder_share"] else ""
        ratio = f"**{common.ratio_text(faster[name])}**" if name in faster else ""
        rows.append([told, f"{times[name]['median_s']:.2f}", share, ratio])
    decoder = results["decoder"]
    posteriors = results["posteriors"]
    setting = f"""
        {UTTERANCES} utterances of {FRAMES[0]} to {FRAMES[UTTERANCES - 1]} frames, {VOCABULARY} labels, a label every
        {LABEL_EVERY} frames; made posteriors (entropy of a frame {posteriors["entropy_nats"]:.2f} nats, blank
        {posteriors["blank"]:.0%}). One ESPnet Transformer decoder for both ({decoder["layers"]} layers of width
        {decoder["width"]}, {decoder["parameters"] / 1e6:.1f} M parameters, random but for a cross-attention that finds
        the next label). Beam {BEAM}, CTC weight {CTC_WEIGHT}, {int(PRE_BEAM_RATIO * BEAM)} candidates a hypothesis
        (ESPnet's default ratio); ours stops exactly, ESPnet's by its end detection, neither has a length limit. Time
        for all utterances, from encoder states and posteriors to the best hypotheses: medians of
        {len(times["duolect"]["seconds"])} turns in which the sides alternate."""
    key = f"""
        Checked first: CTC prefix scores of both, {checks["ctc"]["scores"]} of them along ESPnet's hypotheses, differ by
        at most {checks["ctc"]["largest_difference"]:.1e} (at most {checks["ctc"]["worst_in_tolerances"]:.2f} of
        1e-4 + 1e-5·|score|); scores of ESPnet's hypotheses computed by us from scratch by at most
        {checks["espnet, as it is"]:.1e}, ours by {checks["duolect"]:.1e}; the same best hypothesis in
        {checks["same_best"]}/{UTTERANCES}; ours scores {checks["mean_gain"]:+.4f} nats on average, at worst
        {checks["least_gain"]:+.4f}."""
    table = common.markdown_table(["Joint search", "s", "of it in the decoder", "ours is faster by"], rows)
    body = "\n".join([common.paragraph(setting), table, common.paragraph(key)])
    common.write_section("joint", "Joint CTC/attention search", body, command="python -m bench.joint", facts=facts)


def main() -> None:
    """Measure, write bench/results/joint.json and the section of docs/benchmarks.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3, help="timed turns of every side")
    arguments = parser.parse_args()
    with common.threads(1), tempfile.TemporaryDirectory() as folder:
        facts = {**common.machine(), "espnet": common.peer_version("espnet", "espnet")}
        results = measure(arguments.turns, Path(folder))
    common.write_results("joint", {"facts": facts, **results})
    report(results, facts)


if __name__ == "__main__":
    main()
