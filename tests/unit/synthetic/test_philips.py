"""Slides and masks in the form of CAMELYON16's; the judges are OpenSlide and tifffile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile

from scripts.errors import InputError
from scripts.masks.files import level_shapes, read_level
from scripts.slides.pyramid import downsample_image
from scripts.synthetic.philips import MASK_VALUES, tissue_tiles, write_philips, write_philips_mask

SHAPE = (301, 405)
TILE = 64
PADDED = (320, 448)
CLOSE = 3.0
"""Mean difference of 255 that JPEG may make."""


def picture() -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    waves = [np.sin(x / 90), np.cos(y / 80), np.sin((x + y) / 120)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def padded() -> npt.NDArray[np.uint8]:
    image = np.full((*PADDED, 3), 255, dtype=np.uint8)
    image[: SHAPE[0], : SHAPE[1]] = picture()
    return image


def mask() -> npt.NDArray[np.uint8]:
    """Regions of 1 and 2, and nothing in two tiles of the first row."""
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    values = (rows // 37 + cols // 41) % len(MASK_VALUES)
    values[:TILE, TILE : 3 * TILE] = 0
    return values.astype(np.uint8)


def byte_counts(path: Path) -> list[npt.NDArray[np.int64]]:
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if page.is_tiled]
        return [np.reshape(page.databytecounts, (page.imagelength // TILE, page.imagewidth // TILE)) for page in pages]


def test_a_slide_as_openslide_sees_it(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_philips(path, picture(), 0.25, tile_size=TILE)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "philips"
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert slide.level_dimensions == ((448, 320), (224, 160), (112, 80), (56, 40))
        assert slide.level_downsamples == (1, 2, 4, 8)
        for level, downsample in enumerate((1, 2, 4, 8)):
            found = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]))
            assert found[..., 3].min() == 255
            difference = np.abs(found[..., :3].astype(np.int64) - downsample_image(padded(), downsample))
            assert difference.mean() < CLOSE
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_philips
        assert tiff.is_bigtiff
        pages = [page.shape[:2] for page in tiff.pages]
        assert pages == [(320, 448), (192, 256), (128, 128), (64, 64)]
        assert [level.shape[:2] for level in tiff.series[0].levels] == [(320, 448), (160, 224), (80, 112), (40, 56)]


def test_levels_that_are_no_exact_fraction_are_rounded_down(tmp_path: Path) -> None:
    write_philips(tmp_path / "a.tif", picture(), 0.25, tile_size=48)
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert slide.level_dimensions == ((432, 336), (216, 168), (108, 84), (54, 42), (27, 21))
    write_philips(tmp_path / "b.tif", picture(), 0.25, tile_size=48, num_levels=6)
    with openslide.OpenSlide(tmp_path / "b.tif") as slide:
        assert slide.level_dimensions[-1] == (13, 10)
        assert slide.level_downsamples[-1] == 32


@pytest.mark.parametrize("is_first_stored", [True, False])
def test_tiles_that_are_not_stored(tmp_path: Path, is_first_stored: bool) -> None:
    path = tmp_path / "a.tif"
    stored = np.zeros((5, 7), dtype=np.bool_)
    stored[0, 0], stored[2, 5], stored[4, 6] = is_first_stored, True, True
    write_philips(path, picture(), stored=stored, tile_size=TILE)
    counts = byte_counts(path)
    np.testing.assert_array_equal(counts[0] > 0, stored)
    assert [tuple(np.argwhere(level > 0).ravel()) for level in counts[1:]] == [
        ((0, 0) if is_first_stored else ()) + (1, 2, 2, 3),
        ((0, 0) if is_first_stored else ()) + (0, 1, 1, 1),
        (0, 0),
    ]
    with openslide.OpenSlide(path) as slide:
        alpha = np.asarray(slide.read_region((0, 0), 0, slide.dimensions))[..., 3]
    np.testing.assert_array_equal(alpha > 0, stored.repeat(TILE, axis=0).repeat(TILE, axis=1))


def test_label_and_macro(tmp_path: Path) -> None:
    label, macro = (np.full((*shape, 3), value, dtype=np.uint8) for shape, value in (((60, 50), 90), ((80, 200), 180)))
    write_philips(tmp_path / "a.tif", picture(), tile_size=TILE, label=label, macro=macro)
    with openslide.OpenSlide(tmp_path / "a.tif") as slide:
        assert slide.level_count == 4
        pictures = {name: np.asarray(found)[..., :3] for name, found in slide.associated_images.items()}
    assert {name: found.shape[:2] for name, found in pictures.items()} == {"label": (60, 50), "macro": (80, 200)}
    assert abs(int(pictures["label"][30, 30, 0]) - 90) < 3
    assert abs(int(pictures["macro"][30, 30, 0]) - 180) < 3


def test_tissue_tiles() -> None:
    image = np.full((*SHAPE, 3), 245, dtype=np.uint8)
    image[70:80, 390:] = (200, 120, 180)
    image[300, 404] = 0  # dust
    expected = np.zeros((5, 7), dtype=np.bool_)
    expected[1, 6] = True
    np.testing.assert_array_equal(tissue_tiles(image, TILE), expected)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_a_mask(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a_mask.tif"
    write_philips_mask(path, mask(), tile_size=TILE, compression=compression)
    whole = np.zeros(PADDED, dtype=np.uint8)
    whole[: SHAPE[0], : SHAPE[1]] = mask()
    assert level_shapes(path) == [(320, 448), (160, 224), (80, 112), (40, 56)]
    for level, downsample in enumerate((1, 2, 4, 8)):
        np.testing.assert_array_equal(read_level(path, level), whole[::downsample, ::downsample])
    is_empty = byte_counts(path)[0] == 0
    assert np.argwhere(is_empty).tolist() == [[0, 1], [0, 2]]
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "philips"
        assert slide.dimensions == (448, 320)


@pytest.mark.parametrize(
    ("write", "pixels", "options", "message"),
    [
        (write_philips, mask(), {}, "image must be a non-empty"),
        (write_philips, picture().astype(np.int16), {}, "image must be a non-empty"),
        (write_philips, picture(), {"stored": np.ones((5, 6), dtype=np.bool_)}, r"stored must say it for \(5, 7\)"),
        (write_philips_mask, picture(), {}, "mask must be a non-empty"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, write: Callable[..., None], pixels: npt.NDArray[Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "a.tif", pixels, tile_size=TILE, **options)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing"):
        write_philips(tmp_path / "missing" / "a.tif", picture())
