"""Annotation files: three forms, what they hold besides areas, and what is refused."""

from __future__ import annotations

import pytest

from helpers.annotation_forms import EXCLUSION_XY, TUMOR_XY, asap, collection, feature, ncrf, write
from helpers.refusals import refusal
from scripts.annotations.readers import read_outlines
from scripts.errors import InputError

FORMS = {
    "a.json": ncrf([TUMOR_XY], [EXCLUSION_XY]),
    "a.xml": asap(("tumor", TUMOR_XY), ("exclusion", EXCLUSION_XY)),
    "a.geojson": collection(feature("tumor", TUMOR_XY, name="A0"), feature("exclusion", EXCLUSION_XY, name="A0")),
}


@pytest.mark.parametrize("name", FORMS)
def test_read_outlines_forms(tmp_path, name):
    found = read_outlines(write(tmp_path / name, FORMS[name]))
    assert [outline.label for outline in found.areas] == ["tumor", "exclusion"]
    assert found.areas[0].name == "A0"
    (ring,) = found.areas[0].rings_xy
    assert [list(vertex) for vertex in ring][:4] == TUMOR_XY
    assert found.others == []
    assert found.is_geojson == (name == "a.geojson")


def test_read_outlines_asap_sorts_by_order(tmp_path):
    text = asap(("Tumor", TUMOR_XY)).replace('Order="1"', 'Order="x"').replace('Order="2"', 'Order="1"')
    shuffled = TUMOR_XY[:1] + TUMOR_XY[2:1:-1] + TUMOR_XY[1:2] + TUMOR_XY[3:]
    found = read_outlines(write(tmp_path / "a.xml", text.replace('Order="x"', 'Order="2"')))
    assert [list(vertex) for vertex in found.areas[0].rings_xy[0]] == shuffled


def test_read_outlines_multipolygon_is_several(tmp_path):
    content = feature("Tumor", TUMOR_XY, EXCLUSION_XY, kind="MultiPolygon", name="two")
    assert [outline.name for outline in read_outlines(write(tmp_path / "a.json", content)).areas] == ["two", "two"]


def test_read_outlines_names_what_is_no_area(tmp_path):
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3, 4]}, "properties": {"name": "dot"}}
    cell = feature("Tumor", TUMOR_XY, objectType="cell", name="cell")
    found = read_outlines(write(tmp_path / "a.json", [point, cell, feature("Tumor", TUMOR_XY)]))
    assert found.others == ["dot", "cell"]
    assert len(found.areas) == 1
    found = read_outlines(write(tmp_path / "a.xml", asap(extra='<Annotation Name="D" Type="Dot"/>')))
    assert found.others == ["D"]


@pytest.mark.parametrize("label", ["Detection", "Tumor", "detections", None])
@pytest.mark.parametrize("kind", ["annotation", "detection"])
def test_only_exported_points_are_passed_over_in_silence(tmp_path, kind, label):
    """Points of class Detection are what an export writes; areas and lines of that class are somebody else's."""
    geometries = [
        {"type": "Point", "coordinates": [3, 4]},
        {"type": "MultiPoint", "coordinates": [[3, 4], [5, 6]]},
        {"type": "LineString", "coordinates": [[3, 4], [5, 6]]},
    ]
    properties = {"objectType": kind, "classification": label and {"name": label}}
    features = [{"type": "Feature", "geometry": geometry, "properties": properties} for geometry in geometries]
    features.append(feature(label, TUMOR_XY, objectType="cell"))
    found = read_outlines(write(tmp_path / "a.geojson", collection(*features)))
    first = 3 if label == "Detection" else 1
    assert (found.areas, found.others) == ([], [f"feature {number}" for number in range(first, 5)])


@pytest.mark.parametrize("group", ["Detection", "Tumor"])
def test_only_exported_dots_are_passed_over_in_silence(tmp_path, group):
    kinds = ("Dot", "PointSet", "PolyLine")
    extra = "".join(f'<Annotation Name="{kind}" Type="{kind}" PartOfGroup="{group}"/>' for kind in kinds)
    found = read_outlines(write(tmp_path / "a.xml", asap(extra=extra)))
    assert (found.areas, found.others) == ([], list(kinds[2:] if group == "Detection" else kinds))


def typed(kind, form):
    """A polygon that QuPath of one of its versions says is of this type."""
    found = feature("Tumor", TUMOR_XY)
    if form == "id":
        return {**found, "id": kind}
    return {**found, "properties": {**found["properties"], form: kind}}


OBJECTS = [
    *((kind, "id") for kind in ("PathCellObject", "PathDetectionObject", "PathTileObject", "TMACoreObject")),
    *((kind, form) for kind in ("cell", "detection", "tile") for form in ("objectType", "object_type", "type")),
    *(("tmaCore", "objectType"), ("tma_core", "object_type")),
]


@pytest.mark.parametrize(("kind", "form"), OBJECTS)
def test_read_outlines_takes_no_detection_of_any_qupath_for_an_area(tmp_path, kind, form):
    found = read_outlines(write(tmp_path / "a.json", [typed(kind, form), feature("Tumor", TUMOR_XY)]))
    assert found.others == ["feature 1"]
    assert [outline.name for outline in found.areas] == ["feature 2"]


@pytest.mark.parametrize(
    ("kind", "form"),
    [("PathAnnotationObject", "id"), ("annotation", "object_type"), ("annotation", "objectType"), ("nest", "type")],
)
def test_read_outlines_annotations_of_any_qupath(tmp_path, kind, form):
    found = read_outlines(write(tmp_path / "a.json", typed(kind, form)))
    assert ([outline.name for outline in found.areas], found.others) == (["feature 1"], [])


def test_read_outlines_objecttype_goes_before_the_id(tmp_path):
    both = {**typed("annotation", "objectType"), "id": "PathCellObject"}  # as StarDist's and HoVer-Net's scripts write
    assert len(read_outlines(write(tmp_path / "a.json", both)).areas) == 1


def with_children(parent, *children, key="childObjects"):
    return {**parent, "properties": {**parent["properties"], key: list(children)}}


@pytest.mark.parametrize("key", ["childObjects", "children"])
def test_read_outlines_reads_children_at_any_depth(tmp_path, key):
    inner = with_children(typed("detection", "objectType"), feature("c", TUMOR_XY), feature("d", TUMOR_XY), key=key)
    core = with_children(typed("tmaCore", "objectType"), feature("b", TUMOR_XY), inner, key=key)
    root = {"type": "Feature", "id": "PathRootObject", "geometry": None, "properties": {}}
    content = collection(with_children(root, feature("a", TUMOR_XY), core, key=key), feature("e", TUMOR_XY))
    found = read_outlines(write(tmp_path / "a.json", content))
    assert [outline.label for outline in found.areas] == ["a", "b", "c", "d", "e"]
    assert [outline.name for outline in found.areas][:2] == ["feature 1.1", "feature 1.2.1"]
    assert found.others == ["feature 1.2", "feature 1.2.2"]


@pytest.mark.parametrize("place", ["beside", "collection", "alone"])
def test_read_outlines_finds_children_where_other_programs_keep_them(tmp_path, place):
    parent, child = feature("Region*", EXCLUSION_XY), feature("Tumor", TUMOR_XY)
    held = {"beside": [child], "collection": collection(child), "alone": child}[place]
    if place == "beside":
        parent["childObjects"] = held
    else:
        parent["properties"]["childObjects"] = held
    found = read_outlines(write(tmp_path / "a.json", collection(parent)))
    assert [outline.label for outline in found.areas] == ["Region*", "Tumor"]


def test_a_number_of_children_is_no_child(tmp_path):
    parent = feature("Tumor", TUMOR_XY)
    parent["properties"]["children"] = 3
    assert len(read_outlines(write(tmp_path / "a.json", parent)).areas) == 1


@pytest.mark.parametrize("kind", ["DETECTION", "Cell", "TmaCore", "TMA_CORE"])
def test_read_outlines_takes_types_in_any_case(tmp_path, kind):
    found = read_outlines(write(tmp_path / "a.json", typed(kind, "objectType")))
    assert (found.areas, found.others) == ([], ["feature 1"])


def test_an_outline_has_its_own_points_alone(tmp_path):
    inner = asap(("Exclusion", EXCLUSION_XY))
    inner = inner[inner.index("<Annotation ") : inner.rindex("</Annotations>")]
    nested = asap(("Tumor", TUMOR_XY)).replace("</Coordinates></Annotation>", f"</Coordinates>{inner}</Annotation>")
    assert inner in nested
    outer, found = read_outlines(write(tmp_path / "a.xml", nested)).areas
    assert (outer.label, found.label) == ("Tumor", "Exclusion")
    assert outer.rings_xy == read_outlines(write(tmp_path / "b.xml", asap(("Tumor", TUMOR_XY)))).areas[0].rings_xy


def test_read_outlines_of_bare_geometries(tmp_path):
    polygon = feature(None, TUMOR_XY)["geometry"]
    several = feature(None, TUMOR_XY, EXCLUSION_XY, kind="MultiPolygon")["geometry"]
    point = {"type": "Point", "coordinates": [3, 4]}
    nested = {"type": "GeometryCollection", "geometries": [several, point]}
    for geometry, num in ((polygon, 1), (several, 2), ({**nested, "geometries": [polygon, nested, polygon]}, 4)):
        for content in (geometry, {"type": "Feature", "geometry": geometry, "properties": {}}):
            found = read_outlines(write(tmp_path / "a.json", content))
            assert [outline.label for outline in found.areas] == [None] * num
            assert len(found.others) == (num == 4)
            assert found.is_geojson


def test_read_outlines_labels_of_qupath(tmp_path):
    for classification, label in (({"names": ["Ignore*", "Fold"]}, "Ignore*: Fold"), ("Tumor", "Tumor"), (None, None)):
        content = feature(None, TUMOR_XY, classification=classification)
        assert read_outlines(write(tmp_path / "a.json", content)).areas[0].label == label


@pytest.mark.parametrize("name", ["none.json", "none.xml"])
def test_read_outlines_missing_file(tmp_path, name):
    with pytest.raises(InputError, match="no such file"):
        read_outlines(tmp_path / name)


BAD = {
    "truncated_json": ("a.json", '{"positive": [{"name": "A', "JSON"),
    "truncated_xml": ("a.xml", asap(("Tumor", TUMOR_XY))[:-30], "XML"),
    "empty": ("a.json", "", "JSON"),
    "entities": ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><ASAP_Annotations>&b;</ASAP_Annotations>', "XML"),
    "other_xml": ("a.xml", "<Annotations/>", "ASAP_Annotations"),
    "other_json": ("a.json", {"shapes": []}, "NCRF"),
    "no_vertices": ("a.json", {"positive": [{"name": "A7"}]}, "A7"),
    "no_polygon": ("a.json", {"positive": [3]}, "positive"),
    "no_list": ("a.json", {"positive": {"name": "A0"}}, "positive"),
    "xml_no_x": ("a.xml", asap(("Tumor", TUMOR_XY)).replace('X="420"', ""), "A0"),
    "xml_no_number": ("a.xml", asap(("Tumor", TUMOR_XY)).replace('X="420"', 'X="4,2"'), "A0"),
    "xml_underscore": ("a.xml", asap(("Tumor", TUMOR_XY)).replace('X="420"', 'X="4_20"'), "A0"),
    "xml_arabic": ("a.xml", asap(("Tumor", TUMOR_XY)).replace('X="420"', 'X="\u0664"'), "A0"),
    "xml_type": ("a.xml", asap(("Tumor", TUMOR_XY)).replace("Polygon", "Blob"), "Blob"),
    "no_feature": ("a.json", collection(3), "feature 1"),
    "no_features": ("a.json", {"type": "FeatureCollection"}, "GeoJSON"),
    "geometries": ("a.json", feature("Tumor", TUMOR_XY, kind="GeometryCollection", name="G"), "'G'"),
    "bare_geometry": ("a.json", {"type": "Polygon"}, "feature 1"),
    "type_of_lists": ("a.json", {"type": ["Polygon"]}, "GeoJSON"),
    "geometry_in_geometry": ("a.json", {"type": "GeometryCollection", "geometries": [3]}, "feature 1"),
    "child": ("a.json", with_children(feature("Tumor", TUMOR_XY), {"type": "Feature", "geometry": 3}), "feature 1.1"),
    "coordinates": ("a.json", {**feature("Tumor"), "geometry": {"type": "Polygon"}}, "feature 1"),
    "properties": ("a.json", {**feature("Tumor"), "properties": [1]}, "feature 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_read_outlines_refuses(tmp_path, case):
    name, content, words = BAD[case]
    assert words in refusal(read_outlines, write(tmp_path / name, content))
