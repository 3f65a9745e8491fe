"""Marks: the features of a file of verdicts, and what the readers of annotations make of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from helpers.annotation_forms import TUMOR_XY, collection, feature, write
from helpers.verdict_marks import RING_XY, as_qupath_writes, found_marks
from scripts.annotations.annotations import contains, read_annotation
from scripts.annotations.geojson import read_features
from scripts.annotations.verdicts import (
    CLASSES,
    classification,
    from_feature,
    outlines_of,
    read_verdicts,
    render,
    to_feature,
)
from scripts.errors import InputError

INSIDE = [[90, 250]]
ORIGIN = (1000, 30)


@pytest.mark.parametrize("origin", [(0, 0), ORIGIN])
def test_marks_are_read_as_they_were_written(tmp_path, origin):
    marks = [mark.judged("tumor", "2026-11-28T09:00:00.000+00:00", "A") for mark in found_marks()]
    marks[1] = replace(marks[1], comment='a "sinus", ü', others={"isLocked": True, "metadata": {"k": "v"}})
    path = tmp_path / "a.geojson"
    path.write_bytes(render(marks, origin))
    assert read_verdicts(path, origin) == marks
    found = json.loads(path.read_text(encoding="utf-8"))["features"][0]
    assert found["geometry"]["coordinates"] == [150 - origin[1], 40 - origin[0]]
    assert found["properties"] == {
        "objectType": "annotation",
        "classification": {"name": "Tumor", "color": [200, 0, 0]},
        "verdict": "tumor",
        "probability": 0.9,
        "name": "Detection 1",
        "comment": "",
        "when": "2026-11-28T09:00:00.000+00:00",
        "reviewer": "A",
        "weights_sha256": "ab" * 32,
        "source": "detection",
        "lesion": "l1",
    }


def test_a_verdict_is_taken_back_with_its_time_and_reviewer():
    mark = found_marks()[0]
    assert mark.judged("unsure", "2026", "A").judged(None, "2027", "A") == mark
    with pytest.raises(InputError, match=r"verdict: expected tumor, not_tumor, unsure or none, found 'maybe'"):
        mark.judged("maybe", "2026", "A")


@pytest.mark.parametrize("verdict", CLASSES)
@pytest.mark.parametrize("by", ["review", "QuPath"])
def test_readers_take_only_tumor_for_tumor(tmp_path, caplog, verdict, by):
    marks = [mark.judged(verdict, "2026", "A") for mark in found_marks()]
    content = json.loads(render(marks))
    path = write(tmp_path / "a.geojson", content if by == "review" else as_qupath_writes(content))
    annotation = read_annotation(path)
    assert contains(annotation, INSIDE).tolist() == [verdict == "tumor"]
    assert len(annotation.undecided) == (verdict in ("unsure", None))
    assert annotation.exclusion == ()
    points_said = verdict == "tumor" and by == "QuPath"  # a person's points look the same
    assert [record.message.split(": ")[1] for record in caplog.records] == [
        *(["points, lines or detections"] if points_said else []),
        *(["outlines of class Unsure or Unreviewed"] if verdict in ("unsure", None) else []),
    ]
    assert [mark.verdict for mark in read_verdicts(path)] == [verdict] * 4


def test_a_rejected_outline_does_not_cut_a_better_one_that_was_drawn_over_it(tmp_path):
    (*_, outline) = found_marks()
    drawn = replace(outline, id="x", source="drawn", geometry={"type": "Polygon", "coordinates": [RING_XY]})
    marks = [outline.judged("not_tumor", "2026", "A"), drawn.judged("tumor", "2026", "A")]
    path = tmp_path / "a.geojson"
    path.write_bytes(render(marks))
    assert contains(read_annotation(path), INSIDE).all()


def test_features_of_other_programs_are_kept(tmp_path):
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [7, 8]}, "properties": {}}
    exported = {**point, "id": "e", "properties": {"classification": {"name": "Detection"}, "measurements": {"a": 1}}}
    tissue = {**feature("Tissue", TUMOR_XY, isLocked=True), "id": "t"}
    odd = {**feature("Tumor", TUMOR_XY, probability="high", comment=7, source="magic"), "id": "o"}
    path = write(tmp_path / "a.geojson", collection(point, exported, tissue, odd))
    first, detection, area, strange = read_verdicts(path)
    assert (first.source, first.classification, first.verdict) == ("detection", None, None)
    assert first.id == read_verdicts(path)[0].id
    assert (detection.source, detection.label, detection.others) == (
        "detection",
        "Unreviewed",
        {"measurements": {"a": 1}},
    )
    assert (area.source, area.label, area.verdict, area.others) == ("drawn", "Tissue", None, {"isLocked": True})
    assert (strange.verdict, strange.probability, strange.comment, strange.source) == ("tumor", None, "", "drawn")
    for mark in (first, detection, area, strange):
        (written,) = read_features(path, to_feature(mark))
        assert from_feature(written) == mark


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (collection({"type": "Feature", "properties": {}}), "feature 1: expected a point, line or polygon"),
        ({"a": 1}, "expected NCRF JSON"),
        ("{", "not a readable JSON file"),
    ],
)
def test_read_verdicts_refuses(tmp_path, content, said):
    path = write(tmp_path / "a.geojson", content)
    with pytest.raises(InputError, match=said) as error:
        read_verdicts(path)
    assert str(error.value).startswith(f"{path}: ")


def test_point_xy_is_the_middle():
    marks = found_marks()
    assert marks[0].point_xy == (150, 40)
    assert marks[3].point_xy == (250, 90)


@pytest.mark.parametrize(
    ("first", "second", "outline"),
    [
        ("tumor", None, "tumor"),
        ("tumor", "not_tumor", "tumor"),
        ("not_tumor", "tumor", "tumor"),
        ("unsure", "not_tumor", "unsure"),
        ("not_tumor", None, None),
        ("not_tumor", "not_tumor", "not_tumor"),
    ],
)
def test_an_outline_follows_its_detections(first, second, outline):
    marks = [mark.judged("tumor", "2025", "B") if mark.id == "l1" else mark for mark in found_marks()]
    marks[1] = marks[1].judged(second, "2026", "A")
    found = outlines_of(marks[0].judged(first, "2026", "A"), marks)
    state = found.get("l1", marks[3])
    assert state.verdict == outline
    assert found == {} or state.when == ("2026" if outline else None)


def test_nothing_follows_from_other_marks():
    marks = found_marks()
    assert outlines_of(marks[2].judged("tumor", "2026", "A"), marks) == {}
    assert outlines_of(marks[3].judged("tumor", "2026", "A"), marks) == {}


def test_classes_have_colors_that_differ():
    colors = [np.array(classification(verdict)["color"]) for verdict in CLASSES]
    assert min(np.abs(a - b).sum() for i, a in enumerate(colors) for b in colors[:i]) > 100


def test_a_file_has_a_feature_a_line():
    lines = render(found_marks()).decode().splitlines()
    assert len(lines) == 6
    assert json.loads(lines[1].rstrip(","))["id"] == "d1"
    assert json.loads(render([])) == {"type": "FeatureCollection", "features": []}
