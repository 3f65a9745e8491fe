"""Kappa is scikit-learn's; the bootstrap draws patients and is the same for the same seed."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, confusion_matrix

from scripts.staging import agreement
from scripts.staging.agreement import Calls, agreement_report, compare_calls, quadratic_kappa

CLASSES = ("negative", "itc", "micro", "macro")


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    size = draw(st.integers(2, 6))
    pairs = draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), min_size=1, max_size=60))
    truth, called = zip(*pairs, strict=True)
    return size, list(truth), list(called)


@given(_pairs())
def test_quadratic_kappa_is_that_of_scikit_learn(pairs: tuple[int, list[int], list[int]]) -> None:
    size, truth, called = pairs
    confusion = agreement.confusion_matrix(truth, called, size)
    np.testing.assert_array_equal(confusion, confusion_matrix(truth, called, labels=range(size)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns where kappa is undefined, and some versions of one class
        expected = cohen_kappa_score(truth, called, labels=range(size), weights="quadratic")
    np.testing.assert_allclose(quadratic_kappa(confusion), expected, atol=1e-12)


def _calls(num_patients: int = 17, seed: int = 3) -> tuple[Calls, list[str]]:
    """Nodes of patients, and what another run called them."""
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"patient_{index:03d}" for index in range(num_patients)], rng.integers(1, 6, num_patients))
    truth = rng.integers(0, 4, len(groups))
    called, other = (np.clip(truth + rng.integers(-1, 2, len(groups)), 0, 3) for _ in range(2))
    names = [[CLASSES[index] for index in indices] for indices in (truth, called, other)]
    return Calls(names[0], names[1], groups.tolist()), names[2]


def test_agreement_report_resamples_patients_with_all_their_nodes() -> None:
    calls, _ = _calls()
    report = agreement_report(calls, CLASSES, 200, seed=5)
    patients = sorted(set(calls.groups))
    rng = np.random.default_rng(5)
    kappas = []
    for _ in range(200):
        drawn = [patients[index] for index in rng.integers(len(patients), size=len(patients))]
        rows = [index for patient in drawn for index, group in enumerate(calls.groups) if group == patient]
        truth, called = ([names[index] for index in rows] for names in (calls.truth, calls.called))
        kappas.append(cohen_kappa_score(truth, called, labels=CLASSES, weights="quadratic"))
    assert report["kappa_interval"] == pytest.approx(np.percentile(kappas, [2.5, 97.5]).tolist())
    assert report["kappa_interval"][0] < report["kappa"] < report["kappa_interval"][1]
    assert report["num"] == len(calls.truth) == np.sum(report["confusion"])


def test_the_bootstrap_is_the_same_for_the_same_seed_alone() -> None:
    calls, _ = _calls()
    first, again, other = (agreement_report(calls, CLASSES, 100, seed) for seed in (1, 1, 2))
    assert first == again
    assert first["kappa_interval"] != other["kappa_interval"]
    assert first["kappa"] == other["kappa"]
    assert agreement_report(calls, CLASSES, 0, 0)["kappa_interval"] is None


def test_one_class_defines_no_kappa() -> None:
    calls = Calls(["itc"] * 3, ["itc"] * 3, ["a", "b", "c"])
    report = agreement_report(calls, CLASSES, 10, 0)
    assert (report["kappa"], report["kappa_interval"], report["accuracy"]) == (None, None, 1.0)
    assert report["bootstrap"]["num_of_one_class"] == 10


def test_compare_calls_of_a_run_with_itself_and_with_another() -> None:
    calls, other = _calls()
    same = compare_calls(calls, calls.called, CLASSES, 100, 0)
    assert (same["kappa_difference"], same["kappa_difference_interval"], same["kappa_p_value"]) == (
        0.0,
        [0.0, 0.0],
        1.0,
    )
    found = compare_calls(calls, other, CLASSES, 100, 0)
    turned = compare_calls(calls._replace(called=other), calls.called, CLASSES, 100, 0)
    assert found["kappa_difference"] == pytest.approx(-turned["kappa_difference"])
    assert found["kappa"] == pytest.approx(cohen_kappa_score(calls.truth, other, labels=CLASSES, weights="quadratic"))
    assert found["kappa_difference"] == pytest.approx(agreement_report(calls, CLASSES, 0, 0)["kappa"] - found["kappa"])


def test_a_class_that_nobody_has_does_not_change_kappa() -> None:
    calls, _ = _calls()
    assert agreement_report(calls, (*CLASSES, "more"), 50, 0)["kappa_interval"] == pytest.approx(
        agreement_report(calls, CLASSES, 50, 0)["kappa_interval"]
    )
