"""Staging by the command: the demo's kind of files, and maps of a published network on real slides."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.drawn_nodes import write_nodes
from scripts.cli.main import main

pytestmark = pytest.mark.integration

REAL = ("patient_017_node_4", "patient_046_node_4", "patient_064_node_0")


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The maps and masks of the published network, linked under the slides' names, with sidecars."""
    folder = tmp_path_factory.mktemp("real")
    for name in REAL:
        for kind, place, more in (("out", "maps", {"value_of_one": 204}), ("mask", "truth", {"tumor_from": 128})):
            source = shared_data / "camelyon17" / f"{kind}_{name}.jpg"
            (folder / place).mkdir(exist_ok=True)
            (folder / place / f"{name}.jpg").symlink_to(source)
            with Image.open(source) as picture:
                shape = [picture.height * 32, picture.width * 32]
            content = {"slide": f"{name}.tif", "shape": shape, "stride": 32, "mpp": 0.243, **more}
            (folder / place / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_real_maps_are_staged_as_the_challenge_labels_them(
    real: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = shared_data / "camelyon17" / "stage_labels.csv"
    main(["stage", "--maps", str(real / "maps"), "--against-labels", str(labels), "--output", str(tmp_path / "out")])
    assert "nodes against labels: quadratic kappa 1.000" in capsys.readouterr().out
    report = json.loads((tmp_path / "out" / "stage.json").read_text(encoding="utf-8"))
    assert {row["slide"]: row["class"] for row in report["nodes"]} == {
        "patient_017_node_4.tif": "micro",
        "patient_046_node_4.tif": "micro",
        "patient_064_node_0.tif": "itc",
    }
    assert report["agreement"]["patients"] is None  # each patient has four more nodes
    assert any("497 labeled nodes are not here" in warning for warning in report["warnings"])


def test_real_maps_are_scored_by_froc(real: Path, tmp_path: Path) -> None:
    arguments = ["--maps", str(real / "maps"), "--truth", str(real / "truth"), "--output", str(tmp_path / "out")]
    main(["froc", *arguments, "--num_resamples", "20"])
    report = json.loads((tmp_path / "out" / "froc.json").read_text(encoding="utf-8"))
    assert [row["num_detections"] > 10 for row in report["slides"]] == [True] * 3
    assert report["num_lesions"] == 10
    assert report["num_isolated_tumor_cells"] == 21
    assert report["strata"]["micrometastasis"]["num_hit"] == 9
    assert report["froc_score"] == pytest.approx(0.41, abs=0.02)


def test_the_challenges_labels_give_all_stages(shared_data: Path, tmp_path: Path) -> None:
    labels = str(shared_data / "camelyon17" / "stage_labels.csv")
    main(["stage", "--nodes", labels, "--against-labels", labels, "--output", str(tmp_path / "out")])
    found = json.loads((tmp_path / "out" / "stage.json").read_text(encoding="utf-8"))["agreement"]["patients"]
    assert (found["num"], found["accuracy"], found["kappa"]) == (100, 1.0, 1.0)
    assert np.trace(found["confusion"]) == 100


def test_fit_and_classify_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_nodes(tmp_path, ["negative", "itc", "micro", "macro"] * 6)
    maps, labels = str(tmp_path / "maps"), str(tmp_path / "labels.csv")
    main(["stage", "--fit", maps, labels, "--output", str(tmp_path / "fit"), "--num_resamples", "20"])
    assert "24 nodes: 6 negative, 6 itc, 6 micro, 6 macro; 12 patients in 5 folds" in capsys.readouterr().out
    fitted = str(tmp_path / "fit" / "classifier.skops")
    main(
        [
            "stage",
            "--maps",
            maps,
            "--classifier",
            fitted,
            "--output",
            str(tmp_path / "out"),
            "--patients",
            _owners(tmp_path),
        ]
    )
    assert "24 nodes: 6 negative" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="threshold: a classifier brings its own"):
        main(["stage", "--maps", maps, "--classifier", fitted, "--output", str(tmp_path / "o"), "--threshold", "0.4"])
    with pytest.raises(SystemExit, match="fit: expected a folder of maps and a table of labels"):
        main(["stage", "--fit", maps, "--output", str(tmp_path / "o")])
    with pytest.raises(SystemExit, match="maps: has no part in --fit"):
        main(["stage", "--fit", maps, labels, "--maps", maps, "--output", str(tmp_path / "o")])


def _owners(folder: Path) -> str:
    path = folder / "patients.csv"
    names = sorted(path.stem for path in (folder / "maps").glob("*.npy"))
    path.write_text("".join(f"{name},one\n" for name in names), encoding="utf-8")
    return str(path)
