"""Exports as a folder: every form opened by a reader that is not ours, what is refused, and what a bad map stops."""

from __future__ import annotations

import csv
import importlib.util
import json
import logging
import os
import re
import socket
import time
import uuid
from xml.etree import ElementTree

import numpy as np
import pydicom
import pytest
import shapely
import shapely.geometry
import tifffile
from scipy import ndimage

from scripts.annotations.annotations import read_annotation
from scripts.errors import InputError
from scripts.exports.export import FORMATS, export_maps
from scripts.geometry import map_shape
from scripts.maps.findings import FindingSettings
from scripts.masks.groundtruth import tumor_mask

SHAPE, STRIDE, MPP = (11_101, 20_001), 37, 0.5  # a map of 301 x 541
NAME = "Fälle & <b> 7.a"
SETTINGS = FindingSettings(0.6, 200.0, 0.0)


def _prob_map() -> np.ndarray:
    found = ndimage.gaussian_filter(np.random.default_rng(1).random(map_shape(SHAPE, STRIDE)), 9)
    found = (found - found.min()) / np.ptp(found)
    found[60:90, :90] = 0.9
    found[70:75, 20:31] = 0.1  # a hole, left and right of the middle
    found[72, 25] = 0.99  # an island in it
    return found.astype(np.float32)


PROB_MAP = _prob_map()


def _write(folder, name, prob_map, **changes):
    folder.mkdir(exist_ok=True)
    np.save(folder / f"{name}.npy", prob_map)
    sidecar = {"slide": f"{name}.svs", "shape": list(SHAPE), "stride": STRIDE, "mpp": MPP} | changes
    (folder / f"{name}.json").write_text(json.dumps(sidecar))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Every form of a slide with findings and of one without, written twice."""
    root = tmp_path_factory.mktemp("exports")
    _write(root / "maps", NAME, PROB_MAP)
    _write(root / "maps", "nothing", np.zeros_like(PROB_MAP))
    for threshold in (0.9, 0.6):
        summary = export_maps(root / "maps", root / "out", ",".join(FORMATS), SETTINGS._replace(threshold=threshold))
    assert str(summary).startswith("2 maps as geojson, asap, csv, ome-tiff, zarr, dicom in ")
    return root / "out"


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_tells_nothing_of_when_where_and_by_whom(tmp_path, form, monkeypatch):
    """The same bytes again, in another second, another folder and on another machine."""
    monkeypatch.setattr(socket, "gethostname", lambda: "host-of-a-hospital")
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "person-of-a-hospital")
    made = []
    for folder, node in (("one", 0xA1B2C3D4E5F6), ("another", 0x112233445566)):
        monkeypatch.setattr(uuid, "_node", node)
        monkeypatch.setattr(uuid, "getnode", lambda node=node: node)
        _write(tmp_path / folder, NAME, PROB_MAP)
        for path in (tmp_path / folder).iterdir():
            os.utime(path, (1e9, 1e9))  # a copy keeps its date
        export_maps(tmp_path / folder, tmp_path / folder / "out", form, SETTINGS)
        files = [path for path in sorted((tmp_path / folder / "out").rglob("*")) if path.is_file()]
        made.append({path.relative_to(tmp_path / folder).as_posix(): path.read_bytes() for path in files})
        time.sleep(1.01)  # what is made of the time differs
    assert made[0] == made[1]
    told = [str(tmp_path), "host-of-a-hospital", "person-of-a-hospital", "a1b2c3d4e5f6"]
    for content in made[0].values():
        assert not [text for text in told if text.encode() in content]


@pytest.mark.parametrize("form", ["ome-tiff", "dicom"])
def test_another_map_gets_another_id(tmp_path, form):
    found = set()
    for name, change in (("one", {}), ("another", {}), ("scaled", {"mpp": 0.25})):
        _write(tmp_path / name, "a", PROB_MAP if name != "another" else PROB_MAP / 2, **change)
        export_maps(tmp_path / name, tmp_path / name / "out", form, SETTINGS)
        (path,) = (tmp_path / name / "out" / form).iterdir()
        if form == "dicom":
            found |= {pydicom.dcmread(path).SOPInstanceUID, pydicom.dcmread(path).SeriesInstanceUID}
        else:
            found.add(re.findall(r'UUID="urn:uuid:([0-9a-f-]{36})"', tifffile.TiffFile(path).ome_metadata)[0])
    assert len(found) == {"dicom": 6, "ome-tiff": 3}[form]


def _geojson(exported, name=NAME):
    return json.loads((exported / "geojson" / f"{name}.geojson").read_text(encoding="utf-8"))["features"]


def test_nothing_else_is_left(exported):
    found = {path.relative_to(exported).as_posix() for path in exported.glob("*/*")}
    suffixes = {
        "geojson": [".geojson"],
        "asap": [".xml"],
        "csv": ["_lesions.csv", "_detections.csv"],
        "ome-tiff": [".ome.tiff"],
        "zarr": [".ome.zarr"],
        "dicom": [".dcm"],
    }
    assert found == {f"{form}/{n}{s}" for form, ends in suffixes.items() for s in ends for n in (NAME, "nothing")}


def test_geojson_with_shapely(exported):
    features = _geojson(exported)
    lesions = [item for item in features if item["properties"]["objectType"] == "annotation"]
    points = [item for item in features if item["properties"]["objectType"] == "detection"]
    areas = [shapely.geometry.shape(item["geometry"]) for item in lesions]
    assert all(area.is_valid and not area.is_empty for area in areas)
    _, count = ndimage.label(PROB_MAP > 0.6, np.ones((3, 3)))
    assert len(lesions) == count > 5
    whole = shapely.union_all(areas)
    rows, cols = (np.indices(PROB_MAP.shape) + 0.5) * STRIDE
    np.testing.assert_array_equal(shapely.contains_xy(whole, cols, rows), PROB_MAP > 0.6)

    assert len({item["id"] for item in features}) == len(features)
    for item, area in zip(lesions, areas, strict=True):
        properties = item["properties"]
        assert properties["classification"]["name"] == "Tumor"
        values = properties["measurements"]
        inside = PROB_MAP[shapely.contains_xy(area, cols, rows)]
        assert values["Area µm^2"] == pytest.approx(area.area * MPP**2)
        assert values["Max probability"] == pytest.approx(float(inside.max()))
        assert values["Mean probability"] == pytest.approx(float(inside.mean()), rel=1e-5)
        held = [
            point["properties"]["measurements"]["Confidence"]
            for point in points
            if area.contains(shapely.geometry.shape(point["geometry"]))
        ]
        assert values["Num detections"] == len(held)
        assert values["Confidence"] == pytest.approx(max(held, default=0))
    confidences = [item["properties"]["measurements"]["Confidence"] for item in lesions]
    assert confidences == sorted(confidences, reverse=True)
    assert _geojson(exported, "nothing") == []


@pytest.mark.parametrize("form", ["geojson/{}.geojson", "asap/{}.xml"])
def test_read_as_an_annotation_it_gives_the_thresholded_map(exported, caplog, form):
    annotation = read_annotation(exported / form.format(NAME))
    np.testing.assert_array_equal(tumor_mask(annotation, SHAPE, STRIDE) != 0, PROB_MAP > 0.6)
    assert any(item["geometry"]["type"] == "Point" for item in _geojson(exported))
    assert "points" not in caplog.text  # who reads our own detections back need not be warned of them
    assert read_annotation(exported / form.format("nothing"))[1:] == ((), (), ())


def test_asap_with_elementtree(exported):
    root = ElementTree.parse(exported / "asap" / f"{NAME}.xml").getroot()
    found = root.findall("Annotations/Annotation")
    kinds = [(item.get("Type"), item.get("PartOfGroup")) for item in found]
    assert set(kinds) == {("Polygon", "Tumor"), ("Dot", "Detection")}
    assert {group.get("Name") for group in root.iter("Group")} == {"Tumor", "Detection"}
    dots = [item for item in found if item.get("Type") == "Dot"]
    xy = [[float(dot.find("Coordinates/Coordinate").get(axis)) for axis in "XY"] for dot in dots]
    points = [item["geometry"]["coordinates"] for item in _geojson(exported) if item["geometry"]["type"] == "Point"]
    assert xy == points
    assert dots[0].get("Name") == f"Detection 1: {PROB_MAP.max():.4f}"


def test_tables(exported):
    with open(exported / "csv" / f"{NAME}_lesions.csv", newline="", encoding="utf-8") as file:
        lesions = list(csv.DictReader(file))
    features = [item for item in _geojson(exported) if item["properties"]["objectType"] == "annotation"]
    for row, item in zip(lesions, features, strict=True):
        area = shapely.geometry.shape(item["geometry"])
        assert [float(row[key]) for key in ("left", "top", "right", "bottom")] == list(area.bounds)
        assert [float(row["x"]), float(row["y"])] == pytest.approx([area.centroid.x, area.centroid.y], rel=1e-6)
        assert f"Lesion {row['lesion']}" == item["properties"]["name"]
        assert float(row["confidence"]) == pytest.approx(item["properties"]["measurements"]["Confidence"])
    with open(exported / "csv" / f"{NAME}_detections.csv", newline="", encoding="utf-8") as file:
        detections = list(csv.DictReader(file))
    for row in detections:
        assert float(row["confidence"]) == pytest.approx(PROB_MAP[int(row["y"]) // STRIDE, int(row["x"]) // STRIDE])
    assert len(detections) == sum(int(row["num_detections"]) for row in lesions)
    text = (exported / "csv" / "nothing_detections.csv").read_text()
    assert text == "confidence,x,y,lesion,artifact\n"


def test_ome_tiff_with_tifffile(exported):
    with tifffile.TiffFile(exported / "ome-tiff" / f"{NAME}.ome.tiff") as tiff:
        assert tiff.is_ome
        (series,) = tiff.series
        shapes = [level.shape for level in series.levels]
        assert shapes == [(301, 541), (151, 271), (76, 136)]
        np.testing.assert_array_equal(series.asarray(), PROB_MAP)
        half = series.levels[1].asarray()
        assert half[10, 20] == pytest.approx(PROB_MAP[20:22, 40:42].mean(), rel=1e-6)
        assert half[-1, -1] == PROB_MAP[-1, -1]
        assert all(level.keyframe.is_tiled and level.keyframe.compression == 8 for level in series.levels)
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
        assert pixels["Name"] == NAME
        assert pixels["Pixels"]["PhysicalSizeX"] == pixels["Pixels"]["PhysicalSizeY"] == pytest.approx(STRIDE * MPP)
        x, unit = series.keyframe.tags["XResolution"].value, series.keyframe.tags["ResolutionUnit"].value
        assert 1e4 / (x[0] / x[1]) == pytest.approx(STRIDE * MPP, rel=1e-5)
        assert unit == 3, "cm"


def test_ome_zarr_with_zarr(exported):
    import zarr

    group = zarr.open_group(str(exported / "zarr" / f"{NAME}.ome.zarr"), mode="r")
    (image,) = dict(group.attrs)["multiscales"]
    assert image["version"] == "0.4"
    assert [(axis["name"], axis["type"], axis["unit"]) for axis in image["axes"]] == [
        ("y", "space", "micrometer"),
        ("x", "space", "micrometer"),
    ]
    np.testing.assert_array_equal(group[image["datasets"][0]["path"]][...], PROB_MAP)
    for number, dataset in enumerate(image["datasets"]):
        array = group[dataset["path"]]
        assert array.shape == map_shape(SHAPE, STRIDE * 2**number)
        scale, translation = dataset["coordinateTransformations"]
        # the pixels of every level cover the same slide: the outer edge of the first lies half a level-0 pixel out
        edge = np.array(translation["translation"]) - 0.5 * np.array(scale["scale"])
        np.testing.assert_allclose(edge, -0.5 * MPP)
        assert scale["scale"] == [STRIDE * 2**number * MPP] * 2
    assert len(image["datasets"]) == 3


def test_dicom_with_highdicom_and_pydicom(exported):
    import highdicom
    import pydicom

    path = exported / "dicom" / f"{NAME}.dcm"
    found = highdicom.imread(path)
    np.testing.assert_array_equal(found.get_total_pixel_matrix(apply_real_world_transform=True), PROB_MAP)
    content = pydicom.dcmread(path)
    assert content.SOPClassUID == pydicom.uid.ParametricMapStorage
    spacing = content.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert spacing == pytest.approx([STRIDE * MPP / 1000] * 2)
    other = pydicom.dcmread(exported / "dicom" / "nothing.dcm")
    assert other.FrameOfReferenceUID != content.FrameOfReferenceUID
    assert other.SOPInstanceUID != content.SOPInstanceUID


def test_a_bad_map_does_not_stop_the_others(tmp_path, caplog):
    _write(tmp_path / "maps", "a", PROB_MAP, mpp=None)
    _write(tmp_path / "maps", "b", PROB_MAP)
    _write(tmp_path / "maps", "c", PROB_MAP[1:])
    with caplog.at_level(logging.ERROR), pytest.raises(InputError, match=r"^2 of 3 maps failed.*a\.json: mpp"):
        export_maps(tmp_path / "maps", tmp_path / "out", ["geojson"])
    assert [path.name for path in (tmp_path / "out" / "geojson").iterdir()] == ["b.geojson"]
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("formats", "settings", "message"),
    [
        ("geojson,svg", {}, "format: expected some of geojson.*found svg"),
        ("", {}, "format: expected"),
        ("csv", {"threshold": 1.0}, "threshold"),
        ("csv", {"nms_radius_um": 0.0}, "nms_radius_um"),
        ("csv", {"min_area_um2": -1.0}, "min_area_um2"),
    ],
)
def test_what_is_refused(tmp_path, formats, settings, message):
    _write(tmp_path / "maps", "a", PROB_MAP)
    with pytest.raises(InputError, match=message):
        export_maps(tmp_path / "maps", tmp_path / "out", formats, SETTINGS._replace(**settings))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("form", "package"), [("zarr", "zarr"), ("dicom", "highdicom")])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, form, package):
    _write(tmp_path / "maps", "a", PROB_MAP)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"{form}: needs the package {package}.*\[export\]"):
        export_maps(tmp_path / "maps", tmp_path / "out", form)


def test_a_map_whose_slide_is_not_there(tmp_path):
    _write(tmp_path / "maps", "a", PROB_MAP)
    (tmp_path / "slides").mkdir()
    (tmp_path / "slides" / "b.svs").touch()
    with pytest.raises(InputError, match="--slides has no slide named 'a'"):
        export_maps(tmp_path / "maps", tmp_path / "out", "dicom", slides=tmp_path / "slides")
    assert export_maps(tmp_path / "maps", tmp_path / "out", "csv", slides=tmp_path / "slides").num_maps == 1


def test_ome_zarr_is_another_name_of_zarr() -> None:
    from scripts.exports.export import _chosen

    assert _chosen("OME-Zarr,zarr,csv") == ("zarr", "csv")
