"""Blocks are found where the data say who spoke, and only where there are enough of them."""

import numpy as np

from duolect.evaluation import HypothesisRow, score_run
from duolect.evaluation.blocks import FEWEST, find_blocks


def utterances(count: int = 60, **values: int) -> dict[str, dict[str, str]]:
    """Fields of utterances: `speaker=12` gives the field speaker with 12 values in turn."""
    return {f"u{n}": {name: f"{name}{n % many}" for name, many in values.items()} for n in range(count)}


def test_the_widest_dependence_with_enough_blocks_is_taken() -> None:
    def name(**values: int) -> str | None:
        found = find_blocks(utterances(**values))
        return None if found is None else found.name

    assert name(speaker=12) == "speaker"
    assert name(speaker=30, session=12) == "session"
    assert name(speaker=30, session=FEWEST - 1) == "speaker"
    assert name(speaker=FEWEST - 1) is None
    assert name(speaker=60) is None  # each its own
    assert name(microphone=12) is None


def test_a_field_that_some_lack_is_taken_only_when_asked_for() -> None:
    fields = utterances(speaker=12, session=20)
    del fields["u0"]["session"]
    fields["u1"]["session"] = ""
    found, asked = find_blocks(fields), find_blocks(fields, "session")
    assert found is not None
    assert asked is not None
    assert found.name == "speaker"
    assert set(fields) - set(asked.of) == {"u0", "u1"}
    assert find_blocks(fields, "none") is None
    assert find_blocks(fields, "room") is None
    assert find_blocks({}) is None


def test_intervals_are_wider_where_speakers_differ() -> None:
    """Half of the speakers are heard well, half badly: the truth is as unsure as 12 speakers are few."""
    fields = utterances(600, speaker=12)
    rng = np.random.default_rng(0)
    rows = []
    for key, found in fields.items():
        rate = 0.4 if int(found["speaker"].removeprefix("speaker")) % 2 else 0.05
        heard = ["x" if rng.random() < rate else "w" for _ in range(10)]
        rows.append(HypothesisRow(id=key, reference=" ".join("w" * 10), text=" ".join(heard)))
    alone, together = (score_run(rows, "none", blocks=blocks).interval for blocks in (None, find_blocks(fields)))
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 3 * (alone.high - alone.low)
