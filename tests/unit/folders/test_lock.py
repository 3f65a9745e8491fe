from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import bundle_root
from scripts.errors import InputError
from scripts.folders.lock import FolderLock

HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from scripts.folders.lock import FolderLock
lock = FolderLock(Path(sys.argv[2]))
lock.acquire()
print("locked", flush=True)
sys.stdin.read()
"""


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, bundle_root(), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        second = FolderLock(tmp_path)
        with pytest.raises(InputError, match=r"output_dir .*: another run is writing there; wait for it, or choose"):
            second.acquire(seconds=0.1)
        holder.kill()  # no time to release
        holder.wait()
        second.acquire(seconds=5)
        second.release()


def test_a_folder_is_free_again_after_a_run(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.acquire(seconds=0)
    with pytest.raises(InputError, match="another run is writing there"):
        second.acquire(seconds=0)
    first.release()
    second.acquire(seconds=0)
