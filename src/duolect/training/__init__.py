"""Room `training`: one loop for all models, with checkpoints that survive anything and resume bit for bit."""

from duolect.training.checkpoint import Best, Checkpoints
from duolect.training.config import LoopConfig, OptimiserConfig, Precision
from duolect.training.distributed import Ranks, build_accelerator
from duolect.training.export import export_system
from duolect.training.final import TrainingSummary
from duolect.training.plan import Plan, plan_training
from duolect.training.run import train_recipe
from duolect.training.schedule import InverseSquareRoot, PiecewiseLinear, Schedule, WarmupCosine
from duolect.training.stored import stored_config
from duolect.training.task import (
    FROM_UNITS,
    AcousticTask,
    LanguageTask,
    Recipe,
    SpeechLLMTask,
    UnitsFrom,
    read_recipe,
)
from duolect.training.trainer import Trainer, TrainingInterrupted

__all__ = [
    "FROM_UNITS",
    "AcousticTask",
    "Best",
    "Checkpoints",
    "InverseSquareRoot",
    "LanguageTask",
    "LoopConfig",
    "OptimiserConfig",
    "PiecewiseLinear",
    "Plan",
    "Precision",
    "Ranks",
    "Recipe",
    "Schedule",
    "SpeechLLMTask",
    "Trainer",
    "TrainingInterrupted",
    "TrainingSummary",
    "UnitsFrom",
    "WarmupCosine",
    "build_accelerator",
    "export_system",
    "plan_training",
    "read_recipe",
    "stored_config",
    "train_recipe",
]
