"""The dispatcher, help, and that it stays quick."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Call, process

from duolect import __version__
from duolect.cli import COMMANDS


def test_the_overview_names_every_command(call: Call) -> None:
    for arguments in ((), ("--help",), ("help",)):
        result = call(*arguments)
        assert result.status == 0
        assert all(f"duolect {name}" in result.out for name in COMMANDS)
    assert call("--version").out == f"duolect {__version__}\n"


def test_an_unknown_command_is_an_error(call: Call) -> None:
    result = call("recognise")
    assert result.status == 2
    assert "there is no command 'recognise'" in result.err


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_needs_no_torch(name: str | None) -> None:
    """What makes help slow is importing torch (a second and a half)."""
    arguments = ["--help"] if name is None else [name, "--help"]
    code = (
        f"import sys, duolect.cli as cli\ntry:\n    cli.main({arguments!r})\nexcept SystemExit:\n    pass\n"
        "sys.exit('torch' in sys.modules or 'matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0
    assert "duolect" in done.stdout


def test_a_reader_that_has_gone_is_no_error() -> None:
    running = process("--help")
    assert running.stdout is not None
    running.stdout.close()
    assert running.wait(30) in (0, 141)
    assert "Traceback" not in (running.stderr.read() if running.stderr else "")


def test_letters_that_the_output_cannot_hold_do_not_end_a_command(tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text('{"id": "a", "text": "Ω", "reference": "Ω"}\n', encoding="utf-8")
    done = process("score", tmp_path / "h.jsonl", PYTHONIOENCODING="latin-1", PYTHONUTF8="0")
    out, err = done.communicate(timeout=60)
    assert done.returncode == 0, err
    assert "0.00" in out
    assert "\\u2013" in out  # the dash of an interval that there is not


def test_wrong_arguments_exit_with_two_and_no_traceback(call: Call) -> None:
    result = call("score", "a.jsonl", "--normalizer", "plain")
    assert result.status == 2
    assert "--normalizer" in result.err
    assert "Traceback" not in result.err
