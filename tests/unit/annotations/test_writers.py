"""Written annotations: the published form, and what our own reader makes of them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from scripts.annotations.annotations import read_annotation
from scripts.annotations.writers import write_asap_xml, write_ncrf_json

RNG = np.random.default_rng(4)
TUMOR = [RNG.uniform((0, 500), (400, 2000), (count, 2)) for count in (7, 31)]
EXCLUSION = [RNG.uniform((100, 900), (200, 1100), (5, 2))]


def test_write_asap_xml(tmp_path):
    write_asap_xml(tmp_path / "a.xml", TUMOR, EXCLUSION)
    root = ElementTree.parse(tmp_path / "a.xml").getroot()
    assert root.tag == "ASAP_Annotations"
    read = {"_0": [], "_2": []}
    for annotation in root.iterfind("Annotations/Annotation"):
        assert annotation.attrib["Type"] == "Polygon"
        vertices = sorted(annotation.iterfind("Coordinates/Coordinate"), key=lambda c: int(c.attrib["Order"]))
        read[annotation.attrib["PartOfGroup"]].append(
            np.array([[float(vertex.attrib["Y"]), float(vertex.attrib["X"])] for vertex in vertices])
        )
    for found, expected in ((read["_0"], TUMOR), (read["_2"], EXCLUSION)):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=6e-4)
    groups = {group.attrib["Name"] for group in root.iterfind("AnnotationGroups/Group")}
    assert groups == {"_0", "_2"}


def test_write_ncrf_json(tmp_path):
    write_ncrf_json(tmp_path / "a.json", TUMOR, EXCLUSION)
    content = json.loads((tmp_path / "a.json").read_text())
    assert [len(content["positive"]), len(content["negative"])] == [2, 1]
    assert content["negative"][0]["name"] == "Annotation 2"
    for written, outline in zip(content["positive"] + content["negative"], TUMOR + EXCLUSION, strict=True):
        assert all(isinstance(number, int) for vertex in written["vertices"] for number in vertex)
        np.testing.assert_allclose(np.array(written["vertices"])[:, ::-1], outline, atol=0.5)


@pytest.mark.parametrize(
    ("name", "writer", "atol"), [("a.xml", write_asap_xml, 6e-4), ("a.json", write_ncrf_json, 0.5)]
)
def test_written_annotations_are_read(tmp_path, name, writer, atol):
    writer(tmp_path / name, TUMOR, EXCLUSION)
    annotation = read_annotation(tmp_path / name)
    for found, expected in ((annotation.tumor, TUMOR), (annotation.exclusion, EXCLUSION)):
        for polygon, outline in zip(found, expected, strict=True):
            np.testing.assert_allclose(polygon.rings[0], outline, atol=atol)
    writer(tmp_path / name, [])
    assert read_annotation(tmp_path / name)[1:] == ((), (), ())
