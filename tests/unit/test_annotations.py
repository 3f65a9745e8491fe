"""Annotations: three file forms, defective polygons, and containment against slow and foreign judges."""

from __future__ import annotations

import json
import logging
import re
import tarfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from scripts import annotations
from scripts.annotations import Annotation, Polygon, contains, index_annotations, is_normal_name, read_annotation
from scripts.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data"
ARCHIVES = (SHARED / "ncrf" / "jsons.tar.xz", SHARED / "camelyon16_test" / "ground_truth_jsons.tar.xz")
needs_real = pytest.mark.skipif(
    not all(path.exists() for path in ARCHIVES),
    reason="the real annotations are not in shared/data beside the checkout",
)

TUMOR_XY = [[300, 20], [420, 20], [420, 100], [300, 100]]
EXCLUSION_XY = [[320, 40], [340, 40], [340, 60], [320, 60]]
IN_TUMOR, IN_EXCLUSION, SWAPPED = (90.5, 400.5), (50.5, 330.5), (400.5, 90.5)

vertices = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 13)), min_size=3, max_size=9)


def annotation_of(*rings, exclusion=()):
    def polygons(items):
        return tuple(Polygon(f"p{i}", (np.array(ring, float),)) for i, ring in enumerate(items))

    return Annotation(Path("made.json"), polygons(rings), polygons(exclusion))


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def ncrf(positive=(), negative=()):
    def polygons(items):
        return [{"name": f"A{i}", "vertices": ring} for i, ring in enumerate(items)]

    return {"positive": polygons(positive), "negative": polygons(negative)}


def asap(*outlines, extra=""):
    body = "".join(
        f'<Annotation Name="A{i}" Type="Polygon" PartOfGroup="{group}" Color="#F4FA58"><Coordinates>'
        + "".join(f'<Coordinate Order="{k}" X="{x}" Y="{y}" />' for k, (x, y) in enumerate(ring))
        + "</Coordinates></Annotation>"
        for i, (group, ring) in enumerate(outlines)
    )
    return f'<?xml version="1.0"?>\n<ASAP_Annotations><Annotations>{body}{extra}</Annotations></ASAP_Annotations>'


def feature(label, *rings, kind="Polygon", **properties):
    closed = [[*ring, ring[0]] for ring in rings]
    if label is not None:
        properties["classification"] = {"name": label, "colorRGB": -1}
    coordinates = closed if kind == "Polygon" else [[ring] for ring in closed]
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": coordinates}, "properties": properties}


def collection(*features):
    return {"type": "FeatureCollection", "features": list(features)}


def slow_inside(rings, row, col):
    """Even-odd rule in exact fractions; upper and left sides in, lower and right ones out."""
    num_right = 0
    for ring in rings:
        for (r0, c0), (r1, c1) in zip(ring, [*ring[1:], ring[0]], strict=True):
            if (r0 <= row) != (r1 <= row):
                num_right += col < c0 + Fraction(c1 - c0) * (Fraction(row) - r0) / Fraction(r1 - r0)
    return num_right % 2 == 1


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
        assert read_annotation(path)[1:] == ((), ())


def test_read_annotation_asap_sorts_by_order(tmp_path):
    text = asap(("Tumor", TUMOR_XY)).replace('Order="1"', 'Order="x"').replace('Order="2"', 'Order="1"')
    shuffled = TUMOR_XY[:1] + TUMOR_XY[2:1:-1] + TUMOR_XY[1:2] + TUMOR_XY[3:]
    annotation = read_annotation(write(tmp_path / "a.xml", text.replace('Order="x"', 'Order="2"')))
    assert annotation.tumor[0].rings[0][:, ::-1].tolist() == shuffled


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


def test_read_annotation_names_of_derived_classes(tmp_path):
    content = feature(None, TUMOR_XY, classification={"names": ["Ignore*", "Fold"]})
    assert len(read_annotation(write(tmp_path / "a.json", content)).exclusion) == 1
    content["properties"]["classification"] = "Tumor"
    assert len(read_annotation(write(tmp_path / "a.json", content)).tumor) == 1


BAD = {
    "truncated_json": ("a.json", '{"positive": [{"name": "A', "JSON"),
    "truncated_xml": ("a.xml", asap(("Tumor", TUMOR_XY))[:-30], "XML"),
    "empty": ("a.json", "", "JSON"),
    "entities": ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><ASAP_Annotations>&b;</ASAP_Annotations>', "XML"),
    "other_xml": ("a.xml", "<Annotations/>", "ASAP_Annotations"),
    "other_json": ("a.json", {"shapes": []}, "NCRF"),
    "nan": ("a.json", '{"positive": [{"name": "A0", "vertices": [[1, 2], [NaN, 3], [4, 5]]}]}', "A0"),
    "overflow": ("a.json", '{"positive": [{"name": "A0", "vertices": [[1, 2], [1e400, 3], [4, 5]]}]}', "A0"),
    "huge": ("a.json", ncrf([[[1, 2], [10**30, 3], [4, 5]]]), "A0"),
    "text": ("a.json", ncrf([[["1", "2"], ["3", "4"], ["5", "9"]]]), "A0"),
    "ragged": ("a.json", ncrf([[[1, 2], [3], [4, 5]]]), "A0"),
    "null": ("a.json", ncrf([None]), "A0"),
    "no_vertices": ("a.json", {"positive": [{"name": "A7"}]}, "A7"),
    "no_polygon": ("a.json", {"positive": [3]}, "positive"),
    "no_list": ("a.json", {"positive": {"name": "A0"}}, "positive"),
    "xml_no_x": ("a.xml", asap(("Tumor", TUMOR_XY)).replace('X="420"', ""), "A0"),
    "xml_no_number": ("a.xml", asap(("Tumor", TUMOR_XY)).replace('X="420"', 'X="4,2"'), "A0"),
    "xml_inf": ("a.xml", asap(("Tumor", TUMOR_XY)).replace('X="420"', 'X="inf"'), "A0"),
    "xml_type": ("a.xml", asap(("Tumor", TUMOR_XY)).replace("Polygon", "Blob"), "Blob"),
    "no_feature": ("a.json", collection(3), "feature 1"),
    "no_features": ("a.json", {"type": "FeatureCollection"}, "GeoJSON"),
    "geometries": ("a.json", feature("Tumor", TUMOR_XY, kind="GeometryCollection", name="G"), "'G'"),
    "coordinates": ("a.json", {**feature("Tumor"), "geometry": {"type": "Polygon"}}, "feature 1"),
    "properties": ("a.json", {**feature("Tumor"), "properties": [1]}, "feature 1"),
    "misspelt_class": ("a.json", feature("Tumro", TUMOR_XY), "Tumro"),
    "misspelt_group": ("a.xml", asap(("Tumro", TUMOR_XY)), "Tumro"),
}


@pytest.mark.parametrize("case", BAD)
def test_read_annotation_refuses(tmp_path, case):
    name, content, words = BAD[case]
    path = write(tmp_path / name, content)
    with pytest.raises(InputError) as error:
        read_annotation(path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert words in message
    assert "\n" not in message
    assert len(message) - len(str(path)) < 220


@pytest.mark.parametrize("name", ["none.json", "none.xml"])
def test_read_annotation_missing_file(tmp_path, name):
    with pytest.raises(InputError, match="no such file"):
        read_annotation(tmp_path / name)


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


@given(vertices)
def test_contains_agrees_with_fractions(ring):
    points = [(row / 2, col / 2) for row in range(-1, 21) for col in range(-1, 29)]
    expected = [slow_inside([ring], row, col) for row, col in points]
    assert contains(annotation_of(ring), points).tolist() == expected


@given(vertices, vertices, vertices)
def test_contains_is_union_less_exclusions(first, second, cut):
    points = [(row / 2, col / 2) for row in range(-1, 21, 3) for col in range(-1, 29, 2)]
    annotation = annotation_of(first, second, exclusion=[cut])
    union = [slow_inside([first], *point) or slow_inside([second], *point) for point in points]
    expected = [inside and not slow_inside([cut], *point) for inside, point in zip(union, points, strict=True)]
    assert contains(annotation, points).tolist() == expected
    assert contains(annotation, points, ignore_exclusions=True).tolist() == union


@given(vertices, st.integers(0, 8), st.booleans())
def test_contains_does_not_depend_on_drawing(ring, shift, is_reversed):
    redrawn = (ring[::-1] if is_reversed else ring)[shift:] + (ring[::-1] if is_reversed else ring)[:shift]
    points = np.random.default_rng(0).uniform(-1, 14, (60, 2))
    assert (contains(annotation_of(ring), points) == contains(annotation_of(redrawn), points)).all()


def test_contains_boundary():
    annotation = annotation_of([(2, 3), (2, 7), (5, 7), (5, 3)])
    points = {"top": (2, 5), "left": (3, 3), "top left": (2, 3), "bottom": (5, 5), "right": (3, 7), "corner": (5, 7)}
    inside = contains(annotation, list(points.values())).tolist()
    assert dict(zip(points, inside, strict=True)) == {
        "top": True, "left": True, "top left": True, "bottom": False, "right": False, "corner": False,
    }  # fmt: skip


def test_contains_hole_and_island():
    rings = tuple(
        np.array([(top, top), (top, 20 - top), (13 - top, 20 - top), (13 - top, top)], float) for top in (0, 2, 4)
    )
    annotation = Annotation(Path("a"), (Polygon("nested", rings),), ())
    assert contains(annotation, [(1, 10), (3, 10), (6, 10)]).tolist() == [True, False, True]


def test_contains_no_points_or_polygons():
    assert contains(annotation_of(), [(1, 2)]).tolist() == [False]
    assert contains(annotation_of([(0, 0), (0, 9), (9, 9)]), np.empty((0, 2))).shape == (0,)
    assert not contains(annotation_of([(0, 0), (0, 9), (9, 9)]), [(np.nan, 1), (1, np.inf)]).any()


def test_contains_in_chunks(monkeypatch):
    rng = np.random.default_rng(1)
    annotation, points = annotation_of(rng.uniform(0, 99, (50, 2))), rng.uniform(0, 99, (500, 2))
    whole = contains(annotation, points)
    monkeypatch.setattr(annotations, "_POINTS_AT_ONCE", 7)
    assert (contains(annotation, points) == whole).all()
    assert 0 < whole.sum() < 500


@pytest.fixture(scope="module")
def real_reading(tmp_path_factory):
    folder = tmp_path_factory.mktemp("real")
    for archive in ARCHIVES:
        with tarfile.open(archive) as tar:
            tar.extractall(folder / archive.stem, filter="data")
    paths = sorted(path for path in folder.rglob("*.json") if not path.parent.name.startswith("."))
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())
    annotations.logger.addHandler(handler)
    yield [read_annotation(path) for path in paths], warnings
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
def test_real_polygons_agree_with_skimage_and_shapely(real_annotations):
    rng = np.random.default_rng(2)
    num_inside = 0
    for annotation in real_annotations:
        for polygon in annotation.tumor + annotation.exclusion:
            (ring,) = polygon.rings
            top, left, bottom, right = polygon.bounds()
            margin = 0.05 * (bottom - top + right - left)
            # random fractions of a pixel keep clear of sides between whole pixels, where the judges' rules differ
            points = rng.uniform((top - margin, left - margin), (bottom + margin, right + margin), (40, 2))
            inside = contains(Annotation(annotation.path, (polygon,), ()), points)
            assert (inside == points_in_poly(points, ring)).all(), (annotation.path, polygon.name)
            outline = shapely.Polygon(ring)
            if outline.is_valid:
                assert (inside == shapely.contains_xy(outline, points)).all(), (annotation.path, polygon.name)
            num_inside += int(inside.sum())
    assert num_inside > 50_000


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
