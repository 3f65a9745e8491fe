from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.maps.files import Patch
from scripts.report.crops import CROP_BYTES, read_crop
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide


def pixels(uri: str) -> Any:
    content = base64.b64decode(uri.partition(",")[2])
    assert len(content) <= CROP_BYTES
    return np.asarray(Image.open(io.BytesIO(content))).astype(int)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A slide with a dark square at rows 300 to 340, columns 700 to 760."""
    image = np.full((1100, 1500, 3), 230, dtype=np.uint8)
    image[300:340, 700:760] = (120, 20, 90)
    write_pyramid(tmp_path / "a.tif", image, 0.243, compression="zlib")
    return tmp_path / "a.tif"


def test_crop_has_its_point_in_the_middle_at_two_scales(slide: Path) -> None:
    with open_slide(slide) as opened:
        crop = read_crop(opened, 320, 730)
    for uri, downsample in ((crop.near, 1), (crop.wide, 4)):
        found = pixels(uri)
        assert found.shape == (224, 224, 3)
        rows, cols = np.nonzero(found[:, :, 1] < 125)
        assert (rows.mean(), cols.mean()) == pytest.approx((111.5, 111.5), abs=1)
        assert np.ptp(rows) + 1 == pytest.approx(40 / downsample, abs=2)
        assert np.ptp(cols) + 1 == pytest.approx(60 / downsample, abs=2)
    assert crop.near_um == pytest.approx(54.4, abs=0.1)
    assert crop.wide_um == pytest.approx(217.7, abs=0.1)
    assert (crop.near_bar.label, crop.wide_bar.label) == ("20 µm", "50 µm")


def test_crop_of_another_resolution_covers_the_same_tissue(slide: Path) -> None:
    with open_slide(slide, assume_mpp=0.486) as opened:
        crop = read_crop(opened, 320, 730)
    rows, _ = np.nonzero(pixels(crop.near)[:, :, 1] < 125)
    assert np.ptp(rows) + 1 == pytest.approx(80, abs=2)
    assert crop.near_um == pytest.approx(54.4, abs=0.1)


def test_crop_is_white_beyond_the_slide(slide: Path) -> None:
    with open_slide(slide) as opened:
        found = pixels(read_crop(opened, 0, 1499).near)
    assert found[:100].min() > 250
    assert found[:, 125:].min() > 250
    assert found[125:, :100].max() < 240


@pytest.mark.parametrize(
    ("patch", "num_pixels"), [(Patch(0.972, 96), 96), (Patch(0.486, 160), 160), (Patch(0.243, 900), 448)]
)
def test_crop_is_the_field_that_the_network_saw(slide: Path, patch: Patch, num_pixels: int) -> None:
    with open_slide(slide) as opened:
        crop = read_crop(opened, 320, 730, patch)
    field_um = patch.size * patch.mpp
    assert (crop.near_um, crop.wide_um) == (pytest.approx(field_um), pytest.approx(4 * field_um))
    for uri, side, width_um in ((crop.near, num_pixels, field_um), (crop.wide, 224, 4 * field_um)):
        found = pixels(uri)
        assert found.shape == (side, side, 3)
        rows, cols = np.nonzero(found[:, :, 1] < 140)
        pixel_um = width_um / side
        assert (rows.mean(), cols.mean()) == pytest.approx(((side - 1) / 2, (side - 1) / 2), abs=1)
        assert (np.ptp(rows) + 1) * pixel_um == pytest.approx(40 * 0.243, abs=2.5 * pixel_um)
        assert (np.ptp(cols) + 1) * pixel_um == pytest.approx(60 * 0.243, abs=2.5 * pixel_um)
