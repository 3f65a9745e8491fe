from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.made_maps import write_map_of
from helpers.review_cohort import MPP, SHAPE, STRIDE, write_cohort
from scripts.errors import InputError
from scripts.review.cohort import read_cohort
from scripts.review.queue import QueueSettings, make_queue, read_other_maps
from scripts.review.run import start_session
from scripts.review.session import Session
from scripts.scoring.settings import ScoreSettings

SCORING = ScoreSettings(nms_radius_um=400)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two slides; the other maps find the one lesion of b less likely, and something else on a."""
    folder = write_cohort(tmp_path_factory.mktemp("review") / "all", {"a": 0.9, "b": 0.62})
    (folder / "others").mkdir()
    for name, peak in (("a", 0.9), ("b", 0.1)):
        prob_map = np.full((57, 82), 0.05, dtype=np.float32)
        prob_map[20:40, 50:74] = peak
        prob_map[8:12, 10:16] = max(peak - 0.05, 0.05)
        if name == "a":
            prob_map[50, 5] = 0.8
        write_map_of(folder / "others", name, prob_map, SHAPE, STRIDE, MPP, {"weights_sha256": "1" * 64})
    return folder


@pytest.fixture
def session(folder: Path, tmp_path: Path) -> Iterator[Session]:
    asking = QueueSettings("disagreement", None, folder / "others")
    session = start_session(folder / "maps", [folder / "slides"], tmp_path / "verdicts", None, SCORING, asking=asking)
    yield session
    session.close()


def test_uncertain_ones_come_first_and_all_slides_have_their_turn(folder: Path) -> None:
    cohort = read_cohort(folder / "maps", [folder / "slides"], None, SCORING)
    suspicion = make_queue(cohort, QueueSettings("suspicion"), {}) or []
    uncertainty = make_queue(cohort, QueueSettings("uncertainty"), {}) or []
    assert [number for number, *_ in suspicion][:2] == [0, 1]
    assert [number for number, *_ in uncertainty][:2] == [1, 0]
    assert sorted(suspicion) == sorted(uncertainty)
    assert suspicion[0] == (0, int(cohort[0].detections.col[0]), int(cohort[0].detections.row[0]))
    assert make_queue(cohort, QueueSettings("suspicion", 1), {}) == suspicion[:1]
    assert make_queue(cohort, QueueSettings(), {}) is None


def test_disagreement_asks_about_what_one_map_alone_has(session: Session) -> None:
    queue = session.queue() or []
    assert (queue[0]["name"], queue[0]["x"], queue[0]["y"]) == ("a", 5 * STRIDE + 8, 50 * STRIDE + 8)
    assert {place["name"] for place in queue[:2]} == {"a", "b"}
    marks = session.describe(0)["marks"]
    (alone,) = (mark for mark in marks if mark["name"].endswith("of the other map"))
    assert (alone["x"], alone["y"], alone["prob"]) == (queue[0]["x"], queue[0]["y"], 0.8)
    assert session.worklist()[0]["num_detections"] == sum(mark["source"] == "detection" for mark in marks)


def test_the_queue_knows_what_was_judged(session: Session, folder: Path, tmp_path: Path) -> None:
    place = (session.queue() or [])[0]
    mark = next(
        mark
        for mark in session.describe(place["number"])["marks"]
        if (mark["x"], mark["y"]) == (place["x"], place["y"])
    )
    assert not place["is_judged"]
    session.judging.change(place["number"], {"action": "judge", "id": mark["id"], "verdict": "unsure"})
    assert [place["is_judged"] for place in session.queue() or []].count(True) == 1
    session.close()
    asking = QueueSettings("disagreement", None, folder / "others")
    again = start_session(folder / "maps", [folder / "slides"], tmp_path / "verdicts", None, SCORING, asking=asking)
    assert [place["is_judged"] for place in again.queue() or []][:2] == [True, False]
    again.close()


def test_settings_that_do_not_fit_are_refused(folder: Path, tmp_path: Path) -> None:
    cohort = read_cohort(folder / "maps", [folder / "slides"], None, SCORING)
    with pytest.raises(InputError, match="--order"):
        make_queue(cohort, QueueSettings(None, 5), {})
    with pytest.raises(InputError, match="disagreement"):
        make_queue(cohort, QueueSettings("disagreement"), {})
    write_map_of(tmp_path, "a", np.zeros((57, 82), dtype=np.float32), SHAPE, STRIDE, MPP)
    with pytest.raises(InputError, match=r"b\.tif"):
        read_other_maps(cohort, tmp_path, SCORING)
