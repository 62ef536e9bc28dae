"""Where a stage computes."""

from __future__ import annotations

from typing import Literal

import torch

from duolect.errors import DuolectError
from duolect.studies.stages.base import Stage


def device_of(stage: Stage) -> Literal["cpu", "cuda"]:
    """A GPU where the stage needs some, else the CPU. Raises DuolectError where there are too few."""
    wanted = stage.needs.gpus
    if wanted < 1:
        return "cpu"
    found = torch.cuda.device_count()
    if found < wanted:
        many = "a GPU" if wanted == 1 else f"{wanted} GPUs"
        raise DuolectError(
            f"{stage.name}: needs {many}, and torch finds {found or 'none'} here; --set gpus=N asks for fewer (0 at "
            "scale small: the CPU), --set aed_gpus=N for the trainings of arXiv 2501.02370 at scale paper."
        )
    return "cuda"
