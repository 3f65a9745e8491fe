"""Fit a classifier on maps with labels, and judge it by cross-validation over patients beside the rule."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ..errors import InputError, counted, few
from ..files import make_output_dir, write_json, write_table
from ..folders.names import name_key
from ..maps.files import read_map, read_map_infos
from ..scoring.report import Resampling
from .agreement import Calls, agreement_report, compare_calls
from .classifier import class_and_score, fit_classifier, save_classifier
from .features import NAMES, map_features
from .nodes import CLASSES, NodeSettings, find_node_lesions, node_class
from .patients import STAGES, patient_of, patient_stage
from .tables import read_labels, read_patients

logger = logging.getLogger(__name__)

NUM_FOLDS = 5
"""Of the cross-validation; fewer where there are fewer patients."""

_COLUMNS = ("slide", "patient", "label", "rule", "class", "score", "fold")


def fit_folder(
    maps: str | Path,
    labels: str | Path,
    output: str | Path,
    patients: str | Path | None = None,
    settings: NodeSettings | None = None,
    resampling: Resampling | None = None,
) -> dict[str, Any]:
    """Fit a classifier on maps.

    The output gets ``classifier.skops``, fitted on all maps that have a label; ``fit.json`` (what is returned); and
    ``nodes.csv``, what each node was called by a classifier that saw no node of its patient.

    Args:
        maps: folder of probability maps, see `maps.files.read_map_infos`.
        labels: a table of true classes, see `tables.read_labels`.
        output: folder for the results.
        patients: a table of slides and patients; the slides' names say it if None. A slide of nobody is a patient.
        settings: how maps are measured; the defaults if None.
        resampling: of patients, and the forest's seed.

    Returns:
        The report.

    Raises:
        InputError: if anything needed is missing, damaged or does not fit, or there is too little to fit on.
    """
    settings, resampling = settings or NodeSettings(), resampling or Resampling()
    settings.check()
    table = read_labels(labels)
    of_slide = read_patients(patients) if patients is not None else {}
    infos = [info for info in read_map_infos(maps) if name_key(info.name) in table.classes]
    truth = [table.classes[name_key(info.name)] for info in infos]
    owners = [of_slide.get(name_key(info.name)) or patient_of(info.name) or info.name for info in infos]
    if len(set(owners)) < 2 or len(set(truth)) < 2:
        raise InputError(
            f"fit: expected labeled maps of two classes and two patients at least, found {counted(len(infos), 'map')} "
            f"of "
            f"{counted(len(set(owners)), 'patient')}, labeled {few(sorted(set(truth))) or 'nothing'}; give more"
        )
    output = make_output_dir(output)
    features, rule = [], []
    for info in tqdm(infos, desc="stage --fit", unit="slide"):
        prob_map = read_map(info)
        lesions = find_node_lesions(prob_map, info, settings)
        features.append(map_features(lesions, prob_map, info))
        rule.append(node_class(float(lesions.extent_um[0]) if lesions.regions else None, settings))
    found = np.stack(features)
    classifier = fit_classifier(found, truth, settings, resampling.seed)
    folds = patient_folds(truth, owners, min(NUM_FOLDS, len(set(owners))), resampling.seed)
    probabilities = cross_validate(found, truth, folds, settings, resampling.seed)
    judged = [class_and_score(row) for row in probabilities]
    rows = [
        dict(zip(_COLUMNS, values, strict=True))
        for values in zip(
            *([info.slide for info in infos], owners, truth, rule, [name for name, _ in judged]),
            *([score for _, score in judged], [int(fold) + 1 for fold in folds]),
            strict=True,
        )
    ]
    importance = np.argsort(-classifier.forest.feature_importances_, kind="stable")
    report = {
        "num_nodes": len(infos),
        "num_patients": len(set(owners)),
        "num_folds": int(folds.max()) + 1,
        "classes": {name: truth.count(name) for name in CLASSES},
        "settings": dict(settings._asdict()),
        "features": {NAMES[index]: float(classifier.forest.feature_importances_[index]) for index in importance},
        **_judge(rows, resampling),
        "nodes": rows,
    }
    save_classifier(output / "classifier.skops", classifier)
    write_json(output / "fit.json", report)
    write_table(output / "nodes.csv", _COLUMNS, rows)
    return report


def patient_folds(truth: Sequence[str], owners: Sequence[str], num_folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Share patients out to folds so that each has about the same classes; nodes of a patient stay together.

    Patients of the gravest node go first, in a random order among equals, around the folds in turn.

    Args:
        truth: (N,) classes of the nodes.
        owners: (N,) patients of the nodes.
        num_folds: at most as many as there are patients.
        seed: of the order.

    Returns:
        (N,) int64, the fold of each node, from 0.
    """
    gravest: dict[str, int] = {}
    for name, owner in zip(truth, owners, strict=True):
        gravest[owner] = max(gravest.get(owner, 0), CLASSES.index(name))
    names = sorted(gravest)
    order = np.random.default_rng(seed).permutation(len(names))
    ranked = sorted((names[index] for index in order), key=lambda owner: -gravest[owner])
    of_owner = {owner: position % num_folds for position, owner in enumerate(ranked)}
    return np.array([of_owner[owner] for owner in owners], dtype=np.int64)


def cross_validate(
    features: npt.NDArray[np.float64],
    truth: Sequence[str],
    folds: npt.NDArray[np.int64],
    settings: NodeSettings,
    seed: int = 0,
) -> npt.NDArray[np.float64]:
    """Probabilities of each node by a classifier that was fitted on the other folds.

    Args:
        features: (N, F) of `features.map_features`.
        truth: (N,) classes.
        folds: (N,) of `patient_folds`.
        settings: how maps were measured.
        seed: of the forests.

    Returns:
        (N, len(CLASSES)) float64.
    """
    found = np.empty((len(features), len(CLASSES)))
    for fold in np.unique(folds):
        is_out = folds == fold
        others = [name for name, out in zip(truth, is_out, strict=True) if not out]
        found[is_out] = fit_classifier(features[~is_out], others, settings, seed).probabilities(features[is_out])
    return found


def _judge(rows: Sequence[dict[str, Any]], resampling: Resampling) -> dict[str, Any]:
    """Agreement of the classifier and of the rule with the labels, nodes and patients, and the difference."""
    owners = [row["patient"] for row in rows]
    names = sorted(set(owners))
    found: dict[str, Any] = {"cross_validated": {}, "rule": {}, "difference": {}}
    for what, classes in (("nodes", CLASSES), ("patients", STAGES)):
        columns = {column: [row[column] for row in rows] for column in ("label", "class", "rule")}
        if what == "patients":
            columns = {
                column: [
                    patient_stage(value for value, owner in zip(values, owners, strict=True) if owner == name)
                    for name in names
                ]
                for column, values in columns.items()
            }
        groups = owners if what == "nodes" else names
        calls = Calls(columns["label"], columns["class"], groups)
        found["cross_validated"][what] = agreement_report(calls, classes, *resampling)
        found["rule"][what] = agreement_report(calls._replace(called=columns["rule"]), classes, *resampling)
        found["difference"][what] = compare_calls(calls, columns["rule"], classes, *resampling)
    return found
