"""Maps and tables to nodes and patients, against labels and another run; what is warned of and refused."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.drawn_nodes import write_node, write_nodes
from scripts.errors import InputError
from scripts.scoring.report import Resampling
from scripts.staging.nodes import NodeSettings
from scripts.staging.staging import StageSettings, stage_folder
from scripts.staging.summary import summary

KINDS = ("negative", "itc", "micro", "negative", "macro", "micro")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_nodes(tmp_path_factory.mktemp("nodes"), KINDS)


def _table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_maps_to_nodes_and_patients(nodes: Path, tmp_path: Path) -> None:
    report = stage_folder(nodes / "maps", None, tmp_path / "out", against_labels=nodes / "labels.csv")
    assert [row["class"] for row in report["nodes"]] == list(KINDS)
    assert [row["stage"] for row in report["patients"]] == ["pN0(i+)", "pN1mi", "pN1"]
    assert report["agreement"]["nodes"]["kappa"] == report["agreement"]["patients"]["kappa"] == 1
    assert report["warnings"] == []
    assert json.loads((tmp_path / "out" / "stage.json").read_text(encoding="utf-8")) == report
    rows = _table(tmp_path / "out" / "nodes.csv")
    assert [row["class"] for row in rows] == list(KINDS)
    assert rows[0]["size_um"] == ""
    assert float(rows[2]["size_um"]) == pytest.approx(640, abs=35)
    patients = _table(tmp_path / "out" / "patients.csv")
    assert [row["num_macro"] for row in patients] == ["0", "0", "1"]
    assert (tmp_path / "out" / "submission.csv").read_text(encoding="utf-8").splitlines()[:4] == [
        *("patient,stage", "patient_000.zip,pN0(i+)", "patient_000_node_0.tif,negative", "patient_000_node_1.tif,itc"),
    ]
    assert (tmp_path / "out" / "confusion.png").stat().st_size > 10_000
    assert "6 nodes: 2 negative, 1 itc, 2 micro, 1 macro\n3 patients: 1 pN0(i+), 1 pN1mi, 1 pN1" in summary(report)


def test_a_table_gives_what_its_maps_gave(nodes: Path, tmp_path: Path) -> None:
    first = stage_folder(nodes / "maps", None, tmp_path / "first")
    again = stage_folder(None, tmp_path / "first" / "nodes.csv", tmp_path / "again")
    assert again["patients"] == first["patients"]
    assert [row["class"] for row in again["nodes"]] == [row["class"] for row in first["nodes"]]
    assert again["settings"]["threshold"] is None
    assert again["agreement"] is None
    assert not (tmp_path / "again" / "confusion.png").exists()


def test_two_runs_are_compared_whatever_the_other_is(nodes: Path, tmp_path: Path) -> None:
    worse = StageSettings(NodeSettings(micro_um=700), resampling=Resampling(50, 0))
    labels, maps = nodes / "labels.csv", nodes / "maps"
    stage_folder(maps, None, tmp_path / "worse", settings=worse)
    small = StageSettings(resampling=Resampling(50, 0))
    found = stage_folder(maps, None, tmp_path / "a", None, labels, tmp_path / "worse", small)["comparison"]
    assert found["nodes"]["kappa_difference"] > 0
    assert found["patients"]["kappa_difference"] > 0
    table = stage_folder(maps, None, tmp_path / "b", None, labels, tmp_path / "worse" / "nodes.csv", small)
    assert table["comparison"]["nodes"] == found["nodes"]
    same = stage_folder(maps, None, tmp_path / "c", None, labels, maps, small)
    assert same["comparison"]["patients"]["kappa_difference"] == 0
    assert f"nodes, kappa against {maps}: +0.0000" in summary(same)


def test_patients_of_a_table_and_slides_of_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, kind in (("one", "macro"), ("two", "micro"), ("three", "negative")):
        write_node(tmp_path / "maps", name, kind)
    report = stage_folder(tmp_path / "maps", None, tmp_path / "out")
    assert report["num_patients"] == 0
    assert report["num_nodes"] == 3
    assert "3 slides are of no patient by name" in caplog.text
    owners = tmp_path / "patients.csv"
    owners.write_text("slide,patient\none.tif,Ann\nTWO.tif,Ann\nthree,Bob\n", encoding="utf-8")
    report = stage_folder(tmp_path / "maps", None, tmp_path / "out", owners)
    assert {row["patient"]: row["stage"] for row in report["patients"]} == {"Ann": "pN1", "Bob": "pN0"}
    owners.write_text("one,Ann\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"patients: 2 of 3 slides are in no row: three.tif, two.tif"):
        stage_folder(tmp_path / "maps", None, tmp_path / "out", owners)


def test_patients_in_part_have_no_label_and_the_tables_stage_counts(
    nodes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    labels = tmp_path / "labels.csv"
    text = (nodes / "labels.csv").read_text(encoding="utf-8")
    more = "patient_000_node_9.tif,macro\npatient_001.zip,pN2\npatient_007.zip,pN0\n"
    labels.write_text(text + more, encoding="utf-8")
    report = stage_folder(nodes / "maps", None, tmp_path / "out", against_labels=labels)
    assert [row["label"] for row in report["patients"]] == [None, "pN2", "pN1"]
    assert report["agreement"]["patients"]["num"] == 2
    assert report["agreement"]["nodes"]["num"] == 6
    assert "1 patient has another label than their nodes' labels give: patient_001" in caplog.text
    assert (
        "1 labeled node is not here, and the stage of a patient who has one is not scored: patient_000_node_9.tif"
        in caplog.text
    )
    assert "1 labeled patient has no node here and is not scored: patient_007" in caplog.text


def test_maps_are_read_as_maps_and_a_table_as_a_table(nodes: Path, tmp_path: Path) -> None:
    maps = Path(shutil.copytree(nodes / "maps", tmp_path / "maps"))
    first = stage_folder(maps, None, maps)  # leaves its stage.json beside the maps
    assert stage_folder(maps, None, maps) == first
    staged = tmp_path / "staged"
    stage_folder(maps, None, staged)
    with pytest.raises(InputError, match="staged: no probability maps"):
        stage_folder(staged, None, tmp_path / "out")
    with pytest.raises(InputError, match=r"labels\.csv: no such folder; expected a folder of probability maps"):
        stage_folder(nodes / "labels.csv", None, tmp_path / "out")
    for folder in (staged, maps):
        with pytest.raises(InputError, match=r"expected a table, found a folder; give its nodes\.csv"):
            stage_folder(None, folder, tmp_path / "out")


def test_nodes_without_label_are_not_scored(nodes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("patient_000_node_0.tif,negative\n", encoding="utf-8")
    report = stage_folder(nodes / "maps", None, tmp_path / "out", against_labels=labels)
    assert (report["agreement"]["nodes"]["num"], report["agreement"]["patients"]) == (1, None)
    assert "5 nodes have no label, not scored" in caplog.text
    labels.write_text("other.tif,negative\n", encoding="utf-8")
    with pytest.raises(InputError, match="none of the nodes has a label"):
        stage_folder(nodes / "maps", None, tmp_path / "out", against_labels=labels)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"maps": None}, "stage reads --maps or --nodes"),
        ({"nodes": "labels.csv"}, "stage reads --maps or --nodes"),
        ({"against": "maps"}, "needs labels"),
        ({"against": "out", "against_labels": "labels.csv"}, "another folder than the output"),
        ({"against": "none", "against_labels": "labels.csv"}, "no such file or folder"),
        ({"against": "one.csv", "against_labels": "labels.csv"}, "found none of 5 of 6"),
        ({"maps": "none"}, "no such folder"),
        ({"against_labels": "none.csv"}, "no such file"),
    ],
)
def test_what_does_not_fit_is_refused(nodes: Path, tmp_path: Path, given: dict[str, Any], message: str) -> None:
    (nodes / "one.csv").write_text("patient_000_node_0.tif,negative\n", encoding="utf-8")
    values = {"maps": "maps", "nodes": None, "output": "out", **given}
    paths = {key: value if value is None else nodes / value for key, value in values.items()}
    with pytest.raises(InputError, match=message):
        stage_folder(**paths)
    assert not (nodes / "out" / "stage.json").exists()


def test_a_map_of_another_scale_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a", "b", "c"):
        write_node(tmp_path / "maps", name, "itc")
    sidecar = tmp_path / "maps" / "c.json"
    content = json.loads(sidecar.read_text(encoding="utf-8"))
    sidecar.write_text(json.dumps(content | {"mpp": 0.5}), encoding="utf-8")
    report = stage_folder(tmp_path / "maps", None, tmp_path / "out")
    assert "1 map has another scale" in caplog.text
    sizes = [row["size_um"] for row in report["nodes"]]
    assert sizes[2] > 1.5 * np.mean(sizes[:2])


def test_the_rule_needs_no_extra(nodes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sklearn", "sklearn.ensemble", "skops", "skops.io"):
        monkeypatch.setitem(sys.modules, name, None)
    report = stage_folder(nodes / "maps", None, tmp_path / "out", against_labels=nodes / "labels.csv")
    assert report["agreement"]["patients"]["kappa"] == 1


def test_a_reference_table_stands_in_for_labels(nodes: Path, tmp_path: Path) -> None:
    names = [path.stem for path in sorted((nodes / "maps").glob("*.npy"))]
    sizes = {"negative": "None", "itc": "ITC", "micro": "Micro", "macro": "Macro"}
    rows = [
        f"{name},{'Normal' if kind == 'negative' else 'Tumor'},IDC,{sizes[kind]}\n"
        for name, kind in zip(names, KINDS, strict=True)
    ]
    (tmp_path / "reference.csv").write_text("".join(rows))
    report = stage_folder(nodes / "maps", None, tmp_path / "out", reference=tmp_path / "reference.csv")
    assert report["agreement"]["nodes"]["kappa"] == 1
    with pytest.raises(InputError, match="reference: expected it in place of --against_labels, found both"):
        stage_folder(nodes / "maps", None, tmp_path, None, nodes / "labels.csv", reference=tmp_path / "reference.csv")
    (tmp_path / "reference.csv").write_text(f"slide,class\n{names[0]},Tumor\n")
    with pytest.raises(InputError, match="expected a column of metastases"):
        stage_folder(nodes / "maps", None, tmp_path / "out", reference=tmp_path / "reference.csv")
