"""Strata of a map, shares of slides, and draws, each against a slow judge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from scripts.labels.strata import (
    NORMAL_EDGE,
    NORMAL_FAR,
    TUMOR_CORE,
    TUMOR_EDGE,
    choose_pixels,
    draw_strata,
    place_points,
    share_out,
)

SHAPE = (7, 11)
masks = arrays(bool, SHAPE, elements=st.booleans())
strata_maps = arrays(np.uint8, SHAPE, elements=st.integers(0, 4))


def slow_strata(tumor, foreground, reach):
    """Distances pixel by pixel, and lesions by flooding."""
    strata = np.zeros(SHAPE, np.uint8)
    for pixel in np.argwhere(foreground | tumor):
        row, col = pixel
        others = np.argwhere(tumor != tumor[row, col])
        is_near = len(others) > 0 and np.hypot(*(others - pixel).T).min() - 0.5 <= reach + 1e-9
        if not tumor[row, col]:
            strata[row, col] = NORMAL_EDGE if is_near else NORMAL_FAR
        elif foreground[row, col] or not any(foreground[other] for other in flood(tumor, (row, col))):
            strata[row, col] = TUMOR_EDGE if is_near else TUMOR_CORE
    return strata


def flood(mask, start):
    found, todo = {start}, [start]
    while todo:
        row, col = todo.pop()
        for other in [(row + i, col + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
            if 0 <= other[0] < SHAPE[0] and 0 <= other[1] < SHAPE[1] and mask[other] and other not in found:
                found.add(other)
                todo.append(other)
    return found


@given(masks, masks, st.sampled_from([0.0, 1.0, 1.9, 4.0]))
def test_strata_agree_with_slow_distances(tumor, foreground, reach):
    found = draw_strata(tumor, foreground, pixel_um=8.0, boundary_um=8.0 * reach)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, slow_strata(tumor, foreground, reach))


@given(st.lists(st.integers(0, 30), max_size=9), st.integers(0, 120))
def test_shares_are_as_equal_as_room_allows(capacities, total):
    shares = share_out(capacities, total)
    assert shares.sum() == min(total, sum(capacities))
    assert (shares >= 0).all()
    assert (shares <= capacities).all()
    for share, room in zip(shares, capacities, strict=True):
        assert share == room or share >= shares.max() - 1


def test_shares_of_equals_go_to_the_first():
    assert share_out([5, 5, 1, 5], 9).tolist() == [3, 3, 1, 2]


@given(strata_maps, st.floats(0, 1), st.integers(0, 2**32), st.data())
def test_chosen_pixels_are_of_the_class_and_near_the_boundary_as_wanted(strata, share, seed, data):
    num_edge, num_rest = (int((strata == value).sum()) for value in (NORMAL_EDGE, NORMAL_FAR))
    count = data.draw(st.integers(0, num_edge + num_rest))
    pixels = choose_pixels(np.random.default_rng(seed), strata, NORMAL_EDGE, NORMAL_FAR, count, share)
    assert pixels.shape == (count, 2)
    assert len({tuple(pixel) for pixel in pixels.tolist()}) == count
    values = strata[tuple(pixels.T)]
    assert set(values.tolist()) <= {NORMAL_EDGE, NORMAL_FAR}
    wanted = round(share * count)
    assert (values == NORMAL_EDGE).sum() == min(max(wanted, count - num_rest), num_edge)


@given(strata_maps, st.integers(0, 2**32), st.data())
def test_each_lesion_comes_once_before_any_comes_twice(strata, seed, data):
    lesions, num_lesions = ndimage.label((strata == TUMOR_EDGE) | (strata == TUMOR_CORE), structure=np.ones((3, 3)))
    count = data.draw(st.integers(0, int((lesions > 0).sum())))
    pixels = choose_pixels(np.random.default_rng(seed), strata, TUMOR_EDGE, TUMOR_CORE, count, 0.5, lesions)
    assert len({tuple(pixel) for pixel in pixels.tolist()}) == len(pixels) == count
    found = lesions[tuple(pixels.T)]
    assert (found > 0).all()
    assert len(set(found.tolist())) == min(count, num_lesions)


def test_every_pixel_of_a_class_can_be_chosen():
    strata = np.full(SHAPE, NORMAL_FAR, np.uint8)
    drawn = np.zeros(SHAPE, int)
    for seed in range(600):
        pixels = choose_pixels(np.random.default_rng(seed), strata, NORMAL_EDGE, NORMAL_FAR, 11, 0.5)
        drawn[tuple(pixels.T)] += 1
    # 600 draws of a seventh: 85.7 on average, standard deviation 8.6
    assert drawn.min() > 50
    assert drawn.max() < 125


@pytest.mark.parametrize("stride", [1, 5, 16])
def test_points_lie_in_their_pixels_and_in_the_class(stride):
    shape = (33, 47)
    pixels = np.argwhere(np.ones((-(-33 // stride), -(-47 // stride)), bool))
    is_stood_for = ((pixels + 0.5) * stride < shape).all(axis=1)
    pixels = pixels[is_stood_for]

    def is_left(points):
        return points[:, 1] * 3 < points[:, 0] * 2 + 40

    centers = np.floor((pixels + 0.5) * stride).astype(int)
    wanted = pixels[is_left(centers)]
    points = place_points(np.random.default_rng(3), wanted, stride, shape, is_left)
    assert is_left(points).all()
    np.testing.assert_array_equal(points // stride, wanted)
    assert (points < shape).all()
    assert stride == 1 or (points != np.floor((wanted + 0.5) * stride)).any()
    everywhere = place_points(np.random.default_rng(3), pixels, stride, shape, is_left)
    assert len(wanted) <= len(everywhere) < len(pixels)
