from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from monai.transforms import ScaleIntensityRanged
from PIL import Image

from helpers.dense_networks import padded_network, unpadded_network
from helpers.networks import CentralColor
from helpers.ramp import ramp_image
from scripts.errors import InputError
from scripts.geometry import map_shape
from scripts.inference.inferers import DenseInferer, RefinedInferer, SlidingInferer, make_inferer
from scripts.inference.tile_inferer import TileInferer
from scripts.inference.tile_plan import SlidePlan, Tile
from scripts.inference.tiles import TileDataset
from scripts.network.preprocessing import PrepareTile
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide

SHAPE = (1501, 2203)
PREPARE = PrepareTile(ScaleIntensityRanged("image", 0, 255, -1, 1))


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
    return padded_network()


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
        image, _, _, keywords = PREPARE(dataset[tile], device=torch.device("cpu"))
        with torch.no_grad():
            logits = inferer(image, network, **keywords)
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


def make_tile(positions: npt.NDArray[np.bool_], stride: int = 64, downsample: float = 1.0) -> Tile:
    plan = SlidePlan(
        "a.tif",
        SHAPE,
        0.243,
        stride,
        downsample,
        map_shape(SHAPE, stride),
        "mask",
        "openslide",
        int(positions.sum()),
        1,
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


# --- modes ------------------------------------------------------------------------------------------------------

NOISE = torch.rand(1, 3, 224 + 7 * 96, 224 + 10 * 96, generator=torch.Generator().manual_seed(9)) * 2 - 1
CHECKED = np.array([[True, True, False, True], [False, True, True, True], [True, False, True, True]])
EXACT: dict[str, Any] = {"precision": "float32", "runtime": "torch"}


def patch_logits(network: torch.nn.Module, tile: Tile, pixels: torch.Tensor) -> npt.NDArray[np.float32]:
    """One patch after the other; -inf where nothing is asked for."""
    assert tile.plan is not None
    found = np.full(tile.positions.shape, -np.inf, dtype=np.float32)
    for row, col in np.argwhere(tile.positions).tolist():
        top, left = (int(value * tile.plan.stride / tile.plan.downsample) for value in (row, col))
        with torch.no_grad():
            found[row, col] = network(pixels[..., top : top + 224, left : left + 224]).item()
    return found


def run(inferer: TileInferer, network: torch.nn.Module, tile: Tile) -> npt.NDArray[np.float32]:
    """Logits of a tile of noise, cut to its size."""
    assert tile.plan is not None
    height, width = (int((count - 1) * tile.plan.stride / tile.plan.downsample) + 224 for count in tile.positions.shape)
    logits: npt.NDArray[np.float32] = inferer(NOISE[..., :height, :width], network, tile=tile)[0, 0].numpy()
    return logits


@pytest.mark.parametrize("runtime", ["torch", "openvino"])
@pytest.mark.parametrize("mode", ["dense", "refined", "auto", "sliding"])
@pytest.mark.parametrize(("stride", "downsample"), [(32, 1.0), (64, 1.0), (96, 1.0), (64, 2.0), (16, 0.5)])
def test_modes_agree_for_a_network_that_sees_only_the_patch(
    runtime: str, mode: str, stride: int, downsample: float
) -> None:
    network = unpadded_network()
    tile = make_tile(CHECKED, stride, downsample)
    inferer = make_inferer(mode, precision="float32", runtime=runtime, batch_size=5)
    expected = patch_logits(network, tile, NOISE)
    assert expected[CHECKED].std() > 1e-2
    np.testing.assert_allclose(run(inferer, network, tile), expected, rtol=0, atol=1e-5)
    report = inferer.report("a.tif")
    assert report["mode"] == ("refined" if mode == "auto" else mode)
    if mode == "sliding":
        assert report["agreement"] is None
    else:
        assert report["agreement"]["num_checks"] == CHECKED.sum()
        assert report["agreement"]["largest_difference"] < 1e-4
        assert report["agreement"]["crossings"] == 0


def test_refined_computes_again_what_lies_between_the_limits_and_nothing_else() -> None:
    network = padded_network(scale=20)
    tile = make_tile(np.ones((6, 9), dtype=bool))
    dense, sliding = (run(kind(**EXACT), network, tile) for kind in (DenseInferer, SlidingInferer))
    np.testing.assert_allclose(sliding, patch_logits(network, tile, NOISE), rtol=0, atol=1e-4)
    limit = float(np.median(1 / (1 + np.exp(-dense))))
    upper = float(np.quantile(1 / (1 + np.exp(-dense)), 0.9))
    inferer = RefinedInferer(refine_above=limit, refine_below=upper, **EXACT)
    found = run(inferer, network, tile)
    probabilities = 1 / (1 + np.exp(-dense))
    chosen = (probabilities > limit) & (probabilities <= upper)
    assert 15 < chosen.sum() < 29
    assert (probabilities > upper).sum() > 3
    assert (np.abs(sliding - dense)[1:-1, 1:-1] > 1e-3).all(), "the modes differ inside the tile"
    np.testing.assert_allclose(found[chosen], sliding[chosen], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found[~chosen], dense[~chosen])
    assert inferer.report("a.tif")["refined_positions"] == chosen.sum()


@pytest.mark.parametrize("mode", ["dense", "refined", "sliding"])
def test_tiles_computed_together_give_what_each_gives_alone(mode: str) -> None:
    network = padded_network(scale=20)
    gap = np.ones((4, 5), dtype=bool)
    gap[1, 2:] = False
    blocks = [np.ones((4, 5), dtype=bool), np.ones((2, 7), dtype=bool), gap, np.ones((1, 1), dtype=bool)]
    plan = make_tile(np.ones((4, 30), dtype=bool)).plan
    tiles = [Tile("a.tif", plan, (0, 7 * index), positions) for index, positions in enumerate(blocks)]
    images = [
        torch.roll(NOISE, index, 3)[..., : (rows - 1) * 64 + 224, : (cols - 1) * 64 + 224]
        for index, (rows, cols) in enumerate(positions.shape for positions in blocks)
    ]
    alone, together = (make_inferer(mode, refine_above=0.5, refine_below=1, num_checks=60, **EXACT) for _ in range(2))
    found = together(images, network, tile=tiles)
    assert found.shape == (4, 1, 4, 7)
    for image, tile, logits in zip(images, tiles, found[:, 0], strict=True):
        rows, cols = tile.positions.shape
        expected = alone(image, network, tile=tile)[0, 0]
        torch.testing.assert_close(logits[:rows, :cols], expected, rtol=0, atol=1e-4)
        assert torch.isneginf(logits[rows:]).all()
        assert torch.isneginf(logits[:, cols:]).all()
    reports = [inferer.report("a.tif") for inferer in (alone, together)]
    assert reports[0]["refined_positions"] == reports[1]["refined_positions"]
    if mode == "refined":
        assert 5 < reports[0]["refined_positions"] < 45
    if mode != "sliding":
        assert reports[0]["agreement"] == pytest.approx(reports[1]["agreement"], abs=1e-4)
        assert reports[0]["agreement"]["num_checks"] == 26


@pytest.mark.parametrize(("refine_above", "count"), [(0.0, 54), (1.0, 0)])
def test_limits_of_refinement(refine_above: float, count: int) -> None:
    inferer = RefinedInferer(refine_above=refine_above, refine_below=1.0, num_checks=0, **EXACT)
    run(inferer, padded_network(), make_tile(np.ones((6, 9), dtype=bool)))
    assert inferer.report("a.tif") == {"mode": "refined", "agreement": None, "refined_positions": count}


def test_checks_compare_the_map_with_sliding() -> None:
    network = padded_network(scale=20)
    tile = make_tile(np.ones((6, 9), dtype=bool))
    inferer = DenseInferer(num_checks=1000, **EXACT)
    dense = run(inferer, network, tile).astype(np.float64).ravel()
    sliding = patch_logits(network, tile, NOISE).astype(np.float64).ravel()
    found = inferer.report("a.tif")["agreement"]
    assert found["num_checks"] == 54
    assert found["logit_correlation"] == pytest.approx(np.corrcoef(dense, sliding)[0, 1], abs=1e-3)
    difference = np.abs(1 / (1 + np.exp(-dense)) - 1 / (1 + np.exp(-sliding)))
    assert found["largest_difference"] == pytest.approx(difference.max(), abs=1e-4)
    assert found["largest_difference"] > 1e-3
    assert found["crossings"] == pytest.approx(((dense > 0) != (sliding > 0)).mean(), abs=1e-6)


def test_reports_are_of_one_slide_and_handed_out_once() -> None:
    inferer, network = RefinedInferer(refine_above=0.0, refine_below=1.0, num_checks=7, **EXACT), padded_network()
    first = make_tile(CHECKED)
    second = first._replace(path="b.tif", positions=np.ones((2, 3), dtype=bool))
    for tile in (first, second, first):
        run(inferer, network, tile)
    assert inferer.report("b.tif")["refined_positions"] == 6
    report = inferer.report("a.tif")
    assert report["refined_positions"] == 2 * CHECKED.sum()
    json.dumps([report, inferer.settings])
    assert inferer.report("a.tif") == {"mode": "refined", "agreement": None, "refined_positions": 0}


class _BrightRim(torch.nn.Module):
    """Takes fright at the zeros around what it is given: over a tile it finds nothing inside."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        dark = torch.nn.functional.pad(torch.ones_like(pixels[:, :1]), (1, 1, 1, 1)) < 0.5
        rim = torch.nn.functional.max_pool2d(dark.float(), 226, stride=32)
        return 8 * rim - 4


@pytest.mark.parametrize("mode", ["dense", "refined"])
def test_a_mode_that_misses_what_sliding_finds_is_warned_of_once(mode: str, caplog: pytest.LogCaptureFixture) -> None:
    inferer = make_inferer(mode, num_checks=20, **EXACT)
    run(inferer, _BrightRim(), make_tile(np.ones((6, 9), dtype=bool)))
    assert not caplog.records
    report = inferer.report("a.tif")
    assert report["agreement"]["crossings"] > 0.2
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"a.tif: mode {mode} does not agree with sliding on 20 positions" in record.message
    assert "--mode sliding" in record.message


@pytest.mark.parametrize("kind", [DenseInferer, RefinedInferer])
def test_a_stride_between_outputs_is_refused(kind: type[TileInferer]) -> None:
    with pytest.raises(InputError, match=r"stride 37 .* give --mode sliding"):
        run(kind(**EXACT), padded_network(), make_tile(CHECKED, stride=37))


@pytest.mark.parametrize("mode", ["auto", "sliding", "dense", "refined"])
def test_a_slide_whose_stride_a_mode_cannot_do_is_set_aside_before_it_is_read(noisy_slide: Path, mode: str) -> None:
    dataset = TileDataset([{"image": str(noisy_slide)}], stride=37, mode=mode)
    tile = next(dataset.tiles(str(noisy_slide)))
    if mode in ("auto", "sliding"):
        assert tile.error is None
    else:
        assert tile.plan is None
        assert tile.error is not None
        assert tile.error.startswith(f"{noisy_slide}: --mode {mode} needs a stride of whole multiples of 32")


@pytest.mark.parametrize(
    ("network", "stride"), [(padded_network(), 37), (CentralColor(), 64)], ids=["stride", "network"]
)
def test_auto_slides_where_it_must(network: torch.nn.Module, stride: int) -> None:
    inferer = make_inferer("auto", **EXACT)
    tile = make_tile(CHECKED[:, :3], stride=stride)
    np.testing.assert_allclose(run(inferer, network, tile), patch_logits(network, tile, NOISE), rtol=0, atol=1e-5)
    assert inferer.report("a.tif") == {"mode": "sliding", "agreement": None, "refined_positions": None}


def test_augmentation_goes_with_every_mode() -> None:
    network, tile = unpadded_network(), make_tile(CHECKED)
    plain = patch_logits(network, tile, NOISE)
    maps = [run(make_inferer(mode, tta=True, **EXACT), network, tile) for mode in ("sliding", "dense", "refined")]
    for found in maps:
        np.testing.assert_allclose(found, maps[0], rtol=0, atol=1e-5)
    assert np.abs(maps[0][CHECKED] - plain[CHECKED]).min() > 1e-4
    patch = NOISE[0, :, :224, :224]
    views = [torch.rot90(view, turns, (1, 2)) for view in (patch, patch.flip(2)) for turns in range(4)]
    with torch.no_grad():
        expected = network(torch.stack(views)).mean().item()
    assert maps[0][0, 0] == pytest.approx(expected, abs=1e-5)


def test_settings_say_what_computes() -> None:
    assert make_inferer("refined", refine_above=0.3, tta=True, precision="float32").settings == {
        "mode": "refined",
        "runtime": "openvino",
        "precision": "float32",
        "refine_above": 0.3,
        "refine_below": 0.95,
        "tta": True,
    }
    settings = make_inferer("sliding", runtime="torch", precision="bfloat16").settings
    assert settings == {
        "mode": "sliding",
        "runtime": "torch",
        "precision": "bfloat16",
        "refine_above": None,
        "refine_below": None,
        "tta": False,
    }


@pytest.mark.parametrize("batch_size", [0, -3, 2.5, True])
def test_batch_size_must_be_a_positive_integer(batch_size: Any) -> None:
    with pytest.raises(InputError, match="batch_size must be a positive integer"):
        SlidingInferer(batch_size=batch_size)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "quick"}, "mode must be one of auto, refined, dense, sliding, cascade, but got 'quick'"),
        ({"refine_above": 1.5}, "refine_above must be a probability from 0 to 1, but got 1.5"),
        ({"refine_above": True}, "refine_above must be a probability"),
        ({"refine_below": -0.1}, "refine_below must be a probability from 0 to 1, but got -0.1"),
        ({"refine_above": 0.5, "refine_below": 0.4}, "refine_above, 0.5, but is 0.4; give a --refine_below up to 1"),
        ({"num_checks": -1}, "num_checks must be an integer of at least 0"),
        ({"tta": 1}, "tta must be true or false, but got 1"),
        ({"runtime": "openvino", "device": "cuda"}, "runtime openvino computes on a CPU"),
        ({"precision": "float16"}, "precision must be one of"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_inferer(**settings)
