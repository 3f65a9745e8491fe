"""Marks of a small slide: two detections in one lesion, one outside, and the lesion's outline."""

from __future__ import annotations

from scripts.annotations.verdicts import Mark, classification

RING_XY = [[100, 20], [400, 20], [400, 160], [100, 160], [100, 20]]
POINTS_XY = {"d1": (150, 40), "d2": (380, 150), "d3": (700, 90)}


def found_marks() -> list[Mark]:
    """Three detections and an outline, none of them judged."""
    detections = [
        Mark(
            id=identity,
            geometry={"type": "Point", "coordinates": list(point)},
            source="detection",
            name=f"Detection {number}",
            classification=classification(None),
            probability=round(1 - number / 10, 1),
            weights_sha256="ab" * 32,
            lesion=None if identity == "d3" else "l1",
        )
        for number, (identity, point) in enumerate(POINTS_XY.items(), start=1)
    ]
    outline = Mark(
        id="l1",
        geometry={"type": "Polygon", "coordinates": [RING_XY]},
        source="outline",
        name="Lesion 1",
        classification=classification(None),
        probability=0.9,
        weights_sha256="ab" * 32,
        lesion="l1",
    )
    return [*detections, outline]


def as_qupath_writes(content: dict) -> dict:
    """What QuPath keeps of a file: ids, places, names and classes; it adds properties, and numbers get a point."""

    def floats(value):
        return [floats(part) for part in value] if isinstance(value, list) else float(value)

    features = [
        {
            "type": "Feature",
            "id": item["id"],
            "geometry": {**item["geometry"], "coordinates": floats(item["geometry"]["coordinates"])},
            "properties": {
                "objectType": "annotation",
                "name": item["properties"]["name"],
                "classification": item["properties"]["classification"],
                "isLocked": False,
            },
        }
        for item in content["features"]
    ]
    return {"type": "FeatureCollection", "features": features}
