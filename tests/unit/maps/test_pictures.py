"""Maps that are gray pictures: found by their sidecars, scaled by what these state; what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from scripts.errors import InputError
from scripts.maps import pictures
from scripts.maps.files import find_maps, holds_maps, read_map, read_map_info, read_map_infos

SHAPE = (37, 23)


def _write(folder: Path, name: str, picture: Image.Image, changes: dict[str, Any] | None = None) -> Path:
    path = folder / name
    picture.save(path, quality=95)
    content = {"slide": f"{path.stem}.tif", "shape": [37 * 32 - 5, 23 * 32], "stride": 32, "mpp": 0.25}
    content |= {"value_of_one": 200, **(changes or {})}
    path.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    return path


def _gray(dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    values = np.zeros(SHAPE, dtype)
    values[10:20, 5:15] = 100
    values[20, 3] = 250
    return values


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.JPEG", "a.tif"])
def test_a_picture_with_a_sidecar_is_a_map(tmp_path: Path, name: str) -> None:
    path = _write(tmp_path, name, Image.fromarray(_gray()))
    (info,) = read_map_infos(tmp_path)
    assert (info.path, info.name, info.value_of_one) == (path, "a", 200.0)
    prob_map = read_map(info)
    assert (prob_map.shape, prob_map.dtype) == (SHAPE, np.float32)
    assert prob_map[15, 10] == pytest.approx(0.5, abs=0.04)
    assert prob_map[30, 20] == pytest.approx(0, abs=0.02)
    assert prob_map.max() <= 1
    if not name.lower().startswith("a.j"):
        assert prob_map[20, 3] == 1  # brighter than one is one


def test_16_bits(tmp_path: Path) -> None:
    _write(tmp_path, "a.png", Image.fromarray(_gray(np.uint16) * 257), {"value_of_one": 65535})
    (info,) = read_map_infos(tmp_path)
    assert read_map(info)[15, 10] == pytest.approx(100 / 255)


def test_pictures_to_look_at_are_no_maps(tmp_path: Path) -> None:
    Image.fromarray(_gray()).save(tmp_path / "a_overlay.jpg")
    Image.fromarray(_gray()).save(tmp_path / "b.png")
    (tmp_path / "b.json").write_text('{"shape": [3, 4]}', encoding="utf-8")
    assert not holds_maps(tmp_path)
    with pytest.raises(InputError, match="no probability maps"):
        find_maps(tmp_path)
    np.save(tmp_path / "b.npy", np.zeros(SHAPE, np.float32))
    assert find_maps(tmp_path) == [tmp_path / "b.npy"]
    assert holds_maps(tmp_path)


def test_two_maps_of_one_slide_are_refused(tmp_path: Path) -> None:
    _write(tmp_path, "a.png", Image.fromarray(_gray()))
    np.save(tmp_path / "a.npy", np.zeros(SHAPE, np.float32))
    with pytest.raises(InputError, match="are two maps of one slide"):
        find_maps(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value_of_one": 0}, "value_of_one: expected the gray value that is probability 1, found 0"),
        ({"value_of_one": "255"}, "value_of_one: expected the gray value"),
        ({"shape": [23 * 32, 37 * 32]}, "expected 23 x 37 pixels .* found 37 x 23"),
        ({"stride": 16}, "expected 74 x 46 pixels"),
    ],
)
def test_a_sidecar_that_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = _write(tmp_path, "a.png", Image.fromarray(_gray()), changes)
    with pytest.raises(InputError, match=message):
        read_map(read_map_info(path))


def test_a_colored_or_damaged_picture_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path, "a.png", Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)))
    with pytest.raises(InputError, match="expected a gray picture, found mode RGB"):
        read_map(read_map_info(path))
    path.write_bytes(b"no picture")
    with pytest.raises(InputError, match="not a readable picture"):
        read_map(read_map_info(path))


def test_a_picture_that_claims_any_size_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path, "a.png", Image.fromarray(_gray()))
    monkeypatch.setattr(pictures, "MAX_PIXELS", 37 * 23 - 1)
    with pytest.raises(InputError, match="expected at most 850 pixels, found 37 x 23"):
        read_map(read_map_info(path))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_map_that_is_to_be_turned_is_refused(tmp_path: Path, suffix: str) -> None:
    exif = Image.Exif()
    exif[274] = 3
    path = tmp_path / f"a{suffix}"
    Image.fromarray(_gray()).save(path, exif=exif)
    with pytest.raises(InputError, match=r"its tag Orientation is 3, .* write it upright"):
        pictures.read_picture(path, SHAPE, 200)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_is_turned_over(tmp_path: Path, dtype: Any) -> None:
    """Pillow does so with 8 bits alone."""
    most = np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", most - _gray(dtype), photometric="miniswhite")
    np.testing.assert_allclose(pictures.read_picture(tmp_path / "a.tif", SHAPE, 200)[15, 10], 0.5)


def test_one_of_several_pictures_is_no_map(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([_gray() * 0, _gray()]), photometric="minisblack")
    with pytest.raises(InputError, match="expected one picture, found 2; keep the map alone"):
        pictures.read_picture(tmp_path / "a.tif", SHAPE, 200)
