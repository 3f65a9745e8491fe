"""What the console shows of a staging and of a fit."""

from __future__ import annotations

from typing import Any

from scripts.staging.summary import fit_summary, kappa_text, summary

AGREED: dict[str, Any] = {"kappa": 0.5, "kappa_interval": [0.25, 0.75], "accuracy": 0.75, "num": 4}
UNDEFINED = {"kappa": None, "kappa_interval": None, "accuracy": 1.0, "num": 2}
DIFFERENCE = {"kappa_difference": -0.125, "kappa_difference_interval": [-0.25, 0.0], "kappa_p_value": 0.04}
NO_DIFFERENCE = {"kappa_difference": None, "kappa_difference_interval": None, "kappa_p_value": None}


def test_summary_line_by_line() -> None:
    report = {
        "num_nodes": 3,
        "num_patients": 0,
        "classes": {"negative": 2, "itc": 0, "micro": 1},
        "stages": {"pN0": 0},
        "agreement": {"nodes": AGREED, "patients": UNDEFINED},
        "comparison": {"against": "other", "nodes": DIFFERENCE, "patients": NO_DIFFERENCE},
    }
    assert summary(report).splitlines() == [
        "3 nodes: 2 negative, 0 itc, 1 micro",
        "0 patients: none",
        "nodes against labels: quadratic kappa 0.500 [0.250, 0.750], 3 of 4 right",
        "patients against labels: quadratic kappa undefined, 2 of 2 right",
        "nodes, kappa against other: -0.1250 [-0.250, +0.000], p 0.04",
        "patients, kappa against other: undefined",
    ]
    assert len(summary(report | {"agreement": None, "comparison": None}).splitlines()) == 2


def test_fit_summary_line_by_line() -> None:
    both = {"nodes": AGREED, "patients": UNDEFINED}
    report = {
        **{"num_nodes": 4, "num_patients": 2, "num_folds": 2, "classes": {"itc": 4}},
        **{"cross_validated": both, "rule": both, "difference": {"nodes": DIFFERENCE, "patients": NO_DIFFERENCE}},
    }
    lines = fit_summary(report).splitlines()
    assert lines[0] == "4 nodes: 4 itc; 2 patients in 2 folds"
    assert lines[1] == "nodes, classifier: quadratic kappa 0.500 [0.250, 0.750], 3 of 4 right"
    assert lines[3] == "nodes, classifier against the rule: -0.1250 [-0.250, +0.000], p 0.04"
    assert lines[6] == "patients, classifier against the rule: undefined"


def test_kappa_text_without_interval() -> None:
    assert kappa_text(AGREED | {"kappa_interval": None}) == "quadratic kappa 0.500"
