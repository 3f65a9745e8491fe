from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.dicom_slide import write_dicom_slide
from scripts.inference.freshness import reading_settings, slide_identity
from scripts.inference.tiles import TileDataset


def test_a_slide_that_changed_is_another(tmp_path: Path) -> None:
    slide = tmp_path / "a.tif"
    slide.write_bytes(b"one")
    first = slide_identity(slide)
    assert first["slide"] == "a.tif"
    assert slide_identity(slide) == first
    slide.write_bytes(b"three")
    assert slide_identity(slide)["slide_bytes"] == 5
    os.utime(slide, ns=(0, 10**9))
    assert slide_identity(slide)["slide_modified"] == 10**9
    slide.unlink()
    assert slide_identity(slide) == {"slide": "a.tif", "slide_bytes": None, "slide_modified": None}


def test_settings_survive_json(tmp_path: Path) -> None:
    found = reading_settings(TileDataset([]), tmp_path / "a.tif")
    assert json.loads(json.dumps(found)) == found
    assert found["foreground"]["min_contrast"] == 0.03


def test_an_edited_mask_is_another(tmp_path: Path) -> None:
    dataset = TileDataset([], foreground_dir=tmp_path)
    assert reading_settings(dataset, "slides/a.tif")["foreground"] is None
    found = []
    for value in (0, 255):
        Image.new("L", (8, 5), value).save(tmp_path / "a.png")
        found.append(reading_settings(dataset, "slides/a.tif")["foreground"])
    assert len(set(found)) == 2
    assert all(len(digest) == 64 for digest in found)


def test_names_in_another_unicode_form_are_the_same(tmp_path: Path) -> None:
    composed, decomposed = "M\u00fcller_1", "Mu\u0308ller_1"
    for name in (composed, decomposed):
        Image.new("L", (8, 5)).save(tmp_path / f"{decomposed}.png")
        settings = reading_settings(TileDataset([], foreground_dir=tmp_path), f"slides/{name}.tif")
        assert settings["foreground"] is not None
        assert slide_identity(f"slides/{name}.tif")["slide"] == f"{composed}.tif"


def test_a_dicom_slide_that_changed_is_another(tmp_path: Path) -> None:
    image = np.full((201, 303, 3), 240, dtype=np.uint8)
    files = write_dicom_slide(tmp_path / "tumor_001", [image, image[::2, ::2]])
    first = slide_identity(tmp_path / "tumor_001")
    assert (first["slide"], first["slide_bytes"]) == ("tumor_001.dcm", sum(file.stat().st_size for file in files))
    for file in files:
        os.utime(file, ns=(0, first["slide_modified"] + 10**9))
        assert slide_identity(tmp_path / "tumor_001")["slide_modified"] == first["slide_modified"] + 10**9
        os.utime(file, ns=(0, first["slide_modified"]))
