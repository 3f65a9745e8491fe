from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import bundle_root
from scripts.cli.monai_import import NOT_NEEDED, import_monai, needs_all
from scripts.errors import InputError

LEAN = """
import json, sys
from scripts.cli.monai_import import import_monai
import_monai()
print(json.dumps(sorted(sys.modules)))
monai = sys.modules["monai"]
from monai.networks.nets import TorchVisionFCModel
from monai.engines import SupervisedEvaluator
from monai.handlers import from_engine
from ignite.engine import Engine
import matplotlib.pyplot, requests, scipy.stats, skimage.filters
"""
ALL = "import json, sys, monai.bundle; print(json.dumps(sorted(sys.modules)))"


def modules_after(code: str) -> set[str]:
    """Modules that a new process has."""
    outcome = subprocess.run(
        [sys.executable, "-c", code], cwd=bundle_root(), capture_output=True, text=True, check=True
    )
    return set(json.loads(outcome.stdout.splitlines()[0]))


def test_monai_is_whole_without_what_is_not_needed() -> None:
    lean, everything = modules_after(LEAN), modules_after(ALL)
    assert not NOT_NEEDED & lean
    assert {"matplotlib", "skimage", "torch.utils.tensorboard"} <= everything
    of_monai = {name for name in everything if name.partition(".")[0] in ("monai", "ignite", "torchvision")}
    assert of_monai <= lean


def test_an_import_that_was_done_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    import monai

    finders = list(sys.meta_path)
    import_monai()
    assert sys.modules["monai"] is monai
    assert sys.meta_path == finders


@pytest.mark.parametrize(
    ("overrides", "overlays", "found"),
    [
        ({"slides": "a.tif", "stride": 64}, [], False),
        ({"weights": "model.pt"}, ["screen_10x"], False),
        ({}, ["screen_10x.json", "multi_gpu_inference"], False),
        ({}, ["mlflow"], True),
        ({}, ["own.json"], True),
        ({}, ["screen_10x.json", "own/screen_10x.json"], True),
        ({"tracking": "mlflow"}, [], True),
        ({"handlers": [{"_target_": "monai.handlers.StatsHandler"}]}, [], True),
        ({"evaluator#val_handlers": "$[monai.handlers.StatsHandler()]"}, [], True),
    ],
)
def test_runs_with_components_of_their_own_import_all(
    overrides: dict[str, Any], overlays: list[str], found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own").mkdir()
    for name in ("own.json", "own/screen_10x.json"):
        (tmp_path / name).write_text("{}")
    assert needs_all(overrides, overlays) is found


def test_an_overlay_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"--config_file nowhere\.json: no such file"):
        needs_all({}, ["nowhere.json"])
