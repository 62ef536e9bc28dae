"""What all models of transformers have in common here: quiet loading, and architectures that are kept as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from duolect.errors import ConfigError, ModelError
from duolect.storage import read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def write_architecture(path: Path, architecture: PreTrainedConfig) -> None:
    """Write what `read_architecture` needs to make the same network without its source."""
    stored = architecture.to_dict()
    stored.pop("_name_or_path", None)  # the model's own config names the source
    write_json(path, stored)


def read_architecture(path: Path, what: str) -> PreTrainedConfig:
    """The architecture that stands in `path`. Raises ModelError where it is not that of `what` ("an encoder")."""
    from transformers import AutoConfig

    stored = read_json(path)
    if not isinstance(stored, dict) or "model_type" not in stored:
        raise ModelError(f"{path}: not the configuration of {what}.")
    stored.pop("transformers_version", None)
    try:
        return AutoConfig.for_model(stored.pop("model_type"), **stored)
    except (ValueError, TypeError, ConfigError) as error:
        raise ModelError(f"{path}: not the configuration of {what} ({error}).") from error


def reason(error: Exception) -> str:
    """The first sentence of what transformers has to say."""
    return " ".join(str(error).split()).split(". ")[0]


@contextlib.contextmanager
def quiet() -> Generator[None]:
    """Keep transformers from drawing progress bars and load reports; put its settings back afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
