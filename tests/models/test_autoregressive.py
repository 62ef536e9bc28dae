"""The protocol a search relies on: cached equals recomputed, whatever is ragged, selected, repeated or batched."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from fbk_configs import CONFIGS as FBK

from duolect.errors import ModelError
from duolect.models import Autoregressive, Branching, LanguageConfig, LLMConfig, SpeechLLMConfig
from duolect.search import sequence_scores
from duolect.search.label_trees import label_tree
from duolect.search.padding import padded_labels

KINDS = ["decoder", "language", "speech_llm", "qwen3", "llama", *FBK]


@pytest.fixture(scope="module")
def speakers(models: Any, configs: Any, build: Callable) -> dict[str, tuple[Any, Any]]:
    """{kind: (what encodes or None, what speaks)}; with other architectures behind the speech LLM and the LM."""
    base: SpeechLLMConfig = configs["speech_llm"]
    sizes = {"vocabulary": 11, "width": 16, "layers": 2, "heads": 2, "max_positions": 256}
    qwen3 = build(LanguageConfig(llm=LLMConfig(architecture="qwen3", kv_heads=1, **sizes), bos_id=0, eos_id=0))
    llama = build(
        SpeechLLMConfig(llm=LLMConfig(architecture="llama", **sizes), bos_id=1, eos_id=0, encoder=base.encoder)
    )
    return {
        "decoder": (models["acoustic"], models["acoustic"].decoder),
        "language": (None, models["language"]),
        "speech_llm": (models["speech_llm"], models["speech_llm"]),
        "qwen3": (None, qwen3),
        "llama": (llama, llama),
        **{kind: (model, model.decoder) for kind, model in ((kind, build(config)) for kind, config in FBK.items())},
    }


def _encode(encoder: Any, batch: Any) -> Any:
    lengths_B = torch.tensor([12000, 5000, 0])  # the last utterance has no frame at all
    return None if encoder is None else encoder.encode(batch.samples_BN, lengths_B)


@pytest.mark.parametrize("kind", KINDS)
def test_cached_equals_recomputed_under_ragged_steps_and_selections(kind: str, speakers: Any, batch: Any) -> None:
    encoder, model = speakers[kind]
    assert isinstance(model, Autoregressive)
    chance = random.Random(kind)
    with torch.inference_mode():
        encoded = _encode(encoder, batch)
        for _ in range(4):
            log_probs_RV, state = model.start(encoded, 3)
            rows: list[tuple[int, list[int]]] = [(b, []) for b in range(3)]  # utterance and labels so far
            _compare(model, encoded, rows, log_probs_RV)
            for _ in range(5):
                chosen = [chance.randrange(len(rows)) for _ in range(chance.randint(1, 7))]
                if chance.random() < 0.3:
                    chosen = list(range(len(rows)))
                state = model.select(state, torch.tensor(chosen))
                rows = [(rows[r][0], list(rows[r][1])) for r in chosen]
                width = chance.randint(1, 3)
                labels_RN = torch.randint(0, model.vocabulary, (len(rows), width))
                counts = [chance.randint(0, width) for _ in rows]
                if chance.random() < 0.4:
                    counts = [width] * len(rows)
                counts_R = None if counts == [width] * len(rows) and chance.random() < 0.5 else torch.tensor(counts)
                old = state
                log_probs_RNV, state = model.step(state, labels_RN, counts_R)
                again_RNV, _ = model.step(old, labels_RN, counts_R)
                assert torch.equal(log_probs_RNV, again_RNV)  # a state is never changed
                assert log_probs_RNV.isfinite().all()
                last_RV = torch.stack([log_probs_RNV[r, max(count - 1, 0)] for r, count in enumerate(counts)])
                for r, count in enumerate(counts):
                    rows[r][1].extend(labels_RN[r, :count].tolist())
                moved = [r for r, count in enumerate(counts) if count]
                _compare(model, encoded, [rows[r] for r in moved], last_RV[moved])
                dropped = [chance.randint(0, count) for count in counts]
                state = model.forget(state, torch.tensor(dropped))
                rows = [(b, labels[: len(labels) - n]) for (b, labels), n in zip(rows, dropped, strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_branches_equal_recomputing_each_sequence_alone(kind: str, speakers: Any, batch: Any) -> None:
    """Sequences that begin alike, behind rows with labels of their own; the rows they leave can be gone on with."""
    encoder, model = speakers[kind]
    assert isinstance(model, Branching)
    with torch.inference_mode():
        encoded = _encode(encoder, batch)
        for seed in range(6):
            chance = random.Random(seed)
            rows = [(b, chance.choices(range(2, 9), k=chance.randint(0, 3))) for b in (2, 0, 0, 1)]
            labels_RN, counts_R = padded_labels([labels for _, labels in rows], None)
            state = model.select(model.start(encoded, 3)[1], torch.tensor([b for b, _ in rows]))
            state = model.step(state, labels_RN, counts_R)[1]
            texts = sorted({(chance.randrange(4), *chance.choices((2, 3), k=chance.randint(1, 6))) for _ in range(15)})
            tree = label_tree([row for row, *_ in texts], [text for _, *text in texts], torch.device("cpu"))
            scores_PN, after_WV, branched = model.branch(state, tree, torch.tensor(tree.ends))
            scores = scores_PN.sum(1).tolist()
            for piece, parent in enumerate(tree.parents):
                scores[piece] += scores[parent] if parent >= 0 else 0.0
            whole = [(rows[row][0], [*rows[row][1], *text]) for row, *text in texts]
            _compare(model, encoded, whole, after_WV)
            for (row, *text), (utterance, labels), end in zip(texts, whole, tree.ends, strict=True):
                alone = None if encoded is None else encoded.select(torch.tensor([utterance]))
                labels_1N = torch.tensor([labels])
                log_probs_MV = model.sequence_log_probs(alone, labels_1N, torch.tensor([len(labels)]))[0]
                places = range(len(rows[row][1]) + 1, len(labels))
                expected = sum(float(log_probs_MV[n, labels[n]]) for n in places)
                assert scores[end] == pytest.approx(expected, abs=1e-4), f"{text}, seed {seed}"
            chosen = torch.tensor([len(rows) + end for end in tree.ends])
            log_probs_R1V, _ = model.step(model.select(branched, chosen), torch.full((len(texts), 1), 4))
            _compare(model, encoded, [(b, [*labels, 4]) for b, labels in whole], log_probs_R1V[:, 0])
            before_R1V, _ = model.step(state, torch.full((4, 1), 4))  # the rows that were there stay as they were
            _compare(model, encoded, [(b, [*labels, 4]) for b, labels in rows], before_R1V[:, 0])


@pytest.mark.parametrize("max_tokens", [1, 9, 4096])
@pytest.mark.parametrize("kind", KINDS)
def test_rescoring_is_what_each_sequence_scores_alone(kind: str, max_tokens: int, speakers: Any, batch: Any) -> None:
    encoder, model = speakers[kind]
    chance = random.Random(max_tokens)
    lists = [[tuple(chance.choices((2, 3), k=chance.randint(0, 7))) for _ in range(count)] for count in (9, 0, 6)]
    with torch.inference_mode():
        encoded = _encode(encoder, batch)
        found = sequence_scores(model, encoded, lists, eos_id=model.eos_id, max_tokens=max_tokens)
        for b, (texts, scores) in enumerate(zip(lists, found, strict=True)):
            alone = None if encoded is None else encoded.select(torch.tensor([b]))
            for text, score in zip(texts, scores.tolist(), strict=True):
                labels_1N = torch.tensor([text], dtype=torch.long)
                log_probs_MV = model.sequence_log_probs(alone, labels_1N, torch.tensor([len(text)]))[0]
                expected = sum(float(log_probs_MV[n, c]) for n, c in enumerate((*text, model.eos_id)))
                assert score == pytest.approx(expected, abs=1e-4)


def _compare(model: Any, encoded: Any, rows: list[tuple[int, list[int]]], log_probs_RV: torch.Tensor) -> None:
    assert log_probs_RV.dtype == torch.float32
    for (utterance, labels), log_probs_V in zip(rows, log_probs_RV, strict=True):
        alone = None if encoded is None else encoded.select(torch.tensor([utterance]))
        labels_1N = torch.tensor([labels], dtype=torch.long)
        expected_1MV = model.sequence_log_probs(alone, labels_1N, torch.tensor([len(labels)]))
        torch.testing.assert_close(log_probs_V, expected_1MV[0, -1], atol=2e-5, rtol=0)
        torch.testing.assert_close(log_probs_V.exp().sum(), torch.tensor(1.0))


@pytest.mark.parametrize("kind", KINDS)
def test_sequences_are_the_same_alone_in_a_batch_and_with_more_padding(kind: str, speakers: Any, batch: Any) -> None:
    encoder, model = speakers[kind]
    with torch.inference_mode():
        together = None if encoder is None else encoder.encode(batch.samples_BN, batch.sample_lengths_B)
        log_probs_BMV = model.sequence_log_probs(together, batch.labels_BN, batch.label_lengths_B)
        for b, (samples, labels) in enumerate(
            zip(batch.sample_lengths_B.tolist(), batch.label_lengths_B.tolist(), strict=True)
        ):
            alone = None
            if encoder is not None:
                alone = encoder.encode(batch.samples_BN[b : b + 1, :samples], batch.sample_lengths_B[b : b + 1])
            labels_1N, lengths_1 = batch.labels_BN[b : b + 1, :labels], batch.label_lengths_B[b : b + 1]
            alone_1MV = model.sequence_log_probs(alone, labels_1N, lengths_1)
            torch.testing.assert_close(alone_1MV[0], log_probs_BMV[b, : labels + 1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_no_rows_and_no_labels_are_no_problem(kind: str, speakers: Any, batch: Any) -> None:
    encoder, model = speakers[kind]
    with torch.inference_mode():
        _, state = model.start(_encode(encoder, batch), 3)
        state = model.select(state, torch.zeros(0, dtype=torch.long))
        log_probs_RNV, _ = model.step(state, torch.zeros(0, 1, dtype=torch.long))
        assert log_probs_RNV.shape == (0, 1, model.vocabulary)
        _, state = model.start(_encode(encoder, batch), 3)
        log_probs_RNV, state = model.step(state, torch.zeros(3, 0, dtype=torch.long))
        assert log_probs_RNV.shape == (3, 0, model.vocabulary)


def test_audio_models_want_one_row_for_each_utterance(speakers: Any, batch: Any) -> None:
    for kind in ("decoder", "speech_llm"):
        encoder, model = speakers[kind]
        with torch.inference_mode(), pytest.raises(ModelError, match="one row for each"):
            model.start(_encode(encoder, batch), 2)


def test_the_decoder_keeps_the_audio_once_per_utterance(models: Any, batch: Any) -> None:
    decoder = models["acoustic"].decoder
    with torch.inference_mode():
        _, state = decoder.start(models["acoustic"].encode(batch.samples_BN, batch.sample_lengths_B), 3)
        beams = decoder.select(state, torch.arange(3).repeat_interleave(4))
        assert beams.cross[0][0] is state.cross[0][0]
        assert beams.layout.places_R is None
        assert decoder.select(beams, torch.tensor([1, 9])).cross[0][0].shape[0] == 2  # utterance 1 has ended


def test_a_step_runs_only_the_rows_that_grow_and_only_as_wide_as_they_are(models: Any) -> None:
    model, shapes = models["language"], []
    with torch.inference_mode():
        _, state = model.start(None, 3)
        with model.llm.model.model.register_forward_pre_hook(
            lambda _, arguments, keywords: shapes.append(
                (*keywords["inputs_embeds"].shape[:2], keywords["shared"].growth.slots_PX.shape[1])
            ),
            with_kwargs=True,
        ):
            for counts in ([3, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 2]):
                log_probs_RNV, state = model.step(state, torch.full((3, 3), 4), torch.tensor(counts))
                assert [bool(each.any()) for each in log_probs_RNV] == [count > 0 for count in counts]
    assert shapes == [(2, 3, 3), (1, 3, 2), (1, 3, 2)]  # rows, labels, positions beyond BOS, which stands once
    assert state.labels.slots_RL.tolist() == [[1, 2, 3], [4, 5, 0], [6, 7, 0]]
    assert model.select(state, torch.tensor([2, 1])).labels.slots_RL.shape == (2, 2)


def test_the_pool_keeps_what_its_rows_use_and_old_states_stay_usable(models: Any) -> None:
    model = models["language"]
    generator = torch.Generator().manual_seed(5)
    with torch.inference_mode():
        _, state = model.start(None, 6)
        labels: list[list[int]] = [[] for _ in range(6)]
        states = []
        for _ in range(40):
            chosen = torch.randint(0, 6, (6,), generator=generator)
            label_R1 = torch.randint(2, model.vocabulary, (6, 1), generator=generator)
            labels = [[*labels[r], label] for r, label in zip(chosen.tolist(), label_R1[:, 0].tolist(), strict=True)]
            log_probs_R1V, state = model.step(model.select(state, chosen), label_R1)
            states.append((state, labels))
        _compare(model, None, [(0, each) for each in labels], log_probs_R1V[:, 0])
        live = len(state.labels.slots_RL.unique())
        assert live < 80 < 6 * 40  # of 240 computed positions: hypotheses have ancestors in common
        assert state.labels.pool.layers[0][0].shape[1] < 2 * live
        for old, spoken in states[::13]:
            log_probs_R1V, _ = model.step(old, torch.full((6, 1), 3))
            _compare(model, None, [(0, [*each, 3]) for each in spoken], log_probs_R1V[:, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_state_of_uneven_rows_may_leave_inference_mode(kind: str, speakers: Any, batch: Any) -> None:
    encoder, model = speakers[kind]
    with torch.inference_mode():
        _, state = model.start(_encode(encoder, batch), 3)
        state = model.select(state, torch.tensor([0, 0, 1, 2]))
    log_probs_R1V, _ = model.step(state, torch.full((4, 1), 3))
    log_probs_R1V.sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    model.zero_grad()
    with torch.no_grad():
        encoded = _encode(encoder, batch)
        _compare(model, encoded, [(0, [3]), (0, [3]), (1, [3]), (2, [3])], log_probs_R1V[:, 0].detach())


def test_a_state_may_leave_inference_mode_and_broken_rows_harm_no_other(models: Any) -> None:
    model = models["language"]
    with torch.inference_mode():
        _, state = model.start(None, 3)
        _, state = model.step(state, torch.full((3, 2), 4), torch.tensor([1, 2, 2]))
        keys, _ = state.labels.pool.layers[0]
        keys[:, state.labels.slots_RL[2]] = torch.nan
    with torch.no_grad():
        log_probs_R1V, _ = model.step(state, torch.full((3, 1), 3))
        assert log_probs_R1V[2].isnan().all()
        _compare(model, None, [(0, [4, 3]), (0, [4, 4, 3])], log_probs_R1V[:2, 0])
    log_probs_R1V, _ = model.step(state, torch.full((3, 1), 3))
    assert log_probs_R1V[0].requires_grad  # nothing stands in the way of gradients
    log_probs_R1V[0].sum().backward()
    model.zero_grad()
