"""Which file is the truth of a slide: of a folder, of a table of slides, and what corrections say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.annotation_forms import ncrf
from helpers.touched import touch
from scripts.errors import InputError
from scripts.folders.corrections import Corrections
from scripts.folders.slide_table import SlideTable
from scripts.masks.truth_folder import TruthFolder

NCRF = ncrf([[[0, 0], [9, 0], [9, 9]]])
MASK = np.zeros((5, 8), dtype=np.uint8)


def _png(path, mask):
    Image.fromarray(mask).save(path)


def _sidecar(path):
    path.write_text(json.dumps({"shape": [50, 80], "stride": 10}))


def test_truth_folder_finds_by_name(tmp_path):
    below = tmp_path / "below"
    below.mkdir()
    np.save(below / "Tumor_001_Mask.npy", MASK)
    _png(tmp_path / "tumor_002.png", MASK)
    _sidecar(tmp_path / "tumor_002.json")
    (tmp_path / "tumor_003.json").write_text(json.dumps(NCRF))
    (tmp_path / "tumor_004.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    _sidecar(tmp_path / "tumor_005.json")  # its mask is gone
    (tmp_path / "run.json").write_text("{}")
    folder = TruthFolder(tmp_path)
    assert folder.find("tumor_001").name == "Tumor_001_Mask.npy"
    assert folder.find("tumor_002").name == "tumor_002.png"
    assert folder.find("Tumor_003").name == "tumor_003.json"
    assert folder.find("tumor_005") is None
    assert folder.find("normal_001") is None
    assert folder.names_beyond(["Tumor_001", "tumor_003"]) == ["tumor_002", "tumor_004"]


def test_truth_folder_prefers_the_mask(tmp_path):
    _png(tmp_path / "tumor_001_mask.png", MASK)
    (tmp_path / "tumor_001.json").write_text(json.dumps(NCRF))
    assert TruthFolder(tmp_path).find("tumor_001").suffix == ".png"


def test_truth_folder_refuses(tmp_path):
    with pytest.raises(InputError, match="no ground truth found"):
        TruthFolder(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        TruthFolder(tmp_path / "missing")
    _png(tmp_path / "a.png", MASK)
    np.save(tmp_path / "a.npy", MASK)
    with pytest.raises(InputError, match="keep one"):
        TruthFolder(tmp_path).find("a")


def table_of(tmp_path: Path, *lines: str) -> SlideTable:
    for name in "abcdn":
        touch(tmp_path, f"slides/{name}.tif", f"slides/normal_{name}.tif")
    (tmp_path / "list.csv").write_text("\n".join(("path,label,mask,annotation", *lines)) + "\n")
    return SlideTable(tmp_path / "list.csv")


def test_a_table_gives_what_the_folder_lacks(tmp_path: Path) -> None:
    mask, annotation, other = touch(tmp_path, "m.png", "x.xml", "a.xml")
    table = table_of(
        tmp_path,
        "slides/a.tif,,m.png,x.xml",
        "slides/b.tif,,m.png,x.xml",
        "slides/c.tif,tumor,,x.xml",
        "slides/d.tif,normal,,",
        "slides/normal_n.tif,tumor,,",
    )
    (tmp_path / "truth").mkdir()
    other = other.rename(tmp_path / "truth" / "a.xml")
    folder = TruthFolder(tmp_path / "truth", table)
    assert [folder.find(name) for name in ("a", "B", "c", "d")] == [other, mask, annotation, None]
    alone = TruthFolder(None, table)
    assert alone.find("a") == mask
    assert alone.folder == tmp_path / "list.csv"
    assert [alone.is_normal(name) for name in ("a", "d", "normal_n", "normal_x", "x")] == [
        *(False, True, False, True, False)
    ]


def test_corrections_count_over_folder_table_and_name(tmp_path: Path) -> None:
    touch(tmp_path, "x.xml", "truth/b.xml")
    table = table_of(tmp_path, "slides/a.tif,tumor,,x.xml", "slides/d.tif,normal,,")
    (tmp_path / "corrections.csv").write_text("slide,action\na,normal\nb,normal\nd,tumor\nnormal_a,tumor\n")
    folder = TruthFolder(tmp_path / "truth", table, Corrections(tmp_path / "corrections.csv"))
    assert [folder.find(name) for name in "ab"] == [None, None]
    assert [folder.is_normal(name) for name in ("a", "b", "d", "normal_a")] == [True, True, False, False]


def test_a_truth_that_is_named_nowhere(tmp_path: Path) -> None:
    table = table_of(tmp_path, "slides/a.tif,,,")
    with pytest.raises(
        InputError, match=r"a folder of masks or annotations, found none.*column mask or annotation or l"
    ):
        TruthFolder(None, table)
    touch(tmp_path, "x.txt")
    with pytest.raises(InputError, match=r"list.csv, line 2: mask: expected a file ending in .*found x.txt; mend it"):
        TruthFolder(None, table_of(tmp_path, "slides/a.tif,,x.txt,")).find("a")
