"""Annotation files of one rectangle of tumor with a hole, in each form that is read."""

from __future__ import annotations

import json

TUMOR_XY = [[300, 20], [420, 20], [420, 100], [300, 100]]
EXCLUSION_XY = [[320, 40], [340, 40], [340, 60], [320, 60]]


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def ncrf(positive=(), negative=()):
    def polygons(items):
        return [{"name": f"A{i}", "vertices": ring} for i, ring in enumerate(items)]

    return {"positive": polygons(positive), "negative": polygons(negative)}


def write_ncrf(folder, name, positive=(), negative=()):
    folder.mkdir(exist_ok=True)
    return write(folder / f"{name}.json", ncrf(positive, negative))


def asap(*outlines, extra=""):
    body = "".join(
        f'<Annotation Name="A{i}" Type="Polygon" PartOfGroup="{group}" Color="#F4FA58"><Coordinates>'
        + "".join(f'<Coordinate Order="{k}" X="{x}" Y="{y}" />' for k, (x, y) in enumerate(ring))
        + "</Coordinates></Annotation>"
        for i, (group, ring) in enumerate(outlines)
    )
    return f'<?xml version="1.0"?>\n<ASAP_Annotations><Annotations>{body}{extra}</Annotations></ASAP_Annotations>'


def asap_groups(**parents):
    """ASAP's groups, to be given as ``extra``: each with the one that it is part of."""
    groups = "".join(f'<Group Name="{name}" PartOfGroup="{parent}" />' for name, parent in parents.items())
    return f"</Annotations><AnnotationGroups>{groups}</AnnotationGroups><Annotations>"


def feature(label, *rings, kind="Polygon", **properties):
    closed = [[*ring, ring[0]] for ring in rings]
    if label is not None:
        properties["classification"] = {"name": label, "colorRGB": -1}
    coordinates = closed if kind == "Polygon" else [[ring] for ring in closed]
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}
