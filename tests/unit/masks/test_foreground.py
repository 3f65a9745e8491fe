from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from scipy import ndimage
from skimage.morphology import flood

from helpers.annotation_forms import collection, feature
from scripts.errors import InputError
from scripts.files import read_json
from scripts.geometry import map_shape
from scripts.masks import foreground
from scripts.masks.files import write_mask
from scripts.masks.foreground import ForegroundSettings, foreground_mask
from scripts.masks.foreground_files import read_mask, slide_foreground
from scripts.masks.foreground_folder import outline_overlay, write_foregrounds
from scripts.quality.classes import FOUND
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide

Picture = npt.NDArray[np.uint8]

SHAPE = (1111, 1705)
MPP = 0.243
PINK, GLASS = (205, 130, 180), (243, 242, 244)
SMALL = ForegroundSettings(max_hole_um2=200, min_tissue_um2=200)


def scan(shape: tuple[int, int], seed: int = 0) -> Picture:
    """Empty glass as a scanner sees it: pale, with noise that differs between colors."""
    rng = np.random.default_rng(seed)
    return np.clip(np.asarray(GLASS) + rng.normal(0, 2, (*shape, 3)), 0, 255).astype(np.uint8)


def disk(shape: tuple[int, int], center: tuple[float, float], radii: tuple[float, float]) -> npt.NDArray[np.bool_]:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    inside: npt.NDArray[np.bool_] = (((rows - center[0]) / radii[0]) ** 2 + ((cols - center[1]) / radii[1]) ** 2) <= 1
    return inside


def stain(picture: Picture, where: npt.NDArray[np.bool_], color: tuple[int, int, int] = PINK) -> None:
    rng = np.random.default_rng(1)
    picture[where] = np.clip(np.asarray(color) + rng.normal(0, 6, (int(where.sum()), 3)), 0, 255)


@pytest.fixture
def tissue() -> npt.NDArray[np.bool_]:
    return disk(SHAPE, (400, 1100), (250, 420))


@pytest.fixture
def slide_path(tmp_path: Path, tissue: npt.NDArray[np.bool_]) -> Path:
    picture = scan(SHAPE)
    stain(picture, tissue)
    folder = tmp_path / "slides"
    folder.mkdir()
    write_pyramid(folder / "normal_007.tif", picture, MPP, quality=95)
    return folder / "normal_007.tif"


# --- pictures ---


def test_tissue_with_a_hole_specks_and_a_black_border() -> None:
    shape = (141, 203)
    body = disk(shape, (60, 140), (40, 50))
    small_hole, large_hole = disk(shape, (50, 125), (2, 2)), disk(shape, (65, 155), (12, 14))
    speck = disk(shape, (110, 30), (2, 2))
    picture = scan(shape)
    stain(picture, body | speck)
    picture[small_hole | large_hole] = scan(shape)[small_hole | large_hole]
    picture[-9:] = 3
    picture[:, :5] = (12, 3, 7)  # dark and, as dark pixels are, saturated
    # one pixel is 10 µm a side: holes up to 50 pixels are filled, specks up to 20 removed
    mask, threshold = foreground_mask(picture, 10, ForegroundSettings(max_hole_um2=5000, min_tissue_um2=2000))
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask, body & ~large_hole)
    assert 0.05 <= threshold < 0.35
    kept, _ = foreground_mask(picture, 10, ForegroundSettings(saturation=0.2, max_hole_um2=0, min_tissue_um2=0))
    np.testing.assert_array_equal(kept, (body & ~large_hole & ~small_hole) | speck)


@pytest.mark.parametrize("background", ["white", "black", "both", "black around white"])
@pytest.mark.parametrize("color", [PINK, (235, 215, 232), (90, 50, 110)], ids=["usual", "pale", "dark"])
def test_an_island_on_black_and_white(tmp_path: Path, background: str, color: tuple[int, int, int]) -> None:
    shape = (1203, 1707)
    island = disk(shape, (600, 850), (330, 500))
    picture = scan(shape)
    if background == "black":
        picture[:] = 0
    elif background == "both":
        picture[:, :850] = 0
    elif background == "black around white":
        picture[:200] = picture[1000:] = 0
        picture[:, :250] = picture[:, 1500:] = 0
    texture = ndimage.gaussian_filter(np.random.default_rng(2).normal(size=shape), 3)
    shades = 1 + 0.08 * texture / texture.std()
    picture[island] = np.clip(shades[..., None] * color, 0, 255)[island]
    write_pyramid(tmp_path / "a.tif", picture, 1.0, quality=80)
    with open_slide(tmp_path / "a.tif") as slide:
        mask, _ = slide_foreground(slide, 16)
    expected = island[8::16, 8::16]
    mask = mask[: expected.shape[0], : expected.shape[1]]
    assert mask[ndimage.binary_erosion(expected, iterations=2)].mean() > 0.995
    assert mask[~ndimage.binary_dilation(expected, iterations=2)].mean() < 0.005  # the compression's colors


@pytest.mark.parametrize("glass", [(243, 242, 244), (225, 212, 226)], ids=["usual", "tinted"])
def test_glass_on_black_is_no_tissue(glass: tuple[int, int, int]) -> None:
    picture = np.zeros((141, 203, 3), dtype=np.uint8)
    picture[30:110, 40:170] = np.asarray(glass) + np.random.default_rng(0).integers(-2, 3, (80, 130, 1))
    assert not foreground_mask(picture, 16)[0].any()


@pytest.mark.parametrize("blank", ["noise", "flat", "white", "gray", "black"])
def test_blank_pictures_have_no_tissue(blank: str) -> None:
    picture = scan((141, 203))
    if blank != "noise":
        picture[:] = {"flat": GLASS, "white": (255,) * 3, "gray": (190,) * 3, "black": (0,) * 3}[blank]
    mask, threshold = foreground_mask(picture, 15.55)
    assert mask.shape == (141, 203)
    assert not mask.any()
    assert threshold >= ForegroundSettings().min_saturation


def test_settings_have_effect() -> None:
    shape = (141, 203)
    pale, dark = disk(shape, (40, 50), (20, 25)), disk(shape, (90, 150), (20, 25))
    picture = scan(shape)
    stain(picture, pale, (235, 215, 232))
    stain(picture, dark, (60, 20, 60))

    def found(**settings: Any) -> tuple[bool, bool]:
        mask, _ = foreground_mask(picture, 10, ForegroundSettings(**settings))
        return bool(mask[40, 50]), bool(mask[90, 150])

    assert found(saturation=0.04) == (True, True)
    assert found(saturation=0.3) == (False, True)
    assert found(saturation=0.9) == (False, False)
    assert found(saturation=0.04, min_value=0.5) == (True, False)
    assert found(min_saturation=0.9) == (False, False)
    assert found(saturation=0.04, min_tissue_um2=1e6) == (False, False)


def test_thresholds_are_what_the_sidecar_says() -> None:
    picture = scan((141, 203))
    assert foreground_mask(picture, 10, ForegroundSettings(saturation=0.25))[1] == 0.25
    assert foreground_mask(picture, 10, ForegroundSettings(max_saturation=0.125))[1] == 0.125


@pytest.mark.parametrize("max_pixels", [0, 1, 3, 7.5, 40])
def test_small_components_against_flooding(max_pixels: float) -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=(31, 47)), 1) > 0.1
    expected = np.zeros_like(mask)
    for row, col in np.argwhere(mask):
        component = flood(mask, (int(row), int(col)), connectivity=1)
        expected[row, col] = component.sum() > max_pixels
    np.testing.assert_array_equal(foreground.without_small(mask, max_pixels), expected)


def test_all_tissue_and_none() -> None:
    assert foreground.without_small(np.ones((3, 5), bool), 2).all()
    assert not foreground.without_small(np.zeros((3, 5), bool), 0).any()


# --- slides ---


@pytest.mark.parametrize("stride", [1, 7, 40, 64])  # 40 and 64 have no level of their own, 1 is level 0
@pytest.mark.parametrize("downsamples", [(1, 4, 16), (1,)])
def test_masks_of_slides(
    tmp_path: Path, tissue: npt.NDArray[np.bool_], stride: int, downsamples: tuple[int, ...]
) -> None:
    picture = scan(SHAPE)
    stain(picture, tissue)
    write_pyramid(tmp_path / "slide.tif", picture, MPP, downsamples=downsamples, compression="lzw")
    with open_slide(tmp_path / "slide.tif") as slide:
        mask, sidecar = slide_foreground(slide, stride, SMALL)
    assert mask.shape == map_shape(SHAPE, stride)
    rows, cols = (
        np.minimum((np.arange(side) * stride + stride // 2), full - 1)
        for side, full in zip(mask.shape, SHAPE, strict=True)
    )
    expected = tissue[np.ix_(rows, cols)]
    edge = ndimage.binary_dilation(expected, iterations=2) & ~ndimage.binary_erosion(expected, iterations=2)
    np.testing.assert_array_equal(mask[~edge], expected[~edge])
    assert sidecar["tissue_fraction"] == pytest.approx(tissue.mean(), abs=0.03)
    assert sidecar["shape"] == list(SHAPE)


def test_a_blank_slide(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "slide.tif", scan(SHAPE), MPP, quality=70)
    with open_slide(tmp_path / "slide.tif") as slide:
        mask, sidecar = slide_foreground(slide, 64)
    assert mask.shape == (18, 27)
    assert not mask.any()
    assert sidecar["tissue_fraction"] == 0


def test_areas_follow_the_resolution(tmp_path: Path) -> None:
    picture = scan((803, 1201))
    stain(picture, disk((803, 1201), (300, 800), (60, 60)))  # 11310 pixels
    for mpp, is_kept in ((0.5, False), (2.0, True), (None, False)):  # 2827, 45239 and, as for the model's, 668 µm²
        write_pyramid(tmp_path / "slide.tif", picture, mpp, downsamples=(1, 4))
        with open_slide(tmp_path / "slide.tif") as slide:
            mask, sidecar = slide_foreground(slide, 16)
        assert mask.any() == is_kept
        assert sidecar["mpp"] == pytest.approx(mpp)


# --- files ---


@pytest.mark.parametrize("backend", ["openslide", pytest.param("cucim", marks=pytest.mark.cucim)])
def test_write_foregrounds(tmp_path: Path, slide_path: Path, backend: str) -> None:
    output = tmp_path / "out" / "masks"
    written = write_foregrounds(slide_path, output, 16, SMALL, backend)
    assert written == [output / "normal_007.png"]
    assert sorted(path.name for path in output.iterdir()) == [
        "normal_007.json", "normal_007.png", "normal_007_artifacts.png", "normal_007_overlay.jpg",
    ]  # fmt: skip
    with Image.open(written[0]) as picture:
        assert picture.mode == "L"
        pixels = np.asarray(picture)
    assert pixels.shape == (70, 107)
    assert set(np.unique(pixels)) == {0, 255}
    sidecar = read_json(output / "normal_007.json")
    assert sidecar == {
        "slide": "normal_007.tif",
        "shape": list(SHAPE),
        "stride": 16,
        "mpp": pytest.approx(MPP),
        "method": "Otsu on saturation",
        "saturation_threshold": pytest.approx(0.2, abs=0.15),
        "settings": SMALL._asdict(),
        "annotation": None,
        "tissue_fraction": pytest.approx((pixels > 0).mean(), abs=1e-6),
        "artifacts": {artifact.label: {"slide": 0.0, "tissue": 0.0} for artifact in FOUND},
        "sharpness": {"num_places": 19, "num_blurred": 0, "median_blur": pytest.approx(0.25, abs=0.05)},
        "skip_artifacts": [],
    }
    with Image.open(output / "normal_007_overlay.jpg") as overlay:
        assert overlay.size == (107 * 9, 70 * 9)
        colors = np.asarray(overlay).astype(int)
    is_outline = (colors[..., 1] - colors[..., 0] > 60) & (colors[..., 1] - colors[..., 2] > 40)
    assert 0.002 < is_outline.mean() < 0.1
    mask = read_mask(written[0], SHAPE, 16)
    np.testing.assert_array_equal(mask, pixels > 0)
    with open_slide(slide_path, backend) as slide:
        np.testing.assert_array_equal(slide_foreground(slide, 16, SMALL)[0], mask)


def test_a_name_that_results_cannot_have_is_set_aside(tmp_path: Path, slide_path: Path) -> None:
    long = tmp_path / f"{'a' * 240}.tif"
    shutil.copy(slide_path, long)
    with pytest.raises(InputError, match=r"1 of 2 slides failed.* which has 240 bytes, more than 200; rename it"):
        write_foregrounds([long, slide_path], tmp_path / "masks", 64)
    assert [path.name for path in (tmp_path / "masks").glob("*[0-9].png")] == ["normal_007.png"]


def test_a_fixed_threshold_is_named(tmp_path: Path, slide_path: Path) -> None:
    write_foregrounds(slide_path, tmp_path, 64, ForegroundSettings(saturation=0.1))
    sidecar = read_json(tmp_path / "normal_007.json")
    assert (sidecar["method"], sidecar["saturation_threshold"]) == ("saturation threshold", 0.1)


# --- annotations ---

LEFT_XY, TOP_XY, PEN_XY = ([[x, y] for x, y in corners] for corners in (
    ((0, 0), (1100, 0), (1100, 1111), (0, 1111)),
    ((0, 0), (1705, 0), (1705, 400), (0, 400)),
    ((800, 300), (900, 300), (900, 500), (800, 500)),
))  # fmt: skip


def _annotated(tmp_path: Path, slide_path: Path, **outlines: list[list[int]]) -> tuple[Any, Picture]:
    """Sidecar and mask with outlines of these classes given."""
    (tmp_path / "annotations").mkdir()
    content = collection(*(feature(label, ring) for label, ring in outlines.items()))
    (tmp_path / "annotations" / "normal_007.geojson").write_text(json.dumps(content))
    write_foregrounds(slide_path, tmp_path / "out", 16, SMALL, annotations=tmp_path / "annotations")
    return read_json(tmp_path / "out" / "normal_007.json"), read_mask(tmp_path / "out" / "normal_007.png", SHAPE, 16)


def _inside(ring_xy: list[list[int]]) -> npt.NDArray[np.bool_]:
    """Pixels whose centers lie in an upright rectangle."""
    rows, cols = ((indices + 0.5) * 16 for indices in np.indices(map_shape(SHAPE, 16)))
    (left, top), (right, bottom) = np.min(ring_xy, axis=0), np.max(ring_xy, axis=0)
    found: npt.NDArray[np.bool_] = (rows >= top) & (rows < bottom) & (cols >= left) & (cols < right)
    return found


def test_outlined_tissue_is_the_foreground(tmp_path: Path, slide_path: Path) -> None:
    sidecar, mask = _annotated(tmp_path, slide_path, Tissue=LEFT_XY, Tumor=TOP_XY, Exclusion=TOP_XY)
    np.testing.assert_array_equal(mask, _inside(LEFT_XY))
    assert (sidecar["method"], sidecar["saturation_threshold"]) == ("annotated", None)
    assert sidecar["annotation"] == "normal_007.geojson"


def test_regions_limit_and_pen_marks_are_cut_out(tmp_path: Path, slide_path: Path) -> None:
    with open_slide(slide_path) as slide:
        computed, _ = slide_foreground(slide, 16, SMALL)
    sidecar, mask = _annotated(tmp_path, slide_path, **{"Region*": TOP_XY, "Ignore*": PEN_XY})
    np.testing.assert_array_equal(mask, computed & _inside(TOP_XY) & ~_inside(PEN_XY))
    assert 0 < mask.sum() < computed.sum()
    assert sidecar["method"] == "Otsu on saturation"


def test_slides_without_annotation_are_computed_and_counted(
    tmp_path: Path, slide_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = slide_path.with_name("normal_008.tif")
    other.write_bytes(slide_path.read_bytes())
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "normal_007.geojson").write_text(json.dumps(feature("Tissue", LEFT_XY)))
    write_foregrounds([slide_path, other], tmp_path / "out", 16, SMALL, annotations=tmp_path / "annotations")
    assert "1 of 2 slides has no annotation, first 'normal_008'; tissue is computed there" in caplog.text
    assert read_json(tmp_path / "out" / "normal_008.json")["annotation"] is None


def test_one_bad_slide_does_not_stop_the_others(
    tmp_path: Path, slide_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = slide_path.read_bytes()
    (slide_path.parent / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (slide_path.parent / "normal_001.tif").write_bytes(whole)
    (slide_path.parent / "text.tif").write_text("slide,x,y\n")
    output = tmp_path / "out"
    with (
        caplog.at_level(logging.ERROR),
        pytest.raises(InputError, match=r"^2 of 4 slides failed, the others are done; first: .*cut\.tif: cannot be"),
    ):
        write_foregrounds(slide_path.parent, output)
    assert sorted(path.name for path in output.glob("*[0-9].png")) == ["normal_001.png", "normal_007.png"]
    assert [record.getMessage().split(":")[0][-8:] for record in caplog.records] == ["/cut.tif", "text.tif"]


def test_slides_without_tissue_are_named(tmp_path: Path, slide_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pyramid(slide_path.with_name("blank.tif"), scan(SHAPE), MPP)
    write_pyramid(slide_path.with_name("tiny.tif"), np.full((99, 98, 3), PINK, np.uint8), None, compression="zlib")
    assert len(write_foregrounds(slide_path.parent, tmp_path / "out", 16, ForegroundSettings(min_tissue_um2=2000))) == 3
    blank, tiny, total = caplog.messages
    assert blank.startswith(f"{slide_path.with_name('blank.tif')}: no tissue found, so its mask is empty: apart from")
    assert "its saturation is below 0.2 or its brightness below 0.1 (min_value)" in blank
    assert tiny.endswith("and the whole slide has 573 µm²")
    assert total == "no tissue found on 2 of 3 slides: blank.tif, tiny.tif"


def test_outlines_that_lie_beside_the_slide_are_named(
    tmp_path: Path, slide_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _annotated(tmp_path, slide_path, Tissue=[[x + 5000, y] for x, y in LEFT_XY])
    assert "no tissue found, so its mask is empty: normal_007.geojson outlines no tissue on it" in caplog.text


def test_gray_slide_is_set_aside(tmp_path: Path, slide_path: Path) -> None:
    gray = np.dstack([scan(SHAPE)[..., 1]] * 3)
    gray[300:600, 500:900] = 130
    write_pyramid(slide_path.with_name("gray.tif"), gray, MPP)
    with pytest.raises(InputError, match=r"^1 of 2 slides failed, .*gray\.tif: expected a stained slide in RGB"):
        write_foregrounds(slide_path.parent, tmp_path / "out", 16)
    assert [path.name for path in (tmp_path / "out").glob("*[0-9].png")] == ["normal_007.png"]


@pytest.mark.parametrize("stride", [0, -64, 1.5, "64"])
def test_strides_that_are_none(tmp_path: Path, slide_path: Path, stride: Any) -> None:
    with pytest.raises(InputError, match="stride must be a positive integer of level-0 pixels, but got"):
        write_foregrounds(slide_path, tmp_path / "out", stride)
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(tmp_path: Path, slide_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(InputError, match="choose another output folder"):
        write_foregrounds(slide_path, tmp_path / "out")


def palette_of_white_first(mask: np.ndarray) -> Image.Image:
    picture = Image.fromarray((~mask).astype(np.uint8))
    picture.putpalette([255, 255, 255, 0, 0, 0])
    return picture


def edit_by_hand(path: Path, mask: npt.NDArray[np.bool_], how: str) -> None:
    pixels = mask.astype(np.uint8)
    pictures: dict[str, Callable[[], Image.Image]] = {
        "0/255": lambda: Image.fromarray(pixels * np.uint8(255)),
        "0/1": lambda: Image.fromarray(pixels),
        "1 bit": lambda: Image.fromarray(mask),
        "color": lambda: Image.fromarray(np.dstack([pixels * np.uint8(255)] * 3)),
        "palette": lambda: palette_of_white_first(mask),
        "16 bit": lambda: Image.fromarray(pixels.astype(np.uint16)),
        "white on transparent white": lambda: Image.fromarray(np.dstack([pixels * 0 + np.uint8(255), pixels])),
    }
    pictures[how]().save(path)


@pytest.mark.parametrize("how", ["0/255", "0/1", "1 bit", "color", "palette", "16 bit", "white on transparent white"])
def test_an_edited_mask_is_read_as_it_is(tmp_path: Path, how: str) -> None:
    mask = np.zeros((18, 27), bool)
    mask[3, 20] = mask[7:9, 2:4] = True  # specks that the method would remove
    edit_by_hand(tmp_path / "mask.png", mask, how)
    found = read_mask(tmp_path / "mask.png", SHAPE, 64)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, mask)


def test_a_mask_of_another_shape(tmp_path: Path) -> None:
    write_mask(tmp_path / "mask.png", np.zeros((27, 18), bool))
    with pytest.raises(InputError, match=r"mask\.png: .* \(18, 27\) for stride 64, but has \(27, 18\); .* --stride 64"):
        read_mask(tmp_path / "mask.png", SHAPE, 64)


def test_masks_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    with pytest.raises(InputError, match=r"mask\.png: no such foreground mask; make it with"):
        read_mask(path, SHAPE, 4)
    path.write_text("slide,x,y\n")
    with pytest.raises(InputError, match="not a readable mask picture"):
        read_mask(path, SHAPE, 4)
    write_mask(path, np.random.default_rng(0).random(map_shape(SHAPE, 4)) > 0.5)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable mask picture"):
        read_mask(path, SHAPE, 4)
    path.write_bytes(whole[:200] + b"\xff" * 200 + whole[400:])
    with pytest.raises(InputError, match="not a readable mask picture"):
        read_mask(path, SHAPE, 4)


# --- overlays ---


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((18, 27), (666, 999)), ((700, 1000), (700, 1000)), ((900, 2000), (461, 1024)), ((1, 5000), (1, 1024))],
)
def test_overlays_are_of_a_handy_size(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 100, np.uint8)
    mask = np.zeros(shape, bool)
    mask[:, : shape[1] // 2] = True
    overlay = outline_overlay(picture, mask)
    assert overlay.shape == (*expected, 3)
    row, half = expected[0] // 2, expected[1] // 2
    np.testing.assert_array_equal(overlay[row, half // 2], (100, 100, 100))
    np.testing.assert_array_equal(overlay[row, half + half // 2], (162, 162, 162))
    assert (overlay[row] == (0, 160, 60)).all(axis=-1).any()
    assert (picture == 100).all()


@pytest.mark.parametrize("color", [(245, 238, 228), (250, 250, 250), (231, 243, 236)], ids=["cream", "white", "green"])
def test_foreground_mask_blank_slide_of_any_tint_is_empty(color):
    rng = np.random.default_rng(3)
    overview = np.clip(np.array(color) + rng.normal(0, 2.0, (61, 83, 3)), 0, 255).astype(np.uint8)
    mask, _ = foreground_mask(overview, pixel_um=15.0)
    assert not mask.any()


def test_foreground_mask_slide_without_background_is_all_tissue():
    rng = np.random.default_rng(4)
    tissue = np.where(rng.random((61, 83, 1)) < 0.4, np.array([90, 60, 130]), np.array([200, 140, 185]))
    mask, _ = foreground_mask(tissue.astype(np.uint8), pixel_um=15.0)
    assert mask.all()


def test_foreground_mask_background_at_the_border_is_no_hole() -> None:
    overview = np.full((11, 14, 3), 240, np.uint8)
    overview[3:8, 4:11] = (150, 60, 160)
    overview[5, 7] = 240
    mask, _ = foreground_mask(overview, 15.0, ForegroundSettings(min_tissue_um2=0))
    expected = np.zeros((11, 14), bool)
    expected[3:8, 4:11] = True
    np.testing.assert_array_equal(mask, expected)


# --- pale tissue beside strong color, pen and borders ---

STUDY_SHAPE = (131, 167)
PALE = {  # by saturation
    0.06: (234, 221, 234),
    0.08: (232, 214, 231),
    0.1: (228, 206, 224),
    0.12: (226, 199, 221),
    0.4: (200, 120, 180),
}
PENS = {
    "blue": (40, 60, 190),
    "light blue": (70, 110, 215),
    "green": (30, 140, 70),
    "light green": (90, 180, 120),
    "black": (35, 35, 40),
    "worn black": (70, 68, 72),
    "red": (200, 40, 50),
    "light red": (220, 90, 90),
    "blood": (170, 60, 70),
}


def study(tissue: tuple[int, int, int], glass: tuple[int, int, int] = GLASS) -> tuple[Picture, npt.NDArray[np.bool_]]:
    """A slide with a piece of tissue on glass that differs in brightness from edge to edge, and where the piece is."""
    rows, cols = np.indices(STUDY_SHAPE)
    where = disk(STUDY_SHAPE, (55, 55), (35, 40))
    picture = np.empty((*STUDY_SHAPE, 3))
    picture[:] = glass
    rng = np.random.default_rng(2)
    picture[where] = tissue + rng.normal(0, 1, (int(where.sum()), 1)) * [4, 5, 4]  # thick and thin, not in color alone
    picture = ndimage.gaussian_filter(picture, (0.6, 0.6, 0)) - (np.hypot(rows - 65, cols - 83) / 25)[..., None]
    return np.clip(picture + rng.normal(0, 0.7, picture.shape), 0, 255).astype(np.uint8), where


def assert_found(picture: Picture, tissue: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_] | None = None) -> None:
    """At least 95% of the tissue, and of what is neither it nor the other thing next to nothing."""
    mask, _ = foreground_mask(picture, 15.55)
    assert mask[tissue].mean() >= 0.95
    rest = ~ndimage.binary_dilation(tissue if other is None else tissue | other, iterations=2)
    assert mask[rest].mean() <= 0.01


@pytest.mark.parametrize("glass", [GLASS, (235, 232, 226), (255, 255, 255)], ids=["pale", "cream", "white"])
@pytest.mark.parametrize("saturation", PALE)
def test_pale_tissue_is_found(saturation: float, glass: tuple[int, int, int]) -> None:
    if glass == (235, 232, 226) and saturation < 0.08:
        pytest.skip("hardly differs from the glass")
    assert_found(*study(PALE[saturation], glass))


@pytest.mark.parametrize("share", [0.01, 0.04, 0.2])
@pytest.mark.parametrize("pen", PENS)
@pytest.mark.parametrize("saturation", PALE)
def test_strong_color_hides_no_pale_tissue(saturation: float, pen: str, share: float) -> None:
    picture, tissue = study(PALE[saturation])
    height = round((share * tissue.size / 2) ** 0.5)
    mark = np.zeros(STUDY_SHAPE, bool)
    mark[-height - 3 : -3, -2 * height - 3 : -3] = True
    stain(picture, mark, PENS[pen])
    assert_found(picture, tissue & ~mark, mark)
    if "red" not in pen and pen != "blood":  # which are of the color of tissue
        mask, _ = foreground_mask(picture, 15.55)
        assert mask[ndimage.binary_erosion(mark)].mean() < 0.05


@pytest.mark.parametrize("strong", [(190, 110, 170), (120, 60, 140), (200, 90, 100)])
@pytest.mark.parametrize("saturation", [0.06, 0.08, 0.12])
def test_pieces_of_different_stain_are_both_found(saturation: float, strong: tuple[int, int, int]) -> None:
    picture, tissue = study(PALE[saturation])
    other = disk(STUDY_SHAPE, (95, 125), (25, 30))
    stain(picture, other, strong)
    assert_found(picture, tissue | other)


@pytest.mark.parametrize("color", [(10, 10, 10), (25, 26, 25), (38, 38, 38), (50, 48, 52)])
@pytest.mark.parametrize("has_tissue", [False, True])
def test_a_dark_border_is_no_tissue(color: tuple[int, int, int], has_tissue: bool) -> None:
    picture, tissue = study(PALE[0.1]) if has_tissue else (scan(STUDY_SHAPE), np.zeros(STUDY_SHAPE, bool))
    border = np.zeros(STUDY_SHAPE, bool)
    border[:9] = border[:, -12:] = True
    picture[border] = np.clip(color + np.random.default_rng(4).normal(0, 2, (int(border.sum()), 3)), 0, 255)
    mask, _ = foreground_mask(picture, 15.55)
    assert not mask[border].any()
    assert mask[tissue & ~border].all() or mask[tissue & ~border].mean() >= 0.95
    assert has_tissue or not mask.any()


@pytest.mark.parametrize(
    "color",
    [(45, 20, 55), (40, 15, 45), (60, 35, 20), (90, 60, 40), (60, 50, 130), (150, 150, 200)],
    ids=["dark nuclei", "darker nuclei", "dark brown", "brown", "dense blue nuclei", "pale blue"],
)
def test_dark_and_blue_tissue_is_tissue(color: tuple[int, int, int]) -> None:
    picture, _ = study(PALE[0.4])
    inside = disk(STUDY_SHAPE, (55, 55), (20, 24))
    stain(picture, inside, color)
    mask, _ = foreground_mask(picture, 15.55)  # which fills holes a seventh as large
    assert mask[inside].mean() >= 0.95


def test_a_threshold_that_is_given_decides_alone() -> None:
    picture, _ = study(PALE[0.1])
    picture[100:120, 100:150] = PENS["blue"]
    picture[100:120, 50:90] = PENS["green"]
    mask, _ = foreground_mask(picture, 15.55, ForegroundSettings(saturation=0.5))
    assert mask[100:120, 100:150].all()
    assert mask[100:120, 50:90].all()


def test_real_tissue_and_red_pen(shared_data: Path) -> None:
    """Thumbnail and mask of the pen of choosehappy/HistoQC, BSD-3-Clause-Clear."""
    picture = np.asarray(Image.open(shared_data / "pen" / "pen_red.png").convert("RGB"))
    mask, _ = foreground_mask(picture, 15.55)
    assert mask[300:700, 250:650].mean() > 0.97
    assert not mask[:40].any()
    assert not mask[-60:].any()


def test_real_black_pen_is_no_tissue(shared_data: Path) -> None:
    picture = np.asarray(Image.open(shared_data / "pen" / "pen_black.png").convert("RGB"))
    marked = np.asarray(Image.open(shared_data / "pen" / "pen_black_mask.png").convert("L")) > 0
    mask, _ = foreground_mask(picture, 15.55)
    assert mask[ndimage.binary_erosion(marked, iterations=20)].mean() < 0.15  # its olive edge has color


@pytest.mark.parametrize("value", ["x", None, True, [0.1]])
@pytest.mark.parametrize("name", ["min_value", "max_hole_um2"])
def test_a_setting_that_is_no_number_is_refused(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{name} must be a number, but got "):
        ForegroundSettings()._replace(**{name: value}).check()
