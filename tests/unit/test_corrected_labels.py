"""Corrected labels: a slide is left out, or its class changes, before anything is drawn or mined from it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.annotation_forms import write_ncrf
from helpers.flat_slide import write_flat_slide
from helpers.made_maps import write_map_of
from scripts.errors import InputError
from scripts.geometry import map_shape
from scripts.labels.loclabel import generate_loclabels, read_loclabels
from scripts.labels.mining import mine_hard_negatives
from scripts.labels.sampling import SampleSettings, sample_regions

SHAPE, MPP, STRIDE = (1500, 2300), 0.243, 32
TUMOR_XY = [[512, 256], [1536, 256], [1536, 1280], [512, 1280]]
NAMES = ("a", "b", "normal_c")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Slides ``a`` and ``b`` with the same outline, ``normal_c`` without; all of it tissue; maps that see tumor."""
    (tmp_path / "maps").mkdir()
    (tmp_path / "foreground").mkdir()
    seen = np.zeros(map_shape(SHAPE, STRIDE), np.float32)
    seen[768 // STRIDE, 1024 // STRIDE] = 0.9
    for name in NAMES:
        write_flat_slide(tmp_path / "slides" / f"{name}.tif", SHAPE, MPP)
        write_map_of(tmp_path / "maps", name, seen, SHAPE, STRIDE, MPP)
        tissue = Image.fromarray(np.full(seen.shape, 255, np.uint8))
        tissue.save(tmp_path / "foreground" / f"{name}.png")
    for name in "ab":
        write_ncrf(tmp_path / "annotations", name, [TUMOR_XY])
    return tmp_path


def correct(place: Path, *lines: str) -> Path:
    path = place / "corrections.csv"
    path.write_text("\n".join(("slide,action,reason", *lines)) + "\n")
    return path


def tumor_cells(path: Path) -> dict[str, int]:
    """Tumor cells of each slide that a loclabel file names."""
    found: dict[str, int] = {}
    for item in read_loclabels(path):
        found[item["name"]] = found.get(item["name"], 0) + int(item["label"].sum())
    return found


def loclabel(place: Path, corrections: Path | None) -> dict[str, int]:
    (place / "coords.txt").write_text("".join(f"{name},1024,768\n" for name in NAMES))
    generate_loclabels(place / "coords.txt", place / "annotations", place / "out.csv", corrections=corrections)
    return tumor_cells(place / "out.csv")


def sample(place: Path, corrections: Path | None) -> dict[str, int]:
    settings = SampleSettings(num_tumor=6, num_normal=6, stride=STRIDE)
    arguments = (settings, "", place / "foreground")
    sample_regions(place / "slides", place / "annotations", place / "out.csv", *arguments, corrections=corrections)
    return {name: min(cells, 1) for name, cells in tumor_cells(place / "out.csv").items()}


def mine(place: Path, corrections: Path | None) -> dict[str, int]:
    mine_hard_negatives(place / "maps", place / "annotations", place / "out.csv", corrections=corrections)
    return tumor_cells(place / "out.csv")


TRAINING = {"loclabel": loclabel, "sample": sample, "mine": mine}


@pytest.mark.parametrize(
    ("command", "lines", "expected"),
    [
        ("loclabel", [], {"a": 9, "b": 9, "normal_c": 0}),
        ("loclabel", ["A,remove,blurred"], {"b": 9, "normal_c": 0}),
        ("loclabel", ["a.tif,normal,no tumor"], {"a": 0, "b": 9, "normal_c": 0}),
        ("sample", [], {"a": 1, "b": 1, "normal_c": 0}),
        ("sample", ["A,remove,blurred"], {"b": 1, "normal_c": 0}),
        ("sample", ["a.tif,normal,no tumor"], {"a": 0, "b": 1, "normal_c": 0}),
        ("mine", [], {"normal_c": 0}),
        ("mine", ["normal_c,remove,blurred", "a,normal,no tumor"], {"a": 0}),
    ],
)
def test_a_slide_is_removed_or_becomes_normal(
    place: Path, caplog: pytest.LogCaptureFixture, command: str, lines: list[str], expected: dict[str, int]
) -> None:
    corrections = correct(place, *lines) if lines else None
    with caplog.at_level(logging.WARNING):
        assert TRAINING[command](place, corrections) == expected
    told = [message for message in caplog.messages if message.startswith(f"{corrections}: ")]
    assert len(told) == bool(lines)


@pytest.mark.parametrize("command", TRAINING)
def test_a_slide_that_becomes_tumor_needs_its_outlines(place: Path, command: str) -> None:
    corrections = correct(place, "normal_c,tumor,metastasis seen")
    with pytest.raises(InputError, match=r"1 of 3 .*normal_c.*add the|no annotation or mask of normal_c; add it"):
        TRAINING[command](place, corrections)
    assert not (place / "out.csv").exists()
    write_ncrf(place / "annotations", "normal_c", [TUMOR_XY])
    if command != "mine":  # where every map lies in tumor now, nothing can be mined
        assert TRAINING[command](place, corrections)["normal_c"] > 0


def test_all_slides_removed(place: Path) -> None:
    corrections = correct(place, *(f"{name},remove," for name in NAMES))
    with pytest.raises(InputError, match=r"all .*slides are removed by .*corrections.csv"):
        loclabel(place, corrections)
    with pytest.raises(InputError, match=r"all .*slides are removed by .*corrections.csv"):
        sample(place, corrections)
    with pytest.raises(InputError, match=r"all .*slides are removed by .*corrections.csv"):
        mine(place, corrections)


def test_lines_keep_their_numbers(place: Path) -> None:
    (place / "coords.txt").write_text("a,1024,768\nb,9999,768\n")
    with pytest.raises(InputError, match="first in line 2"):
        generate_loclabels(
            place / "coords.txt",
            place / "annotations",
            place / "out.csv",
            slides=place / "slides",
            corrections=correct(place, "a,remove,"),
        )


def test_the_truth_of_a_table_serves_training(place: Path) -> None:
    lines = ("path,label,annotation", "slides/a.tif,tumor,annotations/a.json", "slides/b.tif,normal,")
    (place / "list.csv").write_text("\n".join(lines) + "\n")
    (place / "coords.txt").write_text("a,1024,768\nb,1024,768\n")
    generate_loclabels(place / "coords.txt", None, place / "out.csv", slides=place / "list.csv")
    assert tumor_cells(place / "out.csv") == {"a": 9, "b": 0}
    settings = SampleSettings(num_tumor=6, num_normal=6, stride=STRIDE)
    sample_regions(place / "list.csv", None, place / "out.csv", settings, "", place / "foreground")
    assert tumor_cells(place / "out.csv")["b"] == 0
    assert tumor_cells(place / "out.csv")["a"] > 0
    (place / "maps" / "normal_c.npy").unlink()
    mine_hard_negatives(place / "maps", None, place / "out.csv", slides=[place / "list.csv"])
    assert tumor_cells(place / "out.csv") == {"b": 0}
