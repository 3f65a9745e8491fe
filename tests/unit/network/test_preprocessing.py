"""What is done to pixels, and where: folded into the network if it is one factor and one shift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose, NormalizeIntensityd, RandScaleIntensityd, ScaleIntensityd, ScaleIntensityRanged

from helpers.dense_networks import padded_network
from scripts.inference.tile_plan import Tile
from scripts.network.preprocessing import PrepareTile, Scaling, find_scaling
from scripts.network.runtime import make_runtime

CPU = torch.device("cpu")
BUNDLE = Compose([ScaleIntensityRanged(keys="image", a_min=0.0, a_max=255.0, b_min=-1.0, b_max=1.0)])


def on_image(function: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda sample: {"image": function(sample["image"])}


def test_the_preprocessing_of_the_bundle_is_a_scaling() -> None:
    found = find_scaling(BUNDLE)
    assert found is not None
    assert found == pytest.approx((2 / 255, -1.0))
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    torch.testing.assert_close(
        found.apply(pixels), torch.as_tensor(BUNDLE({"image": pixels})["image"]), rtol=0, atol=3e-7
    )
    assert found.apply(pixels).dtype == torch.float32
    given = pixels.float()
    torch.testing.assert_close(found.apply(given), found.apply(pixels), rtol=0, atol=0)
    torch.testing.assert_close(given, pixels.float(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (on_image(lambda image: image / 2), (0.5, 0.0)),
        (on_image(lambda image: 1 - image.float() / 255), (-1 / 255, 1.0)),
        (NormalizeIntensityd(keys="image", subtrahend=128.0, divisor=64.0), (1 / 64, -2.0)),
        (on_image(lambda image: image.float() * 0), None),
        (on_image(lambda image: image.float().sqrt()), None),
        (on_image(lambda image: image.flip(3)), None),
        (on_image(lambda image: image.float() * torch.tensor([1.0, 1.0, 1.01])[:, None, None]), None),
        (on_image(lambda image: image.float().mean(dim=1)), None),
        (ScaleIntensityd(keys="image"), None),
        (RandScaleIntensityd(keys="image", factors=0.5, prob=1.0), None),
        (lambda sample: {"image": sample["image"].numpy()}, None),
    ],
    ids=[
        *("half", "inverted", "normalized", "blank", "curved", "flipped"),
        *("by channel", "gray", "by the picture", "random", "no tensor"),
    ],
)
def test_only_one_factor_and_one_shift_are_a_scaling(transform: Any, expected: tuple[float, float] | None) -> None:
    found = find_scaling(transform)
    assert found is None if expected is None else found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_folded_into_the_network_it_gives_the_same(name: str) -> None:
    network = padded_network()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 224, 256), dtype=np.uint8))
    scaling = Scaling(2 / 255, -1.0)
    with torch.no_grad():
        expected = network(pixels.float() * (2 / 255) - 1)
    runtime = make_runtime(network, name, CPU, "float32", scaling)
    assert runtime.dtype == torch.uint8
    torch.testing.assert_close(runtime(pixels), expected, rtol=0, atol=1e-5)
    channels_last = pixels.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(runtime(channels_last), expected, rtol=0, atol=1e-5)
    assert make_runtime(network, name, CPU, "float32").dtype == torch.float32


def tile_of(image: torch.Tensor) -> dict[str, Any]:
    return {"image": image, "tile": Tile("a.tif", None, (0, 0), np.ones((1, 1), dtype=bool))}


def test_a_scaling_is_left_to_the_network() -> None:
    batch = tile_of(torch.full((1, 3, 9, 7), 51, dtype=torch.uint8))
    image, label, arguments, keywords = PrepareTile(BUNDLE)(batch, device=CPU)
    assert image.dtype == torch.uint8
    torch.testing.assert_close(image, batch["image"], rtol=0, atol=0)
    assert (label, arguments) == (None, ())
    assert keywords == {"tile": batch["tile"], "scaling": find_scaling(BUNDLE)}


def test_the_scaling_is_known_before_there_is_a_tile() -> None:
    assert PrepareTile(BUNDLE).find_scaling() == find_scaling(BUNDLE)
    assert PrepareTile(on_image(lambda image: image.float().sqrt())).find_scaling() is None


def test_any_other_preprocessing_is_applied() -> None:
    batch = tile_of(torch.arange(48, dtype=torch.uint8).reshape(1, 3, 4, 4))
    image, *_, keywords = PrepareTile(on_image(lambda image: image.float().sqrt()))(batch, device=CPU)
    torch.testing.assert_close(image, batch["image"].float().sqrt())
    assert keywords["scaling"] is None


def test_an_empty_tile_is_left_alone() -> None:
    def fail(sample: Any) -> Any:
        raise AssertionError("nothing to prepare")

    tile = Tile("a.tif", None, (0, 0), np.zeros((0, 0), dtype=bool), "gone")
    batch = {"image": torch.empty((1, 3, 0, 0), dtype=torch.uint8), "tile": tile}
    image, *_ = PrepareTile(fail)(batch, device=CPU)
    assert image.shape == (1, 3, 0, 0)


def test_tiles_that_come_together_are_prepared_one_by_one() -> None:
    tiles = [tile_of(torch.full((1, 3, side, 7), side, dtype=torch.uint8)) for side in (9, 4)]
    together = {key: [tile[key] for tile in tiles] for key in ("image", "tile")}
    for preprocessing in (BUNDLE, on_image(lambda image: image.float().sqrt())):
        images, *_, keywords = PrepareTile(preprocessing)(together, device=CPU)
        expected = [PrepareTile(preprocessing)(tile, device=CPU) for tile in tiles]
        for image, (alone, *_, of_one) in zip(images, expected, strict=True):
            torch.testing.assert_close(image, alone, rtol=0, atol=0)
            assert keywords["scaling"] == of_one["scaling"]
        assert keywords["tile"] == together["tile"]
