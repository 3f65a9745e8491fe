from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from helpers.dicom_slide import write_dicom_slide
from scripts.errors import InputError
from scripts.masks.foreground import ForegroundSettings
from scripts.masks.foreground_files import slide_foreground
from scripts.slides.colors import check_color, check_stored_color, stored_color
from scripts.slides.pool import SlidePool
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide

SHAPE = (401, 603)


def tissue_picture() -> npt.NDArray[np.uint8]:
    """A stained disk on glass."""
    picture = np.full((*SHAPE, 3), (243, 242, 244), np.uint8)
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    picture[(rows - 200) ** 2 + (cols - 250) ** 2 < 150**2] = (190, 110, 170)
    return picture


def gray_picture() -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(tissue_picture()).convert("L"))


def write(path: Path, pixels: npt.NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, pixels, tile=(128, 128), metadata=None, **{"compression": "zlib", **options})
    return path


GRAY: dict[str, tuple[Any, dict[str, Any]]] = {
    "1 channel of 8 bits": (gray_picture, {"photometric": "minisblack"}),
    "1 channel of 8 bits (miniswhite)": (lambda: 255 - gray_picture(), {"photometric": "miniswhite"}),
    "1 channel of 8 bits (minisblack)": (gray_picture, {"photometric": "minisblack", "compression": "jpeg"}),
    "1 channel of 16 bits": (lambda: gray_picture().astype(np.uint16) * 257, {"photometric": "minisblack"}),
    "3 channels of 16 bits": (lambda: tissue_picture().astype(np.uint16) * 16, {"photometric": "rgb"}),  # 12 of them
    "3 channels of 16 bits (rgb)": (lambda: tissue_picture().astype(np.uint16) * 257, {"photometric": "rgb"}),
}


@pytest.mark.parametrize("found", GRAY)
def test_a_tiff_that_stores_no_rgb_of_8_bits_is_refused_by_its_tags(tmp_path: Path, found: str) -> None:
    make, options = GRAY[found]
    path = write(tmp_path / "a.tif", make(), **options)
    with pytest.raises(InputError) as refusal:
        check_stored_color(path)
    assert str(refusal.value).startswith(f"{path}: expected RGB of 8 bits, found {found}")
    assert "write the slide again as one RGB image of 8 bits" in str(refusal.value)
    with pytest.raises(InputError, match=r"RGB of 8 bits|8-bit RGB"):
        SlidePool().get(path)
    with pytest.raises(InputError, match=r"RGB of 8 bits|8-bit RGB"), open_slide(path) as slide:
        slide_foreground(slide, 16)


def test_a_page_for_each_color_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        channels = np.moveaxis(tissue_picture(), 2, 0)
        writer.write(channels, tile=(128, 128), photometric="minisblack", metadata={"axes": "CYX"})
    with pytest.raises(InputError, match=r"a\.ome\.tif: expected RGB of 8 bits, found 1 channel of 8 bits"):
        check_stored_color(path)


@pytest.mark.parametrize("compression", ["zlib", "jpeg"])
def test_gray_that_is_stored_as_rgb_is_refused_by_its_pixels(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    write_pyramid(path, np.dstack([gray_picture()] * 3), 2.0, downsamples=(1, 4), compression=compression)
    check_stored_color(path)
    with open_slide(path) as slide, pytest.raises(InputError, match="found gray pixels alone; write the slide again"):
        slide_foreground(slide, 16)


COLOR: dict[str, tuple[Any, dict[str, Any]]] = {
    "rgb": (tissue_picture, {"photometric": "rgb"}),
    "jpeg": (tissue_picture, {"photometric": "ycbcr", "compression": "jpeg"}),
    "planes": (
        lambda: np.moveaxis(tissue_picture(), 2, 0).copy(),
        {"photometric": "rgb", "planarconfig": "separate"},
    ),
    "alpha": (
        lambda: np.dstack([tissue_picture(), np.full(SHAPE, 255, np.uint8)]),
        {"photometric": "rgb", "extrasamples": ["unassalpha"]},
    ),
    "palette": (
        lambda: (tissue_picture()[..., 1] < 200).astype(np.uint8),
        {"photometric": "palette", "colormap": np.linspace(60000, 20000, 768).astype(np.uint16).reshape(3, 256)},
    ),
}


@pytest.mark.parametrize("name", COLOR)
def test_color_is_color_however_it_is_stored(tmp_path: Path, name: str) -> None:
    make, options = COLOR[name]
    path = write(tmp_path / "a.tif", make(), **options)
    stored = stored_color(path)
    assert stored is not None
    assert stored.is_rgb
    with open_slide(path) as slide:
        check_color(path, slide.read_overview(16))


@pytest.mark.parametrize(
    "blank", ["white", "gray glass", "noise", "black border", "black", "half black", "black with a window"]
)
def test_glass_without_tissue_is_no_gray_slide(tmp_path: Path, blank: str) -> None:
    overview = np.full((61, 83, 3), 255 if blank == "white" else 236, np.uint8)
    if blank == "noise":
        overview -= np.random.default_rng(0).integers(0, 9, (61, 83, 1), dtype=np.uint8)
    elif blank == "black border":
        overview[:9] = 3
    elif blank == "black":
        overview[:] = np.random.default_rng(0).integers(0, 60, (61, 83, 1), dtype=np.uint8)
    elif blank == "half black":  # the pixels between mix with both, as they do in JPEG and in an overview
        overview[:30] = 3
        overview[30:32] = [[[90]], [[180]]]
    elif blank == "black with a window":
        overview = np.zeros((13, 17, 3), np.uint8)
        overview[4:9, 5:12] = 120
        overview[5:8, 6:11] = 240
    path = write(tmp_path / "a.tif", tissue_picture(), photometric="rgb")
    check_color(path, overview)


def test_a_gray_macro_beside_the_slide_does_not_count(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(gray_picture()[:99, :99].copy(), photometric="minisblack", metadata=None)
        writer.write(tissue_picture(), photometric="rgb", tile=(128, 128), metadata=None)
    check_stored_color(tmp_path / "a.tif")


def test_what_is_no_tiff_says_nothing(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8 no TIFF")
    assert stored_color(tmp_path / "a.mrxs") is None
    assert stored_color(shared_data / "slides" / "multiframe_camelyon_challenge_image.dcm") is None
    stored = stored_color(shared_data / "slides" / "cmu-1-small-region.svs")
    assert stored is not None
    assert stored.is_rgb


def test_the_folder_of_a_dicom_slide_is_opened_at_its_file(tmp_path: Path) -> None:
    write_dicom_slide(tmp_path / "tumor_001", [tissue_picture(), tissue_picture()[::2, ::2]])
    check_stored_color(tmp_path / "tumor_001")
    with open_slide(tmp_path / "tumor_001") as slide:
        assert slide_foreground(slide, 16, ForegroundSettings(min_tissue_um2=0.0))[0].any()
