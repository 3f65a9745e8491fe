"""Probability maps and their sidecars: read, and refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from helpers.made_maps import MAP_SHAPE, MPP, SHAPE, STRIDE, write_map
from scripts.errors import InputError
from scripts.maps.files import read_map, read_map_infos


def _read_all(folder):
    return [read_map(info) for info in read_map_infos(folder)]


@pytest.fixture
def folder(tmp_path):
    write_map(tmp_path, "Tumor_001", [(0.9, 40, 215)])
    write_map(tmp_path, "Normal_001")
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / ".Tumor_001.77.tmp.npy").touch()
    return tmp_path


def test_read_maps(folder):
    infos = read_map_infos(folder)
    assert [info.name for info in infos] == ["Normal_001", "Tumor_001"]
    assert infos[1] == (
        folder / "Tumor_001.npy",
        "Tumor_001.tif",
        SHAPE,
        STRIDE,
        MPP,
        True,
        (),
        None,
        (0, 0),
        None,
        None,
    )
    prob_map = read_map(infos[1])
    assert prob_map.shape == MAP_SHAPE
    assert prob_map[40, 215] == np.float32(0.9)
    assert np.count_nonzero(prob_map) == 1


def test_a_sidecar_may_name_its_slide_in_another_unicode_form(tmp_path):
    write_map(tmp_path, "Mu\u0308ller_1")
    sidecar = tmp_path / "Mu\u0308ller_1.json"
    sidecar.write_text(sidecar.read_text().replace("u\\u0308", "\\u00fc").replace("u\u0308", "\u00fc"))
    (info,) = read_map_infos(tmp_path)
    assert (info.name, info.slide) == ("M\u00fcller_1", "M\u00fcller_1.tif")


@pytest.mark.parametrize("stored", [np.asfortranarray, lambda a: a.astype(">f4")], ids=["Fortran", "big-endian"])
def test_read_map_gives_one_memory_form(folder, stored):
    values = np.random.default_rng(9).random(MAP_SHAPE).astype(np.float32)
    np.save(folder / "Tumor_001.npy", stored(values))
    prob_map = _read_all(folder)[1]
    np.testing.assert_array_equal(prob_map, values)
    assert prob_map.flags.c_contiguous
    assert prob_map.dtype.isnative


def test_sidecars_say_what_people_must_know(folder):
    write_map(folder, "Tumor_001", changes={"num_positions": 0, "notes": ["no tissue found"]})
    write_map(folder, "Normal_001", changes={"num_positions": 7, "notes": []})
    normal, tumor = read_map_infos(folder)
    assert (normal.has_tissue, normal.notes) == (True, ())
    assert (tumor.has_tissue, tumor.notes) == (False, ("no tissue found",))


@pytest.mark.parametrize("patch", [(0.243, 224), (0.972, 96)])
def test_maps_say_what_the_network_saw(folder, patch):
    write_map(folder, "Tumor_001", changes={"model_mpp": patch[0], "patch_size": patch[1]})
    assert [info.patch for info in read_map_infos(folder)] == [None, patch]


SIDECARS = {
    "shape swapped": ({"shape": list(SHAPE[::-1])}, r"Tumor_001.npy: expected shape \(283, 188\)"),
    "shape missing": ({"shape": None}, "shape: expected"),
    "stride 0": ({"stride": 0}, "stride: expected"),
    "stride of text": ({"stride": "32"}, "stride: expected"),
    "no resolution": ({"mpp": None}, "mpp: expected"),
    "notes of text": ({"notes": "no tissue"}, "notes: expected a list of sentences, found 'no tissue'"),
    "notes of numbers": ({"notes": [1]}, "notes: expected a list of sentences"),
    "a model's resolution of text": ({"model_mpp": "0.25", "patch_size": 96}, "model_mpp must be a number"),
    "a model's resolution beyond any": ({"model_mpp": 1e308, "patch_size": 96}, "model_mpp must be a number"),
    "patches of no size": ({"model_mpp": 0.25, "patch_size": 0}, "patch_size: expected pixels up to 10000, found 0"),
    "patches beyond any": ({"model_mpp": 0.25, "patch_size": 10**9}, "patch_size: expected pixels up to 10000"),
    "another slide": ({"slide": "tumor_009.tif"}, "slide: expected a file named 'Tumor_001'"),
}


@pytest.mark.parametrize(("changes", "message"), SIDECARS.values(), ids=SIDECARS.keys())
def test_bad_sidecars_are_named(folder, changes, message):
    write_map(folder, "Tumor_001", changes=changes)
    with pytest.raises(InputError, match=message):
        _read_all(folder)


MAPS = {
    "NaN": np.full(MAP_SHAPE, np.nan, dtype=np.float32),
    "above 1": np.full(MAP_SHAPE, 1.5, dtype=np.float32),
    "negative": np.full(MAP_SHAPE, -0.5, dtype=np.float32),
    "integers": np.zeros(MAP_SHAPE, dtype=np.uint8),
    "three dimensions": np.zeros((1, *MAP_SHAPE), dtype=np.float32),
    "objects": np.array([None]),
}


@pytest.mark.parametrize("prob_map", MAPS.values(), ids=MAPS.keys())
def test_bad_maps_are_named(folder, prob_map):
    np.save(folder / "Tumor_001.npy", prob_map, allow_pickle=True)
    with pytest.raises(InputError, match=r"Tumor_001\.npy: "):
        _read_all(folder)


def test_truncated_map_and_missing_sidecar_are_named(folder):
    path = folder / "Tumor_001.npy"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"Tumor_001\.npy: not a readable"):
        _read_all(folder)
    path.with_suffix(".json").write_text("[]")
    with pytest.raises(InputError, match="expected an object"):
        _read_all(folder)
    path.with_suffix(".json").unlink()
    with pytest.raises(InputError, match=r"expected its sidecar Tumor_001\.json"):
        _read_all(folder)


def test_folders_without_maps_are_named(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        read_map_infos(tmp_path / "missing")
    with pytest.raises(InputError, match="no probability maps"):
        read_map_infos(tmp_path)
