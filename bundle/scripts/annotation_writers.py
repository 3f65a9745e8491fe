"""Write annotations in the two forms that the field uses for CAMELYON16."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from .files import atomic_path, write_json
from .polygons import Ring


def write_asap_xml(path: str | Path, tumor: Sequence[Ring], exclusion: Sequence[Ring] = ()) -> None:
    """Write outlines as CAMELYON16 does (ASAP's XML): tumor in group ``_0``, exclusions in ``_2``.

    Args:
        path: the file to write.
        tumor: outlines, may be none.
        exclusion: the same.
    """
    root = ElementTree.Element("ASAP_Annotations")
    annotations = ElementTree.SubElement(root, "Annotations")
    grouped = [("_0", polygon) for polygon in tumor] + [("_2", polygon) for polygon in exclusion]
    for index, (group, polygon) in enumerate(grouped):
        attributes = {"Name": f"Annotation {index}", "Type": "Polygon", "PartOfGroup": group, "Color": "#F4FA58"}
        annotation = ElementTree.SubElement(annotations, "Annotation", attributes)
        coordinates = ElementTree.SubElement(annotation, "Coordinates")
        for order, (row, col) in enumerate(polygon):
            ElementTree.SubElement(coordinates, "Coordinate", Order=str(order), X=f"{col:.3f}", Y=f"{row:.3f}")
    groups = ElementTree.SubElement(root, "AnnotationGroups")
    for name, color in (("_0", "#00ff00"), ("_2", "#ff0000")):
        group_element = ElementTree.SubElement(groups, "Group", Name=name, PartOfGroup="None", Color=color)
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
