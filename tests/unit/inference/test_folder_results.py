from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

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


def test_a_pipe_in_place_of_a_sidecar_or_a_map_is_told(folder: ResultFolder) -> None:
    for suffix, reason in ((".npy", "its map is missing or damaged"), (".json", "its sidecar is damaged")):
        (folder.path / f"a{suffix}").unlink()
        os.mkfifo(folder.path / f"a{suffix}")
        assert folder.outdated("a", EXPECTED) == reason


def test_a_missing_or_damaged_map_is_told(folder: ResultFolder) -> None:
    content = (folder.path / "a.npy").read_bytes()
    (folder.path / "a.npy").write_bytes(content[:100])
    assert folder.outdated("a", EXPECTED) == "its map is missing or damaged"
    (folder.path / "a.npy").unlink()
    assert folder.outdated("a", EXPECTED) == "its map is missing or damaged"
    np.save(folder.path / "a.npy", np.zeros((8, 5), dtype=np.float32))
    assert folder.outdated("a", EXPECTED) == "its map is of another size"


@pytest.mark.parametrize(("text", "content"), [(None, {}), ("{", {}), ("[]", {}), ('{"a": 1}', {"a": 1})])
def test_the_summary_of_the_run_before(folder: ResultFolder, text: str | None, content: dict[str, Any]) -> None:
    if text is not None:
        (folder.path / "run.json").write_text(text)
    assert folder.read_summary() == content


# --- writing ---------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing of the process runs after it."""


def kill_at(monkeypatch: pytest.MonkeyPatch, step: int) -> list[str]:
    """End a process at one of its changes of a folder's names; returns the changes that it made."""
    done: list[str] = []

    def kill_or(call: Any) -> Any:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            if len(done) >= step:
                raise Killed
            done.append(call.__name__)
            return call(*arguments, **options)

        return wrapped

    monkeypatch.setattr(os, "replace", kill_or(os.replace))
    monkeypatch.setattr(Path, "unlink", kill_or(Path.unlink))
    return done


def is_whole(folder: Path, mode: str) -> bool:
    """Whether a map and its sidecar are there, both of the run of this mode."""
    value = {"dense": 0.0, "sliding": 1.0}[mode]
    return bool(
        json.loads((folder / "a.json").read_text())["mode"] == mode and (np.load(folder / "a.npy") == value).all()
    )


@pytest.mark.parametrize("step", range(10))
def test_a_run_killed_while_it_writes_leaves_a_whole_map(
    folder: ResultFolder, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    with monkeypatch.context() as patch:
        done = kill_at(patch, step)
        try:
            folder.write("a", np.ones((5, 8), dtype=np.float32), {**SIDECAR, "mode": "sliding"})
        except Killed:
            assert len(done) == step
        else:
            assert step > 5
    if (folder.path / "a.json").exists():
        assert is_whole(folder.path, "dense") or is_whole(folder.path, "sliding"), "no pair of two runs, ever"
    again = ResultFolder(folder.path)
    again.lock()
    assert is_whole(folder.path, "dense") or is_whole(folder.path, "sliding")
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", "a.json", "a.npy"]
    again.unlock()


@pytest.mark.parametrize("failing", ["write_npy", "write_json", "os.replace"])
def test_a_map_leaves_only_when_its_successor_is_written(
    folder: ResultFolder, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*_: Any) -> None:
        raise (OSError(28, "No space left on device") if failing == "os.replace" else InputError("no space"))

    monkeypatch.setattr(f"scripts.inference.folder_results.{failing}", fail)
    with pytest.raises(InputError, match=r"[nN]o space"):
        folder.write("a", np.ones((5, 8), dtype=np.float32), {**SIDECAR, "mode": "sliding"})
    assert is_whole(folder.path, "dense")
    assert sorted(path.name for path in folder.path.iterdir()) == ["a.json", "a.npy"]


def test_leftovers_of_killed_runs_go_with_the_lock(folder: ResultFolder) -> None:
    for name in (".a.1.tmp.npy", ".b.0123456789abcdef.tmp.json", ".b.0123456789abcdef.new.npy"):
        (folder.path / name).touch()
    (folder.path / ".notes.json").touch()
    folder.lock()
    assert sorted(path.name for path in folder.path.iterdir()) == [".lock", ".notes.json", "a.json", "a.npy"]
    folder.unlock()
