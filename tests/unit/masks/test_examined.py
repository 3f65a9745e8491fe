"""Foregrounds without artifacts, and what is said of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.drawn_artifacts import INKS, add_ink, disk, draw_slide, stroke
from scripts.errors import InputError
from scripts.files import read_json
from scripts.masks.examined import quality_notes, without_artifacts
from scripts.masks.foreground_files import read_mask
from scripts.masks.foreground_folder import write_foregrounds
from scripts.quality.classes import FOUND, Artifact
from scripts.quality.files import read_artifacts
from scripts.slides.pyramid import write_pyramid

SHAPE = (331, 463)
STRIDE = 8
TISSUE = disk(SHAPE, (170, 250), (90, 120))
PEN = stroke(SHAPE, (60, 120), (280, 300), 24)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slides")
    small = add_ink(draw_slide(SHAPE, TISSUE), PEN, INKS["blue"])
    picture = small.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)
    write_pyramid(folder / "a.tif", picture, 2.0, (1, 4), quality=95)
    return folder


@pytest.mark.parametrize("skip", ["", "pen", "blur"])
def test_pen_is_noted_and_left_out_when_asked(slides: Path, tmp_path: Path, skip: str) -> None:
    (path,) = write_foregrounds(slides, tmp_path, STRIDE, skip_artifacts=skip)
    classes = read_artifacts(tmp_path / "a_artifacts.png", SHAPE)
    mask = read_mask(path, tuple(side * STRIDE for side in SHAPE), STRIDE)
    sidecar = read_json(path.with_suffix(".json"))
    assert (classes[PEN] == Artifact.PEN).mean() > 0.97
    near = stroke(SHAPE, (54, 115), (286, 305), 34)
    assert not classes[~near].any()
    assert mask[PEN].any() == (skip != "pen")
    assert mask[TISSUE & ~near].mean() > 0.98
    assert sidecar["skip_artifacts"] == ([skip] if skip else [])
    assert sidecar["tissue_fraction"] == pytest.approx(mask.mean(), abs=1e-5)
    assert sidecar["artifacts"]["pen"]["slide"] == pytest.approx(PEN.mean(), rel=0.2)  # soft rims
    assert sidecar["artifacts"]["pen"]["tissue"] > 0.02
    assert sidecar["artifacts"]["blur"] is None  # the slide is too coarse for it
    with Image.open(tmp_path / "a_overlay.jpg") as picture:
        overlay = np.asarray(picture.resize(SHAPE[::-1])).astype(int)
    tint = overlay[..., 2] - overlay[..., 0]
    assert np.median(tint[PEN]) > 90


def test_an_unknown_artifact_is_refused_before_any_slide(slides: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"skip_artifacts: expected some of .*, found 'ink'"):
        write_foregrounds(slides, tmp_path / "out", STRIDE, skip_artifacts="ink")
    assert not (tmp_path / "out").exists()


def test_specks_that_remain_are_left_out() -> None:
    mask = np.zeros((9, 20), dtype=bool)
    mask[2:6, 1:19] = True
    classes = np.zeros((9, 20), dtype=np.uint8)
    classes[:, 3:10] = Artifact.PEN
    classes[:, 12] = Artifact.BLUR
    kept = without_artifacts(mask, classes, 8, [Artifact.PEN])
    assert not kept[:, :10].any()  # two columns of four pixels are a speck now
    assert kept[2:6, 10:19].all()
    np.testing.assert_array_equal(without_artifacts(mask, classes, 8, []), mask)


def test_notes() -> None:
    none = {artifact.label: {"slide": 0.0, "tissue": 0.0} for artifact in FOUND}
    about = {"artifacts": none, "skip_artifacts": [], "tissue_fraction": 0.2}
    assert quality_notes(about) == []
    assert quality_notes({**about, "artifacts": None}) == []
    with_pen = {**none, "pen": {"slide": 0.2, "tissue": 0.0314}, "dark_edge": {"slide": 0.2, "tissue": 0.004}}
    assert quality_notes({**about, "artifacts": with_pen}) == [
        "pen covers 3.1% of its tissue; what is found in it is flagged"
    ]
    assert quality_notes({**about, "artifacts": with_pen, "skip_artifacts": ["pen"]}) == [
        "pen covers 3.1% of its tissue; it is left out"
    ]
    assert quality_notes({**about, "tissue_fraction": 0.0004}) == ["nearly blank: tissue covers 0.040% of it"]
    assert quality_notes({**about, "tissue_fraction": 0.0}) == []  # said elsewhere
