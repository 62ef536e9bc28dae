"""The house holds: imports point downwards, modules stay small, light rooms stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "duolect"
# From the top of the house to its foundations; a room imports only from rooms further down.
ROOMS = [
    "cli",
    "server",
    "studies",
    "reports",
    "recipes",
    "training",
    "systems",
    "search",
    "evaluation",
    "models",
    "nn",
    "data",
    "text",
    "audio",
    "configs",
    "storage",
    "errors",
]
HARD_LIMIT = 600
MODULES = sorted(SOURCE.rglob("*.py"))


def _room(parts: tuple[str, ...]) -> str | None:
    return parts[1] if len(parts) > 1 and parts[0] == "duolect" else None


def _imports(path: Path) -> list[tuple[int, tuple[str, ...]]]:
    """Line and dotted parts of everything of duolect that a module imports, inside functions too."""
    package = ("duolect", *path.relative_to(SOURCE).with_suffix("").parts)
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, tuple(alias.name.split("."))) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else ()
            module = base + tuple((node.module or "").split(".")) if node.module else base
            found += [(node.lineno, (*module, alias.name)) for alias in node.names]
    return [(line, parts) for line, parts in found if parts[0] == "duolect"]


def _violations(path: Path) -> list[str]:
    here = _room(("duolect", *path.relative_to(SOURCE).with_suffix("").parts))
    if here not in ROOMS:  # the package root: it may point at the rooms lazily
        return []
    wrong = []
    for line, parts in _imports(path):
        there = _room(parts)
        if there in ROOMS and there != here and ROOMS.index(there) < ROOMS.index(here):
            wrong.append(f"{path.relative_to(SOURCE)}:{line}: {here} imports {there}, which stands above it")
    return wrong


def test_imports_point_downwards() -> None:
    assert len(MODULES) > 20
    assert [w for path in MODULES for w in _violations(path)] == []


def test_a_wrong_import_would_be_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "SOURCE", tmp_path)
    module = tmp_path / "text" / "units.py"
    module.parent.mkdir()
    module.write_text("def f():\n    from ..search import result\n    import duolect.audio\n")
    assert len(_violations(module)) == 1


def test_every_folder_is_a_room() -> None:
    names = {p.name for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert names <= set(ROOMS)


def test_modules_stay_small() -> None:
    sizes = {str(p.relative_to(SOURCE)): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert {name: n for name, n in sizes.items() if n > HARD_LIMIT} == {}
    assert sorted(sizes.values())[len(sizes) // 2] <= 300


@pytest.mark.parametrize("room", ["evaluation", "text", "configs", "errors"])
def test_light_rooms_do_not_load_torch(room: str) -> None:
    code = f"import sys, duolect, duolect.{room}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_functions_have_docstrings() -> None:
    bare = []
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            inner = node.body if isinstance(node, ast.ClassDef) else []
            for each in [node, *(m for m in inner if isinstance(m, ast.FunctionDef) and not m.name.startswith("_"))]:
                plain = not each.decorator_list and each.name not in ("forward", "reset_parameters")
                if ast.get_docstring(each) is None and plain:
                    bare.append(f"{path.relative_to(SOURCE)}:{each.lineno} {each.name}")
    assert bare == []
