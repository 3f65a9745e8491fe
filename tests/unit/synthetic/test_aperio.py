"""Slides in Aperio's form; the judges are OpenSlide and tifffile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile

from scripts.slides.pyramid import downsample_image
from scripts.slides.slide import open_slide
from scripts.synthetic.aperio import write_aperio

SHAPE = (1203, 1621)
CLOSE = 3.0


@pytest.fixture(scope="module")
def picture() -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    waves = [np.sin(x / 90), np.cos(y / 80), np.sin((x + y) / 120)]
    return np.stack([127 + 100 * wave for wave in waves], axis=-1).astype(np.uint8)


def test_a_slide_as_openslide_sees_it(tmp_path: Path, picture: npt.NDArray[np.uint8]) -> None:
    path = tmp_path / "a.svs"
    write_aperio(path, picture, 0.4990, magnification=20)
    with openslide.OpenSlide(path) as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert slide.properties["openslide.objective-power"] == "20"
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(0.499)
        assert slide.level_dimensions == ((1621, 1203), (405, 300), (101, 75))
        assert {name: found.size for name, found in slide.associated_images.items()} == {
            "thumbnail": (768, 570),
            "label": (160, 180),
            "macro": (768, 570),
        }
        for level, downsample in enumerate((1, 4, 16)):
            width, height = slide.level_dimensions[level]
            found = np.asarray(slide.read_region((0, 0), level, (width, height)))[..., :3]
            truth = downsample_image(picture, downsample)[:height, :width]
            assert np.abs(found.astype(np.int64) - truth).mean() < CLOSE
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_svs
        assert [level.shape[:2] for level in tiff.series[0].levels] == [SHAPE, (300, 405), (75, 101)]


def test_an_objective_is_no_resolution(tmp_path: Path, picture: npt.NDArray[np.uint8]) -> None:
    write_aperio(tmp_path / "a.svs", picture)
    with openslide.OpenSlide(tmp_path / "a.svs") as handle:
        assert handle.properties["aperio.AppMag"] == "40"
        assert "openslide.mpp-x" not in handle.properties
    with open_slide(tmp_path / "a.svs") as slide:
        assert slide.mpp is None


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="image must be a non-empty"):
        write_aperio(tmp_path / "a.svs", np.zeros((30, 40), dtype=np.uint8))
    assert not list(tmp_path.iterdir())
