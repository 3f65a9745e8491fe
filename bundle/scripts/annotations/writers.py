"""Write annotations in the two forms that the field uses for CAMELYON16."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from ..files import atomic_path, write_json
from .polygons import Ring


class Shape(NamedTuple):
    """What ASAP draws.

    Attributes:
        name: shown in its list.
        kind: ``Polygon`` or ``Dot``.
        group: one of the file's groups.
        vertices: (N, 2), (row, col), level-0 frame; one for a dot.
    """

    name: str
    kind: str
    group: str
    vertices: Ring | Sequence[tuple[float, float]]


def write_asap_xml(path: str | Path, tumor: Sequence[Ring], exclusion: Sequence[Ring] = ()) -> None:
    """Write outlines as CAMELYON16 does (ASAP's XML): tumor in group ``_0``, exclusions in ``_2``.

    Args:
        path: the file to write.
        tumor: outlines, may be none.
        exclusion: the same.
    """
    outlines = [("_0", polygon) for polygon in tumor] + [("_2", polygon) for polygon in exclusion]
    shapes = [Shape(f"Annotation {index}", "Polygon", *outline) for index, outline in enumerate(outlines)]
    write_asap_shapes(path, shapes, {"_0": "#00ff00", "_2": "#ff0000"})


def write_asap_shapes(path: str | Path, shapes: Iterable[Shape], groups: Mapping[str, str]) -> None:
    """Write shapes as ASAP's XML.

    Args:
        path: the file to write.
        shapes: any number.
        groups: the groups of the shapes, each with its color as ``#rrggbb``.
    """
    root = ElementTree.Element("ASAP_Annotations")
    annotations = ElementTree.SubElement(root, "Annotations")
    for name, kind, group, vertices in shapes:
        attributes = {"Name": name, "Type": kind, "PartOfGroup": group, "Color": "#F4FA58"}
        annotation = ElementTree.SubElement(annotations, "Annotation", attributes)
        coordinates = ElementTree.SubElement(annotation, "Coordinates")
        for order, (row, col) in enumerate(vertices):
            ElementTree.SubElement(coordinates, "Coordinate", Order=str(order), X=f"{col:.3f}", Y=f"{row:.3f}")
    group_elements = ElementTree.SubElement(root, "AnnotationGroups")
    for name, color in groups.items():
        group_element = ElementTree.SubElement(group_elements, "Group", Name=name, PartOfGroup="None", Color=color)
        ElementTree.SubElement(group_element, "Attributes")
    ElementTree.indent(root, "\t")
    with atomic_path(path) as temporary:
        ElementTree.ElementTree(root).write(temporary, encoding="utf-8", xml_declaration=True)


def write_ncrf_json(path: str | Path, tumor: Sequence[Ring], exclusion: Sequence[Ring] = ()) -> None:
    """Write outlines as NCRF does: ``positive`` and ``negative`` polygons of whole level-0 (x, y) vertices.

    Args:
        path: the file to write.
        tumor: outlines; rounded to whole pixels.
        exclusion: the same.
    """

    def listed(polygons: Sequence[Ring], first: int) -> list[dict[str, object]]:
        return [
            {"name": f"Annotation {first + index}", "vertices": np.rint(polygon[:, ::-1]).astype(int).tolist()}
            for index, polygon in enumerate(polygons)
        ]

    write_json(path, {"positive": listed(tumor, 0), "negative": listed(exclusion, len(tumor))})
