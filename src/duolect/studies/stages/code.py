"""A fingerprint of the package's code: has what made a result changed since?

Comments, docstrings and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import duolect

_PACKAGE = Path(duolect.__file__).parent


def code_fingerprint(rooms: Iterable[str]) -> str:
    """16 hex digits of the code of these rooms, or single modules ("systems/prior.py"), of the package, and of the
    modules that every room stands on."""
    digest = hashlib.sha256()
    for path in [*sorted(_PACKAGE.glob("*.py")), *(p for room in sorted(rooms) for p in _modules(room))]:
        digest.update(f"{path.relative_to(_PACKAGE)} {_fingerprint(path)}\n".encode())
    return digest.hexdigest()[:16]


def _modules(room: str) -> list[Path]:
    path = _PACKAGE / room
    return [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))


@cache
def _fingerprint(path: Path) -> str:
    return hashlib.sha256(_bare(path.read_text(encoding="utf-8")).encode()).hexdigest()


def _bare(source: str) -> str:
    """The syntax tree without docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and isinstance(
            body, list
        ):
            node.body = [line for line in body if not _is_text(line)]
    return ast.dump(tree)


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)
