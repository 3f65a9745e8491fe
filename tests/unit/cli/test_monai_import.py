from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import bundle_root
from scripts.cli.monai_import import LEAN_OVERLAYS, NOT_NEEDED, import_monai, needs_all
from scripts.errors import InputError

LOCATE = """
from monai.bundle.config_item import ComponentLocator
located = {name: ComponentLocator().get_component_module_name(name) for name in given["targets"]}
"""
DESCRIBE = """
from importlib import import_module
def described(package, names):
    module = import_module(package)
    found = ((name, getattr(module, name, None)) for name in names or dir(module))
    return {name: f"{value.__module__}.{value.__qualname__}" for name, value in found if inspect.isclass(value)}
names = {package: described(package, names) for package, names in given["names"].items()}
"""
LEAN = f"""
import gc, inspect, json, sys
given = json.load(sys.stdin)
from scripts.cli.monai_import import import_monai
import_monai()
assert gc.isenabled()
from monai.bundle import run
{LOCATE}
from monai.networks.nets import TorchVisionFCModel
TorchVisionFCModel("resnet18", 1, use_conv=True, pool=("avg", {{"kernel_size": 7, "stride": 1}}))
import scripts.inference.handlers, scripts.inference.inferers, scripts.inference.tile_loader
modules = sorted(sys.modules)
scripts.inference.tiles.TileDataset([]).prepare_to_plan()
assert {{"scipy.ndimage", "skimage.color", "skimage.filters"}} <= sys.modules.keys()
{DESCRIBE}
import matplotlib.pyplot, requests, scipy.stats, skimage.filters
print(json.dumps([located, modules, names]))
"""
ALL = f"""
import inspect, json, sys
given = json.load(sys.stdin)
import monai.bundle
modules = sorted(sys.modules)
{LOCATE}
{DESCRIBE}
print(json.dumps([located, modules, names]))
"""
PACKAGES = [
    *("monai.data", "monai.engines", "monai.handlers", "monai.inferers", "monai.losses", "monai.metrics"),
    *("monai.networks.blocks", "monai.networks.layers", "monai.networks.nets", "monai.transforms", "monai.utils"),
    *("ignite.engine", "ignite.handlers", "ignite.metrics", "torchvision.models", "torchvision.ops"),
]


def run_code(code: str, given: dict[str, Any]) -> tuple[dict[str, Any], set[str], dict[str, dict[str, str]]]:
    """Where components are, the modules that a new process has, and the classes of packages by name."""
    command = [sys.executable, "-W", "ignore", "-c", code]
    outcome = subprocess.run(command, cwd=bundle_root(), input=json.dumps(given), capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    located, modules, names = json.loads(outcome.stdout.splitlines()[-1])
    return located, set(modules), names


def targets(content: Any) -> set[str]:
    """Components that a config names without their package."""
    if isinstance(content, dict):
        own = {content["_target_"]} if "_target_" in content else set()
        return {name for name in own if "." not in name}.union(*map(targets, content.values()))
    return set().union(*map(targets, content)) if isinstance(content, list) else set()


def test_monai_is_as_ever_but_imported_when_it_is_needed() -> None:
    configs = [Path(bundle_root()) / "configs" / name for name in ("inference.json", *LEAN_OVERLAYS)]
    named = set().union(*(targets(json.loads(config.read_text())) for config in configs))
    assert {"SupervisedEvaluator", "TorchVisionFCModel", "Compose"} <= named
    located, modules, names = run_code(ALL, {"targets": sorted(named), "names": dict.fromkeys(PACKAGES)})
    assert {"matplotlib", "torchvision", "sympy", "torch._dynamo", "monai.networks.nets.unet"} <= modules
    given = {"targets": sorted(named), "names": {package: list(found) for package, found in names.items()}}
    lean_located, lean_modules, lean_names = run_code(LEAN, given)
    assert lean_located == located
    not_ours = NOT_NEEDED - {"PIL", "ignite.handlers", "openslide", "scipy", "skimage", "tifffile"}
    left_out = {*not_ours, "sympy", "torch._dynamo", "torch._inductor", "torch.distributed.fsdp"}
    left_out |= {"scipy.linalg", "scipy.ndimage", "skimage.color", "skimage.filters"}  # for processes that read slides
    assert lean_modules & left_out == set()
    assert not lean_modules & {"monai.networks.nets.unet", "monai.apps.datasets", "ignite.handlers.checkpoint"}
    assert lean_names == names


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
