from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from monai.transforms import ScaleIntensityRanged
from PIL import Image

from helpers.ramp import ramp_image
from scripts.errors import InputError
from scripts.foreground import ForegroundSettings
from scripts.geometry import map_shape
from scripts.inferers import AutoInferer, DenseInferer, RefinedInferer, SlidingInferer, make_inferer
from scripts.pyramid import write_pyramid
from scripts.slide import open_slide
from scripts.tile_inferer import TileInferer
from scripts.tiles import PrepareTile, SlidePlan, Tile, TileDataset

SHAPE = (1501, 2203)
PREPARE = PrepareTile(ScaleIntensityRanged("image", 0, 255, -1, 1))
EVERYTHING = ForegroundSettings(saturation=-1.0, min_value=0.0, max_hole_um2=0, min_tissue_um2=0)


class _Mean(torch.nn.Module):
    """The mean of the red channel: tells where on a ramp a patch lies."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape[1:] == (3, 224, 224)
        return pixels[:, :1].mean(dim=(2, 3), keepdim=True)


class _Counter(torch.nn.Module):
    """Notes the batch sizes it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(pixels))
        return pixels[:, :1, :1, :1] * 0


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """A small network with random weights whose output depends on where in the patch things are."""
    torch.manual_seed(11)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 7, stride=8, padding=3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(6, 4, 5, stride=4, padding=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(4, 1, 7),
    ).eval()


@pytest.fixture(scope="module")
def noisy_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "noise.tif"
    image = np.random.default_rng(4).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    write_pyramid(path, image, 0.243, compression=None)
    return path


@pytest.fixture(scope="module")
def by_hand() -> dict[int, npt.NDArray[Any]]:
    """Maps of the noisy slide made patch by patch, by stride."""
    return {}


def infer(path: Path, network: torch.nn.Module, inferer: TileInferer, **arguments: Any) -> npt.NDArray[Any]:
    """The map of a slide, assembled from its tiles; NaN where none came."""
    dataset = TileDataset([{"image": str(path)}], **arguments)
    found = None
    for tile in dataset.tiles(str(path)):
        assert tile.plan is not None, tile.error
        if found is None:
            found = np.full(tile.plan.map_shape, np.nan, dtype=np.float32)
        image, *_ = PREPARE(dataset[tile], device=torch.device("cpu"))
        with torch.no_grad():
            logits = inferer(image, network, tile=tile)
        assert logits.shape == (1, 1, *tile.positions.shape)
        assert logits.dtype == torch.float32
        assert torch.isneginf(logits[0, 0][~torch.from_numpy(tile.positions)]).all()
        row, col = tile.map_location
        block = found[row : row + tile.positions.shape[0], col : col + tile.positions.shape[1]]
        block[tile.positions] = logits[0, 0].numpy()[tile.positions]
    assert found is not None
    return found


def infer_by_hand(path: Path, network: torch.nn.Module, stride: int, mask: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The same, one patch after the other, each read from the slide on its own."""
    found = np.full(mask.shape, np.nan, dtype=np.float32)
    with open_slide(path, "openslide") as slide, torch.no_grad():
        downsample = slide.model_downsample()
        for row, col in np.argwhere(mask).tolist():
            center = np.floor((np.array([row, col]) + 0.5) * stride)
            top, left = (center - 112 * downsample).tolist()
            pixels = slide.read_region((top, left), (224, 224), downsample).astype(np.float32)
            patch = torch.from_numpy(pixels.transpose(2, 0, 1) / 127.5 - 1)[None]
            found[row, col] = network(patch).item()
    return found


def mask_of(stride: int, count: int, shape: tuple[int, int] = SHAPE) -> npt.NDArray[np.bool_]:
    """A blob off the diagonal, and a few lone positions, some of them at the slide's edge."""
    rows, cols = map_shape(shape, stride)
    mask = np.zeros((rows, cols), dtype=bool)
    mask[rows // 5 : rows // 5 + count, cols // 2 : cols // 2 + count + 2] = True
    mask[rows // 5 + 1, cols // 2 + 1] = False
    mask[[0, rows - 1, 3], [cols - 1, 2, 0]] = True
    return mask


def masks_dir(folder: Path, name: str, mask: npt.NDArray[np.bool_]) -> Path:
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize(("stride", "count"), [(64, 4), (37, 3)])
@pytest.mark.parametrize(("tile_size", "batch_size"), [(2048, 64), (500, 7), (224, 1)])
def test_tiles_give_what_patches_read_one_by_one_give(
    tmp_path: Path,
    noisy_slide: Path,
    network: torch.nn.Module,
    by_hand: dict[int, npt.NDArray[Any]],
    stride: int,
    count: int,
    tile_size: int,
    batch_size: int,
) -> None:
    mask = mask_of(stride, count)
    if stride not in by_hand:
        by_hand[stride] = infer_by_hand(noisy_slide, network, stride, mask)
    expected = by_hand[stride]
    found = infer(
        noisy_slide,
        network,
        SlidingInferer(batch_size=batch_size, precision="float32", runtime="torch"),
        stride=stride,
        tile_size=tile_size,
        foreground_dir=masks_dir(tmp_path / "masks", "noise", mask),
    )
    assert found.shape == map_shape(SHAPE, stride)
    assert np.nanstd(expected) > 0.001, "the patches differ"
    np.testing.assert_array_equal(np.isfinite(found), mask)
    np.testing.assert_allclose(found[mask], expected[mask], rtol=0, atol=1e-5)


@pytest.mark.parametrize("mpp", [0.486, 0.1215])
def test_resampled_tiles_on_whole_offsets_give_what_patches_give(
    tmp_path: Path, network: torch.nn.Module, mpp: float
) -> None:
    # 64 level-0 pixels are 128 or 32 of the model's: tile and patch are resampled on one grid. Pillow rounds to
    # whole gray levels, of which some differ by one.
    shape = (901, 1203)
    image = np.random.default_rng(6).integers(0, 256, (*shape, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "noise.tif", image, mpp, compression=None)
    mask = mask_of(64, 3, shape)
    found = infer(
        tmp_path / "noise.tif",
        network,
        SlidingInferer(precision="float32", runtime="torch"),
        foreground_dir=masks_dir(tmp_path / "masks", "noise", mask),
    )
    expected = infer_by_hand(tmp_path / "noise.tif", network, 64, mask)
    np.testing.assert_allclose(found[mask], expected[mask], rtol=0, atol=1e-3)
    assert np.std(expected[mask]) > 0.005, "the tolerance tells patches apart"


@pytest.mark.parametrize(("mpp", "stride"), [(0.5, 64), (0.121, 64), (0.333, 37)])
def test_resampled_tiles_are_off_by_half_a_pixel_at_most(tmp_path: Path, mpp: float, stride: int) -> None:
    # Inside a tile patches start at whole pixels of the model, so they are up to half of one off. On a ramp that is
    # half a pixel's share of the ramp, and what rounding to gray levels leaves in the mean.
    shape = (1501, 2203)
    write_pyramid(tmp_path / "ramp.tif", ramp_image(shape), mpp, compression="zlib")
    downsample = 0.243 / mpp
    margin = int(np.ceil(112 * downsample / stride)) + 1
    mask = np.zeros(map_shape(shape, stride), dtype=bool)
    mask[margin : margin + 9, margin + 3 : -margin : 4] = True
    found = infer(
        tmp_path / "ramp.tif",
        _Mean(),
        SlidingInferer(precision="float32", runtime="torch"),
        stride=stride,
        foreground_dir=masks_dir(tmp_path / "masks", "ramp", mask),
    )
    rows = (np.argwhere(mask)[:, 0] + 0.5) * stride
    red = (found[mask] + 1) * 127.5
    found_rows = red / 255 * (shape[0] - 1) + 0.5
    tolerance = 0.5 * downsample + 0.5 + 0.2  # the offset, the floor of the center, the mean of gray levels
    assert np.abs(found_rows - rows).max() <= tolerance


@pytest.mark.parametrize(("batch_size", "sizes"), [(64, [35]), (10, [10, 10, 10, 5]), (35, [35])])
def test_batches_are_as_large_as_asked(noisy_slide: Path, batch_size: int, sizes: list[int]) -> None:
    counter = _Counter()
    inferer = SlidingInferer(batch_size=batch_size, precision="float32", runtime="torch")
    positions = np.ones((5, 7), dtype=bool)
    inferer(torch.zeros(1, 3, 224 + 4 * 64, 224 + 6 * 64), counter, tile=make_tile(positions))
    assert counter.sizes == sizes


def make_tile(positions: npt.NDArray[np.bool_], stride: int = 64) -> Tile:
    plan = SlidePlan(
        "a.tif", SHAPE, 0.243, stride, 1.0, map_shape(SHAPE, stride), "mask", "openslide", int(positions.sum()), 1
    )
    return Tile("a.tif", plan, (3, 4), positions)


def test_only_the_positions_asked_for_are_computed() -> None:
    counter = _Counter()
    positions = np.zeros((3, 4), dtype=bool)
    positions[[0, 2], [3, 1]] = True
    found = SlidingInferer(precision="float32", runtime="torch")(
        torch.zeros(1, 3, 224 + 2 * 64, 224 + 3 * 64), counter, tile=make_tile(positions)
    )
    assert counter.sizes == [2]
    np.testing.assert_array_equal(np.isfinite(found[0, 0].numpy()), positions)


@pytest.mark.parametrize(
    "tile",
    [Tile("a.tif", None, (0, 0), np.zeros((0, 0), dtype=bool), "gone"), make_tile(np.zeros((0, 0), dtype=bool))],
    ids=["failed", "blank"],
)
def test_empty_tile_needs_no_network(tile: Tile) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("nothing to compute")

    found = SlidingInferer()(torch.empty(1, 3, 0, 0), fail, tile=tile)
    assert found.shape == (1, 1, 0, 0)


def test_bfloat16_is_close(tmp_path: Path, noisy_slide: Path, network: torch.nn.Module) -> None:
    folder = masks_dir(tmp_path / "masks", "noise", mask_of(64, 3))
    exact, quick = (
        infer(noisy_slide, network, SlidingInferer(precision=precision, runtime="torch"), foreground_dir=folder)
        for precision in ("float32", "bfloat16")
    )
    np.testing.assert_allclose(quick, exact, atol=0.02)


@pytest.mark.parametrize("batch_size", [0, -3, 2.5])
def test_batch_size_must_be_a_positive_integer(batch_size: Any) -> None:
    with pytest.raises(InputError, match="batch_size must be a positive integer"):
        SlidingInferer(batch_size=batch_size)
