"""What a source says of the features its encoder hears. Its feature extractor itself is not built: it may want packages
that nobody else needs."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from duolect.errors import ModelError
from duolect.models.pretrained import reason

_NESTED, _OWN = "processor_config.json", "preprocessor_config.json"
_NAMES = ("feature_extractor", "audio_processor")  # in the file of a processor, where it has one


def read_extractor(source: str) -> Any | None:
    """The settings of the source's feature extractor, as attributes; None where it brings none.

    Raises ModelError, naming the file, where one is there and cannot be had or read.
    """
    unknown: _NotReached | None = None
    try:
        whole = _settings(source, _NESTED) or {}
    except _NotReached as error:  # a cache may hold the files there are, and not say which there are not
        whole, unknown = {}, error
    settings = next((whole[name] for name in _NAMES if name in whole), None)
    if settings is None:
        settings = _settings(source, _OWN)
    if settings is None:
        if unknown is not None:
            raise unknown
        return None
    if not isinstance(settings, dict):
        raise ModelError(_unreadable(source, _NESTED, "not settings of a feature extractor"))
    return SimpleNamespace(**settings)


class _NotReached(ModelError):
    """The hub could not be asked, and the cache does not know either."""


def _settings(source: str, name: str) -> dict[str, Any] | None:
    """What stands in the file; None where the source has no such file."""
    path = Path(source) / name if Path(source).is_dir() else _fetched(source, name)
    if path is None or not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(_unreadable(source, name, reason(error))) from error
    if not isinstance(settings, dict):
        raise ModelError(_unreadable(source, name, "not a JSON object"))
    return settings


def _fetched(source: str, name: str) -> Path | None:
    """The file of a hub name; None where the hub has said that there is none."""
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(source, name))
    except LocalEntryNotFoundError as error:  # the hub was not reached
        known = try_to_load_from_cache(source, name)
        if known is None:
            raise _NotReached(_unreadable(source, name, reason(error))) from error
        return Path(known) if isinstance(known, str) else None  # else it was known not to be there
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ModelError(_unreadable(source, name, reason(error))) from error


def _unreadable(source: str, name: str, why: str) -> str:
    return (
        f"encoder: {name} of {source!r}, which says what features it hears, cannot be read ({why}); expected the file "
        f"of transformers, or that the source has none."
    )
