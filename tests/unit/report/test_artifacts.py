"""Badges and layer of a slide's artifacts, and flags of detections on the page."""

from pathlib import Path

import numpy as np
import pytest

from helpers.made_maps import MAP_SHAPE, SHAPE, STRIDE, write_map
from scripts.quality.classes import Artifact
from scripts.quality.files import encode_artifacts, write_artifacts
from scripts.report.artifacts import flag_words, view_artifacts
from scripts.report.report import write_report

CLASSES = np.zeros(MAP_SHAPE, dtype=np.uint8)
CLASSES[20:60, 30:90] = Artifact.PEN
CLASSES[:, :5] = Artifact.DARK_EDGE


def test_badges_say_how_much_is_covered() -> None:
    prob_map = np.zeros(MAP_SHAPE, dtype=np.float32)
    prob_map[20:60, 80:100] = 0.5
    found = view_artifacts(CLASSES, prob_map, STRIDE, SHAPE)
    assert found is not None
    assert [badge.words for badge in found.badges] == ["pen", "dark edge"]
    assert [badge.tissue for badge in found.badges] == [pytest.approx(0.5), 0.0]
    assert found.badges[0].slide == pytest.approx((CLASSES == Artifact.PEN).mean(), abs=1e-6)
    assert found.layer is not None
    assert found.layer.width == pytest.approx(1, abs=0.03)


def test_slides_without_artifacts_and_without_examination() -> None:
    prob_map = np.ones(MAP_SHAPE, dtype=np.float32)
    assert view_artifacts(None, prob_map, STRIDE, SHAPE) is None
    found = view_artifacts(np.zeros_like(CLASSES), prob_map, STRIDE, SHAPE)
    assert found is not None
    assert (found.badges, found.layer) == ([], None)


def test_flags() -> None:
    assert (flag_words("pen"), flag_words("coverslip_edge"), flag_words("")) == ("in pen", "in coverslip edge", "")


def test_page_shows_badges_layer_and_flags(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.mkdir()
    write_map(maps, "marked", [(0.9, 30, 40), (0.8, 100, 200)])
    write_map(maps, "clean", [(0.7, 30, 40)])
    write_map(maps, "unknown", [(0.6, 30, 40)])
    write_artifacts(maps / "marked_artifacts.png", encode_artifacts(CLASSES))
    write_artifacts(maps / "clean_artifacts.png", encode_artifacts(np.zeros_like(CLASSES)))
    write_report(maps, tmp_path / "page")
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert page.count('class="badge"') == 4  # two classes, in the table and at the slide
    assert page.count("pen: 50.0% of tissue") == 2
    assert page.count('<img class="artifacts"') == page.count('data-layer="artifacts"') == 1
    assert page.count('<span class="flag">in pen</span>') == 1
    assert page.count("no artifact found") == page.count("not examined for artifacts") == 1
    assert page.count(" flagged") == 1
