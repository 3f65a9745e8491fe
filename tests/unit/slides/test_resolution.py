from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openslide
import pytest
import tifffile

from scripts.errors import InputError
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide


def write_slide(path: Path, **options: Any) -> Path:
    image = np.full((301, 405, 3), 240, dtype=np.uint8)
    tifffile.imwrite(path, image, tile=(128, 128), photometric="rgb", metadata=None, **options)
    return path


def dpi(value: float) -> dict[str, Any]:
    return {"resolution": (value, value), "resolutionunit": "INCH"}


def um(mpp_x: float, mpp_y: float | None = None) -> dict[str, Any]:
    return {"resolution": (1e4 / mpp_x, 1e4 / (mpp_y or mpp_x)), "resolutionunit": "CENTIMETER"}


def check_not_stated(path: Path) -> None:
    with open_slide(path, "openslide") as slide:
        assert slide.mpp is None
        for ask in (slide.require_mpp, slide.model_downsample):
            with pytest.raises(InputError, match=r"slide\.tif: the file states no resolution; .* --assume_mpp"):
                ask()


@pytest.mark.parametrize("options", [None, {}, {"resolution": (40_000, 40_000), "resolutionunit": "NONE"}])
def test_a_slide_without_a_resolution(
    tmp_path: Path, options: dict[str, Any] | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "slide.tif"
    if options is None:
        write_pyramid(path, np.full((301, 405, 3), 240, dtype=np.uint8), None, downsamples=(1,))
    else:
        write_slide(path, **options)
    check_not_stated(path)
    assert not caplog.records
    with open_slide(path, assume_mpp=0.5) as slide:
        assert slide.require_mpp() == 0.5


@pytest.mark.parametrize(
    "options",
    [*map(dpi, (72, 96, 300, 600, 1200, 2400, 4800, 9600)), *map(um, (0.0243, 0.0957, 2.43, 10.0)), um(0.25, 25.4)],
    ids=str,
)
def test_a_resolution_that_no_scanner_has_is_not_stated(
    tmp_path: Path, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path = write_slide(tmp_path / "slide.tif", **options)
    check_not_stated(path)
    open_slide(path, "openslide").close()
    (record,) = caplog.records  # once, though the slide was opened twice
    assert record.getMessage().startswith(f"{path}: states ")
    assert "counts as not stated, give the true value with --assume_mpp" in record.getMessage()


def test_the_warning_says_what_the_file_states(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    open_slide(write_slide(tmp_path / "slide.tif", **dpi(600))).close()
    assert "states 42.33 x 42.33 µm per level-0 pixel, but scanners have 0.1 to 2.2 µm" in caplog.text


def test_an_assumed_resolution_silences_the_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_slide(write_slide(tmp_path / "slide.tif", **dpi(600)), assume_mpp=10.0) as slide:
        assert slide.mpp == 10.0
    assert not caplog.records


@pytest.mark.parametrize("mpp", [0.11, 0.121, 0.243, 0.5, 1.0, 2.0])
def test_resolutions_of_scanners_count(tmp_path: Path, mpp: float, caplog: pytest.LogCaptureFixture) -> None:
    with open_slide(write_slide(tmp_path / "slide.tif", **um(mpp))) as slide:
        assert slide.mpp == pytest.approx(mpp, rel=1e-4)
    assert not caplog.records


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = write_slide(tmp_path / "slide.tif", **um(0.25, 0.5))
    with pytest.raises(InputError, match=r"slide\.tif: pixels must be square, but the file states 0\.25 x 0\.5 µm"):
        open_slide(path)
    with open_slide(path, assume_mpp=0.25) as slide:
        assert slide.mpp == 0.25


def test_a_resolution_that_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    properties = {"openslide.mpp-x": "fine", "openslide.mpp-y": "0.25"}
    monkeypatch.setattr(openslide.OpenSlide, "properties", properties)
    check_not_stated(write_slide(tmp_path / "slide.tif"))


def ome(path: Path, attributes: str, **options: Any) -> Path:
    """An OME-TIFF of one picture, after a picture of another shape that only its description knows."""
    pixels = [f'<Image><Pixels SizeX="{x}" SizeY="{y}" {text}/></Image>' for x, y, text in
              ((77, 55, 'PhysicalSizeX="9" PhysicalSizeY="9"'), (405, 301, attributes))]  # fmt: skip
    text = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{"".join(pixels)}</OME>'
    return write_slide(path, description=text.encode(), **options)


@pytest.mark.parametrize(
    ("size", "unit", "mpp"),
    [
        *(
            (0.25, None, 0.25),
            (0.25, "\u00b5m", 0.25),
            (0.25, "\u03bcm", 0.25),
            (250, "nm", 0.25),
            (0.00025, "mm", 0.25),
        ),
        *((1, "pixel", None), (600, "reference frame", None), (0, "\u00b5m", None), ("fine", "nm", None)),
    ],
)
@pytest.mark.parametrize("options", [{}, dpi(72), um(0.5)], ids=["no tags", "72 dpi", "other tags"])
def test_an_ome_tiff_states_its_resolution_in_xml(
    tmp_path: Path, size: object, unit: str | None, mpp: float | None, options: dict[str, Any]
) -> None:
    units = "" if unit is None else f'PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"'
    path = ome(tmp_path / "slide.ome.tif", f'PhysicalSizeX="{size}" PhysicalSizeY="{size}" {units}', **options)
    with open_slide(path) as slide:
        expected = mpp or (0.5 if options == um(0.5) else None)
        assert slide.mpp == (None if expected is None else pytest.approx(expected))


def test_an_ome_tiff_with_a_resolution_that_no_scanner_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_slide(ome(tmp_path / "slide.ome.tif", 'PhysicalSizeX="25" PhysicalSizeY="25"')) as slide:
        assert slide.mpp is None
    assert "states 25 x 25 µm" in caplog.text


@pytest.mark.parametrize("text", [b"<OME", b'<!DOCTYPE x [<!ENTITY a "b">]><OME>&a;</OME>', b"<OME></OME>"])
def test_damaged_ome_xml_states_nothing(tmp_path: Path, text: bytes) -> None:
    with open_slide(write_slide(tmp_path / "slide.tif", description=text, **um(0.5))) as slide:
        assert slide.mpp == pytest.approx(0.5)
