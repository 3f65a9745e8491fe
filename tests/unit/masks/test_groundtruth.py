"""Ground truth: masks agree with containment, are cut at the slide, and one bad slide does not stop the others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.annotation_forms import write_ncrf
from helpers.flat_slide import write_flat_slide
from scripts.annotations.annotations import Annotation, contains
from scripts.annotations.polygons import Polygon
from scripts.errors import InputError
from scripts.geometry import map_shape
from scripts.masks import groundtruth
from scripts.masks.groundtruth import tumor_mask, write_groundtruth

SHAPE = (700, 1100)
MPP = 0.25
TUMOR_XY = [[640, 64], [960, 64], [960, 320], [640, 320]]

points = st.tuples(st.integers(-30, 160), st.integers(-30, 230))
rings = st.lists(points, min_size=3, max_size=12).map(lambda ring: np.array(ring, dtype=float))
polygons = st.lists(st.lists(rings, min_size=1, max_size=2), max_size=3).map(
    lambda items: tuple(Polygon(f"p{i}", tuple(item)) for i, item in enumerate(items))
)


@pytest.fixture
def case(tmp_path):
    """A tumor slide with its annotation and a normal slide without one."""
    write_flat_slide(tmp_path / "slides" / "Tumor_001.tif", SHAPE, MPP)
    write_flat_slide(tmp_path / "slides" / "Normal_001.tif", SHAPE, MPP)
    write_ncrf(tmp_path / "json", "tumor_001", [TUMOR_XY])
    return tmp_path / "json", tmp_path / "slides", tmp_path / "out"


@given(polygons, polygons, st.sampled_from([1, 2, 3, 7, 16, 64, 500]), st.booleans())
def test_tumor_mask_agrees_with_contains(tumor, exclusion, stride, at_corner):
    annotation = Annotation(Path("a"), tumor, exclusion)
    mask = tumor_mask(annotation, (131, 203), stride, at_corner)
    assert mask.dtype == np.uint8
    assert mask.shape == map_shape((131, 203), stride)
    points = np.stack(np.indices(mask.shape), axis=-1).reshape(-1, 2) * stride + (0.5 if at_corner else stride / 2)
    assert (mask.ravel() == contains(annotation, points)).all()


@given(polygons, polygons, st.sampled_from([2, 3, 7, 32]))
def test_tumor_mask_at_corners_is_the_finest_mask_without_the_rows_between(tumor, exclusion, stride):
    annotation = Annotation(Path("a"), tumor, exclusion)
    finest = tumor_mask(annotation, (131, 203), 1)
    assert (tumor_mask(annotation, (131, 203), stride, at_corner=True) == finest[::stride, ::stride]).all()


def test_tumor_mask_rows_and_columns():
    ring = np.array(TUMOR_XY, float)[:, ::-1]
    mask = tumor_mask(Annotation(Path("a"), (Polygon("p", (ring,)),), ()), SHAPE, 64)
    expected = np.zeros((11, 18), np.uint8)
    expected[1:5, 10:15] = 1
    assert (mask == expected).all()


def test_tumor_mask_in_bands(monkeypatch):
    rng = np.random.default_rng(3)
    annotation = Annotation(Path("a"), (Polygon("p", (rng.uniform(-50, 900, (40, 2)),)),), ())
    whole = tumor_mask(annotation, SHAPE, 5)
    monkeypatch.setattr(groundtruth, "_PIXELS_AT_ONCE", 1000)
    assert (tumor_mask(annotation, SHAPE, 5) == whole).all()
    assert 0 < whole.mean() < 1


def test_tumor_mask_refuses_stride():
    with pytest.raises(ValueError, match="stride"):
        tumor_mask(Annotation(Path("a"), (), ()), SHAPE, 0)


def test_write_groundtruth(case):
    annotations, slides, output = case
    written = write_groundtruth(annotations, slides, output)
    assert [path.name for path in written] == ["Normal_001.png", "Tumor_001.png"]
    assert sorted(path.suffix for path in output.iterdir()) == [".json", ".json", ".png", ".png"]
    normal, tumor = (Image.open(path) for path in written)
    assert normal.mode == tumor.mode == "L"
    assert np.asarray(normal).shape == (11, 18)
    assert not np.asarray(normal).any()
    assert np.unique(np.asarray(tumor)).tolist() == [0, 255]
    assert (np.asarray(tumor)[1:5, 10:15] == 255).all()
    assert json.loads((output / "Tumor_001.json").read_text()) == {
        "slide": "Tumor_001.tif",
        "shape": [700, 1100],
        "stride": 64,
        "mpp": pytest.approx(0.25, rel=1e-4),
        "annotation": "tumor_001.json",
        "num_tumor_polygons": 1,
        "num_exclusion_polygons": 0,
        "tumor_mm2": pytest.approx(320 * 256 * 0.25**2 / 1e6, rel=1e-3),
    }
    sidecar = json.loads((output / "Normal_001.json").read_text())
    assert sidecar["annotation"] is None
    assert sidecar["tumor_mm2"] == 0


@pytest.mark.parametrize(
    ("slide", "annotation"), [("M\u00fcller_1", "Mu\u0308ller_1"), ("Mu\u0308ller_1", "M\u00fcller_1")]
)
def test_names_in_another_unicode_form_are_the_same(tmp_path, slide, annotation):
    write_flat_slide(tmp_path / "slides" / f"{slide}.tif", SHAPE, MPP)
    write_ncrf(tmp_path / "json", annotation, [TUMOR_XY])
    (mask,) = write_groundtruth(tmp_path / "json", tmp_path / "slides", tmp_path / "out")
    assert mask.name == "M\u00fcller_1.png"
    assert json.loads(mask.with_suffix(".json").read_text())["slide"] == "M\u00fcller_1.tif"


def test_write_groundtruth_without_resolution(case):
    annotations, slides, output = case
    write_flat_slide(slides / "Tumor_001.tif", SHAPE, mpp=None)
    write_groundtruth(annotations, slides / "Tumor_001.tif", output, stride=100)
    sidecar = json.loads((output / "Tumor_001.json").read_text())
    assert sidecar["mpp"] is None
    assert sidecar["tumor_mm2"] is None
    assert np.asarray(Image.open(output / "Tumor_001.png")).shape == (7, 11)


def test_write_groundtruth_clips_and_cuts(case):
    annotations, slides, output = case
    beyond = [[900, -500], [9000, -500], [9000, 600], [900, 600]]
    hole = [[1000, 0], [1100, 0], [1100, 300], [1000, 300]]
    write_ncrf(annotations, "tumor_001", [beyond], [hole])
    write_groundtruth(annotations, slides / "Tumor_001.tif", output, stride=100)
    mask = np.asarray(Image.open(output / "Tumor_001.png")) // 255
    expected = np.zeros((7, 11), np.uint8)
    expected[:6, 9:] = 1
    expected[:3, 10] = 0
    assert (mask == expected).all()


def test_write_groundtruth_warns_of_tumor_that_draws_nothing(case, caplog):
    """As where coordinates are millimetres: the mask would be that of a normal slide."""
    annotations, slides, output = case
    write_ncrf(annotations, "tumor_001", [[[0.9, 0.3], [2.9, 0.3], [2.9, 0.9]]])
    write_groundtruth(annotations, slides, output, 16)
    (record,) = caplog.records
    said = "tumor_001.json: the tumor on Tumor_001.tif (1 outline) covers no pixel of its mask"
    assert said in record.getMessage()


def test_write_groundtruth_does_the_others(case, caplog):
    annotations, slides, output = case
    for name in ("Tumor_002", "Tumor_003", "Tumor_004", "test_1"):
        write_flat_slide(slides / f"{name}.tif", SHAPE, MPP)
    write_ncrf(annotations, "Tumor_002", [TUMOR_XY, [[x + 9000, y] for x, y in TUMOR_XY]])
    (annotations / "Tumor_003.json").write_text("{")
    write_ncrf(annotations, "Tumor_004", [TUMOR_XY])
    (slides / "Tumor_004.tif").write_bytes((slides / "Tumor_004.tif").read_bytes()[:100])
    with pytest.raises(InputError) as error:
        write_groundtruth(annotations, slides, output)
    message = str(error.value)
    assert "\n" not in message
    assert "4 of 6 slides failed" in message
    assert "Tumor_002.json: outline 'A1' spans rows 64 to 320 and columns 9640 to 9960, outside the slide" in message
    assert "Tumor_003.json: not a readable JSON" in message
    assert "Tumor_004.tif" in message
    assert "no annotation named 'test_1'" in message
    assert sorted(path.name for path in output.glob("*.png")) == ["Normal_001.png", "Tumor_001.png"]
    assert len(caplog.records) == 4


def test_write_groundtruth_sets_a_name_aside_that_results_cannot_have(case):
    annotations, slides, output = case
    write_flat_slide(slides / f"normal_{'a' * 240}.tif", SHAPE, MPP)
    with pytest.raises(InputError, match=r"1 of 3 slides failed.* which has 247 bytes, more than 200; rename it"):
        write_groundtruth(annotations, slides, output)
    assert sorted(path.name for path in output.glob("*.png")) == ["Normal_001.png", "Tumor_001.png"]


@pytest.mark.parametrize("stride", [0, -64, 6.4, "64", True])
def test_write_groundtruth_refuses_stride(case, stride):
    with pytest.raises(InputError, match="stride must be a positive integer"):
        write_groundtruth(*case, stride=stride)


def test_write_groundtruth_refuses_folders(case, tmp_path):
    annotations, slides, output = case
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no slides found"):
        write_groundtruth(annotations, tmp_path / "empty", output)
    with pytest.raises(InputError, match="no annotations found"):
        write_groundtruth(tmp_path / "empty", slides, output)
    with pytest.raises(InputError, match="no such folder"):
        write_groundtruth(tmp_path / "none", slides, output)
    output.write_text("a file")
    with pytest.raises(InputError, match="cannot be written"):
        write_groundtruth(annotations, slides, output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_write_groundtruth_read_only_output(case):
    case[2].mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        write_groundtruth(*case)
