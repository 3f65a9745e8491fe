from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from scripts.inference.agreement import Agreement, compare_logits, is_beyond_limits
from scripts.inference.tile_plan import SlidePlan, Tile


def make_tiles(counts: list[int], path: str = "a.tif") -> list[Tile]:
    """Tiles with so many positions each, and a gap in each block."""
    plan = SlidePlan(path, (9001, 7003), 0.243, 64, 1.0, (141, 110), "mask", "openslide", sum(counts), len(counts))
    tiles = []
    for index, count in enumerate(counts):
        positions = np.ones((3, count), dtype=bool)
        positions[1:] = False
        tiles.append(Tile(path, plan, (3 * index, 5), positions))
    return tiles


def choices(tiles: list[Tile], num_checks: int) -> list[npt.NDArray[np.int64]]:
    agreement = Agreement(num_checks)
    return [agreement.choose(tile) for tile in tiles]


@pytest.mark.parametrize("num_checks", [1, 7, 64, 100])
@pytest.mark.parametrize("counts", [[841, 3, 200, 97], [1, 1, 1, 300], [29] * 40])
def test_as_many_as_asked_for_are_chosen_by_each_tiles_share(num_checks: int, counts: list[int]) -> None:
    found = choices(make_tiles(counts), num_checks)
    assert sum(map(len, found)) == num_checks
    for chosen, count in zip(found, counts, strict=True):
        assert abs(len(chosen) - num_checks * count / sum(counts)) < 1
        assert len(set(chosen.tolist())) == len(chosen)
        assert all(0 <= index < count for index in chosen.tolist())


def test_a_small_slide_is_checked_everywhere() -> None:
    found = choices(make_tiles([3, 1, 5]), 64)
    assert [chosen.tolist() for chosen in found] == [[0, 1, 2], [0], [0, 1, 2, 3, 4]]


def test_no_checks_choose_nothing() -> None:
    assert not any(len(chosen) for chosen in choices(make_tiles([30, 40]), 0))
    assert Agreement(5).report() is None


def test_choices_are_those_of_the_last_run_and_differ_between_slides() -> None:
    first, again = (choices(make_tiles([400, 900]), 32) for _ in range(2))
    other = choices(make_tiles([400, 900], "b.tif"), 32)
    for left, right in zip(first, again, strict=True):
        np.testing.assert_array_equal(left, right)
    assert any(left.tolist() != right.tolist() for left, right in zip(first, other, strict=True))
    assert first[1].max() - first[1].min() > 450, "spread over the tile"


def test_logits_are_compared_over_all_tiles() -> None:
    agreement = Agreement(5)
    of_map, sliding = [-3.0, 0.5, 2.0, -1.0, 0.1], [-2.0, 0.7, 1.0, 0.3, -0.2]
    agreement.add(torch.tensor(of_map[:2]), torch.tensor(sliding[:2]))
    agreement.add(torch.zeros(0), torch.zeros(0))
    agreement.add(torch.tensor(of_map[2:]), torch.tensor(sliding[2:]))
    found = agreement.report()
    assert found is not None

    def centered(values: list[float]) -> list[float]:
        return [value - sum(values) / 5 for value in values]

    left, right = centered(of_map), centered(sliding)
    product = sum(a * b for a, b in zip(left, right, strict=True))
    norm = math.sqrt(sum(a * a for a in left) * sum(b * b for b in right))
    assert found["num_checks"] == 5
    assert found["logit_correlation"] == pytest.approx(product / norm, abs=1e-5)
    assert found["largest_difference"] == pytest.approx(1 / (1 + math.exp(-0.3)) - 1 / (1 + math.exp(1)), abs=1e-5)
    assert found["crossings"] == 0.4


@pytest.mark.parametrize("logits", [[0.5], [0.5, 0.5, 0.5]])
def test_without_variation_there_is_no_correlation(logits: list[float]) -> None:
    found = compare_logits(np.array(logits), np.array(logits))
    assert found == {
        "num_checks": len(logits),
        "logit_correlation": None,
        "largest_difference": 0.0,
        "crossings": 0.0,
    }


@pytest.mark.parametrize(("crossings", "expected"), [(0, False), (3, False), (4, True)])
def test_more_than_one_crossing_in_twenty_is_too_many(crossings: int, expected: bool) -> None:
    sliding = np.linspace(-4, -0.1, 64)
    of_map = np.concatenate([sliding[: 64 - crossings], np.full(crossings, 0.1)])
    assert is_beyond_limits(compare_logits(of_map, sliding)) is expected


@pytest.mark.parametrize(("of_first", "expected"), [(2.4, False), (3.5, True)])
def test_one_large_difference_is_too_large(of_first: float, expected: bool) -> None:
    sliding = np.concatenate([[0.5 - of_first], np.linspace(0.1, 3, 63)])
    of_map = np.concatenate([[0.5], np.linspace(0.1, 3, 63)])
    found = compare_logits(of_map, sliding)
    assert found["crossings"] < 0.05
    assert is_beyond_limits(found) is expected
