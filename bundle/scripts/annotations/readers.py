"""Read the outlines of annotation files: NCRF JSON, ASAP XML, QuPath GeoJSON. Coordinates stay (x, y), as in the file.

What the outlines mean, and whether they are sound, is for `annotations` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse as parse_xml

from ..errors import InputError
from ..files import check_is_file, read_json, read_number
from .classes import REJECTED_CLASSES, UNDECIDED_CLASSES, base_class
from .geojson import AREA_GEOMETRIES, NO_AREA_TYPES, Feature, read_features

_AREA_TYPES = frozenset({"polygon", "spline", "rectangle"})
_OTHER_TYPES = frozenset({"dot", "pointset", "measurement", "polyline"})
_OTHER_GEOMETRIES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString"})
_POINTS = frozenset({"dot", "pointset", "Point", "MultiPoint"})

DETECTION_CLASS = "Detection"
"""The class of the points that this package exports; who reads an export back need not be told of them."""

DETECTION_SOURCE = "detection"
"""The property ``source`` of points in files of verdicts, see `verdicts.Mark`; their outlines say what is tumor."""


class Outline(NamedTuple):
    """An area as the file has it.

    Attributes:
        name: for messages.
        label: its class in the file's words; None without one.
        rings_xy: the outer ring and its holes, each what the file holds for a list of (x, y), unchecked.
        parents: the classes that its class is part of, the nearest first.
    """

    name: str
    label: str | None
    rings_xy: Sequence[Any]
    parents: tuple[str, ...] = ()


class Outlines(NamedTuple):
    """What a file holds.

    Attributes:
        areas: the outlines, in the file's order.
        others: names of points, lines and detections, which are no areas; without the points of exports and verdicts.
        is_geojson: whether the form demands that the last vertex of a ring repeats the first, and its coordinates
            begin where QuPath's do.
    """

    areas: list[Outline]
    others: list[str]
    is_geojson: bool


def read_outlines(path: Path) -> Outlines:
    """Read an annotation file; its suffix tells XML from JSON, its content NCRF JSON from GeoJSON.

    - NCRF JSON (github.com/baidu-research/NCRF): ``positive`` is labelled tumor, ``negative`` exclusion.
    - ASAP XML as in CAMELYON16: the group is the label; the groups that it lies in are its parents.
    - QuPath GeoJSON: a FeatureCollection, a list of Features, one Feature or a bare geometry; ``classification.name``
      is the label. Only annotations are areas, also those among the child objects of others; a type that QuPath does
      not know is an annotation, as it is for QuPath.

    Args:
        path: a ``.json``, ``.geojson`` or ``.xml`` file.

    Returns:
        Its outlines.

    Raises:
        InputError: if the file is missing, damaged or of another form.
    """
    others: list[str] = []
    if path.suffix.lower() == ".xml":
        return Outlines(list(_asap_outlines(path, others)), others, is_geojson=False)
    content = read_json(path)
    if isinstance(content, dict) and ("positive" in content or "negative" in content):
        return Outlines(list(_ncrf_outlines(path, content)), others, is_geojson=False)
    return Outlines(list(_geojson_outlines(path, content, others)), others, is_geojson=True)


def _ncrf_outlines(path: Path, content: Mapping[str, Any]) -> Iterator[Outline]:
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
            yield Outline(str(polygon.get("name", number)), label, [polygon["vertices"]])


def _asap_outlines(path: Path, others: list[str]) -> Iterator[Outline]:
    check_is_file(path)
    try:
        root = parse_xml(path, forbid_dtd=True).getroot()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ParseError, DefusedXmlException, LookupError, ValueError) as error:
        raise InputError(f"{path}: not a readable XML file ({error}); save it again with ASAP") from error
    if root.tag != "ASAP_Annotations":
        raise InputError(f"{path}: expected an ASAP file (<ASAP_Annotations>), found <{root.tag}>; save it with ASAP")
    parents = {group.get("Name"): group.get("PartOfGroup") for group in root.iter("Group")}
    for number, element in enumerate(root.iter("Annotation"), start=1):
        name = element.get("Name") or f"annotation {number}"
        kind = element.get("Type", "Polygon")
        group = element.get("PartOfGroup")
        if kind.lower() in _OTHER_TYPES:
            if not (kind.lower() in _POINTS and group == DETECTION_CLASS):
                others.append(name)
            continue
        if kind.lower() not in _AREA_TYPES:
            raise InputError(f"{path}: outline {name!r}: unknown Type {kind!r}; draw it as a polygon")
        try:
            coordinates = [
                tuple(read_number(point.attrib[key]) for key in ("Order", "X", "Y"))
                for point in element.iterfind("./Coordinates/Coordinate")
            ]
        except (KeyError, ValueError) as error:
            raise InputError(
                f"{path}: outline {name!r}: each Coordinate must have numbers as Order, X and Y ({error}); "
                "save the file again with ASAP"
            ) from error
        coordinates.sort(key=lambda coordinate: coordinate[0])
        yield Outline(name, group, [[(x, y) for _, x, y in coordinates]], tuple(_groups_around(group, parents)))


def _groups_around(group: str | None, parents: Mapping[str | None, str | None]) -> Iterator[str]:
    """The groups that an ASAP group is part of, the nearest first; ``None`` names none, and a circle ends."""
    seen = {group}
    while (group := parents.get(group)) not in (None, "None", *seen):
        seen.add(group)
        yield str(group)


def _geojson_outlines(path: Path, content: Any, others: list[str]) -> Iterator[Outline]:
    for feature in read_features(path, content):
        if str(feature.geometry.get("type")) in _POINTS and _is_known_point(feature):
            continue
        if feature.object_type in NO_AREA_TYPES:
            others.append(feature.name)
            continue
        for rings in _parts(path, feature.name, feature.geometry, others):
            yield Outline(feature.name, feature.label, rings)


def _is_known_point(feature: Feature) -> bool:
    """Whether a point is an export's, or one of which a verdict is asked."""
    return (
        feature.label == DETECTION_CLASS
        or feature.properties.get("source") == DETECTION_SOURCE
        or base_class(feature.label) in REJECTED_CLASSES | UNDECIDED_CLASSES
    )


def _parts(path: Path, name: str, geometry: Mapping[str, Any], others: list[str]) -> Iterator[Any]:
    """The rings of each polygon of a geometry; points and lines go to ``others``."""
    waiting = [geometry]
    while waiting:
        member = waiting.pop()
        kind = str(member.get("type"))
        if kind in _OTHER_GEOMETRIES:
            others.append(name)
            continue
        held = member.get("geometries" if kind == "GeometryCollection" else "coordinates")
        parts: Any = [held] if kind == "Polygon" else held
        expected = dict if kind == "GeometryCollection" else list
        is_sound = isinstance(parts, list) and all(isinstance(part, expected) for part in parts)
        if kind not in AREA_GEOMETRIES or not is_sound:
            raise InputError(
                f"{path}: outline {name!r}: expected a Polygon or MultiPolygon with coordinates, found "
                f"{member!r:.60}; export or draw it again"
            )
        if kind == "GeometryCollection":
            waiting += parts[::-1]
        else:
            yield from parts
