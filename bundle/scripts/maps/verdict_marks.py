"""The findings of a map as marks that a person judges. No files."""

from __future__ import annotations

from uuid import NAMESPACE_URL, uuid5

import numpy as np

from ..annotations.geojson import polygon_xy
from ..annotations.readers import DETECTION_SOURCE
from ..annotations.verdicts import OUTLINE_SOURCE, Mark, classification
from .findings import Findings


def finding_marks(findings: Findings, weights_sha256: str | None = None) -> list[Mark]:
    """Marks of a slide's findings, none of them judged.

    Detections are numbered as in exports, and so are lesions. A lesion of several parts that touch at corners has an
    outline for each. An id depends on the slide, the place and the weights: the same finding of another run of the same
    weights has the same, and one of other weights is another.

    Args:
        findings: of one slide.
        weights_sha256: of the weights that made the map, or None if that is not known.

    Returns:
        The detections, strongest first, then the outlines. The name of a detection says the artifact it lies in.
    """

    def identity(kind: str, x: float, y: float) -> str:
        return str(uuid5(NAMESPACE_URL, f"{findings.info.name}/{kind}/{x:g},{y:g}/{weights_sha256}"))

    unreviewed = classification(None)
    lesions, outlines = [], []
    for number, lesion in enumerate(findings.lesions, start=1):
        coordinates = [polygon_xy(part) for part in lesion.parts]
        ids = [identity("outline", *rings[0][0]) for rings in coordinates]
        lesions.append(ids[0])
        outlines += [
            Mark(
                *(own_id, {"type": "Polygon", "coordinates": rings}, OUTLINE_SOURCE, f"Lesion {number}", unreviewed),
                probability=_shortest(lesion.max_probability),
                weights_sha256=weights_sha256,
                lesion=ids[0],
            )
            for own_id, rings in zip(ids, coordinates, strict=True)
        ]
    detections = [
        Mark(
            *(identity("detection", x, y), {"type": "Point", "coordinates": [x, y]}, DETECTION_SOURCE),
            *(f"Detection {number}" + (f", in {artifact}" if artifact else ""), unreviewed),
            probability=_shortest(prob),
            weights_sha256=weights_sha256,
            lesion=lesions[lesion - 1] if lesion else None,
        )
        for number, (prob, y, x, lesion, artifact) in enumerate(
            zip(
                *(values.tolist() for values in findings.detections),
                findings.lesion_numbers.tolist(),
                findings.artifacts,
                strict=True,
            ),
            start=1,
        )
    ]
    return [*detections, *outlines]


def _shortest(probability: float) -> float:
    """The shortest decimal of a float32, as tables of detections have it."""
    return float(str(np.float32(probability)))
