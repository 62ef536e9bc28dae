"""Room `training`: one loop for all models, with checkpoints that survive anything and resume bit for bit."""

from duolect.training.checkpoint import Best, Checkpoints
from duolect.training.config import LoopConfig, OptimiserConfig
from duolect.training.distributed import Ranks, build_accelerator
from duolect.training.schedule import PiecewiseLinear, Schedule, WarmupCosine
from duolect.training.trainer import Trainer, TrainingInterrupted, TrainingSummary

__all__ = [
    "Best",
    "Checkpoints",
    "LoopConfig",
    "OptimiserConfig",
    "PiecewiseLinear",
    "Ranks",
    "Schedule",
    "Trainer",
    "TrainingInterrupted",
    "TrainingSummary",
    "WarmupCosine",
    "build_accelerator",
]
