from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from helpers.review_cohort import write_cohort
from scripts.annotations.polygons import in_any
from scripts.errors import InputError
from scripts.masks.truth import Truth
from scripts.review.cohort import read_cohort, truth_outlines
from scripts.scoring.settings import ScoreSettings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(
        tmp_path_factory.mktemp("review") / "all", {"test_1": 0.9, "b": 0.7, "a": 0.3}, without_pixels="b"
    )


def test_slides_come_by_name_with_what_was_found(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        cohort = read_cohort(folder / "maps", [folder / "slides"], folder / "truth", ScoreSettings(nms_radius_um=200))
    assert [slide.info.name for slide in cohort] == ["a", "b", "test_1"]
    assert [slide.number for slide in cohort] == [0, 1, 2]
    assert [slide.score for slide in cohort] == [0.3, 0.7, 0.9]
    assert [slide.has_tumor for slide in cohort] == [None, None, True]
    assert cohort[0].detections.prob.size == 0
    strongest = cohort[2].detections
    assert (strongest.prob[0], strongest.row[0], strongest.col[0]) == (0.9, 20 * 16 + 8, 50 * 16 + 8)
    assert cohort[1].path is None
    assert "b.tif" in caplog.text


def test_a_slide_without_map_is_told(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "other.tif").symlink_to(folder / "slides" / "a.tif")
    read_cohort(folder / "maps", [tmp_path, folder / "slides"], None, ScoreSettings())
    assert "other.tif" in caplog.text


def test_settings_are_checked_first(folder: Path) -> None:
    with pytest.raises(InputError, match="threshold"):
        read_cohort(folder / "maps", [folder / "slides"], None, ScoreSettings(threshold=2))


def test_truth_is_outlined_along_its_pixels() -> None:
    mask = np.zeros((57, 82), dtype=bool)
    mask[5:9, 10:30] = True
    mask[6, 15] = False
    mask[40, 80] = True
    outlines = truth_outlines(Truth(Path("a.png"), mask, 16))
    centers = np.stack(np.indices(mask.shape), axis=-1).reshape(-1, 2) * 16 + 8.0
    assert np.array_equal(in_any(outlines, centers).reshape(mask.shape), mask)
    assert truth_outlines(Truth(Path("a.png"), np.zeros((57, 82), dtype=bool), 16)) == ()
