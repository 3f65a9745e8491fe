"""Which reader shows a kind of tile as it is; the judge is the picture that the tiles are made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageCms

from scripts.errors import InputError
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide
from scripts.slides.tile_layout import MAX_TILE_PIXELS, check_tile_sizes, read_tile_layouts

Array = npt.NDArray[Any]
SHAPE = (301, 405)
PHOTOMETRIC, TILE_WIDTH, TILE_LENGTH, BYTE_COUNTS = 262, 322, 323, 325
IMAGE_WIDTH, ORIENTATION = 256, 274
CLOSE = 3.0
"""Mean difference of 255 that JPEG and rounded colors may make; a wrong color space makes 60."""


def picture() -> npt.NDArray[np.uint8]:
    """RGB that JPEG keeps, and that no turn leaves as it is."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    waves = [np.sin(x / 90), np.cos(y / 80), np.sin((x + y) / 120)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def gray() -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture()).convert("L"))


def as_mode(mode: str) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture()).convert(mode))


def with_sample(value: int) -> Array:
    return np.dstack([picture(), np.full(SHAPE, value, np.uint8)])


def as_lab() -> Array:
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    found = ImageCms.profileToProfile(Image.fromarray(picture()), *profiles, outputMode="LAB")
    assert found is not None
    return np.asarray(found)


def write(path: Path, pixels: Array, photometric_tag: int | None = None, **options: Any) -> Path:
    settings = {"photometric": "rgb", "compression": "lzw", "metadata": None, "tile": (128, 128)}
    tifffile.imwrite(path, pixels, **(settings | options))
    if photometric_tag is not None:
        patch_tag(path, PHOTOMETRIC, photometric_tag)
    return path


def patch_tag(path: Path, code: int, value: Any) -> None:
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags[code].overwrite(value)


def ycbcr(compression: str | None) -> tuple[Callable[[], Array], dict[str, Any]]:
    extra = [(530, 3, 2, (1, 1), True)]  # no subsampling
    return lambda: as_mode("YCbCr"), {"photometric_tag": 6, "extratags": extra, "compression": compression}


def palette() -> Array:
    return (gray() // 2).astype(np.uint8)


COLORMAP = np.stack([np.arange(256) * 257] * 3).astype(np.uint16)
JPEG_RGB = {"compression": "jpeg", "compressionargs": {"outcolorspace": "rgb", "level": 95}}

BOTH = {
    "plain": (picture, {"compression": None}),
    "LZW": (picture, {}),
    "Deflate": (picture, {"compression": "zlib"}),
    "Deflate's old number": (picture, {"compression": 32946}),
    "JPEG of YCbCr, 4:2:0": (picture, {"compression": "jpeg", "compressionargs": {"level": 95}}),
    "JPEG of YCbCr, 4:4:4": (picture, {"compression": "jpeg", "subsampling": (1, 1)}),
    "JPEG of RGB": (picture, JPEG_RGB),
}
BOTH_GRAY: dict[str, tuple[Callable[[], Array], dict[str, Any]]] = {
    f"gray, {compression}": (gray, {"photometric": "minisblack", "compression": compression})
    for compression in (None, "lzw", "jpeg")
}
OPENSLIDE: dict[str, tuple[Callable[[], Array], dict[str, Any]]] = {
    "YCbCr in LZW": ycbcr("lzw"),
    "YCbCr in Deflate": ycbcr("zlib"),
    "YCbCr without compression": ycbcr(None),
    "YCbCr in PackBits": ycbcr("packbits"),
    "LZW with predictor": (picture, {"predictor": True}),
    "Deflate with predictor": (picture, {"compression": "zlib", "predictor": True}),
    "PackBits": (picture, {"compression": "packbits"}),
    "Zstandard": (picture, {"compression": "zstd"}),
    "planes": (lambda: np.moveaxis(picture(), -1, 0).copy(), {"planarconfig": "separate"}),
    "planes in Deflate": (
        lambda: np.moveaxis(picture(), -1, 0).copy(),
        {"planarconfig": "separate", "compression": "zlib"},
    ),
    "16 bits": (lambda: picture().astype(np.uint16) * 257, {}),
    "planes of 16 bits": (lambda: np.moveaxis(picture(), -1, 0).astype(np.uint16) * 257, {"planarconfig": "separate"}),
    "opaque": (lambda: with_sample(255), {"extrasamples": ["unassalpha"]}),
    "opaque, 16 bits": (lambda: with_sample(255).astype(np.uint16) * 257, {"extrasamples": ["assocalpha"]}),
    "CMYK": (lambda: 255 - with_sample(255), {"photometric": "separated"}),
}
OPENSLIDE_GRAY: dict[str, tuple[Callable[[], Array], dict[str, Any]]] = {
    "black is zero, in Deflate": (gray, {"photometric": "minisblack", "compression": "zlib"}),
    "black is zero, with predictor": (gray, {"photometric": "minisblack", "predictor": True}),
    "white is zero": (lambda: 255 - gray(), {"photometric": "miniswhite"}),
    "palette": (gray, {"photometric": "palette", "colormap": COLORMAP}),
}
REFUSED: dict[str, tuple[Callable[[], Array], dict[str, Any]]] = {
    "CIELab": (as_lab, {"photometric": "cielab"}),
    "a sample of no meaning": (lambda: with_sample(77), {"extrasamples": ["unspecified"]}),
    "16 bits of gray": (lambda: gray().astype(np.uint16) * 257, {"photometric": "minisblack"}),
    "16 bits of gray, white is zero": (lambda: gray().astype(np.uint16), {"photometric": "miniswhite"}),
    "gray with transparency": (
        lambda: with_sample(255)[..., 2:],
        {"photometric": "minisblack", "extrasamples": ["unassalpha"]},
    ),
    "signed": (lambda: picture().view(np.int8), {}),
    "JPEG of RGB with the tag of YCbCr": (picture, {**JPEG_RGB, "photometric_tag": 6}),
    "JPEG of YCbCr with the tag of RGB": (picture, {"compression": "jpeg", "photometric_tag": 2}),
    "JPEG of YCbCr, 4:4:4, with the tag of RGB": (
        picture,
        {"compression": "jpeg", "subsampling": (1, 1), "photometric_tag": 2},
    ),
    "YCbCr that should be subsampled": (lambda: as_mode("YCbCr"), {"photometric_tag": 6}),
}


def read(path: Path, backend: str = "auto") -> tuple[str, npt.NDArray[np.int64]]:
    with open_slide(path, backend) as slide:
        return slide.backend, slide.read_level((0, 0), SHAPE, 0).astype(np.int64)


@pytest.mark.cucim
@pytest.mark.parametrize("kind", [*BOTH, *BOTH_GRAY])
def test_what_cucim_decodes_it_decodes_right(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, options = (BOTH | BOTH_GRAY)[kind]
    path = write(tmp_path / "a.tif", make(), **options)
    truth = picture() if kind in BOTH else np.repeat(gray()[..., None], 3, axis=-1)
    for backend in ("auto", "openslide"):
        found, pixels = read(path, backend)
        assert found == ("cucim" if backend == "auto" else "openslide")
        assert np.abs(pixels - truth).mean() < CLOSE
    assert capfd.readouterr() == ("", "")


@pytest.mark.cucim
@pytest.mark.parametrize(("compression", "is_cut"), [("lzw", False), ("jpeg", False), ("jpeg", True)])
def test_damage_to_gray_is_an_error(tmp_path: Path, compression: str, is_cut: bool) -> None:
    path = write(tmp_path / "a.tif", gray(), photometric="minisblack", compression=compression)
    with tifffile.TiffFile(path) as tiff:
        offset, size = tiff.pages[0].dataoffsets[5], tiff.pages[0].databytecounts[5]
    content = bytearray(path.read_bytes())
    frame = content.find(b"\xff\xc0\x00\x0b\x08", offset, offset + size)  # a JPEG header of one component
    if is_cut:
        content[frame + 5 : frame + 7] = (64).to_bytes(2, "big")
    else:
        content[offset : offset + size] = b"\x55" * size
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif: the tiles .* cannot be decoded by cucim"):
        read(path, "cucim")


@pytest.mark.parametrize("kind", [*OPENSLIDE, *OPENSLIDE_GRAY])
def test_other_kinds_go_to_openslide(tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, options = (OPENSLIDE | OPENSLIDE_GRAY)[kind]
    path = write(tmp_path / "a.tif", make(), **options)
    truth = picture() if kind in OPENSLIDE else np.repeat(gray()[..., None], 3, axis=-1)
    backend, pixels = read(path)
    assert backend == "openslide"
    assert np.abs(pixels - truth).mean() < CLOSE
    with pytest.raises(InputError, match=r"a\.tif: cuCIM .*use --backend openslide"):
        open_slide(path, "cucim")
    assert capfd.readouterr() == ("", "")


@pytest.mark.cucim
def test_the_reason_why_cucim_is_not_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", as_mode("YCbCr"), photometric_tag=6)
    expected = r"photometric interpretation 6 is none that cuCIM is known to decode right\); use --backend openslide"
    with pytest.raises(InputError, match=expected):
        open_slide(path, "cucim")


@pytest.mark.parametrize("kind", REFUSED)
def test_what_no_reader_shows_as_it_is_is_refused(tmp_path: Path, kind: str) -> None:
    make, options = REFUSED[kind]
    path = write(tmp_path / "a.tif", make(), **options)
    with pytest.raises(InputError, match=r"a\.tif: OpenSlide shows level 0 otherwise than it is stored: "):
        open_slide(path)


@pytest.mark.parametrize("backend", [pytest.param("auto", marks=pytest.mark.cucim), "openslide"])
@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "jpeg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_never_scrambles(tmp_path: Path, orientation: int, compression: str | None, backend: str) -> None:
    """Either the picture is as stored, or the slide is refused: OpenSlide turns each tile in its place."""
    path = write(
        tmp_path / "a.tif", picture(), compression=compression, extratags=[(ORIENTATION, 3, 1, orientation, True)]
    )
    by_cucim = backend == "auto" and compression != "packbits"
    if orientation == 1 or compression == "jpeg" or by_cucim:
        assert np.abs(read(path, backend)[1] - picture()).mean() < CLOSE
    else:
        with pytest.raises(InputError, match=f"its TIFF orientation is {orientation}, by which OpenSlide turns"):
            open_slide(path, backend)


@pytest.mark.parametrize("options", [{"photometric": "minisblack"}, {"compression": "lzw", "predictor": True}])
def test_orientation_of_what_openslide_leaves_to_libtiff(tmp_path: Path, options: dict[str, Any]) -> None:
    pixels = gray() if "photometric" in options else picture()
    options = {"compression": "jpeg"} | options
    path = write(tmp_path / "a.tif", pixels, extratags=[(ORIENTATION, 3, 1, 4, True)], **options)
    with pytest.raises(InputError, match="its TIFF orientation is 4"):
        open_slide(path)


def test_orientation_of_a_level_that_openslide_must_interpolate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scripts.slides.levels.MAX_DOUBTFUL_PIXELS", 0)  # a large one, which is not looked at before
    path = tmp_path / "a.tif"
    extra = [(ORIENTATION, 3, 1, 3, True)]
    with tifffile.TiffWriter(path) as tiff:
        for index, level in enumerate((picture(), picture()[::2, ::2].copy())):
            options = {"photometric": "rgb", "compression": "lzw", "metadata": None, "extratags": extra}
            tiff.write(level, tile=(128, 128), subfiletype=index, **options)
    with pytest.raises(InputError, match="level 1 otherwise than it is stored: its TIFF orientation is 3"):
        open_slide(path)


# --- layouts ---------------------------------------------------------------------------------------------------------


def test_tile_layouts(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, picture(), 0.25, downsamples=(1, 4), tile_size=128)
    layouts = read_tile_layouts(path, (SHAPE, (76, 102)))
    assert [layout.tile_shape for layout in layouts] == [(128, 128)] * 2
    assert [layout.cucim_fault for layout in layouts] == [None, None]
    with tifffile.TiffFile(path) as tiff:
        for layout, page, tiles in zip(layouts, tiff.pages, [(3, 4), (1, 1)], strict=True):
            assert layout.sizes.shape == tiles
            np.testing.assert_array_equal(layout.offsets.ravel(), page.dataoffsets)
            np.testing.assert_array_equal(layout.sizes.ravel(), page.databytecounts)


def fault(path: Path) -> str:
    (layout,) = read_tile_layouts(path, (SHAPE,))
    assert layout.cucim_fault is not None
    return layout.cucim_fault


def test_tile_layouts_of_other_files(tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    tifffile.imwrite(path, picture(), photometric="rgb")
    assert fault(path) == "no tiled page of the TIFF has the shape of a level"
    assert "compression 32773 is none that cuCIM is known to decode" in fault(
        write(path, picture(), compression="packbits")
    )
    path.write_text("slide,x,y\n")
    assert "not readable as a TIFF file: not a TIFF file" in fault(path)


def test_tiles_must_be_counted_and_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", picture())
    patch_tag(path, BYTE_COUNTS, (100, 100, 100))
    assert "offsets and 3 sizes of 12 tiles" in fault(path)
    path = write(tmp_path / "a.tif", picture(), compression=None)
    patch_tag(path, BYTE_COUNTS, (128 * 128 * 3,) * 11 + (100,))
    assert "tiles of other sizes than their pixels take" in fault(path)


@pytest.mark.parametrize(("width", "length"), [(2**31, 128), (128, 2**31), (2**16, 2**16), (0, 128)])
def test_tiles_of_a_size_that_ends_the_process(tmp_path: Path, width: int, length: int) -> None:
    path = write(tmp_path / "a.tif", picture())
    patch_tag(path, TILE_WIDTH, width)
    patch_tag(path, TILE_LENGTH, length)
    with pytest.raises(InputError, match=rf"a\.tif: .*(tiles of {length} x {width} pixels|cannot be opened)"):
        open_slide(path)


@pytest.mark.parametrize("width", [2**31 - 1, 600])
def test_a_size_that_takes_more_tiles_than_are_listed(tmp_path: Path, width: int) -> None:
    path = write(tmp_path / "a.tif", picture())
    patch_tag(path, IMAGE_WIDTH, width)
    with pytest.raises(InputError, match=rf"header claims 301 x {width} pixels, .* lists 12"):
        open_slide(path)


def test_large_tiles_are_taken(tmp_path: Path) -> None:
    side = int(MAX_TILE_PIXELS**0.5)
    check_tile_sizes(write(tmp_path / "a.tif", picture(), tile=(side, 128)))
