"""What every attention interface promises: a step is recomputing, alone is as in a batch, no audio is no change."""

from __future__ import annotations

import copy
import dataclasses
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_interfaces import (
    ARCHITECTURES,
    INTERFACES,
    VOCABULARY,
    Heard,
    Speaker,
    make_exact,
    make_speaker,
    random_heard,
)
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

from duolect.configs import from_json, to_json
from duolect.models import Autoregressive, SpeechLLMConfig, count_parameters, load_model, save_model
from duolect.models.interfaces import Audio
from duolect.search import (
    AutoregressiveScorer,
    CTCPrefixScorer,
    SearchStatistics,
    Weighted,
    label_synchronous,
    sequence_scores,
)
from duolect.training.divided import whole
from duolect.training.sharding import blocks

NAMES = list(INTERFACES)
WEIGHTS = {"speech_llm": 0.7, "ctc": 0.3}


@pytest.fixture(scope="module")
def speakers() -> Callable[[str, str], Speaker]:
    made: dict[tuple[str, str], Speaker] = {}

    def get(name: str, architecture: str = "qwen3") -> Speaker:
        if (name, architecture) not in made:
            made[name, architecture] = make_speaker(INTERFACES[name], architecture)
        return made[name, architecture]

    return get


def _recomputed(speaker: Speaker, heard: Heard, utterance: int, labels: list[int]) -> torch.Tensor:
    """(V,) log p after the labels, of the utterance alone and without a cache."""
    alone = heard.alone(utterance)
    labels_1N = torch.tensor([labels], dtype=torch.long)
    return speaker.llm.log_probs(speaker.hidden(alone.audio, alone.prompts, labels_1N)[0, -1])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", NAMES)
def test_beams_equal_recomputing_each_hypothesis_alone(name: str, architecture: str, speakers: Any) -> None:
    speaker = speakers(name, architecture)
    with torch.inference_mode():
        for seed in range(4):
            chance, heard = random.Random(seed), random_heard(seed)
            last_BE, state = speaker.start(heard.audio, heard.prompts)
            for b, log_probs_V in enumerate(speaker.llm.log_probs(last_BE)):
                torch.testing.assert_close(log_probs_V, _recomputed(speaker, heard, b, []), atol=2e-5, rtol=0)
            rows: list[tuple[int, list[int]]] = [(b, []) for b in range(3)]
            for _ in range(4):
                chosen = [chance.randrange(len(rows)) for _ in range(chance.randint(1, 6))]
                state = speaker.select(state, torch.tensor(chosen))
                rows = [(rows[r][0], list(rows[r][1])) for r in chosen]
                labels_RN = torch.randint(0, VOCABULARY, (len(rows), chance.randint(1, 3)))
                counts = [chance.randint(0, labels_RN.shape[1]) for _ in rows]
                old = state
                log_probs_RNV, state = speaker.step(old, labels_RN, torch.tensor(counts))
                assert torch.equal(log_probs_RNV, speaker.step(old, labels_RN, torch.tensor(counts))[0])
                for r, count in enumerate(counts):
                    rows[r][1].extend(labels_RN[r, :count].tolist())
                    if count:
                        expected_V = _recomputed(speaker, heard, *rows[r])
                        difference = float((log_probs_RNV[r, count - 1] - expected_V).abs().max())
                        assert difference < 2e-5, f"{name} on {architecture}, seed {seed}: {difference}"
                dropped = [chance.randint(0, count) for count in counts]
                state = speaker.forget(state, torch.tensor(dropped))
                rows = [(b, said[: len(said) - n]) for (b, said), n in zip(rows, dropped, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_an_utterance_is_the_same_alone_and_in_a_batch_whatever_lies_in_the_padding(name: str, speakers: Any) -> None:
    speaker = speakers(name)
    with torch.inference_mode():
        for seed in range(10):
            heard = random_heard(seed)
            states_BTE, lengths_B = heard.audio
            states_BTE += 1e3 * (torch.arange(states_BTE.shape[1])[:, None] >= lengths_B[:, None, None])
            together_BME = speaker.hidden(*heard)
            for b, count in enumerate(heard.counts_B.tolist()):
                alone_1ME = speaker.hidden(*heard.alone(b))
                torch.testing.assert_close(
                    together_BME[b, : count + 1], alone_1ME[0], atol=2e-5, rtol=0, msg=f"{name}, seed {seed}"
                )


@pytest.mark.parametrize("name", NAMES)
def test_text_is_causal_and_hears_all_of_the_audio(name: str, speakers: Any) -> None:
    speaker, heard = speakers(name), random_heard(1)
    audio, labels_BN = heard.audio, torch.randint(0, VOCABULARY, (3, 6))
    with torch.inference_mode():
        before_BME = speaker.hidden(audio, heard.prompts, labels_BN)
        for n in range(6):
            other_BN = labels_BN.clone()
            other_BN[:, n] = (other_BN[:, n] + 1) % VOCABULARY
            changed_BM = (speaker.hidden(audio, heard.prompts, other_BN) != before_BME).any(2)
            assert not changed_BM[:, : n + 1].any()
            assert changed_BM[:, n + 1].all()
        for b, frames in enumerate(audio.lengths_B.tolist()):
            for t in range(frames):
                states_BTE = audio.states_BTE.clone()
                states_BTE[b, t] += 1
                after_BME = speaker.hidden(Audio(states_BTE, audio.lengths_B), heard.prompts, labels_BN)
                changed_BM = (after_BME - before_BME).abs().amax(2) > 1e-5
                assert changed_BM[b].all()
                assert not changed_BM[[other for other in range(3) if other != b]].any()


@pytest.mark.parametrize("name", NAMES)
def test_a_shorter_audio_after_a_longer_one_is_what_it_was(name: str, speakers: Any) -> None:
    """A mask that is kept and changed in place would let text see what comes later (FBK-fairseq, commit 9ecfa1f3)."""
    speaker = speakers(name)
    short, long = random_heard(2, longest=3), random_heard(3, longest=20)
    with torch.inference_mode():
        said = [speaker.hidden(*heard) for heard in (short, long, short)]
        assert torch.equal(said[0], said[2])
        started = [speaker.start(*heard[:2])[0] for heard in (short, long, short)]
        assert torch.equal(started[0], started[2])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", NAMES)
def test_without_audio_the_llm_is_itself(name: str, architecture: str) -> None:
    speaker = make_speaker(INTERFACES[name], architecture, disturbed=False)
    for seed, width in ((1, 0), (2, 4)):  # no position at all, or none that counts
        heard = random_heard(seed)
        nothing = Audio(torch.zeros(3, width, 32), torch.zeros(3, dtype=torch.long))
        with torch.inference_mode():
            states_BME = speaker.hidden(nothing, heard.prompts, heard.labels_BN)
            last_BE, state = speaker.start(nothing, heard.prompts)
            log_probs_BNV = None if heard.labels_BN.shape[1] == 0 else speaker.step(state, heard.labels_BN)[0]
            for b in range(3):
                alone = heard.alone(b)
                text_1S = torch.cat((alone.prompts.before_BP, alone.prompts.after_BP, heard.labels_BN[b : b + 1]), 1)
                expected_SV = speaker.llm.model(text_1S).logits[0].log_softmax(-1)  # the whole LLM, as it comes
                after = text_1S.shape[1] - heard.labels_BN.shape[1] - 1
                found_MV = speaker.llm.log_probs(states_BME[b])
                torch.testing.assert_close(found_MV, expected_SV[after:], atol=1e-6, rtol=0)
                torch.testing.assert_close(speaker.llm.log_probs(last_BE[b]), expected_SV[after], atol=1e-6, rtol=0)
                if log_probs_BNV is not None:
                    torch.testing.assert_close(log_probs_BNV[b], expected_SV[after + 1 :], atol=2e-6, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_in_double_precision_a_step_is_recomputing(name: str, monkeypatch: Any) -> None:
    speaker, heard = make_exact(make_speaker(INTERFACES[name]), monkeypatch), random_heard(5, dtype=torch.float64)
    labels_BN = torch.randint(0, VOCABULARY, (3, 5))
    with torch.inference_mode():
        last_BE, state = speaker.start(heard.audio, heard.prompts)
        found = [speaker.llm.log_probs(last_BE)[:, None]]
        for n in range(5):
            log_probs_B1V, state = speaker.step(state, labels_BN[:, n : n + 1])
            found.append(log_probs_B1V)
        expected_BMV = speaker.llm.log_probs(speaker.hidden(heard.audio, heard.prompts, labels_BN))
    torch.testing.assert_close(torch.cat(found, 1), expected_BMV, atol=1e-11, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_the_audio_and_every_weight(name: str, speakers: Any) -> None:
    speaker, heard = make_speaker(INTERFACES[name]), random_heard(4)
    states_BTE = heard.audio.states_BTE.requires_grad_()
    speaker.hidden(Audio(states_BTE, heard.audio.lengths_B), heard.prompts, heard.labels_BN).square().sum().backward()
    assert states_BTE.grad is not None
    inside_BT = torch.arange(states_BTE.shape[1]) < heard.audio.lengths_B[:, None]
    assert states_BTE.grad[inside_BT].abs().amax(1).gt(0).all()
    assert not states_BTE.grad[~inside_BT].any()
    for module in speaker:
        for parameter_name, parameter in module.named_parameters():
            gradient = parameter.grad
            assert gradient is not None, f"{name}: {parameter_name}"
            assert gradient.isfinite().all(), f"{name}: {parameter_name}"


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


class _Trained(torch.nn.Module):
    def __init__(self, speaker: Speaker) -> None:
        super().__init__()
        self.llm, self.interface = speaker

    def forward(self, heard: Heard) -> torch.Tensor:
        return Speaker(self.llm, self.interface).hidden(*heard).square().sum()


@pytest.mark.parametrize("name", NAMES)
def test_layers_may_be_sharded_over_processes(name: str, mesh: DeviceMesh) -> None:
    """A layer's weights are whole only within its own forward, and its gradients are complete after its backward."""
    plain, heard = _Trained(make_speaker(INTERFACES[name])), random_heard(4)
    sharded = copy.deepcopy(plain)
    for module in [*blocks(sharded), sharded]:
        fully_shard(module, mesh=mesh, mp_policy=MixedPrecisionPolicy(cast_forward_inputs=False))
    for model in (plain, sharded):
        model(heard).backward()
    for (parameter_name, mine), theirs in zip(plain.named_parameters(), sharded.parameters(), strict=True):
        torch.testing.assert_close(whole(theirs.grad), mine.grad, msg=f"{name}: {parameter_name}")


# The interface inside a speech LLM.


@pytest.fixture(scope="module")
def speech_llms(configs: Any, build: Callable) -> Callable[[str], Any]:
    made: dict[str, Any] = {}

    def get(name: str) -> Any:
        if name not in made:
            made[name] = build(dataclasses.replace(configs["speech_llm"], interface=INTERFACES[name]))
        return made[name]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_read_back_as_it_was(name: str, configs: Any) -> None:
    config = dataclasses.replace(configs["speech_llm"], interface=INTERFACES[name])
    assert from_json(SpeechLLMConfig, to_json(config)) == config


@pytest.mark.parametrize("name", NAMES)
def test_a_speech_llm_is_saved_and_loaded_with_it(name: str, speech_llms: Any, batch: Any, tmp_path: Path) -> None:
    model = speech_llms(name)
    assert isinstance(model, Autoregressive)
    save_model(model, tmp_path / "model")
    loaded: Any = load_model(tmp_path / "model")
    assert loaded.config == model.config
    assert all(torch.equal(loaded.state_dict()[key], tensor) for key, tensor in model.state_dict().items())
    with torch.no_grad():
        mine, theirs = (
            each.sequence_log_probs(
                each.encode(batch.samples_BN, batch.sample_lengths_B), batch.labels_BN, batch.label_lengths_B
            )
            for each in (model, loaded)
        )
    assert torch.equal(mine, theirs)
    assert count_parameters(loaded) == count_parameters(model)


@pytest.mark.parametrize("name", NAMES)
def test_joint_search_with_ctc_finds_what_the_models_score(name: str, speech_llms: Any, batch: Any) -> None:
    model = speech_llms(name)
    with torch.inference_mode():
        encoded = model.encode(batch.samples_BN, batch.sample_lengths_B)
        log_probs_BTW, frames_B = model.ctc_log_probs(encoded)
        scorers = [
            Weighted("speech_llm", AutoregressiveScorer(model), WEIGHTS["speech_llm"]),
            Weighted("ctc", CTCPrefixScorer(log_probs_BTW, frames_B, eos_id=0), WEIGHTS["ctc"]),
        ]
        found = label_synchronous(scorers, encoded, beam=4, nbest=3, limits_B=[6, 3, 5], eos_id=0, forbidden_ids=[1])
        for b, hypotheses in enumerate(found):
            assert len({tuple(each.labels) for each in hypotheses}) == 3
            alone = encoded.select(torch.tensor([b]))
            for each in hypotheses:
                labels_1N = torch.tensor([each.labels], dtype=torch.long)
                log_probs_MV = model.sequence_log_probs(alone, labels_1N, torch.tensor([len(each.labels)]))[0]
                expected = sum(float(log_probs_MV[n, c]) for n, c in enumerate([*each.labels, 0]))
                assert math.isclose(dict(each.terms)["speech_llm"], expected, abs_tol=1e-4), name
                assert math.isclose(each.score, sum(w * dict(each.terms)[k] for k, w in WEIGHTS.items()), abs_tol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_rescoring_reads_the_audio_once_and_scores_as_alone(name: str, speech_llms: Any, batch: Any) -> None:
    model, chance, statistics = speech_llms(name), random.Random(1), SearchStatistics()
    lists = [[tuple(chance.choices((2, 3), k=chance.randint(0, 6))) for _ in range(8)] for _ in range(3)]
    with torch.inference_mode():
        encoded = model.encode(batch.samples_BN, batch.sample_lengths_B)
        found = sequence_scores(model, encoded, lists, eos_id=0, statistics=statistics)
        for b, (texts, scores) in enumerate(zip(lists, found, strict=True)):
            alone = encoded.select(torch.tensor([b]))
            for text, score in zip(texts, scores.tolist(), strict=True):
                labels_1N = torch.tensor([text], dtype=torch.long)
                log_probs_MV = model.sequence_log_probs(alone, labels_1N, torch.tensor([len(text)]))[0]
                expected = sum(float(log_probs_MV[n, c]) for n, c in enumerate((*text, 0)))
                assert math.isclose(score, expected, abs_tol=1e-4), name
    beginnings = {(b, a[:n]) for b, texts in enumerate(lists) for a in texts for n in range(1, len(a) + 1)}
    assert (statistics.forwards, statistics.labels) == (2, len(beginnings))


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_in_a_speech_llm(name: str, configs: Any, build: Callable, batch: Any) -> None:
    model = build(dataclasses.replace(configs["speech_llm"], interface=INTERFACES[name], label_smoothing=0.0)).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        term = model(batch)["ce"]
        (term.total / term.count).backward()
        optimiser.step()
        losses.append(term.total.item() / term.count)
    assert losses[-1] < 0.7 * losses[0], f"{name}: {losses[0]} to {losses[-1]}"
