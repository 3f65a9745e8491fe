"""Stages by CAMELYON17's rules: a drawn table, and the 100 patients of the challenge."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.folders.names import name_key
from scripts.staging.nodes import ITC, MACRO, MICRO, NEGATIVE
from scripts.staging.patients import STAGES, patient_of, patient_stage
from scripts.staging.tables import read_labels


@pytest.mark.parametrize(
    ("classes", "stage"),
    [
        ([NEGATIVE] * 5, "pN0"),
        ([NEGATIVE] * 4 + [ITC], "pN0(i+)"),
        ([ITC] * 5, "pN0(i+)"),
        ([MICRO], "pN1mi"),
        ([MICRO] * 5, "pN1mi"),
        ([MICRO] * 4 + [ITC], "pN1mi"),
        ([MACRO] + [NEGATIVE] * 4, "pN1"),
        ([MACRO, MICRO, MICRO, ITC, ITC], "pN1"),
        ([MACRO] * 3 + [ITC] * 2, "pN1"),
        ([MACRO, MICRO, MICRO, MICRO, NEGATIVE], "pN2"),
        ([MACRO] * 5, "pN2"),
        ([MACRO] + [MICRO] * 8, "pN2"),
        ([MACRO] + [MICRO] * 9, "pN3a"),
        ([], "pN0"),
    ],
)
def test_patient_stage_of_drawn_nodes(classes: list[str], stage: str) -> None:
    assert patient_stage(classes) == stage == patient_stage(reversed(classes))


def test_a_graver_node_never_lowers_the_stage() -> None:
    order = (NEGATIVE, ITC, MICRO, MACRO)
    for first in range(4):
        for number in range(6):
            classes = [order[(first + step) % 4] for step in range(number)]
            stages = [STAGES.index(patient_stage([*classes, name])) for name in order]
            assert stages == sorted(stages)


@pytest.mark.parametrize(
    ("slide", "patient"),
    [
        ("patient_000_node_1", "patient_000"),
        ("Patient_099_NODE_12", "Patient_099"),
        ("a_node_b_node_3", "a_node_b"),
        ("tumor_001", None),
        ("patient_000_node_", None),
        ("_node_1", None),
    ],
)
def test_patient_of_names(slide: str, patient: str | None) -> None:
    assert patient_of(slide) == patient


def test_all_hundred_stages_of_camelyon17_come_out(shared_data: Path) -> None:
    table = read_labels(shared_data / "camelyon17" / "stage_labels.csv")
    classes: dict[str, list[str]] = {}
    for slide, name in table.classes.items():
        classes.setdefault(name_key(patient_of(slide) or ""), []).append(name)
    assert len(table.classes) == 500
    assert {patient: patient_stage(found) for patient, found in classes.items()} == table.stages
    assert len(table.stages) == 100
