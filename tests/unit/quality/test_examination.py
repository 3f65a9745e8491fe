"""All artifacts of a drawn slide at once, and how sharp a slide's finest pixels are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from helpers.drawn_artifacts import INKS, add_ink, disk, draw_slide, stroke
from scripts import bundle_root
from scripts.masks.foreground import foreground_mask
from scripts.quality.classes import Artifact
from scripts.quality.examination import examine, find_artifacts
from scripts.slides.pyramid import write_pyramid
from scripts.slides.slide import open_slide

SHAPE = (331, 463)
TISSUE = disk(SHAPE, (170, 250), (90, 120))


def all_at_once() -> tuple[np.ndarray, dict[Artifact, np.ndarray]]:
    places = {
        Artifact.COVERSLIP_EDGE: stroke(SHAPE, (300, 60), (310, 440), 2.5),
        Artifact.PEN: stroke(SHAPE, (60, 120), (280, 300), 24),
        Artifact.DARK_EDGE: np.indices(SHAPE)[0] < 12,
        Artifact.BLACK: np.indices(SHAPE)[1] < 40,
    }
    picture = draw_slide(SHAPE, TISSUE)
    picture[places[Artifact.COVERSLIP_EDGE]] = (190, 191, 195)
    picture = add_ink(picture, places[Artifact.PEN], INKS["green"])
    picture[places[Artifact.DARK_EDGE]] = (70, 72, 75)
    picture[places[Artifact.BLACK]] = 0
    return picture, places


@pytest.mark.parametrize("pixel_um", [16.0, 8.0])
def test_each_pixel_has_the_class_of_what_covers_it(pixel_um: float) -> None:
    picture, places = all_at_once()
    factor = round(16 / pixel_um)
    fine, tissue = (array.repeat(factor, axis=0).repeat(factor, axis=1) for array in (picture, TISSUE))
    classes = find_artifacts(fine, tissue, pixel_um)
    assert classes.shape == tissue.shape
    small = classes[::factor, ::factor]
    taken = np.zeros(SHAPE, dtype=bool)
    for artifact in (Artifact.BLACK, Artifact.DARK_EDGE, Artifact.PEN, Artifact.COVERSLIP_EDGE):
        place = places[artifact] & ~taken
        assert (small[place] == artifact).mean() > 0.9, artifact
        taken |= ndimage.binary_dilation(places[artifact], iterations=4)
    assert not small[~taken].any()


def test_a_slide_without_artifacts() -> None:
    assert not find_artifacts(draw_slide(SHAPE, TISSUE), TISSUE, 16.0).any()
    blank = draw_slide(SHAPE, np.zeros(SHAPE, dtype=bool))
    assert not find_artifacts(blank, np.zeros(SHAPE, dtype=bool), 16.0).any()


@pytest.mark.parametrize("ink", [None, "green"])
def test_the_real_strip_has_no_artifact_until_one_is_drawn(ink: str | None) -> None:
    with open_slide(Path(bundle_root()) / "sample" / "metastasis_strip.tif") as slide:
        overview = slide.read_overview(64)
        tissue, _ = foreground_mask(overview, 64 * 0.243)
        if ink is not None:
            overview = add_ink(overview, stroke(tissue.shape, (10, 0), (60, 7), 24), INKS[ink])
        found = examine(slide, overview, tissue, 64)
    assert found.about["sharpness"]["num_places"] > 10
    assert bool(found.classes.any()) == (ink is not None)


def test_real_tiles_have_no_artifact(shared_data: Path) -> None:
    paths = sorted((shared_data / "camelyon17_40x").glob("*.jpeg"))
    assert len(paths) == 5
    for path in paths:
        with Image.open(path) as picture:
            overview = np.asarray(picture.convert("RGB").reduce(64))
        tissue = np.ones(overview.shape[:2], dtype=bool)
        assert not find_artifacts(overview, tissue, 64 * 0.243).any(), path.name
        inked = add_ink(overview, tissue & (np.indices(tissue.shape)[0] < 12), INKS["green"])
        assert find_artifacts(inked, tissue, 64 * 0.243).any(), path.name


def nuclei(shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(0)
    where = ndimage.gaussian_filter(rng.normal(size=shape), 5) > 0.05
    picture = np.where(where[..., None], (110, 60, 140), (225, 180, 215)) + rng.normal(0, 4, (*shape, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("downsamples", [(1, 4, 16), (1, 2, 8)])
def test_the_side_of_a_slide_that_is_out_of_focus(tmp_path: Path, downsamples: tuple[int, ...]) -> None:
    picture = nuclei((1501, 2307))
    picture[:, 1150:] = ndimage.gaussian_filter(picture[:, 1150:].astype(np.float32), (7, 7, 0)).astype(np.uint8)
    write_pyramid(tmp_path / "a.tif", picture, 0.243, downsamples)
    with open_slide(tmp_path / "a.tif") as slide:
        overview = slide.read_overview(64)
        found = examine(slide, overview, np.ones(overview.shape[:2], dtype=bool), 64)
    middle = found.classes.shape[1] // 2
    assert (found.classes[:, : middle - 6] == 0).all()
    assert (found.classes[:, middle + 6 : -3] == Artifact.BLUR).all()
    assert found.about["artifacts"]["blur"]["tissue"] == pytest.approx(0.5, abs=0.2)
    assert 0 < found.about["sharpness"]["num_blurred"] < found.about["sharpness"]["num_places"]


@pytest.mark.parametrize("mpp", [2.0, None])
def test_slides_of_coarse_or_unknown_resolution_are_not_judged(tmp_path: Path, mpp: float | None) -> None:
    write_pyramid(tmp_path / "a.tif", nuclei((301, 407)), mpp, (1,))
    with open_slide(tmp_path / "a.tif") as slide:
        overview = slide.read_overview(8)
        found = examine(slide, overview, np.ones(overview.shape[:2], dtype=bool), 8)
    assert found.about["sharpness"] == {"num_places": 0, "num_blurred": 0, "median_blur": None}
    assert found.about["artifacts"]["blur"] is None, "0.0 would say that it is sharp"
    assert found.about["artifacts"]["pen"] is not None
    assert not (found.classes == Artifact.BLUR).any()
