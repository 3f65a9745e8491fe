"""A table of slides stands wherever slides are named: its mpp counts over what the file says, and only there."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from helpers.annotation_forms import write_ncrf
from helpers.flat_slide import write_flat_slide
from scripts.cli.doctor import doctor
from scripts.errors import InputError
from scripts.inference.freshness import reading_settings
from scripts.inference.tile_sampler import TileSampler
from scripts.inference.tiles import TileDataset, slide_datalist
from scripts.labels.loclabel import generate_loclabels, loclabel_datalist, read_loclabels
from scripts.labels.sampling import SampleSettings, sample_regions
from scripts.masks.foreground_folder import write_foregrounds
from scripts.masks.groundtruth import write_groundtruth
from scripts.scoring.evaluation import score_folder
from scripts.training.patches import PatchWSIDataset

SHAPE = (1500, 2300)
STATED, LISTED = 0.25, 0.5
TUMOR_XY = [[512, 256], [1024, 256], [1024, 768], [512, 768]]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two slides that state the same, and ``list.csv``, which states another resolution of ``a``."""
    for name in ("a", "normal_b"):
        write_flat_slide(tmp_path / "slides" / f"{name}.tif", SHAPE, STATED)
    write_ncrf(tmp_path / "annotations", "a", [TUMOR_XY])
    (tmp_path / "list.csv").write_text(f"path,mpp\nslides/a.tif,{LISTED}\nslides/normal_b.tif,\n")
    return tmp_path


def sidecar_mpp(folder: Path) -> list[float]:
    return [json.loads((folder / f"{name}.json").read_text())["mpp"] for name in ("a", "normal_b")]


def test_foreground(place: Path) -> None:
    write_foregrounds(place / "list.csv", place / "out", 64, assume_mpp=0.3)
    assert sidecar_mpp(place / "out") == [LISTED, 0.3]


def test_groundtruth(place: Path) -> None:
    write_groundtruth(place / "annotations", place / "list.csv", place / "out")
    assert sidecar_mpp(place / "out") == [LISTED, STATED]


def test_doctor(place: Path) -> None:
    report, failures = doctor([str(place / "list.csv")])
    assert failures == 0
    assert [line.split()[1] for line in report.splitlines() if "resolution" in line] == [str(LISTED), str(STATED)]


@pytest.mark.parametrize("name", ["a", "normal_b"])
def test_loclabel_and_train(place: Path, name: str) -> None:
    (place / "coords.txt").write_text(f"{name},880,700\n")
    generate_loclabels(
        place / "coords.txt", place / "annotations", place / "out.csv", slides=str(place / "list.csv"), assume_mpp=0.25
    )
    (item,) = read_loclabels(place / "out.csv")
    # a cell is 124 level-0 pixels wide at 0.5 µm, and 256 at the stated 0.25, where only 4 are tumor
    assert item["label"].sum() == {"a": 6, "normal_b": 0}[name]
    data = loclabel_datalist(place / "out.csv", place / "list.csv")
    dataset = PatchWSIDataset(data, assume_mpp=0.3)
    assert dataset[0]["image"].shape == (3, 768, 768)
    assert dataset.slides.get(data[0]["image"]).mpp == {"a": LISTED, "normal_b": 0.3}[name]


def test_loclabel_names_slides_that_the_table_lacks(place: Path) -> None:
    (place / "coords.txt").write_text("c,9,7\n")
    with pytest.raises(InputError, match=r"1 of 1 slide is not in .*list.csv: c; add them"):
        generate_loclabels(place / "coords.txt", place / "annotations", place / "out.csv", slides=place / "list.csv")


def test_sample(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    class Reader(nullcontext[None]):
        def __enter__(self):  # type: ignore[no-untyped-def]
            return self

        def ask(self, path, survey, rng, slide, *arguments):  # type: ignore[no-untyped-def]
            asked[slide.stem] = arguments[-2]
            raise InputError("seen")

    monkeypatch.setattr("scripts.labels.sampling.ReaderProcess", Reader)
    with pytest.raises(InputError, match="2 of 2 slides failed"):
        sample_regions(
            place / "list.csv", place / "annotations", place / "out.csv", SampleSettings(num_tumor=1), assume_mpp=0.3
        )
    assert asked == {"a": LISTED, "normal_b": 0.3}


def test_infer(place: Path) -> None:
    dataset = TileDataset(slide_datalist(place / "list.csv"), stride=224, assume_mpp=0.3)
    tiles = {Path(tile.path).stem: tile for tile in TileSampler(dataset)}
    assert {name: tile.plan and tile.plan.mpp for name, tile in tiles.items()} == {"a": LISTED, "normal_b": 0.3}
    for name, mpp in (("a", LISTED), ("normal_b", 0.3)):
        assert reading_settings(dataset, place / "slides" / f"{name}.tif")["assume_mpp"] == mpp
    assert dataset.slides.assume_mpp == 0.3


def test_froc_of_detections(place: Path) -> None:
    (place / "detections").mkdir()
    (place / "detections" / "a.csv").write_text("0.9,700,500\n")
    report = score_folder(
        None,
        place / "annotations",
        place / "out",
        detections=place / "detections",
        slides=[place / "list.csv"],
        mpp=STATED,
    )
    (lesion,) = report["lesions"]
    side_mm = (512 * LISTED + 75) / 1000  # lesions are grown by 37.5 µm
    assert lesion["area_mm2"] == pytest.approx(side_mm**2, rel=0.1)


def test_a_training_set_without_a_table_is_as_before(place: Path) -> None:
    (place / "labels.csv").write_text("a,900,700" + 9 * ",0" + "\n")
    (item,) = loclabel_datalist(place / "labels.csv", place / "slides")
    assert set(item) == {"image", "location", "label"}
    assert np.asarray(item["label"]).shape == (1, 3, 3)


def test_groundtruth_takes_annotations_and_labels_of_the_table(place: Path) -> None:
    lines = ("path,label,annotation", "slides/a.tif,,annotations/a.json", "slides/c.tif,normal,")
    write_flat_slide(place / "slides" / "c.tif", SHAPE, STATED)
    (place / "list.csv").write_text("\n".join(lines) + "\n")
    write_groundtruth(None, place / "list.csv", place / "out")
    about = {name: json.loads((place / "out" / f"{name}.json").read_text()) for name in "ac"}
    assert about["a"]["annotation"] == "a.json"
    assert about["a"]["num_tumor_polygons"] == 1
    assert about["c"]["annotation"] is None
    with pytest.raises(InputError, match="expected a folder of annotations, found none"):
        write_groundtruth(None, place / "slides", place / "out")
