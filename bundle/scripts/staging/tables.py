"""Tables of node classes, stages and patients: CSV files in the challenge's own form or with columns of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..cohort.reference import read_references
from ..errors import InputError
from ..files import read_rows, write_table
from ..folders.names import name_key, slide_name
from ..folders.tables import find_columns
from .nodes import CLASSES, ITC, MACRO, MICRO, NEGATIVE
from .patients import STAGES

_SUBMISSION = ("patient", "stage")
"""The header that the challenge gives its table; rows of nodes stand below it, too."""


class LabelTable(NamedTuple):
    """Classes of nodes, and stages of patients where the table has them.

    Attributes:
        path: the file.
        slides: the slides' file names as the table spells them, by `folders.names.name_key` of the slide's name.
        classes: of `nodes.CLASSES`, by the same key.
        stages: of `patients.STAGES`, by `folders.names.name_key` of the patient.
    """

    path: Path
    slides: dict[str, str]
    classes: dict[str, str]
    stages: dict[str, str]


def read_labels(path: str | Path) -> LabelTable:
    """Read node classes, and stages of patients.

    Args:
        path: the challenge's form, a header ``patient,stage`` and rows ``patient_000_node_0.tif,negative`` and
            ``patient_000.zip,pN0``; or a header with the columns ``slide`` and ``class``, as ``nodes.csv`` of ``stage``
            has; or rows without a header. Case makes no difference.

    Raises:
        InputError: if the file cannot be read, a row has another form, or a slide or patient comes twice; names the
            line.
    """
    path = Path(path)
    rows = read_rows(path)
    columns = find_columns(path, rows, ("slide", "class"), _SUBMISSION)
    first = 1 if columns is not None else 0
    of_slide, of_class = columns or (0, 1)
    classes = {name.lower(): name for name in CLASSES}
    stages = {name.lower(): name for name in STAGES}
    table = LabelTable(path, {}, {}, {})
    for number, row in rows[first:]:
        if max(of_slide, of_class) >= len(row):
            raise InputError(f"{path}, line {number}: expected slide,class, found {','.join(row)[:60]!r}; mend it")
        name, value = row[of_slide].strip(), row[of_class].strip()
        is_patient = name.lower().endswith(".zip")
        key = name_key(slide_name(name))
        found, known = (table.stages, stages) if is_patient else (table.classes, classes)
        if value.lower() not in known or not name:
            what = "a patient's stage" if is_patient else "a node's class"
            raise InputError(
                f"{path}, line {number}: expected {what} of {', '.join(known.values())}, found {name[:60]!r}, "
                f"{value[:60]!r}; mend it"
            )
        if key in found:
            raise InputError(f"{path}, line {number}: {name} comes twice; keep one")
        found[key] = known[value.lower()]
        if not is_patient:
            table.slides[key] = name
    if not table.classes:
        raise InputError(f"{path}: no nodes found; expected rows such as patient_000_node_0.tif,negative")
    return table


def read_reference_labels(paths: str | Path | Sequence[str | Path]) -> LabelTable:
    """Node classes of a challenge's reference tables, by their column of metastases.

    Args:
        paths: see `cohort.reference.read_references`.

    Raises:
        InputError: if a table is damaged, or says of no slide how large its metastasis is.
    """
    given = [paths] if isinstance(paths, (str, Path)) else list(paths)
    classes = {"none": NEGATIVE, "itc": ITC, "micro": MICRO, "macro": MACRO}
    table = LabelTable(Path(given[0]), {}, {}, {})
    for key, row in read_references(given).items():
        size = "none" if row.is_tumor is False else row.metastasis
        if size is not None:
            table.slides[key], table.classes[key] = key, classes[size]
    if not table.classes:
        raise InputError(
            f"{table.path}: expected a column of metastases (Macro, Micro, ITC or None), found none; add it"
        )
    return table


def read_patients(path: str | Path) -> dict[str, str]:
    """Read which patient a slide belongs to.

    Args:
        path: a CSV file with the columns ``slide`` and ``patient``, or rows of both without a header.

    Returns:
        Patients by `folders.names.name_key` of the slide's name.

    Raises:
        InputError: if the file cannot be read, a row has another form, or a slide comes twice.
    """
    path = Path(path)
    rows = read_rows(path)
    columns = find_columns(path, rows, ("slide", "patient"))
    of_slide, of_patient = columns or (0, 1)
    found: dict[str, str] = {}
    for number, row in rows[1 if columns is not None else 0 :]:
        slide, patient = ([*row, ""][min(index, len(row))].strip() for index in (of_slide, of_patient))
        if not (slide and patient):
            raise InputError(f"{path}, line {number}: expected slide,patient, found {','.join(row)[:60]!r}; mend it")
        if found.setdefault(name_key(slide_name(slide)), patient) != patient:
            raise InputError(f"{path}, line {number}: {slide} belongs to two patients; keep one")
    return found


def write_submission(path: Path, nodes: Sequence[tuple[str, str, str]], stages: Mapping[str, str]) -> None:
    """Write what the challenge takes: below each patient's stage the classes of the nodes.

    Args:
        path: the CSV file.
        nodes: (patient, slide's file name, class), in any order.
        stages: of the patients.
    """
    rows = []
    for patient in sorted(stages):
        rows.append((f"{patient}.zip", stages[patient]))
        rows += sorted((slide, name) for owner, slide, name in nodes if owner == patient)
    write_table(path, _SUBMISSION, [dict(zip(_SUBMISSION, row, strict=True)) for row in rows])
