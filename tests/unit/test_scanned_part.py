"""Annotations of a slide of which a part was scanned: each command takes QuPath's coordinates for those of the part."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from helpers.annotation_forms import asap, collection, feature, ncrf, write
from helpers.flat_slide import write_flat_slide
from helpers.made_maps import write_map_of, write_truth_of
from helpers.scanned_part import BOUNDS, SHAPE, TISSUE, write_scanned_part
from scripts.annotations.annotations import geojson_origin, read_annotation
from scripts.errors import InputError
from scripts.exports.export import export_maps
from scripts.geometry import map_shape
from scripts.labels.loclabel import generate_loclabels, read_loclabels
from scripts.labels.mining import mine_hard_negatives
from scripts.labels.sampling import SampleSettings, sample_regions
from scripts.maps.files import read_map_info
from scripts.masks.foreground_files import read_mask
from scripts.masks.foreground_folder import write_foregrounds
from scripts.masks.groundtruth import write_groundtruth
from scripts.report.report import write_report
from scripts.scoring.evaluation import score_folder
from scripts.scoring.settings import ScoreSettings
from scripts.slides.slide import open_slide

STRIDE, MPP = 16, 0.25
ON_SLIDE = tuple(side + BOUNDS[axis % 2] for axis, side in enumerate(TISSUE))


def box_xy(top, left, bottom, right):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def expected_mask():
    mask = np.zeros(map_shape(SHAPE, STRIDE), dtype=bool)
    rows, cols = ((np.arange(side) + 0.5) * STRIDE for side in mask.shape)
    top, left, bottom, right = ON_SLIDE
    mask[np.ix_((rows >= top) & (rows < bottom), (cols >= left) & (cols < right))] = True
    return mask


FORMS = {
    "QuPath": ("a.geojson", collection(feature("Tumor", box_xy(*TISSUE))), "bounds"),
    "GeoJSON of the slide": ("a.geojson", collection(feature("Tumor", box_xy(*ON_SLIDE))), "slide"),
    "ASAP": ("a.xml", asap(("Tumor", box_xy(*ON_SLIDE))), "bounds"),
    "NCRF": ("a.json", ncrf([box_xy(*ON_SLIDE)]), "bounds"),
}


@pytest.fixture(params=FORMS.values(), ids=FORMS.keys())
def case(request, tmp_path):
    """A folder with the slide, its map, and its annotation in one of the forms, and where GeoJSON begins there."""
    name, content, origin = request.param
    for folder in ("slides", "annotations", "maps"):
        (tmp_path / folder).mkdir()
    write_scanned_part(tmp_path / "slides" / "a.scn")
    write(tmp_path / "annotations" / name, content)
    changes = {"slide": "a.scn", "bounds_origin": list(BOUNDS[:2])}
    write_map_of(tmp_path / "maps", "a", expected_mask().astype(np.float32), SHAPE, STRIDE, MPP, changes)
    return tmp_path, origin


def test_open_slide_says_what_was_scanned(tmp_path):
    with open_slide(write_scanned_part(tmp_path / "a.scn")) as slide:
        assert (slide.shape, slide.bounds) == (SHAPE, BOUNDS)


def test_groundtruth(case):
    folder, origin = case
    (path,) = write_groundtruth(folder / "annotations", folder / "slides", folder / "out", STRIDE, origin)
    np.testing.assert_array_equal(read_mask(path, SHAPE, STRIDE), expected_mask())


def test_foreground(case):
    folder, origin = case
    for path in (folder / "annotations").iterdir():
        if path.name == "a.json":
            pytest.skip("NCRF's form knows no tissue")
        path.write_text(path.read_text().replace("Tumor", "Tissue"))
    arguments = {"stride": STRIDE, "annotations": folder / "annotations", "origin": origin}
    (path,) = write_foregrounds(folder / "slides", folder / "out", **arguments)
    np.testing.assert_array_equal(read_mask(path, SHAPE, STRIDE), expected_mask())


def test_loclabel_with_slides(case):
    folder, origin = case
    (folder / "coords.csv").write_text(f"a,{ON_SLIDE[1] + 5},{ON_SLIDE[0] + 5}\na,{TISSUE[1] + 5},{TISSUE[0] + 5}\n")
    arguments = (folder / "coords.csv", folder / "annotations", folder / "out.csv")
    generate_loclabels(*arguments, slides=folder / "slides", assume_mpp=MPP, origin=origin)
    labels = [item["label"][0].tolist() for item in read_loclabels(folder / "out.csv")]
    assert labels == [[[0, 0, 0], [0, 1, 1], [0, 1, 1]], [[0, 0, 0]] * 3]


def test_sample(case):
    folder, origin = case
    settings = SampleSettings(num_tumor=20, num_normal=0, stride=STRIDE)
    arguments = (folder / "slides", folder / "annotations", folder / "out.csv", settings)
    assert sample_regions(*arguments, assume_mpp=MPP, origin=origin).num_tumor == 20
    centers = np.array([item["center"] for item in read_loclabels(folder / "out.csv")])
    assert (centers >= ON_SLIDE[:2]).all()
    assert (centers < ON_SLIDE[2:]).all()


def test_froc_report_and_mine(case):
    folder, origin = case
    run = (folder / "maps", folder / "annotations", folder / "out")
    found = score_folder(*run, settings=ScoreSettings(num_resamples=0, origin=origin))
    assert found["froc_score"] == 1
    center = (found["lesions"][0]["y"], found["lesions"][0]["x"])
    assert center == pytest.approx(((ON_SLIDE[0] + ON_SLIDE[2]) / 2, (ON_SLIDE[1] + ON_SLIDE[3]) / 2), abs=16)
    write_report(run[0], folder / "report", run[1], scoring=ScoreSettings(num_resamples=0, origin=origin))
    assert json.loads((folder / "report" / "froc.json").read_text())["froc_score"] == 1
    with pytest.raises(InputError, match="no false positive"):
        mine_hard_negatives(*run[:2], folder / "mined.csv", origin=origin)


@pytest.mark.parametrize("case", [FORMS["QuPath"]], indirect=True)
@pytest.mark.parametrize("origin", ["bounds", "slide"])
@pytest.mark.parametrize("given", ["sidecar", "slides"])
def test_export_and_back(case, origin, given):
    folder, _ = case
    if given == "slides":
        sidecar = folder / "maps" / "a.json"
        sidecar.write_text(sidecar.read_text().replace("bounds_origin", "other"))
    slides = folder / "slides" if given == "slides" else None
    export_maps(folder / "maps", folder / "out", "geojson,asap", slides=slides, origin=origin)
    (written,) = read_annotation(folder / "out" / "geojson" / "a.geojson").tumor
    begin = BOUNDS[:2] if origin == "bounds" else (0, 0)
    mask_rows, mask_cols = np.nonzero(expected_mask())
    edges = [mask_rows.min(), mask_cols.min(), mask_rows.max() + 1, mask_cols.max() + 1]
    assert written.bounds() == tuple(int(edge) * STRIDE - begin[axis % 2] for axis, edge in enumerate(edges))
    for name in ("geojson", "asap"):
        (path,) = write_groundtruth(folder / "out" / name, folder / "slides", folder / name, STRIDE, origin)
        np.testing.assert_array_equal(read_mask(path, SHAPE, STRIDE), expected_mask())


@pytest.mark.parametrize("case", [FORMS["GeoJSON of the slide"]], indirect=True)
def test_an_outline_outside_of_the_scanned_part_is_named(case):
    folder, _ = case
    words = "outside rows 1000 to 2024 and columns 2016 to 3296, the scanned part of the slide of 3000 x 4100 .*origin"
    with pytest.raises(InputError, match=words):
        write_groundtruth(folder / "annotations", folder / "slides", folder / "out", STRIDE)


def test_other_origins_and_sidecars_are_refused(tmp_path):
    with pytest.raises(InputError, match="geojson_origin: expected bounds or slide, found 'center'"):
        geojson_origin("center", (1, 2))
    for bounds_origin in (3, [1], [1.5, 2], None):
        write_map_of(tmp_path, "a", expected_mask(), SHAPE, STRIDE, MPP, {"bounds_origin": bounds_origin})
        with pytest.raises(InputError, match="bounds_origin: expected"):
            read_map_info(tmp_path / "a.npy")


def test_a_slide_that_states_no_bounds_was_scanned_whole(tmp_path):
    write_flat_slide(tmp_path / "a.tif", (301, 449))
    with open_slide(tmp_path / "a.tif") as slide:
        assert slide.bounds == (0, 0, *slide.shape)


def part_mask(stride=STRIDE):
    """The truth as a program writes it that shows the scanned part alone."""
    top, left, bottom, right = BOUNDS
    rows, cols = ((np.arange(n) + 0.5) * stride for n in map_shape((bottom - top, right - left), stride))
    mask = (rows >= TISSUE[0]) & (rows < TISSUE[2]), (cols >= TISSUE[1]) & (cols < TISSUE[3])
    return mask[0][:, None] & mask[1]


@pytest.fixture
def of_part(tmp_path):
    for folder in ("slides", "masks", "maps"):
        (tmp_path / folder).mkdir()
    write_scanned_part(tmp_path / "slides" / "a.scn")
    write_truth_of(tmp_path / "masks", "a", part_mask())
    about = {"bounds_origin": list(BOUNDS[:2]), "bounds_shape": [BOUNDS[2] - BOUNDS[0], BOUNDS[3] - BOUNDS[1]]}
    changes = {"slide": "a.scn", **about, "model_mpp": 0.25, "patch_size": 224}
    write_map_of(tmp_path / "maps", "a", expected_mask().astype(np.float32), SHAPE, STRIDE, MPP, changes)
    return tmp_path


@pytest.mark.parametrize("told_by", ["the map", "the slide"])
def test_a_mask_of_the_scanned_part_is_placed_there(of_part, told_by, caplog):
    run = (of_part / "maps", of_part / "masks", of_part / "out")
    slides = []
    if told_by == "the slide":
        sidecar = of_part / "maps" / "a.json"
        sidecar.write_text(sidecar.read_text().replace("bounds_", "other_"))
        with pytest.raises(InputError, match="fits a slide of 3000 x 4100 level-0 pixels at no single whole stride"):
            score_folder(*run, settings=ScoreSettings(num_resamples=0))
        slides = [of_part / "slides"]
    found = score_folder(*run, settings=ScoreSettings(num_resamples=0), slides=slides)
    center = (found["lesions"][0]["y"], found["lesions"][0]["x"])
    assert center == pytest.approx(((ON_SLIDE[0] + ON_SLIDE[2]) / 2, (ON_SLIDE[1] + ON_SLIDE[3]) / 2), abs=16)
    assert found["warnings"] == []
    with pytest.raises(InputError, match="no false positive"):
        mine_hard_negatives(*run[:2], of_part / "mined.csv", slides=slides)
    assert caplog.text.count("so it is placed there, at row 1000 and column 2016") == 1


def test_sample_places_a_mask_of_the_scanned_part(of_part):
    settings = SampleSettings(num_tumor=20, num_normal=0, stride=STRIDE)
    assert sample_regions(of_part / "slides", of_part / "masks", of_part / "out.csv", settings).num_tumor == 20
    centers = np.array([item["center"] for item in read_loclabels(of_part / "out.csv")])
    assert (centers >= ON_SLIDE[:2]).all()
    assert (centers < ON_SLIDE[2:]).all()


def test_outlines_in_the_wrong_frame_are_doubted(of_part, caplog):
    outline, taken, right = box_xy(*TISSUE), "slide", "bounds"
    (of_part / "masks" / "a.png").unlink()
    write(of_part / "masks" / "a.geojson", collection(feature("Tumor", outline)))
    tissue = np.zeros(map_shape(SHAPE, STRIDE), np.float32)
    tissue[expected_mask()] = 0.75
    np.save(of_part / "maps" / "a.npy", tissue)
    run = (of_part / "maps", of_part / "masks", of_part / "out")
    words = f"a.geojson: 0% of its tumor lies on tissue, and 100% would if its coordinates began .*_origin {right}"
    found = score_folder(*run, settings=ScoreSettings(num_resamples=0, origin=taken))
    assert any(re.search(words, warning) for warning in found["warnings"])
    caplog.clear()
    mine_hard_negatives(*run[:2], of_part / "mined.csv", origin=taken)
    assert re.search(words, caplog.text)
    caplog.clear()
    settings = SampleSettings(num_tumor=0, num_normal=5, stride=STRIDE)
    sample_regions(of_part / "slides", of_part / "masks", of_part / "out.csv", settings, origin=taken)
    assert re.search(words, caplog.text)
    caplog.clear()
    assert score_folder(*run, settings=ScoreSettings(num_resamples=0, origin=right))["warnings"] == []


def test_outlines_off_the_tissue_of_a_map_that_says_no_origin_are_doubted(of_part):
    (of_part / "masks" / "a.png").unlink()
    write(of_part / "masks" / "a.geojson", collection(feature("Tumor", box_xy(*TISSUE))))
    sidecar = of_part / "maps" / "a.json"
    sidecar.write_text(sidecar.read_text().replace("bounds_", "other_"))
    run = (of_part / "maps", of_part / "masks", of_part / "out")
    (warning,) = score_folder(*run, settings=ScoreSettings(num_resamples=0))["warnings"]
    assert "0% of its tumor lies on tissue; check that it belongs to this slide" in warning
    assert "(--slides, --geojson_origin)" in warning
    assert score_folder(*run, settings=ScoreSettings(num_resamples=0), slides=[of_part / "slides"])["warnings"] == []


def test_outlines_beyond_the_slide_are_doubted(of_part, caplog):
    (of_part / "masks" / "a.png").unlink()
    write(of_part / "masks" / "a.geojson", collection(feature("Tumor", box_xy(*ON_SLIDE))))
    with pytest.raises(InputError, match="at least one lesion"):
        score_folder(of_part / "maps", of_part / "masks", of_part / "out")
    assert "a.geojson: its outlines show nowhere on the slide" in caplog.text
