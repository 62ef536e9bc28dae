"""The prefix interface: what audio and text see of each other, causal and bidirectional."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from tiny_interfaces import ARCHITECTURES, INTERFACES, VOCABULARY, WIDTH, Speaker, make_speaker, random_heard
from torch import Tensor
from transformers import AutoModelForCausalLM

from duolect.configs import from_json
from duolect.errors import ConfigError
from duolect.models.interfaces import Audio, PrefixConfig
from duolect.models.interfaces.base import lay_out
from duolect.models.interfaces.prefix import bidirectional_mask


def test_the_mask_is_that_of_the_formula() -> None:
    """M_ij = 0 if j ≤ i or both are audio; with no prompt before the audio, if j ≤ i or j < N, as published."""
    for seed in range(100):
        chance = random.Random(seed)
        utterances, positions = chance.randint(1, 4), chance.randint(1, 12)
        starts = [chance.randint(0, positions) for _ in range(utterances)]
        lengths = [chance.randint(0, positions - start) for start in starts]
        seen_BSS = bidirectional_mask(torch.tensor(starts), torch.tensor(lengths), positions)
        for b, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            block = range(start, start + length)
            for i in range(positions):
                for j in range(positions):
                    assert bool(seen_BSS[b, i, j]) == (j <= i or (i in block and j in block)), f"seed {seed}"
            if not start:
                index_S = torch.arange(positions)
                assert torch.equal(seen_BSS[b], (index_S <= index_S[:, None]) | _published(index_S, length))


def _published(index_S: Tensor, audio: int) -> Tensor:
    """Take the causal mask and set the block of the audio free (FBK-fairseq)."""
    return (index_S[:, None] < audio) & (index_S < audio)


@pytest.mark.parametrize("audio", ["causal", "bidirectional"])
def test_earlier_audio_hears_later_audio_only_when_bidirectional(audio: Any) -> None:
    speaker = make_speaker(PrefixConfig(audio=audio))
    heard = random_heard(3, longest=8)
    lengths_B = heard.audio.lengths_B
    with torch.inference_mode():
        before_BSE, audio_B, text_B = _all_states(speaker, heard.audio, heard)
        for b, frames in enumerate(lengths_B.tolist()):
            for t in range(frames):
                states_BTE = heard.audio.states_BTE.clone()
                states_BTE[b, t] += 1
                after_BSE, *_ = _all_states(speaker, Audio(states_BTE, lengths_B), heard)
                changed_S = (after_BSE[b] - before_BSE[b]).abs().amax(1) > 1e-6
                start, text = int(audio_B[b]), int(text_B[b])
                assert not changed_S[:start].any()  # the prompt before the audio does not see it
                assert bool(changed_S[start : start + t].any()) == (audio == "bidirectional" and t > 0)
                assert changed_S[start : start + t].all() or audio == "causal"
                assert changed_S[start + t : text].all()


def _all_states(speaker: Speaker, audio: Audio, heard: Any) -> tuple[Tensor, Tensor, Tensor]:
    """States of all positions, where the audio begins, and how many positions there are."""
    layout = lay_out(speaker.llm, heard.prompts, heard.labels_BN, heard.counts_B, audio)
    seen_BSS = speaker.interface._seen(layout, audio)
    return speaker.llm.hidden(layout.embedded_BSE, seen_BSS), layout.audio_B, layout.lengths_B


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", ["prefix", "bidirectional"])
def test_it_is_one_sequence_to_the_llm(name: str, architecture: str) -> None:
    """What transformers makes of the same embeddings, laid out by hand, with the mask of the formula."""
    speaker = make_speaker(INTERFACES[name], architecture)
    model: Any = speaker.llm.model
    config = type(model.config).from_dict(model.config.to_dict())
    plain: Any = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    plain.load_state_dict(model.state_dict())
    with torch.inference_mode():
        for seed in range(6):
            heard = random_heard(seed)
            states_BME = speaker.hidden(*heard)
            for b, count in enumerate(heard.counts_B.tolist()):
                audio, prompts, labels_1N, _ = heard.alone(b)
                table = plain.get_input_embeddings()
                parts = (table(prompts.before_BP), audio.states_BTE, table(prompts.after_BP), table(labels_1N))
                embedded_1SE = torch.cat(parts, 1)
                index_S = torch.arange(embedded_1SE.shape[1])
                seen_SS = index_S <= index_S[:, None]
                if name == "bidirectional":
                    block = slice(parts[0].shape[1], parts[0].shape[1] + parts[1].shape[1])
                    seen_SS[block, block] = True
                bias_SS = torch.where(seen_SS, 0.0, -torch.inf)
                expected_SE = plain.model(inputs_embeds=embedded_1SE, attention_mask=bias_SS[None, None])[0][0]
                torch.testing.assert_close(
                    states_BME[b, : count + 1], expected_SE[-count - 1 :], atol=2e-5, rtol=0, msg=f"seed {seed}"
                )


def test_only_bidirectional_audio_needs_a_mask() -> None:
    """Without one, attention has faster kernels."""
    masks = []
    for name in ("prefix", "bidirectional"):
        speaker, heard = make_speaker(INTERFACES[name]), random_heard(2)
        layer: Any = speaker.llm.model.model.layers[0]
        layer.register_forward_pre_hook(
            lambda _, arguments, keywords: masks.append(keywords["attention_mask"]), with_kwargs=True
        )
        speaker.hidden(*heard)
        speaker.hidden(Audio(torch.randn(3, 1, WIDTH), torch.ones(3).long()), *heard[1:])  # nothing comes later
    assert [mask is None for mask in masks] == [True, True, False, True]


def test_labels_of_different_number_cost_no_positions() -> None:
    """Many labels after short audio beside few after long audio: what counts is each utterance's own sum."""
    speaker = make_speaker(PrefixConfig(), max_positions=24)
    heard = random_heard(0)._replace(labels_BN=torch.randint(0, VOCABULARY, (3, 15)))
    audio = Audio(torch.randn(3, 18, WIDTH), torch.tensor([18, 2, 9]))
    prompts = heard.prompts._replace(before_lengths_B=torch.zeros(3).long(), after_lengths_B=torch.ones(3).long())
    states_BME = speaker.hidden(audio, prompts, heard.labels_BN, torch.tensor([2, 15, 1]))
    assert states_BME.shape == (3, 16, WIDTH)
    assert states_BME.isfinite().all()


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"audio must be one of 'causal', 'bidirectional', not 'both'"):
        from_json(PrefixConfig, {"kind": "prefix", "audio": "both"})
    assert from_json(PrefixConfig, {"kind": "prefix"}) == PrefixConfig()  # as saved before there was a choice
