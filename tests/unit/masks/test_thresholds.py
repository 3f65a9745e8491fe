"""Masks whose sidecars state from which gray value on they are tumor, JPEGs above all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scripts.errors import InputError
from scripts.masks.thresholds import read_threshold
from scripts.masks.truth import read_truth, stated_scale
from scripts.masks.truth_folder import TruthFolder

SHAPE = (40, 27)
SLIDE = (40 * 32 - 3, 27 * 32)


def _write(path: Path, changes: dict[str, Any] | None = None) -> np.ndarray[Any, Any]:
    mask = np.zeros(SHAPE, bool)
    mask[10:22, 6:15] = True
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
    content = {"shape": list(SLIDE), "stride": 32, "mpp": 0.243, "tumor_from": 128} | (changes or {})
    path.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    return mask


@pytest.mark.parametrize("name", ["a.jpg", "A.JPEG", "a_mask.jpg", "a.png"])
def test_a_mask_with_a_threshold_is_truth(tmp_path: Path, name: str) -> None:
    mask = _write(tmp_path / name)
    folder = TruthFolder(tmp_path)
    path = folder.find("a")
    assert path == tmp_path / name
    truth = read_truth(path, SLIDE, 64, 32)
    assert truth.stride == 32
    np.testing.assert_array_equal(truth.mask, mask)
    assert stated_scale(path).slide_shape == SLIDE
    assert stated_scale(path).mpp == 0.243
    assert folder.names_beyond(["b"]) == ["a"]


def test_pictures_to_look_at_are_no_truth(tmp_path: Path) -> None:
    _write(tmp_path / "a.png")
    Image.new("RGB", (5, 4)).save(tmp_path / "b.jpg")
    Image.new("RGB", (5, 4)).save(tmp_path / "a_overlay.jpg")
    folder = TruthFolder(tmp_path)
    assert folder.find("b") is None
    assert folder.names_beyond(["a"]) == []


@pytest.mark.parametrize("value", [0, -1, "128", True, float("inf")])
def test_read_threshold_refuses(tmp_path: Path, value: Any) -> None:
    _write(tmp_path / "a.jpg", {"tumor_from": value})
    with pytest.raises(InputError, match="tumor_from: expected the gray value"):
        read_threshold(tmp_path / "a.jpg")


def test_no_sidecar_no_threshold(tmp_path: Path) -> None:
    assert read_threshold(tmp_path / "a.png") is None
