"""Nodes and patients that have labels: how far a run agrees with them, and with another run. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import InputError
from ..scoring.report import Resampling
from .agreement import Calls, agreement_report, compare_calls
from .nodes import CLASSES
from .patients import STAGES, patient_stage
from .runs import NodeRun


def stage_patients(rows: dict[str, dict[str, Any]], column: str = "class") -> dict[str, str]:
    """Stages by patient.

    Args:
        rows: of the nodes, with their ``patient``; nodes of nobody are left out.
        column: where the class is.
    """
    classes: dict[str, list[str]] = {}
    for row in rows.values():
        if row["patient"] is not None:
            classes.setdefault(row["patient"], []).append(row[column])
    return {patient: patient_stage(found) for patient, found in classes.items()}


class Labeled(NamedTuple):
    """What is held against labels.

    Attributes:
        nodes: those that have a label; a group is a patient, or a slide of nobody.
        patients: those that have a label; each is a group.
        keys: of ``nodes``, in their order.
    """

    nodes: Calls
    patients: Calls
    keys: list[str]


def labeled_calls(rows: dict[str, dict[str, Any]], patient_rows: Sequence[dict[str, Any]]) -> Labeled:
    """What can be held against labels.

    Args:
        rows: of the nodes: ``slide``, ``class``, ``label``, ``patient``.
        patient_rows: of the patients: ``patient``, ``stage``, ``label``.

    Raises:
        InputError: if no node has a label.
    """
    keys = [key for key, row in rows.items() if row["label"] is not None]
    if not keys:
        raise InputError("against_labels: none of the nodes has a label; give the labels of these slides")
    of_nodes = Calls(
        [rows[key]["label"] for key in keys],
        [rows[key]["class"] for key in keys],
        [rows[key]["patient"] or rows[key]["slide"] for key in keys],
    )
    whole = [row for row in patient_rows if row["label"] is not None]
    names = [row["patient"] for row in whole]
    of_patients = Calls([row["label"] for row in whole], [row["stage"] for row in whole], names)
    return Labeled(of_nodes, of_patients, keys)


def agreement_of(calls: Labeled, resampling: Resampling) -> dict[str, Any]:
    """The object ``agreement`` of ``stage.json``; ``patients`` is None where no patient is whole."""
    return {
        "nodes": agreement_report(calls.nodes, CLASSES, *resampling),
        "patients": agreement_report(calls.patients, STAGES, *resampling) if calls.patients.truth else None,
    }


def comparison_of(
    calls: Labeled, rows: dict[str, dict[str, Any]], other: NodeRun, resampling: Resampling
) -> dict[str, Any]:
    """Both kappas of the other run, on the same nodes and patients."""
    others = [other.rows[key]["class"] for key in calls.keys]
    found: dict[str, Any] = {"nodes": compare_calls(calls.nodes, others, CLASSES, *resampling), "patients": None}
    if calls.patients.truth:
        stages = stage_patients({key: {**row, "class": other.rows[key]["class"]} for key, row in rows.items()})
        other_stages = [stages[patient] for patient in calls.patients.groups]
        found["patients"] = compare_calls(calls.patients, other_stages, STAGES, *resampling)
    return found
