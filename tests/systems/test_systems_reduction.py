"""Soft collapse and label pruning in whole systems: off is nothing, on depends on no batch and says what it saved."""

from __future__ import annotations

import dataclasses

import pytest

from duolect.configs import from_json, to_json
from duolect.data import Utterance
from duolect.errors import ConfigError
from duolect.systems import METHODS, Recognition, Scales, SearchConfig, System
from duolect.systems.files import run_record

JOINT = SearchConfig(first_pass="labels", inside=Scales(ctc=1.0, decoder=0.8), beam=4, nbest=4)
SEARCHES = {
    **{name: METHODS[name].search for name in ("ctc-greedy", "ctc-beam", "attention+ctc", "ctc+lm-rescoring")},
    **{name: METHODS[name].search for name in ("ctc+lm-labelwise", "speech-llm+ctc")},
    "all terms inside": dataclasses.replace(JOINT, inside=Scales(ctc=0.7, decoder=1.0, lm=0.4, prior=0.2)),
    "over frames": SearchConfig(
        first_pass="frames", inside=Scales(ctc=1.0, decoder=0.6, lm=0.4, prior=0.2), beam=4, nbest=4, exact_ctc=True
    ),
}
COLLAPSE = {"collapse": 0.3, "collapse_how": "max"}
BOTH = {"keep_labels": 3, "keep_labels_by": "mean", "collapse": 0.2}
CASES = [
    *((name, switches) for name in SEARCHES for switches in (COLLAPSE, BOTH)),
    ("all terms inside", {"keep_labels": 4}),
]


def assert_same(one: Recognition, other: Recognition) -> None:
    assert [r.id for r in one.rows] == [r.id for r in other.rows]
    for a, b in zip(one.rows, other.rows, strict=True):
        assert (a.text, a.flags) == (b.text, b.flags)
        assert a.score == pytest.approx(b.score, abs=1e-4, rel=2e-6)
        assert dict(a.terms) == pytest.approx(dict(b.terms), abs=1e-4, rel=2e-6)


@pytest.mark.parametrize(("name", "switches"), CASES, ids=str)
def test_on_it_depends_on_no_batch(
    name: str, switches: dict[str, object], system: System, corpus: list[Utterance]
) -> None:
    search = dataclasses.replace(SEARCHES[name], **switches)
    searching = system.with_search(search)
    together = searching.recognize(corpus, batch_seconds=1000.0, nbest=True)
    assert not together.skipped
    alone = searching.recognize(corpus[::-1], batch_seconds=0.01)
    alone.rows.reverse()
    assert_same(together, alone)
    for row in together.rows:
        for entry in row.fields["nbest"]:
            assert entry["score"] == pytest.approx(search.score(entry["terms"], entry["labels"]), abs=1e-4)
    kept = switches.get("keep_labels")
    if kept is not None:
        utterances = together.statistics["ctc.labels"] / system.parts[search.ctc].units.size
        assert utterances == len(corpus)
        assert together.statistics["ctc.labels_left"] <= utterances * (int(str(kept)) + 1)
        assert together.statistics["ctc.label_reduction"] > 1.0
        assert all(len(set(row.text)) <= int(str(kept)) for row in together.rows)
    if "collapse" in switches:
        assert together.statistics["ctc.frames"] >= together.statistics["ctc.frames_left"] > 0
        assert together.statistics["ctc.frame_reduction"] >= 1.0


@pytest.mark.parametrize("name", ["ctc-beam", "all terms inside"])
def test_what_removes_nothing_changes_nothing(name: str, system: System, corpus: list[Utterance]) -> None:
    """As many labels as there are, and a threshold that no frame reaches, are the search without them."""
    plain = system.with_search(SEARCHES[name]).recognize(corpus)
    wide = dataclasses.replace(SEARCHES[name], keep_labels=1000, collapse=1.0)
    found = system.with_search(wide).recognize(corpus)
    assert found.statistics["ctc.label_reduction"] == 1.0
    if found.statistics["ctc.frame_reduction"] == 1.0:
        assert_same(plain, found)
    assert not any(key.startswith("ctc.") for key in plain.statistics)


def test_the_collapse_leaves_the_best_path_alone(system: System, corpus: list[Utterance]) -> None:
    plain = system.with_method("ctc-greedy").recognize(corpus)
    merged = system.with_search(SearchConfig(collapse=0.3)).recognize(corpus)
    assert [r.text for r in plain.rows] == [r.text for r in merged.rows]
    assert merged.statistics["ctc.frame_reduction"] > 1.0


def test_a_run_says_what_was_reduced(system: System, corpus: list[Utterance]) -> None:
    search = dataclasses.replace(JOINT, keep_labels=4, collapse=0.3, candidates=3)
    searching = system.with_search(search)
    record = run_record(searching, searching.recognize(corpus))
    assert record.pruning == (
        "all labels a frame, 3 candidates for CTC, 4 labels an utterance, by the max of CTC,"
        " frames collapsed at 0.3, mean"
    )
    assert record.statistics["ctc.frame_reduction"] > 1.0
    assert record.search["keep_labels"] == 4
    assert from_json(SearchConfig, to_json(search), "search") == search


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"collapse": 1.5}, "collapse must be from 0 to 1"),
        ({"collapse": -0.1}, "collapse must be"),
        ({"collapse": float("nan")}, "collapse must be"),
        ({"collapse": 0.5, "inside": Scales(decoder=1.0)}, "collapse is for searches that ask CTC"),
        ({"keep_labels": 0}, "keep_labels"),
        ({"keep_labels": 5, "inside": Scales(decoder=1.0), "after": Scales(ctc=1.0)}, "keep_labels asks CTC"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        dataclasses.replace(JOINT, **fields)
