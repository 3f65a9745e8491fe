"""What can be held against labels: nodes that have one, patients that are whole; groups of the bootstrap."""

from __future__ import annotations

from typing import Any

import pytest

from scripts.errors import InputError
from scripts.scoring.report import Resampling
from scripts.staging.labeled import agreement_of, comparison_of, labeled_calls, stage_patients
from scripts.staging.runs import NodeRun


def _row(slide: str, patient: str | None, called: str, label: str | None) -> dict[str, Any]:
    return {"slide": slide, "patient": patient, "class": called, "label": label}


ROWS = {
    "a": _row("a.tif", "p", "micro", "macro"),
    "b": _row("b.tif", "p", "negative", "negative"),
    "c": _row("c.tif", "q", "itc", None),
    "d": _row("d.tif", None, "itc", "itc"),
}
PATIENTS = [{"patient": "p", "stage": "pN1mi", "label": "pN1"}, {"patient": "q", "stage": "pN0(i+)", "label": None}]


def test_stage_patients_of_either_column_leaves_nodes_of_nobody_out() -> None:
    assert stage_patients(ROWS) == {"p": "pN1mi", "q": "pN0(i+)"}
    assert stage_patients({key: ROWS[key] for key in "ab"}, "label") == {"p": "pN1"}


def test_labeled_calls() -> None:
    calls = labeled_calls(ROWS, PATIENTS)
    assert calls.keys == ["a", "b", "d"]
    assert calls.nodes == (["macro", "negative", "itc"], ["micro", "negative", "itc"], ["p", "p", "d.tif"])
    assert calls.patients == (["pN1"], ["pN1mi"], ["p"])
    with pytest.raises(InputError, match="none of the nodes has a label"):
        labeled_calls({"c": ROWS["c"]}, [])


def test_agreement_and_comparison_without_a_whole_patient_are_of_nodes_alone() -> None:
    calls = labeled_calls(ROWS, PATIENTS[1:])
    found = agreement_of(calls, Resampling(10, 0))
    assert (found["nodes"]["num"], found["nodes"]["accuracy"], found["patients"]) == (3, pytest.approx(2 / 3), None)
    other = NodeRun({key: {**row, "class": row["label"] or "macro"} for key, row in ROWS.items()}, [])
    assert comparison_of(calls, ROWS, other, Resampling(10, 0))["patients"] is None


def test_comparison_stages_the_other_runs_classes() -> None:
    calls = labeled_calls(ROWS, PATIENTS)
    other = NodeRun({key: {**row, "class": row["label"] or "macro"} for key, row in ROWS.items()}, [])
    found = comparison_of(calls, ROWS, other, Resampling(10, 0))
    assert found["nodes"]["kappa"] == 1
    assert found["nodes"]["kappa_difference"] < 0
    assert found["patients"]["kappa"] is None  # one patient, and the other run is right: one class
