"""Files that appear whole or not at all: write beside, fsync, rename.

A reader never sees half a checkpoint, manifest or result, whatever kills the writer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from duolect.errors import ConfigError, DuolectError

if TYPE_CHECKING:
    import torch


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_parent(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DuolectError(f"{path.parent}: the output folder cannot be made ({error.strerror}).") from error


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str], mode: str = "w") -> Generator[IO[Any]]:
    """Open a file that takes the place of `path` only when the block ends without an error.

    `mode` is "w" (UTF-8 text) or "wb". On any error the partial file is removed and `path` is as before.
    Raises DuolectError when the folder cannot be written or the disk is full.
    """
    path = Path(path)
    _make_parent(path)
    partial = _beside(path)
    try:
        with open(partial, mode, encoding=None if "b" in mode else "utf-8") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise DuolectError(f"{path}: could not be written ({error.strerror or error}).") from error
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Generator[Path]:
    """Yield an empty folder that becomes `path` when the block ends without an error.

    An existing `path` is replaced as one step of two renames; on any error it stays as it was.
    Raises DuolectError when the parent cannot be written or the disk is full.
    """
    path = Path(path)
    _make_parent(path)
    partial, old = _beside(path), _beside(path)
    try:
        partial.mkdir()
        yield partial
        for file in partial.rglob("*"):
            if file.is_file():
                with open(file, "rb") as handle:
                    os.fsync(handle.fileno())
        if path.exists():
            os.replace(path, old)
        os.replace(partial, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise DuolectError(f"{path}: could not be written ({error.strerror or error}).") from error
    finally:
        if old.exists() and not path.exists():  # an error, or Ctrl-C, between the two renames
            os.replace(old, path)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused (ValueError)."""
    with atomic_file(path) as handle:
        json.dump(value, handle, indent=2, ensure_ascii=False, allow_nan=False)
        handle.write("\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read one JSON document. Raises ConfigError naming file, line and column where it is not JSON."""
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        place = f"{path}:{error.lineno}:{error.colno}" if isinstance(error, json.JSONDecodeError) else str(path)
        raise ConfigError(f"{place}: not valid JSON ({error}).") from error


def finite_number(value: Any) -> float | None:
    """A JSON value as a float; None for what is no number, not finite, or an integer too large for a float."""
    try:
        if not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(number := float(value)):
            return number
    except OverflowError:
        pass
    return None


def files_below(folder: str | os.PathLike[str], *, hidden: bool = True) -> Iterator[Path]:
    """All files below a folder, in linked folders too, sorted within each folder; those of a folder come before those
    of its subfolders. A link back to a folder that it lies in is not followed. Unless `hidden`, without names that
    begin with a dot, and what is below them."""
    above = {os.fspath(folder): (os.path.realpath(folder),)}
    for base, folders, names in os.walk(folder, followlinks=True):
        chain, kept = above.pop(base), []
        for name in sorted(name for name in folders if hidden or not name.startswith(".")):
            path = os.path.join(base, name)
            real = os.path.realpath(path) if os.path.islink(path) else os.path.join(chain[-1], name)
            if real not in chain:
                above[path] = (*chain, real)
                kept.append(name)
        folders[:] = kept
        yield from (Path(base, name) for name in sorted(names) if hidden or not name.startswith("."))


def file_hash(path: str | os.PathLike[str]) -> str:
    """The first 16 hex digits of the SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()[:16]


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors as one safetensors file, atomically. Tensors that share memory are written once each."""
    from safetensors.torch import save

    data = save({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, dict(metadata or {}))
    with atomic_file(path, "wb") as handle:
        handle.write(data)


def tensor_notes(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a safetensors file; its tensors are not read. Raises ConfigError as `load_tensors` does."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path), "pt") as file:
            return file.metadata() or {}
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file.") from error
    except SafetensorError as error:
        raise ConfigError(f"{path}: not a whole safetensors file ({error}).") from error


def load_tensors(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> dict[str, torch.Tensor]:
    """Read a safetensors file onto `device`. Raises ConfigError when it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(Path(path), device=str(device))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such file.") from error
    except SafetensorError as error:
        raise ConfigError(f"{path}: not a whole safetensors file ({error}).") from error
