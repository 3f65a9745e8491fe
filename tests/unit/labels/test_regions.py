"""Truth at points and labels of regions, from outlines and from masks, and the files that they go to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.annotation_forms import write, write_ncrf
from helpers.even_odd import slow_inside
from scripts.annotations.annotations import Annotation
from scripts.annotations.polygons import Polygon
from scripts.errors import InputError
from scripts.labels.loclabel import generate_loclabels, read_loclabels
from scripts.labels.regions import (
    Regions,
    SlideTruth,
    check_output,
    is_tumor,
    known_centers,
    label_regions,
    read_slide_truth,
    write_regions,
)

SHAPE = (1500, 2300)
RING = [(200, 900), (1300, 1200), (700, 2100), (900, 1000)]  # (row, col)
MASK = np.zeros((47, 72), bool)  # stride 32
MASK[5:20, 40:60] = True
MASK[46, 71] = True


@given(st.integers(-50, 1550), st.integers(-50, 2350), st.sampled_from([0.5, 1.0, 2.0]))
def test_labels_by_outlines(row, col, downsample):
    annotation = Annotation(Path("a"), (Polygon("p", (np.array(RING, float),)),), ())
    truth = SlideTruth(np.zeros((1, 1), bool), 32, annotation)
    labels = label_regions(truth, [(row, col)], downsample)
    assert labels.shape == (1, 3, 3)
    assert labels.dtype == np.uint8
    for i in range(3):
        for j in range(3):
            point = (row + (i - 1) * 256 * downsample, col + (j - 1) * 256 * downsample)
            assert labels[0, i, j] == slow_inside([RING], *point)


@given(st.integers(-50, 1550), st.integers(-50, 2350), st.sampled_from([0.5, 1.0, 2.0]))
def test_labels_by_mask(row, col, downsample):
    labels = label_regions(SlideTruth(MASK, 32, None), [(row, col)], downsample)
    for i in range(3):
        for j in range(3):
            at_row, at_col = row + (i - 1) * 256 * downsample, col + (j - 1) * 256 * downsample
            is_on = 0 <= at_row < 47 * 32 and 0 <= at_col < 72 * 32
            assert labels[0, i, j] == (is_on and MASK[int(at_row // 32), int(at_col // 32)])


def test_truth_is_read_from_outlines_masks_or_nothing(tmp_path):
    outlines = write_ncrf(tmp_path, "a", [[[c, r] for r, c in RING]])
    Image.fromarray(MASK.astype(np.uint8) * 255).save(tmp_path / "b.png")
    points = [(800, 1700), (200, 1500), (1499, 2299)]
    assert is_tumor(read_slide_truth(outlines, SHAPE, 64, 16), points).tolist() == [True, False, False]
    mask = read_slide_truth(tmp_path / "b.png", SHAPE, 64, 16)
    assert (mask.stride, mask.annotation) == (32, None)
    assert is_tumor(mask, points).tolist() == [False, True, True]
    nothing = read_slide_truth(None, SHAPE, 64, 16)
    assert nothing.mask.shape == (94, 144)
    assert not is_tumor(nothing, points).any()


def test_written_as_loclabel_writes_them(tmp_path):
    write_ncrf(tmp_path / "json", "a", [[[c, r] for r, c in RING]])
    centers = [(600, 1200), (750, 1900), (40, 60)]
    coords = write(tmp_path / "coords.txt", "".join(f"a,{col},{row}\n" for row, col in centers))
    generate_loclabels(coords, tmp_path / "json", tmp_path / "expected.csv")
    truth = read_slide_truth(tmp_path / "json" / "a.json", SHAPE, 64, 32)
    write_regions(tmp_path / "found.csv", [Regions("a", np.array(centers), label_regions(truth, centers, 1.0))])
    assert (tmp_path / "found.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    assert len({item["label"].tobytes() for item in read_loclabels(tmp_path / "found.csv")}) == 3


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n\n"])
def test_existing_lines_stay_as_they_are(tmp_path, end):
    line = "Tumor_1,7,9,0,0,0,0,1,0,0,0,0"
    existing = tmp_path / "old.csv"
    existing.write_bytes(f"{line}{end}".encode())
    assert known_centers(existing) == {("tumor_1", 9, 7)}
    labels = np.zeros((1, 3, 3), np.uint8)
    labels[0, 0, 2] = 1
    write_regions(existing, [Regions("b", np.array([(5, 6)]), labels)], existing)
    assert existing.read_text() == f"{line}\nb,6,5,0,0,0,0,0,0,1,0,0\n"


def test_no_file_has_no_known_centers_and_a_damaged_one_is_refused(tmp_path):
    assert known_centers(None) == set()
    with pytest.raises(InputError, match=r"old\.csv, line 1: expected 12 columns"):
        known_centers(write(tmp_path / "old.csv", "a,1,2\n"))


def test_output_must_be_a_file_in_a_folder(tmp_path):
    assert check_output(tmp_path / "new" / "a.csv").parent.is_dir()
    with pytest.raises(InputError, match="is a folder; give an output file"):
        check_output(tmp_path)
