"""A classifier fitted on drawn maps: folds keep patients whole, and the file stages maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.drawn_nodes import write_nodes
from scripts.errors import InputError
from scripts.scoring.report import Resampling
from scripts.staging import classifier as classifiers
from scripts.staging.classifier import load_classifier
from scripts.staging.features import NAMES
from scripts.staging.fitting import cross_validate, fit_folder, patient_folds
from scripts.staging.nodes import CLASSES, NodeSettings
from scripts.staging.staging import StageSettings, stage_folder
from scripts.staging.summary import fit_summary


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifiers, "_NUM_TREES", 15)


def test_fit_folder_and_staging_with_what_it_wrote(tmp_path: Path) -> None:
    kinds = [CLASSES[index % 4] for index in range(32)]
    folder = write_nodes(tmp_path, kinds)
    report = fit_folder(folder / "maps", folder / "labels.csv", tmp_path / "fit", resampling=Resampling(20, 0))
    assert (report["num_nodes"], report["num_patients"], report["num_folds"]) == (32, 16, 5)
    assert report["cross_validated"]["nodes"]["kappa"] > 0.9
    assert report["rule"]["nodes"]["kappa"] == 1
    assert list(report["features"]) != list(NAMES)
    assert report["features"].keys() == set(NAMES)
    assert json.loads((tmp_path / "fit" / "fit.json").read_text(encoding="utf-8")) == report
    assert "nodes, classifier: quadratic kappa" in fit_summary(report)
    fitted = load_classifier(tmp_path / "fit" / "classifier.skops")
    settings = StageSettings(fitted.settings, fitted.judge, "classifier.skops", Resampling(0, 0))
    staged = stage_folder(folder / "maps", None, tmp_path / "out", None, folder / "labels.csv", settings=settings)
    assert staged["agreement"]["nodes"]["accuracy"] > 0.9
    assert staged["settings"]["classifier"] == "classifier.skops"
    assert staged["settings"]["macro_um"] is None
    scores = {kind: [row["score"] for row in staged["nodes"] if row["label"] == kind] for kind in CLASSES}
    assert max(scores["negative"]) < 0.5 < min(scores["macro"])


def test_patient_folds_keep_patients_whole_and_spread_the_gravest() -> None:
    rng = np.random.default_rng(0)
    owners = [f"p{index // 5}" for index in range(100)]
    truth = [CLASSES[int(value)] for value in rng.choice(4, 100, p=[0.7, 0.1, 0.1, 0.1])]
    folds = patient_folds(truth, owners, 5, seed=1)
    assert all(len({fold for fold, owner in zip(folds, owners, strict=True) if owner == name}) == 1 for name in owners)
    gravest = {name: max(CLASSES.index(t) for t, o in zip(truth, owners, strict=True) if o == name) for name in owners}
    for kind in range(4):
        members = [name for name, value in gravest.items() if value == kind]
        counts = np.bincount([folds[owners.index(name)] for name in members], minlength=5)
        assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(folds, patient_folds(truth, owners, 5, seed=1))


def test_cross_validate_judges_each_node_by_a_forest_that_did_not_see_it() -> None:
    features = np.random.default_rng(0).random((40, len(NAMES)))
    truth = ["macro", "negative"] * 20  # nothing in the features tells
    owners = [f"p{index}" for index in range(40)]
    folds = patient_folds(truth, owners, 5, 0)
    found = cross_validate(features, truth, folds, NodeSettings())
    is_right = found.argmax(axis=1) == [CLASSES.index(name) for name in truth]
    assert 0.2 < is_right.mean() < 0.8  # a forest that saw them would be right on all


def test_too_little_to_fit_on_is_refused(tmp_path: Path) -> None:
    folder = write_nodes(tmp_path, ["itc", "itc", "itc"])
    with pytest.raises(InputError, match="two classes and two patients at least, found 3 maps of 2 patients"):
        fit_folder(folder / "maps", folder / "labels.csv", tmp_path / "fit")
    assert not (tmp_path / "fit").exists()
