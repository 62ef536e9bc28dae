import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest

from duolect.evaluation import Blocks, HypothesisRow, score_run, word_errors
from duolect.evaluation.blocks import FEWEST, find_blocks
from duolect.evaluation.breakdown import NOT_GIVEN, breakdown, fields_worth_showing, labels_of
from duolect.evaluation.intervals import interval_of_counts


def rows(seed: int, count: int = 60) -> list[HypothesisRow]:
    rng, texts = random.Random(0), random.Random(seed)
    made = []
    for n in range(count):
        reference = rng.choices("abcde", k=rng.randint(1, 6))
        heard = [texts.choice("abcde") if texts.random() < 0.3 else word for word in reference]
        made.append(HypothesisRow(id=f"u{n:03}", reference=" ".join(reference), text=" ".join(heard)))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_each_part_has_the_error_rate_of_its_utterances(seed: int) -> None:
    systems = {name: rows(seed + n) for n, name in enumerate("xy")}
    scores = {name: score_run(made, replicas=200) for name, made in systems.items()}
    rng = random.Random(seed)
    values = {f"u{n:03}": rng.choice(["quiet", "loud", None]) for n in range(60)}
    found = breakdown(scores, "place", values, replicas=200)
    assert {part.value for part in found.parts} == {"quiet", "loud", NOT_GIVEN}
    assert sum(part.utterances for part in found.parts) == 60
    for part in found.parts:
        for s, made in enumerate(systems.values()):
            own = [row for row in made if (values[row.id] or NOT_GIVEN) == part.value]
            assert part.errors[s] == word_errors([row.reference or "" for row in own], [row.text for row in own]), seed
            assert part.utterances == len(own)
            counts = score_run(own, replicas=2).counts_N4
            assert part.intervals[s] == interval_of_counts(counts, replicas=200)
    assert [part.wer for part in found.parts] == sorted((part.wer for part in found.parts), reverse=True)


@pytest.mark.parametrize("seed", range(10))
def test_numbers_of_many_values_are_divided_in_quarters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = {f"u{n}": float(v) for n, v in enumerate(rng.normal(10, 5, 101))}
    labels, order = labels_of("level", values, list(values))
    assert len(order) == 4
    numbers = np.array(list(values.values()))
    of_part = [numbers[[label == name for label in labels]] for name in order]
    assert all(a.max() <= b.min() for a, b in itertools.pairwise(of_part)), seed
    assert all(24 <= len(part) <= 27 for part in of_part), seed


def test_many_equal_numbers_make_fewer_parts_and_lose_no_utterance() -> None:
    values: dict[str, float | None] = {f"u{n}": 1.0 for n in range(90)} | {f"v{n}": 2.0 + n for n in range(25)}
    values["w"] = None
    labels, order = labels_of("level", values, list(values))
    assert len(labels) == len(values)
    assert set(labels) == set(order)
    assert order[-1] == NOT_GIVEN
    close = {f"u{n}": 1000.0001 + n / 1e6 for n in range(30)}
    assert len(labels_of("level", close, list(close))[1]) == 4  # names with as many digits as tell them apart


def test_texts_that_are_all_numbers_are_numbers() -> None:
    numbers: dict[str, float | None] = {f"u{n}": round(n * 0.7 - 5, 1) for n in range(60)} | {"none": None}
    texts = {key: "" if number is None else f" {number}" for key, number in numbers.items()}
    assert labels_of("snr", texts, list(texts)) == labels_of("snr", numbers, list(numbers))
    made = rows(1)
    scores = {"x": score_run(made, replicas=100)}
    by_text = breakdown(scores, "snr_db", {row.id: f"{n}e-1" for n, row in enumerate(made)}, replicas=100)
    assert by_text.numeric
    assert [part.utterances for part in by_text.parts] == [15] * 4


@pytest.mark.parametrize("field", ["source_score", "speaker_age", "call-duration", "file_size"])
def test_numbers_of_something_that_has_a_name_are_numbers(field: str) -> None:
    values = {f"u{n}": n / 7 for n in range(60)}
    assert labels_of(field, values, list(values)) == labels_of("snr", values, list(values))
    assert len(set(labels_of(field, values, list(values))[0])) == 4


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        ("source_speaker", [str(1089 + n) for n in range(60)]),
        ("speaker", [str(1089 + n) for n in range(60)]),
        ("Speaker_ID", [str(1089 + n) for n in range(60)]),
        ("parent_id", [str(n) for n in range(60)]),
        ("speakerid", [str(n) for n in range(60)]),
        ("utterance-id", [str(n) for n in range(60)]),
        ("session", list(range(60))),  # a name as much as its text
        ("take", [f"{n:02}" for n in range(60)]),
        ("snr", [*map(str, range(59)), "clean"]),
        ("snr", [*map(str, range(59)), "nan"]),
        ("snr", [*map(str, range(59)), "1_0"]),
        ("rate", [str(n % 20) for n in range(60)]),  # few enough to be shown one by one
    ],
)
def test_names_and_other_texts_are_not_taken_for_numbers(field: str, texts: list[object]) -> None:
    values = {f"u{n}": text for n, text in enumerate(texts)}
    assert labels_of(field, values, list(values))[0] == [str(text) for text in texts]


def test_blocks_are_drawn_within_parts_unless_they_are_the_parts() -> None:
    made = rows(1)
    speakers = {row.id: f"s{n % 6}" for n, row in enumerate(made)}
    scores = {"x": score_run(made, blocks=Blocks("speaker", speakers), replicas=100)}
    rooms = {row.id: "big" if n % 6 < 3 else "small" for n, row in enumerate(made)}
    by_room = breakdown(scores, "room", rooms, replicas=100)
    assert by_room.drawn == "blocks by speaker"
    plain = breakdown({"x": score_run(made, replicas=100)}, "room", rooms, replicas=100)
    assert [p.errors for p in by_room.parts] == [p.errors for p in plain.parts]
    assert by_room.parts[0].intervals != plain.parts[0].intervals
    by_speaker = breakdown(scores, "speaker", speakers, replicas=100)
    assert by_speaker.drawn == "utterances"
    assert all(interval is not None for part in by_speaker.parts for interval in part.intervals)


def test_blocks_are_looked_for_within_each_part() -> None:
    made = rows(1, 120)
    speakers = {row.id: f"s{n % 12}" for n, row in enumerate(made)}
    dialects = {row.id: "rare" if n % 12 < 2 else "common" for n, row in enumerate(made)}
    scores = {"x": score_run(made, blocks=Blocks("speaker", speakers), replicas=100)}

    def within(wanted: str) -> dict[str, tuple[str, int, object]]:
        def blocks(ids: Sequence[str]) -> Blocks | None:
            return find_blocks({key: {"speaker": speakers[key]} for key in ids}, wanted)

        found = breakdown(scores, "dialect", dialects, blocks=blocks, replicas=100)
        assert [part.value for part in found.rough] == ([] if wanted == "auto" else ["rare"])
        return {part.value: (part.drawn, part.units, part.intervals[0]) for part in found.parts}

    rare = score_run([row for row in made if dialects[row.id] == "rare"], replicas=100)
    assert within("auto")["rare"] == ("utterances", 20, rare.interval)
    assert within("auto")["common"][:2] == ("blocks by speaker", FEWEST)
    assert within("speaker")["rare"][:2] == ("blocks by speaker", 2)  # asked for by name
    assert within("speaker")["common"] == within("auto")["common"]


def test_only_fields_that_tell_something_are_chosen() -> None:
    ids = [f"u{n}" for n in range(40)]
    fields = {
        "speaker": {key: f"s{n % 4}" for n, key in enumerate(ids)},
        "voice": {key: f"v{n % 4}" for n, key in enumerate(ids)},  # the same division
        "corpus": dict.fromkeys(ids, "one"),
        "sentence": {key: key for key in ids},
        "nbest": {key: [n % 2] for n, key in enumerate(ids)},
        "noisy": {key: n % 3 == 0 for n, key in enumerate(ids)},
        "accent": dict.fromkeys(ids[:10], "scottish"),
    }
    assert fields_worth_showing(fields, ids) == ["speaker", "noisy", "accent"]
    assert fields_worth_showing(fields, ids, most=1) == ["speaker"]
