"""What run records say of cost: order and sums of stages, rates, ratios to a baseline, runs pooled."""

from dataclasses import replace

import pytest

from duolect.errors import ScoringError
from duolect.evaluation import RunRecord
from duolect.evaluation.cost import (
    Asked,
    asked,
    by_part,
    efficiency,
    ordered_stages,
    pooled_timing,
    tokens_per_second,
    total_flops,
)

RUN = RunRecord(
    system="cross",
    units="u",
    device="gpu",
    threads=1,
    region="features to text",
    audio_seconds=100.0,
    wall_seconds=4.0,
    device_memory=2_000,
    parameters={"acoustic": 98_800_000},
    flops={"encoder.acoustic": 3e9, "search/decoder": 1e9},
    statistics={
        "output.labels": 400.0,
        "decoder.forwards": 50.0,
        "decoder.rows": 500.0,
        "decoder.labels": 450.0,
        "ctc.frames": 9.0,
    },
)


def test_stages_stand_in_the_order_of_an_utterance_and_sum_up_by_part() -> None:
    stages = {
        "other": 1.0,
        "rescoring/lm": 2.0,
        "search/ctc": 4.0,
        "search": 8.0,
        "text": 16.0,
        "encoder.speech_llm": 32.0,
        "encoder.acoustic": 64.0,
        "features": 128.0,
        "reading": 256.0,
        "ctc.acoustic": 512.0,
        "adapter": 1024.0,
        "search/speech_llm": 2048.0,
        "search/decoder": 4096.0,
        "rescoring": 8192.0,
    }
    assert list(ordered_stages(stages)) == [
        "reading",
        "features",
        "encoder.acoustic",
        "encoder.speech_llm",
        "adapter",
        "ctc.acoustic",
        "search",
        "search/ctc",
        "search/decoder",
        "search/speech_llm",
        "text",
        "rescoring",
        "rescoring/lm",
        "other",
    ]
    assert by_part(stages) == {
        "files": 256,
        "features": 128,
        "encoder": 32 + 64 + 1024,
        "CTC": 512 + 4,
        "search": 8 + 16 + 8192 + 1,
        "decoder": 4096,
        "LLM": 2048 + 2,
    }


def test_rates_are_per_second_of_audio_or_of_work() -> None:
    assert asked(RUN) == {"decoder": Asked(forwards=0.5, rows=5.0, labels=4.5)}
    assert asked(replace(RUN, audio_seconds=0.0)) == {}
    assert tokens_per_second(RUN) == 100
    assert tokens_per_second(replace(RUN, statistics={})) is None
    assert total_flops(RUN) == 4e9
    assert total_flops(replace(RUN, flops={})) is None


def test_ratios_to_a_baseline() -> None:
    """Decoder-prepend against cross-attention: 0.96 of the tokens per second, 1.59 times the memory."""
    prepend = replace(
        RUN,
        wall_seconds=4.0 / 0.96,
        device_memory=3_180,
        parameters={"acoustic": 92_500_000},
        flops={"encoder.acoustic": 3e9, "search/decoder": 3e9},
    )
    found = efficiency(prepend, RUN)
    assert found.tokens == pytest.approx(0.96)
    assert found.rtfx == pytest.approx(0.96)
    assert found.memory == pytest.approx(1.59)
    assert found.parameters == pytest.approx(92.5 / 98.8)
    assert found.flops == pytest.approx(1.5)
    assert efficiency(RUN, RUN).tokens == 1


def test_what_cannot_be_compared_has_no_ratio() -> None:
    assert efficiency(replace(RUN, device="cpu"), RUN).rtfx is None
    assert efficiency(replace(RUN, region="files to text"), RUN).tokens is None
    other_units = efficiency(replace(RUN, units="v"), RUN)
    assert (other_units.tokens, other_units.rtfx) == (None, 1)
    assert efficiency(replace(RUN, device_memory=None, host_memory=5), RUN).memory is None
    assert efficiency(replace(RUN, flops={}, parameters={}), RUN).flops is None
    assert efficiency(replace(RUN, wall_seconds=0.0), RUN).rtfx is None


def test_runs_of_several_sets_are_pooled() -> None:
    long = replace(RUN, audio_seconds=900.0, wall_seconds=6.0)
    assert pooled_timing([RUN, long]).rtfx == 100
    with pytest.raises(ScoringError, match="gpu and cpu cannot be pooled"):
        pooled_timing([RUN, replace(RUN, device="cpu")])
    with pytest.raises(ScoringError, match="cannot be pooled"):
        pooled_timing([RUN, replace(RUN, region="else")])
    with pytest.raises(ScoringError, match="with 7 and 8 threads cannot be pooled"):
        pooled_timing([replace(RUN, threads=7), replace(RUN, threads=8)])
    with pytest.raises(ScoringError, match="no run"):
        pooled_timing([])
