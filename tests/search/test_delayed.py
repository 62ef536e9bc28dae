"""Delayed fusion: exact with an unlimited beam, the same terms for every schedule, and equal to rescoring."""

from __future__ import annotations

import pytest
from test_search_exactness import EOS, Case, run_all

from duolect.search import (
    Delayed,
    frame_synchronous,
)

INTERVALS = (1, 2, 5, "shortest", "never")


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("delay_prior", [True, False])
def test_shared_units_find_the_best_sequence(interval, delay_prior) -> None:
    def search(case: Case):
        prior = case.weighted("prior")
        return frame_synchronous(
            case.log_probs,
            case.lengths,
            beam=case.unlimited,
            nbest=5,
            eos_id=EOS,
            ctc_weight=case.weights["ctc"],
            prior=None if delay_prior else prior,
            delayed=Delayed(lm=case.weighted("lm"), interval=interval, prior=prior if delay_prior else None),
        )

    run_all(search, lambda case, b: case.reference(b, ("ctc", "lm", "prior"), 6), depth=5)
