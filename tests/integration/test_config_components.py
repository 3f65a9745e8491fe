"""Every component of every config comes into being, by the path that the config names, on a small synthetic cohort."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ignite.distributed
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import TorchVisionFCModel

from helpers.made_patches import write_patches
from integration.conftest import NETWORK_DEF, Loclabels
from scripts import bundle_root
from scripts.synthetic.cohort import Cohort

pytestmark = pytest.mark.integration

CONFIGS = Path(bundle_root()) / "configs"
PATCHES = ["train.json", "train_patches.json"]
COMPOSED = [
    ["train.json"],
    PATCHES,
    [*PATCHES, "train_10x.json"],
    [*PATCHES, "pretrain.json"],
    [*PATCHES, "train_taught.json"],
    ["train.json", "train_dense.json"],
    ["train.json", "finetune.json"],
    ["train.json", "evaluate.json"],
    ["train.json", "mlflow.json"],
    ["train.json", "multi_gpu_train.json"],
    ["inference.json"],
    ["inference.json", "screen_10x.json"],
    ["inference.json", "multi_gpu_inference.json"],
    ["inference.json", "inference_onnx.json"],
    ["inference.json", "inference_trt.json"],
    ["camelyon16.json"],
]


def components(value: Any, path: str = "") -> Iterator[str]:
    """The ids of all components of a config."""
    if isinstance(value, dict) and "_target_" in value:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from components(inner, f"{path}#{key}".lstrip("#"))


@pytest.fixture
def settings(
    cohort: Cohort, loclabels: Loclabels, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """What the configs need from a user; and the place of a single process among those that torchrun starts."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        number = port.getsockname()[1]
    for key, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}.items():
        monkeypatch.setenv(key, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(number))
    monkeypatch.chdir(tmp_path)
    patches, _, _ = write_patches(tmp_path, 8)
    handlers = logging.root.handlers[:]
    yield {
        "dataset_dir": str(cohort.training[0].parent),
        "training_file": str(loclabels.training),
        "validation_file": str(loclabels.validation),
        "truth_dir": str(cohort.annotations_dir),
        "train_folders": [str(patches)],
        "validation_folders": [str(patches)],
        "teacher": str(weights),
        "teacher_40x": str(weights),
        "other_teacher": str(weights),
        "other_teacher_def": "@network_def",
        "weights": str(weights),
        "output_dir": str(tmp_path / "output"),
        "device": "$torch.device('cpu')",
        "num_workers": 0,
        "batch_size": 4,
    }
    logging.root.handlers[:] = handlers
    if torch.distributed.is_initialized():
        ignite.distributed.finalize()  # else Ignite takes later trainings of this process for several


def exported(name: str, folder: Path) -> dict[str, Any]:
    """The network as a file that an overlay of exported networks loads."""
    if name == "inference_onnx.json":
        path = folder / "model.onnx"
        network = TorchVisionFCModel(**NETWORK_DEF).eval()
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 224, 224),),
            str(path),
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
            dynamo=False,
        )
        return {"weights": str(path)}
    path = folder / "model.ts"
    torch.jit.trace(TorchVisionFCModel(**NETWORK_DEF).eval(), torch.zeros(1, 3, 224, 224)).save(path)
    return {"weights": str(path), "network#tensorrt": False}  # an engine inside needs a GPU


@pytest.mark.parametrize("names", COMPOSED, ids="+".join)
def test_every_component_of_a_config_comes_into_being(
    names: list[str], settings: dict[str, Any], tmp_path: Path
) -> None:
    parser = ConfigParser()
    parser.read_config([CONFIGS / name for name in names])
    if names[-1] in ("inference_onnx.json", "inference_trt.json"):
        settings |= exported(names[-1], tmp_path)
    overlay = ConfigParser.load_config_file(CONFIGS / names[-1])
    replaced = {key.removeprefix("+") for key in overlay}
    kept = {key: value for key, value in settings.items() if key in parser and key not in replaced & {"num_workers"}}
    if "multi_gpu" in names[-1]:
        del kept["device"]
    parser.update(kept | {key: value for key, value in settings.items() if "#" in key})
    ids = sorted(components(parser.get()))
    assert len(ids) > 10
    for path in ids:
        assert parser.get_parsed_content(path) is not None or "_disabled_" in parser[path], path


def test_every_config_is_there() -> None:
    assert {name for names in COMPOSED for name in names} == {path.name for path in CONFIGS.glob("*.json")} - {
        "metadata.json"
    }
