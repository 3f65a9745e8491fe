from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.errors import InputError
from scripts.slides import pyramid
from scripts.slides.pyramid import downsample_image, write_pyramid

SHAPE = (1111, 1705)
MPP = 0.243

READ_WITH_CUCIM = """
import json, sys
import numpy as np
from cucim import CuImage

slide = CuImage(sys.argv[1])
levels = slide.resolutions
arrays = {}
for level, size in enumerate(levels["level_dimensions"]):
    arrays[f"level{level}"] = np.asarray(slide.read_region((0, 0), size, level))
arrays["part"] = np.asarray(slide.read_region((700, 500), (33, 21), 0))
np.savez(sys.argv[2], **arrays)
print(json.dumps({"spacing": slide.spacing(), "downsamples": levels["level_downsamples"]}))
"""


@pytest.fixture
def image() -> npt.NDArray[np.uint8]:
    """Smooth, asymmetric, with red a function of the row and green of the column."""
    rows, cols = np.mgrid[: SHAPE[0], : SHAPE[1]]
    blue = 128 + 60 * np.sin(rows / 37) * np.cos(cols / 53)
    return np.stack([rows * 255 // SHAPE[0], cols * 255 // SHAPE[1], blue], axis=-1).astype(np.uint8)


def read_with_cucim(path: Path) -> tuple[dict[str, npt.NDArray[np.uint8]], dict[str, list[float]]]:
    """Read in a process of its own: cuCIM's import spins without this variable once torch is loaded."""
    config = path.with_name("cufile.json")
    config.write_text(json.dumps({"properties": {"allow_compat_mode": False}}))
    environment = os.environ | {"CUFILE_ENV_PATH_JSON": str(config), "CUFILE_LOGFILE_PATH": os.devnull}
    output = path.with_suffix(".npz")
    done = subprocess.run(
        [sys.executable, "-c", READ_WITH_CUCIM, str(path), str(output)],
        env=environment, capture_output=True, text=True, timeout=900, check=True,
    )  # fmt: skip
    with np.load(output) as arrays:
        return dict(arrays), json.loads(done.stdout.splitlines()[-1])


@pytest.mark.cucim
@pytest.mark.parametrize("compression", ["jpeg", "zlib", "lzw", None])
def test_write_pyramid_reads_alike_in_three_libraries(
    tmp_path: Path, image: npt.NDArray[np.uint8], compression: str | None
) -> None:
    if importlib.util.find_spec("cucim") is None:
        pytest.skip("cuCIM is not installed (it exists for Linux only)")
    path = tmp_path / "slide.tif"
    write_pyramid(path, image, MPP, downsamples=(1, 4, 16), compression=compression)
    cucim_arrays, cucim_facts = read_with_cucim(path)
    with openslide.OpenSlide(path) as slide, tifffile.TiffFile(path) as tiff:
        assert slide.properties["openslide.vendor"] == "generic-tiff"
        assert float(slide.properties["openslide.mpp-x"]) == pytest.approx(MPP, rel=1e-6)
        assert float(slide.properties["openslide.mpp-y"]) == pytest.approx(MPP, rel=1e-6)
        assert cucim_facts["spacing"][:2] == pytest.approx([MPP, MPP], rel=1e-5)
        assert slide.level_downsamples == pytest.approx((1, 4, 16), rel=0.01)
        assert slide.level_downsamples == pytest.approx(cucim_facts["downsamples"], rel=1e-5)
        assert [slide.get_best_level_for_downsample(downsample) for downsample in (1, 4, 16)] == [0, 1, 2]
        assert len(tiff.pages) == 3
        for level, (width, height) in enumerate(slide.level_dimensions):
            expected = downsample_image(image, (1, 4, 16)[level])
            page = tiff.pages[level].asarray()
            other = np.asarray(slide.read_region((0, 0), level, (width, height)).convert("RGB"))
            np.testing.assert_array_equal(other, page)
            np.testing.assert_array_equal(cucim_arrays[f"level{level}"], page)
            if compression == "jpeg":
                assert np.abs(page.astype(int) - expected).mean() < 4  # chroma is subsampled, and steep at level 2
            else:
                np.testing.assert_array_equal(page, expected)
            resolution = tiff.pages[level].resolution[0]
            assert 1e4 / resolution == pytest.approx(MPP * (1, 4, 16)[level], rel=1e-5)
        part = np.asarray(slide.read_region((700, 500), 0, (33, 21)).convert("RGB"))
        np.testing.assert_array_equal(part, cucim_arrays["part"])
        np.testing.assert_array_equal(part, tiff.pages[0].asarray()[500:521, 700:733])


@pytest.mark.parametrize("mpp", [MPP, 0.2273, 0.5051231231, 1 / 3, 1.234567891234])
def test_write_pyramid_resolution_is_exact(tmp_path: Path, mpp: float) -> None:
    path = tmp_path / "slide.tif"
    write_pyramid(path, np.zeros((64, 80, 3), np.uint8), mpp, downsamples=(1, 4, 16))
    with tifffile.TiffFile(path) as tiff:
        for page, downsample in zip(tiff.pages, (1, 4, 16), strict=True):
            assert 1e4 / page.resolution[0] == pytest.approx(mpp * downsample, rel=1e-13)
            assert page.resolution[0] == page.resolution[1]
        if mpp == MPP:
            assert tiff.pages[0].tags[282].value == (10_000_000, 243)


@pytest.mark.parametrize("bigtiff", [False, True], ids=["classic", "big"])
def test_write_pyramid_without_mpp_has_no_resolution(
    tmp_path: Path, image: npt.NDArray[np.uint8], bigtiff: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if bigtiff:
        monkeypatch.setattr(pyramid, "_CLASSIC_TIFF_LIMIT", 1000)
    path = tmp_path / "slide.tif"
    write_pyramid(path, image, None, downsamples=(1, 2, 8), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_bigtiff == bigtiff
        assert len(tiff.pages) == 3
        for page, downsample in zip(tiff.pages, (1, 2, 8), strict=True):
            assert not {282, 283, 296} & set(page.tags.keys())
            np.testing.assert_array_equal(page.asarray(), downsample_image(image, downsample))
    with openslide.OpenSlide(path) as slide:
        assert "openslide.mpp-x" not in slide.properties
        read = np.asarray(slide.read_region((0, 0), 0, SHAPE[::-1]).convert("RGB"))
    np.testing.assert_array_equal(read, image)


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), downsample=st.integers(1, 17), seed=st.integers(0, 2**16))
def test_downsample_image_is_the_rounded_box_mean(height: int, width: int, downsample: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    reduced = downsample_image(image, downsample)
    assert reduced.shape == (-(-height // downsample), -(-width // downsample), 3)
    for row in range(reduced.shape[0]):
        for col in range(reduced.shape[1]):
            box = image[row * downsample : (row + 1) * downsample, col * downsample : (col + 1) * downsample]
            np.testing.assert_array_equal(reduced[row, col], np.floor(box.mean(axis=(0, 1)) + 0.5))


def test_downsample_image_in_bands(monkeypatch: pytest.MonkeyPatch, image: npt.NDArray[np.uint8]) -> None:
    whole = downsample_image(image, 4)
    monkeypatch.setattr(pyramid, "_BAND_ROWS", 7)
    np.testing.assert_array_equal(downsample_image(image, 4), whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.zeros((4, 5), np.uint8)}, "image must be"),
        ({"image": np.zeros((4, 5, 3), np.float32)}, "image must be"),
        ({"mpp": 0.0}, "mpp must be"),
        ({"downsamples": (2, 4)}, "downsamples must be"),
        ({"downsamples": (1, 4, 4)}, "downsamples must be"),
        ({"downsamples": ()}, "downsamples must be"),
        ({"downsamples": (1, 2.5)}, "downsamples must be"),
        ({"tile_size": 100}, "tile_size must be"),
        ({"compression": "jpeg2000"}, "compression must be"),
    ],
)
def test_write_pyramid_refuses(tmp_path: Path, arguments: dict[str, object], message: str) -> None:
    keywords: dict[str, object] = {"image": np.zeros((64, 80, 3), np.uint8), "mpp": MPP} | arguments
    with pytest.raises(ValueError, match=message):
        write_pyramid(tmp_path / "slide.tif", **keywords)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_write_pyramid_into_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_pyramid(tmp_path / "missing" / "slide.tif", np.zeros((64, 80, 3), np.uint8), MPP)


def test_write_pyramid_is_deterministic(tmp_path: Path, image: npt.NDArray[np.uint8]) -> None:
    for name in ("a", "b"):
        write_pyramid(tmp_path / f"{name}.tif", image, MPP)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()
