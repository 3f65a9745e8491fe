from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts.cli.main import BUNDLE_ROOT
from scripts.cli.paths import check_paths
from scripts.errors import InputError


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("slides", "nope: no such file or folder; give slides or a folder of slides"),
        ("weights", "nope: no such file of weights; give another path or train first"),
        ("teacher", "nope: no such file of weights; give another path or train first"),
        ("training_file", "nope: no such file; give another --training_file"),
        ("dataset_dir", "nope: no such folder; give another --dataset_dir"),
        ("foreground_dir", "foreground_dir nope: no such folder of masks; make them, or leave the flag out"),
        ("truth_dir", "nope: no such folder; give another --truth_dir"),
        ("folders", "nope: no such folder of patch pictures; give another to --folders"),
        ("tables", "nope: no such table of patch pictures; give another to --tables"),
    ],
)
def test_what_is_read_must_exist(flag: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        check_paths({"stride": "64", flag: "nope"})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "flags",
    [
        {"slides": "s3://bucket/a.tif", "weights": "$@bundle_root + '/models/model.pt'"},
        {"weights": "null", "foreground_dir": "None", "teacher": None},
        {"output_dir": "nope", "cache_dir": "nope", "config_file": "nope"},
        {"slides": "a.tif\nfolder", "dataset_dir": "nope"},
        {"weights": "a.tif", "dataset_dir": "folder", "teacher": "['nope.pt']"},
    ],
)
def test_what_is_written_or_lies_elsewhere_is_not_looked_for(
    flags: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tif").touch()
    (tmp_path / "folder").mkdir()
    check_paths(flags)


@pytest.mark.parametrize(
    "words",
    [
        "infer --slides a.tif nope.tif",
        "train --dataset_dir nope",
        "infer --weights nope",
        "metrics --output o --folders nope",
        "metrics --output o --config_file nope",
        "calibrate --output o --tables nope",
        "calibrate --output o --weights nope",
    ],
)
def test_a_wrong_path_is_told_before_torch_is_imported(words: str, tmp_path: Path) -> None:
    (tmp_path / "a.tif").touch()
    code = (
        "import sys; from scripts.cli.main import main\n"
        f"try: main({words.split()!r})\n"
        "except SystemExit as stop: print(stop.code, {'torch', 'monai'} & set(sys.modules))"
    )
    environment = {"PYTHONPATH": str(BUNDLE_ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith(("error: nope", "error: --config_file nope: no such ")), done.stderr
    assert done.stdout.endswith(" set()\n")
