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
    assert found.must_close == (name == "a.geojson")


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
    "xml_type": ("a.xml", asap(("Tumor", TUMOR_XY)).replace("Polygon", "Blob"), "Blob"),
    "no_feature": ("a.json", collection(3), "feature 1"),
    "no_features": ("a.json", {"type": "FeatureCollection"}, "GeoJSON"),
    "geometries": ("a.json", feature("Tumor", TUMOR_XY, kind="GeometryCollection", name="G"), "'G'"),
    "coordinates": ("a.json", {**feature("Tumor"), "geometry": {"type": "Polygon"}}, "feature 1"),
    "properties": ("a.json", {**feature("Tumor"), "properties": [1]}, "feature 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_read_outlines_refuses(tmp_path, case):
    name, content, words = BAD[case]
    assert words in refusal(read_outlines, write(tmp_path / name, content))
