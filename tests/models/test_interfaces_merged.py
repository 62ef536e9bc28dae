"""Merged attention against a slow reference that lays audio and text side by side before every layer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_interfaces import ARCHITECTURES, VOCABULARY, WIDTH, Heard, Speaker, make_exact, make_speaker, random_heard
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from duolect.errors import ModelError
from duolect.models import LLMConfig, LoraSettings
from duolect.models.causal import CausalLLM
from duolect.models.interfaces import Audio, MergedConfig, PrefixConfig, build_interface
from duolect.models.llm import build_llm
from duolect.models.lora import load_base_state, merged_state, prepare_finetuning


@pytest.fixture(params=ARCHITECTURES)
def exact(request: Any, monkeypatch: Any) -> Speaker:
    return make_exact(make_speaker(MergedConfig(), request.param), monkeypatch)


def plain_copy(llm: CausalLLM) -> Any:
    """The same LLM as transformers makes it."""
    model: Any = llm.model
    config = type(model.config).from_dict(model.config.to_dict())
    plain: Any = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").to(model.dtype).eval()
    plain.load_state_dict(model.state_dict())
    return plain


def reference(plain: Any, audio_TE: Tensor, text_S: Tensor) -> Tensor:
    """States (S, E) of the text behind audio that is put back before each layer, whatever the layers make of it."""
    frames, positions = len(audio_TE), len(audio_TE) + len(text_S)

    def put_back(_: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (torch.cat((audio_TE[None], arguments[0][:, frames:]), 1), *arguments[1:])

    hooks = [layer.register_forward_pre_hook(put_back) for layer in plain.model.layers]
    index_S = torch.arange(positions)
    unseen_SS = index_S > index_S[:, None]  # what the audio sees makes no difference
    bias_SS = torch.zeros(positions, positions, dtype=audio_TE.dtype).masked_fill_(unseen_SS, -torch.inf)
    embedded = torch.cat((audio_TE, plain.get_input_embeddings()(text_S)))[None]
    states = plain.model(inputs_embeds=embedded, attention_mask=bias_SS[None, None], position_ids=index_S[None])
    for hook in hooks:
        hook.remove()
    return states.last_hidden_state[0, frames:]


def _text(heard: Heard, b: int, labels: list[int]) -> Tensor:
    prompts = heard.alone(b).prompts
    return torch.cat((prompts.before_BP[0], prompts.after_BP[0], torch.tensor(labels, dtype=torch.long)))


def test_states_are_those_of_audio_that_is_put_back_before_every_layer(exact: Speaker) -> None:
    plain = plain_copy(exact.llm)
    with torch.inference_mode():
        for seed in range(8):
            heard = random_heard(seed, dtype=torch.float64)
            states_BME = exact.hidden(*heard)
            for b, count in enumerate(heard.counts_B.tolist()):
                audio_TE = heard.alone(b).audio.states_BTE[0]
                expected_SE = reference(plain, audio_TE, _text(heard, b, heard.labels_BN[b, :count].tolist()))
                difference = float((states_BME[b, : count + 1] - expected_SE[-count - 1 :]).abs().max())
                assert difference < 1e-11, f"seed {seed}: {difference}"


def test_steps_of_a_search_are_the_reference_too(exact: Speaker) -> None:
    plain = plain_copy(exact.llm)
    with torch.inference_mode():
        for seed in range(4):
            heard = random_heard(seed, dtype=torch.float64)
            last_BE, state = exact.start(heard.audio, heard.prompts)
            assert state.prefix.lengths_B.tolist() == [len(_text(heard, b, [])) + n for b, n in _audio_lengths(heard)]
            state = exact.select(state, torch.tensor([2, 0, 2, 1]))
            labels_RN = torch.randint(0, VOCABULARY, (4, 3))
            first_RNV, state = exact.step(state, labels_RN[:, :2])
            second_RNV, _ = exact.step(state, labels_RN[:, 2:])
            for r, b in enumerate((2, 0, 2, 1)):
                audio_TE = heard.alone(b).audio.states_BTE[0]
                states_SE = reference(plain, audio_TE, _text(heard, b, labels_RN[r].tolist()))
                expected_4V = exact.llm.log_probs(states_SE[-4:])
                torch.testing.assert_close(exact.llm.log_probs(last_BE[b]), expected_4V[0])
                found_NV = torch.cat((first_RNV[r], second_RNV[r]))
                torch.testing.assert_close(found_NV, expected_4V[1:], atol=1e-11, rtol=0, msg=f"seed {seed}")


def _audio_lengths(heard: Heard) -> Iterator[tuple[int, int]]:
    return enumerate(heard.audio.lengths_B.tolist())


def test_gradients_are_those_of_the_reference(exact: Speaker) -> None:
    heard = random_heard(3, utterances=1, dtype=torch.float64).alone(0)
    weights_ME = torch.randn(heard.labels_BN.shape[1] + 1, WIDTH, dtype=torch.float64)
    plain = plain_copy(exact.llm)
    mine, theirs = (heard.audio.states_BTE.clone().requires_grad_() for _ in range(2))
    states_1ME = exact.hidden(Audio(mine, heard.audio.lengths_B), *heard[1:])
    (states_1ME[0] * weights_ME).sum().backward()
    states_SE = reference(plain, theirs[0], _text(heard, 0, heard.labels_BN[0].tolist()))
    (states_SE[-len(weights_ME) :] * weights_ME).sum().backward()
    assert mine.grad is not None
    assert mine.grad.abs().sum() > 0
    torch.testing.assert_close(mine.grad, theirs.grad)
    for (name, own), other in zip(exact.llm.model.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, msg=name)


def test_lora_on_keys_and_values_hears_the_audio_and_merges_into_the_weights() -> None:
    speaker, heard = make_speaker(MergedConfig()), random_heard(6)
    prepare_finetuning(speaker.llm.model, "lora", LoraSettings(rank=2, targets=("k_proj", "v_proj")))
    with torch.no_grad():
        for name, parameter in speaker.llm.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    expected_BME = speaker.hidden(*heard)
    expected_BME.square().sum().backward()
    trained = {name: p.grad for name, p in speaker.llm.named_parameters() if p.requires_grad}
    assert len(trained) == 2 * 2 * 3
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in trained.values())
    merged = make_speaker(MergedConfig())
    load_base_state(merged.llm.model, merged_state(speaker.llm.model), "merged")
    torch.testing.assert_close(merged.hidden(*heard), expected_BME, atol=1e-4, rtol=0)


def test_attention_dropout_falls_on_audio_and_text_alike() -> None:
    """Where all attention weights are dropped, a label's state is that of the label alone."""
    speaker, heard = make_speaker(MergedConfig(), dropout=0.5), random_heard(7)
    speaker.llm.dropout = torch.nn.Identity()  # ty: ignore  # that of the embedded labels
    other = heard._replace(audio=Audio(heard.audio.states_BTE + 1, heard.audio.lengths_B))
    speaker.llm.train()
    assert not torch.equal(speaker.hidden(*heard), speaker.hidden(*heard))
    for module in speaker.llm.modules():
        if hasattr(module, "attention_dropout"):
            module.attention_dropout = 1.0
    assert torch.equal(speaker.hidden(*heard), speaker.hidden(*other))
    speaker.llm.eval()
    assert not torch.equal(speaker.hidden(*heard), speaker.hidden(*other))


def test_audio_takes_no_feed_forward_and_attends_to_nothing() -> None:
    speaker, heard, seen = make_speaker(MergedConfig()), random_heard(8), []
    model: Any = speaker.llm.model.model
    for layer in model.layers:
        for part in (layer.mlp, layer.self_attn.o_proj):
            part.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0].shape[1]))
    text = int((heard.prompts.before_lengths_B + heard.prompts.after_lengths_B + heard.counts_B).max())
    speaker.hidden(*heard)
    assert seen == [text] * 6


def test_the_audio_is_kept_once_per_utterance_without_gaps() -> None:
    speaker, heard = make_speaker(MergedConfig()), random_heard(9)
    with torch.inference_mode():
        _, state = speaker.start(heard.audio, heard.prompts)
        lengths = [int(n) + len(_text(heard, b, [])) for b, n in _audio_lengths(heard)]
        assert [tuple(x.shape) for x in state.prefix.layers[0]] == [(2, 3, max(lengths), 8)] * 2
        beams = speaker.select(state, torch.arange(3).repeat_interleave(4))
        assert beams.prefix is state.prefix


def test_several_forwards_and_copies_do_not_get_into_each_others_way() -> None:
    """The hooks of the layers hold nothing: neither an error nor a copy changes what another forward does."""
    speaker, heard = make_speaker(MergedConfig()), random_heard(10)
    text_1S = torch.randint(0, VOCABULARY, (1, 7))
    with torch.no_grad():
        own, said = speaker.hidden(*heard), speaker.llm.model(text_1S).logits
        llm, interface = copy.deepcopy((speaker.llm, speaker.interface))
        for parameter in llm.parameters():
            parameter.zero_()
        assert not torch.equal(Speaker(llm, interface).hidden(*heard), own)
        with pytest.raises(RuntimeError):  # audio of another width
            speaker.hidden(Audio(heard.audio.states_BTE[..., :5], heard.audio.lengths_B), *heard[1:])
        assert torch.equal(speaker.hidden(*heard), own)
        assert torch.equal(speaker.llm.model(text_1S).logits, said)
        assert torch.equal(make_speaker(PrefixConfig()).llm.model(text_1S).logits, said)


@pytest.mark.parametrize("autocast", [False, True])
def test_half_precision_is_as_near_as_that_of_the_prefix(autocast: bool) -> None:
    heard, distances = random_heard(11), []
    for interface in (MergedConfig(), PrefixConfig()):
        exact = make_speaker(interface)
        speaker = make_speaker(interface) if autocast else make_speaker(interface, dtype="bfloat16")
        if not autocast:
            exact.llm.load_state_dict(speaker.llm.state_dict())
        with torch.no_grad():
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                states_BME = speaker.hidden(*heard)
                last_BE, _ = speaker.start(*heard[:2])
            distances.append((states_BME.float() - exact.hidden(*heard)).abs().mean())
            assert (last_BE.float() - exact.start(*heard[:2])[0]).abs().mean() < 0.1
    assert distances[0] < 2 * distances[1]


NO_IDS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


class _OwnAttention(torch.nn.Module):
    """A layer that attends without the attention function of transformers."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.mlp = layer.mlp

    def forward(self, hidden_states: Tensor, **keywords: Any) -> Tensor:
        return self.mlp(hidden_states)


def test_a_decoder_that_cannot_carry_it_is_refused_by_name_when_it_is_built() -> None:
    llm = make_speaker(PrefixConfig(), "llama").llm
    decoder: Any = llm.model.model
    decoder.layers[1] = _OwnAttention(decoder.layers[1])
    with pytest.raises(ModelError, match=r"llama.*'merged'.*_OwnAttention"):
        build_interface(MergedConfig(), llm)
    with torch.no_grad():
        llm.hidden(torch.randn(1, 3, WIDTH))  # nothing has been left behind
    decoder.layers = torch.nn.ModuleList([*decoder.layers, torch.nn.Identity()])
    with pytest.raises(ModelError, match=r"llama.*'merged'.*as it has layers \(3\)"):
        build_interface(MergedConfig(), llm)


@pytest.mark.parametrize("model_type", ["gpt2", "gpt_neox", "mistral", "phi", "stablelm", "granite", "olmo2"])
def test_other_architectures_carry_it_or_are_refused_by_name(model_type: str) -> None:
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    more = {"num_key_value_heads": 2} if model_type in ("mistral", "granite", "olmo2") else {}
    torch.manual_seed(1)
    stored = AutoConfig.for_model(model_type, vocab_size=VOCABULARY, **sizes, **more, **NO_IDS)
    if model_type == "mistral":
        stored.sliding_window = None
    try:
        llm = CausalLLM(build_llm(LLMConfig(vocabulary=VOCABULARY), stored), VOCABULARY).eval()
        speaker = Speaker(llm, build_interface(MergedConfig(), llm))
    except ModelError as error:
        refusal = str(error)
        assert model_type in refusal
        return
    heard = random_heard(12)
    with torch.inference_mode():
        states_BME = speaker.hidden(*heard)
        _, state = speaker.start(*heard[:2])
        labels_BN = heard.labels_BN
        log_probs_BNV, _ = speaker.step(state, labels_BN, heard.counts_B)
        for b, count in enumerate(heard.counts_B.tolist()):
            expected_NV = llm.log_probs(states_BME[b, 1 : count + 1])
            torch.testing.assert_close(log_probs_BNV[b, :count], expected_NV, atol=2e-5, rtol=0)
