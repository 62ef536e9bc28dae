"""Files and folders that appear whole or not at all, whatever ends the writer."""

import subprocess
import sys
from pathlib import Path

from duolect.storage import files_below

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


def test_files_below_a_folder_are_found_behind_links_and_loops_end(tmp_path: Path) -> None:
    for name in ("data/b/2.txt", "data/b/1.txt", "data/z.txt", "data/.cache/c.txt", "other/d/x.txt", "other/.y.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    data = tmp_path / "data"
    (data / "a").symlink_to(tmp_path / "other")
    (tmp_path / "other" / "back").symlink_to(data)
    (data / "b" / "up").symlink_to("..")
    (data / "gone.txt").symlink_to(tmp_path / "none")
    shown = ["gone.txt", "z.txt", "a/d/x.txt", "b/1.txt", "b/2.txt"]
    assert [path.relative_to(data).as_posix() for path in files_below(data, hidden=False)] == shown
    (tmp_path / "link").symlink_to(data)
    found = [path.relative_to(tmp_path / "link").as_posix() for path in files_below(str(tmp_path / "link"))]
    assert found == [*shown[:2], ".cache/c.txt", "a/.y.txt", *shown[2:]]
    assert not list(files_below(tmp_path / "none"))
