from __future__ import annotations

import gc
import json
import sys
from pathlib import Path

import pytest

from scripts import bundle_root
from scripts.errors import InputError
from scripts.workflow import device_override, find_overlays, run_bundle

CONFIGS = Path(bundle_root()) / "configs"


def test_overlays_are_found_by_path_or_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.json").write_text("{}")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine").write_text("{}")
    assert find_overlays([str(tmp_path / "mine.json"), "sub/mine", "mine.json"]) == [
        tmp_path / "mine.json",
        Path("sub/mine"),
        Path("mine.json"),
    ]
    assert find_overlays(["train_patches.json", "train_patches"]) == [CONFIGS / "train_patches.json"] * 2
    assert find_overlays([]) == []


def test_a_file_here_goes_before_one_of_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train_patches.json").write_text("{}")
    assert find_overlays(["train_patches.json"]) == [Path("train_patches.json")]


@pytest.mark.parametrize("name", ["nope.json", "nope", ".", "sub"])
def test_a_missing_overlay_is_named_with_those_there_are(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match=rf"^--config_file {name}: no such file, .*, which has .*train_patches\.json"):
        find_overlays([name])


def test_a_config_runs_with_overrides_and_overlays_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != bundle_root()])
    result = tmp_path / "result.json"
    config = {
        "imports": ["$import json", "$import pathlib"],
        "stride": "$@base + 1",
        "root": {"_target_": "scripts.bundle_root"},
        "note": f"$pathlib.Path('{result}').write_text(json.dumps([@base, @stride, @root]))",
        "run": ["$@note"],
    }
    (tmp_path / "overlay.json").write_text(json.dumps(config))
    (tmp_path / "second.json").write_text(json.dumps({"base": 5}))
    run_bundle("run", "inference.json", {"base": 41}, ["overlay.json", "second.json"])
    assert json.loads(result.read_text()) == [41, 42, bundle_root()]
    assert bundle_root() in sys.path


def test_a_missing_overlay_stops_the_run_before_anything(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        run_bundle("run", "inference.json", {}, [str(tmp_path / "nope.json")])


@pytest.mark.parametrize(
    ("given", "expected"),
    [("cpu", "$torch.device('cpu')"), ("cuda:1", "$torch.device('cuda:1')"), ("$torch.device('cpu')",) * 2],
)
def test_a_device_may_be_given_by_name(given: str, expected: str) -> None:
    assert device_override({"device": given, "stride": 64}) == {"device": expected, "stride": 64}


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(InputError, match="cpu, cuda or cuda:<number>, but got 'gpu'"):
        device_override({"device": "gpu"})
    assert device_override({"stride": 64}) == {"stride": 64}


def test_what_a_run_made_is_freed_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Engines and handlers name each other, as this object does itself; such a network would stay in memory."""
    monkeypatch.chdir(tmp_path)
    config = {
        "imports": ["$import pathlib", "$import weakref"],
        "loop": {"_target_": "argparse.Namespace"},
        "run": [
            "$setattr(@loop, 'me', @loop)",
            "$weakref.finalize(@loop, pathlib.Path('freed').touch)",
        ],
    }
    (tmp_path / "overlay.json").write_text(json.dumps(config))
    gc.disable()
    try:
        run_bundle("run", "inference.json", {}, ["overlay.json"])
        assert (tmp_path / "freed").exists()
    finally:
        gc.enable()
