"""A prefix kept once per utterance: equal to plain attention, as small as promised, and training left alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from duolect.errors import ModelError
from duolect.models import LanguageConfig, LanguageModel, LLMConfig, key_value_bytes, load_model, save_model
from duolect.models.causal import CausalLLM
from duolect.models.llm import build_llm
from duolect.nn.rows import RowLayout
from duolect.nn.shared_prefix import OwnLabels, SharedPrefix, attend

ARCHITECTURES = ["qwen2", "qwen3", "llama"]
VOCABULARY = 13


def tiny(architecture: str, kv_heads: int = 2, dtype: str = "float32") -> CausalLLM:
    """Four query heads on two of keys and values, weights large enough for attention to matter."""
    torch.manual_seed(3)
    llm = build_llm(
        LLMConfig(
            vocabulary=VOCABULARY,
            architecture=architecture,
            width=32,
            layers=2,
            heads=4,
            kv_heads=kv_heads,
            dtype=dtype,
        )  # ty: ignore
    )
    with torch.no_grad():
        for parameter in llm.parameters():
            parameter += 0.15 * torch.randn_like(parameter)
    return CausalLLM(llm, VOCABULARY).eval()


def recomputed(model: CausalLLM, prefix_TE: Tensor, labels: list[int]) -> Tensor:
    """(V,) log p after the labels, by plain attention over the whole sequence."""
    said_NE = model.embed(torch.tensor(labels, dtype=torch.long))
    return model.log_probs(model.hidden(torch.cat((prefix_TE, said_NE))[None])[0, -1])


def test_attention_to_prefix_and_labels_is_one_softmax_over_both() -> None:
    for seed in range(200):
        chance = random.Random(seed)
        torch.manual_seed(seed)
        heads, group, width, labels = (chance.randint(1, 3) for _ in range(4))
        utterances, rows, positions, seen = (chance.randint(1, 4), chance.randint(1, 7), chance.randint(1, 6), 5)
        lengths_B = torch.tensor([chance.randint(1, positions) for _ in range(utterances)])
        keys_BHTd = torch.randn(utterances, heads, positions, width)
        values_BHTd = torch.randn(utterances, heads, positions, width + 1)
        keys_BHTd[0, :, lengths_B[0] :] = torch.nan  # rubbish in the padding
        values_BHTd[0, :, lengths_B[0] :] = torch.nan
        prefix = SharedPrefix.of([(keys_BHTd, values_BHTd)], lengths_B)
        utterance_R = torch.tensor([chance.randrange(utterances) for _ in range(rows)])
        mask_RNX = torch.rand(rows, labels, seen) < 0.6
        own = OwnLabels(
            torch.randn(heads, rows, seen, width),
            torch.randn(heads, rows, seen, width + 1),
            torch.where(mask_RNX, 0.0, -1e30),
        )
        query_RQNd = torch.randn(rows, heads * group, labels, width)
        layout = RowLayout.of(utterance_R, utterances)
        out_RNQd = attend(query_RQNd, prefix.layers[0], prefix.bias_BT, own, layout, 0.7)
        for r in range(rows):
            b = int(utterance_R[r])
            for q in range(heads * group):
                h, length = q // group, int(lengths_B[b])
                keys = torch.cat((keys_BHTd[b, h, :length], own.keys[h, r])).double()
                values = torch.cat((values_BHTd[b, h, :length], own.values[h, r])).double()
                for n in range(labels):
                    scores = 0.7 * keys @ query_RQNd[r, q, n].double()
                    scores[length:].masked_fill_(~mask_RNX[r, n], -torch.inf)
                    expected = scores.softmax(0) @ values
                    assert torch.allclose(out_RNQd[r, n, q].double(), expected, atol=1e-5), f"seed {seed}"


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_beams_over_prefixes_of_different_length_equal_plain_attention(architecture: str) -> None:
    model, chance = tiny(architecture), random.Random(architecture)
    with torch.inference_mode():
        for seed in range(4):
            torch.manual_seed(seed)
            lengths = [chance.randint(1, 30) for _ in range(4)]
            embedded_BSE = torch.randn(4, max(lengths), 32)
            _, state = model.prefill(embedded_BSE, torch.tensor(lengths))
            rows: list[tuple[int, list[int]]] = [(b, []) for b in range(4)]
            older = []
            for _ in range(6):
                chosen = [chance.randrange(len(rows)) for _ in range(chance.randint(1, 9))]
                state = model.select(state, torch.tensor(chosen))
                rows = [(rows[r][0], list(rows[r][1])) for r in chosen]
                labels_RN = torch.randint(0, VOCABULARY, (len(rows), chance.randint(1, 3)))
                counts = [chance.randint(0, labels_RN.shape[1]) for _ in rows]
                every = chance.random() < 0.4
                if every:
                    counts = [labels_RN.shape[1]] * len(rows)
                log_probs_RNV, state = model.step(state, labels_RN, None if every else torch.tensor(counts))
                for r, count in enumerate(counts):
                    rows[r][1].extend(labels_RN[r, :count].tolist())
                    if count:
                        utterance, said = rows[r]
                        expected_V = recomputed(model, embedded_BSE[utterance, : lengths[utterance]], said)
                        difference = float((log_probs_RNV[r, count - 1] - expected_V).abs().max())
                        assert difference < 2e-5, f"{architecture}, seed {seed}: {difference}"
                older.append((state, [(b, list(said)) for b, said in rows]))
            for state, rows in older[::2]:  # an old state goes on as if nothing had happened since
                log_probs_R1V, _ = model.step(state, torch.full((len(rows), 1), 5), None)
                for (b, said), log_probs_V in zip(rows, log_probs_R1V[:, 0], strict=True):
                    expected_V = recomputed(model, embedded_BSE[b, : lengths[b]], [*said, 5])
                    torch.testing.assert_close(log_probs_V, expected_V, atol=2e-5, rtol=0)


@pytest.mark.parametrize("kv_heads", [1, 4])
def test_a_row_is_the_same_alone_and_in_a_batch(kv_heads: int) -> None:
    model = tiny("qwen2", kv_heads)
    lengths_B = torch.tensor([9, 20, 3])
    with torch.inference_mode():
        embedded_BSE, labels_RN = torch.randn(3, 20, 32), torch.randint(0, VOCABULARY, (9, 4))
        _, state = model.prefill(embedded_BSE, lengths_B)
        together_RNV, _ = model.step(model.select(state, torch.arange(3).repeat(3)), labels_RN, None)
        for r in range(9):
            length = int(lengths_B[r % 3])
            _, alone = model.prefill(embedded_BSE[r % 3 : r % 3 + 1, :length], lengths_B[r % 3 : r % 3 + 1])
            alone_1NV, _ = model.step(alone, labels_RN[r : r + 1], None)
            torch.testing.assert_close(alone_1NV[0], together_RNV[r], atol=2e-5, rtol=0)


def test_bfloat16_is_as_near_to_float32_as_plain_attention() -> None:
    exact = tiny("qwen2")
    model = tiny("qwen2", dtype="bfloat16")
    exact.load_state_dict(model.state_dict())  # the same rounded weights
    lengths_B = torch.tensor([40, 17])
    embedded_BSE = torch.randn(2, 40, 32).bfloat16()
    labels_RN = torch.randint(0, VOCABULARY, (6, 5))
    utterances = [0, 0, 1, 1, 1, 0]
    with torch.inference_mode():
        _, state = model.prefill(embedded_BSE, lengths_B)
        log_probs_RNV, _ = model.step(model.select(state, torch.tensor(utterances)), labels_RN, None)
        ours, plain = [], []
        for r, b in enumerate(utterances):
            said = labels_RN[r].tolist()
            expected_V = recomputed(exact, embedded_BSE[b, : lengths_B[b]].float(), said)
            ours.append((log_probs_RNV[r, -1] - expected_V).abs().max())
            plain.append((recomputed(model, embedded_BSE[b, : lengths_B[b]], said) - expected_V).abs().max())
    assert torch.stack(ours).mean() < 2 * torch.stack(plain).mean()
    assert torch.stack(ours).max() < 0.3


def test_the_prefix_is_held_once_and_leaves_with_its_utterance() -> None:
    model, beam, length = tiny("llama"), 8, 50
    position = 2 * 2 * 2 * 8 * 4  # bytes: layers, keys and values, heads, width, float32
    with torch.inference_mode():
        _, state = model.prefill(torch.randn(4, length, 32), torch.tensor([length, length - 20, length, 10]))
        start = state
        state = model.select(state, torch.arange(4).repeat_interleave(beam))
        assert state.prefix is start.prefix  # repeated rows, nothing copied
        for _ in range(20):
            _, state = model.step(state, torch.randint(0, VOCABULARY, (4 * beam, 1)), None)
            assert state.prefix is start.prefix
            order_R = torch.arange(4).repeat_interleave(beam) * beam + torch.randint(0, beam, (4 * beam,))
            state = model.select(state, order_R)
        held, copied = key_value_bytes(state), 4 * beam * (length + 20) * position
        assert held < copied / 3
        assert held >= (4 * length + int(state.labels.slots_RL.max())) * position
        state = model.select(state, torch.arange(beam, 2 * beam))  # utterance 1 goes on alone
        assert [tuple(x.shape) for x in state.prefix.layers[0]] == [(2, 1, length - 20, 8)] * 2
        assert state.prefix.bias_BT is None
        for _ in range(8):
            _, state = model.step(state, torch.randint(0, VOCABULARY, (beam, 1)), None)
        assert key_value_bytes(state) < held / 2
        state = model.select(state, torch.zeros(0, dtype=torch.long))
        assert len(state) == 0


def test_a_language_model_keeps_bos_once_for_all_rows(models: Any) -> None:
    with torch.inference_mode():
        _, state = models["language"].start(None, 12)
        assert state.prefix.layers[0][0].shape[1:3] == (1, 1)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_and_generate_are_those_of_the_model_itself(architecture: str) -> None:
    from transformers import AutoModelForCausalLM

    ours = tiny(architecture)
    config: Any = type(ours.model.config).from_dict(ours.model.config.to_dict())
    assert "attn_implementation" not in str(ours.model.config.to_dict())
    plain: Any = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    plain.load_state_dict(ours.model.state_dict())
    embedded_BSE = torch.randn(3, 12, 32)
    _, state = ours.prefill(embedded_BSE, torch.tensor([12, 5, 7]))  # a search has been on
    ours.step(state, torch.full((3, 1), 2), None)
    ours.hidden(embedded_BSE).square().sum().backward()
    plain.model(inputs_embeds=embedded_BSE, use_cache=False).last_hidden_state.square().sum().backward()
    for (name, mine), theirs in zip(ours.model.named_parameters(), plain.parameters(), strict=True):
        assert (mine.grad is None) == (theirs.grad is None), name
        assert mine.grad is None or torch.equal(mine.grad, theirs.grad), name
    mask = torch.ones(3, 12, dtype=torch.long)
    mask[1, :7] = 0  # padded on the left
    said = [
        model.generate(
            inputs_embeds=embedded_BSE,
            attention_mask=mask,
            num_beams=3,
            max_new_tokens=5,
            do_sample=False,
            pad_token_id=0,
        )
        for model in (ours.model, plain)
    ]
    assert torch.equal(*said)


def test_gradients_flow_from_a_state_made_in_inference_mode() -> None:
    model = tiny("qwen3")
    with torch.inference_mode():
        _, state = model.prefill(torch.randn(2, 6, 32), torch.tensor([6, 4]))
    log_probs_R1V, _ = model.step(state, torch.tensor([[3], [4]]), None)
    log_probs_R1V.sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.model.model.layers.parameters())


@pytest.mark.parametrize(
    ("architecture", "settings", "message"),
    [
        ("mistral", {"sliding_window": 8}, "sliding_window"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, "sliding_attention"),
    ],
)
def test_attention_that_cannot_share_a_prefix_is_refused_by_name(
    architecture: str, settings: dict[str, Any], message: str
) -> None:
    from transformers import AutoConfig

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    stored = AutoConfig.for_model(architecture, vocab_size=VOCABULARY, **sizes, **settings)
    with pytest.raises(ModelError, match=rf"{architecture}.*{message}"):
        build_llm(LLMConfig(vocabulary=VOCABULARY), stored)


@pytest.mark.parametrize(
    ("architecture", "window"),
    [("phi3", 64), ("phi3", 262_144), ("mistral", 4096), ("qwen2_moe", 32_768)],  # the last: not used, written as 0
)
def test_a_window_that_hides_nothing_is_none(architecture: str, window: int, tmp_path: Path) -> None:
    from transformers import AutoConfig

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "max_position_embeddings": 64, "sliding_window": window, "vocab_size": 40}
    if architecture == "qwen2_moe":
        sizes |= {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
        sizes |= {"shared_expert_intermediate_size": 16}
    AutoConfig.for_model(architecture, **sizes, pad_token_id=0).save_pretrained(tmp_path / "source")
    torch.manual_seed(1)
    config = LLMConfig(vocabulary=40, source=str(tmp_path / "source"), pretrained=False)
    built = LanguageModel(LanguageConfig(llm=config, bos_id=1, eos_id=0)).eval()
    save_model(built, tmp_path / "saved")
    labels_BN = torch.randint(40, (1, 63))  # with BOS, all positions there are
    with torch.inference_mode():
        for model in (built, load_model(tmp_path / "saved")):
            assert isinstance(model, LanguageModel)
            expected_BMV = model.sequence_log_probs(None, labels_BN, torch.tensor([63]))
            _, state = model.llm.prefill(model.llm.embed(labels_BN), torch.tensor([63]))
            before_BE = model.llm.hidden(model.llm.embed(torch.cat((labels_BN, labels_BN[:, :1]), 1)))[:, -1]
            after_B1V, _ = model.step(state, labels_BN[:, :1])
            torch.testing.assert_close(after_B1V[:, 0], model.llm.log_probs(before_BE), atol=1e-5, rtol=0)
            first_BV, state = model.start(None, 1)
            stepped_BNV, _ = model.step(state, labels_BN)
            torch.testing.assert_close(torch.cat((first_BV[:, None], stepped_BNV), 1), expected_BMV, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["bloom", "gemma2"])  # position biases; capped scores
def test_a_source_whose_attention_is_not_sdpa_is_refused_by_name(architecture: str, tmp_path: Path) -> None:
    from transformers import AutoConfig

    AutoConfig.for_model(architecture, vocab_size=VOCABULARY).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=rf"(?i){architecture}"):
        build_llm(LLMConfig(vocabulary=VOCABULARY, source=str(tmp_path), pretrained=False))


def test_another_attention_function_set_later_is_noticed() -> None:
    model = tiny("llama")
    with torch.inference_mode():
        _, state = model.prefill(torch.randn(1, 4, 32), torch.tensor([4]))
        model.model.config._attn_implementation = "sdpa"
        with pytest.raises(ModelError, match=r"llama.*'sdpa'"):
            model.step(state, torch.tensor([[3]]), None)


def test_the_decoder_forwards_only_rows_that_grow_and_keeps_each_label_once(models: Any, batch: Any) -> None:
    decoder, shapes = models["acoustic"].decoder, []
    with torch.inference_mode():
        _, state = decoder.start(models["acoustic"].encode(batch.samples_BN, batch.sample_lengths_B), 3)
        state = decoder.select(state, torch.arange(3).repeat_interleave(4))
        before = key_value_bytes(state)
        with decoder.layers[0].register_forward_pre_hook(lambda _, arguments: shapes.append(arguments[0].shape[:2])):
            _, state = decoder.step(state, torch.full((12, 2), 4), torch.tensor([0, 1, 0, 2] * 3))
            _, state = decoder.step(state, torch.full((12, 1), 4), torch.zeros(12, dtype=torch.long))
        assert shapes == [(6, 2)]
        per_label = 3 * 2 * 16 * 4  # layers, keys and values, width, float32
        assert key_value_bytes(state) - before <= 12 * per_label  # nine new labels, and some room
