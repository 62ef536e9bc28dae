"""What all models of transformers have in common here: quiet loading, and architectures that are kept as JSON."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Generator
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from duolect.errors import ConfigError, ModelError
from duolect.storage import read_json, tensor_notes, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

_POINTER = b"version https://git-lfs"  # how a file begins that Git has left where it belongs
_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")  # of a layer, in the name of a weight


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


def load_pretrained(
    network: Any, source: str, name: str, spared: Callable[[Any], Collection[str]] = lambda _: (), **arguments: Any
) -> Any:
    """`network.from_pretrained(source, …)`, all of whose weights are those of the source: none is left random.

    `name` begins the error's sentence ("llm: 'folder'"); `spared`: of a loaded model, the names of weights that the
    source may lack or have in another shape. Raises ModelError that names a file that is damaged, or weights that are
    missing, of another shape or of more layers, or a source that is an adapter; what else transformers raises goes to
    the caller.
    """
    from safetensors import SafetensorError

    refuse_adapter(source, name)
    try:
        model, report = network.from_pretrained(
            source, output_loading_info=True, ignore_mismatched_sizes=True, **arguments
        )
    except (SafetensorError, UnpicklingError, EOFError) as error:
        raise ModelError(f"{name} holds damaged weights: {_damaged_file(source) or reason(error)}.") from error
    except RuntimeError as error:
        if "conversion of the weights" not in str(error):  # experts, say, that are put together
            raise
        raise ModelError(f"{name} holds weights that do not fit its config.json: some are missing.") from error
    free = set(spared(model))
    odd = sorted(entry for entry in report["mismatched_keys"] if entry[0] not in free)
    if odd:
        key, found, expected = odd[0]
        more = f" (and {len(odd) - 1} more do not fit)" if odd[1:] else ""
        raise ModelError(
            f"{name} holds weights that do not fit its config.json: {key} has shape {tuple(found)}, expected "
            f"{tuple(expected)}{more}."
        )
    missing = sorted(set(report["missing_keys"]) - free)  # tied ones count as there
    if missing:
        more = f"s {missing[0]} and {len(missing) - 1} more" if missing[1:] else f" {missing[0]}"
        raise ModelError(f"{name} lacks the weight{more}.")
    left = _of_further_layers(model, report["unexpected_keys"])
    if left:
        more = f" and {len(left) - 1} more" if left[1:] else ""
        raise ModelError(
            f"{name} holds weights of more layers than its config.json says, {left[0]}{more}; where fewer are wanted, "
            "give what save_pretrained() of transformers writes of the smaller model."
        )
    return model


def _of_further_layers(model: Any, unused: Collection[str]) -> list[str]:
    """Of names of weights that the model has no use for, those that it has in layers of other numbers."""

    def shape(key: str) -> str:
        return _NUMBER.sub("#", key.removeprefix(f"{model.base_model_prefix}."))

    known = {shape(key) for key in model.state_dict()}
    return sorted(key for key in unused if _NUMBER.search(key) and shape(key) in known)


def refuse_adapter(source: str, name: str) -> None:
    """Raise ModelError for low-rank additions to another model, which transformers would put into that one unasked."""
    from transformers.utils import find_adapter_config_file

    found = find_adapter_config_file(source)
    if found is not None:
        stored = read_json(Path(found))
        base = stored.get("base_model_name_or_path") if isinstance(stored, dict) else None
        of = f" of {base!r}" if base else ""
        raise ModelError(
            f"{name} holds an adapter (adapter_config.json){of}, no model of its own; merge it into that one with "
            "merge_and_unload() of peft, and give what is saved then."
        )


def _damaged_file(source: str) -> str | None:
    """Which file of weights in the folder `source` is damaged, and how; None where that cannot be told."""
    for path in sorted(path for ending in ("safetensors", "bin") for path in Path(source).glob(f"*.{ending}")):
        with open(path, "rb") as handle:
            if handle.read(len(_POINTER)) == _POINTER:
                return f"{path.name} is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"
        try:
            if path.suffix == ".safetensors":
                tensor_notes(path)
        except ConfigError:
            return f"{path.name} is not a whole safetensors file ({path.stat().st_size} bytes)"
    return None


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
