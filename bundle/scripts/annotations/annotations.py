"""Annotations: tumor and exclusion polygons of a slide, from NCRF JSON, ASAP XML or QuPath GeoJSON.

Files hold (x, y) in level-0 pixels; here they become (row, col), level-0 frame. What is done about defective polygons,
and why: docs/decisions/0001-polygons.md.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from ..errors import InputError
from ..folders.index import NameIndex
from ..geometry import COORDINATE_LIMIT
from .classes import (
    EXCLUSION_CLASSES,
    IGNORED_CLASSES,
    REGION_CLASSES,
    REJECTED_CLASSES,
    TISSUE_CLASSES,
    TUMOR_CLASSES,
    UNCLASSIFIED,
    UNDECIDED_CLASSES,
    base_class,
)
from .polygons import Polygon, Ring, in_any
from .readers import read_outlines

logger = logging.getLogger(__name__)

GEOJSON_ORIGINS = ("bounds", "slide")
"""Where the coordinates of GeoJSON files may begin."""

ANNOTATION_SUFFIXES = (".json", ".xml", ".geojson")


class Annotation(NamedTuple):
    """The polygons of a slide.

    Attributes:
        path: the file.
        tumor: a point in any of these is tumor,
        exclusion: unless it is in any of these.
        undecided: outlines of which nobody knows; elsewhere, what is no tumor is normal.
    """

    path: Path
    tumor: tuple[Polygon, ...]
    exclusion: tuple[Polygon, ...]
    undecided: tuple[Polygon, ...] = ()


class TissueOutlines(NamedTuple):
    """Outlines of a slide that say where to look.

    Attributes:
        tissue: if there are any, they are the foreground, and none is computed;
        region: if there are any, foreground is only inside of them;
        ignored: cut out of the foreground.
    """

    tissue: tuple[Polygon, ...]
    region: tuple[Polygon, ...]
    ignored: tuple[Polygon, ...]


class _Findings:
    """What was odd about a file's polygons: names by kind, one warning for each kind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, name: str) -> None:
        self.names[kind].append(name)

    def warn(self) -> None:
        for kind, names in self.names.items():
            what, outcome = kind.split(": ", 1)
            logger.warning("%s: %s: %d, first %r; %s", self.path, what, len(names), names[0], outcome)


_SELF_CROSSING = "self-crossing outlines: read by the even-odd rule; redraw in ASAP or QuPath where that matters"
_TOO_SHORT = "outlines of fewer than 3 points: they enclose nothing and are left out; redraw or delete them"
_UNCLOSED = "unclosed GeoJSON rings: closed from the last point to the first; export the file again if that is wrong"
_NO_AREA = "points, lines or detections: they are no areas and are left out; draw polygons instead"
_NO_CLASS = "outlines without a class: taken as tumor; set the class Tumor or Exclusion in ASAP or QuPath"
_OTHER_CLASS = "outlines of a class neither tumor nor exclusion: left out; rename the class if they matter"
_UNDECIDED = "outlines of class Unsure or Unreviewed: no tumor, and not trained on; judge them if they matter"
_TUMOR_KINDS = {
    "tumor": TUMOR_CLASSES | UNCLASSIFIED,
    "exclusion": EXCLUSION_CLASSES,
    "undecided": UNDECIDED_CLASSES,
}
_TISSUE_KINDS = {"tissue": TISSUE_CLASSES, "region": REGION_CLASSES, "ignored": IGNORED_CLASSES}
_KNOWN_CLASSES = REJECTED_CLASSES.union(*_TUMOR_KINDS.values(), *_TISSUE_KINDS.values())


def is_normal_name(name: str) -> bool:
    """Whether a slide's name says that it is normal, as in CAMELYON16's ``Normal_001``; ``abnormal`` does not."""
    return re.search(r"(?<![a-z])normal", name, re.IGNORECASE) is not None


def geojson_origin(choice: str, bounds_origin: tuple[int, int]) -> tuple[int, int]:
    """Where the coordinates of a slide's GeoJSON files begin.

    QuPath shows the part of a slide that was scanned, and counts from its corner (OpenSlide's ``bounds-x`` and
    ``bounds-y``); see github.com/qupath/qupath, issues 820 and 1278.

    Args:
        choice: ``bounds``, as QuPath writes them, or ``slide``, the corner of level 0.
        bounds_origin: (row, col) of the scanned part, level-0 frame.

    Returns:
        (row, col), level-0 frame.

    Raises:
        InputError: if the choice is another.
    """
    if choice not in GEOJSON_ORIGINS:
        raise InputError(f"geojson_origin: expected {' or '.join(GEOJSON_ORIGINS)}, found {choice!r}; mend it")
    return bounds_origin if choice == "bounds" else (0, 0)


def index_annotations(folder: str | Path) -> NameIndex:
    """Annotation files anywhere below a folder, to be looked up by slide name.

    Raises:
        InputError: if the folder is missing or holds no annotation.
    """
    index = NameIndex(folder, ANNOTATION_SUFFIXES, "annotation")
    if not len(index):
        raise InputError(f"{folder}: no annotations found; expected files ending in {' '.join(ANNOTATION_SUFFIXES)}")
    return index


def read_annotation(path: str | Path, origin: tuple[int, int] = (0, 0)) -> Annotation:
    """Read an annotation file and sort its outlines into tumor and exclusion.

    Classes are those of `classes`. An ASAP group that is not known counts as the nearest known one that it is part of.
    Outlines without a class are tumor, which warns; those of another class are left out, which warns too, but for
    rejected ones and the classes of `read_tissue`.

    Args:
        path: a file of one of the forms of `readers.read_outlines`.
        origin: (row, col) at which the coordinates of GeoJSON begin, see `geojson_origin`; others begin at (0, 0).

    Returns:
        The polygons, (row, col), level-0 frame.

    Raises:
        InputError: if the file is missing, damaged or of another form, a coordinate is no finite number, all of them
            are fractions, or all classes are unknown, so that a misspelt one does not make a slide normal.
    """
    path = Path(path)
    polygons, others = _sort_outlines(path, _TUMOR_KINDS, origin)
    if others and not polygons["tumor"]:
        raise InputError(
            f"{path}: no outline is tumor, and the classes {', '.join(sorted(others))} are neither tumor nor "
            "exclusion; rename them to Tumor or Exclusion, or delete the outlines if the slide is normal"
        )
    return Annotation(path, *(tuple(polygons[kind]) for kind in _TUMOR_KINDS))


def read_tissue(path: str | Path, origin: tuple[int, int] = (0, 0)) -> TissueOutlines:
    """Read the outlines of an annotation file that say where to look; those of tumor are for `read_annotation`.

    Args:
        path: as there.
        origin: as there.

    Returns:
        The polygons of `classes.TISSUE_CLASSES`, `classes.REGION_CLASSES` and `classes.IGNORED_CLASSES`, (row, col),
        level-0 frame.

    Raises:
        InputError: if the file is missing, damaged or of another form, or a coordinate is no finite number.
    """
    polygons, _ = _sort_outlines(Path(path), _TISSUE_KINDS, origin)
    return TissueOutlines(*(tuple(polygons[kind]) for kind in TissueOutlines._fields))


def contains(annotation: Annotation, points: npt.ArrayLike, ignore_exclusions: bool = False) -> npt.NDArray[np.bool_]:
    """Which points are tumor: in a tumor polygon and in no exclusion, in the sense of `polygons.in_any`.

    Args:
        annotation: the polygons.
        points: (N, 2), (row, col), level-0 frame.
        ignore_exclusions: count points in exclusions too, as NCRF does.

    Returns:
        (N,) bool.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    inside = in_any(annotation.tumor, points)
    if not ignore_exclusions and inside.any():
        inside[inside] = ~in_any(annotation.exclusion, points[inside])
    return inside


def _sort_outlines(
    path: Path, kinds: Mapping[str, frozenset[str]], origin: tuple[int, int]
) -> tuple[dict[str, list[Polygon]], set[str]]:
    """Read a file; its polygons by kind, and the classes that nothing here knows. Warns of what is odd."""
    outlines = read_outlines(path)
    shift = np.array(origin if outlines.is_geojson else (0, 0), dtype=np.float64)
    findings = _Findings(path)
    for name in outlines.others:
        findings.add(_NO_AREA, name)
    polygons: dict[str, list[Polygon]] = {kind: [] for kind in kinds}
    others: set[str] = set()
    for name, label, rings_xy, parents in outlines.areas:
        rings = [_ring(path, name, ring_xy) for ring_xy in rings_xy]
        bases = [base_class(text) for text in (label, *parents)]
        base = next((text for text in bases if text in _KNOWN_CLASSES), bases[0])
        target = next((polygons[kind] for kind, classes in kinds.items() if base in classes), None)
        if target is None:
            if base not in _KNOWN_CLASSES:
                others.add(str(label))
                findings.add(_OTHER_CLASS, f"{name} ({label})")
            continue
        if base in UNCLASSIFIED:
            findings.add(_NO_CLASS, name)
        if base in UNDECIDED_CLASSES:
            findings.add(_UNDECIDED, name)
        if outlines.is_geojson and any(len(ring) and (ring[0] != ring[-1]).any() for ring in rings):
            findings.add(_UNCLOSED, name)
        rings = [ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring for ring in rings]
        if not rings or any(len(ring) < 3 for ring in rings):
            findings.add(_TOO_SHORT, name)
            if not rings or len(rings[0]) < 3:
                continue
            rings = [ring for ring in rings if len(ring) >= 3]
        if not shapely.is_valid(shapely.Polygon(rings[0], rings[1:])):
            findings.add(_SELF_CROSSING, name)
        target.append(Polygon(name, tuple(ring + shift for ring in rings)))
    drawn = [ring for found in polygons.values() for polygon in found for ring in polygon.rings]
    if drawn and max(float(np.abs(ring - shift).max()) for ring in drawn) <= 1:
        raise InputError(
            f"{path}: all coordinates lie between -1 and 1, so they are fractions of the slide; write level-0 pixels"
        )
    findings.warn()
    return polygons, others


def _ring(path: Path, name: str, vertices_xy: Any) -> Ring:
    try:
        array = np.asarray(vertices_xy)
    except ValueError:
        array = np.asarray(None)
    if array.size == 0:
        return np.empty((0, 2))
    is_pairs = array.ndim == 2 and array.shape[1] >= 2 and array.dtype.kind in "iuf"
    if not is_pairs or not (np.abs(array[:, :2]) < COORDINATE_LIMIT).all():
        raise InputError(
            f"{path}: outline {name!r}: expected a list of finite (x, y) pixels, found "
            f"{str(vertices_xy)[:60]!r}; export or draw it again"
        )
    return _xy_to_rc(array[:, :2].astype(np.float64))


def _xy_to_rc(vertices_xy: npt.NDArray[np.float64]) -> Ring:
    return np.ascontiguousarray(vertices_xy[:, ::-1])
