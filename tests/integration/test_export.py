"""The exports of docs/export.md, by its own commands, give what the network gives; so does inference with them."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import TorchVisionFCModel

from helpers.doc_commands import run
from integration.conftest import NETWORK_DEF
from scripts import bundle_root
from scripts.network.exported import OnnxNetwork, load_torchscript
from scripts.network.network import load_weights
from scripts.synthetic.cohort import Cohort

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs" / "export.md"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundle, for the commands write beside it."""
    folder = tmp_path_factory.mktemp("export") / "bundle"
    shutil.copytree(bundle_root(), folder, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return folder


def export(bundle: Path, verb: str) -> None:
    """Run the command that the page prints, in the bundle's folder."""
    (command,) = re.findall(rf"^(python -m monai\.bundle {verb} .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    root, before = logging.getLogger(), Path.cwd()
    handlers, level = root.handlers[:], root.level  # pytest's, which MONAI's commands replace
    try:
        run(shlex.split(command), bundle, print)
    finally:
        os.chdir(before)
        root.handlers[:], root.level = handlers, level


@pytest.fixture(scope="module")
def onnx_file(bundle: Path) -> Path:
    export(bundle, "onnx_export")
    return bundle / "model.onnx"


@pytest.fixture(scope="module")
def torchscript_file(bundle: Path) -> Path:
    export(bundle, "ckpt_export")
    return bundle / "model.ts"


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    return load_weights(TorchVisionFCModel(**NETWORK_DEF), Path(bundle_root()) / "models" / "model.pt").eval()


def assert_parity(network: torch.nn.Module, exported: torch.nn.Module) -> None:
    """Probabilities within 1e-4, for patches and for a tile; noise gives logits of both signs."""
    for shape in ((3, 3, 224, 224), (1, 3, 736, 736), (1, 3, 736, 480)):
        pixels = torch.rand(shape, generator=torch.Generator().manual_seed(7)) * 2 - 1
        with torch.no_grad():
            expected, found = network(pixels).sigmoid(), exported(pixels).sigmoid()
        assert found.shape == (shape[0], 1, shape[2] // 32 - 6, shape[3] // 32 - 6)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_onnx_gives_the_same_probabilities(network: torch.nn.Module, onnx_file: Path) -> None:
    assert_parity(network, OnnxNetwork(onnx_file))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_torchscript_gives_the_same_probabilities(network: torch.nn.Module, torchscript_file: Path) -> None:
    assert_parity(network, load_torchscript(torchscript_file, CPU))


def test_inference_with_onnx_gives_the_same_map(
    tumor_detection: Callable[..., Any], cohort: Cohort, onnx_file: Path, tmp_path: Path
) -> None:
    flags = ("--slides", cohort.testing[0], "--num_workers", 0, "--stride", 192, "--num_checks", 4)
    for name, more in {
        "torch": ("--runtime", "torch", "--precision", "float32"),
        "onnx": ("--config_file", "inference_onnx.json", "--weights", onnx_file),
    }.items():
        outcome = tumor_detection("infer", *flags, *more, "--output_dir", tmp_path / name)
        assert outcome.status == 0, outcome.err
    expected, found = (np.load(tmp_path / name / "test_001.npy") for name in ("torch", "onnx"))
    assert (expected > 0).any()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    sidecar = json.loads((tmp_path / "onnx" / "test_001.json").read_text())
    assert (sidecar["runtime"], sidecar["precision"], sidecar["weights"]) == ("onnxruntime", "float32", "model.onnx")
    assert "onnxruntime" in sidecar["versions"]
    assert sidecar["mode"] == "refined"
