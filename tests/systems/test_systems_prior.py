"""The prior of a CTC head over a pre-trained encoder: of nothing but what each utterance says alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import make_source

from duolect.audio import write_audio
from duolect.data import BatchConfig, Utterance
from duolect.models import AcousticConfig, AcousticModel
from duolect.models.encoders import HuggingFaceEncoderConfig, inspect_source
from duolect.systems import Component, estimate_prior
from duolect.text import CharacterUnits
from duolect.training.export import training_prior


@pytest.mark.parametrize("name", ["wav2vec2-group", "whisper"])
def test_it_depends_on_no_batch_and_on_nothing_too_long_to_be_heard(
    name: str, units: CharacterUnits, corpus: list[Utterance], tmp_path: Path
) -> None:
    source = make_source(name, tmp_path / name)
    config = AcousticConfig(
        vocabulary=units.size,
        bos_id=units.bos_id,
        eos_id=units.eos_id,
        features=inspect_source(str(source)).features,
        encoder=HuggingFaceEncoderConfig(source=str(source)),
        ctc_layers=(3,),
        decoder=None,
    )
    torch.manual_seed(1)
    component = Component(AcousticModel(config), units)
    alone = estimate_prior(component, corpus, batch_seconds=0.0).log_prior_V
    together = estimate_prior(component, corpus).log_prior_V
    assert alone is not None
    assert together is not None
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    batches = BatchConfig(max_seconds=60.0, shortest=0.1)
    at_training = training_prior(component.model, corpus, units, number=len(corpus), batches=batches, seed=0)
    torch.testing.assert_close(at_training, alone, atol=1e-5, rtol=0)
    write_audio(tmp_path / "long.wav", np.sin(np.arange(4 * 16_000) / 9).astype(np.float32))
    long = Utterance(audio_filepath=tmp_path / "long.wav", duration=4.0, text="a", id="long")
    longer = estimate_prior(component, [*corpus, long]).log_prior_V
    assert longer is not None
    assert torch.allclose(longer, alone, atol=1e-5) == (name == "whisper")  # the tiny one hears 3 s
