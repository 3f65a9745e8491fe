"""What a training says of its patches, and what a folder of pictures gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from helpers.made_patches import tissue
from scripts.network.purpose import make_purpose
from scripts.quality.appearance import MEASURES
from scripts.training import looks as module
from scripts.training.looks import TrainingLooks, measure_pictures, patch_pixels
from scripts.training.patch_images import PatchImageDataset


def run(batches: list[dict[str, Any]], epochs: int = 2, rank: int = 0) -> Any:
    """Run a trainer that spoils its batches; returns what stands for the checkpoints."""
    network = torch.nn.Identity()
    checkpoints: Any = SimpleNamespace(purpose=make_purpose(0.5, 32), parts={"network": network}, inputs=[])

    def step(engine: Engine, batch: dict[str, Any]) -> None:
        batch["image"] = network(torch.zeros_like(batch["image"]) + engine.state.iteration)

    engine = Engine(step)
    TrainingLooks(checkpoints, rank).attach(engine)
    engine.run(batches, max_epochs=epochs)
    return checkpoints


def train(batches: list[dict[str, Any]], epochs: int = 2, rank: int = 0) -> Any:
    """What the checkpoints say after such a training."""
    return run(batches, epochs, rank).purpose.appearance


def test_the_first_inputs_of_the_network_are_kept() -> None:
    batches = [{"image": patches(20)}, {"image": patches(20)}, {"image": patches(20)}]
    kept = run(batches).inputs
    assert [(len(inputs), inputs.unique().tolist(), inputs.dtype) for inputs in kept] == [
        (20, [1.0], torch.float32),
        (12, [2.0], torch.float32),
    ]
    assert run(batches, rank=1).inputs == []


def patches(count: int, darker: int = 0) -> torch.Tensor:
    return (tissue(count).int() - darker).clamp(0, 255).to(torch.uint8)


def test_the_first_patches_are_measured_before_they_are_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_COUNT", 60)
    found = train([{"image": patches(40, 60)}, {"image": patches(40, 60).float()}, {"image": patches(40, 250)}])
    assert set(found) <= set(MEASURES)
    assert found["brightness"][0] > 30, "neither what a step leaves nor the third batch"
    assert train([{"image": patches(40, 60)}, {"image": patches(40, 60)}], rank=1) is None


def test_a_short_epoch_is_measured_at_its_end_and_too_few_patches_are_not() -> None:
    assert train([{"image": patches(55, 60)}])
    assert train([{"image": patches(9, 60)}]) is None


def test_sharpness_is_that_of_patches_which_are_not_enlarged() -> None:
    sharp = patches(120, 60)
    coarse = torch.nn.functional.interpolate(sharp.float(), scale_factor=4, mode="bilinear")[:, :, :32, :32]
    flags = torch.arange(120) >= 60
    mixed = torch.where(flags[:, None, None, None], coarse, sharp.float())
    own, both = train([{"image": sharp[:60]}]), train([{"image": mixed, "is_enlarged": flags}])
    assert both["sharpness"] == own["sharpness"]
    assert both["sharpness"][0] > train([{"image": coarse[60:]}])["sharpness"][1]


def test_the_middle_of_a_large_patch_is_taken() -> None:
    image = torch.zeros(3, 300, 400)
    image[:, 22:278, 72:328] = 200.4
    found = patch_pixels(image)
    assert found.shape == (256, 256, 3)
    assert found.dtype == np.uint8
    assert (found == 200).all()


def test_pictures_of_both_kinds_are_measured(tmp_path: Path) -> None:
    data = []
    for index, patch in enumerate(patches(130, 60)):
        pixels = patch.permute(1, 2, 0).numpy()
        side = 24 if index % 2 else 128  # enlarged, or not
        picture = Image.fromarray(np.tile(pixels, (4, 4, 1))[:side, :side])
        picture.save(tmp_path / f"{index}.png")
        data.append({"image": str(tmp_path / f"{index}.png"), "label": 0.0})
    arguments = {"size": 96, "coarse_size": 96, "coarse_factor": 4}
    found = measure_pictures(PatchImageDataset(data, **arguments), 60)
    sharp = measure_pictures(PatchImageDataset(data[::2], **arguments), 200)
    enlarged = measure_pictures(PatchImageDataset(data[1::2], **arguments), 200)
    assert found["sharpness"] == pytest.approx(sharp["sharpness"], abs=0.1)
    assert enlarged["sharpness"][1] < sharp["sharpness"][0]
    assert measure_pictures(PatchImageDataset(data, size=24, coarse_factor=1), 60)
