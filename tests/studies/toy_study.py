"""Studies of hypotheses that are made up, so that what runs studies and tells of them can be tested in no time.

Worker processes find them by `stages_of` of this module, which loads no more of the package than they need: most of the
time of a stage of no work is loading PyTorch.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from rich.console import Console

from duolect.errors import TrainingError
from duolect.evaluation import HypothesisRow, RunRecord
from duolect.evaluation.results import write_run
from duolect.storage import write_json
from duolect.studies.stages import Stage
from duolect.studies.study import FACTS, Claim, Entry, Metric, Study

if TYPE_CHECKING:
    from duolect.studies.scales.base import Scale

HYPOTHESES = "hyps.jsonl"
"""As in `duolect.studies.stages.recognition`."""

PUBLISHED = {0.3: "8.10 % (Table 2)", 0.05: "6.94 % (a comment in the recipes (of March), Loquacious)"}


@dataclass(frozen=True, kw_only=True)
class Base(Stage):
    """What all rows are made from."""

    kind: ClassVar[str] = "base"
    number: int = 0

    def settings(self) -> Any:
        return self.number

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        with open(folder / "calls", "a") as handle:
            handle.write("x")


@dataclass(frozen=True, kw_only=True)
class Spoken(Stage):
    """Hypotheses of 60 utterances of 12 speakers, every word wrong at a rate."""

    kind: ClassVar[str] = "spoken"
    rooms: ClassVar[tuple[str, ...]] = ("text",)

    rate: float
    seed: int
    base: Stage
    translated: bool = False
    fail: bool = False
    sleep: float = 0.0
    labels: str = "abcd"

    def uses(self) -> Mapping[str, Stage]:
        return {"system": self.base}

    def settings(self) -> Any:
        return {"rate": self.rate, "seed": self.seed, "fail": self.fail, "labels": self.labels}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        time.sleep(self.sleep)
        if self.fail:
            raise TrainingError(f"{self.name}: the loss is not finite at step 7.")
        words, heard = random.Random("references"), random.Random(self.seed)
        rows = []
        for n in range(60):
            said = [words.choice(self.labels) for _ in range(8)]
            wrong = ["x" if heard.random() < self.rate else word for word in said]
            row = HypothesisRow(id=f"u{n}", reference=" ".join(said), text=" ".join(wrong), duration=2.0)
            rows.append(HypothesisRow(**{**vars(row), "fields": {"speaker": f"s{n % 12}"}}))
        record = RunRecord(
            system=self.name,
            target="translation" if self.translated else "text",
            search={"beam": round(100 * self.rate)},
            device="cpu",
            threads=1,
            region="all of it",
            audio_seconds=120.0,
            wall_seconds=2.0 + self.rate,
            host_memory=2**28,
        )
        write_run(folder / HYPOTHESES, rows, record)


@dataclass(frozen=True, kw_only=True)
class Fact(Stage):
    """A further column."""

    kind: ClassVar[str] = "fact"

    def settings(self) -> Any:
        return {}

    def make(self, folder: Path, inputs: Mapping[str, Path], console: Console) -> None:
        write_json(folder / FACTS, {"KV/s": "131.3"})


def _study(scale: Scale, name: str, metric: Metric, rates: Mapping[str, float], **fields: Any) -> Study:
    base = Base(name="base", number=len(name))
    return Study(
        name=name,
        title=f"Toy: {name}",
        question="Is fewer better?",
        scale=scale.name,
        metric=metric,
        axis="errors wanted",
        entries=[
            Entry(
                name=row,
                value=rate,
                measured=[Fact(name="fact")] if rate == 0.3 else [],
                published=PUBLISHED.get(rate, ""),
                runs={
                    seed: Spoken(
                        name=f"{row}, seed {seed}",
                        rate=rate,
                        seed=10 * seed + number,
                        base=base,
                        translated=metric == "bleu",
                        fail=row == "broken",
                        sleep=60.0 if row == "slow" else 0.0,
                    )
                    for seed in scale.seeds
                },
            )
            for number, (row, rate) in enumerate(rates.items())
        ],
        **fields,
    )


def toy(scale: Scale) -> Study:
    """Three rates, two findings."""
    said = {"text": "Few are better than many.", "source": "a toy"}
    return _study(
        scale,
        "toy",
        "wer",
        {"many": 0.3, "few | of them": 0.1, "fewer": 0.05},
        claims=[
            Claim(**said, better="few | of them", worse="many"),
            Claim(text="Many <b>are</b> better.", source="a jest", better="many", worse="fewer"),
            Claim(text="They are alike.", source="a jest", better="few | of them", worse="many", margin=0.05),
        ],
        panel=("any", "insertions"),
        notes=["A note of the study."],
    )


def toy_translation(scale: Scale) -> Study:
    """BLEU."""
    rates = {"much": 0.05, "little": 0.5}
    return _study(
        scale,
        "toy-translation",
        "bleu",
        rates,
        claims=[Claim(text="Much is better.", source="a toy", better="much", worse="little")],
    )


def toy_broken(scale: Scale) -> Study:
    """One row fails."""
    return _study(scale, "toy-broken", "wer", {"good": 0.1, "broken": 0.2})


def toy_slow(scale: Scale) -> Study:
    """One row takes long."""
    return _study(scale, "toy-slow", "wer", {"quick": 0.1, "slow": 0.2})


def toy_lacking(scale: Scale) -> Study:
    """Needs the LLM."""
    scale.given("llm")
    return toy(scale)


def toy_given(scale: Scale) -> Study:
    """Rows made from the scale's corpus, which may be the user's."""
    entries = [
        Entry(
            name=name,
            runs={s: Spoken(name=f"{name}, seed {s}", rate=rate, seed=s, base=scale.corpus) for s in scale.seeds},
        )
        for name, rate in {"many": 0.3, "few": 0.1}.items()
    ]
    return Study(name="toy-given", title="Toy: given", question="Whose?", scale=scale.name, entries=entries)


TOYS = {
    "toy": toy,
    "toy-translation": toy_translation,
    "toy-broken": toy_broken,
    "toy-slow": toy_slow,
    "toy-lacking": toy_lacking,
    "toy-given": toy_given,
}


def stages_of(names: Sequence[str], scale: str, **given: Any) -> list[Stage]:
    """As `catalogue.stages_of`, which knows the toys too; of those that need no corpus possibly of more seeds."""
    if set(names) <= TOYS.keys() - {"toy-given"}:
        few: Any = SimpleNamespace(name=scale, seeds=tuple(given["seeds"]) or (1, 2, 3), given=given["data"].get)
        return [stage for name in names for stage in TOYS[name](few).stages]
    from duolect.studies import catalogue

    catalogue.STUDIES.update(TOYS)
    return catalogue.stages_of(names, scale, **given)


def install() -> None:
    """Let this process and its workers know the toys."""
    from duolect.studies import catalogue, engine

    catalogue.STUDIES.update(TOYS)
    engine._SOURCE = f"{__name__}:stages_of"


def main(arguments: list[str]) -> None:
    """The command line with the toys."""
    from duolect import cli

    install()
    sys.exit(cli.main(arguments))
