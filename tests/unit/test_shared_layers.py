from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import TorchVisionFCModel

from helpers.dense_networks import padded_network
from scripts.forwards import PatchForward
from scripts.inferers import make_inferer
from scripts.runtime import OpenVINORuntime
from scripts.shared_layers import SharedLayers, share_layers

SIDE = 224
POOL = ("avg", {"kernel_size": 7, "stride": 1})


def network(name: str = "resnet18", **arguments: object) -> torch.nn.Module:
    """A network of the bundle's form with random weights, and running statistics other than 0 and 1."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        made = TorchVisionFCModel(name, num_classes=1, use_conv=True, pool=POOL, pretrained=False, **arguments)
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.3, 0.3)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
                torch.nn.init.uniform_(module.bias, 0.1, 0.5)  # so that zeros beyond a side are unlike what is inside
    return made.eval()


def image(height: int, width: int) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(8)) * 2 - 1


def grid(start: tuple[int, int], stride: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
    return np.argwhere(np.ones(shape)) * stride + start


def shared_of(made: torch.nn.Module, side: int = SIDE) -> SharedLayers:
    shared = share_layers(made, "float32", side)
    assert shared is not None
    return shared


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_what_is_shared_is_what_each_patch_gives(name: str) -> None:
    """Corners on a grid with gaps, not at the image's corner, odd sizes, strides that differ."""
    made = network(name)
    pixels = image(319, 369)
    corners = grid((9, 3), (20, 28), (5, 6))[[i for i in range(30) if i not in (0, 1, 13, 22)]]
    shared = shared_of(made)
    assert shared.is_worthwhile(corners)
    found = PatchForward(OpenVINORuntime(made, "float32"), SIDE, 7, shared)(pixels, corners)
    with torch.no_grad():
        patches = torch.stack([pixels[:, y : y + SIDE, x : x + SIDE] for y, x in corners.tolist()])
        expected = torch.cat([made(part) for part in patches.split(8)]).flatten()
    assert expected.std() > 1e-3, "the tolerance tells patches apart"
    torch.testing.assert_close(found, expected, rtol=5e-5, atol=3e-5)


def test_rims_are_as_wide_as_they_must_be() -> None:
    """One cell less, and zeros beyond a patch's side show."""
    made, pixels, corners = network(), image(288, 320), grid((0, 0), (32, 32), (3, 4))
    patches = OpenVINORuntime(made, "float32")
    expected = PatchForward(patches, SIDE, 64)(pixels, corners)
    shared = shared_of(made)
    near, far = shared.rims
    found = {}
    for name, rims, strip in (
        ("as they are", (near, far), shared.strip),
        ("near", (near - 1, far), shared.strip),
        ("far", (near, far - 1), shared.strip),
        ("strip", (near, far), shared.strip - 4),
    ):
        shared.rims, shared.strip = rims, strip
        found[name] = float((PatchForward(patches, SIDE, 64, shared)(pixels, corners) - expected).abs().max())
    assert found.pop("as they are") <= 1e-6
    assert min(found.values()) > 1e-5, found


def test_sharing_must_pay() -> None:
    shared = shared_of(network())
    assert shared.is_worthwhile(grid((3, 5), (64, 64), (4, 4)))
    assert not shared.is_worthwhile(grid((3, 5), (224, 224), (4, 4))), "patches that hardly touch"
    assert not shared.is_worthwhile(grid((3, 5), (33, 32), (4, 4))), "cells that do not coincide"
    assert not shared.is_worthwhile(np.array([[7, 7]]))
    assert not shared.is_worthwhile(np.array([[0, 0], [64, 64], [1700, 1700]])), "few patches of a large tile"
    assert not shared_of(network(), 96).is_worthwhile(grid((0, 0), (16, 16), (9, 9))), "patches of mere rims"
    assert "parts" not in vars(shared), "nothing is compiled before it is needed"


def test_other_networks_are_not_split() -> None:
    assert share_layers(padded_network(), "float32", SIDE) is None
    linear = TorchVisionFCModel("resnet18", num_classes=1, use_conv=False, pool=POOL, pretrained=False)
    assert share_layers(linear, "float32", SIDE) is None
    other = network()
    other.features[0] = torch.nn.Conv2d(3, 64, 3, stride=2, padding=1)  # type: ignore[union-attr,operator]
    assert share_layers(other, "float32", SIDE) is None
    assert share_layers(network("resnet101"), "float32", SIDE) is not None


def test_layers_are_shared_in_float32_alone() -> None:
    made = network()
    for settings, expected in (
        ({"precision": "float32"}, True),
        ({"precision": "float32", "tta": True}, False),
        ({"precision": "float32", "runtime": "torch"}, False),
    ):
        inferer = make_inferer(mode="sliding", **settings)  # type: ignore[arg-type]
        inferer._make_ready(made)
        assert (inferer._patches.shared is not None) is expected


def test_what_does_not_fit_into_memory_is_computed_patch_by_patch() -> None:
    made, pixels, corners = network(), image(352, 416), grid((0, 0), (32, 32), (5, 7))
    shared = shared_of(made)

    def scarce(pixels: torch.Tensor) -> torch.Tensor:
        torch.empty(2**60)  # raises what PyTorch raises
        return pixels

    shared._make_parts = lambda: (scarce, scarce)  # type: ignore[assignment,return-value]
    patches = OpenVINORuntime(made, "float32")
    found = PatchForward(patches, SIDE, 64, shared)(pixels, corners)
    torch.testing.assert_close(found, PatchForward(patches, SIDE, 64)(pixels, corners), rtol=0, atol=0)
