"""The ``stage`` step: classes of nodes and stages of patients, from maps or from a table, held against labels."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..cohort.pairing import missing_warnings, scale_warnings, tissue_warnings
from ..errors import InputError, counted, few, some_of
from ..files import make_output_dir, write_json, write_table
from ..folders.names import name_key, slide_name
from ..maps.files import MapInfo
from ..scoring.report import Resampling
from .labeled import agreement_of, comparison_of, labeled_calls, stage_patients
from .nodes import CLASSES, NodeSettings
from .patients import STAGES, patient_of, patient_stage
from .runs import Judge, NodeRun, read_run, run_of_maps, run_of_table
from .tables import LabelTable, read_labels, read_patients, read_reference_labels, write_submission

logger = logging.getLogger(__name__)

_NODE_COLUMNS = (
    *("slide", "patient", "class", "label", "score", "size_um", "area_um2", "num_pixels", "num_lesions"),
    *("mean_probability", "max_probability", "x", "y"),
)
_PATIENT_COLUMNS = ("patient", "stage", "label", "num_nodes", *(f"num_{name}" for name in CLASSES))


class StageSettings(NamedTuple):
    """How nodes and patients are staged.

    Attributes:
        nodes: how maps are measured.
        judge: a classifier in place of the rule.
        classifier: its file, for the report.
        resampling: of patients.
    """

    nodes: NodeSettings = NodeSettings()
    judge: Judge | None = None
    classifier: str | None = None
    resampling: Resampling = Resampling()

    def report(self, source: str) -> dict[str, Any]:
        """The object ``settings`` of ``stage.json``; what has no part in reading a table is null there."""
        is_maps = source == "maps"
        return {
            "source": source,
            "classifier": self.classifier,
            "threshold": self.nodes.threshold if is_maps else None,
            "min_area_um2": self.nodes.min_area_um2 if is_maps else None,
            "micro_um": self.nodes.micro_um if is_maps and self.judge is None else None,
            "macro_um": self.nodes.macro_um if is_maps and self.judge is None else None,
        }


def stage_folder(
    maps: str | Path | None,
    nodes: str | Path | None,
    output: str | Path,
    patients: str | Path | None = None,
    against_labels: str | Path | None = None,
    against: str | Path | None = None,
    settings: StageSettings | None = None,
    reference: str | Path | Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Say which node holds what and which stage a patient has, and how far both agree with labels.

    The output gets ``stage.json`` (what is returned), ``nodes.csv``, ``patients.csv``, ``submission.csv`` in the
    challenge's form, and with labels ``confusion.png``.

    Args:
        maps: folder of probability maps, see `maps.files.read_map_infos`, or None.
        nodes: a table of node classes instead, see `tables.read_labels`.
        output: folder for the results.
        patients: a table of slides and patients, see `tables.read_patients`; the slides' names say it if None.
        against_labels: a table of true classes, and of true stages.
        against: another run on the same nodes, see `runs.read_run`; needs labels.
        settings: how; the defaults if None.
        reference: a challenge's reference tables in place of labels, see `tables.read_reference_labels`.

    Returns:
        The report.

    Raises:
        InputError: if anything needed is missing, damaged or does not fit.
    """
    settings = settings or StageSettings()
    settings.nodes.check()
    if (maps is None) == (nodes is None):
        raise InputError("stage reads --maps or --nodes; give one of them")
    if nodes is not None and settings.judge is not None:
        raise InputError("classifier: expected maps, whose features it takes, found --nodes; give --maps")
    if nodes is not None and Path(nodes).is_dir():
        raise InputError(f"nodes {nodes}: expected a table, found a folder; give its nodes.csv, or --maps for maps")
    if against_labels is not None and reference:
        raise InputError("reference: expected it in place of --against_labels, found both; leave one of them out")
    if against is not None and against_labels is None and not reference:
        raise InputError("against: two runs are compared by their kappa, which needs labels; give --against_labels")
    if against is not None and Path(output).resolve() == Path(against).resolve():
        raise InputError(f"against {against}: expected another folder than the output, which replaces it; mend one")
    of_slide = read_patients(patients) if patients is not None else None
    labels = read_labels(against_labels) if against_labels is not None else None
    labels = read_reference_labels(reference) if reference else labels
    output = make_output_dir(output)
    run = run_of_table(nodes) if nodes is not None else run_of_maps(maps or "", settings.nodes, settings.judge)
    owners = _find_owners([row["slide"] for row in run.rows.values()], of_slide)
    if of_slide is not None and (missing := sorted(row["slide"] for key, row in run.rows.items() if key not in owners)):
        raise InputError(
            f"patients: {some_of(len(missing), len(run.rows), 'slide', 'is', 'are')} in no row: {few(missing)}; "
            "add them"
        )
    other = None if against is None else _other_run(against, run, settings)
    rows = {key: {**row, "patient": owners.get(key), "label": _label(labels, key)} for key, row in run.rows.items()}
    stages = stage_patients(rows)
    beyond = {} if labels is None else {key: labels.slides[key] for key in labels.classes.keys() - rows.keys()}
    in_part = set(_find_owners(beyond.values(), of_slide).values())
    patient_rows = [_patient_row(patient, rows, stages, labels, patient in in_part) for patient in sorted(stages)]
    agreement, comparison = None, None
    if labels is not None:
        calls = labeled_calls(rows, patient_rows)
        agreement = agreement_of(calls, settings.resampling)
        if other is not None:
            comparison = {"against": str(against), **comparison_of(calls, rows, other, settings.resampling)}
    warnings = _warnings(maps, run.infos, rows, patient_rows, labels, sorted(beyond.values()), in_part)
    for warning in warnings:
        logger.warning("%s", warning)
    report: dict[str, Any] = {
        "num_nodes": len(rows),
        "num_patients": len(stages),
        "classes": {name: sum(row["class"] == name for row in rows.values()) for name in CLASSES},
        "stages": {name: sum(stage == name for stage in stages.values()) for name in STAGES},
        "agreement": agreement,
        "comparison": comparison,
        "settings": settings.report("maps" if maps is not None else "nodes"),
        "warnings": warnings,
        "patients": patient_rows,
        "nodes": [{column: row.get(column) for column in _NODE_COLUMNS} for row in rows.values()],
    }
    write_json(output / "stage.json", report)
    write_table(output / "nodes.csv", _NODE_COLUMNS, report["nodes"])
    write_table(output / "patients.csv", _PATIENT_COLUMNS, patient_rows)
    owned = [(row["patient"], row["slide"], row["class"]) for row in rows.values() if row["patient"] is not None]
    write_submission(output / "submission.csv", owned, stages)
    if agreement is not None:
        from ..scoring.figures import write_figure
        from .plots import confusion_figure

        write_figure(output / "confusion.png", confusion_figure(agreement))
    return report


def _find_owners(slides: Iterable[str], of_slide: dict[str, str] | None) -> dict[str, str]:
    """The patients of slides by `folders.names.name_key`, of the table or the names; slides of nobody are left out."""
    names = [slide_name(slide) for slide in slides]
    found = {name_key(name): patient_of(name) if of_slide is None else of_slide.get(name_key(name)) for name in names}
    return {key: patient for key, patient in found.items() if patient is not None}


def _other_run(against: str | Path, run: NodeRun, settings: StageSettings) -> NodeRun:
    other = read_run(against, settings.nodes, settings.judge)
    if missing := sorted(run.rows[key]["slide"] for key in run.rows.keys() - other.rows.keys()):
        raise InputError(
            f"{against}: expected a run on the same nodes, found none of {len(missing)} of {len(run.rows)}: "
            f"{few(missing)}; run it on these too"
        )
    return other


def _label(labels: LabelTable | None, key: str) -> str | None:
    return None if labels is None else labels.classes.get(key)


def _patient_row(
    patient: str, rows: dict[str, dict[str, Any]], stages: dict[str, str], labels: LabelTable | None, is_part: bool
) -> dict[str, Any]:
    """A row of ``patients.csv``; a patient of whom there is a part of the nodes has no label.

    The label is the stage that the table states, else what its classes give.
    """
    mine = [row for row in rows.values() if row["patient"] == patient]
    label = None
    if labels is not None and not is_part and all(row["label"] is not None for row in mine):
        label = labels.stages.get(name_key(patient)) or patient_stage(row["label"] for row in mine)
    counts = {f"num_{name}": sum(row["class"] == name for row in mine) for name in CLASSES}
    return {"patient": patient, "stage": stages[patient], "label": label, "num_nodes": len(mine), **counts}


def _warnings(
    maps: str | Path | None,
    infos: Sequence[MapInfo],
    rows: dict[str, dict[str, Any]],
    patient_rows: Sequence[dict[str, Any]],
    labels: LabelTable | None,
    beyond: Sequence[str],
    in_part: set[str],
) -> list[str]:
    """What is to be warned of."""
    found = []
    if maps is not None:
        found += [*missing_warnings(Path(maps), infos, []), *scale_warnings(infos), *tissue_warnings(infos)]
    if nobody := [row["slide"] for row in rows.values() if row["patient"] is None]:
        found.append(
            f"{counted(len(nobody), 'slide is', 'slides are')} of no patient by name and counted in no stage: "
            f"{few(nobody)}; --patients says whose each is"
        )
    if labels is not None and (unlabeled := [row["slide"] for row in rows.values() if row["label"] is None]):
        found.append(f"{counted(len(unlabeled), 'node has', 'nodes have')} no label, not scored: {few(unlabeled)}")
    by_nodes = stage_patients({key: row for key, row in rows.items() if row["label"] is not None}, "label")
    if odd := [row["patient"] for row in patient_rows if row["label"] not in (None, by_nodes.get(row["patient"]))]:
        found.append(
            f"{counted(len(odd), 'patient has', 'patients have')} another label than their nodes' labels give: "
            f"{few(odd)}; theirs counts"
        )
    here = {name_key(row["patient"]) for row in patient_rows}
    left = {name_key(patient) for patient in in_part}
    if labels is not None and (absent := sorted(labels.stages.keys() - here - left)):
        one, several = "labeled patient has no node here and is", "labeled patients have no node here and are"
        found.append(f"{counted(len(absent), one, several)} not scored: {few(absent)}")
    if beyond:
        nodes = counted(len(beyond), "labeled node is", "labeled nodes are")
        found.append(f"{nodes} not here, and the stage of a patient who has one is not scored: {few(beyond)}")
    return found
