from __future__ import annotations

import multiprocessing
import pickle
import re
import struct
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import tifffile

from helpers.dicom_slide import write_dicom_slide
from scripts.errors import InputError
from scripts.slides import backends
from scripts.slides import slide as slide_module
from scripts.slides.pool import SlidePool
from scripts.slides.pyramid import downsample_image, write_pyramid
from scripts.slides.slide import Slide, open_slide

Image = npt.NDArray[np.uint8]

MPP = 0.243
DOWNSAMPLES = (1, 4, 16)
ODD = (1111, 1705)
EVEN = (1040, 1712)
BACKENDS = [pytest.param("cucim", marks=pytest.mark.cucim), "openslide"]


def waves(rows: npt.ArrayLike, cols: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """A picture known at every point: red varies with the row, green with the column, blue with both."""
    rows, cols = np.broadcast_arrays(np.asarray(rows, dtype=np.float64), cols)
    red, green = 128 + 100 * np.sin(rows / 25 + 0.3), 128 + 100 * np.sin(cols / 31 + 1)
    return np.stack([red, green, 128 + 60 * np.sin(rows / 47) * np.cos(cols / 59)], axis=-1)


def picture(shape: tuple[int, int]) -> Image:
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return np.rint(waves(rows, cols)).astype(np.uint8)


class Pyramid(NamedTuple):
    path: Path
    image: Image
    levels: list[Image]


@pytest.fixture(scope="module")
def pyramids(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Pyramid]:
    """Slides written once, on demand, by shape, compression and downsamples."""
    folder = tmp_path_factory.mktemp("slides")
    made: dict[tuple[Any, ...], Pyramid] = {}

    def make(
        shape: tuple[int, int] = ODD, compression: str | None = "lzw", downsamples: tuple[int, ...] = DOWNSAMPLES
    ) -> Pyramid:
        key = (shape, compression, downsamples)
        if key not in made:
            image = picture(shape)
            path = folder / f"slide_{len(made)}.tif"
            write_pyramid(path, image, MPP, downsamples=downsamples, compression=compression)
            made[key] = Pyramid(path, image, [downsample_image(image, downsample) for downsample in downsamples])
        return made[key]

    return make


def overwrite_tile(path: Path, index: int, content: bytes, page: int = 0) -> None:
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[page].dataoffsets[index], tiff.pages[page].databytecounts[index]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write((content * size)[:size])


def drop_tile(path: Path, index: int, page: int = 0) -> None:
    """Make a tile one that is not stored: its offset and its length are 0."""
    with tifffile.TiffFile(path) as tiff:
        tags = [tiff.pages[page].tags[name] for name in ("TileOffsets", "TileByteCounts")]
        places = [(tag.valueoffset, {3: "<H", 4: "<I"}[int(tag.dtype)]) for tag in tags]
    with open(path, "r+b") as file:
        for offset, number in places:
            file.seek(offset + index * struct.calcsize(number))
            file.write(struct.pack(number, 0))


def shift(found: Image, expected: npt.NDArray[np.float64], slopes: npt.NDArray[np.float64]) -> float:
    """How far ``found`` is displaced, by least squares, in the unit that ``slopes`` are per."""
    return float(-((found - expected) * slopes).sum() / (slopes**2).sum())


# --- opening ---


def test_open_slide_names_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path / "a.tif", tmp_path):
        with pytest.raises(InputError, match="no such slide"):
            open_slide(path)


@pytest.mark.parametrize("backend", ["auto", "cucim", "openslide"])
def test_open_slide_refuses_text_and_truncated_files(
    tmp_path: Path, pyramids: Callable[..., Pyramid], backend: str, capfd: pytest.CaptureFixture[str]
) -> None:
    text, cut, empty = (tmp_path / name for name in ("text.tif", "cut.tif", "empty.svs"))
    text.write_text("slide,x,y\n" * 100)
    whole = pyramids(ODD, "jpeg").path.read_bytes()
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    empty.touch()
    for path in (text, cut, empty):
        with pytest.raises(InputError, match=rf"{path.name}: cannot be opened as a slide \(.*truncated") as caught:
            open_slide(path, backend)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_open_slide_checks_its_arguments(pyramids: Callable[..., Pyramid]) -> None:
    with pytest.raises(InputError, match="backend must be one of auto, cucim, openslide, but got 'tifffile'"):
        open_slide(pyramids().path, "tifffile")
    for mpp in (0, -0.25, float("nan"), float("inf")):
        with pytest.raises(InputError, match="assume_mpp must be a number of µm"):
            open_slide(pyramids().path, assume_mpp=mpp)


def test_auto_takes_openslide_where_cucim_is_not_installed(
    pyramids: Callable[..., Pyramid], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ImportError("cuCIM is not installed")

    monkeypatch.setattr(backends, "CucimPixels", missing)
    with open_slide(pyramids().path) as slide:
        assert slide.backend == "openslide"
    with pytest.raises(InputError, match=r"cuCIM does not read it .* use --backend openslide"):
        open_slide(pyramids().path, "cucim")


@pytest.mark.cucim
def test_auto_takes_cucim_for_tiff_only(pyramids: Callable[..., Pyramid], tmp_path: Path) -> None:
    other = tmp_path / "slide.bif"
    other.write_bytes(pyramids().path.read_bytes())
    with open_slide(pyramids().path) as tiff, open_slide(other) as bif:
        assert [tiff.backend, bif.backend] == ["cucim", "openslide"]
    with pytest.raises(InputError, match=r"slide\.bif: cuCIM does not read it .*plugin.* use --backend openslide"):
        open_slide(other, "cucim")


@pytest.mark.cucim
@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib", "predictor": True},  # cuCIM 26.10 ends the process on this one
        {"compression": "lzw", "predictor": True},
        {"compression": "packbits"},
        {"compression": "zstd"},
        {"compression": "lzw", "planarconfig": "separate"},
        {"compression": "lzw", "dtype": np.uint16},
        {"compression": "lzw", "alpha": 128},
        {"compression": "zlib", "photometric": "minisblack"},
    ],
    ids=["zlib-predictor", "lzw-predictor", "packbits", "zstd", "planes", "16-bit", "alpha", "gray"],
)
def test_auto_takes_openslide_for_tiffs_that_cucim_reads_otherwise(
    tmp_path: Path, options: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    path, image = tmp_path / "slide.tif", picture((301, 405))
    options = {"photometric": "rgb"} | options
    if options.get("planarconfig"):
        image = np.moveaxis(image, -1, 0).copy()
    if dtype := options.pop("dtype", None):
        image = image.astype(dtype) * 257
    if alpha := options.pop("alpha", None):
        image = np.dstack([image, np.full(image.shape[:2], alpha, np.uint8)])
        options["extrasamples"] = ["unassalpha"]
    if options["photometric"] == "minisblack":
        image = image[..., 0]
    tifffile.imwrite(path, image, tile=(128, 128), metadata=None, **options)
    with open_slide(path) as slide:
        assert slide.backend == "openslide"
        assert slide.read_level((0, 0), slide.shape, 0).shape == (301, 405, 3)
    with pytest.raises(InputError, match=r"slide\.tif: cuCIM does not read it"):
        open_slide(path, "cucim")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [ODD, EVEN, (3301, 203)])
def test_levels_and_resolution(pyramids: Callable[..., Pyramid], backend: str, shape: tuple[int, int]) -> None:
    made = pyramids(shape)
    with open_slide(made.path, backend) as slide:
        assert slide.backend == backend
        assert slide.shape == shape
        assert slide.level_shapes == tuple(level.shape[:2] for level in made.levels)
        assert slide.downsamples == (1.0, 4.0, 16.0)
        assert slide.mpp == pytest.approx(MPP, rel=1e-6)
        assert slide.require_mpp() == slide.mpp
        assert slide.model_downsample() == 1.0
        assert slide.model_downsample(0.486) == pytest.approx(2)
        assert slide.vendor == "generic-tiff"


# --- resolution, see also test_resolution.py ---


def test_assume_mpp_goes_before_the_file(pyramids: Callable[..., Pyramid]) -> None:
    with open_slide(pyramids().path, assume_mpp=0.486) as slide:
        assert slide.mpp == 0.486
        assert slide.model_downsample() == pytest.approx(0.5)


# --- pixels as they are ---


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [ODD, EVEN])
@pytest.mark.parametrize("compression", ["lzw", "zlib", None])
def test_read_level_gives_what_was_written(
    pyramids: Callable[..., Pyramid], backend: str, shape: tuple[int, int], compression: str | None,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    made = pyramids(shape, compression)
    with open_slide(made.path, backend) as slide:
        for level, expected in enumerate(made.levels):
            found = slide.read_level((0, 0), expected.shape[:2], level)
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, expected)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("shape", "level"), [(EVEN, 0), (EVEN, 1), (EVEN, 2), (ODD, 0)])
def test_read_level_gives_parts_exactly(
    pyramids: Callable[..., Pyramid], backend: str, shape: tuple[int, int], level: int
) -> None:
    made = pyramids(shape)
    rng = np.random.default_rng(level)
    height, width = made.levels[level].shape[:2]
    with open_slide(made.path, backend) as slide:
        for row, col in zip(rng.integers(0, height - 20, 30), rng.integers(0, width - 33, 30), strict=True):
            found = slide.read_level((int(row), int(col)), (20, 33), level)
            np.testing.assert_array_equal(found, made.levels[level][row : row + 20, col : col + 33])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("level", [1, 2])
def test_read_level_of_a_rounded_level_is_half_a_level0_pixel_off_at_most(
    pyramids: Callable[..., Pyramid], backend: str, level: int
) -> None:
    made = pyramids(ODD)
    expected = made.levels[level].astype(np.float64)
    height, width = expected.shape[:2]
    slopes = np.gradient(expected, axis=(0, 1))
    with open_slide(made.path, backend) as slide:
        for row, col in [(height - 31, 7), (height // 2, width - 51), (height // 3, width // 2)]:
            part = np.s_[row : row + 30, col : col + 50]
            found = slide.read_level((row, col), (30, 50), level)
            for axis in (0, 1):
                shifted = shift(found[..., axis], expected[part][..., axis], slopes[axis][part][..., axis])
                assert abs(shifted) < 0.5 / DOWNSAMPLES[level] + 0.01


@pytest.mark.cucim
@pytest.mark.parametrize("shape", [ODD, EVEN])
def test_both_backends_give_the_same_pixels_of_jpeg(pyramids: Callable[..., Pyramid], shape: tuple[int, int]) -> None:
    path = pyramids(shape, "jpeg").path
    rng = np.random.default_rng(0)
    with open_slide(path, "cucim") as ours, open_slide(path, "openslide") as theirs:
        assert (ours.backend, theirs.backend) == ("cucim", "openslide")
        for level, (height, width) in enumerate(ours.level_shapes):
            places = [((0, 0), (height, width)), ((-5, -9), (height + 17, width + 23))]
            places += [((int(rng.integers(-20, height)), int(rng.integers(-20, width))), (41, 67)) for _ in range(10)]
            for location, size in places:
                np.testing.assert_array_equal(
                    ours.read_level(location, size, level), theirs.read_level(location, size, level)
                )
        for downsample in (0.5, 1, 2.5, 5, 16, 20):
            for location in ((0, 0), (301.5, 702.25), (-33, 1500), (1000, -12.5)):
                region = ours.read_region(location, (45, 71), downsample)
                assert region.shape == (45, 71, 3)
                np.testing.assert_array_equal(region, theirs.read_region(location, (45, 71), downsample))
        for stride in (1, 7, 64, 400):
            np.testing.assert_array_equal(ours.read_overview(stride), theirs.read_overview(stride))


@pytest.mark.cucim
def test_both_backends_give_the_same_pixels_of_a_real_slide(shared_data: Path) -> None:
    path = shared_data / "slides" / "cmu-1-small-region.svs"
    with open_slide(path, "cucim") as ours, open_slide(path, "openslide") as theirs, open_slide(path) as chosen:
        assert chosen.backend == "cucim"
        assert ours.shape == (2967, 2220)
        assert ours.mpp == pytest.approx(0.499)
        downsample = ours.model_downsample()
        assert downsample == pytest.approx(0.243 / 0.499)
        for location, size in (((1000, 700), (224, 301)), ((-10, 2100), (99, 300)), ((2900, -40), (224, 99))):
            for read in ("read_level", "read_region"):
                last = 0 if read == "read_level" else downsample
                np.testing.assert_array_equal(
                    getattr(ours, read)(location, size, last), getattr(theirs, read)(location, size, last)
                )
        np.testing.assert_array_equal(ours.read_overview(64), theirs.read_overview(64))


def test_a_dicom_slide(shared_data: Path) -> None:
    with open_slide(shared_data / "slides" / "multiframe_camelyon_challenge_image.dcm") as slide:
        assert slide.backend == "openslide"
        assert sorted(slide.shape) == [700, 1152]
        assert slide.mpp == pytest.approx(28.97, abs=0.01)
        assert slide.read_overview(16).std() > 5


@pytest.mark.parametrize("keyword", ["TotalPixelMatrixRows", "TotalPixelMatrixColumns"])
def test_a_header_that_claims_more_pixels_than_a_slide_can_have(tmp_path: Path, keyword: str) -> None:
    (path,) = write_dicom_slide(tmp_path, [np.full((65, 129, 3), 200, dtype=np.uint8)])
    content = pydicom.dcmread(path)
    setattr(content, keyword, 2**23 + 1)
    content.save_as(path)
    with pytest.raises(InputError, match=r"8,388,609.* pixels, where at most 2,097,152 a side"):
        open_slide(path)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("level", [0, 1, 2])
def test_beyond_the_edge_is_white(pyramids: Callable[..., Pyramid], backend: str, level: int) -> None:
    made = pyramids(EVEN)
    expected = np.pad(made.levels[level], ((30, 40), (50, 60), (0, 0)), constant_values=255)
    height, width = made.levels[level].shape[:2]
    with open_slide(made.path, backend) as slide:
        found = slide.read_level((-30, -50), (height + 70, width + 110), level)
        np.testing.assert_array_equal(found, expected)
        for location in [(-20, 5), (5, -20), (height, 5), (5, width + 3), (-500, -500)]:
            assert (slide.read_level(location, (20, 20), level) == 255).all()
        found = slide.read_level((height - 3, width - 7), (20, 33), level)
        np.testing.assert_array_equal(found[:3, :7], made.levels[level][-3:, -7:])
        assert (found[3:] == 255).all()
        assert (found[:, 7:] == 255).all()
        region = slide.read_region((EVEN[0] + 100, -800), (24, 31), 2.5)
        assert region.shape == (24, 31, 3)
        assert (region == 255).all()


# --- pixels resampled ---


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("downsamples", [DOWNSAMPLES, (1,)], ids=["pyramid", "single"])
@pytest.mark.parametrize("downsample", [0.487, 0.5, 2, 2.5, 4, 5, 16])
@pytest.mark.parametrize("location", [(160, 320), (133.25, 401.5)], ids=["whole", "fraction"])
def test_read_region_shows_the_points_that_it_says(
    pyramids: Callable[..., Pyramid], backend: str, downsamples: tuple[int, ...], downsample: float,
    location: tuple[float, float],
) -> None:  # fmt: skip
    size = (49, 73)
    rows = location[0] + (np.arange(size[0])[:, None] + 0.5) * downsample - 0.5
    cols = location[1] + (np.arange(size[1])[None] + 0.5) * downsample - 0.5
    expected = waves(rows, cols)
    with open_slide(pyramids(EVEN, "lzw", downsamples).path, backend) as slide:
        found = slide.read_region(location, size, downsample)
    assert found.shape == (*size, 3)
    assert np.abs(found - expected).mean() < (1 if downsample < 10 else 4)  # waves fade in coarse pixels
    row_slopes = (waves(rows + 0.5, cols) - waves(rows - 0.5, cols))[..., 0]
    col_slopes = (waves(rows, cols + 0.5) - waves(rows, cols - 0.5))[..., 1]
    tolerance = max(0.05, 0.02 * downsample)
    assert abs(shift(found[..., 0], expected[..., 0], row_slopes)) < tolerance
    assert abs(shift(found[..., 1], expected[..., 1], col_slopes)) < tolerance


@pytest.mark.parametrize("downsample", [5, 16, 20])
def test_read_region_from_a_rounded_level(pyramids: Callable[..., Pyramid], downsample: float) -> None:
    location, size = (203, 811), (37, 41)
    rows = location[0] + (np.arange(size[0])[:, None] + 0.5) * downsample - 0.5
    cols = location[1] + (np.arange(size[1])[None] + 0.5) * downsample - 0.5
    with open_slide(pyramids(ODD).path) as slide:
        found = slide.read_region(location, size, downsample)
    slopes = (waves(rows + 0.5, cols) - waves(rows - 0.5, cols))[..., 0]
    assert abs(shift(found[..., 0], waves(rows, cols)[..., 0], slopes)) < 0.6


@pytest.mark.parametrize("backend", BACKENDS)
def test_read_region_at_1_is_level_0_itself(pyramids: Callable[..., Pyramid], backend: str) -> None:
    made = pyramids()
    with open_slide(made.path, backend) as slide:
        np.testing.assert_array_equal(slide.read_region((101, 307), (45, 31), 1), made.image[101:146, 307:338])
        np.testing.assert_array_equal(slide.read_region((101.9, 307.5), (45, 31), 1.0), made.image[101:146, 307:338])
        assert (slide.read_region((-0.5, 3), (2, 9), 1)[0] == 255).all()


# --- overviews ---


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("downsamples", [DOWNSAMPLES, (1,)], ids=["pyramid", "single"])
@pytest.mark.parametrize("stride", [1, 3, 4, 16, 64, 112, 2000])
def test_read_overview_is_the_mean_of_each_box(
    pyramids: Callable[..., Pyramid], backend: str, downsamples: tuple[int, ...], stride: int
) -> None:
    made = pyramids(EVEN, "lzw", downsamples)
    rows, cols = -(-EVEN[0] // stride), -(-EVEN[1] // stride)
    padding = ((0, rows * stride - EVEN[0]), (0, cols * stride - EVEN[1]), (0, 0))
    padded = np.pad(made.image, padding, constant_values=255)
    expected = padded.reshape(rows, stride, cols, stride, 3).mean(axis=(1, 3))
    with open_slide(made.path, backend) as slide:
        found = slide.read_overview(stride)
    assert found.shape == (rows, cols, 3)
    # three roundings: of the level, of rows and of columns
    assert np.abs(found - expected).max() <= 1.5


@pytest.mark.parametrize("stride", [7, 10, 40])
def test_read_overview_where_no_level_divides_the_stride(pyramids: Callable[..., Pyramid], stride: int) -> None:
    made = pyramids(EVEN)
    rows, cols = EVEN[0] // stride, EVEN[1] // stride
    inside = made.image[: rows * stride, : cols * stride]
    expected = inside.reshape(rows, stride, cols, stride, 3).mean(axis=(1, 3))
    with open_slide(made.path) as slide:
        found = slide.read_overview(stride)
    assert found.shape == (-(-EVEN[0] // stride), -(-EVEN[1] // stride), 3)
    difference = found[1:rows, 1:cols] - expected[1:, 1:]
    assert np.abs(difference).mean() < 3
    assert np.abs(difference[..., :2].mean(axis=(0, 1))).max() < 0.5
    slopes = np.gradient(expected, axis=(0, 1))
    for axis in (0, 1):
        shifted = shift(found[:rows, :cols, axis], expected[..., axis], slopes[axis][..., axis])
        assert abs(shifted) < 0.02


@pytest.mark.parametrize("stride", [1, 7, 64])
def test_read_overview_of_odd_slides(pyramids: Callable[..., Pyramid], stride: int) -> None:
    with open_slide(pyramids(ODD).path) as slide:
        found = slide.read_overview(stride)
    rows, cols = ODD[0] // stride, ODD[1] // stride
    assert found.shape == (-(-ODD[0] // stride), -(-ODD[1] // stride), 3)
    expected = pyramids(ODD).image[: rows * stride, : cols * stride].reshape(rows, stride, cols, stride, 3)
    assert np.abs(found[:rows, :cols] - expected.mean(axis=(1, 3))).mean() < 2.5


def test_read_overview_refuses_strides(pyramids: Callable[..., Pyramid]) -> None:
    with open_slide(pyramids().path) as slide, pytest.raises(ValueError, match="stride must be a positive integer"):
        slide.read_overview(0)


# --- damage, and tiles that are not there ---


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("compression", "content"), [("jpeg", b"\xff"), ("jpeg", b"\0"), ("jpeg", b"tile"), ("lzw", b"\0"), ("zlib", b"\0")]
)
def test_a_damaged_tile_is_an_error(
    tmp_path: Path, pyramids: Callable[..., Pyramid], backend: str, compression: str, content: bytes,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "damaged.tif"
    path.write_bytes(pyramids(EVEN, compression).path.read_bytes())
    overwrite_tile(path, 9, content)  # tile row 1, tile column 2 of 7
    with open_slide(path, backend) as slide:
        slide.read_level((0, 512), (256, 256), 0)
        slide.read_region((256, 800), (100, 100), 1.5)
        for read in (
            lambda: slide.read_level((250, 512), (20, 20), 0),
            lambda: slide.read_region((300, 600), (20, 30), 2.5),
            lambda: slide.read_overview(3),
        ):
            with pytest.raises(InputError, match=rf"damaged\.tif: the tiles at level 0 .* by {backend}") as caught:
                read()
            assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_half_written_jpeg_tile_is_an_error(tmp_path: Path, pyramids: Callable[..., Pyramid], backend: str) -> None:
    path = tmp_path / "damaged.tif"
    path.write_bytes(pyramids(EVEN, "jpeg").path.read_bytes())
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[1].dataoffsets[3], tiff.pages[1].databytecounts[3]
    with open(path, "r+b") as file:
        file.seek(offset + size // 2)
        file.write(bytes(size - size // 2))
    with open_slide(path, backend) as slide, pytest.raises(InputError, match=r"damaged\.tif: the tiles at level 1"):
        slide.read_overview(8)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("compression", ["jpeg", "lzw"])
def test_tiles_that_were_never_scanned_are_white(
    tmp_path: Path, pyramids: Callable[..., Pyramid], backend: str, compression: str
) -> None:
    path, made = tmp_path / "sparse.tif", pyramids(EVEN, compression)
    path.write_bytes(made.path.read_bytes())
    for index in (9, 34):  # tile rows 1 and 4, tile columns 2 and 6 of 5 x 7 tiles: inside, and the last
        drop_tile(path, index)
    drop_tile(path, 1, page=1)
    with open_slide(made.path, backend) as slide:
        expected = [slide.read_level((0, 0), shape, level) for level, shape in enumerate(slide.level_shapes[:2])]
    expected[0] = expected[0].copy()
    expected[0][256:512, 512:768] = 255
    expected[0][1024:, 1536:] = 255
    expected[1] = expected[1].copy()
    expected[1][:256, 256:] = 255
    with open_slide(path, backend) as slide:
        assert slide.backend == backend
        for level in (0, 1):
            np.testing.assert_array_equal(slide.read_level((0, 0), expected[level].shape[:2], level), expected[level])
        for row, col in [(250, 500), (300, 600), (500, 760), (256, 512), (511, 767), (512, 768), (1020, 1530)]:
            np.testing.assert_array_equal(
                slide.read_level((row, col), (17, 29), 0), expected[0][row : row + 17, col : col + 29]
            )


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    path, image = tmp_path / "slide.tif", np.full((301, 405, 4), 100, np.uint8)
    image[..., 3] = 255
    image[:, 200:, 3] = 0
    image[:, 300:, 3] = 128
    tifffile.imwrite(
        path, image, tile=(128, 128), photometric="rgb", metadata=None, compression="lzw", extrasamples=["unassalpha"]
    )
    with open_slide(path) as slide:
        found = slide.read_level((0, 0), slide.shape, 0)
    assert (found[:, :200] == 100).all()
    assert (found[:, 200:300] == 255).all()
    assert np.abs(found[:, 300:].astype(int) - 177).max() <= 1


# --- pools ---


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pool_opens_once_and_closes_the_least_recent(
    tmp_path: Path, pyramids: Callable[..., Pyramid], backend: str
) -> None:
    paths = [tmp_path / f"{name}.tif" for name in "abc"]
    for path in paths:
        path.write_bytes(pyramids().path.read_bytes())
    pool = SlidePool(backend, assume_mpp=0.5, max_open=2)
    first, second = pool.get(paths[0]), pool.get(str(paths[1]))
    assert (first.backend, first.mpp) == (backend, 0.5)
    assert pool.get(str(paths[0])) is first
    third = pool.get(paths[2])
    with pytest.raises(Exception, match=r"."):  # a closed handle
        second.read_level((0, 0), (5, 5), 0)
    for slide, path in ((first, paths[0]), (third, paths[2])):
        assert pool.get(path) is slide
        assert slide.read_level((0, 0), (5, 7), 0).shape == (5, 7, 3)
    assert pool.get(paths[1]) is not second


def test_a_pool_passes_errors_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such slide"):
        SlidePool().get(tmp_path / "missing.tif")


def read_in_child(pool: SlidePool, path: Path, parents: Slide, reply: Connection) -> None:
    slide = pool.get(path)
    reply.send((slide is parents, pool.get(path) is slide, slide.read_level((100, 200), (30, 40), 0)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pool_opens_anew_after_a_fork(pyramids: Callable[..., Pyramid], backend: str) -> None:
    made = pyramids(EVEN, "jpeg")
    pool = SlidePool(backend)
    slide = pool.get(made.path)
    before = slide.read_level((100, 200), (30, 40), 0)
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=read_in_child, args=(pool, made.path, slide, there))
    child.start()
    assert here.poll(300), "no answer from the child"
    is_parents, is_kept, found = here.recv()
    child.join(300)
    assert child.exitcode == 0
    assert (is_parents, is_kept) == (False, True)
    np.testing.assert_array_equal(found, before)
    assert pool.get(made.path) is slide
    np.testing.assert_array_equal(slide.read_level((100, 200), (30, 40), 0), before)


def test_a_pickled_pool_keeps_its_settings_and_drops_its_slides(pyramids: Callable[..., Pyramid]) -> None:
    pool = SlidePool("openslide", assume_mpp=0.5, max_open=3)
    slide = pool.get(pyramids().path)
    copy = pickle.loads(pickle.dumps(pool))
    assert (copy.backend, copy.assume_mpp, copy.max_open) == ("openslide", 0.5, 3)
    other = copy.get(pyramids().path)
    assert other is not slide
    np.testing.assert_array_equal(other.read_level((9, 5), (8, 6), 0), slide.read_level((9, 5), (8, 6), 0))
    assert pool.get(pyramids().path) is slide


@pytest.mark.parametrize("error", [IndexError("tuple index out of range"), MemoryError(), KeyError("offsets")])
def test_whatever_a_reader_raises_names_the_slide(
    pyramids: Callable[..., Pyramid], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    path = pyramids().path
    with open_slide(path) as slide:
        monkeypatch.setattr(type(slide._pixels), "read", fail)
        monkeypatch.setattr(type(slide._openslide), "read", fail)
        reason = re.escape(error.args[0]) if error.args else "MemoryError"
        with pytest.raises(InputError, match=rf"{path.name}: the tiles at level 0 .*{reason}"):
            slide.read_level((0, 0), (5, 5), 0)
    monkeypatch.setattr(slide_module, "stated_bounds", fail)
    with pytest.raises(InputError, match=f"{path.name}: cannot be opened as a slide"):
        open_slide(path)
