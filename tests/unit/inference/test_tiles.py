from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from helpers.ramp import coded_image, decode, write_coded
from scripts.errors import InputError
from scripts.geometry import map_shape, map_to_level0
from scripts.inference import tiles as module
from scripts.inference.tile_plan import Tile, position_offsets, tile_blocks
from scripts.inference.tile_sampler import TileSampler
from scripts.inference.tiles import TileDataset, slide_datalist
from scripts.masks.foreground import ForegroundSettings
from scripts.network.purpose import make_purpose, write_weights
from scripts.slides.pyramid import write_pyramid

SHAPE = (1501, 2203)
EVERYTHING = ForegroundSettings(saturation=0.0, min_value=0.0, max_hole_um2=0, min_tissue_um2=0)


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coded(tmp_path_factory.mktemp("slides") / "coded_001.tif", SHAPE)


def write_mask(folder: Path, name: str, mask: npt.NDArray[np.bool_], value: int = 255) -> Path:
    folder.mkdir(exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * np.uint8(value)).save(folder / f"{name}.png")
    return folder


def dataset_of(*slides: Path, **arguments: Any) -> TileDataset:
    return TileDataset([{"image": str(path)} for path in slides], **arguments)


# --- blocks -----------------------------------------------------------------------------------------------------


@given(
    mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40), elements=st.booleans()),
    block=st.integers(1, 45),
    patch=st.floats(0.1, 9.0),
)
def test_tile_blocks_cover_the_mask_once(mask: npt.NDArray[np.bool_], block: int, patch: float) -> None:
    counts = np.zeros(mask.shape, dtype=int)
    for (row, col), part in tile_blocks(mask, block, patch):
        assert part.any(axis=1)[[0, -1]].all(), "trimmed above and below"
        assert part.any(axis=0)[[0, -1]].all(), "trimmed left and right"
        assert max(part.shape) <= block
        counts[row : row + part.shape[0], col : col + part.shape[1]] += part
    np.testing.assert_array_equal(counts, mask.astype(int))


def test_tile_blocks_are_copies() -> None:
    mask = np.ones((5, 7), dtype=bool)
    for _, part in tile_blocks(mask, 3, 3.5):
        part[:] = False
    assert mask.all()


def read_area(part: npt.NDArray[np.bool_], patch: float) -> float:
    """What a tile of a part reads once it is trimmed, in squares of the distance of two positions."""
    (top, left), (bottom, right) = np.argwhere(part).min(axis=0), np.argwhere(part).max(axis=0)
    return float((bottom - top + patch) * (right - left + patch))


@given(
    mask=arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=20), elements=st.booleans()),
    patch=st.sampled_from([0.5, 1.0, 3.5]),
)
def test_no_cut_of_a_tile_block_saves_more(mask: npt.NDArray[np.bool_], patch: float) -> None:
    for _, part in tile_blocks(mask, 13, patch):
        halves = [(part[:cut], part[cut:]) for cut in range(1, part.shape[0])]
        halves += [(part[:, :cut], part[:, cut:]) for cut in range(1, part.shape[1])]
        for first, second in halves:
            saved = read_area(part, patch) - read_area(first, patch) - read_area(second, patch)
            assert saved <= 3 * patch**2 + 1e-9


def test_tile_blocks_hug_the_foreground() -> None:
    rows, cols = np.indices((120, 90))
    ring = np.abs(np.hypot(rows - 63, (cols - 44) * 1.4) - 48) < 7
    found = list(tile_blocks(ring, 29, 3.5))
    grid = [(row, col) for row in range(0, 120, 29) for col in range(0, 90, 29)]
    in_grid = [ring[row : row + 29, col : col + 29] for row, col in grid]
    before = sum(read_area(part, 3.5) for part in in_grid if part.any())
    assert sum(read_area(part, 3.5) for _, part in found) < 0.9 * before
    assert len(found) < 2 * len(in_grid)


def test_tile_blocks_begin_where_the_foreground_does() -> None:
    mask = np.zeros((50, 70), dtype=bool)
    mask[20:45, 25:65] = True
    assert [(location, part.shape) for location, part in tile_blocks(mask, 29, 3.5)] == [
        ((20, 25), (25, 29)),
        ((20, 54), (25, 11)),
    ]


@given(
    count=st.integers(0, 60),
    stride=st.integers(1, 300),
    percent=st.integers(1, 800),
)
def test_position_offsets_are_within_half_a_pixel(count: int, stride: int, percent: int) -> None:
    downsample = percent / 100
    offsets = position_offsets(count, stride, downsample)
    assert offsets.shape == (count,)
    for index, offset in enumerate(offsets.tolist()):
        exact = index * Fraction(stride) / Fraction(downsample)
        assert abs(offset - exact) <= Fraction(1, 2) + Fraction(1, 10**6)
        if exact.denominator == 1:
            assert offset == exact


# --- the tiles of a slide ------------------------------------------------------------------------------------------


def covered(tiles: list[Tile]) -> npt.NDArray[np.int64]:
    plan = tiles[0].plan
    assert plan is not None
    counts = np.zeros(plan.map_shape, dtype=np.int64)
    for tile in tiles:
        assert tile.plan == plan
        assert tile.error is None
        row, col = tile.map_location
        counts[row : row + tile.positions.shape[0], col : col + tile.positions.shape[1]] += tile.positions
    assert plan.num_tiles == len(tiles)
    assert plan.num_positions == counts.sum()
    return counts


@pytest.mark.parametrize(("stride", "tile_size"), [(64, 2048), (64, 224), (37, 500), (100, 1), (301, 700)])
def test_tiles_cover_the_foreground(tmp_path: Path, slide: Path, stride: int, tile_size: int) -> None:
    shape = map_shape(SHAPE, stride)
    mask = np.random.default_rng(stride).random(shape) < 0.3
    folder = write_mask(tmp_path / "masks", "coded_001", mask)
    dataset = dataset_of(slide, stride=stride, tile_size=tile_size, foreground_dir=folder)
    tiles = list(dataset.tiles(str(slide)))
    np.testing.assert_array_equal(covered(tiles), mask)
    plan = tiles[0].plan
    assert plan is not None
    assert plan.shape == SHAPE
    assert plan.mpp == pytest.approx(0.243)
    assert (plan.stride, plan.downsample, plan.map_shape) == (stride, 1.0, shape)
    assert plan.mask == "coded_001.png"
    for tile in tiles[:5]:
        height, width = dataset[tile]["image"].shape[2:]
        assert max(height, width) <= max(tile_size, 224)


@pytest.mark.parametrize(("stride", "tile_size"), [(64, 700), (37, 400)])
def test_patches_of_a_tile_are_centered_on_their_positions(slide: Path, stride: int, tile_size: int) -> None:
    dataset = dataset_of(slide, stride=stride, tile_size=tile_size, foreground=EVERYTHING)
    padded = np.pad(coded_image(SHAPE), ((400, 400), (400, 400), (0, 0)), constant_values=255)
    tiles = list(dataset.tiles(str(slide)))
    assert (covered(tiles) == 1).all()
    for tile in (tiles[0], tiles[len(tiles) // 2 + 1], tiles[-1]):
        image = dataset[tile]["image"]
        assert image.dtype == torch.uint8
        pixels = image[0].numpy().transpose(1, 2, 0)
        for row, col in {(0, 0), (tile.positions.shape[0] - 1, 0), tuple(np.subtract(tile.positions.shape, 1))}:
            top, left = (int(position_offsets(index + 1, stride, 1.0)[-1]) for index in (row, col))
            center = map_to_level0(np.add(tile.map_location, (row, col)), stride)
            expected = padded[
                center[0] - 112 + 400 : center[0] + 112 + 400, center[1] - 112 + 400 : center[1] + 112 + 400
            ]
            np.testing.assert_array_equal(pixels[top : top + 224, left : left + 224], expected)
    middle = dataset[tiles[len(tiles) // 2 + 1]]["image"][0].numpy().transpose(1, 2, 0)
    row, col = map_to_level0(tiles[len(tiles) // 2 + 1].map_location, stride)
    assert tuple(decode(middle)[112, 112]) == (row, col)


def test_blank_slide_has_one_empty_tile(tmp_path: Path) -> None:
    path = tmp_path / "blank.tif"
    write_pyramid(path, np.full((*SHAPE, 3), 240, dtype=np.uint8), 0.243, compression="zlib")
    (tile,) = dataset_of(path).tiles(str(path))
    assert tile.plan is not None
    assert (tile.plan.num_tiles, tile.plan.num_positions, tile.plan.map_shape) == (1, 0, (24, 35))
    assert not tile.positions.any()
    found = dataset_of(path)[tile]
    assert found["image"].numel() == 0
    assert found["tile"].error is None


def test_coarse_slide_has_tiles_of_one_position(tmp_path: Path) -> None:
    path = write_coded(tmp_path / "coarse.tif", (301, 205))
    dataset = dataset_of(path, foreground=EVERYTHING, assume_mpp=10.0, max_enlargement=42)
    tiles = list(dataset.tiles(str(path)))
    assert (covered(tiles) == 1).all()
    assert len(tiles) == 5 * 4
    for tile in tiles[:3]:
        assert tile.positions.shape == (1, 1)
        assert dataset[tile]["image"].shape == (1, 3, 224, 224)


@pytest.mark.parametrize("mpp", [0.5, 0.121])
def test_tiles_of_a_resampled_slide_stay_below_the_tile_size(tmp_path: Path, mpp: float) -> None:
    path = write_coded(tmp_path / "other.tif", (1501, 1103), mpp=mpp)
    dataset = dataset_of(path, foreground=EVERYTHING, tile_size=600)
    tiles = list(dataset.tiles(str(path)))
    assert (covered(tiles) == 1).all()
    assert tiles[0].plan is not None
    assert tiles[0].plan.downsample == pytest.approx(0.243 / mpp)
    for tile in tiles:
        assert max(dataset[tile]["image"].shape[2:]) <= 600


# --- the foreground ------------------------------------------------------------------------------------------------


def test_foreground_is_computed_where_none_is_given(tmp_path: Path) -> None:
    image = np.full((1501, 2203, 3), 240, dtype=np.uint8)
    image[320:832, 1216:2048] = (200, 90, 160)
    path = tmp_path / "tissue.tif"
    write_pyramid(path, image, 0.243, compression="zlib")
    tiles = list(dataset_of(path).tiles(str(path)))
    mask = covered(tiles)
    rows, cols = np.nonzero(mask)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (5, 12, 19, 31)
    assert tiles[0].plan is not None
    assert tiles[0].plan.mask == "Otsu on saturation"


def test_foreground_settings_count(tmp_path: Path, slide: Path) -> None:
    (tile,) = dataset_of(slide, foreground=ForegroundSettings(saturation=1.0)).tiles(str(slide))
    assert tile.plan is not None
    assert tile.plan.num_positions == 0
    assert tile.plan.mask == "saturation threshold"


@pytest.mark.parametrize("value", [1, 255])
def test_mask_edited_by_hand_is_used_as_it_is(tmp_path: Path, slide: Path, value: int) -> None:
    mask = np.zeros(map_shape(SHAPE, 64), dtype=bool)
    mask[20, 3] = True  # one lone pixel, which the computed mask would drop as a speck
    folder = write_mask(tmp_path / "masks", "coded_001", mask, value)
    np.testing.assert_array_equal(covered(list(dataset_of(slide, foreground_dir=folder).tiles(str(slide)))), mask)


# --- no tissue -----------------------------------------------------------------------------------------------------


def write_stained(path: Path, shape: tuple[int, int], mpp: float = 0.243) -> Path:
    write_pyramid(path, np.full((*shape, 3), (190, 100, 170), dtype=np.uint8), mpp, compression="zlib")
    return path


def notes_of(path: Path, caplog: pytest.LogCaptureFixture, **arguments: Any) -> tuple[str, ...]:
    caplog.clear()
    plan = next(dataset_of(path, **arguments).tiles(str(path))).plan
    assert plan is not None
    assert caplog.messages == [f"{path}: {note}" for note in plan.notes]
    return plan.notes


def test_slides_without_tissue_are_named_with_what_decided(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blank = tmp_path / "blank.tif"
    write_pyramid(blank, np.full((*SHAPE, 3), 240, dtype=np.uint8), 0.243, compression="zlib")
    (note,) = notes_of(blank, caplog)
    assert note.startswith("no tissue found, so its map is 0 everywhere: apart from areas up to 20,000 µm² (min")
    assert "saturation is below 0.2" in note
    assert "patch" not in note
    (note,) = notes_of(write_stained(tmp_path / "stained.tif", SHAPE), caplog, foreground=ForegroundSettings(0.9))
    assert "saturation is below 0.9" in note
    assert notes_of(write_stained(tmp_path / "stained.tif", SHAPE), caplog) == ()


@pytest.mark.parametrize(("shape", "is_small"), [((223, 223), True), ((201, 1001), True), ((225, 301), False)])
def test_slides_smaller_than_a_patch_say_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shape: tuple[int, int], is_small: bool
) -> None:
    (note,) = notes_of(write_stained(tmp_path / "small.tif", shape), caplog)
    assert f"the whole slide has {shape[0] * shape[1] * 0.243**2:,.0f} µm²" in note
    assert (f"its {shape[0]} x {shape[1]} px are less than a patch" in note) == is_small


def test_empty_mask_is_named(tmp_path: Path, slide: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_mask(tmp_path / "masks", "coded_001", np.zeros(map_shape(SHAPE, 64), dtype=bool))
    (note,) = notes_of(slide, caplog, foreground_dir=folder)
    assert note.endswith(f"the mask {folder / 'coded_001.png'} is empty")


# --- slides that are coarser than the model --------------------------------------------------------------------------


@pytest.mark.parametrize(("mpp", "model", "num_notes"), [(0.3, 0.243, 0), (0.5, 0.243, 1), (0.5, 0.972, 0)])
def test_slides_that_are_enlarged_are_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mpp: float, model: float, num_notes: int
) -> None:
    notes = notes_of(write_stained(tmp_path / "coarse.tif", (901, 1103), mpp), caplog, mpp=model, mode="sliding")
    assert len(notes) == num_notes
    assert all(note.startswith("enlarged 2.06 times, from 0.5 to the model's 0.243 µm per pixel") for note in notes)


def test_slides_that_are_too_coarse_travel_as_a_tile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_stained(tmp_path / "coarse.tif", (301, 205), 0.8)
    assert "times the model's 0.243, found 0.8" in failure_of(path)
    assert "force it with --max_enlargement 21" in failure_of(path, foreground=EVERYTHING, assume_mpp=5.0)
    assert "expected at most 2.92 µm per level-0 pixel" in failure_of(path, mpp=0.972, assume_mpp=5.0)
    (note,) = notes_of(path, caplog, foreground=EVERYTHING, assume_mpp=5.0, max_enlargement=21)
    assert note.startswith("enlarged 20.6 times")


# --- failures ------------------------------------------------------------------------------------------------------


def failure_of(path: Path, **arguments: Any) -> str:
    dataset = dataset_of(path, **arguments)
    (tile,) = dataset.tiles(str(path))
    assert tile.path == str(path)
    assert tile.plan is None
    assert not tile.positions.any()
    assert dataset[tile]["tile"] == tile
    assert dataset[tile]["image"].numel() == 0
    assert tile.error is not None
    return tile.error


def test_slide_that_is_missing_or_broken_travels_as_a_tile(tmp_path: Path, slide: Path) -> None:
    assert "no such slide" in failure_of(tmp_path / "gone.tif")
    (tmp_path / "cut.tif").write_bytes(slide.read_bytes()[:1000])
    assert "cannot be opened as a slide" in failure_of(tmp_path / "cut.tif")


def test_slide_without_a_resolution_travels_as_a_tile(tmp_path: Path) -> None:
    path = write_coded(tmp_path / "plain.tif", (701, 903), mpp=None)
    assert "--assume_mpp" in failure_of(path)
    tiles = list(dataset_of(path, assume_mpp=0.25, foreground=EVERYTHING).tiles(str(path)))
    assert (covered(tiles) == 1).all()


@pytest.mark.parametrize("has_mask", [False, True])
def test_gray_slide_travels_as_a_tile(tmp_path: Path, has_mask: bool) -> None:
    path = tmp_path / "gray.tif"
    tifffile.imwrite(path, coded_image(SHAPE)[..., 0].copy(), tile=(256, 256), photometric="minisblack", metadata=None)
    folder = write_mask(tmp_path / "masks", "gray", np.ones(map_shape(SHAPE, 64), dtype=bool)) if has_mask else None
    assert "expected RGB of 8 bits, found 1 channel" in failure_of(path, foreground_dir=folder, assume_mpp=0.243)


def test_missing_or_unfit_mask_travels_as_a_tile(tmp_path: Path, slide: Path) -> None:
    folder = write_mask(tmp_path / "masks", "other", np.ones((3, 4), dtype=bool))
    assert "no such foreground mask" in failure_of(slide, foreground_dir=folder)
    write_mask(folder, "coded_001", np.ones(map_shape(SHAPE, 32), dtype=bool))
    assert "for stride 64" in failure_of(slide, foreground_dir=folder)


def test_damaged_tile_travels_with_its_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tif"
    image = np.random.default_rng(0).integers(0, 256, (801, 903, 3), dtype=np.uint8)
    write_pyramid(path, image, 0.243, downsamples=(1,), compression="jpeg")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = b"\xff\xd9" * 10_000
    path.write_bytes(content)
    mask = np.ones(map_shape((801, 903), 64), dtype=bool)
    folder = write_mask(tmp_path / "masks", "damaged", mask)
    dataset = dataset_of(path, foreground_dir=folder, tile_size=300)
    found = [dataset[tile]["tile"] for tile in dataset.tiles(str(path))]
    failed = [tile for tile in found if tile.error is not None]
    assert failed
    assert all("cannot be decoded" in str(tile.error) for tile in failed)
    assert all(tile.positions.size == 0 for tile in failed)
    assert len(failed) < len(found), "the intact part can be read"


@pytest.mark.parametrize("stride", [0, -64, 64.0, 1.5, "64", None, True])
def test_stride_must_be_a_positive_integer(slide: Path, stride: Any) -> None:
    with pytest.raises(InputError, match="stride must be a positive integer of level-0 pixels, but got"):
        dataset_of(slide, stride=stride)


@pytest.mark.parametrize("num_workers", [-1, "two", 1.0, None, False])
def test_readers_must_be_counted(slide: Path, num_workers: Any) -> None:
    with pytest.raises(InputError, match="num_workers must be an integer from 0 on, but got"):
        dataset_of(slide, num_workers=num_workers)


@pytest.mark.parametrize("max_enlargement", [0, 0.99, -3, "three", None, True, float("nan")])
def test_enlargement_must_have_a_limit(slide: Path, max_enlargement: Any) -> None:
    with pytest.raises(InputError, match="max_enlargement must be a number of at least 1, but got"):
        dataset_of(slide, max_enlargement=max_enlargement)


def test_folder_of_masks_must_exist(tmp_path: Path, slide: Path) -> None:
    with pytest.raises(InputError, match=r"foreground_dir .*gone: no such folder of masks"):
        dataset_of(slide, foreground_dir=tmp_path / "gone")


# --- the sampler and the loader's parts -------------------------------------------------------------------------------


def test_sampler_goes_slide_by_slide(tmp_path: Path, slide: Path) -> None:
    other = write_coded(tmp_path / "coded_002.tif", (801, 1203))
    dataset = dataset_of(slide, other, foreground=EVERYTHING, tile_size=600)
    tiles = list(TileSampler(dataset))
    paths = [tile.path for tile in tiles]
    assert paths == sorted(paths)
    assert set(paths) == {str(slide), str(other)}
    assert len(tiles) == sum(len(list(dataset.tiles(str(path)))) for path in (slide, other))


def test_sampler_leaves_a_slide_that_is_skipped(tmp_path: Path, slide: Path) -> None:
    other = write_coded(tmp_path / "coded_002.tif", (801, 1203))
    sampler = TileSampler(dataset_of(slide, other, foreground=EVERYTHING, tile_size=300))
    seen = []
    for tile in sampler:
        seen.append(tile.path)
        if len(seen) == 3:
            sampler.skip.add(str(slide))
    assert seen[:3] == [str(slide)] * 3
    assert set(seen[3:]) == {str(other)}


def test_sampler_opens_slides_when_their_turn_comes(tmp_path: Path, slide: Path) -> None:
    sampler = TileSampler(dataset_of(slide, tmp_path / "gone.tif", foreground=EVERYTHING))
    tiles = iter(sampler)
    assert next(tiles).error is None
    assert "no such slide" in str(list(tiles)[-1].error)


def test_slide_datalist_is_sorted_by_name(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_coded(tmp_path / f"{name}.tif", (64, 80))
    assert slide_datalist(tmp_path) == [{"image": str(tmp_path / f"{name}.tif")} for name in "ab"]
    assert slide_datalist([str(tmp_path / "b.tif")]) == [{"image": str(tmp_path / "b.tif")}]
    with pytest.raises(InputError, match="no such file or folder"):
        slide_datalist(tmp_path / "gone")


def test_dataset_and_tiles_travel_to_workers(slide: Path) -> None:
    dataset = dataset_of(slide, foreground=EVERYTHING, tile_size=500)
    tile = list(dataset.tiles(str(slide)))[4]
    copy, copied_tile = pickle.loads(pickle.dumps((dataset, tile)))
    torch.testing.assert_close(copy[copied_tile]["image"], dataset[tile]["image"], rtol=0, atol=0)


# --- each compressed tile once ----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("mpp", [0.243, 0.121], ids=["as it is", "resampled"])
def test_each_compressed_tile_is_decoded_once_by_each_reader(tmp_path: Path, mpp: float, num_workers: int) -> None:
    path = tmp_path / "coded.tif"
    write_pyramid(path, coded_image(SHAPE), mpp, downsamples=(1, 4), compression="zlib")
    settings = {"stride": 32, "tile_size": 448, "foreground": EVERYTHING, "num_workers": num_workers}
    dataset = dataset_of(path, **settings)
    tiles = list(TileSampler(dataset))
    readers = [dataset_of(path, **settings) for _ in range(num_workers)]
    plain = dataset_of(path, **settings)
    for index, tile in enumerate(tiles):
        found = readers[index % num_workers][tile]["image"]
        whole = tile._replace(keep=np.zeros_like(tile.keep))
        plain._reader = None
        np.testing.assert_array_equal(found, plain[whole]["image"])
    for reader in readers:
        cells = reader._reader
        assert cells is not None
        assert not cells._cells
    slide = dataset.slides.get(path)
    level = 0
    num_cells = int(np.prod([-(-side // cell) for side, cell in zip(SHAPE, slide.cell_shapes[level], strict=True)]))
    counts = [reader._reader.num_decoded for reader in readers if reader._reader is not None]
    if num_workers == 1:
        assert counts == [num_cells]
    assert sum(counts) >= num_cells
    assert max(counts) <= num_cells


# --- what slides look like ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranges", "mpp", "expected"),
    [
        ({"brightness": [90, 120], "sharpness": [-9, 9]}, 0.243, ["looks unlike the training data: brightness"]),
        ({"brightness": [90, 180], "sharpness": [5, 9]}, 0.243, ["looks unlike the training data: sharpness"]),
        ({"brightness": [90, 180], "sharpness": [-9, 9]}, 0.243, []),
        ({"sharpness": [5, 9]}, 0.486, ["enlarged 2 times"]),  # which says why it is not sharp
        (None, 0.243, []),
    ],
)
def test_a_slide_unlike_the_training_data_is_noted(
    tmp_path: Path, ranges: Any, mpp: float, expected: list[str]
) -> None:
    image = np.random.default_rng(0).integers((140, 90, 150), (200, 150, 210), size=(901, 1303, 3), dtype=np.uint8)
    write_pyramid(tmp_path / "a.tif", image, mpp, (1, 4))
    purpose = make_purpose(0.243, 224, appearance=ranges)
    write_weights(tmp_path / "own.pt", {"weight": torch.ones(1)}, purpose)
    dataset = dataset_of(tmp_path / "a.tif", foreground=EVERYTHING, weights=tmp_path / "own.pt")
    plan = dataset.plan(str(tmp_path / "a.tif"), None, 0)[0].plan
    assert plan is not None
    assert [note[: len(start)] for note, start in zip(plan.notes, expected, strict=True)] == expected
    assert plan.appearance is not None
    assert plan.appearance["brightness"] == pytest.approx(157, abs=8)
    assert (plan.appearance["sharpness"] is None) == (mpp > 0.4)


def test_a_slide_without_tissue_has_no_looks(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.full((901, 1303, 3), 245, dtype=np.uint8), 0.243, (1, 4))
    plan = dataset_of(tmp_path / "a.tif").plan(str(tmp_path / "a.tif"), None, 0)[0].plan
    assert plan is not None
    assert plan.appearance is None


@pytest.mark.parametrize(("backend", "found"), [("auto", ["cucim"]), ("openslide", [])])
def test_cucim_is_imported_before_a_slide_is_asked_for(
    backend: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = []

    def import_cucim(with_cupy: bool = True) -> None:
        imported.append("cucim and cupy" if with_cupy else "cucim")
        raise OSError("no driver")

    monkeypatch.setattr(module, "import_cucim", import_cucim)
    TileDataset([], backend=backend).prepare()
    assert imported == found
