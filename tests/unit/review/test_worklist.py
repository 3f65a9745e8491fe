from __future__ import annotations

import numpy as np
import pytest

from scripts.annotations.verdict_files import Counts
from scripts.maps.detections import Detections
from scripts.maps.files import MapInfo
from scripts.review.cohort import ReviewSlide
from scripts.review.worklist import by_suspicion, totals, worklist_row


def test_order_is_suspicion_then_detections_then_name() -> None:
    rows = [
        {"name": name, "score": score, "num_detections": count}
        for name, score, count in (("d", 0.2, 9), ("c", 0.9, 1), ("b", 0.9, 3), ("a", 0.9, 1))
    ]
    assert [row["name"] for row in by_suspicion(rows)] == ["b", "a", "c", "d"]


@pytest.mark.parametrize(
    ("num_detections", "counts", "expected"),
    [
        (3, None, (3, 0, False)),
        (3, Counts(3, 2, 1, 1, 0), (3, 2, False)),
        (3, Counts(4, 4, 2, 1, 1), (4, 4, True)),
        (0, None, (0, 0, True)),
    ],
    ids=["not looked at", "in part", "with one of an earlier map", "nothing to judge"],
)
def test_a_slide_is_reviewed_when_each_detection_is(
    tmp_path, num_detections: int, counts: Counts | None, expected: tuple[int, int, bool]
) -> None:
    numbers = np.zeros(num_detections, dtype=np.int64)
    info = MapInfo(tmp_path / "a.npy", "a.tif", (100, 200), 16, 0.25)
    slide = ReviewSlide(0, info, None, 0.7, Detections(numbers + 0.7, numbers, numbers), None, False)
    row = worklist_row(slide, "v", num_detections, counts)
    assert (row["num_detections"], row["num_reviewed"], row["is_reviewed"]) == expected
    assert row["truth"] == "no tumor"
    assert totals([row, row]) == {
        "detections": 2 * expected[0],
        "detections_reviewed": 2 * expected[1],
        "slides": 2,
        "slides_reviewed": 2 * expected[2],
    }
