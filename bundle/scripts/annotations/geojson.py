"""QuPath's GeoJSON: the features of a file, each with its type, class and id, in the words of QuPath's newest form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import InputError
from ..geometry import COORDINATE_LIMIT
from .polygons import Polygon

AREA_GEOMETRIES = frozenset({"Polygon", "MultiPolygon", "GeometryCollection"})

_DEPTHS = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}
"""How deep lists of vertices lie in the coordinates of each geometry (RFC 7946, 3.1)."""

NO_AREA_TYPES = frozenset({"detection", "cell", "tile", "tmaCore"})
"""Types of objects that are no annotations."""

_LEGACY_TYPES = {
    "PathAnnotationObject": "annotation",
    "PathDetectionObject": "detection",
    "PathCellObject": "cell",
    "PathTileObject": "tile",
    "TMACoreObject": "tmaCore",
    "PathRootObject": "root",
    "tma_core": "tmaCore",
}
"""How QuPath 0.2, which kept them in a feature's id, and 0.3 call types of objects; see QuPath's QuPathTypeAdapters."""


_TYPES = {name.lower(): name for name in NO_AREA_TYPES} | {old.lower(): new for old, new in _LEGACY_TYPES.items()}
"""Types of objects by their names in lower case, which other programs do not keep to."""


class Feature(NamedTuple):
    """An object of QuPath.

    Attributes:
        name: for messages.
        identity: its id; None where the file has none.
        object_type: ``annotation``, ``detection`` and so on.
        label: its class; None without one.
        geometry: of GeoJSON; a point without coordinates where the file has none.
        properties: all that the file says of it.
    """

    name: str
    identity: str | None
    object_type: str
    label: str | None
    geometry: Mapping[str, Any]
    properties: Mapping[str, Any]


def read_features(path: Path, content: Any) -> Iterator[Feature]:
    """The features of a file, and those among the child objects of others; the root object is none.

    Args:
        path: for messages.
        content: a FeatureCollection, a list of Features, one Feature or a bare geometry.

    Yields:
        The features, in the file's order.

    Raises:
        InputError: if the content has another form.
    """
    features = content
    kind = str(content.get("type")) if isinstance(content, dict) else ""
    if kind == "FeatureCollection":
        features = content.get("features")
    elif kind == "Feature":
        features = [content]
    elif kind in AREA_GEOMETRIES:
        features = [{"type": "Feature", "geometry": content}]
    if not isinstance(features, list):
        raise InputError(
            f"{path}: expected NCRF JSON ('positive', 'negative') or GeoJSON features, found {content!r:.60}; "
            "export it again"
        )
    waiting = [(f"feature {number}", feature) for number, feature in enumerate(features, start=1)][::-1]
    while waiting:
        default_name, feature = waiting.pop()
        if not isinstance(feature, dict) or feature.get("type") != "Feature":
            raise InputError(f"{path}: expected {default_name} to be one, found {feature!r:.60}; export it again")
        properties = feature.get("properties") or {}
        geometry = feature.get("geometry") or {"type": "Point"}
        if not isinstance(properties, dict) or not isinstance(geometry, dict):
            raise InputError(f"{path}: {default_name}: properties and geometry must be objects; export it again")
        children = enumerate(_children(feature, properties), start=1)
        waiting += [(f"{default_name}.{number}", child) for number, child in children][::-1]
        identity = feature.get("id")
        if str(identity) in _LEGACY_TYPES:
            properties, identity = {"type": identity, **properties}, None
        object_type = _object_type(properties)
        if object_type == "root":
            continue
        yield Feature(
            str(properties.get("name") or identity or default_name),
            None if identity is None else str(identity),
            object_type,
            _label(properties.get("classification")),
            geometry,
            properties,
        )


def _children(feature: Mapping[str, Any], properties: Mapping[str, Any]) -> list[Any]:
    """The child objects of a feature: QuPath has them among its properties, others beside them or as a collection."""
    found = [part.get(key) for part in (properties, feature) for key in ("childObjects", "children")]
    lists = [part.get("features", [part]) if isinstance(part, dict) else part for part in found]
    return [child for part in lists if isinstance(part, list) for child in part]


def polygon_xy(polygon: Polygon, origin: tuple[int, int] = (0, 0)) -> list[list[list[float]]]:
    """The coordinates of a polygon as GeoJSON has them: (x, y), and the last vertex of a ring repeats the first.

    Args:
        polygon: level-0 frame.
        origin: (row, col), level-0 frame, at which the coordinates of the file begin.

    Returns:
        For each ring its vertices; whole numbers are integers.
    """

    def closed(ring: npt.NDArray[np.float64]) -> list[list[float]]:
        vertices = (ring - origin)[:, ::-1]
        listed: list[list[float]] = (vertices.astype(int) if (vertices % 1 == 0).all() else vertices).tolist()
        return [*listed, listed[0]]

    return [closed(ring) for ring in polygon.rings]


def check_geometry(geometry: Mapping[str, Any], where: str) -> None:
    """Refuse a geometry that no place on a slide can be.

    Args:
        geometry: of GeoJSON.
        where: the file and the feature, for the message.

    Raises:
        InputError: if its type is unknown, a coordinate is no finite number, or a ring of a polygon encloses nothing.
    """
    for part in _members(geometry) or [None]:
        kind = part.get("type") if isinstance(part, Mapping) else None
        depth = _DEPTHS.get(str(kind))
        rings = [] if part is None or depth is None else _lists(part.get("coordinates"), depth)
        least = 3 if str(kind).endswith("Polygon") else 1
        if not rings or any(len({tuple(vertex) for vertex in ring}) < least for ring in rings):
            raise InputError(
                f"{where}: expected a point, line or polygon of finite (x, y) pixels, found {part or geometry!r:.60}; "
                "draw it again"
            )


def vertices_xy(geometry: Mapping[str, Any]) -> list[list[float]]:
    """All vertices of a geometry that `check_geometry` lets pass, (x, y)."""
    lists = [ring for part in _members(geometry) for ring in _lists(part["coordinates"], _DEPTHS[part["type"]])]
    return [vertex for ring in lists for vertex in ring]


def shifted_xy(geometry: Mapping[str, Any], x: float, y: float) -> dict[str, Any]:
    """A geometry that `check_geometry` lets pass, moved by (x, y); whole numbers become integers."""

    def moved(value: Any) -> Any:
        if isinstance(value[0], Sequence):
            return [moved(part) for part in value]
        return [int(side) if side % 1 == 0 else side for side in (value[0] + x, value[1] + y)]

    if geometry["type"] == "GeometryCollection":
        return {"type": geometry["type"], "geometries": [shifted_xy(part, x, y) for part in _members(geometry)]}
    return {**geometry, "coordinates": moved(geometry["coordinates"])}


def _members(geometry: Mapping[str, Any]) -> list[Any]:
    """The geometries of a collection, which may be none; of another geometry itself."""
    if geometry.get("type") != "GeometryCollection":
        return [geometry]
    members = geometry.get("geometries")
    return members if isinstance(members, list) else []


def _lists(coordinates: Any, depth: int) -> list[list[list[float]]]:
    """The lists of vertices of a geometry's coordinates; none if anything in them is not as it should be."""
    lists = [coordinates] if depth else [[coordinates]]
    for _ in range(depth - 1):
        if not all(isinstance(part, list) and part for part in lists):
            return []
        lists = [inner for part in lists for inner in part]
    if not all(isinstance(part, list) and part and all(map(_is_vertex, part)) for part in lists):
        return []
    return lists


def _is_vertex(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) >= 2
        and all(type(side) in (int, float) and abs(side) < COORDINATE_LIMIT for side in value)
    )


def _object_type(properties: Mapping[str, Any]) -> str:
    """What an object of QuPath is, in its newest words: 0.4 and later name the key objectType, 0.3 object_type."""
    keys = (key for key in ("objectType", "object_type", "type") if key in properties)
    found = str(properties.get(next(keys, ""), "annotation"))
    return _TYPES.get(found.lower(), found)


def _label(classification: Any) -> str | None:
    if isinstance(classification, dict):  # "names" holds the parts of a derived class since QuPath 0.4
        return str(classification.get("name") or ": ".join(map(str, classification.get("names") or [])))
    return None if classification is None else str(classification)
