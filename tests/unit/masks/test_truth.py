"""Ground truth: found by name, read at the right level, refused when it does not fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from scripts.errors import InputError
from scripts.geometry import map_shape
from scripts.masks import files as masks
from scripts.masks.truth import read_truth

SLIDE_SHAPE = (1001, 1507)
TUMOR = (slice(300, 420), slice(900, 1100))


def _mask(stride, slide_shape=SLIDE_SHAPE):
    full = np.zeros(slide_shape, dtype=np.uint8)
    full[TUMOR] = 1
    rows, cols = map_shape(slide_shape, stride)
    row_centers = np.minimum((np.arange(rows) + 0.5) * stride, slide_shape[0] - 1).astype(int)
    col_centers = np.minimum((np.arange(cols) + 0.5) * stride, slide_shape[1] - 1).astype(int)
    return full[np.ix_(row_centers, col_centers)]


def _png(path, array):
    Image.fromarray(array).save(path)
    return path


def _pyramid(path, strides, subifds=False, value=1):
    levels = [_mask(stride) * np.uint8(value) for stride in strides]
    with tifffile.TiffWriter(path) as tiff:
        options = {"tile": (256, 256), "compression": "lzw"}
        tiff.write(levels[0], subifds=len(levels) - 1 if subifds else None, **options)
        for level in levels[1:]:
            tiff.write(level, subfiletype=1, **options)
    return path


def _read(path, map_stride=16, wanted_stride=16, tumor_value=None):
    return read_truth(path, SLIDE_SHAPE, map_stride, wanted_stride, tumor_value)


@pytest.mark.parametrize("value", [1, 255])
@pytest.mark.parametrize("suffix", [".png", ".npy", ".tif"])
def test_read_truth_of_a_plain_mask(tmp_path, suffix, value):
    path = tmp_path / f"tumor_001{suffix}"
    array = _mask(16) * np.uint8(value)
    if suffix == ".npy":
        np.save(path, array)
    elif suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        _png(path, array)
    found = _read(path, map_stride=64)
    assert found.stride == 16
    assert found.mask.dtype == np.bool_
    np.testing.assert_array_equal(found.mask, _mask(16) == 1)


@pytest.mark.parametrize(
    "array",
    [
        _mask(16) == 1,
        _mask(16).astype(np.float32),
        _mask(16).astype(np.int64) * 255,
    ],
    ids=["bool", "float", "int64"],
)
def test_read_truth_of_other_types(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.testing.assert_array_equal(_read(tmp_path / "a.npy").mask, _mask(16) == 1)


@pytest.mark.parametrize("subifds", [False, True], ids=["pages", "subifds"])
@pytest.mark.parametrize(
    ("wanted_stride", "read_stride"), [(3, 1), (4, 4), (16, 16), (20, 16), (300, 24)], ids=lambda value: str(value)
)
def test_read_truth_reads_the_coarsest_level_that_is_fine_enough(tmp_path, subifds, wanted_stride, read_stride):
    path = _pyramid(tmp_path / "tumor_001_mask.tif", (1, 4, 16, 24), subifds)
    found = _read(path, 64, wanted_stride)
    assert found.stride == read_stride
    np.testing.assert_array_equal(found.mask, _mask(read_stride) == 1)


def test_read_truth_never_decodes_a_huge_level(tmp_path, monkeypatch):
    monkeypatch.setattr(masks, "MAX_MASK_PIXELS", 300 * 400)
    assert _read(_pyramid(tmp_path / "a.tif", (1, 4, 16)), wanted_stride=15).stride == 4
    with pytest.raises(InputError, match=r"at most 120,000 pixels, found 1001 x 1507"):
        _read(_pyramid(tmp_path / "b.tif", (1,)), wanted_stride=15)


def test_read_truth_of_a_coarse_pyramid_takes_the_finest(tmp_path):
    assert _read(_pyramid(tmp_path / "a.tif", (16, 32)), wanted_stride=4).stride == 16


def test_read_truth_of_a_floored_pyramid(tmp_path):
    full = np.zeros(SLIDE_SHAPE, dtype=np.uint8)
    full[TUMOR] = 255
    np.save(tmp_path / "a.npy", full[8:, 8:][: 62 * 16 : 16, : 94 * 16 : 16])
    found = _read(tmp_path / "a.npy", map_stride=64)
    assert found.stride == 16
    assert found.mask.shape == (62, 94)


def test_read_truth_prefers_the_maps_stride_where_several_fit(tmp_path):
    small = (100, 130)
    np.save(tmp_path / "a.npy", np.zeros(map_shape(small, 40)))  # 3 x 4, as at strides 34 to 43
    assert read_truth(tmp_path / "a.npy", small, 40, 32).stride == 40
    with pytest.raises(InputError, match="no single whole stride"):
        read_truth(tmp_path / "a.npy", small, 7, 7)


def _sidecar(path, **changes):
    content = {"slide": "tumor_001.tif", "shape": list(SLIDE_SHAPE), "stride": 16, "mpp": 0.25} | changes
    path.write_text(json.dumps(content))


def test_read_truth_believes_the_sidecar(tmp_path):
    path = _png(tmp_path / "tumor_001.png", _mask(16))
    _sidecar(tmp_path / "tumor_001.json")
    assert _read(path, map_stride=64).stride == 16
    _sidecar(tmp_path / "tumor_001.json", stride=17)
    with pytest.raises(InputError, match="at stride 17"):
        _read(path)
    _sidecar(tmp_path / "tumor_001.json", shape=[1507, 1001])
    with pytest.raises(InputError, match="expected the slide's shape"):
        _read(path)
    _sidecar(tmp_path / "tumor_001.json", tissue_fraction=0.4)
    with pytest.raises(InputError, match="foreground mask"):
        _read(path)


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "pyramid.tif"])
def test_read_truth_of_another_slide_names_both_shapes(tmp_path, name):
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, _mask(16).T)
    elif name == "a.tif":
        tifffile.imwrite(path, _mask(16).T)
    else:
        with tifffile.TiffWriter(path) as tiff:
            tiff.write(_mask(1).T.copy(), tile=(256, 256))
            tiff.write(_mask(16).T.copy(), tile=(256, 256), subfiletype=1)
    with pytest.raises(InputError, match=r"\d+ x \d+ \(rows x columns\) fits a slide of 1001 x 1507"):
        _read(path)


THREE_VALUES = _mask(16) + 1  # 1 normal tissue, 2 tumor ...
THREE_VALUES[:5] = 0  # ... 0 outside


def test_read_truth_of_three_values_needs_the_tumor_value(tmp_path):
    path = _png(tmp_path / "tumor_001_mask.png", THREE_VALUES)
    with pytest.raises(InputError, match=r"found besides 0: 1, 2; .*--tumor_value"):
        _read(path)
    np.testing.assert_array_equal(_read(path, tumor_value=2).mask, _mask(16) == 1)
    np.testing.assert_array_equal(_read(path, tumor_value=1).mask, THREE_VALUES == 1)


@pytest.mark.parametrize(
    ("array", "tumor_value", "message"),
    [
        (_mask(16) * np.uint8(2), None, "found besides 0: 2;"),
        (np.where(_mask(16) == 1, 0.7, 0.0), None, r"found besides 0: 0\.7;"),
        (_mask(16) * np.uint8(254) + np.eye(63, 95, dtype=np.uint8), None, "0/1 or 0/255"),
        (_mask(16) * np.uint8(255), 2, "drop or change --tumor_value 2"),
        (np.where(_mask(16) == 1, np.nan, 0.0), None, "NaN"),
        (_mask(16).view([("tumor", "u1")]), None, "expected a mask of numbers"),
        (_mask(16).astype("U1"), None, "expected a mask of numbers"),
    ],
    ids=["only 2", "probabilities", "1 and 255", "255 where 2 is tumor", "NaN", "records", "texts"],
)
def test_read_truth_refuses_values(tmp_path, array, tumor_value, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=message):
        _read(tmp_path / "a.npy", tumor_value=tumor_value)


def test_read_truth_refuses_colors(tmp_path):
    colored = np.stack([_mask(16), _mask(16) * 0, _mask(16)], axis=-1)
    with pytest.raises(InputError, match="gray"):
        _read(_png(tmp_path / "a.png", colored))


NCRF = {"positive": [{"name": "1", "vertices": [[900, 300], [1100, 300], [1100, 420], [900, 420]]}], "negative": []}


def test_read_truth_draws_annotations_at_the_wanted_stride(tmp_path):
    path = tmp_path / "tumor_001.json"
    path.write_text(json.dumps(NCRF))
    found = _read(path, map_stride=64, wanted_stride=8)
    assert found.stride == 8
    np.testing.assert_array_equal(found.mask, _mask(8) == 1)
