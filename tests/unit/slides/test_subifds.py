from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from helpers.ome_slide import write_ome
from scripts.errors import InputError
from scripts.slides.pyramid import downsample_image, write_pyramid
from scripts.slides.slide import open_slide
from scripts.slides.subifds import SubIfdPixels

Image = npt.NDArray[np.uint8]
BACKENDS = [pytest.param("cucim", marks=pytest.mark.cucim), "openslide"]
SHAPE = (603, 907)


def picture(shape: tuple[int, int] = SHAPE) -> Image:
    coarse = np.random.default_rng(5).integers(60, 240, (-(-shape[0] // 37), -(-shape[1] // 37), 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(37, axis=0).repeat(37, axis=1)[: shape[0], : shape[1]])


def pyramid_of(image: Image, *downsamples: int) -> list[Image]:
    return [downsample_image(image, downsample) for downsample in downsamples]


@pytest.mark.parametrize("compression", ["lzw", "zlib", "jpeg", None])
def test_pixels_are_those_that_tifffile_reads(tmp_path: Path, compression: str | None) -> None:
    path = write_ome(tmp_path / "a.ome.tif", pyramid_of(picture(), 1, 2, 4), compression)
    pixels = SubIfdPixels(path, 1)
    assert pixels.levels == (((302, 454), (128, 128)), ((151, 227), (128, 128)))
    for number in (1, 2):
        whole = tifffile.imread(path, level=number)
        for top, left, height, width in ((0, 0, *whole.shape[:2]), (100, 120, 50, 100), (130, 130, 1, 1)):
            found = pixels.read((top, left), (height, width), number)
            np.testing.assert_array_equal(found, whole[top : top + height, left : left + width])
    pixels.close()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("compression", ["lzw", "jpeg"])
def test_a_slide_reads_as_one_whose_levels_are_pages(
    tmp_path: Path, backend: str, compression: str, caplog: pytest.LogCaptureFixture
) -> None:
    image = picture()
    write_pyramid(tmp_path / "plain.tif", image, 0.25, downsamples=(1, 2, 4), compression=compression)
    write_ome(tmp_path / "a.ome.tif", pyramid_of(image, 1, 2, 4), compression)
    with open_slide(tmp_path / "a.ome.tif", backend) as ome, open_slide(tmp_path / "plain.tif", backend) as plain:
        assert (ome.backend, ome.level_shapes, ome.downsamples) == (backend, plain.level_shapes, plain.downsamples)
        assert ome.mpp == pytest.approx(plain.mpp)
        assert ome.cell_shapes == ((128, 128),) * 3
        for level in range(3):
            found, expected = (slide.read_level((-5, -9), (320, 480), level) for slide in (ome, plain))
            assert np.abs(found.astype(int) - expected).mean() < (4 if compression == "jpeg" else 0.01)
        assert np.abs(ome.read_overview(7).astype(int) - plain.read_overview(7)).mean() < 4
    assert not caplog.records


def test_another_picture_in_a_subifd_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    macro = np.random.default_rng(1).integers(0, 255, (302, 454, 3), dtype=np.uint8)
    path = write_ome(tmp_path / "a.ome.tif", [picture(), macro, downsample_image(picture(), 4)])
    with open_slide(path) as slide:
        assert slide.downsamples == (1.0, 4.0)
        found = slide.read_level((0, 0), slide.level_shapes[1], 1)
        np.testing.assert_array_equal(found, downsample_image(picture(), 4))
    assert "level 1 (302 x 454)" in caplog.text


def test_a_tile_that_is_not_stored_is_white_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = write_ome(tmp_path / "a.ome.tif", pyramid_of(picture(), 1, 2))
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0].pages[0]
        sizes, offset = page.tags["TileByteCounts"], page.dataoffsets[3]
        place, width = sizes.valueoffset, sizes.valuebytecount // sizes.count
    whole = tifffile.imread(path, level=1)
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(bytes(width))
    pixels = SubIfdPixels(path, 1)
    found = pixels.read((0, 0), (302, 454), 1)
    pixels.close()
    assert (found[:128, :128] == 255).all()
    np.testing.assert_array_equal(found[128:], whole[128:])
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 40)
    with pytest.raises(InputError, match=r"a\.ome\.tif: the tiles of level 1 .* cannot be decoded"):
        open_slide(path)


def test_files_without_such_levels(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "plain.tif", picture(), 0.25)
    (tmp_path / "text.tif").write_text("slide")
    write_ome(tmp_path / "gray.tif", [level[..., 0] for level in pyramid_of(picture(), 1, 2)], photometric="minisblack")
    for name in ("plain.tif", "text.tif", "gray.tif", "missing.tif"):
        assert SubIfdPixels(tmp_path / name, 3).levels == ()
