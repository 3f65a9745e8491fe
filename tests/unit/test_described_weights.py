"""What the scripts that make the shipped weights write into their sidecars."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.networks.nets import TorchVisionFCModel
from PIL import Image

from helpers.made_patches import tissue
from scripts.network.activations import measure_tops
from scripts.network.purpose import make_purpose, read_purpose, write_weights

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(monkeypatch: pytest.MonkeyPatch, script: str, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
    monkeypatch.setattr(sys, "path", sys.path[:])
    runpy.run_path(str(BENCHMARKS / script), run_name="__main__")


def purpose_of(path: Path) -> Any:
    found = read_purpose(path)
    assert found is not None
    return found


def test_a_mean_of_weights_does_not_state_the_activations_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("a", 1.0), ("b", 3.0)):
        purpose = make_purpose(0.5, 96, trained_on=name, activations={"act": [value]})
        write_weights(tmp_path / f"{name}.pt", {"fc.weight": torch.full((1, 2), value)}, purpose)
    run(monkeypatch, "average_weights.py", tmp_path / "a.pt", tmp_path / "b.pt", "--output", tmp_path / "mean.pt")
    found = purpose_of(tmp_path / "mean.pt")
    assert (found.trained_on, found.activations) == ("b", None)


def test_activations_are_those_of_the_network_on_the_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tissue(60)[:, :, :96, :96]
    images = torch.nn.functional.interpolate(images.float(), size=(96, 96)).round().to(torch.uint8)
    for index, image in enumerate(images):
        folder = tmp_path / "patches" / str(index % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy())).save(folder / f"{index:02}.png")
    torch.manual_seed(0)
    pool = ("avg", {"kernel_size": 3, "stride": 1})
    network = TorchVisionFCModel("resnet18", num_classes=1, use_conv=True, pool=pool, pretrained=False)
    write_weights(tmp_path / "own.pt", network.state_dict(), make_purpose(0.972, 96))
    run(monkeypatch, "describe_weights.py", tmp_path / "own.pt", "--folders", tmp_path / "patches")
    found = purpose_of(tmp_path / "own.pt")
    assert found.appearance
    expected = measure_tops(network, [images.float() * (2 / 255) - 1])
    assert found.activations.keys() == expected.keys()
    for name, tops in expected.items():
        assert found.activations[name] == pytest.approx(tops, rel=1e-3), name
