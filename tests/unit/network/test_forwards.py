from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from monai.networks.nets import TorchVisionFCModel
from torchvision.models import VisionTransformer

from helpers.dense_networks import padded_network
from scripts.errors import InputError
from scripts.network import forwards
from scripts.network.forwards import DenseForward, PatchForward, gather_patches
from scripts.network.runtime import TorchRuntime

TILE = torch.rand(3, 401, 523, generator=torch.Generator().manual_seed(8)) * 2 - 1
CORNERS = np.random.default_rng(1).integers(0, [401 - 224, 523 - 224], (23, 2))


class _Limited:
    """Runs out of memory, as PyTorch on a CPU does, for more pixels than fit."""

    name = "limited"
    dtype = torch.float32

    def __init__(self, network: torch.nn.Module, fits: int, num_streams: int = 1) -> None:
        self.runtime = TorchRuntime(network, "float32")
        self.fits = fits
        self.num_streams = num_streams
        self.sizes: list[tuple[int, ...]] = []

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.sizes.append((pixels.shape[0], *pixels.shape[2:]))
        if pixels[:, 0].numel() > self.fits:
            torch.empty(2**60)  # raises what PyTorch raises
        return self.runtime(pixels)


@pytest.fixture(scope="module")
def resnet() -> torch.nn.Module:
    """The bundle's network with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        pool = ("avg", {"kernel_size": 7, "stride": 1})
        network = TorchVisionFCModel("resnet18", num_classes=1, use_conv=True, pool=pool, pretrained=False)
    return network.eval()


def patches_by_hand(network: torch.nn.Module) -> list[float]:
    with torch.no_grad():
        return [network(TILE[None, :, y : y + 224, x : x + 224]).item() for y, x in CORNERS.tolist()]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("side", [1, 57, 224])
def test_patches_gathered_at_once_are_those_that_are_cut(dtype: torch.dtype, side: int) -> None:
    whole = (torch.rand(1, 3, 260, 307, generator=torch.Generator().manual_seed(2)) * 255).to(dtype)
    tile = whole.contiguous(memory_format=torch.channels_last)[0, :, 3:]  # begins inside its memory
    corners = np.array([[0, 0], [257 - side, 307 - side], [257 - side, 0], [0, 307 - side], [11, 30]])
    found = gather_patches(tile, torch.from_numpy(corners), side)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.dtype == dtype
    expected = torch.stack([tile[:, row : row + side, col : col + side] for row, col in corners.tolist()])
    assert torch.equal(found, expected)


@pytest.mark.parametrize("is_single", [True, False])
@pytest.mark.parametrize("is_channels_last", [True, False])
def test_patches_are_the_same_however_they_are_cut(
    monkeypatch: pytest.MonkeyPatch, is_single: bool, is_channels_last: bool
) -> None:
    monkeypatch.setattr(forwards, "is_copied_singly", lambda _: is_single)
    seen: list[torch.Tensor] = []

    def runtime(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels.clone())
        return pixels.sum(dim=(1, 2, 3), keepdim=True)

    tile = TILE[None].contiguous(memory_format=torch.channels_last)[0] if is_channels_last else TILE
    PatchForward(runtime, 224, 9)(tile, CORNERS)  # type: ignore[arg-type]
    assert [len(batch) for batch in seen] == [9, 9, 5]
    for patch, (row, col) in zip(torch.cat(seen), CORNERS.tolist(), strict=True):
        assert torch.equal(patch, TILE[:, row : row + 224, col : col + 224])


@pytest.mark.parametrize(("batch_size", "sizes"), [(64, [23]), (23, [23]), (10, [10, 10, 3]), (1, [1] * 23)])
def test_patches_are_computed_in_batches(batch_size: int, sizes: list[int]) -> None:
    network = padded_network()
    runtime = _Limited(network, fits=10**9)
    found = PatchForward(runtime, 224, batch_size)(TILE, CORNERS)
    assert [count for count, *_ in runtime.sizes] == sizes
    np.testing.assert_allclose(found.numpy(), patches_by_hand(network), rtol=0, atol=1e-5)


def test_a_batch_that_does_not_fit_is_halved_for_good(caplog: pytest.LogCaptureFixture) -> None:
    network = padded_network()
    runtime = _Limited(network, fits=5 * 224 * 224)
    forward = PatchForward(runtime, 224, 16)
    found = forward(TILE, CORNERS)
    np.testing.assert_allclose(found.numpy(), patches_by_hand(network), rtol=0, atol=1e-5)
    assert [count for count, *_ in runtime.sizes] == [16, 8, 4, 4, 4, 4, 4, 3]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "8 patches do not fit into memory: from now on, 4 per forward pass" in caplog.text
    runtime.sizes.clear()
    forward(TILE, CORNERS)
    assert max(count for count, *_ in runtime.sizes) == 4
    assert len(caplog.records) == 2


def test_one_patch_must_fit() -> None:
    with pytest.raises(InputError, match="a single patch of 224 pixels does not fit; give --device cpu"):
        PatchForward(_Limited(padded_network(), fits=100), 224, 4)(TILE, CORNERS)


def test_other_errors_are_not_taken_for_little_memory() -> None:
    def fail(pixels: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    fail.name = "fail"  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError, match="mat1"):
        PatchForward(fail, 224, 4)(TILE, CORNERS)  # type: ignore[arg-type]


def test_one_logit_per_patch_is_asked_for() -> None:
    runtime = TorchRuntime(torch.nn.Conv2d(3, 1, 7), "float32")
    with pytest.raises(InputError, match=r"must give one logit per patch .* gave shape \(4, 1, 218, 218\)"):
        PatchForward(runtime, 224, 4)(TILE, CORNERS)


def test_dense_gives_the_grid_of_the_network(resnet: torch.nn.Module) -> None:
    tile = torch.rand(3, 288, 416)
    with torch.no_grad():
        expected = resnet(tile[None])[0, 0]
    found = DenseForward(TorchRuntime(resnet, "float32"), 224)(tile)
    assert found.shape == (3, 7)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(224 + 30 * 32, 288), (256, 224 + 35 * 32)])
@pytest.mark.parametrize("share", [0.9, 0.7])
def test_a_tile_that_does_not_fit_is_split_without_a_trace(
    resnet: torch.nn.Module, caplog: pytest.LogCaptureFixture, shape: tuple[int, int], share: float
) -> None:
    tile = torch.rand(3, *shape, generator=torch.Generator().manual_seed(3)) * 2 - 1
    with torch.no_grad():
        expected = resnet(tile[None])[0, 0]
    runtime = _Limited(resnet, fits=int(share * shape[0] * shape[1]))
    forward = DenseForward(runtime, 224)
    found = forward(tile)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.std() > 1e-3, "the tolerance tells outputs apart"
    assert len(caplog.records) == 1
    assert f"tiles of {shape[0]} x {shape[1]} pixels do not fit into memory: they are split" in caplog.text
    runtime.sizes.clear()
    forward(tile)
    assert len(runtime.sizes) > 1
    assert all(height * width <= runtime.fits for _, height, width in runtime.sizes), "no attempt is made in vain again"
    assert len(caplog.records) == 1


def test_a_tile_too_small_to_be_split_names_the_way_out() -> None:
    with pytest.raises(InputError, match=r"a tile of 288 x 416 pixels does not fit .* give --mode sliding"):
        DenseForward(_Limited(padded_network(), fits=100), 224)(torch.rand(3, 288, 416))


class _Pooled(torch.nn.Module):
    """One logit whatever the size."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels[:, :1].mean(dim=(2, 3), keepdim=True)


def test_networks_that_give_no_grid_are_told_apart() -> None:
    linear = torch.nn.Sequential(torch.nn.AvgPool2d(32), torch.nn.Flatten(), torch.nn.Linear(3 * 49, 1))
    transformer = VisionTransformer(224, 56, 1, 1, 8, 8, num_classes=1).eval()
    assert DenseForward(TorchRuntime(padded_network(), "float32"), 224).is_possible(torch.device("cpu"))
    for network in (_Pooled(), linear, transformer):
        forward = DenseForward(TorchRuntime(network, "float32"), 224)
        assert not forward.is_possible(torch.device("cpu"))
        with pytest.raises(InputError, match=r"must give a logit every 32 pixels .* \(288, 416\) .*--mode sliding"):
            forward(torch.rand(3, 288, 416))


# --- several tiles ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_single", [True, False])
@pytest.mark.parametrize(("batch_size", "sizes"), [(64, [30]), (10, [10, 10, 10]), (7, [7, 7, 7, 7, 2])])
def test_patches_of_several_tiles_share_batches(
    monkeypatch: pytest.MonkeyPatch, is_single: bool, batch_size: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(forwards, "is_copied_singly", lambda _: is_single)
    runtime = _Limited(padded_network(), fits=10**9)
    forward = PatchForward(runtime, 224, batch_size)
    tiles = [TILE, TILE.flip(1)[:, :300], TILE.flip(2)]
    corners = [CORNERS, np.zeros((0, 2), dtype=np.int64), CORNERS[:7]]
    expected = torch.cat([forward(tile, part) for tile, part in zip(tiles, corners, strict=True)])
    runtime.sizes.clear()
    torch.testing.assert_close(forward.together(tiles, corners), expected, rtol=0, atol=1e-6)
    assert [count for count, *_ in runtime.sizes] == sizes


def test_the_batch_is_64_on_a_cpu_and_what_fits_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = PatchForward(_Limited(padded_network(), fits=10**9), 224)
    forward(TILE, CORNERS[:2])
    assert forward.batch_size == 64
    asked: list[int] = []

    def count_fitting(compute: Callable[[], object], count: int, device: torch.device) -> int:
        compute()
        asked.append(count)
        return 200

    monkeypatch.setattr(forwards, "count_fitting", count_fitting)
    monkeypatch.setattr(torch, "zeros", lambda shape, **options: torch.ones(shape))
    assert forward._choose(torch.device("cuda")) == 200
    assert forward.runtime.sizes[-1] == (16, 224, 224)  # type: ignore[attr-defined]
    monkeypatch.setattr(forwards, "count_fitting", lambda *_: 9000)
    assert forward._choose(torch.device("cuda")) == 512
    assert asked == [16]


def test_tiles_of_one_size_share_a_forward_pass(resnet: torch.nn.Module) -> None:
    tiles = [torch.rand(3, *shape) * 2 - 1 for shape in ((288, 416), (320, 256), (288, 416), (416, 288), (288, 416))]
    runtime = _Limited(resnet, fits=10**9)
    forward = DenseForward(runtime, 224)
    expected = [forward(tile) for tile in tiles]
    forward.together(tiles)
    assert [count for count, *_ in runtime.sizes[5:]] == [1] * 5, "on a CPU nothing is gained"
    forward._most_together = 10**9  # as a GPU's memory may say
    runtime.sizes.clear()
    for grid, alone in zip(forward.together(tiles), expected, strict=True):
        torch.testing.assert_close(grid, alone, rtol=0, atol=1e-5)
    assert sorted(runtime.sizes) == [(1, 320, 256), (1, 416, 288), (3, 288, 416)]
    forward._most_together = 2 * 288 * 416 + 5
    runtime.sizes.clear()
    forward.together(tiles)
    assert [size for size in runtime.sizes if size[1] == 288] == [(2, 288, 416), (1, 288, 416)]


def test_tiles_that_do_not_fit_together_are_computed_one_by_one(
    resnet: torch.nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    tiles = [torch.rand(3, 288, 416) * 2 - 1 for _ in range(3)]
    runtime = _Limited(resnet, fits=2 * 288 * 416)
    forward = DenseForward(runtime, 224)
    forward._most_together = 10**9  # as a GPU's memory may say
    for _ in range(2):
        for grid, tile in zip(forward.together(tiles), tiles, strict=True):
            torch.testing.assert_close(grid, forward(tile), rtol=0, atol=1e-5)
    assert [count for count, *_ in runtime.sizes].count(3) == 1, "no attempt is made in vain again"
    assert caplog.text.count("from now on, one at a time") == 1


# --- several streams ----------------------------------------------------------------------------------------------


class _Counted(_Limited):
    """Notes how many calls compute at the same time, and waits a while for others."""

    def __init__(self, network: torch.nn.Module, num_streams: int, fits: int = 10**9) -> None:
        super().__init__(network, fits, num_streams)
        self.others = threading.Barrier(num_streams)
        self.num_side_by_side = 0

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        with contextlib.suppress(threading.BrokenBarrierError):
            self.others.wait(0.2)
            self.num_side_by_side += 1
        return super().__call__(pixels)


@pytest.mark.parametrize("num_streams", [2, 3])
def test_tiles_are_computed_side_by_side_the_largest_first(resnet: torch.nn.Module, num_streams: int) -> None:
    shapes = ((256, 288), (224, 224), (352, 416), (288, 256), (288, 288), (416, 320))
    tiles = [torch.rand(3, *shape, generator=torch.Generator().manual_seed(7)) * 2 - 1 for shape in shapes]
    expected = [DenseForward(TorchRuntime(resnet, "float32"), 224)(tile) for tile in tiles]
    runtime = _Counted(resnet, num_streams)
    found = DenseForward(runtime, 224).together(tiles)
    for grid, alone in zip(found, expected, strict=True):
        torch.testing.assert_close(grid, alone, rtol=0, atol=1e-5)
    assert runtime.num_side_by_side >= num_streams
    first = {height * width for _, height, width in runtime.sizes[:num_streams]}
    assert first == set(sorted({height * width for height, width in shapes}, reverse=True)[:num_streams])


@pytest.mark.parametrize(
    ("num_streams", "shape"), [(2, (256, 224 + 20 * 32)), (3, (224 + 31 * 32, 320)), (4, (224 + 41 * 32, 288))]
)
@pytest.mark.parametrize("share", [2.0, 0.55])
def test_a_single_tile_is_shared_out_without_a_trace(
    resnet: torch.nn.Module, num_streams: int, shape: tuple[int, int], share: float
) -> None:
    tile = torch.rand(3, *shape, generator=torch.Generator().manual_seed(4)) * 2 - 1
    with torch.no_grad():
        expected = resnet(tile[None])[0, 0]
    fits = int(share * shape[0] * shape[1]) if num_streams == 4 else 10**9
    runtime = _Limited(resnet, fits, num_streams)
    (found,) = DenseForward(runtime, 224).together([tile])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert expected.std() > 1e-3, "the tolerance tells outputs apart"
    assert len(runtime.sizes) >= num_streams
    assert all(height * width < 0.95 * shape[0] * shape[1] for _, height, width in runtime.sizes)


def test_a_small_single_tile_stays_whole() -> None:
    runtime = _Limited(padded_network(), 10**9, num_streams=2)
    (found,) = DenseForward(runtime, 224).together([torch.rand(3, 256, 224 + 19 * 32)])
    assert found.shape == (2, 20)
    assert runtime.sizes == [(1, 256, 224 + 19 * 32)]


@pytest.mark.parametrize("count", [1, 3])
def test_streams_tell_what_is_wrong_with_a_network_as_one_does(count: int) -> None:
    forward = DenseForward(_Limited(_Pooled(), 10**9, num_streams=2), 224)
    with pytest.raises(InputError, match=r"must give a logit every 32 pixels .*--mode sliding"):
        forward.together([torch.rand(3, 256, 224 + 40 * 32)] * count)
    with pytest.raises(InputError, match=r"a tile of 256 x 288 pixels does not fit"):
        DenseForward(_Limited(padded_network(), 100, num_streams=2), 224).together([torch.rand(3, 256, 288)] * count)
