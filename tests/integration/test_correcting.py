"""The loop back: a map goes to QuPath, a person corrects it, and the correction is trained on. Slides are drawn."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from integration.conftest import SHAPE, Outcome
from scripts.annotations.annotations import read_annotation
from scripts.geometry import map_shape
from scripts.masks.groundtruth import tumor_mask
from scripts.synthetic.cohort import MPP, Cohort

pytestmark = pytest.mark.integration

STRIDE = 37
NAME = "test_001"


def _write_maps(folder: Path) -> np.ndarray:
    """Maps as ``infer`` writes them: two lesions, of which one is false, on the first slide and none on the second."""
    folder.mkdir()
    prob_map = np.zeros(map_shape(SHAPE, STRIDE), dtype=np.float32)
    prob_map[10:20, 8:22] = 0.8
    prob_map[13:15, 11:14] = 0.3
    prob_map[22:28, 30:40] = 0.7
    for name, content in ((NAME, prob_map), ("test_002", np.zeros_like(prob_map))):
        np.save(folder / f"{name}.npy", content)
        sidecar = {"slide": f"{name}.tif", "shape": list(SHAPE), "stride": STRIDE, "mpp": MPP}
        (folder / f"{name}.json").write_text(json.dumps(sidecar))
    return prob_map


def _edit_as_qupath_would(content: dict) -> dict:
    """Delete the false lesion, move a vertex, draw a lesion and tissue; QuPath adds and reorders properties."""
    features = [item for item in copy.deepcopy(content["features"]) if item["properties"]["name"] != "Lesion 2"]
    for item in features:
        item["properties"] |= {"isLocked": False, "metadata": {"ANNOTATION_DESCRIPTION": "looked at"}}
    (lesion,) = [item for item in features if item["properties"]["objectType"] == "annotation"]
    outer = lesion["geometry"]["coordinates"][0]
    corner = outer.index([22 * STRIDE, 20 * STRIDE])
    outer[corner] = [30 * STRIDE, 20 * STRIDE]
    if corner == 0:
        outer[-1] = outer[0]

    def drawn(label: str | None, left: float, top: float, right: float, bottom: float) -> dict:
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        properties = {"objectType": "annotation", "isLocked": False, "measurements": {}}
        properties |= {} if label is None else {"classification": {"name": label, "color": [0, 128, 0]}}
        return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}

    features += [drawn("Tumor", 1099.5, 300.25, 1500.5, 700.25), drawn("Tissue", 150, 150, 1450, 1100)]
    return {"type": "FeatureCollection", "features": features}


def test_a_corrected_detection_is_trained_on(
    tumor_detection: Callable[..., Outcome], cohort: Cohort, weights: Path, tmp_path: Path
) -> None:
    def run(command: str, **flags: object) -> Outcome:
        parts = [part for key, value in flags.items() for part in (f"--{key}", value)]
        outcome = tumor_detection(command, *parts)
        assert outcome.status == 0, outcome.err
        return outcome

    prob_map = _write_maps(tmp_path / "maps")
    slides = cohort.testing[0].parent
    exported = run("export", maps="maps", output="exports", format="geojson")
    assert exported.out.strip() == "2 maps as geojson in exports: 2 lesions, 2 detections"

    # untouched, it is ground truth that gives the thresholded map
    run("groundtruth", annotations="exports/geojson", slides=slides, output="untouched", stride=STRIDE)
    untouched = np.asarray(Image.open(tmp_path / "untouched" / f"{NAME}.png")) > 0
    np.testing.assert_array_equal(untouched, prob_map > 0.5)

    (tmp_path / "corrected").mkdir()
    content = json.loads((tmp_path / "exports" / "geojson" / f"{NAME}.geojson").read_text(encoding="utf-8"))
    edited = tmp_path / "corrected" / f"{NAME}.geojson"
    edited.write_text(json.dumps(_edit_as_qupath_would(content)), encoding="utf-8")
    empty = tmp_path / "exports" / "geojson" / "test_002.geojson"
    (tmp_path / "corrected" / empty.name).write_bytes(empty.read_bytes())

    outcome = run("groundtruth", annotations="corrected", slides=slides, output="truth", stride=STRIDE)
    assert "Detection" not in outcome.err, "they are what the export wrote"
    truth = np.asarray(Image.open(tmp_path / "truth" / f"{NAME}.png")) > 0
    assert not truth[22:28, 30:40].any(), "the false lesion is gone"
    assert truth[10:13, 8:22].all(), "the true one is there,"
    assert not truth[13:15, 11:14].any(), "with its hole,"
    assert truth[19, 22], "and wider where a corner was moved"
    drawn = tumor_mask(read_annotation(edited), SHAPE, STRIDE) != 0
    np.testing.assert_array_equal(truth, drawn)
    assert truth[8 + 2, 31:41].all()
    assert not (np.asarray(Image.open(tmp_path / "truth" / "test_002.png")) > 0).any()

    foreground = {"annotations": "corrected", "slides": slides, "output": "foreground", "stride": 128}
    run("foreground", **foreground)
    mask = np.asarray(Image.open(tmp_path / "foreground" / f"{NAME}.png")) > 0
    rows, cols = ((indices + 0.5) * 128 for indices in np.indices(mask.shape))
    np.testing.assert_array_equal(mask, (rows >= 150) & (rows < 1100) & (cols >= 150) & (cols < 1450))

    (tmp_path / "centers.txt").write_text(f"{NAME},700,700\n{NAME},1200,900\n{NAME},1200,500\ntest_002,700,700\n")
    run("loclabel", coords="centers.txt", annotations="corrected", output="labels.csv")
    rows_of = [line.split(",") for line in (tmp_path / "labels.csv").read_text().splitlines()]
    assert [row[7] for row in rows_of] == ["1", "0", "1", "0"], "the central label, of the corrected truth"
    run("sample", slides=slides, truth="corrected", output="regions.csv", num_tumor=1, stride=128)
    assert len((tmp_path / "regions.csv").read_text().splitlines()) == 2

    settings = {"epochs": 1, "batch_size": 2, "num_workers": 0, "weights": weights, "output_dir": "finetuned"}
    files = {"dataset_dir": slides, "training_file": "regions.csv", "validation_file": "labels.csv"}
    run("train", config_file="finetune.json", **files, **settings)
    run(
        "infer",
        slides=cohort.testing[0].parent / f"{NAME}.tif",
        foreground_dir="foreground",
        weights="finetuned/model.pt",
        stride=128,
        num_checks=4,
        output_dir="maps_2",
    )
    found = np.load(tmp_path / "maps_2" / f"{NAME}.npy")
    assert (found[mask] > 0).all()
    assert (found[~mask] == 0).all()
