"""What to ask first: by suspicion, uncertainty or disagreement, spread over slides and over each slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.errors import InputError
from scripts.maps.detections import Detections
from scripts.maps.files import MapInfo
from scripts.review.order import NEIGHBOR_UM, ORDERS, Candidates, Place, ask_first, highest_near, joined

FAR, NEAR = 4000, 100  # level-0 pixels at 0.25 µm: 1000 µm and 25 µm


def _slide(*found: tuple[float, int], other: list[float] | None = None) -> Candidates:
    """Detections in a row: (probability, column)."""
    prob = np.array([value for value, _ in found], dtype=np.float32)
    points = np.array([(50, col) for _, col in found], dtype=np.int64).reshape(-1, 2)
    return Candidates(points, prob, 0.25, None if other is None else np.array(other, dtype=np.float32))


def test_the_best_of_each_slide_come_first():
    slides = [_slide((0.8, 0), (0.7, FAR), (0.6, 2 * FAR)), _slide(), _slide((0.99, 0), (0.52, FAR))]
    expected = [(2, 0), (0, 0), (0, 1), (2, 1), (0, 2)]
    assert ask_first(slides, "suspicion") == expected
    assert ask_first(slides, "suspicion", 3) == expected[:3]
    assert isinstance(ask_first(slides)[0], Place)


def test_neighbors_wait_until_all_slides_have_been_through():
    slides = [_slide((0.99, 0), (0.98, NEAR), (0.6, FAR)), _slide((0.7, 0), (0.55, FAR))]
    assert ask_first(slides) == [(0, 0), (1, 0), (0, 2), (1, 1), (0, 1)]


def test_a_chain_of_neighbors_waits_only_for_those_that_are_asked():
    step = round(0.6 * NEIGHBOR_UM / 0.25)
    assert ask_first([_slide((0.9, 0), (0.8, step), (0.7, 2 * step))]) == [(0, 0), (0, 2), (0, 1)]


def test_uncertain_ones_are_those_near_one_half_on_either_side():
    slides = [_slide((0.9, 0), (0.55, FAR), (0.42, 2 * FAR)), _slide((0.51, 0))]
    assert ask_first(slides, "uncertainty") == [(1, 0), (0, 1), (0, 2), (0, 0)]


@given(
    prob=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=9, unique=True),
    temperature=st.floats(0.5, 2.0),
)
def test_a_temperature_does_not_change_who_is_uncertain(prob, temperature):
    values = np.round(np.array(prob), 3)
    distances = np.abs(values - 0.5)
    if len(np.unique(np.round(distances, 6))) < len(values):
        return  # ties are broken by rounding
    calibrated = 1 / (1 + np.exp(-np.log(values / (1 - values)) / temperature))
    points = np.arange(len(values))[:, None] * np.array([[0, FAR]])
    first, second = (ask_first([Candidates(points, found, 0.25)], "uncertainty") for found in (values, calibrated))
    assert first == second


def test_disagreement_is_the_difference_of_two_maps():
    slides = [_slide((0.9, 0), (0.8, FAR), other=[0.85, 0.1]), _slide((0.6, 0), other=[0.95])]
    assert ask_first(slides, "disagreement") == [(0, 1), (1, 0), (0, 0)]
    with pytest.raises(InputError, match="order disagreement: expected a second folder of maps"):
        ask_first([_slide((0.9, 0))], "disagreement")


@given(
    slides=st.lists(
        st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12_000), st.integers(0, 9_000)), max_size=8), max_size=5
    ),
    by=st.sampled_from(ORDERS),
)
def test_each_detection_is_asked_once_and_neighbors_last(slides, by):
    candidates = [
        Candidates(
            np.array([found[1:] for found in slide], dtype=np.int64).reshape(-1, 2),
            np.array([found[0] for found in slide]),
            0.5,
            np.zeros(len(slide)),
        )
        for slide in slides
    ]
    order = ask_first(candidates, by)
    assert sorted(order) == [(number, index) for number, slide in enumerate(slides) for index in range(len(slide))]
    asked: list[Place] = []
    waiting = False
    for place in order:
        points = candidates[place.slide].points * 0.5
        is_near = any(
            other.slide == place.slide and np.hypot(*(points[other.detection] - points[place.detection])) <= NEIGHBOR_UM
            for other in asked
        )
        waiting = waiting or is_near
        assert is_near or not waiting, "whoever has no neighbor before does not wait for one who has"
        asked.append(place)
    for limit in (1, 3):
        assert ask_first(candidates, by, limit) == order[:limit]


@pytest.mark.parametrize(("by", "limit"), [("best", None), ("suspicion", 0), ("suspicion", True), ("suspicion", 1.5)])
def test_ask_first_refuses(by, limit):
    with pytest.raises(InputError, match=r"^(order|limit): expected"):
        ask_first([], by, limit)


def test_highest_near_looks_around():
    prob_map = np.zeros((7, 11), dtype=np.float32)
    prob_map[2, 5], prob_map[6, 10] = 0.9, 0.4
    info = MapInfo(Path("a.npy"), "a.tif", (7 * 64, 11 * 64), 64, 0.25)
    points = [(2 * 64, 6 * 64 + 63), (0, 0), (6 * 64 + 1, 10 * 64 + 1), (64, 3 * 64)]
    np.testing.assert_allclose(highest_near(prob_map, info, points, 16.0), [0.9, 0, 0.4, 0], rtol=1e-6)
    np.testing.assert_allclose(highest_near(prob_map, info, points, 32.0), [0.9, 0, 0.4, 0.9], rtol=1e-6)
    assert highest_near(prob_map, info, [], 16.0).shape == (0,)


def test_joined_has_each_place_once():
    first = Detections(np.array([0.9, 0.8]), np.array([100, 500]), np.array([200, 600]))
    second = Detections(np.array([0.95, 0.7, 0.6]), np.array([110, 900, 500]), np.array([205, 10, 640]))
    found = joined(first, second, 30)
    assert [values.tolist() for values in found] == [[0.9, 0.8, 0.7, 0.6], [100, 500, 900, 500], [200, 600, 10, 640]]
    none = Detections(*(values[:0] for values in first))
    for pair in ((first, none), (none, first)):
        assert [values.tolist() for values in joined(*pair, 30)] == [values.tolist() for values in first]
