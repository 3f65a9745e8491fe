"""The picture of confusion matrices: what stands in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from scripts.staging.agreement import Calls, agreement_report
from scripts.staging.nodes import CLASSES
from scripts.staging.patients import STAGES
from scripts.staging.plots import confusion_figure


def _report(truth: list[str], called: list[str], classes: tuple[str, ...]) -> dict[str, Any]:
    return agreement_report(Calls(truth, called, [str(index) for index in range(len(truth))]), classes, 20, 0)


def _texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_confusion_figure_shows_counts_and_leaves_out_what_nobody_has() -> None:
    nodes = _report(["negative", "itc", "macro", "macro"], ["negative", "micro", "macro", "macro"], CLASSES)
    patients = _report(["pN0", "pN2"], ["pN0", "pN1"], STAGES)
    figure = confusion_figure({"nodes": nodes, "patients": patients})
    first, second = figure.axes
    assert np.array(_texts(first), dtype=int).reshape(4, 4).tolist() == nodes["confusion"]
    assert np.array(_texts(second), dtype=int).reshape(5, 5).sum() == 2  # without pN3a
    assert [label.get_text() for label in first.get_yticklabels()] == [
        "negative (1)",
        "itc (1)",
        "micro (0)",
        "macro (2)",
    ]
    assert first.get_title(loc="left").startswith("Nodes\nquadratic kappa 0.923")
    assert first.get_xlabel() == "Called"


def test_confusion_figure_without_patients_has_one_matrix() -> None:
    nodes = _report(["itc"], ["itc"], CLASSES)
    figure = confusion_figure({"nodes": nodes, "patients": None})
    assert len(figure.axes) == 1
    assert figure.axes[0].get_title(loc="left") == "Nodes\nquadratic kappa undefined"
