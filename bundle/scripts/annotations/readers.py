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
from ..files import read_json

_AREA_TYPES = frozenset({"polygon", "spline", "rectangle"})
_OTHER_TYPES = frozenset({"dot", "pointset", "measurement", "polyline"})
_OTHER_GEOMETRIES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString"})


class Outline(NamedTuple):
    """An area as the file has it.

    Attributes:
        name: for messages.
        label: its class in the file's words; None without one.
        rings_xy: the outer ring and its holes, each what the file holds for a list of (x, y), unchecked.
    """

    name: str
    label: str | None
    rings_xy: Sequence[Any]


class Outlines(NamedTuple):
    """What a file holds.

    Attributes:
        areas: the outlines, in the file's order.
        others: names of points, lines and detections, which are no areas.
        must_close: whether the form demands that the last vertex of a ring repeats the first.
    """

    areas: list[Outline]
    others: list[str]
    must_close: bool


def read_outlines(path: Path) -> Outlines:
    """Read an annotation file; its suffix tells XML from JSON, its content NCRF JSON from GeoJSON.

    - NCRF JSON (github.com/baidu-research/NCRF): ``positive`` is labelled tumor, ``negative`` exclusion.
    - ASAP XML as in CAMELYON16: the group is the label.
    - QuPath GeoJSON: a FeatureCollection, a list of Features or one Feature; ``classification.name`` is the label.

    Args:
        path: a ``.json``, ``.geojson`` or ``.xml`` file.

    Returns:
        Its outlines.

    Raises:
        InputError: if the file is missing, damaged or of another form.
    """
    others: list[str] = []
    if path.suffix.lower() == ".xml":
        return Outlines(list(_asap_outlines(path, others)), others, must_close=False)
    content = read_json(path)
    if isinstance(content, dict) and ("positive" in content or "negative" in content):
        return Outlines(list(_ncrf_outlines(path, content)), others, must_close=False)
    return Outlines(list(_geojson_outlines(path, content, others)), others, must_close=True)


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
            others.append(name)
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
        yield Outline(name, element.get("PartOfGroup"), [[(x, y) for _, x, y in coordinates]])


def _geojson_outlines(path: Path, content: Any, others: list[str]) -> Iterator[Outline]:
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
            others.append(name)
            continue
        parts = {"Polygon": [geometry.get("coordinates")], "MultiPolygon": geometry.get("coordinates")}.get(kind)
        if not isinstance(parts, list) or not all(isinstance(rings, list) for rings in parts):
            raise InputError(
                f"{path}: outline {name!r}: expected a Polygon or MultiPolygon with coordinates, found "
                f"{geometry!r:.60}; export or draw it again"
            )
        for rings in parts:
            yield Outline(name, _qupath_class(properties.get("classification")), rings)


def _qupath_class(classification: Any) -> str | None:
    if isinstance(classification, dict):  # "names" holds the parts of a derived class since QuPath 0.4
        return str(classification.get("name") or ": ".join(map(str, classification.get("names") or [])))
    return None if classification is None else str(classification)
