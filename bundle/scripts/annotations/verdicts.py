"""Verdicts: what a person says of the findings of a slide, as features that QuPath and `annotations` read.

A file ``<slide>.geojson`` holds a `Mark` for each detection, each outline of a lesion and each drawn polygon. Its class
is the verdict: Tumor, Not tumor, Unsure, or Unreviewed as long as there is none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from ..errors import InputError
from ..files import read_json
from .classes import REJECTED_CLASSES, TUMOR_CLASSES, base_class
from .geojson import Feature, check_geometry, read_features, shifted_xy, vertices_xy
from .readers import DETECTION_CLASS, DETECTION_SOURCE

OUTLINE_SOURCE, DRAWN_SOURCE = "outline", "drawn"
SOURCES = (DETECTION_SOURCE, OUTLINE_SOURCE, DRAWN_SOURCE)

VERDICTS = ("tumor", "not_tumor", "unsure")

CLASSES: Mapping[str | None, tuple[str, tuple[int, int, int]]] = {
    "tumor": ("Tumor", (200, 0, 0)),
    "not_tumor": ("Not tumor", (0, 114, 178)),
    "unsure": ("Unsure", (230, 159, 0)),
    None: ("Unreviewed", (128, 128, 128)),
}
"""Name and (red, green, blue) of the class of each verdict. The color-blind tell the three verdicts apart: the hues are
of M. Okabe and K. Ito, Color Universal Design (2008), but for the red that all exports have."""

_TEXT_KEYS = ("name", "comment", "when", "reviewer", "weights_sha256", "source", "lesion")
_OWN_KEYS = ("probability", *_TEXT_KEYS)
_READ_KEYS = frozenset({*_OWN_KEYS, "objectType", "classification", "verdict", "childObjects", "children"})


@dataclass(frozen=True)
class Mark:
    """Something on a slide that a person may judge.

    Attributes:
        id: stable; the same finding of the same map has the same.
        geometry: of GeoJSON, usually a Point or a Polygon, (x, y), level-0 frame of the slide.
        source: ``detection``, ``outline`` of a lesion, or ``drawn`` by a person.
        name: shown in lists.
        classification: QuPath's object with ``name`` and ``color``; None without a class.
        probability: of the detection, or the largest in the outline; None if drawn.
        comment: of the reviewer.
        when: of the verdict, ISO 8601, UTC; None as long as there is none.
        reviewer: who gave it; None likewise.
        weights_sha256: of the weights whose finding it is; None if drawn, or not known.
        lesion: joins detections to the outlines that they lie in; None outside.
        others: properties that other programs wrote, kept as they are.
    """

    id: str
    geometry: Mapping[str, Any]
    source: str
    name: str = ""
    classification: Mapping[str, Any] | None = None
    probability: float | None = None
    comment: str = ""
    when: str | None = None
    reviewer: str | None = None
    weights_sha256: str | None = None
    lesion: str | None = None
    others: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str | None:
        """The name of its class."""
        return None if self.classification is None else str(self.classification.get("name"))

    @property
    def verdict(self) -> str | None:
        """One of `VERDICTS`, by its class; None if it has none or one that says nothing of tumor."""
        base = base_class(self.label)
        if base in TUMOR_CLASSES:
            return "tumor"
        if base in REJECTED_CLASSES:
            return "not_tumor"
        return "unsure" if base == "unsure" else None

    @property
    def is_detection(self) -> bool:
        """Whether it is a detection, of which progress is counted."""
        return self.source == DETECTION_SOURCE

    @property
    def point_xy(self) -> tuple[float, float]:
        """(x, y), level-0 frame: the point, or the middle of the bounding box."""
        xs, ys = zip(*vertices_xy(self.geometry), strict=True)
        return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2

    def looks_like(self, other: Mark | None) -> bool:
        """Whether a person sees no difference: same place and form, same class."""
        return other is not None and (self.geometry, self.label) == (other.geometry, other.label)

    def judged(self, verdict: str | None, when: str | None, reviewer: str | None) -> Mark:
        """The mark with another verdict.

        Args:
            verdict: one of `VERDICTS`; None takes it back, with its time and reviewer.
            when: ISO 8601, UTC.
            reviewer: who gives it.

        Raises:
            InputError: if there is no such verdict.
        """
        signed = (None, None) if verdict is None else (when, reviewer)
        return replace(self, classification=classification(verdict), when=signed[0], reviewer=signed[1])


def classification(verdict: str | None) -> dict[str, Any]:
    """QuPath's class of a verdict.

    Raises:
        InputError: if it is none of `VERDICTS` and not None.
    """
    if verdict not in CLASSES:
        raise InputError(f"verdict: expected {', '.join(VERDICTS)} or none, found {verdict!r:.40}; give one of them")
    name, color = CLASSES[verdict]
    return {"name": name, "color": list(color)}


def to_feature(mark: Mark, origin: tuple[int, int] = (0, 0)) -> dict[str, Any]:
    """A mark as the file has it.

    Args:
        mark: level-0 frame.
        origin: (row, col), level-0 frame, at which the coordinates of the file begin, see
            `annotations.geojson_origin`.

    Returns:
        A Feature of GeoJSON.
    """
    own = {key: getattr(mark, key) for key in _OWN_KEYS}
    properties = {"objectType": "annotation", "classification": mark.classification, "verdict": mark.verdict, **own}
    geometry = shifted_xy(mark.geometry, -origin[1], -origin[0])
    return {"type": "Feature", "id": mark.id, "geometry": geometry, "properties": {**mark.others, **properties}}


def from_feature(feature: Feature, origin: tuple[int, int] = (0, 0)) -> Mark:
    """A feature of a file as a mark, whichever program wrote it.

    The class counts, not the property ``verdict``, for QuPath changes the class alone. An object without an id gets one
    that depends on its geometry, and one without a source is a detection if it is a point, else drawn.

    Args:
        feature: of `geojson.read_features`.
        origin: see `to_feature`.

    Returns:
        The mark, level-0 frame.
    """
    geometry = shifted_xy(feature.geometry, origin[1], origin[0])
    stated_by = feature.properties
    own = {key: stated_by[key] for key in _TEXT_KEYS if isinstance(stated_by.get(key), str)}
    if own.get("source") not in SOURCES:
        own["source"] = DETECTION_SOURCE if geometry["type"] == "Point" else DRAWN_SOURCE
    probability: Any = stated_by.get("probability")
    own_probability = float(probability) if type(probability) in (int, float) else None
    stated = stated_by.get("classification")
    found: Mapping[str, Any] | None = None if feature.label is None else {"name": feature.label}
    if isinstance(stated, Mapping) and stated.get("name"):
        found = dict(stated)
    if feature.label == DETECTION_CLASS:
        found = classification(None)
    others = {key: value for key, value in stated_by.items() if key not in _READ_KEYS}
    identity = feature.identity or str(uuid5(NAMESPACE_URL, json.dumps(geometry, sort_keys=True)))
    return Mark(identity, geometry, probability=own_probability, classification=found, others=others, **own)


def outlines_of(judged: Mark, marks: Iterable[Mark]) -> dict[str, Mark]:
    """The outlines of a detection's lesion, as far as they change with what is said of its detections.

    They are tumor if one of the detections is, else unsure if one is; not tumor once all are.

    Args:
        judged: a detection with its new verdict; of another mark nothing follows.
        marks: all marks of the slide.

    Returns:
        By id the outlines that get another verdict.
    """
    if not judged.is_detection or judged.lesion is None:
        return {}
    lesion = [judged if mark.id == judged.id else mark for mark in marks if mark.lesion == judged.lesion]
    verdicts = {mark.verdict for mark in lesion if mark.is_detection}
    verdict = next((value for value in ("tumor", "unsure", None) if value in verdicts), "not_tumor")
    outlines = [mark for mark in lesion if mark.source == OUTLINE_SOURCE and mark.verdict != verdict]
    return {mark.id: mark.judged(verdict, judged.when, judged.reviewer) for mark in outlines}


def read_verdicts(path: Path, origin: tuple[int, int] = (0, 0)) -> list[Mark]:
    """Read the marks of a slide.

    Args:
        path: a file ``<slide>.geojson`` that a review, QuPath or ``export`` wrote.
        origin: (row, col), level-0 frame, at which its coordinates begin, see `annotations.geojson_origin`.

    Returns:
        The marks in the file's order, level-0 frame.

    Raises:
        InputError: if the file is missing, damaged or of another form.
    """
    marks = []
    for feature in read_features(path, read_json(path)):
        check_geometry(feature.geometry, f"{path}: {feature.name}")
        marks.append(from_feature(feature, origin))
    return marks


def render(marks: Sequence[Mark], origin: tuple[int, int] = (0, 0)) -> bytes:
    """The file of marks, a FeatureCollection of GeoJSON in UTF-8, a feature a line; see `to_feature`."""
    lines = [json.dumps(to_feature(mark, origin), ensure_ascii=False, allow_nan=False) for mark in marks]
    text = '{"type": "FeatureCollection", "features": [\n' + ",\n".join(lines) + "\n]}\n"
    return text.encode()
