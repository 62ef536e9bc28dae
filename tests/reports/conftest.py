"""A comparison of three made-up systems on eight utterances, small enough to reason about."""

from collections.abc import Callable

import pytest

from duolect.evaluation import HypothesisRow, RunRecord
from duolect.reports import Comparison, SystemResult, TrainingCurve, system_result

REFERENCES = {
    "u1": "four boats set sail",
    "u2": "write the letter right now",
    "u3": "their dog is over there",
    "u4": "eight o'clock",
    "u5": "two too many",
    "u6": "the sun and the sea",
    "u7": "meet me at noon",
    "u8": "buy bread by the shop",
}
HEARD = {
    "CTC greedy": [
        "for boats set sale",
        "right the letter write now",
        "there dog is over there",
        "ate o'clock",
        "too to many",
        "the son and the sea",
        "meat me at noon",
        "buy bread by the the shop",
    ],
    "CTC + LM": [
        "four boats set sail",
        "write the letter right now",
        "their dog is over",
        "eight o'clock",
        "two too many",
        "the sun and the sea",
        "meet me at noon",
        "by bread by the shop",
    ],
    "Speech LLM": [
        "four boats set sail",
        "write the letter right now",
        "their dog is over there",
        "ate o'clock",
        "two too many",
        "the sun and the sea",
        "meet me at noon",
        "buy bread by the shop",
    ],
}
SPEED = {"CTC greedy": 200.0, "CTC + LM": 10.0, "Speech LLM": 20.0}


def make_system(name: str, baseline: SystemResult | None = None, **changes: object) -> SystemResult:
    texts = HEARD[name]
    rows = [
        HypothesisRow(id=key, reference=reference, text=text, duration=1.5)
        for (key, reference), text in zip(REFERENCES.items(), texts, strict=True)
    ]
    settings: dict[str, object] = {
        "system": name,
        "device": "cpu",
        "threads": 2,
        "batch": "16 utterances",
        "beam": 1 if name == "CTC greedy" else 8,
        "region": "samples to text",
        "audio_seconds": 100.0,
        "wall_seconds": 100.0 / SPEED[name],
        "host_memory": 300 << 20,
    }
    record = RunRecord(**(settings | changes))  # ty: ignore[invalid-argument-type]
    score = baseline.score if baseline else None
    return system_result(name, rows, record, baseline=score, normaliser="none", description=f"about {name}")


@pytest.fixture
def make() -> Callable[..., SystemResult]:
    return make_system


@pytest.fixture
def curves() -> list[TrainingCurve]:
    def run(name: str, seconds: float, key: str) -> TrainingCurve:
        records: list[dict[str, object]] = []
        for step in range(10, 110, 10):
            records.append({"step": step, "loss": 5.0 / step, "lr": 0.001, "seconds": seconds * step})
            if step % 50 == 0:
                records.append({"step": step, key: 1.0 / step})
        return TrainingCurve(name=name, records=records)

    return [run("Acoustic model", 1.0, "dev_wer"), run("Speech LLM", 3.0, "dev/wer")]


@pytest.fixture
def comparison(curves: list[TrainingCurve]) -> Comparison:
    base = make_system("CTC greedy")
    return Comparison(
        title="Three systems",
        systems=[base, make_system("CTC + LM", base), make_system("Speech LLM", base)],
        baseline="CTC greedy",
        curves=curves,
        notes=["Scales were tuned on dev."],
        provenance={"command": "duolect demo", "date": "2026-01-01", "seed": 1, "versions": {"duolect": "0.1.0"}},
    )
