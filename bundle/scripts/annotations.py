"""Annotations: tumor and exclusion polygons of a slide, from NCRF JSON, ASAP XML or QuPath GeoJSON.

Files hold (x, y) in level-0 pixels; everything here is (row, col), level-0 frame. A point lies in a polygon by the
even-odd rule over all its rings; why, and what else is done about defective polygons: docs/decisions/0001-polygons.md.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

import numpy as np
import numpy.typing as npt
import shapely
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse as parse_xml

from .errors import InputError
from .files import NameIndex, read_json

logger = logging.getLogger(__name__)

ANNOTATION_SUFFIXES = (".json", ".xml", ".geojson")

TUMOR_CLASSES = frozenset({"_0", "_1", "tumor", "tumour", "metastasis", "metastases", "carcinoma", "cancer"})
"""Lower-case classes that are tumor; ``_0`` and ``_1`` are CAMELYON16's groups beside ``Tumor``."""

EXCLUSION_CLASSES = frozenset({"_2", "exclusion", "exclude", "normal", "ignore"})
"""Lower-case classes that are cut out of the tumor; a ``*`` at the end (QuPath's ``Ignore*``) does not matter."""

COORDINATE_LIMIT = 1e9
"""Coordinates are below this, far beyond any slide; NaN and infinity are not."""

_UNCLASSIFIED = frozenset({"", "none", "unclassified"})
_AREA_TYPES = frozenset({"polygon", "spline", "rectangle"})
_OTHER_TYPES = frozenset({"dot", "pointset", "measurement", "polyline"})
_OTHER_GEOMETRIES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString"})
_POINTS_AT_ONCE = 1 << 16

FloatArray = npt.NDArray[np.float64]


class Polygon(NamedTuple):
    """An outline, with its holes if it has any.

    Attributes:
        name: as in the file, for messages.
        rings: one or more (N, 2) float64, (row, col), level-0 frame, N >= 3; the last vertex joins the first.
    """

    name: str
    rings: tuple[FloatArray, ...]

    def bounds(self) -> tuple[float, float, float, float]:
        """(top, left, bottom, right), level-0 frame."""
        vertices = np.concatenate(self.rings)
        (top, left), (bottom, right) = vertices.min(axis=0), vertices.max(axis=0)
        return float(top), float(left), float(bottom), float(right)


class Annotation(NamedTuple):
    """The polygons of a slide.

    Attributes:
        path: the file.
        tumor: a point in any of these is tumor,
        exclusion: unless it is in any of these.
    """

    path: Path
    tumor: tuple[Polygon, ...]
    exclusion: tuple[Polygon, ...]


class _Outline(NamedTuple):
    name: str
    label: str | None
    rings_xy: Sequence[Any]


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


def is_normal_name(name: str) -> bool:
    """Whether a slide's name says that it is normal, as in CAMELYON16's ``Normal_001``; ``abnormal`` does not."""
    return re.search(r"(?<![a-z])normal", name, re.IGNORECASE) is not None


def index_annotations(folder: str | Path) -> NameIndex:
    """Annotation files anywhere below a folder, to be looked up by slide name.

    Raises:
        InputError: if the folder is missing or holds no annotation.
    """
    index = NameIndex(folder, ANNOTATION_SUFFIXES, "annotation")
    if not len(index):
        raise InputError(f"{folder}: no annotations found; expected files ending in {' '.join(ANNOTATION_SUFFIXES)}")
    return index


def read_annotation(path: str | Path) -> Annotation:
    """Read an annotation file; its content tells NCRF JSON from GeoJSON.

    - NCRF JSON (github.com/baidu-research/NCRF): ``positive`` is tumor, ``negative`` is exclusion.
    - ASAP XML as in CAMELYON16: the group is the class.
    - QuPath GeoJSON: a FeatureCollection, a list of Features or one Feature; ``classification.name`` is the class,
      of a derived class (``Tumor: Positive``) the first part.

    Classes are `TUMOR_CLASSES` and `EXCLUSION_CLASSES`, whatever their case. Outlines without a class are tumor,
    which warns; those of another class are left out, which warns too.

    Args:
        path: a ``.json``, ``.geojson`` or ``.xml`` file.

    Returns:
        The polygons, (row, col), level-0 frame.

    Raises:
        InputError: if the file is missing, damaged or of another form, a coordinate is no finite number, or all
            classes are unknown, so that a misspelt one does not make a slide normal.
    """
    path = Path(path)
    findings = _Findings(path)
    is_geojson = False
    if path.suffix.lower() == ".xml":
        outlines = list(_asap_outlines(path, findings))
    else:
        content = read_json(path)
        if isinstance(content, dict) and ("positive" in content or "negative" in content):
            outlines = list(_ncrf_outlines(path, content))
        else:
            is_geojson = True
            outlines = list(_geojson_outlines(path, content, findings))
    annotation = _sort_outlines(path, outlines, findings, must_close=is_geojson)
    findings.warn()
    return annotation


def contains(annotation: Annotation, points: npt.ArrayLike, ignore_exclusions: bool = False) -> npt.NDArray[np.bool_]:
    """Which points are tumor: in a tumor polygon and in no exclusion.

    On the boundary: a polygon holds its upper and left sides and not its lower and right ones, so that of two
    polygons with a common side exactly one holds it.

    Args:
        annotation: the polygons.
        points: (N, 2), (row, col), level-0 frame.
        ignore_exclusions: count points in exclusions too, as NCRF does.

    Returns:
        (N,) bool.
    """
    points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    inside = _in_any(annotation.tumor, points)
    if not ignore_exclusions and inside.any():
        inside[inside] = ~_in_any(annotation.exclusion, points[inside])
    return inside


def crossings(polygon: Polygon, rows: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Where horizontal lines cross the sides of a polygon.

    A point of the line is inside if the number of crossings to its right is odd (even-odd rule, as in W. R.
    Franklin's pnpoly, which NCRF uses).

    Args:
        polygon: the polygon.
        rows: (N,) rows of the lines, level-0 frame, ascending.

    Returns:
        (K,) int64 index into ``rows`` and (K,) float64 column of each crossing.
    """
    start = np.concatenate(polygon.rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in polygon.rings])
    is_down = start[:, :1] <= end[:, :1]
    upper, lower = np.where(is_down, start, end), np.where(is_down, end, start)
    first = np.searchsorted(rows, upper[:, 0])
    count = np.searchsorted(rows, lower[:, 0]) - first
    side = np.repeat(np.arange(len(count)), count)
    index = np.arange(len(side)) - np.repeat(np.cumsum(count) - count - first, count)
    (row, col), (height, width) = upper[side].T, (lower - upper)[side].T
    return index, col + (rows[index] - row) * width / height


def _in_any(polygons: Sequence[Polygon], points: FloatArray) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(points), dtype=bool)
    order = np.argsort(points[:, 0])
    rows, cols = points[order].T
    for polygon in polygons:
        top, left, bottom, right = polygon.bounds()
        first, last = np.searchsorted(rows, (top, bottom))
        near = first + np.flatnonzero((cols[first:last] >= left) & (cols[first:last] <= right))
        for begin in range(0, len(near), _POINTS_AT_ONCE):
            chunk = near[begin : begin + _POINTS_AT_ONCE]
            index, crossing = crossings(polygon, rows[chunk])
            num_right = np.bincount(index[cols[chunk][index] < crossing], minlength=len(chunk))
            inside[order[chunk]] |= num_right % 2 == 1
    return inside


def _sort_outlines(path: Path, outlines: Sequence[_Outline], findings: _Findings, must_close: bool) -> Annotation:
    tumor: list[Polygon] = []
    exclusion: list[Polygon] = []
    others: set[str] = set()
    for name, label, rings_xy in outlines:
        rings = [_ring(path, name, ring_xy) for ring_xy in rings_xy]
        base = (label or "").split(":")[0].strip().rstrip("*").lower()
        if base in EXCLUSION_CLASSES:
            target = exclusion
        elif base in TUMOR_CLASSES or base in _UNCLASSIFIED:
            target = tumor
        else:
            others.add(str(label))
            findings.add(_OTHER_CLASS, f"{name} ({label})")
            continue
        if base in _UNCLASSIFIED:
            findings.add(_NO_CLASS, name)
        if must_close and any(len(ring) and (ring[0] != ring[-1]).any() for ring in rings):
            findings.add(_UNCLOSED, name)
        rings = [ring[:-1] if len(ring) > 1 and (ring[0] == ring[-1]).all() else ring for ring in rings]
        if not rings or any(len(ring) < 3 for ring in rings):
            findings.add(_TOO_SHORT, name)
            if not rings or len(rings[0]) < 3:
                continue
            rings = [ring for ring in rings if len(ring) >= 3]
        if not shapely.is_valid(shapely.Polygon(rings[0], rings[1:])):
            findings.add(_SELF_CROSSING, name)
        target.append(Polygon(name, tuple(rings)))
    if others and not tumor:
        raise InputError(
            f"{path}: no outline is tumor, and the classes {', '.join(sorted(others))} are neither tumor nor "
            "exclusion; rename them to Tumor or Exclusion, or delete the outlines if the slide is normal"
        )
    return Annotation(path, tuple(tumor), tuple(exclusion))


def _ring(path: Path, name: str, vertices_xy: Any) -> FloatArray:
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


def _xy_to_rc(vertices_xy: FloatArray) -> FloatArray:
    return np.ascontiguousarray(vertices_xy[:, ::-1])


def _ncrf_outlines(path: Path, content: Mapping[str, Any]) -> Iterator[_Outline]:
    for key, label in (("positive", "tumor"), ("negative", "exclusion")):
        polygons = content.get(key, [])
        if not isinstance(polygons, list):
            raise InputError(f"{path}: {key!r} must be a list of polygons, but is {polygons!r:.60}; export it again")
        for number, polygon in enumerate(polygons, start=1):
            if not isinstance(polygon, dict) or "vertices" not in polygon:
                name = polygon.get("name") if isinstance(polygon, dict) else None
                raise InputError(
                    f"{path}: polygon {name or number!r} of {key!r} must have the keys 'name' and 'vertices', "
                    f"found {polygon!r:.60}; export the file again"
                )
            yield _Outline(str(polygon.get("name", number)), label, [polygon["vertices"]])


def _asap_outlines(path: Path, findings: _Findings) -> Iterator[_Outline]:
    try:
        root = parse_xml(path, forbid_dtd=True).getroot()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise InputError(f"{path}: not a readable XML file ({error}); save it again with ASAP") from error
    if root.tag != "ASAP_Annotations":
        raise InputError(f"{path}: expected an ASAP file (<ASAP_Annotations>), found <{root.tag}>; save it with ASAP")
    for number, element in enumerate(root.iter("Annotation"), start=1):
        name = element.get("Name") or f"annotation {number}"
        kind = element.get("Type", "Polygon")
        if kind.lower() in _OTHER_TYPES:
            findings.add(_NO_AREA, name)
            continue
        if kind.lower() not in _AREA_TYPES:
            raise InputError(f"{path}: outline {name!r}: unknown Type {kind!r}; draw it as a polygon")
        try:
            coordinates = [
                (float(point.attrib["Order"]), float(point.attrib["X"]), float(point.attrib["Y"]))
                for point in element.iter("Coordinate")
            ]
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}: outline {name!r}: each Coordinate must have numbers as Order, X and Y ({error}); "
                "save the file again with ASAP"
            ) from error
        coordinates.sort(key=lambda coordinate: coordinate[0])
        yield _Outline(name, element.get("PartOfGroup"), [[(x, y) for _, x, y in coordinates]])


def _geojson_outlines(path: Path, content: Any, findings: _Findings) -> Iterator[_Outline]:
    features = content
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        features = content.get("features")
    elif isinstance(content, dict) and content.get("type") == "Feature":
        features = [content]
    if not isinstance(features, list):
        raise InputError(
            f"{path}: expected NCRF JSON ('positive', 'negative') or GeoJSON features, found {content!r:.60}; "
            "export it again"
        )
    for number, feature in enumerate(features, start=1):
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise InputError(f"{path}: expected feature {number} to be one, found {feature!r:.60}; export it again")
        properties = feature.get("properties") or {}
        geometry = feature.get("geometry") or {"type": "Point"}
        if not isinstance(properties, dict) or not isinstance(geometry, dict):
            raise InputError(f"{path}: feature {number}: properties and geometry must be objects; export it again")
        name = str(properties.get("name") or feature.get("id") or f"feature {number}")
        kind = str(geometry.get("type"))
        if kind in _OTHER_GEOMETRIES or properties.get("objectType", "annotation") != "annotation":
            findings.add(_NO_AREA, name)
            continue
        parts = {"Polygon": [geometry.get("coordinates")], "MultiPolygon": geometry.get("coordinates")}.get(kind)
        if not isinstance(parts, list) or not all(isinstance(rings, list) for rings in parts):
            raise InputError(
                f"{path}: outline {name!r}: expected a Polygon or MultiPolygon with coordinates, found "
                f"{geometry!r:.60}; export or draw it again"
            )
        for rings in parts:
            yield _Outline(name, _qupath_class(properties.get("classification")), rings)


def _qupath_class(classification: Any) -> str | None:
    if isinstance(classification, dict):  # "names" holds the parts of a derived class since QuPath 0.4
        return str(classification.get("name") or ": ".join(map(str, classification.get("names") or [])))
    return None if classification is None else str(classification)
