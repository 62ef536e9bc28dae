"""What a checkpoint holds of a model: exactly what training changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from training_corpus import encoder

from duolect.audio import FeatureConfig
from duolect.errors import TrainingError
from duolect.models import LLMConfig, LoraSettings, SpeechLLMConfig, build_model
from duolect.training.state import load_model_tensors, model_tensors

CONFIG = SpeechLLMConfig(
    llm=LLMConfig(vocabulary=11, width=16, layers=2, heads=2),
    bos_id=1,
    eos_id=0,
    features=FeatureConfig(mels=16),
    encoder=encoder(0.0),
    ctc_layers=(2,),
)
LORA = {"finetune": "lora", "lora": LoraSettings(rank=2, alpha=8, targets=("q_proj", "down_proj"))}


@pytest.mark.parametrize("changes", [{}, {"finetune": "frozen"}, LORA, {"freeze_encoder": True}])
def test_a_checkpoint_holds_what_training_changes(changes: dict[str, Any]) -> None:
    config = dataclasses.replace(CONFIG, **changes)
    torch.manual_seed(1)
    model = build_model(config)
    torch.manual_seed(1)
    other = build_model(config)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    tensors = model_tensors(model, trained)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert bool(frozen) == bool(changes)
    assert not frozen & set(tensors)
    with torch.no_grad():
        for parameter in other.parameters():
            if parameter.requires_grad:
                parameter.zero_()
    load_model_tensors(other, trained, tensors, "checkpoint")
    assert other.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in other.state_dict().items())
    name, _ = tensors.popitem()
    with pytest.raises(TrainingError, match=f"checkpoint: the tensor {name!r} of the model is missing"):
        load_model_tensors(other, trained, tensors, "checkpoint")
