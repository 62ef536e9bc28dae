"""MAPSSWE against a segmentation word by word, an example worked by hand, and a simulation of equal systems."""

import math
import random
import statistics

import numpy as np
import pytest

from duolect.errors import ScoringError
from duolect.evaluation import align
from duolect.evaluation.intervals import randomisation_p_value
from duolect.evaluation.mapsswe import error_places, mapsswe, segment_differences


def noisy(words: list[str], rng: random.Random, rate: float) -> list[str]:
    heard = []
    for word in words:
        kind = rng.random()
        if kind < rate / 3:
            continue
        heard.append("wrong" if kind < 2 * rate / 3 else word)
        if 2 * rate / 3 <= kind < rate:
            heard += ["more"] * rng.randint(1, 2)
    return heard


def slowly(references: list[str], one: list[str], two: list[str], buffer_words: int) -> list[int]:
    """Differences of the segments, found by walking over words and counting those that both have right."""

    def walk(reference: str, hypothesis: str) -> tuple[list[int], list[int]]:
        inserted, wrong = [0], []
        for said, heard in align(reference, hypothesis):
            if said is None:
                inserted[-1] += 1
            else:
                wrong.append(int(said != heard))
                inserted.append(0)
        return inserted, wrong

    segments: list[int] = []
    for reference, a, b in zip(references, one, two, strict=True):
        (inserted_a, wrong_a), (inserted_b, wrong_b) = walk(reference, a), walk(reference, b)
        right, open_segment = math.inf, False
        for place in range(len(inserted_a)):
            events = [(inserted_a[place], inserted_b[place], True)]
            if place < len(wrong_a):
                events.append((wrong_a[place], wrong_b[place], False))
            for errors_a, errors_b, gap in events:
                if errors_a or errors_b:
                    if not open_segment or right >= buffer_words:
                        segments.append(0)
                    segments[-1] += errors_b - errors_a
                    open_segment, right = True, 0
                elif not gap:
                    right += 1
    return segments


def test_segments_are_those_of_a_walk_over_the_words() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        references = [[str(rng.randrange(30)) for _ in range(rng.randrange(25))] for _ in range(rng.randrange(1, 12))]
        texts = [" ".join(words) for words in references]
        one, two = ([" ".join(noisy(words, rng, 0.25)) for words in references] for _ in range(2))
        buffer_words = rng.choice([1, 2, 3])
        found = segment_differences(error_places(texts, one), error_places(texts, two), buffer_words=buffer_words)
        assert found.tolist() == slowly(texts, one, two, buffer_words), f"seed {seed}"


def test_an_example_by_hand() -> None:
    references = ["a b c d e f g h", "i j k"]
    first = ["a x c d e f g h", "i j k l"]  # one error in "b", one after "k"
    second = ["a b c d e y z h", "i j k"]  # one segment with two errors in "f g"
    result = mapsswe(error_places(references, first), error_places(references, second))
    differences = [-1, 2, -1]
    statistic = statistics.mean(differences) * math.sqrt(3) / statistics.stdev(differences)
    assert result.segments == 3
    assert result.statistic == pytest.approx(statistic)
    assert result.p_value == pytest.approx(math.erfc(abs(statistic) / math.sqrt(2)))


def test_swapping_mirrors_and_equal_systems_do_not_differ() -> None:
    rng = random.Random(1)
    references = [[str(rng.randrange(50)) for _ in range(15)] for _ in range(40)]
    texts = [" ".join(words) for words in references]
    one, two = ([" ".join(noisy(words, rng, rate)) for words in references] for rate in (0.1, 0.2))
    there, back = (mapsswe(error_places(texts, a), error_places(texts, b)) for a, b in ((one, two), (two, one)))
    assert there.p_value == back.p_value < 0.01
    assert there.statistic == -back.statistic > 0
    same = mapsswe(error_places(texts, one), error_places(texts, one))
    assert (same.p_value, same.mean) == (1.0, 0.0)
    assert mapsswe(error_places(texts, texts), error_places(texts, texts)).segments == 0


def test_a_difference_that_is_the_same_in_all_segments() -> None:
    references = [f"a b c d {n}" for n in range(12)]
    worse = [text.replace("b", "x") for text in references]
    for count in range(1, 13):
        texts = error_places(references, references)
        heard = error_places(references, worse[:count] + references[count:])
        there, back = mapsswe(texts, heard), mapsswe(heard, texts)
        assert there.p_value == back.p_value == 2.0 ** (1 - count)
        assert there.p_value == pytest.approx(randomisation_p_value(np.ones(count, dtype=int)))
        assert (there.segments, there.mean, back.mean) == (count, 1.0, -1.0)
        if count > 1:
            assert (there.statistic, back.statistic) == (math.inf, -math.inf)
        else:
            assert math.isnan(there.statistic), "one segment has no spread"
    same = mapsswe(heard, heard)
    assert same.p_value == 1.0
    assert math.isnan(same.statistic)


def test_equal_systems_are_told_apart_one_time_in_twenty() -> None:
    found = []
    for seed in range(150):
        rng = random.Random(seed)
        references = [[str(rng.randrange(50)) for _ in range(12)] for _ in range(40)]
        texts = [" ".join(words) for words in references]
        one, two = ([" ".join(noisy(words, rng, 0.15)) for words in references] for _ in range(2))
        found.append(mapsswe(error_places(texts, one), error_places(texts, two)).p_value < 0.05)
    assert np.mean(found) == pytest.approx(0.05, abs=0.045)


def test_other_references_are_refused() -> None:
    with pytest.raises(ScoringError, match="same utterances"):
        mapsswe(error_places(["a b", "c"], ["a", "c"]), error_places(["a", "b c"], ["a", "c"]))
    with pytest.raises(ScoringError, match="cannot be paired"):
        error_places(["a"], [])
