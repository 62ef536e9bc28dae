"""Files and folders that appear whole or not at all, whatever ends the writer."""

import subprocess
import sys
from pathlib import Path

_INTERRUPTED = """
import sys
from duolect.storage import atomic_folder

renames = 0

def interrupt(event, arguments):
    global renames
    if event == "os.rename":
        renames += 1
        if renames == 2:
            raise KeyboardInterrupt

try:
    with atomic_folder(sys.argv[1]) as folder:
        (folder / "weights").write_text("new")
        sys.addaudithook(interrupt)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_a_folder_outlives_an_interruption_between_the_renames(tmp_path: Path) -> None:
    """Python says what it is about to rename; the interruption comes when the old folder has just been moved away."""
    folder = tmp_path / "system"
    folder.mkdir()
    (folder / "weights").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130, done.stderr
    assert (folder / "weights").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder]
