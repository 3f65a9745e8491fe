"""Write findings for people's viewers: QuPath's GeoJSON, ASAP's XML, and tables as CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from ..annotations.geojson import polygon_xy
from ..annotations.outlines import without_holes
from ..annotations.readers import DETECTION_CLASS
from ..annotations.writers import Shape, write_asap_shapes
from ..files import atomic_path
from ..maps.findings import Findings, Lesion

_LESION_COLOR, _DETECTION_COLOR = (200, 0, 0), (255, 200, 0)

LESION_COLUMNS = (
    *("lesion", "confidence", "num_detections", "area_um2", "max_probability", "mean_probability"),
    *("x", "y", "left", "top", "right", "bottom"),
    *("artifact", "artifact_share"),
)
"""Of the table of lesions; from ``x`` to ``bottom`` level-0 pixels: centroid and bounding box."""

DETECTION_COLUMNS = ("confidence", "x", "y", "lesion", "artifact")
"""Of the table of detections."""


def write_geojson(path: str | Path, findings: Findings) -> None:
    """Write lesions as QuPath's annotations of class Tumor, and detections as its detections, both with measurements.

    Coordinates begin at the scanned part of the slide, as QuPath's do; give findings whose ``info.bounds_origin`` is
    (0, 0) for those of the level-0 frame. The form is what QuPath 0.4 and later write and read; ids depend on slide and
    number only.

    Args:
        path: the file to write.
        findings: of one slide; may be none.
    """
    top, left = findings.info.bounds_origin
    features = [
        _feature(
            findings,
            f"Lesion {number}",
            _geometry(lesion, findings.info.bounds_origin),
            {"objectType": "annotation", "classification": {"name": "Tumor", "color": _LESION_COLOR}},
            {
                "Confidence": lesion.confidence,
                "Area µm^2": lesion.area_um2,
                "Max probability": lesion.max_probability,
                "Mean probability": lesion.mean_probability,
                "Num detections": lesion.num_detections,
                "Artifact share": lesion.artifact_share,
            },
            lesion.artifact,
        )
        for number, lesion in enumerate(findings.lesions, start=1)
    ]
    features += [
        _feature(
            findings,
            f"Detection {number}",
            {"type": "Point", "coordinates": [x - left, y - top]},
            {"objectType": "detection", "classification": {"name": DETECTION_CLASS, "color": _DETECTION_COLOR}},
            {"Confidence": prob, "Lesion": lesion, "Artifact share": float(bool(artifact))},
            artifact,
        )
        for number, (prob, x, y, lesion, artifact) in enumerate(_points_xy(findings), start=1)
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features}, allow_nan=False, ensure_ascii=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_asap(path: str | Path, findings: Findings) -> None:
    """Write lesions as ASAP's polygons of group Tumor, and detections as its dots of group Detection.

    ASAP knows no holes: a hole is joined to its outline, see `annotations.outlines.without_holes`. ASAP knows no
    measurements: the confidence stands in the name.

    Args:
        path: the file to write.
        findings: of one slide; may be none.
    """
    polygons = [
        Shape(f"{part.name}: {lesion.confidence:.4f}", "Polygon", "Tumor", without_holes(part))
        for lesion in findings.lesions
        for part in lesion.parts
    ]
    dots = [
        Shape(f"Detection {number}: {prob:.4f}", "Dot", DETECTION_CLASS, [(y, x)])
        for number, (prob, x, y, *_) in enumerate(_points_xy(findings), start=1)
    ]
    groups = {
        name: "#{:02x}{:02x}{:02x}".format(*color)
        for name, color in (("Tumor", _LESION_COLOR), (DETECTION_CLASS, _DETECTION_COLOR))
    }
    write_asap_shapes(path, [*polygons, *dots], groups)


def write_lesion_table(path: str | Path, findings: Findings) -> None:
    """Write a CSV with a header, `LESION_COLUMNS`, and a row for each lesion.

    Args:
        path: the file to write.
        findings: of one slide; may be none.
    """
    rows = []
    for number, lesion in enumerate(findings.lesions, start=1):
        bounds = [part.bounds() for part in lesion.parts]
        top, left = (min(bound[axis] for bound in bounds) for axis in (0, 1))
        bottom, right = (max(bound[axis] for bound in bounds) for axis in (2, 3))
        row, col = lesion.center
        values = (lesion.max_probability, lesion.mean_probability, col, row, left, top, right, bottom)
        covered = (lesion.artifact, lesion.artifact_share)
        rows.append([number, lesion.confidence, lesion.num_detections, lesion.area_um2, *values, *covered])
    _write_table(path, LESION_COLUMNS, rows)


def write_detection_table(path: str | Path, findings: Findings) -> None:
    """Write a CSV with a header, `DETECTION_COLUMNS`, and a row for each detection, strongest first.

    Args:
        path: the file to write.
        findings: of one slide; may be none.
    """
    _write_table(path, DETECTION_COLUMNS, list(_points_xy(findings)))


def _write_table(path: str | Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([f"{value:.7g}" if isinstance(value, float) else value for value in row] for row in rows)


def _points_xy(findings: Findings) -> Iterator[tuple[float, int, int, int, str]]:
    """Confidence, x, y, number of the lesion and artifact of each detection."""
    prob, row, col = findings.detections
    yield from zip(
        (float(str(value)) for value in prob),  # the shortest number that gives the float32 back
        col.tolist(),
        row.tolist(),
        findings.lesion_numbers.tolist(),
        findings.artifacts,
        strict=True,
    )


def _feature(
    findings: Findings,
    name: str,
    geometry: dict[str, Any],
    properties: dict[str, Any],
    measurements: dict[str, float],
    artifact: str,
) -> dict[str, Any]:
    """A feature; what lies in an artifact says so in its metadata, as QuPath keeps texts."""
    flag = {"metadata": {"Artifact": artifact}} if artifact else {}
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, f"{findings.info.slide}/{name}")),
        "geometry": geometry,
        "properties": {"name": name, **properties, "measurements": measurements, **flag},
    }


def _geometry(lesion: Lesion, origin: tuple[int, int]) -> dict[str, Any]:
    parts = [polygon_xy(part, origin) for part in lesion.parts]
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}
    return {"type": "MultiPolygon", "coordinates": parts}
