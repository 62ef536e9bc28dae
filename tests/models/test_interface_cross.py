"""Cross-attention blocks in an LLM: nothing at first, then what a slow loop over the layers says; safe hooks."""

from __future__ import annotations

import copy
import json
import pickle
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from duolect.configs import to_json
from duolect.errors import ConfigError, ModelError
from duolect.models import LLMConfig, build_model, key_value_bytes, load_model, save_model
from duolect.models.causal import CausalLLM
from duolect.models.interfaces import Audio, CrossConfig, MergedConfig, PrefixConfig, Prompts, build_interface
from duolect.models.interfaces.cross import CrossInterface
from duolect.models.llm import build_llm

ARCHITECTURES = ["qwen2", "qwen3", "llama"]
LABELS, WIDTH, LAYERS = 13, 32, 5


def tiny(architecture: str = "qwen2", **changes: Any) -> CausalLLM:
    """Four query heads on two of keys and values, weights large enough for attention to matter."""
    torch.manual_seed(3)
    sizes: dict[str, Any] = {"width": WIDTH, "layers": LAYERS, "heads": 4, "kv_heads": 2, "architecture": architecture}
    llm = build_llm(LLMConfig(vocabulary=LABELS, **sizes | changes))
    with torch.no_grad():
        for parameter in llm.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return CausalLLM(llm, LABELS).eval()


def opened(config: CrossConfig, llm: CausalLLM) -> Any:
    """An interface whose gates are open, some of them the wrong way."""
    interface = build_interface(config, llm).eval()
    with torch.no_grad():
        for parameter in interface.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
        for block in interface.blocks:
            block.gate += 0.7 * random.choice((-1, 1))
    return interface


def case(seed: int, dtype: torch.dtype = torch.float32) -> tuple[Audio, Prompts, Tensor]:
    """Ragged audio (some utterance may have none), prompts and labels of a few utterances."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    utterances, frames, labels = chance.randint(1, 4), chance.randint(1, 7), chance.randint(0, 5)
    lengths_B = torch.tensor([chance.randint(0, frames) for _ in range(utterances)])
    inside_BT1 = (torch.arange(frames) < lengths_B[:, None]).unsqueeze(-1)
    audio = Audio(torch.randn(utterances, frames, WIDTH, dtype=dtype) * inside_BT1, lengths_B)
    before, after = torch.randint(0, LABELS, (utterances, 3)), torch.randint(0, LABELS, (utterances, 2))
    before_lengths_B = torch.tensor([chance.randint(0, 3) for _ in range(utterances)])
    after_lengths_B = torch.tensor([chance.randint(1, 2) for _ in range(utterances)])
    labels_BN = torch.randint(0, LABELS, (utterances, labels))
    return audio, Prompts(before, before_lengths_B, after, after_lengths_B), labels_BN


def silence(audio: Audio) -> Audio:
    return Audio(torch.zeros_like(audio.states_BTE), torch.zeros_like(audio.lengths_B))


def text_of(prompts: Prompts, labels_BN: Tensor, b: int) -> Tensor:
    """(S,): the labels the LLM reads of utterance b."""
    before = prompts.before_BP[b, : prompts.before_lengths_B[b]]
    return torch.cat((before, prompts.after_BP[b, : prompts.after_lengths_B[b]], labels_BN[b]))


@pytest.mark.parametrize(
    ("architecture", "dtype"), [*((each, "float32") for each in ARCHITECTURES), ("qwen2", "bfloat16")]
)
def test_a_new_interface_changes_no_bit_of_the_llm(architecture: str, dtype: str) -> None:
    llm = tiny(architecture, dtype=dtype)
    plain = copy.deepcopy(llm)
    interface = build_interface(CrossConfig(feed_forward=True), llm)
    for seed in range(4):
        audio, prompts, labels_BN = case(seed)
        empty = Audio(audio.states_BTE[:, :0], torch.zeros_like(audio.lengths_B))
        expected = build_interface(PrefixConfig(), plain).hidden(plain, empty, prompts, labels_BN)
        first_BE, state = build_interface(PrefixConfig(), plain).start(plain, empty, prompts)
        steps_BNV = plain.step(state, labels_BN, None)[0]
        for heard in (audio, silence(audio), empty):
            assert torch.equal(interface.hidden(llm, heard, prompts, labels_BN), expected), f"seed {seed}"
            mine_BE, state = interface.start(llm, heard, prompts)
            assert torch.equal(mine_BE, first_BE), f"seed {seed}"
            assert torch.equal(interface.step(llm, state, labels_BN, None)[0], steps_BNV), f"seed {seed}"
    ids = torch.randint(0, LABELS, (2, 6))
    assert torch.equal(llm.model(ids).logits, plain.model(ids).logits)  # as an LLM alone


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(
    "config",
    [
        CrossConfig(),
        CrossConfig(every=2, feed_forward=True),
        CrossConfig(every=5, heads=8, kv_heads=4),
        CrossConfig(heads=2, feed_forward=True),
    ],
)
def test_it_equals_a_slow_loop_over_the_layers(architecture: str, config: CrossConfig) -> None:
    llm = tiny(architecture).double()
    interface = opened(config, llm).double()
    assert len(interface.blocks) == LAYERS // config.every
    with torch.no_grad():
        for seed in range(6):
            audio, prompts, labels_BN = case(seed, torch.float64)
            states_BME = interface.hidden(llm, audio, prompts, labels_BN)
            last_BE, state = interface.start(llm, audio, prompts)
            stepped_BNV = interface.step(llm, state, labels_BN, None)[0]
            for b, length in enumerate(audio.lengths_B.tolist()):
                expected_SE = slow(llm, interface, config, audio.states_BTE[b, :length], text_of(prompts, labels_BN, b))
                expected_ME = expected_SE[-labels_BN.shape[1] - 1 :]
                where = f"{architecture}, {config}, seed {seed}, utterance {b}"
                assert torch.allclose(states_BME[b], expected_ME, atol=1e-10, rtol=0), where
                assert torch.allclose(last_BE[b], expected_ME[0], atol=1e-10, rtol=0), where
                # Log-probabilities are float32.
                assert torch.allclose(stepped_BNV[b], llm.log_probs(expected_ME[1:]), atol=1e-5, rtol=0), where


def slow(llm: CausalLLM, interface: CrossInterface, config: CrossConfig, audio_TE: Tensor, text_S: Tensor) -> Tensor:
    """States (S, E) of one utterance: layer by layer, head by head, without padding, masks or groups."""
    decoder: Any = llm.model.model
    x_1SE = decoder.embed_tokens(text_S)[None]
    index_1S = torch.arange(len(text_S))[None]
    rotary = decoder.rotary_emb(x_1SE, index_1S)
    future_SS = torch.full((len(text_S), len(text_S)), -torch.inf, dtype=torch.float64).triu(1)
    blocks: list[Any] = list(interface.blocks)
    for number, layer in enumerate(decoder.layers, start=1):
        if number % config.every == 0 and len(audio_TE):
            x_1SE = slow_block(blocks.pop(0), x_1SE[0], audio_TE)[None]
        x_1SE = layer(x_1SE, attention_mask=future_SS[None, None], position_ids=index_1S, position_embeddings=rotary)
    return decoder.norm(x_1SE)[0]


def slow_block(block: Any, x_SE: Tensor, audio_TE: Tensor) -> Tensor:
    attention = block.attention
    width = WIDTH // attention.heads
    rms = (x_SE.square().mean(-1, keepdim=True) + block.norm.eps).sqrt()
    query = x_SE / rms * block.norm.weight @ attention.query.weight.T
    key, value = (audio_TE @ attention.key_value.weight.T).chunk(2, -1)
    heads = []
    for head in range(attention.heads):
        group = head // (attention.heads // attention.kv_heads)
        q = query[:, head * width : (head + 1) * width]
        k, v = (each[:, group * width : (group + 1) * width] for each in (key, value))
        heads.append((q @ k.T / width**0.5).softmax(-1) @ v)
    x_SE = x_SE + torch.tanh(block.gate) * (torch.cat(heads, -1) @ attention.output.weight.T)
    if block.feed_gate is None:
        return x_SE
    rms = (x_SE.square().mean(-1, keepdim=True) + block.feed_norm.eps).sqrt()
    gate, expanded = (x_SE / rms * block.feed_norm.weight @ block.feed_forward.gate_expand.weight.T).chunk(2, -1)
    fed = (gate * torch.sigmoid(gate) * expanded) @ block.feed_forward.contract.weight.T
    return x_SE + torch.tanh(block.feed_gate) * fed


def test_audio_is_held_once_per_utterance_and_leaves_with_it() -> None:
    llm, beam = tiny(), 6
    interface = opened(CrossConfig(every=2), llm)
    lengths_B = torch.tensor([9, 4, 7])
    inside_BT1 = (torch.arange(9) < lengths_B[:, None]).unsqueeze(-1)
    prompts = Prompts(*(torch.zeros(3, 0, dtype=torch.long), torch.zeros(3, dtype=torch.long)), *_bos(3))
    position = 2 * 2 * 2 * 8 * 4  # bytes: blocks, keys and values, heads, width, float32
    with torch.inference_mode():
        _, state = interface.start(llm, Audio(torch.randn(3, 9, WIDTH) * inside_BT1, lengths_B), prompts)
        assert key_value_bytes(state) - key_value_bytes(state.text) == 3 * 9 * position
        beams = interface.select(llm, state, torch.arange(3).repeat_interleave(beam))
        assert beams.audio is state.audio
        _, beams = interface.step(llm, beams, torch.ones(3 * beam, 1, dtype=torch.long), None)
        assert beams.audio is state.audio
        left = interface.select(llm, beams, torch.arange(beam, 3 * beam))  # utterance 0, the longest, has ended
        assert left.audio.blocks[0][0].shape == (2, 2, 7, 8)
        assert left.audio.lengths_B.tolist() == [4, 7]
        assert key_value_bytes(left) - key_value_bytes(left.text) == 2 * 7 * position
        none = interface.select(llm, left, torch.zeros(0, dtype=torch.long))
        assert len(none) == 0
        assert interface.step(llm, none, torch.zeros(0, 1, dtype=torch.long), None)[0].shape == (0, 1, LABELS)


def _bos(utterances: int) -> tuple[Tensor, Tensor]:
    return torch.ones(utterances, 1, dtype=torch.long), torch.ones(utterances, dtype=torch.long)


def test_gradients_reach_the_gates_first_and_then_everything() -> None:
    llm = tiny()
    llm.requires_grad_(False)
    interface = build_interface(CrossConfig(feed_forward=True, dropout=0.1), llm)
    audio, prompts, labels_BN = case(3)
    assert int(audio.lengths_B.max()) > 1
    named = dict(interface.named_parameters())
    llm.log_probs(interface.hidden(llm, audio, prompts, labels_BN)).square().sum().backward()
    assert {name for name, p in named.items() if p.grad is not None and p.grad.any()} == {
        name for name in named if name.endswith("gate")
    }
    with torch.no_grad():
        for p in named.values():
            p -= 0.1 * p.grad.sign()
            p.grad = None
    llm.log_probs(interface.hidden(llm, audio, prompts, labels_BN)).square().sum().backward()
    assert [name for name, p in named.items() if p.grad is None or not p.grad.any()] == []
    assert all(p.grad is None for p in llm.parameters())


def test_gradients_flow_from_a_state_made_in_inference_mode() -> None:
    llm = tiny()
    interface = opened(CrossConfig(), llm)
    audio, prompts, _ = case(3)
    with torch.inference_mode():
        _, state = interface.start(llm, audio, prompts)
    labels_RN = torch.ones(len(audio.lengths_B), 1, dtype=torch.long)
    log_probs_RNV, _ = interface.step(llm, state, labels_RN, None)
    log_probs_RNV.sum().backward()
    assert all(block.attention.query.weight.grad.isfinite().all() for block in interface.blocks)


def test_an_error_in_the_middle_leaves_nothing_behind_and_models_do_not_meet() -> None:
    llm, other = tiny(), tiny()
    interface, theirs = opened(CrossConfig(), llm), opened(CrossConfig(), other)
    audio, prompts, labels_BN = case(5)
    ids = torch.randint(0, LABELS, (2, 6))
    with torch.no_grad():
        before = interface.hidden(llm, audio, prompts, labels_BN), llm.model(ids).logits
        assert not torch.equal(theirs.hidden(other, audio, prompts, labels_BN), before[0])
        assert torch.equal(other.model(ids).logits, before[1])  # the same LLM without the audio
        broken: Any = interface.blocks[2]
        with broken.register_forward_pre_hook(lambda *_: 1 / 0), pytest.raises(ZeroDivisionError):
            interface.hidden(llm, audio, prompts, labels_BN)
        assert torch.equal(llm.model(ids).logits, before[1])
        assert torch.equal(interface.hidden(llm, audio, prompts, labels_BN), before[0])
        with pytest.raises(ModelError, match=r"qwen2.*in 0 of 5"):
            interface.hidden(tiny(), audio, prompts, labels_BN)  # an LLM that was not opened


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_equal_and_independent(copied: Callable, configs: Any, build: Callable, batch: Any) -> None:
    model = build(replace(configs["speech_llm"], interface=CrossConfig()))
    with torch.no_grad():
        expected = {name: term.total for name, term in model(batch).items()}
        twin = copied(model)
        for block in model.interface.blocks:
            block.gate.zero_()
        assert {name: term.total for name, term in twin(batch).items()} == expected
        assert not torch.equal(model(batch)["ce"].total, expected["ce"])


def test_blocks_in_front_of_a_half_precision_llm_keep_their_weights_whole() -> None:
    exact, half = tiny(), tiny(dtype="bfloat16")
    exact.load_state_dict(half.state_dict())
    config = CrossConfig(feed_forward=True)
    interface = opened(config, half)
    reference = build_interface(config, exact)
    reference.load_state_dict(interface.state_dict())
    assert {p.dtype for p in interface.parameters()} == {torch.float32}
    audio, prompts, labels_BN = case(3)
    hidden = interface.hidden(half, audio, prompts, labels_BN)
    assert hidden.dtype == torch.bfloat16
    expected = exact.log_probs(reference.hidden(exact, audio, prompts, labels_BN))
    torch.testing.assert_close(half.log_probs(hidden), expected, atol=0.15, rtol=0)
    with torch.inference_mode():
        first_BE, state = interface.start(half, audio, prompts)
        assert {keys.dtype for keys, _ in state.audio.keys_values()} == {torch.bfloat16}
        torch.testing.assert_close(half.log_probs(first_BE), expected[:, 0], atol=0.15, rtol=0)
        stepped_RNV, _ = interface.step(half, state, labels_BN, None)
        torch.testing.assert_close(stepped_RNV, expected[:, 1:], atol=0.15, rtol=0)


class _Decoder(nn.Module):
    """What an LLM of transformers looks like from here."""

    def __init__(self, layers: int, forward: Callable) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_Layer() for _ in range(layers)])
        self.run = forward

    def forward(self, inputs_embeds: Tensor, attention_mask: Any, use_cache: bool, **keywords: Any) -> Any:
        return SimpleNamespace(last_hidden_state=self.run(self.layers, inputs_embeds, keywords))


class _Layer(nn.Module):
    def forward(self, x: Tensor, **keywords: Any) -> Tensor:
        return x


class _Odd(nn.Module):
    """An LLM with something missing."""

    base_model_prefix, device, dtype = "decoder", torch.device("cpu"), torch.float32

    def __init__(self, layers: int, forward: Callable) -> None:
        super().__init__()
        self.config = SimpleNamespace(
            model_type="odd", num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2
        )
        self.decoder = _Decoder(layers, forward)
        self.table = nn.Embedding(3, 4)

    def get_input_embeddings(self) -> nn.Module:
        return self.table


@pytest.mark.parametrize(
    ("layers", "forward", "says"),
    [
        (3, lambda layers, x, keywords: None, r"odd.*'cross'.*lists of modules, 0 are as long.*\(2\)"),
        (2, lambda layers, x, keywords: layers[0](x), r"odd.*'cross'.*does not hand keywords on"),
        (2, lambda layers, x, keywords: layers[0](x[0], **keywords), r"odd.*'cross'.*hidden states as their first"),
        (2, lambda layers, x, keywords: layers[0](**keywords), r"odd.*'cross'.*'hidden_states'"),
    ],
)
def test_an_llm_whose_layers_cannot_carry_it_is_refused_by_name(layers: int, forward: Callable, says: str) -> None:
    odd: Any = _Odd(layers, forward)
    with pytest.raises(ModelError, match=says):
        build_interface(CrossConfig(), CausalLLM(odd, 3))
    assert not any(module._forward_pre_hooks for module in odd.modules())


def test_layers_that_take_their_input_by_name_are_served() -> None:
    odd: Any = _Odd(2, lambda layers, x, keywords: layers[0](hidden_states=x, **keywords))
    assert len(CrossInterface(CrossConfig(), CausalLLM(odd, 3)).blocks) == 2


def test_sizes_that_do_not_fit_are_refused(configs: Any) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"every": 0}, "every must be positive"),
        ({"heads": 4, "kv_heads": 3}, r"heads \(4\) must be a multiple of kv_heads \(3\)"),
        ({"dropout": 1.0}, "dropout"),
    ]
    for changes, says in refused:
        with pytest.raises(ConfigError, match=says):
            CrossConfig(**changes)
    for config, says in [
        (CrossConfig(every=6), r"qwen2.*has 5 layers.*every \(6\)"),
        (CrossConfig(heads=5), r"qwen2.*width 32.*heads \(5\)"),
        (CrossConfig(kv_heads=3), r"heads \(4\).*kv_heads \(3\)"),
    ]:
        with pytest.raises(ModelError, match=says):
            build_interface(config, tiny())


def test_it_is_built_without_memory(configs: Any) -> None:
    with torch.device("meta"):
        model: Any = build_model(replace(configs["speech_llm"], interface=CrossConfig()))
    assert all(p.is_meta for p in model.interface.parameters())


@pytest.mark.parametrize(("trained", "named"), [("cross", "prefix"), ("prefix", "cross"), ("prefix", "merged")])
def test_weights_of_another_interface_are_refused(
    trained: str, named: str, configs: Any, build: Callable, tmp_path: Path
) -> None:
    kinds: dict[str, Any] = {"prefix": PrefixConfig(), "cross": CrossConfig(), "merged": MergedConfig()}
    save_model(build(replace(configs["speech_llm"], interface=kinds[trained])), tmp_path / "model")
    described = json.loads((tmp_path / "model/config.json").read_text())
    described["config"]["interface"] = to_json(kinds[named])
    (tmp_path / "model/config.json").write_text(json.dumps(described))
    with pytest.raises(ModelError, match=f"safetensors: .*interface '{trained}', but config.json.* '{named}'"):
        load_model(tmp_path / "model")
