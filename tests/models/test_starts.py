"""Tags: the decoder begins with the utterance's own, which is no label; without tags nothing has changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from duolect.errors import ConfigError, ModelError
from duolect.models import AcousticConfig, DecoderConfig, TransformerDecoderConfig

DECODERS: dict[str, Any] = {
    "cross": DecoderConfig(width=16, layers=3, heads=2, auxiliary_layer=2),
    "transformer": TransformerDecoderConfig(width=16, layers=2, heads=2, feed_forward=32),
    "prepend": TransformerDecoderConfig(width=16, layers=2, heads=2, feed_forward=32, coupling="prepend"),
}


@pytest.fixture(scope="module", params=DECODERS)
def tagged(configs: Any, build: Any, request: pytest.FixtureRequest) -> Any:
    return build(replace(configs["acoustic"], tags=("de", "fr", "it"), decoder=DECODERS[request.param]))


def _encode(model: Any, batch: Any, tags: list[int]) -> Any:
    return replace(model.encode(batch.samples_BN, batch.sample_lengths_B), tags_B=torch.tensor(tags))


def test_cached_equals_recomputed_alone_and_together(tagged: Any, batch: Any) -> None:
    decoder, tags = tagged.decoder, [2, 0, 2]
    labels_BN = torch.randint(0, decoder.vocabulary, (3, 4), generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        encoded = _encode(tagged, batch, tags)
        whole_BMV = decoder.sequence_log_probs(encoded, labels_BN, torch.full((3,), 4))
        assert whole_BMV.shape == (3, 5, decoder.vocabulary)  # a tag is no label
        rows_R = torch.tensor([2, 0, 2, 1])
        first_RV, state = decoder.start(encoded, 3)
        torch.testing.assert_close(first_RV, whole_BMV[:, 0], atol=2e-5, rtol=0)
        state = decoder.select(state, rows_R)
        for n in range(4):
            log_probs_R1V, state = decoder.step(state, labels_BN[rows_R, n : n + 1])
            torch.testing.assert_close(log_probs_R1V[:, 0], whole_BMV[rows_R, n + 1], atol=2e-5, rtol=0)
        for b in range(3):
            alone = encoded.select(torch.tensor([b]))
            alone_1MV = decoder.sequence_log_probs(alone, labels_BN[b : b + 1], torch.tensor([4]))
            torch.testing.assert_close(alone_1MV[0], whole_BMV[b], atol=2e-5, rtol=0)


def test_the_tag_decides_and_is_learnt(tagged: Any, batch: Any) -> None:
    with torch.inference_mode():
        german, french = (tagged.decoder.start(_encode(tagged, batch, [k] * 3), 3)[0] for k in (0, 1))
    assert (german - french).abs().max() > 1e-2
    terms = tagged(replace(batch, tags_B=torch.tensor([1, 1, 1])))
    terms["ce"].total.backward()
    gradient = tagged.decoder.starts.tags.weight.grad
    assert gradient[1].abs().max() > 0
    assert not gradient[[0, 2]].any()
    tagged.zero_grad(set_to_none=True)


def test_without_tags_the_decoder_begins_with_bos(models: Any, batch: Any) -> None:
    decoder = models["acoustic"].decoder
    assert not [name for name in decoder.state_dict() if "starts" in name]
    with torch.inference_mode():
        encoded = models["acoustic"].encode(batch.samples_BN, batch.sample_lengths_B)
        assert decoder.starts.ids(encoded).tolist() == [decoder.bos_id] * 3


def test_missing_and_superfluous_tags_are_refused(tagged: Any, models: Any, batch: Any) -> None:
    with torch.inference_mode():
        encoded = tagged.encode(batch.samples_BN, batch.sample_lengths_B)
        with pytest.raises(ModelError, match="begins with one of 3 tags, but the utterances have none"):
            tagged.decoder.start(encoded, 3)
        with pytest.raises(ModelError, match="built without any"):
            models["acoustic"].decoder.start(replace(encoded, tags_B=torch.zeros(3, dtype=torch.long)), 3)


def test_a_model_without_a_decoder_cannot_translate(configs: Any) -> None:
    base: AcousticConfig = configs["acoustic"]
    for wrong in ({"target": "translation"}, {"tags": ("de",)}):
        with pytest.raises(ConfigError, match="without a decoder"):
            replace(base, decoder=None, **wrong)
    with pytest.raises(ConfigError, match="tags must be different names"):
        replace(base, tags=("de", "de"))


def test_tensors_of_labels_are_those_with_a_row_for_each(tagged: Any) -> None:
    state, config = tagged.state_dict(), tagged.config
    rows = {config.vocabulary, len(config.tags)}
    found = tagged.label_tensors(heads=False)
    assert found == {name for name in state if name.startswith("decoder.") and state[name].shape[0] in rows}
    heads = tagged.label_tensors() - found
    assert heads == {f"speech.ctc_heads.{n}.{part}" for n in (1, 2) for part in ("weight", "bias")}
