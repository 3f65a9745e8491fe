"""Every form of slide by every backend that reads it: each pixel is the writer's, at odd places and across edges."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from helpers.dicom_slide import write_dicom_slide
from helpers.ome_slide import write_ome
from scripts.errors import InputError
from scripts.slides import backends
from scripts.slides.pyramid import downsample_image, write_pyramid
from scripts.slides.slide import open_slide
from scripts.synthetic.aperio import write_aperio
from scripts.synthetic.philips import write_philips, write_philips_mask

Image = npt.NDArray[np.uint8]
SHAPE = (301, 405)
TILE = 64
CLOSE = 3.0
"""Mean difference of 255 that JPEG may make on level 0, whose waves are the longest; one pixel aside makes more."""

STORED = np.ones((5, 7), dtype=np.bool_)
STORED[0, 0] = STORED[1, 2:5] = STORED[2, 4] = STORED[:4, 6] = STORED[4, 5:] = False


def picture() -> Image:
    """RGB that JPEG keeps, and of which no two places look alike."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    waves = [np.sin(x / 90), np.cos(y / 80), np.sin((x + y) / 120)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def values() -> Image:
    """A mask of 0, 1 and 2, with tiles of 0 only."""
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    mask = ((rows // 23 + cols // 31) % 3).astype(np.uint8)
    mask[:TILE, TILE : 3 * TILE] = mask[128:, 320:] = 0
    return mask


def padded(image: Image, tile: int, value: int) -> Image:
    margins = [(0, -side % tile) for side in image.shape[:2]] + [(0, 0)] * (image.ndim - 2)
    return np.pad(image, margins, constant_values=value)


def philips_levels(image: Image, downsamples: Sequence[int], stored: npt.NDArray[np.bool_], tile: int) -> list[Image]:
    """What a reader shows of a Philips TIFF, tile by tile: white where none is stored."""
    levels = []
    for downsample in downsamples:
        if image.ndim == 2:
            level = np.repeat(image[::downsample, ::downsample, None], 3, axis=2)
        else:
            level = downsample_image(image, downsample)
        level = level[: image.shape[0] // downsample, : image.shape[1] // downsample].copy()
        for row, col in np.ndindex(*(-(-side // tile) for side in level.shape[:2])):
            below = stored[row * downsample : (row + 1) * downsample, col * downsample : (col + 1) * downsample]
            if not below.any():
                level[row * tile : (row + 1) * tile, col * tile : (col + 1) * tile] = 255
        levels.append(level)
    return levels


def philips(folder: Path) -> tuple[Path, list[Image]]:
    write_philips(folder / "a.tif", picture(), tile_size=TILE)
    return folder / "a.tif", philips_levels(padded(picture(), TILE, 255), (1, 2, 4, 8), np.ones_like(STORED), TILE)


def philips_sparse(folder: Path) -> tuple[Path, list[Image]]:
    write_philips(folder / "a.tif", picture(), stored=STORED, tile_size=TILE)
    return folder / "a.tif", philips_levels(padded(picture(), TILE, 255), (1, 2, 4, 8), STORED, TILE)


def philips_odd(folder: Path) -> tuple[Path, list[Image]]:
    """Its levels are no exact fractions of level 0."""
    write_philips(folder / "a.tif", picture(), tile_size=48, num_levels=6)
    downsamples = (1, 2, 4, 8, 16, 32)
    return folder / "a.tif", philips_levels(
        padded(picture(), 48, 255), downsamples, np.ones((7, 9), dtype=np.bool_), 48
    )


def philips_with_pictures(folder: Path) -> tuple[Path, list[Image]]:
    write_philips(folder / "a.tif", picture(), stored=STORED, tile_size=TILE, label=picture(), macro=picture())
    return folder / "a.tif", philips_levels(padded(picture(), TILE, 255), (1, 2, 4, 8), STORED, TILE)


def mask_of(compression: str | None) -> Callable[[Path], tuple[Path, list[Image]]]:
    def write(folder: Path) -> tuple[Path, list[Image]]:
        write_philips_mask(folder / "a.tif", values(), tile_size=TILE, compression=compression)
        whole = padded(values(), TILE, 0)
        stored = whole.reshape(5, TILE, 7, TILE).any(axis=(1, 3))
        assert not stored.all()
        return folder / "a.tif", philips_levels(whole, (1, 2, 4, 8), stored, TILE)

    return write


def reduced() -> list[Image]:
    """Levels that are exact fractions of level 0: on others OpenSlide interpolates."""
    return [downsample_image(picture()[:300, :404], downsample) for downsample in (1, 2, 4)]


def aperio(folder: Path) -> tuple[Path, list[Image]]:
    write_aperio(folder / "a.svs", reduced()[0], downsamples=(1, 2, 4))
    return folder / "a.svs", reduced()


def generic(compression: str) -> Callable[[Path], tuple[Path, list[Image]]]:
    def write(folder: Path) -> tuple[Path, list[Image]]:
        write_pyramid(folder / "a.tif", reduced()[0], 0.25, (1, 2, 4), tile_size=TILE, compression=compression)
        return folder / "a.tif", reduced()

    return write


def ome(folder: Path) -> tuple[Path, list[Image]]:
    return write_ome(folder / "a.ome.tif", reduced()), reduced()


def dicom(folder: Path) -> tuple[Path, list[Image]]:
    write_dicom_slide(folder / "series", reduced())
    return folder / "series", reduced()


class Form(NamedTuple):
    """A writer of a slide and of what its levels show; whether that is exact; and whether cuCIM reads it."""

    write: Callable[[Path], tuple[Path, list[Image]]]
    is_exact: bool
    has_cucim: bool = True


FORMS = {
    "Philips": Form(philips, False),
    "Philips, sparse": Form(philips_sparse, False),
    "Philips, inexact levels": Form(philips_odd, False),
    "Philips, label and macro": Form(philips_with_pictures, False),
    "Philips mask, LZW": Form(mask_of("lzw"), True),
    "Philips mask, uncompressed": Form(mask_of(None), True),
    "Philips mask, Deflate": Form(mask_of("zlib"), True, has_cucim=False),
    "Aperio": Form(aperio, False),
    "generic, JPEG": Form(generic("jpeg"), False),
    "generic, LZW": Form(generic("lzw"), True),
    "OME-TIFF": Form(ome, True),
    "DICOM": Form(dicom, True, has_cucim=False),
}
MATRIX = [
    pytest.param(form, backend, marks=[pytest.mark.cucim] if backend != "openslide" else [], id=f"{form}-{backend}")
    for form, (_, _, has_cucim) in FORMS.items()
    for backend in (("auto", "cucim", "openslide") if has_cucim else ("auto", "openslide"))
]


def places(shape: tuple[int, int], tile: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """(location, size): all, single pixels, borders of tiles, and what reaches beyond each edge."""
    height, width = shape
    yield (0, 0), shape
    yield (-7, -11), (height + 20, width + 30)
    for row in (0, tile - 1, tile, height // 2, height - 1):
        for col in (0, tile - 1, tile, width // 2, width - 1):
            yield (row, col), (1, 1)
            yield (row - 1, col - 1), (2, 3)
            yield (row - 5, col - 3), (tile + 7, 2 * tile + 5)
    yield (height, 0), (3, 4)
    yield (height - 3, width - 2), (10, 10)
    rng = np.random.default_rng(1)
    for _ in range(20):
        yield (int(rng.integers(-20, height)), int(rng.integers(-20, width))), (int(rng.integers(1, 99)), 57)


@pytest.mark.parametrize(("form", "backend"), MATRIX)
def test_pixels(tmp_path: Path, form: str, backend: str, capfd: pytest.CaptureFixture[str]) -> None:
    path, levels = FORMS[form].write(tmp_path)
    with open_slide(path, backend) as slide, open_slide(path, "openslide") as other:
        assert slide.backend == ("openslide" if backend == "openslide" or not FORMS[form].has_cucim else "cucim")
        assert slide.level_shapes == tuple(level.shape[:2] for level in levels)
        for number, level in enumerate(levels):
            shape = level.shape[:2]
            whole = slide.read_level((0, 0), shape, number)
            if FORMS[form].is_exact:
                np.testing.assert_array_equal(whole, level)
            else:
                assert np.abs(whole.astype(np.int64) - level).mean() < CLOSE * (1 + number / 3)
            np.testing.assert_array_equal(whole, other.read_level((0, 0), shape, number))
            framed = np.pad(whole, ((99, 199), (99, 199), (0, 0)), constant_values=255)
            for (row, col), (height, width) in places(shape, TILE):
                expected = framed[row + 99 : row + 99 + height, col + 99 : col + 99 + width]
                found = slide.read_level((row, col), (height, width), number)
                np.testing.assert_array_equal(found, expected)
    assert capfd.readouterr() == ("", "")


def widen_pages(path: Path, tile: int) -> None:
    """Add a column of tiles to level 1 of a Philips TIFF, as files are known that are padded by more than a tile."""
    with tifffile.TiffFile(path, mode="r+") as tiff:
        page = tiff.pages[1]
        rows, cols = page.imagelength // tile, page.imagewidth // tile
        for name, counts in (("TileOffsets", page.dataoffsets), ("TileByteCounts", page.databytecounts)):
            listed = np.pad(np.reshape(counts, (rows, cols)), ((0, 0), (0, 1)))
            page.tags[name].overwrite(tuple(int(value) for value in listed.flat))
        page.tags["ImageWidth"].overwrite(page.imagewidth + tile)


@pytest.mark.cucim
def test_a_philips_page_with_more_columns_than_its_level_is_left_to_openslide(tmp_path: Path) -> None:
    path, _ = philips(tmp_path)
    with open_slide(path, "openslide") as slide:
        expected = slide.read_level((0, 0), slide.level_shapes[1], 1)
    widen_pages(path, TILE)
    with open_slide(path) as slide:
        assert slide.backend == "openslide"
        assert slide.cucim_fault == "its page has more columns of tiles than it shows, by which cuCIM counts"
        np.testing.assert_array_equal(slide.read_level((0, 0), slide.level_shapes[1], 1), expected)
    with pytest.raises(InputError, match=r"a\.tif: cuCIM does not read it \(level 1: its page has more columns"):
        open_slide(path, "cucim")


@pytest.mark.parametrize(
    ("stated", "found"),
    [(b"0.000486", b"0.000729"), (b"0.000243", b"0.000000"), (b"0.000972", b"0.000729")],
    ids=["level 1 too small", "levels of no size", "level 2 too large"],
)
@pytest.mark.parametrize("backend", ["auto", "openslide"])
def test_a_philips_tiff_whose_xml_contradicts_its_pages_is_refused(
    tmp_path: Path, stated: bytes, found: bytes, backend: str
) -> None:
    """By OpenSlide alone its levels would show a part of the slide for the whole."""
    write_philips(tmp_path / "a.tif", np.kron(picture(), np.ones((2, 2, 1), np.uint8)), tile_size=16, num_levels=4)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content.replace(stated, found))
    with pytest.raises(InputError, match=r"a\.tif: .*its page is too small, or far too large, for the shape"):
        open_slide(tmp_path / "a.tif", backend)


def test_blank_levels_of_whole_tiles_are_taken_as_a_philips_tiff_states_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Elsewhere padding could give their shapes as well, and they show nothing that tells."""
    image = np.full((1024, 1024, 3), 240, dtype=np.uint8)
    write_philips(tmp_path / "a.tif", image, tile_size=128, num_levels=5)
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.downsamples == (1, 2, 4, 8, 16)
        assert slide.level_shapes[-1] == (64, 64)
    assert not caplog.records


# --- why not cuCIM ---


def written(path: Path, **options: Any) -> Path:
    settings: dict[str, Any] = {"photometric": "rgb", "compression": "lzw", "metadata": None, "tile": (TILE, TILE)}
    tifffile.imwrite(path, picture(), **(settings | options))
    return path


@pytest.mark.cucim
def test_the_reason_is_the_same_for_all_files_of_a_kind(tmp_path: Path) -> None:
    for name, options, shape in (
        ("a.tif", {"compression": "packbits"}, SHAPE),
        ("b.tif", {"compression": "packbits", "tile": (128, 128)}, (200, 300)),
    ):
        with open_slide(written(tmp_path / name, **options)) as slide:
            assert slide.cucim_fault == "compression 32773 is none that cuCIM is known to decode right", shape


@pytest.mark.cucim
def test_what_cucim_says_is_told_without_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.tif")

    def refuse(*_: object) -> None:
        raise OSError(f"Cannot load {path}!")

    monkeypatch.setattr(backends, "CucimPixels", refuse)
    with open_slide(path) as slide:
        assert slide.cucim_fault == "Cannot load it!"


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_missing_cucim_is_a_reason_where_it_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    def missing(*_: object) -> None:
        raise ImportError("cuCIM is not installed")

    monkeypatch.setattr(backends, "CucimPixels", missing)
    monkeypatch.setattr(sys, "platform", platform)
    with open_slide(written(tmp_path / "a.tif")) as slide:
        assert slide.cucim_fault == ("cuCIM is not installed" if platform == "linux" else None)


@pytest.mark.parametrize("backend", ["openslide", pytest.param("auto", marks=pytest.mark.cucim)])
def test_nothing_is_said_of_what_is_as_it_should_be(tmp_path: Path, backend: str) -> None:
    (tmp_path / "a.bif").write_bytes(written(tmp_path / "a.tif").read_bytes())
    write_dicom_slide(tmp_path / "series", reduced())
    for path in (tmp_path / "a.tif", tmp_path / "a.bif", tmp_path / "series"):
        with open_slide(path, backend) as slide:
            assert slide.cucim_fault is None
    with open_slide(written(tmp_path / "b.tif", compression="packbits"), "openslide") as slide:
        assert slide.cucim_fault is None  # it was asked for
