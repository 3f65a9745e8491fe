"""Other networks by an override of ``network_def``: trained for an epoch, then run over a slide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scripts.slides.pyramid import write_pyramid
from scripts.synthetic.cohort import synthetic_slide

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHAPE = (1101, 903)
VIT = {
    "_target_": "torchvision.models.VisionTransformer",
    **{"image_size": 96, "patch_size": 32, "num_layers": 2, "num_heads": 2, "hidden_dim": 32, "mlp_dim": 48},
    "num_classes": 1,
}
DENSE_NET = {
    "_target_": "monai.networks.nets.DenseNet",
    **{"spatial_dims": 2, "in_channels": 3, "out_channels": 1},
    **{"init_features": 8, "growth_rate": 4, "block_config": [2, 2]},
}
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches of 96 px, tumor darker, and a slide of which level 0 is four times finer."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    for index in range(8):
        pixels = np.clip(rng.normal(170 - 60 * (index % 2), 30, (96, 96, 3)), 0, 255).astype(np.uint8)
        path = folder / "patches" / str(index % 2) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    write_pyramid(folder / "tumor_001.tif", synthetic_slide(SHAPE, 1, seed=3).image, 0.243)
    return folder


@pytest.fixture
def train(data: Path, tumor_detection: Run, tmp_path: Path) -> Run:
    """One epoch; returns the state dict."""

    def run(*flags: object, overlays: tuple[object, ...] = ()) -> dict[str, torch.Tensor]:
        configs = ("--config_file", "train_patches.json", "train_10x.json", *overlays)
        patches = f"['{data / 'patches'}']"
        settings = ("--epochs", 1, "--batch_size", 4, "--num_workers", 0, "--output_dir", tmp_path / "run")
        outcome = tumor_detection(
            "train", *configs, "--train_folders", patches, "--validation_folders", patches, *settings, *flags
        )
        assert outcome.status == 0, outcome.err
        state: dict[str, torch.Tensor] = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
        return state

    return run


@pytest.fixture
def infer(data: Path, tumor_detection: Run, tmp_path: Path) -> Run:
    """Returns the outcome, and what stands in the map and in its sidecar."""

    def run(*flags: object, overlays: tuple[object, ...] = ()) -> Any:
        folder = tmp_path / "maps"
        configs = ("--config_file", "screen_10x.json", *overlays)
        settings = ("--weights", tmp_path / "run" / "model.pt", "--output_dir", folder, "--num_workers", 0)
        outcome = tumor_detection(
            "infer", *configs, "--slides", data / "tumor_001.tif", "--precision", "float32", *settings, *flags
        )
        if outcome.status:
            return outcome
        return np.load(folder / "tumor_001.npy"), json.loads((folder / "tumor_001.json").read_text())

    return run


@pytest.mark.parametrize(("name", "runtime", "features"), [("resnet34", "openvino", 512), ("resnet50", "torch", 2048)])
def test_a_resnet_runs_over_patches_and_over_tiles(
    train: Run, infer: Run, name: str, runtime: str, features: int
) -> None:
    flags = ("--network_def#model_name", name)
    state = train(*flags)
    assert state["fc.weight"].shape == (1, features, 1, 1)
    assert state["fc.weight"].dtype == torch.float16
    sliding, about = infer(*flags, "--mode", "sliding", "--runtime", runtime)
    assert about["mode"] == "sliding"
    auto, about = infer(*flags, "--refine_above", 0, "--refine_below", 1, "--runtime", runtime)
    assert about["mode"] == "refined", "densely first, then all again as patches"
    assert about["agreement"]["num_checks"] > 0
    np.testing.assert_allclose(auto, sliding, rtol=0, atol=1e-5)
    outcome = infer("--network_def#model_name", "resnet18")
    assert outcome.status == 1
    assert "give weights made with this network_def" in outcome.err


@pytest.mark.parametrize(
    ("network", "frozen"),
    [(VIT, ["conv_proj", "encoder", "class_token"]), (DENSE_NET, ["features"])],
    ids=["transformer", "MONAI's DenseNet"],
)
def test_a_linear_head_is_trained_over_a_frozen_encoder(
    train: Run, infer: Run, tmp_path: Path, network: dict[str, Any], frozen: list[str]
) -> None:
    overlay = tmp_path / "network.json"
    overlay.write_text(json.dumps({"network_def": network, "seed": 1}))
    first = train("--learning_rate", 1e-9, overlays=(overlay,))
    (tmp_path / "run" / "model.pt").rename(tmp_path / "encoder.pt")
    state = train(
        *("--frozen", str(frozen), "--learning_rate", 0.01, "--weights", tmp_path / "encoder.pt", "--resume", "false"),
        overlays=(overlay,),
    )
    changed = {name for name, value in state.items() if not torch.equal(value, first[name])}
    changed = {name for name in changed if not name.endswith("num_batches_tracked")}
    assert changed
    assert all("head" in name or name.startswith("class_layers") for name in changed), changed
    overlay.write_text(json.dumps({"network_def": network}))
    found, about = infer("--runtime", "torch", overlays=(overlay,))
    assert about["mode"] == "sliding", "one logit for each patch"
    assert found.max() > 0
    outcome = infer("--mode", "dense", "--runtime", "torch", overlays=(overlay,))
    assert outcome.status == 1
    assert "give --mode sliding" in outcome.err
