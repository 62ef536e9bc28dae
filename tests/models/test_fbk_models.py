"""Whole models of arXiv 2501.02370: their losses, compression, search and folders, and configs from before them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fbk_configs import CONFIGS, VOCABULARY

from duolect.configs import from_json, to_json
from duolect.errors import ConfigError
from duolect.models import AcousticConfig, CompressionConfig, build_model, load_model, save_model
from duolect.search import AutoregressiveScorer, CTCPrefixScorer, Weighted, label_synchronous

COMPRESSED = {
    f"{kind}_compressed": dataclasses.replace(CONFIGS[kind], compression=CompressionConfig(layer=2))
    for kind in ("cross_conformer", "prepend_conformer")
}
ALL = CONFIGS | COMPRESSED


@pytest.fixture(scope="module")
def models(build: Callable[[Any], Any]) -> dict[str, Any]:
    return {kind: build(config) for kind, config in ALL.items()}


def _with_smoothing(config: AcousticConfig, smoothing: float) -> AcousticConfig:
    assert config.decoder is not None
    return dataclasses.replace(config, decoder=dataclasses.replace(config.decoder, label_smoothing=smoothing))


@pytest.mark.parametrize("kind", ALL)
def test_the_loss_is_smoothed_cross_entropy_and_half_of_ctc(kind: str, models: Any, build: Any, batch: Any) -> None:
    """(1 − ε)·NLL + ε/V·Σ_v −log p_v over labels and EOS, and 0.5·CTC where there is CTC."""
    model = models[kind]
    with torch.no_grad():
        terms = model(batch)
        encoded = model.encode(batch.samples_BN, batch.sample_lengths_B)
        log_probs_BMV = model.decoder.sequence_log_probs(encoded, batch.labels_BN, batch.label_lengths_B)
    expected = 0.0
    for b, length in enumerate(batch.label_lengths_B.tolist()):
        for m, target in enumerate([*batch.labels_BN[b, :length].tolist(), 0]):
            expected -= 0.9 * log_probs_BMV[b, m, target] + 0.1 * log_probs_BMV[b, m].mean()
    torch.testing.assert_close(terms["ce"].total, torch.as_tensor(expected), atol=1e-3, rtol=0)
    ctc = {"ctc2"} if "conformer" in kind else set()
    auxiliary = {"ce_aux"} if "prepend_conformer" in kind else set()
    assert set(terms) == {"ce"} | ctc | auxiliary
    if ctc:
        assert terms["ctc2"].weight == 0.5
        posteriors_BTW, frames_B = model.ctc_log_probs(encoded)
        assert frames_B.tolist() == [-(-samples // 640) for samples in batch.sample_lengths_B.tolist()]  # 40 ms
        total = torch.nn.functional.ctc_loss(
            posteriors_BTW.transpose(0, 1),
            batch.labels_BN,
            frames_B,
            batch.label_lengths_B,
            blank=VOCABULARY,
            reduction="sum",
        )
        torch.testing.assert_close(terms["ctc2"].total, total, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", COMPRESSED)
def test_compression_leaves_one_state_for_each_run_of_what_ctc_says(kind: str, models: Any, batch: Any) -> None:
    model, plain = models[kind], models[kind.removesuffix("_compressed")]
    with torch.no_grad():
        encoded = model.encode(batch.samples_BN, batch.sample_lengths_B)
        whole = plain.encode(batch.samples_BN, batch.sample_lengths_B)
        posteriors_BTW, frames_B = model.ctc_log_probs(encoded)
    torch.testing.assert_close(posteriors_BTW, plain.ctc_log_probs(whole)[0])  # CTC hears all frames
    for b, frames in enumerate(frames_B.tolist()):
        labels = posteriors_BTW[b, :frames].argmax(-1)
        assert encoded.lengths_B[b] == len(labels.unique_consecutive()) < frames == whole.lengths_B[b]


@pytest.mark.parametrize("kind", ALL)
def test_a_search_is_the_same_alone_and_in_a_batch_with_the_scores_of_teacher_forcing(
    kind: str, models: Any, batch: Any
) -> None:
    model, limits = models[kind], [6, 3, 5]
    for together in (False, True) if "conformer" in kind else (False,):  # the methods attention and attention+ctc
        with torch.inference_mode():
            encoded = model.encode(batch.samples_BN, batch.sample_lengths_B)

            def search(index: list[int], joint: bool = together, encoded: Any = encoded) -> Any:
                here = encoded.select(torch.tensor(index))
                scorers = [Weighted("decoder", AutoregressiveScorer(model.decoder))]
                if joint:
                    scorers.append(Weighted("ctc", CTCPrefixScorer(*model.ctc_log_probs(here), eos_id=0), 0.4))
                some = [limits[b] for b in index]
                settings = {"beam": 4, "nbest": 4, "eos_id": 0, "forbidden_ids": [1]}
                return label_synchronous(scorers, here, limits_B=some, length_exponent=1.0 - joint, **settings)

            found = search([0, 1, 2])
            for b, alone in enumerate([search([0]), search([1]), search([2])]):
                assert [h.labels for h in alone[0]] == [h.labels for h in found[b]]
                assert [h.score for h in alone[0]] == pytest.approx([h.score for h in found[b]], abs=1e-4)
                for hypothesis in found[b]:
                    labels_1N = torch.tensor([hypothesis.labels], dtype=torch.long)
                    log_probs_1MV = model.decoder.sequence_log_probs(
                        encoded.select(torch.tensor([b])), labels_1N, torch.tensor([len(hypothesis.labels)])
                    )
                    targets_M = torch.tensor([*hypothesis.labels, 0])
                    score = log_probs_1MV[0].gather(1, targets_M[:, None]).sum()
                    assert hypothesis.terms["decoder"] == pytest.approx(float(score), abs=1e-4)


@pytest.mark.parametrize("kind", ALL)
def test_saved_and_loaded_is_the_same_model(kind: str, models: Any, batch: Any, tmp_path: Path) -> None:
    save_model(models[kind], tmp_path / "model")
    loaded: Any = load_model(tmp_path / "model")
    assert loaded.config == models[kind].config
    with torch.inference_mode():
        a, b = (
            model.decoder.sequence_log_probs(
                model.encode(batch.samples_BN, batch.sample_lengths_B), batch.labels_BN, batch.label_lengths_B
            )
            for model in (models[kind], loaded)
        )
    assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ALL)
def test_twenty_steps_on_one_batch_bring_the_loss_down(kind: str, batch: Any) -> None:
    model: Any = build_model(_with_smoothing(ALL[kind], 0.0)).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for step in range(20):
        with torch.autocast("cpu", torch.bfloat16, enabled=step == 0):
            loss = sum(term.weight * term.total / term.count for term in model(batch, step).values())
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_configs_written_before_there_was_a_choice_are_read_as_they_were(configs: Any) -> None:
    written = to_json(configs["acoustic"])
    for part in (written["decoder"], written["encoder"]["front_end"]):
        del part["kind"]
    assert from_json(AcousticConfig, written) == configs["acoustic"]
    written["decoder"]["kind"] = "recurrent"
    with pytest.raises(ConfigError, match="decoder: kind must be one of 'gated', 'transformer', not 'recurrent'"):
        from_json(AcousticConfig, written)
    assert from_json(AcousticConfig, to_json(CONFIGS["prepend_conformer"])) == CONFIGS["prepend_conformer"]


def test_a_model_without_an_encoder_has_no_layer_for_ctc() -> None:
    with pytest.raises(ConfigError, match="ctc_layers must be empty for an encoder without layers"):
        dataclasses.replace(CONFIGS["decoder_only"], ctc_layers=(1,))


def test_an_encoder_is_taken_over_by_a_model_of_another_coupling(models: Any, build: Any) -> None:
    source, target = models["cross_transformer"], build(CONFIGS["prepend_transformer"])
    torch.nn.init.normal_(target.speech.encoder.layers[0].feed_forward.expand.weight)
    assert target.initialise_encoder(source) == []
    a, b = source.speech.encoder.state_dict(), target.speech.encoder.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert target.label_tensors() == {"decoder.embedding.weight", "decoder.output.weight"}
    with pytest.raises(Exception, match="kind"):
        models["cross_conformer"].initialise_encoder(source)
