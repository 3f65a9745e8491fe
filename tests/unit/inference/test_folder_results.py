from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts import bundle_root
from scripts.errors import InputError
from scripts.inference.folder_results import ResultFolder

SIDECAR = {"shape": [301, 449], "stride": 64, "mode": "dense"}
EXPECTED = {"stride": 64, "mode": "dense"}


@pytest.fixture
def folder(tmp_path: Path) -> ResultFolder:
    found = ResultFolder(tmp_path / "maps")
    found.write("a", np.zeros((5, 8), dtype=np.float32), SIDECAR)
    return found


# --- what is up to date ----------------------------------------------------------------------------------------------


def test_what_matches_is_up_to_date(folder: ResultFolder) -> None:
    assert folder.outdated("a", EXPECTED) is None
    assert folder.outdated("a", {}) == "its map is of another size", "without a stride every pixel is one"
    assert folder.outdated("b", EXPECTED) == "", "nothing there, nothing to say"


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        ({"stride": 128, "mode": "dense"}, "stride was 64, is 128"),
        ({"stride": 64, "mode": "sliding"}, 'mode was "dense", is "sliding"'),
        ({"stride": 64, "tta": False}, "tta was null, is false"),
    ],
)
def test_what_differs_is_named(folder: ResultFolder, expected: dict[str, Any], reason: str) -> None:
    assert folder.outdated("a", expected) == reason


def test_a_map_without_a_sidecar_is_of_an_interrupted_run(folder: ResultFolder) -> None:
    (folder.path / "a.json").unlink()
    assert folder.outdated("a", EXPECTED) == "a map without a sidecar, of a run that was interrupted"


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_sidecar_is_told(folder: ResultFolder, text: str) -> None:
    (folder.path / "a.json").write_text(text)
    assert folder.outdated("a", EXPECTED) == "its sidecar is damaged"


def test_a_missing_or_damaged_map_is_told(folder: ResultFolder) -> None:
    content = (folder.path / "a.npy").read_bytes()
    (folder.path / "a.npy").write_bytes(content[:100])
    assert folder.outdated("a", EXPECTED) == "its map is missing or damaged"
    (folder.path / "a.npy").unlink()
    assert folder.outdated("a", EXPECTED) == "its map is missing or damaged"
    np.save(folder.path / "a.npy", np.zeros((8, 5), dtype=np.float32))
    assert folder.outdated("a", EXPECTED) == "its map is of another size"


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_run_killed_between_map_and_sidecar_leaves_no_pair_of_two_runs(
    folder: ResultFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scripts.inference.folder_results.write_json", killed)
    with pytest.raises(KeyboardInterrupt):
        folder.write("a", np.ones((5, 8), dtype=np.float32), {**SIDECAR, "mode": "sliding"})
    assert folder.outdated("a", EXPECTED) is not None
    assert folder.outdated("a", {**EXPECTED, "mode": "sliding"}) is not None


def test_removing_what_is_not_there_is_no_error(folder: ResultFolder) -> None:
    folder.remove("a")
    folder.remove("a")
    assert [path.name for path in folder.path.iterdir()] == []


# --- one run at a time ------------------------------------------------------------------------------------------------

HOLDER = """
import sys
sys.path.insert(0, sys.argv[1])
from scripts.inference.folder_results import ResultFolder
folder = ResultFolder(sys.argv[2])
folder.lock()
print("locked", flush=True)
sys.stdin.read()
"""


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, bundle_root(), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        second = ResultFolder(tmp_path)
        with pytest.raises(InputError, match=r"output_dir .*: another run is writing there; wait for it, or choose"):
            second.lock(seconds=0.1)
        holder.kill()  # no time to unlock
        holder.wait()
        second.lock(seconds=5)
        second.unlock()


def test_a_folder_is_free_again_after_a_run(tmp_path: Path) -> None:
    first, second = ResultFolder(tmp_path), ResultFolder(tmp_path)
    first.lock(seconds=0)
    with pytest.raises(InputError, match="another run is writing there"):
        second.lock(seconds=0)
    first.unlock()
    second.lock(seconds=0)
