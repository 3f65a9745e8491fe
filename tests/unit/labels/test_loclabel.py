"""Location labels: reading and writing the CSV files, cell order, and NCRF's own coordinates."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.measure import points_in_poly

from helpers.annotation_forms import write, write_ncrf
from helpers.flat_slide import write_flat_slide
from helpers.refusals import refusal
from scripts.annotations.annotations import Annotation, contains, read_annotation
from scripts.annotations.polygons import Polygon
from scripts.errors import InputError
from scripts.geometry import cell_centers
from scripts.labels.loclabel import generate_loclabels, label_cells, loclabel_datalist, read_loclabels

ROOT = Path(__file__).parents[3]
NCRF = ROOT.parent / "shared" / "data" / "ncrf"
WRAPPER = ROOT / "bundle" / "scripts" / "0_train_loclabel_gen.sh"
needs_real = pytest.mark.skipif(not NCRF.exists(), reason="NCRF's files are not in shared/data beside the checkout")

UPPER_RIGHT_XY = [[1200, 500], [1300, 500], [1300, 800], [1200, 800]]  # holds x 1256, y 744 of the center 1000, 1000


@pytest.fixture
def case(tmp_path):
    """Coordinates of a tumor slide, a numeric slide and a normal slide, and annotations of the first two."""
    lines = ("Tumor_001,1000,1000", "001,500,400", "Normal_001,700,300", "Tumor_001,1256,744")
    coords = write(tmp_path / "coords.txt", "\n".join(lines) + "\n")
    write_ncrf(tmp_path / "json", "Tumor_001", [UPPER_RIGHT_XY])
    write_ncrf(tmp_path / "json", "001")
    return coords, tmp_path / "json", tmp_path / "out" / "labels.csv"


@given(st.integers(0, 3000), st.integers(0, 3000), st.sampled_from([256, 512.5]))
def test_label_cells_judges_the_cell_centers(row, col, cell_size):
    ring = np.array([(700, 300), (1900, 900), (800, 2500), (1500, 200)], float)
    annotation = Annotation(Path("a"), (Polygon("p", (ring,)),), ())
    labels = label_cells(annotation, [(row, col)], cell_size=cell_size)
    assert labels.shape == (1, 3, 3)
    assert labels.dtype == np.uint8
    for i in range(3):
        for j in range(3):
            point = (row + (i - 1) * cell_size, col + (j - 1) * cell_size)
            assert labels[0, i, j] == contains(annotation, [point])[0]


def test_generate_loclabels_order(case):
    coords, annotations, output = case
    summary = generate_loclabels(coords, annotations, output)
    # the upper right cell is (x2, y0), the seventh; the last region is centered on it
    assert output.read_text() == (
        "Tumor_001,1000,1000,0,0,0,0,0,0,1,0,0\n"
        "001,500,400,0,0,0,0,0,0,0,0,0\n"
        "Normal_001,700,300,0,0,0,0,0,0,0,0,0\n"
        "Tumor_001,1256,744,0,0,0,0,1,0,0,0,0\n"
    )
    assert summary == (4, 3, 2, 2)
    assert str(summary) == "4 regions of 3 slides: 2 with tumor, 2 tumor cells"
    first = read_loclabels(output)[0]
    assert first["label"].tolist() == [[[0, 0, 1], [0, 0, 0], [0, 0, 0]]]
    assert first["center"] == (1000, 1000)


def test_generate_loclabels_published_row(tmp_path):
    """The published configuration reads columns 3,6,9,4,7,10,5,8,11 of the file row by row."""
    write_ncrf(tmp_path / "json", "T", [[[0, 0], [1100, 0], [1100, 800], [0, 800]]])  # all of y0, x0 and x1
    output = tmp_path / "out.csv"
    generate_loclabels(write(tmp_path / "c.txt", "T,1000,1000\n"), tmp_path / "json", output)
    fields = output.read_text().strip().split(",")
    assert [fields[column] for column in (3, 6, 9, 4, 7, 10, 5, 8, 11)] == list("110000000")


def test_generate_loclabels_exclusions(tmp_path):
    whole = [[0, 0], [3000, 0], [3000, 3000], [0, 3000]]
    write_ncrf(tmp_path / "json", "T", [whole], [UPPER_RIGHT_XY])
    coords, output = write(tmp_path / "c.txt", "T,1000,1000\n"), tmp_path / "out.csv"
    assert generate_loclabels(coords, tmp_path / "json", output).num_tumor_cells == 8
    assert output.read_text() == "T,1000,1000,1,1,1,1,1,1,0,1,1\n"
    assert generate_loclabels(coords, tmp_path / "json", output, ignore_exclusions=True).num_tumor_cells == 9


def test_generate_loclabels_reports_all_missing_annotations(case):
    coords, annotations, output = case
    (annotations / "Tumor_001.json").unlink()
    write(coords, coords.read_text() + "Tumor_7,1,1\nabnormal,1,1\n")
    with pytest.raises(InputError) as error:
        generate_loclabels(coords, annotations, output)
    assert "3 of 5 slides have no annotation" in str(error.value)
    assert "Tumor_001, Tumor_7, abnormal" in str(error.value)
    assert str(annotations) in str(error.value)
    assert not output.exists()


def test_generate_loclabels_reports_all_bad_annotations(case):
    coords, annotations, output = case
    for name in ("Tumor_001", "001"):
        write(annotations / f"{name}.json", "{")
    with pytest.raises(InputError, match=r"Tumor_001\.json.*; .*001\.json"):
        generate_loclabels(coords, annotations, output)


def test_generate_loclabels_refuses_output(case):
    coords, annotations, output = case
    with pytest.raises(InputError, match="is the input"):
        generate_loclabels(coords, annotations, coords)
    with pytest.raises(InputError, match="is a folder"):
        generate_loclabels(coords, annotations, annotations)
    write(output.parent, "a file where the folder should be")
    with pytest.raises(InputError, match="cannot be written"):
        generate_loclabels(coords, annotations, output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_generate_loclabels_read_only_output(case):
    coords, annotations, output = case
    output.parent.mkdir(mode=0o500)
    with pytest.raises(InputError, match="cannot be written"):
        generate_loclabels(coords, annotations, output)


def test_generate_loclabels_checks_slides(case, tmp_path):
    coords, annotations, output = case
    for name in ("Tumor_001", "001"):
        write_flat_slide(tmp_path / "slides" / f"{name}.tif")
    with pytest.raises(InputError, match=r"1 of 3 slides is nowhere below .*: Normal_001"):
        generate_loclabels(coords, annotations, output, slides=tmp_path / "slides")
    write_flat_slide(tmp_path / "slides" / "Normal_001.tif")
    expected = generate_loclabels(coords, annotations, output)
    assert generate_loclabels(coords, annotations, output, slides=tmp_path / "slides") == expected
    write(coords, "Tumor_001,2299,1499\n001,1600,100\n001,100,1500\nTumor_001,2300,0\n001,0,1501\n")
    with pytest.raises(InputError) as error:
        generate_loclabels(coords, annotations, output, slides=tmp_path / "slides")
    assert "Tumor_001 (1, first in line 4, slide 2300 x 1500), 001 (2, first in line 3" in str(error.value)


def test_generate_loclabels_cells_follow_the_resolution(case, tmp_path):
    coords, annotations, output = case
    write(coords, "Tumor_001,744,1000\n")
    for mpp, cells in ((0.243, "000000000"), (0.1215, "000000100")):  # at 0.1215 µm/px the cells are 512 px apart
        write_flat_slide(tmp_path / "slides" / "Tumor_001.tif", mpp=mpp)
        write_ncrf(annotations, "Tumor_001", [[[1200, 450], [1300, 450], [1300, 550], [1200, 550]]])
        generate_loclabels(coords, annotations, output, slides=tmp_path / "slides")
        assert output.read_text() == f"Tumor_001,744,1000,{','.join(cells)}\n"
    generate_loclabels(coords, annotations, output, slides=tmp_path / "slides", assume_mpp=0.243)
    assert output.read_text() == "Tumor_001,744,1000,0,0,0,0,0,0,0,0,0\n"


def test_read_loclabels(tmp_path):
    path = write(tmp_path / "l.csv", "001,10,20,1,0,0,0,0,0,0,1,0\n001,10,20,1,0,0,0,0,0,0,1,0\n\n")
    first, second = read_loclabels(path)
    assert first["name"] == "001"
    assert first["center"] == (20, 10)
    assert first["label"].dtype == np.float32
    assert first["label"].tolist() == [[[1, 0, 0], [0, 0, 1], [0, 0, 0]]]
    first["label"][:] = 7
    assert second["label"].max() == 1


def test_read_loclabels_grid_shape(tmp_path):
    path = write(tmp_path / "l.csv", "a,10,20,0,1,0,0,0,0\n")  # (x0,y1) is row 1, column 0
    assert read_loclabels(path, (2, 3))[0]["label"].tolist() == [[[0, 0, 0], [1, 0, 0]]]


LABELS = ",0" * 9
BAD_LOCLABELS = {
    "header": (f"slide,x,y{',l' * 9}\na,1,2{LABELS}\n", 1, "remove the header"),
    "blank": (f"a,1,2{LABELS}\n\na,1,2{LABELS}\n", 2, "blank"),
    "too_few": (f"a,1,2{LABELS}\na,1,2\n", 2, "expected 12 columns"),
    "two": (f"a,1,2{LABELS}\na,1,2,2{LABELS[2:]}\n", 2, "0 or 1"),
    "float_label": (f"a,1,2{LABELS}\na,1,2,0.0{LABELS[2:]}\n", 2, "0 or 1"),
    "empty_label": (f"a,1,2{LABELS}\na,1,2,{LABELS[2:]}\n", 2, "0 or 1"),
    "float": (f"a,1,2.5{LABELS}\n", 1, "whole"),
}


@pytest.mark.parametrize("name", BAD_LOCLABELS)
def test_read_loclabels_refuses(tmp_path, name):
    text, line, words = BAD_LOCLABELS[name]
    assert words in refusal(read_loclabels, write(tmp_path / "l.csv", text), line)


def test_loclabel_datalist(tmp_path):
    path = write(tmp_path / "l.csv", f"Tumor_001,10,20,1{LABELS[2:]}\n001,30,40{LABELS}\n")
    for slide in ("a/tumor_001.tif", "b/001.svs", "b/Tumor_001_mask.tif"):
        (tmp_path / "slides" / slide).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / "slides" / slide, "")
    first, second = loclabel_datalist(path, tmp_path / "slides")
    assert first["image"] == str(tmp_path / "slides" / "a" / "tumor_001.tif")
    assert second["image"] == str(tmp_path / "slides" / "b" / "001.svs")
    assert first["location"] == (20, 10)
    assert first["label"].shape == (1, 3, 3)


def test_loclabel_datalist_reports_all_missing_slides(tmp_path):
    path = write(tmp_path / "l.csv", f"b,1,2{LABELS}\na,1,2{LABELS}\nc,1,2{LABELS}\n")
    write(tmp_path / "c.tif", "")
    with pytest.raises(InputError, match=r"2 of 3 slides are nowhere below .*: a, b; "):
        loclabel_datalist(path, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        (["in/a.txt"], {}, "--coords in/a.txt --annotations in/../jsons --output a.csv"),
        (["a.txt", "j j", "o.csv", "--x"], {}, "--coords a.txt --annotations j j --output o.csv --x"),
        (["--coords", "a", "--output", "b"], {}, "--coords a --output b"),
        (["--x"], {"COORDS": "c", "ANNOTATIONS": "j", "OUTPUT": "o"}, "--coords c --annotations j --output o --x"),
    ],
)
def test_wrapper(tmp_path, arguments, environment, expected):
    command = write(tmp_path / "tumor-detection", '#!/bin/sh\necho "$@"\n')
    command.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment}
    result = subprocess.run(
        ["bash", WRAPPER, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == f"loclabel {expected}\n"


def test_wrapper_usage():
    environment = {"PATH": os.environ["PATH"]}
    result = subprocess.run(["bash", WRAPPER], env=environment, capture_output=True, text=True)
    assert result.returncode == 2
    assert "COORDS" in result.stderr
    result = subprocess.run(["bash", WRAPPER, "--help"], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.startswith("Label the 3 x 3 cells")


@pytest.fixture(scope="module")
def real_jsons(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ncrf")
    with tarfile.open(NCRF / "jsons.tar.xz") as tar:
        tar.extractall(folder, filter="data")
    return folder


@needs_real
@pytest.mark.parametrize("kind", ["tumor", "normal"])
def test_real_coords(real_jsons, tmp_path, kind):
    """NCRF drew its tumor points inside tumor, exclusions or not, and its normal points outside."""
    coords, output = NCRF / f"{kind}_valid.txt", tmp_path / "labels.csv"
    summary = generate_loclabels(coords, real_jsons, output, ignore_exclusions=True)
    assert summary.num_rows == 20_000
    assert [line.split(",")[:3] for line in output.read_text().splitlines()] == [
        line.split(",") for line in coords.read_text().splitlines()
    ]
    items = read_loclabels(output)
    is_tumor = np.array([item["label"][0, 1, 1] for item in items])
    assert is_tumor.mean() == (kind == "tumor")

    paths = {path.stem: path for path in real_jsons.rglob("*.json")}
    for item in items[::101]:
        points = cell_centers(item["center"]).reshape(-1, 2)
        polygons = read_annotation(paths[item["name"]]).tumor if kind == "tumor" else ()
        if kind == "tumor" or item["name"].startswith("Normal"):
            judged = np.zeros(9, bool)
            for polygon in polygons:
                judged |= points_in_poly(points, polygon.rings[0])
            assert item["label"].ravel().tolist() == judged.tolist()


def test_many_rows(tmp_path):
    """Nearly all 512 label patterns come back from a long file."""
    rng = np.random.default_rng(0)
    lines = [f"s{a},{b},{c},{','.join(f'{d:09b}')}" for a, b, c, d in rng.integers(0, 512, (20_000, 4))]
    items = read_loclabels(write(tmp_path / "l.csv", "\n".join(lines)))
    assert len(items) == 20_000
    assert "".join(str(int(v)) for v in items[-1]["label"][0].T.ravel()) == lines[-1][-17:].replace(",", "")
