"""Annotations: classes, defective polygons, containment and the published files."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.annotation_forms import EXCLUSION_XY, TUMOR_XY, asap, asap_groups, collection, feature, ncrf, write
from helpers.even_odd import slow_inside
from helpers.real_annotations import extract_real_annotations, needs_real
from helpers.refusals import refusal
from scripts.annotations import annotations
from scripts.annotations.annotations import (
    Annotation,
    contains,
    index_annotations,
    is_normal_name,
    read_annotation,
    read_tissue,
)
from scripts.annotations.polygons import Polygon
from scripts.errors import InputError

vertices = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 13)), min_size=3, max_size=9)

IN_TUMOR, IN_EXCLUSION, SWAPPED = (90.5, 400.5), (50.5, 330.5), (400.5, 90.5)


def annotation_of(*rings, exclusion=()):
    def polygons(items):
        return tuple(Polygon(f"p{i}", (np.array(ring, float),)) for i, ring in enumerate(items))

    return Annotation(Path("made.json"), polygons(rings), polygons(exclusion))


FORMS = {
    "ncrf.json": ncrf([TUMOR_XY], [EXCLUSION_XY]),
    "asap.xml": asap(("Tumor", TUMOR_XY), ("Exclusion", EXCLUSION_XY)),
    "asap_numbers.xml": asap(("_0", TUMOR_XY), ("_2", EXCLUSION_XY)),
    "asap_one.xml": asap(("_1", TUMOR_XY), ("_2", EXCLUSION_XY)),
    "collection.geojson": collection(feature("Tumor", TUMOR_XY), feature("Exclusion", EXCLUSION_XY)),
    "list.json": [feature("metastasis", TUMOR_XY), feature("Ignore*", EXCLUSION_XY)],
    "one_with_hole.json": feature("Tumor: Positive", TUMOR_XY, EXCLUSION_XY),
    "multi.geojson": collection(
        feature("TUMOR", TUMOR_XY, [[0, 0], [9, 0], [9, 9]], kind="MultiPolygon"), feature("normal", EXCLUSION_XY)
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_read_annotation_forms(tmp_path, caplog, name):
    annotation = read_annotation(write(tmp_path / name, FORMS[name]))
    assert contains(annotation, [IN_TUMOR, IN_EXCLUSION, SWAPPED]).tolist() == [True, False, False]
    if annotation.exclusion:
        assert contains(annotation, [IN_EXCLUSION], ignore_exclusions=True).all()
    assert not caplog.records


def test_read_annotation_is_row_then_col(tmp_path):
    annotation = read_annotation(write(tmp_path / "a.json", ncrf([TUMOR_XY])))
    assert annotation.tumor[0].rings[0].tolist() == [[20, 300], [20, 420], [100, 420], [100, 300]]
    assert annotation.tumor[0].bounds() == (20, 300, 100, 420)


def test_read_annotation_normal_slide(tmp_path):
    annotation = read_annotation(write(tmp_path / "Normal_001.json", {"negative": ncrf([], [TUMOR_XY])["negative"]}))
    assert not contains(annotation, [IN_TUMOR]).any()
    assert len(annotation.exclusion) == 1


def test_read_annotation_empty_means_normal(tmp_path):
    for i, content in enumerate((ncrf(), collection(), [], asap())):
        path = write(tmp_path / (f"a{i}.xml" if isinstance(content, str) else f"a{i}.json"), content)
        assert read_annotation(path)[1:] == ((), (), ())


DEFECTS = {
    "self_crossing": ("a.json", ncrf([TUMOR_XY, [[0, 0], [9, 9], [9, 0], [0, 9]]]), "self-crossing", "A1", 2),
    "two_points": ("a.json", ncrf([TUMOR_XY, [[0, 0], [9, 9]]]), "fewer than 3 points: 1", "A1", 1),
    "two_points_closed": ("a.json", ncrf([TUMOR_XY, [[0, 0], [9, 9], [0, 0]]]), "fewer than 3 points: 1", "A1", 1),
    "no_points": ("a.json", ncrf([TUMOR_XY, []]), "fewer than 3 points: 1", "A1", 1),
    "short_hole": (
        "a.json",
        feature("Tumor", TUMOR_XY, [[1, 1], [2, 2]], name="holed"),
        "fewer than 3 points: 1",
        "holed",
        1,
    ),
    "no_rings": ("a.json", [feature("Tumor", TUMOR_XY), feature("Tumor", name="bare")], "fewer than 3", "bare", 1),
    "unclosed": (
        "a.json",
        {"type": "Feature", "id": "f7", "geometry": {"type": "Polygon", "coordinates": [TUMOR_XY]}, "properties": None},
        "unclosed GeoJSON rings: 1",
        "f7",
        1,
    ),
    "no_class": ("a.json", feature(None, TUMOR_XY), "without a class: 1", "feature 1", 1),
    "no_group": ("a.xml", asap(("None", TUMOR_XY)), "without a class: 1", "A0", 1),
    "other_class": ("a.json", [feature("Tumor", TUMOR_XY), feature("Stroma", TUMOR_XY)], "left out", "(Stroma)", 1),
    "other_group": ("a.xml", asap(("Tumor", TUMOR_XY), ("fat", TUMOR_XY)), "left out", "(fat)", 1),
    "point": (
        "a.json",
        [
            feature("Tumor", TUMOR_XY),
            {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3, 4]}, "properties": {"name": "dot"}},
            {"type": "Feature", "geometry": None, "properties": {}},
        ],
        "left out",
        "dot",
        1,
    ),
    "detection": (
        "a.json",
        [feature("Tumor", TUMOR_XY), feature("Tumor", TUMOR_XY, objectType="cell", name="c")],
        "detections: 1",
        "c",
        1,
    ),
    "asap_dot": (
        "a.xml",
        asap(("Tumor", TUMOR_XY), extra='<Annotation Name="D" Type="Dot" PartOfGroup="Tumor"/>'),
        "left out",
        "D",
        1,
    ),
}


@pytest.mark.parametrize("case", DEFECTS)
def test_read_annotation_warns_once_of_defects(tmp_path, caplog, case):
    name, content, words, first, num_tumor = DEFECTS[case]
    path = write(tmp_path / name, content)
    with caplog.at_level(logging.WARNING):
        annotation = read_annotation(path)
    expected = [record for record in caplog.messages if words in record]
    assert len(expected) == 1
    assert str(path) in expected[0]
    assert first in expected[0]
    assert "\n" not in expected[0]
    assert len(annotation.tumor) == num_tumor
    assert contains(annotation, [IN_TUMOR]).all()


def test_read_annotation_of_derived_classes(tmp_path):
    content = feature(None, TUMOR_XY, classification={"names": ["Ignore*", "Fold"]})
    assert len(read_annotation(write(tmp_path / "a.json", content)).exclusion) == 1


NESTED = {
    "in tumor": ({"ITC": "Tumor", "Tumor": "None"}, (1, 0)),
    "two deep": ({"ITC": "micro", "micro": "_0", "_0": "None"}, (1, 0)),
    "nearest known": ({"ITC": "Exclusion", "Exclusion": "Tumor", "Tumor": "None"}, (0, 1)),
    "tissue": ({"ITC": "Tissue", "Tissue": "None"}, (0, 0)),
}


@pytest.mark.parametrize(("parents", "counts"), NESTED.values(), ids=NESTED.keys())
def test_read_annotation_takes_the_class_of_the_group_around(tmp_path, caplog, parents, counts):
    path = write(tmp_path / "a.xml", asap(("ITC", TUMOR_XY), extra=asap_groups(**parents)))
    annotation = read_annotation(path)
    assert (len(annotation.tumor), len(annotation.exclusion)) == counts
    assert len(read_tissue(path).tissue) == ("Tissue" in parents)
    assert not caplog.records


@pytest.mark.parametrize(
    "parents", [{"ITC": "None"}, {"ITC": "fat"}, {"ITC": "fat", "fat": "ITC"}, {"ITC": "ITC"}, {"fat": "Tumor"}]
)
def test_read_annotation_refuses_groups_that_lead_to_no_class(tmp_path, parents):
    path = write(tmp_path / "a.xml", asap(("ITC", TUMOR_XY), extra=asap_groups(**parents)))
    assert "the classes ITC are neither" in refusal(read_annotation, path)


def test_tissue_is_no_tumor_and_tumor_no_tissue(tmp_path, caplog):
    content = collection(
        feature("Tumor", TUMOR_XY),
        feature("Exclusion", EXCLUSION_XY),
        *(feature(name, [[x + step, y] for x, y in TUMOR_XY]) for step, name in enumerate(("Tissue", "Region*"))),
        feature("Ignore*", EXCLUSION_XY),
    )
    path = write(tmp_path / "a.geojson", content)
    annotation, outlines = read_annotation(path), read_tissue(path)
    assert (len(annotation.tumor), len(annotation.exclusion)) == (1, 2)
    assert [len(polygons) for polygons in outlines] == [1, 1, 1]
    assert [polygon.bounds()[1] for (polygon,) in outlines] == [300, 301, min(x for x, _ in EXCLUSION_XY)]
    assert not caplog.records


def test_a_slide_with_tissue_alone_is_normal(tmp_path, caplog):
    path = write(tmp_path / "a.geojson", collection(feature("Tissue", TUMOR_XY), feature("region*", TUMOR_XY)))
    assert read_annotation(path)[1:] == ((), (), ())
    assert not caplog.records


def test_read_tissue_warns_of_a_misspelt_class(tmp_path, caplog):
    outlines = read_tissue(write(tmp_path / "a.geojson", feature("Tisue", TUMOR_XY)))
    assert outlines == ((), (), ())
    assert "Tisue" in caplog.text


BAD = {
    "nan": ("a.json", '{"positive": [{"name": "A0", "vertices": [[1, 2], [NaN, 3], [4, 5]]}]}', "A0"),
    "overflow": ("a.json", '{"positive": [{"name": "A0", "vertices": [[1, 2], [1e400, 3], [4, 5]]}]}', "A0"),
    "huge": ("a.json", ncrf([[[1, 2], [10**30, 3], [4, 5]]]), "A0"),
    "text": ("a.json", ncrf([[["1", "2"], ["3", "4"], ["5", "9"]]]), "A0"),
    "ragged": ("a.json", ncrf([[[1, 2], [3], [4, 5]]]), "A0"),
    "null": ("a.json", ncrf([None]), "A0"),
    "fractions": (
        "a.json",
        ncrf([[[0.1, 0.2], [0.3, 0.2], [0.3, 0.4]], [[0.9, 1.0], [1.0, 1.0], [1.0, 0.9]]]),
        "fractions",
    ),
    "fractions_geojson": (
        "a.geojson",
        feature("Tumor", [[0.1, 0.2], [0.3, 0.2], [0.3, 0.4]]),
        "fractions of the slide",
    ),
    "xml_inf": ("a.xml", asap(("Tumor", TUMOR_XY)).replace('X="420"', 'X="inf"'), "A0"),
    "misspelt_class": ("a.json", feature("Tumro", TUMOR_XY), "Tumro"),
    "misspelt_group": ("a.xml", asap(("Tumro", TUMOR_XY)), "Tumro"),
}


@pytest.mark.parametrize("case", BAD)
def test_read_annotation_refuses(tmp_path, case):
    name, content, words = BAD[case]
    assert words in refusal(read_annotation, write(tmp_path / name, content))


def test_index_annotations(tmp_path):
    (tmp_path / "sub").mkdir()
    with pytest.raises(InputError, match="no annotations found"):
        index_annotations(tmp_path)
    for name in ("Tumor_001.json", "sub/b.XML", "001.geojson", "c.txt"):
        write(tmp_path / name, ncrf())
    index = index_annotations(tmp_path)
    assert len(index) == 3
    assert index["tumor_001"].name == "Tumor_001.json"
    assert index["001"].suffix == ".geojson"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Normal_001", True), ("NORMAL", True), ("my_normal-3", True), ("abnormal_1", False), ("Tumor_001", False)],
)
def test_is_normal_name(name, expected):
    assert is_normal_name(name) is expected


@given(vertices, vertices, vertices)
def test_contains_is_union_less_exclusions(first, second, cut):
    points = [(row / 2, col / 2) for row in range(-1, 21, 3) for col in range(-1, 29, 2)]
    annotation = annotation_of(first, second, exclusion=[cut])
    union = [slow_inside([first], *point) or slow_inside([second], *point) for point in points]
    expected = [inside and not slow_inside([cut], *point) for inside, point in zip(union, points, strict=True)]
    assert contains(annotation, points).tolist() == expected
    assert contains(annotation, points, ignore_exclusions=True).tolist() == union


@pytest.fixture(scope="module")
def real_reading(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())
    annotations.logger.addHandler(handler)
    yield [read_annotation(path) for path in extract_real_annotations(folder)], warnings
    annotations.logger.removeHandler(handler)


@pytest.fixture(scope="module")
def real_annotations(real_reading):
    return real_reading[0]


@needs_real
def test_real_annotations_warn_of_defects(real_reading):
    counts = [re.search(r"self-crossing outlines: (\d+)", warning) for warning in real_reading[1]]
    assert sum(int(count[1]) for count in counts if count) == 525
    (short,) = [warning for warning in real_reading[1] if "fewer than 3" in warning]
    assert "Tumor_054.json" in short
    assert len(real_reading[1]) == 116


@needs_real
def test_real_annotations_are_all_read(real_annotations):
    assert len(real_annotations) == 316
    assert sum(len(a.tumor) for a in real_annotations) == 3688
    assert sum(len(a.exclusion) for a in real_annotations) == 2016
    assert all(not a.tumor for a in real_annotations if is_normal_name(a.path.stem))


@needs_real
def test_real_annotations_survive_other_forms(real_annotations, tmp_path):
    for annotation in real_annotations[::40]:
        outlines = [("_0", p) for p in annotation.tumor] + [("_2", p) for p in annotation.exclusion]
        as_xy = [(label, polygon.rings[0][:, ::-1].tolist()) for label, polygon in outlines]
        for path in (
            write(tmp_path / "a.xml", asap(*as_xy)),
            write(tmp_path / "a.geojson", collection(*(feature(label, ring) for label, ring in as_xy))),
        ):
            other = read_annotation(path)
            for ours, theirs in ((annotation.tumor, other.tumor), (annotation.exclusion, other.exclusion)):
                assert len(ours) == len(theirs)
                assert all(np.array_equal(a.rings[0], b.rings[0]) for a, b in zip(ours, theirs, strict=True))
