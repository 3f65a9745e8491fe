"""A folder of verdicts belongs to one server at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.verdict_marks import found_marks
from scripts import bundle_root
from scripts.annotations.verdict_folder import VerdictFolder
from scripts.errors import InputError

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from scripts.annotations.verdict_folder import VerdictFolder
folder = VerdictFolder(sys.argv[2], "A")
file = folder.open("a")
file.judge(file.marks[0].id, "tumor")
print("judged", flush=True)
sys.stdin.read()
"""


def test_a_second_server_is_refused_and_a_killed_one_has_lost_nothing(tmp_path: Path) -> None:
    folder = VerdictFolder(tmp_path / "new" / "verdicts", "B")
    folder.open("a").begin(found_marks())
    folder.close()
    command = [sys.executable, "-c", HOLDER, bundle_root(), str(folder.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "judged\n"
        with pytest.raises(InputError, match=f"output {folder.path}: another run is writing there; wait for it"):
            VerdictFolder(folder.path, "B")
        holder.kill()
        holder.wait()
    again = VerdictFolder(folder.path, "B")
    assert [mark.verdict for mark in again.open("a").marks] == ["tumor", None, None, "tumor"]
    again.close()


@pytest.mark.parametrize("name", ["../a", "a/b", ".a", ""])
def test_names_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    folder = VerdictFolder(tmp_path)
    with pytest.raises(InputError, match="cannot be a file's name"):
        folder.open(name)
    folder.close()
