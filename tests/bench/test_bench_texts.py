"""Both sides of the benchmark score the same texts alike, and one of them computes fewer labels."""

from __future__ import annotations

import torch

from bench.posteriors import made_posteriors
from bench.texts import VOCABULARY, language_model, measure, report


def test_both_sides_give_the_same_scores() -> None:
    made = made_posteriors(2, 30, VOCABULARY, 5)
    with torch.no_grad():
        results = measure(language_model(16, 1, 2), made, repetitions=1)
    assert [each["task"] for each in results] == [
        "rescoring of 32",
        "delayed, every 20 frames",
        "delayed, every 5 frames",
    ]
    for each in results:
        assert each["largest_score_difference"] < 1e-3
        assert 0 < each["labels"]["shared"] < each["labels"]["alone"]
    assert report(results).count("\n") == 5
