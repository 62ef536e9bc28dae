"""Several labels a row at once, and rows that begin alike as a tree: the same numbers as step by step."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from duolect.models import LanguageConfig, LanguageModel, LLMConfig, given_labels
from duolect.search.label_trees import label_tree


def test_extend_is_step_without_the_distributions_between(monkeypatch) -> None:
    torch.manual_seed(0)
    llm = LLMConfig(vocabulary=13, width=16, layers=2, heads=2, max_positions=64)
    model = LanguageModel(LanguageConfig(llm=llm, bos_id=1, eos_id=0)).eval()
    monkeypatch.setattr(given_labels, "_NUMBERS", 5 * 13)  # several parts
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


@pytest.mark.parametrize("family", ["qwen2", "gpt2", "gemma"])
def test_branches_are_steps_without_what_they_share(family: str, tmp_path: Path, monkeypatch) -> None:
    """Each row of the tree, alone, label by label; also where rows have labels already, of different number."""
    torch.manual_seed(1)
    sizes = {"vocab_size": 9, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 64}
    special = {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
    AutoConfig.for_model(family, **sizes, **heads, **special).save_pretrained(tmp_path)
    llm = LLMConfig(vocabulary=9, source=str(tmp_path), pretrained=False)
    model = LanguageModel(LanguageConfig(llm=llm, bos_id=1, eos_id=0)).eval()
    monkeypatch.setattr(given_labels, "_NUMBERS", 4 * 9)  # several parts
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
        for seed in range(12):
            rng = random.Random(seed)
            _, state = model.start(None, 3)
            told = [rng.choices(range(2, 9), k=rng.randint(0, 4)) for _ in range(3)]
            if any(told):
                labels_RN = torch.tensor([[*each, *[0] * (4 - len(each))] for each in told])
                state = model.step(state, labels_RN, torch.tensor([len(each) for each in told]))[1]
            wanted = sorted({(rng.randint(0, 2), tuple(rng.choices((2, 3), k=rng.randint(1, 7)))) for _ in range(12)})
            rows, texts = [row for row, _ in wanted], [text for _, text in wanted]
            tree = label_tree(rows, texts, torch.device("cpu"))
            scores_PN, after_WV, other = model.branch(state, tree, torch.tensor(tree.ends))
            totals = scores_PN.sum(1).tolist()
            for piece, parent in enumerate(tree.parents):
                totals[piece] += totals[parent] if parent >= 0 else 0.0
            _, again = model.step(model.select(other, torch.tensor([0, 1, 2])), torch.tensor([[4], [5], [6]]))
            for (row, text), end, after_V in zip(wanted, tree.ends, after_WV, strict=True):
                alone = model.select(state, torch.tensor([row]))
                log_probs_1NV, alone = model.step(alone, torch.tensor([text]))
                expected = sum(float(log_probs_1NV[0, n, c]) for n, c in enumerate(text[1:]))
                assert totals[end] == pytest.approx(expected, abs=1e-4), f"seed {seed}"
                torch.testing.assert_close(after_V, log_probs_1NV[0, -1], atol=1e-5, rtol=1e-4)
                next_11V, _ = model.step(model.select(other, torch.tensor([3 + end])), torch.tensor([[7]]))
                torch.testing.assert_close(next_11V, model.step(alone, torch.tensor([[7]]))[0], atol=1e-5, rtol=1e-4)
            _, before = model.step(state, torch.tensor([[4], [5], [6]]))  # the rows that were there stay as they were
            more = torch.tensor([[8]] * 3)
            torch.testing.assert_close(model.step(again, more)[0], model.step(before, more)[0], atol=1e-5, rtol=1e-4)
