"""Tumor of a slide at map pixels, and lesions that a map misses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from helpers.even_odd import slow_inside
from scripts.annotations.annotations import Annotation
from scripts.annotations.polygons import Polygon
from scripts.labels.regions import SlideTruth
from scripts.labels.tumor_pixels import missed_lesions, tumor_pixels
from scripts.masks.groundtruth import tumor_mask

SHAPE = (150, 231)
LARGE = [(20, 30), (21, 140), (133, 90), (75, 60)]
SMALL = [(101, 201), (101, 206), (107, 203)]
CUT = [(50, 60), (50, 100), (90, 100), (90, 60)]


def outlined(stride, *rings, cut=()):
    def polygons(rings):
        return tuple(Polygon(str(index), (np.array(ring, float),)) for index, ring in enumerate(rings))

    annotation = Annotation(Path("a.json"), polygons(rings), polygons(cut))
    return SlideTruth(tumor_mask(annotation, SHAPE, stride) != 0, stride, annotation)


@pytest.mark.parametrize("stride", [1, 5, 7, 16, 31])
def test_outlines_at_map_pixels(stride):
    found = tumor_pixels(outlined(stride, LARGE, SMALL, cut=[CUT]), SHAPE, stride)
    assert found.shape == (-(-150 // stride), -(-231 // stride))
    for row, col in np.ndindex(found.shape):
        point = int((row + 0.5) * stride), int((col + 0.5) * stride)
        is_in = slow_inside([LARGE], *point) or slow_inside([SMALL], *point)
        assert found[row, col] == (is_in and not slow_inside([CUT], *point)), (row, col)


@pytest.mark.parametrize(("stride", "mask_stride"), [(16, 4), (16, 16), (5, 16), (7, 3)])
def test_a_mask_at_map_pixels(stride, mask_stride):
    rng = np.random.default_rng(0)
    mask = rng.random((150 // mask_stride, 231 // mask_stride)) < 0.5  # a last incomplete pixel is missing
    found = tumor_pixels(SlideTruth(mask, mask_stride, None), SHAPE, stride)
    for row, col in np.ndindex(found.shape):
        at = (int((row + 0.5) * stride) // mask_stride, int((col + 0.5) * stride) // mask_stride)
        assert found[row, col] == mask[min(at[0], mask.shape[0] - 1), min(at[1], mask.shape[1] - 1)]


def test_a_small_outline_gets_a_point_and_a_large_one_none():
    truth = outlined(64, LARGE, SMALL)
    points = {tuple(missed(truth, seed)[0].tolist()) for seed in range(30)}
    assert len(points) > 5
    assert all(slow_inside([SMALL], *point) for point in points)
    assert all(len(missed(truth, seed)) == 1 for seed in range(30))


def missed(truth, seed=0, stride=64):
    return missed_lesions(np.random.default_rng(seed), truth, tumor_pixels(truth, SHAPE, stride), SHAPE, stride)


def test_an_outline_that_is_cut_out_or_holds_no_pixel_gets_none(caplog):
    around = [(95, 195), (95, 215), (115, 215), (115, 195)]
    sliver = [(30.2, 200.2), (30.2, 200.8), (30.8, 200.5)]
    assert missed(outlined(64, LARGE, SMALL, sliver, cut=[around])).shape == (0, 2)
    assert "a.json: 2 outlines hold no tumor that a pixel shows; not sampled" in caplog.text
    beyond = [(140, 225), (140, 300), (200, 300), (200, 225)]
    (point,) = missed(outlined(64, beyond))
    assert (point >= (140, 225)).all()
    assert (point < SHAPE).all()


def test_a_small_component_of_a_mask_gets_a_point():
    mask = np.zeros((38, 58), bool)  # stride 4
    mask[3:30, 5:30] = True
    mask[25, 50] = mask[26, 51] = True  # one lesion, diagonally
    mask[37, 57] = True
    points = missed(SlideTruth(mask, 4, None))
    assert len(points) == 2
    assert points[0].tolist() in [[102, 202], [106, 206]]
    assert points[1].tolist() == [149, 230]  # inside the slide, whose last mask pixel is incomplete
