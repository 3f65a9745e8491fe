from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.made_maps import MPP, SHAPE, STRIDE, write_map, write_truth
from scripts.errors import InputError
from scripts.maps.detections import Detections
from scripts.maps.files import MapInfo, read_map_infos
from scripts.report.slide_views import (
    IN_ISOLATED,
    IN_LESION,
    MAX_MARKS,
    OUTSIDE,
    marks,
    read_pixels,
    slide_bar,
    verdicts,
    view_map,
)
from scripts.scoring.cases import map_case
from scripts.scoring.settings import ScoreSettings
from scripts.scoring.slides import read_evidence
from scripts.slides.pyramid import write_pyramid

LESION = (slice(20, 70), slice(200, 230))
ISOLATED = (slice(100, 102), slice(250, 252))


def view(folder: Path, points, has_truth=True, lesions=(LESION, ISOLATED)):  # type: ignore[no-untyped-def]
    write_map(folder, "a", points)
    truth = folder / "a.png" if lesions else None
    if lesions:
        write_truth(folder, "a", *lesions)
    (info,) = read_map_infos(folder)
    evidence = read_evidence(map_case(info, truth), ScoreSettings(186.6))
    places = verdicts(evidence.found.detections, evidence.lesions, info.mpp) if has_truth else None
    return view_map(info, evidence.prob_map, evidence.found, 0.5, evidence.truth, evidence.lesions, places)


def test_view_of_a_map_with_truth(tmp_path: Path) -> None:
    found = view(tmp_path, [(0.9, 40, 215), (0.8, 100, 250), (0.7, 10, 10), (0.3, 150, 150)])
    assert [mark.verdict for mark in found.marks] == [IN_LESION, IN_ISOLATED, OUTSIDE]
    assert [mark.rank for mark in found.marks] == [1, 2, 3]
    assert (found.marks[0].row, found.marks[0].col) == (40 * STRIDE + 16, 215 * STRIDE + 16)
    assert found.marks[0].top == pytest.approx(40.5 / (SHAPE[0] / STRIDE), abs=0.001)
    assert found.marks[0].left == pytest.approx(215.5 / (SHAPE[1] / STRIDE), abs=0.001)
    assert found.score == pytest.approx(0.9)
    assert found.num_detections == 3
    assert found.tissue_mm2 == pytest.approx(4 * (STRIDE * MPP / 1000) ** 2)
    assert found.outline is not None
    assert [lesion.number for lesion in found.lesions] == [1, 2, 3]
    assert found.lesions[0].area_mm2 == pytest.approx((STRIDE * MPP / 1000) ** 2)
    assert [lesion.area_mm2 for lesion in found.true_lesions] == pytest.approx(
        [size * (STRIDE * MPP / 1000) ** 2 for size in (50 * 30, 4)]
    )
    assert found.pixels is not None
    assert (found.pixels.pixels.sum(), found.pixels.tumor.sum()) == (4, 2)


def test_view_of_a_normal_slide_and_of_one_without_truth(tmp_path: Path) -> None:
    normal = view(tmp_path, [(0.9, 40, 215)], lesions=())
    assert [mark.verdict for mark in normal.marks] == [OUTSIDE]
    assert normal.outline is None
    assert normal.true_lesions == []
    unknown = view(tmp_path, [(0.9, 40, 215)], has_truth=False, lesions=())
    assert [mark.verdict for mark in unknown.marks] == [None]
    assert unknown.pixels is None


def test_strongest_marks_alone_are_kept() -> None:
    number = 3 * MAX_MARKS
    found = marks(Detections(np.linspace(1, 0.5, number), np.arange(number), np.arange(number)), None, (5000, 7000))
    assert len(found) == MAX_MARKS
    assert found[-1].rank == MAX_MARKS


def info_of(shape: tuple[int, int]) -> MapInfo:
    return MapInfo(Path("a.npy"), "a.tif", shape, 32, 0.5)


def test_pixels_of_a_slide(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.full((900, 1300, 3), 200, dtype=np.uint8), None)
    shown = marks(Detections(np.array([0.9]), np.array([400]), np.array([500])), None, (900, 1300))
    pixels = read_pixels(tmp_path / "a.tif", info_of((900, 1300)), shown)
    assert pixels.thumbnail.startswith("data:image/jpeg;base64,")
    assert len(pixels.crops) == 1, "the map's resolution serves where the slide states none"


def test_pixels_of_another_slide_are_refused(tmp_path: Path) -> None:
    write_pyramid(tmp_path / "a.tif", np.full((900, 1300, 3), 200, dtype=np.uint8), 0.5)
    with pytest.raises(InputError, match=r"expected the map's slide of 900 x 1301 .* found 900 x 1300"):
        read_pixels(tmp_path / "a.tif", info_of((900, 1301)), [])


def test_scale_of_a_slide() -> None:
    assert slide_bar(info_of((900, 8000))).label == "1 mm"
