from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile

from helpers.dicom_slide import write_dicom_slide
from scripts.errors import InputError
from scripts.slides.levels import sound_levels
from scripts.slides.pyramid import downsample_image, write_pyramid
from scripts.slides.slide import open_slide

Image = npt.NDArray[np.uint8]

BACKENDS = [pytest.param("cucim", marks=pytest.mark.cucim), "openslide"]
TILE = 128


def picture(shape: tuple[int, int]) -> Image:
    """Pale glass with structures of many sizes, none of which repeats."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(60, 240, (-(-shape[0] // 37), -(-shape[1] // 37), 3), dtype=np.uint8)
    image = coarse.repeat(37, axis=0).repeat(37, axis=1)[: shape[0], : shape[1]]
    image[: shape[0] // 5] = 240
    return np.ascontiguousarray(image)


def padded(image: Image, tile: int = TILE) -> Image:
    height, width = image.shape[:2]
    return np.pad(image, ((0, -height % tile), (0, -width % tile), (0, 0)), constant_values=255)


def write_pages(path: Path, pages: Sequence[tuple[Image, int]], **options: Any) -> Path:
    """A TIFF of tiled pages, each with its NewSubfileType."""
    chosen: dict[str, Any] = {"tile": (TILE, TILE), "photometric": "rgb", "compression": "lzw", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        for image, kind in pages:
            writer.write(image, subfiletype=kind, software=False, **(chosen | options))
    return path


def pyramid_of(image: Image, *downsamples: int) -> list[Image]:
    return [downsample_image(image, downsample) for downsample in downsamples]


def as_pages(levels: Sequence[Image]) -> list[tuple[Image, int]]:
    return [(level, int(index > 0)) for index, level in enumerate(levels)]


def assert_reads(path: Path, image: Image, backend: str, strides: Sequence[int] = (4, 5, 16, 32)) -> None:
    """Whatever is read of the slide is ``image``, which may lie in padding."""
    with open_slide(path, backend, assume_mpp=0.25) as slide:
        for stride in strides:
            expected = downsample_image(image, stride)
            rows, cols = (side - 1 for side in expected.shape[:2])
            overview = slide.read_overview(stride)[:rows, :cols]
            assert np.abs(overview.astype(int) - expected[:rows, :cols]).mean() < 6, stride
            region = slide.read_region((0, 0), (rows, cols), stride)
            assert np.abs(region.astype(int) - expected[:rows, :cols]).mean() < 12, stride


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(675, 925), (900, 400), (385, 1153), (513, 769)])
@pytest.mark.parametrize("pad_level0", [True, False])
def test_levels_padded_to_whole_tiles_are_passed_over(
    tmp_path: Path, backend: str, shape: tuple[int, int], pad_level0: bool, caplog: pytest.LogCaptureFixture
) -> None:
    image = picture(shape)
    first, *rest = pyramid_of(image, 1, 2, 4, 8, 16)
    levels = [padded(first) if pad_level0 else first, *map(padded, rest)]
    path = write_pages(tmp_path / "a.tif", as_pages(levels))
    assert_reads(path, image, backend)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: level ")
    assert "is padded or another picture; it is passed over" in record.getMessage()


@pytest.mark.parametrize("backend", BACKENDS)
def test_sides_that_padding_makes_agree_are_told_by_the_pixels(tmp_path: Path, backend: str) -> None:
    """768 x 1536 at 1/4 is 192 x 384, and 256 x 512 with padding: a third."""
    image = picture((768, 1536))
    path = write_pages(tmp_path / "a.tif", as_pages([image, padded(downsample_image(image, 4), 256)]), tile=(256, 256))
    assert_reads(path, image, backend)
    with open_slide(path, backend) as slide:
        assert slide.downsamples == (1.0,)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unpadded_level_of_whole_tiles_stays(tmp_path: Path, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    write_pyramid(tmp_path / "a.tif", picture((768, 1536)), 0.25, downsamples=(1, 3))
    with open_slide(tmp_path / "a.tif", backend) as slide:
        assert slide.downsamples == (1.0, 3.0)
    assert not caplog.records


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_level_of_one_whole_tile_stays(tmp_path: Path, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each larger power of two would give one tile too, the largest ones of less than a pixel. Only a square can."""
    write_pyramid(tmp_path / "a.tif", picture((1024, 1024)), 0.25, downsamples=(1, 2, 4, 8), tile_size=128)
    with open_slide(tmp_path / "a.tif", backend) as slide:
        assert slide.downsamples == (1.0, 2.0, 4.0, 8.0)
    assert not caplog.records


MACRO = np.random.default_rng(1).integers(0, 255, (151, 227, 3), dtype=np.uint8)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kinds", "order", "kept"),
    [
        ((0, 1, 1, 9), (0, 1, 2, 3), 2),
        ((0, 1, 1, 1), (0, 1, 2, 3), 2),
        ((0, 1, 9, 1), (0, 1, 3, 2), 3),
        ((0, 1, 9), (0, 1, 3), None),
    ],
    ids=["macro last", "equal levels", "macro first", "macro alone"],
)
def test_another_picture_as_large_as_a_level_is_passed_over(
    tmp_path: Path, backend: str, kinds: Sequence[int], order: Sequence[int], kept: int | None,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    image = picture((603, 907))
    pictures = [*pyramid_of(image, 1, 2, 4), MACRO]
    path = write_pages(tmp_path / "a.tif", [(pictures[at], kind) for at, kind in zip(order, kinds, strict=True)])
    assert_reads(path, image, backend)
    with open_slide(path, backend) as slide:
        assert slide.downsamples == ((1.0, 2.0) if kept is None else (1.0, 2.0, 4.0))
        if kept is not None:
            np.testing.assert_array_equal(slide.read_level((0, 0), MACRO.shape[:2], 2), pictures[2])
    assert len(caplog.records) == 1


def turned(image: Image) -> Image:
    return np.ascontiguousarray(image[::-1, ::-1])


OTHERS: dict[str, Callable[[Image], Image]] = {
    "noise": lambda level: np.random.default_rng(2).integers(0, 255, level.shape, dtype=np.uint8),
    "blank": lambda level: np.full_like(level, 236),
    "mirrored": lambda level: np.ascontiguousarray(level[:, ::-1]),
    "turned": turned,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("at", [1, 2], ids=["between levels", "last"])
def test_another_picture_in_all_like_a_level_is_passed_over(
    tmp_path: Path, backend: str, other: str, at: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Its shape, its tags and its form are those of the level that is missing."""
    image = picture((604, 908))
    levels = pyramid_of(image, 1, 2, 4)
    levels[at] = OTHERS[other](levels[at])
    path = write_pages(tmp_path / "a.tif", as_pages(levels))
    assert_reads(path, image, backend)
    with open_slide(path, backend, assume_mpp=0.25) as slide:
        assert slide.downsamples == ((1.0, 4.0) if at == 1 else (1.0, 2.0))
    assert len(caplog.records) == 1


def test_another_picture_in_a_dicom_slide_or_an_svs_is_passed_over(tmp_path: Path) -> None:
    image = picture((604, 908))
    levels = [*pyramid_of(image, 1, 2), OTHERS["noise"](downsample_image(image, 4))]
    write_dicom_slide(tmp_path / "a", levels)
    with tifffile.TiffWriter(tmp_path / "a.svs") as writer:
        for level in levels:
            text = "Aperio Image Library v11.2.1 \r\n908x604 (128x128) JPEG/RGB Q=90|AppMag = 40|MPP = 0.25"
            form: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 95}}
            writer.write(level, tile=(TILE, TILE), description=text, metadata=None, software=False, **form)
    for path in (tmp_path / "a", tmp_path / "a.svs"):
        assert_reads(path, image, "openslide")
        with open_slide(path, "openslide") as slide:
            assert slide.downsamples == (1.0, 2.0)


LEVELS: dict[str, Callable[[Image], list[Image]]] = {
    "left out": lambda image: [np.ascontiguousarray(image[::step, ::step]) for step in (1, 2, 4)],
    "noisy": lambda image: [
        np.clip(level + np.random.default_rng(step).normal(0, 12, level.shape), 0, 255).astype(np.uint8)
        for step, level in enumerate(pyramid_of(image, 1, 2, 4))
    ],
    "shifted": lambda image: [np.roll(level, 2, axis=(0, 1)) for level in pyramid_of(image, 1, 2, 4)],
    "brighter": lambda image: [level // 2 + 40 * step for step, level in enumerate(pyramid_of(image, 1, 2, 4))],
    "noise of glass": lambda image: [
        np.random.default_rng(step).normal(240, 5, level.shape).clip(0, 255).astype(np.uint8)
        for step, level in enumerate(pyramid_of(image, 1, 2, 4))
    ],
}


@pytest.mark.parametrize("kind", LEVELS)
def test_levels_stay_however_they_were_made(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    path = write_pages(tmp_path / "a.tif", as_pages(LEVELS[kind](picture((604, 908)))))
    with open_slide(path, "openslide") as slide:
        assert slide.downsamples == (1.0, 2.0, 4.0)
    assert not caplog.records


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("shape", [(120, 300), (200, 300), (201, 302)], ids=["other form", "same form", "a third"])
def test_a_tiled_label_is_passed_over(tmp_path: Path, backend: str, shape: tuple[int, int]) -> None:
    image, label = picture((603, 907)), MACRO[: shape[0], : shape[1]].repeat(2, axis=0).repeat(2, axis=1)
    label = label[: shape[0], : shape[1]]
    path = write_pages(tmp_path / "a.tif", [*as_pages(pyramid_of(image, 1, 2)), (label, 1)])
    assert_reads(path, image, backend)
    with open_slide(path, backend) as slide:
        assert slide.downsamples == (1.0, 2.0)


@pytest.mark.parametrize("options", [{"compression": "jpeg"}, {"tile": (64, 64)}], ids=["compression", "tiles"])
def test_a_picture_stored_otherwise_is_compared(tmp_path: Path, options: dict[str, Any]) -> None:
    image = picture((603, 907))
    chosen: dict[str, Any] = {"photometric": "rgb", "metadata": None, "software": False}
    for name, last in (("macro.tif", MACRO), ("level.tif", downsample_image(image, 4))):
        with tifffile.TiffWriter(tmp_path / name) as writer:
            for level, kind in as_pages(pyramid_of(image, 1, 2)):
                writer.write(level, subfiletype=kind, **{"tile": (TILE, TILE), "compression": "lzw"}, **chosen)
            writer.write(last, subfiletype=1, **({"tile": (TILE, TILE), "compression": "lzw"} | options), **chosen)
    for name, expected in (("macro.tif", (1.0, 2.0)), ("level.tif", (1.0, 2.0, 4.0))):
        with open_slide(tmp_path / name, "openslide") as slide:
            assert slide.downsamples == expected


@pytest.mark.parametrize("backend", BACKENDS)
def test_levels_out_of_order_are_sorted(tmp_path: Path, backend: str, caplog: pytest.LogCaptureFixture) -> None:
    image = picture((603, 907))
    first, second, third = pyramid_of(image, 1, 4, 16)
    path = write_pages(tmp_path / "a.tif", [(first, 0), (third, 1), (second, 1)])
    with open_slide(path, "auto" if backend == "cucim" else backend) as slide:
        assert slide.downsamples == (1.0, 4.0, 16.0)
    assert_reads(path, image, "auto" if backend == "cucim" else backend)
    assert not caplog.records


@pytest.mark.parametrize(
    ("kind", "shape"), [(9, (1206, 1814)), (9, (700, 1500)), (1, (700, 1500)), (9, (651, 950)), (1, (651, 950))]
)
def test_a_picture_larger_than_the_slide_is_refused(tmp_path: Path, kind: int, shape: tuple[int, int]) -> None:
    larger = np.full((*shape, 3), 90, dtype=np.uint8)
    path = write_pages(tmp_path / "a.tif", [*as_pages(pyramid_of(picture((603, 907)), 1, 2)), (larger, kind)])
    with pytest.raises(InputError, match=r"a\.tif: the largest tiled picture, .*, is no level of the slide"):
        open_slide(path)


@pytest.mark.parametrize("kind", [0, 1])
def test_a_small_picture_before_the_slide_is_refused(tmp_path: Path, kind: int) -> None:
    """OpenSlide takes the first page and reduced ones: the slide itself would be passed over in silence."""
    image = picture((601, 805))
    small = downsample_image(image, 2)
    path = write_pages(tmp_path / "a.tif", [(small, kind), (image, 0)])
    with pytest.raises(InputError, match=r"a\.tif: its first picture has 301 x 403 pixels, but another has 601 x 805;"):
        open_slide(path, assume_mpp=0.25)


@pytest.mark.parametrize("page", [0, 1, 2])
def test_a_damaged_tile_under_a_look_hides_no_level(
    tmp_path: Path, page: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.tif"
    image = picture((604, 908))
    write_pyramid(path, image, 0.25, downsamples=(1, 2, 4), tile_size=128, compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[page].dataoffsets[0]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\x55" * 40)
    with open_slide(path, "openslide") as slide:
        assert slide.downsamples == (1.0, 2.0, 4.0)
        assert slide.mpp == pytest.approx(0.25)
        (top, left), size = (300, 300), (100, 100)
        np.testing.assert_array_equal(slide.read_level((top, left), size, 0), image[top:, left:][:100, :100])
        with pytest.raises(InputError, match=f"the tiles at level {page} "):
            slide.read_level((0, 0), size, page)
    assert not caplog.records


def test_a_level_that_cannot_be_compared_for_its_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_pyramid(path, picture((768, 1536)), 0.25, downsamples=(1, 3))
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[1].dataoffsets[0], tiff.pages[1].databytecounts[0]
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\x55" * size)
    with pytest.raises(InputError, match=r"a\.tif: the tiles of level 1 or of the level before cannot be decoded"):
        open_slide(path, "openslide")


def test_padded_levels_of_a_dicom_slide_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = picture((675, 925))
    levels = [padded(level, 64) for level in pyramid_of(image, 1, 2, 8)]
    write_dicom_slide(tmp_path / "a", levels)
    assert_reads(tmp_path / "a", image, "openslide")
    assert "passed over" in caplog.text


def test_no_pixel_of_a_large_level_of_the_usual_shape_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is tiled in a file is small."""
    read: list[int] = []

    def note(location: tuple[int, int], size: tuple[int, int], number: int) -> Image:
        read.append(number)
        return np.full((*size, 3), 200, dtype=np.uint8)

    path = tmp_path / "a.tif"
    write_pyramid(path, picture((1204, 1281)), 0.25, downsamples=(1, 2, 4, 8))
    monkeypatch.setattr("scripts.slides.levels.MAX_DOUBTFUL_PIXELS", 200 * 200)
    with openslide.OpenSlide(path) as handle:
        assert [level.downsample for level in sound_levels(path, handle, note)] == [1, 2, 4, 8]
    assert set(read) == {2, 3}, "the smallest level, and the one that it is compared with"


def test_pages_are_no_levels_of_formats_that_say_so_otherwise(tmp_path: Path) -> None:
    path = write_pages(tmp_path / "a.tif", [(picture((603, 907)), 0), (MACRO, 0)])
    with open_slide(path) as slide:
        assert slide.downsamples == (1.0,)
