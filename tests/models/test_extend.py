"""Several labels a row at once without a distribution after each: the same numbers as step by step."""

from __future__ import annotations

import torch

from duolect.models import LanguageConfig, LanguageModel, LLMConfig, causal


def test_extend_is_step_without_the_distributions_between(monkeypatch) -> None:
    torch.manual_seed(0)
    llm = LLMConfig(vocabulary=13, width=16, layers=2, heads=2, max_positions=64)
    model = LanguageModel(LanguageConfig(llm=llm, bos_id=1, eos_id=0)).eval()
    monkeypatch.setattr(causal, "_NUMBERS", 5 * 13)  # several parts
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            _, state = model.start(None, 6)
            for _ in range(3):
                labels_RN = torch.randint(2, 13, (6, 4), generator=generator)
                counts_R = torch.randint(0, 5, (6,), generator=generator) * (seed % 5 > 0)
                if seed % 5 == 1:
                    counts_R = torch.full((6,), 4)
                inner_RN, last_PV, other = model.extend(state, labels_RN, counts_R)
                log_probs_RNV, state = model.step(state, labels_RN, counts_R)
                expected_RN = torch.zeros(6, 4)
                for r, count in enumerate(counts_R.tolist()):
                    for n in range(1, count):
                        expected_RN[r, n] = log_probs_RNV[r, n - 1, labels_RN[r, n]]
                torch.testing.assert_close(inner_RN, expected_RN, msg=f"seed {seed}")
                grown_P = counts_R.nonzero()[:, 0]
                torch.testing.assert_close(last_PV, log_probs_RNV[grown_P, counts_R[grown_P] - 1])
                again = torch.randint(2, 13, (6, 1), generator=generator)
                torch.testing.assert_close(model.step(other, again)[0], model.step(state, again)[0])
