from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.made_maps import write_map, write_truth
from scripts.report.scores import figures_of_scores, parts_of_scores, plots_of_scores, strata_text
from scripts.scoring.evaluation import score_folder
from scripts.scoring.map_reliability import count_pixels, reliability_report

LESION = (slice(20, 70), slice(200, 230))
OTHER = (slice(130, 150), slice(30, 110))
ISOLATED = (slice(100, 102), slice(250, 252))


@pytest.fixture
def scores(tmp_path: Path) -> dict[str, Any]:
    """Two lesions of which one is found, isolated tumor cells, and a false positive on a normal slide."""
    for name in ("maps", "truth"):
        (tmp_path / name).mkdir()
    write_map(tmp_path / "maps", "tumor_001", [(0.9, 40, 215)])
    write_map(tmp_path / "maps", "normal_001", [(0.7, 10, 10)])
    write_truth(tmp_path / "truth", "tumor_001", LESION, OTHER, ISOLATED)
    return score_folder(tmp_path / "maps", tmp_path / "truth", tmp_path / "output")


def test_figures_of_scores(scores: dict[str, Any]) -> None:
    figures = {figure["name"]: (figure["value"], figure["remark"]) for figure in figures_of_scores(scores)}
    assert figures["Slides"] == ("2", "1 with tumor")
    assert figures["Lesions found"] == ("1 of 2", "with 0.50 false positives per slide")
    assert figures["FROC score"][0] == "0.500"
    assert figures["FROC score"][1].startswith("95% interval 0.")
    assert figures["AUC of slides"][0] == "1.000"


def test_scores_of_one_class_have_no_area(scores: dict[str, Any]) -> None:
    scores["slide_level"] |= {"auc": None, "auc_interval": None, "roc": None, "roc_band": None}
    figures = {figure["name"]: (figure["value"], figure["remark"]) for figure in figures_of_scores(scores)}
    assert figures["AUC of slides"] == ("–", "needs slides with and without tumor")
    assert [plot["summary"].split()[0] for plot in plots_of_scores(scores, None)] == ["FROC"]


def test_parts_are_rows_with_their_intervals(scores: dict[str, Any]) -> None:
    assert parts_of_scores(scores) == []
    part = {"froc_score": 0.5, "froc_interval": [0.25, 0.75], "auc": None, "auc_interval": None, "num_slides": 3}
    (row,) = parts_of_scores({"slide_strata": {"histological_type": {"IDC": part}, "center": {}}})
    assert row == part | {**{"fact": "histological type", "name": "IDC", "froc": "0.500 (0.250 to 0.750)", "roc": "–"}}


def test_strata_text(scores: dict[str, Any]) -> None:
    assert strata_text(scores) == (
        "Found: 1 of 2 micrometastases (limit 2 mm). 1 lesion of isolated tumor cells (below 0.2 mm) does not count."
    )


def test_plots_say_in_words_what_they_show(scores: dict[str, Any]) -> None:
    pixels = count_pixels(np.full((4, 5), 0.25, dtype=np.float32), 8, None)
    plots = plots_of_scores(scores, reliability_report([pixels], 0, 0))
    assert [plot["svg"].startswith("<svg ") for plot in plots] == [True] * 3
    assert "score 0.500; sensitivity by false positives per slide: 0.500 at 0.25" in plots[0]["summary"]
    assert "sensitivity is 1.000 and specificity 0.000" in plots[1]["caption"]
    assert "20 pixels with tissue, 0.0% of them tumor. Brier score 0.0625" in plots[2]["caption"]
    assert plots[2]["caption"].endswith("Hollow points have fewer than 50 pixels, too few for an interval.")
