"""Duolect: large language models for speech recognition, integrated or combined, compared on your own data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duolect.systems import System, load

__version__ = "0.1.0"
__all__ = ["System", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """`duolect.load` and `duolect.System`, found when first used, so that `import duolect` stays cheap."""
    if name in ("System", "load"):
        import duolect.systems

        return getattr(duolect.systems, name)
    raise AttributeError(f"module 'duolect' has no attribute {name!r}")
