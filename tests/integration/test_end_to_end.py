"""Every step, one after the other, as a user types them. The slides are drawn: a good score says that the steps fit."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from integration.conftest import Outcome
from scripts import bundle_root
from scripts.annotations.annotations import contains, read_annotation
from scripts.geometry import map_shape
from scripts.slides.pyramid import write_pyramid
from scripts.synthetic.cohort import MPP, sample_centers, synthetic_slide, write_asap_xml

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHAPE = (2101, 2903)
STRIDE = 128
LESION_RADIUS_UM = (112.0, 125.0)
"""Large enough to count: smaller ones are isolated tumor cells to the challenge."""

Command = Callable[..., Outcome]


class Study(NamedTuple):
    """Where the slides, annotations and coordinates are."""

    training: Path
    testing: Path
    annotations: Path
    coords: list[Path]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """A tumor slide and a normal one to train on, and another two to test on."""
    found = Study(*(tmp_path / name for name in ("training", "testing", "annotations")), [])
    for folder in found[:3]:
        folder.mkdir()
    lines: dict[str, list[str]] = {"train.txt": [], "valid.txt": []}
    for seed, (path, num_lesions) in enumerate(
        [
            (found.training / "tumor_001.tif", 1),
            (found.training / "normal_001.tif", 0),
            (found.testing / "test_001.tif", 1),
            (found.testing / "test_002.tif", 0),
        ]
    ):
        slide = synthetic_slide(SHAPE, num_lesions, seed + 20, LESION_RADIUS_UM)
        write_pyramid(path, slide.image, MPP)
        if not path.stem.startswith("normal"):
            write_asap_xml(found.annotations / f"{path.stem}.xml", slide.tumor, slide.exclusion)
        if path.parent == found.training:
            centers = sample_centers(np.random.default_rng(seed), slide, num_lesions > 0, 4)
            for index, (row, col) in enumerate(centers):
                lines["valid.txt" if index < 1 else "train.txt"].append(f"{path.stem},{col},{row}\n")
    for name, content in lines.items():
        (tmp_path / name).write_text("".join(content))
        found.coords.append(tmp_path / name)
    return found


def test_from_annotations_to_score(tumor_detection: Command, study: Study, tmp_path: Path) -> None:
    def run(command: str, **flags: object) -> Outcome:
        outcome = tumor_detection(command, *(part for key, value in flags.items() for part in (f"--{key}", value)))
        assert outcome.status == 0, outcome.err
        return outcome

    for coords, name in zip(study.coords, ("training.csv", "validation.csv"), strict=True):
        labelled = run("loclabel", coords=coords, annotations=study.annotations, output=name, slides=study.training)
        assert "regions of 2 slides" in labelled.out
    files = {"dataset_dir": study.training, "training_file": "training.csv", "validation_file": "validation.csv"}
    settings = {"epochs": 1, "batch_size": 2, "num_workers": 1, "weights": Path(bundle_root()) / "models" / "model.pt"}
    run("train", **files, **settings, output_dir="run")
    run("foreground", slides=study.testing, output="foreground", stride=STRIDE)
    given = {"foreground_dir": "foreground", "weights": "run/model.pt", "stride": STRIDE, "num_checks": 8}
    run("infer", slides=study.testing, **given, output_dir="maps")
    run("groundtruth", annotations=study.annotations, slides=study.testing, output="truth", stride=STRIDE)
    scored = run("froc", maps="maps", truth="truth", output="scores")

    prob_map = np.load(tmp_path / "maps" / "test_001.npy")
    truth = np.asarray(Image.open(tmp_path / "truth" / "test_001.png")) > 0
    assert prob_map.shape == truth.shape == map_shape(SHAPE, STRIDE)
    highest = np.unravel_index(prob_map.argmax(), prob_map.shape)
    assert truth[highest], "the map's maximum lies in the tumor"
    center = (np.array(highest) + 0.5) * STRIDE
    annotation = read_annotation(study.annotations / "test_001.xml")
    assert contains(annotation, center[None])[0], "and so does its level-0 point"
    assert prob_map[truth].mean() > prob_map[~truth & (prob_map > 0)].mean() + 0.1

    score = json.loads((tmp_path / "scores" / "froc.json").read_text())
    assert 0 <= score["froc_score"] <= 1
    assert len(score["sensitivity"]) == 6
    assert f"{score['froc_score']:.2f}" in scored.out
    assert (tmp_path / "scores" / "froc.png").stat().st_size > 1000
    with open(tmp_path / "scores" / "detections" / "test_001.csv", newline="") as file:
        confidence, x, y = max(tuple(map(float, row)) for row in csv.reader(file))
    assert confidence == pytest.approx(float(prob_map.max()), abs=1e-5)
    assert contains(annotation, np.array([[y, x]]))[0]
