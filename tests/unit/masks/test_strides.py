"""Strides of masks by their shapes; `test_truth.py` reads files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scripts.errors import InputError
from scripts.masks.strides import choose_level, mask_stride, one_stride

SLIDE = (1001, 1507)


@pytest.mark.parametrize(
    ("shape", "map_stride", "expected"),
    [
        ((63, 95), 16, 16),
        ((62, 94), 1, 16),
        ((63, 94), 1, 16),
        ((3, 4), 1, None),
        ((3, 4), 400, 400),
        ((0, 4), 1, None),
    ],
)
def test_the_stride_that_explains_a_shape(shape, map_stride, expected):
    assert one_stride(shape, SLIDE, map_stride) == expected


@settings(deadline=None, max_examples=80)
@given(
    slide_shape=st.tuples(st.integers(2_000, 90_000), st.integers(2_000, 200_000)),
    stride=st.integers(1, 40),
    floors=st.tuples(st.booleans(), st.booleans()),
    map_stride=st.integers(1, 80),
)
def test_one_stride_explains_the_shape(slide_shape, stride, floors, map_stride):
    shape = tuple(
        side // stride if floor else -(-side // stride) for side, floor in zip(slide_shape, floors, strict=True)
    )
    fitting = [
        other
        for other in range(1, 90)
        if all(side in (full // other, -(-full // other)) for side, full in zip(shape, slide_shape, strict=True))
    ]
    expected = map_stride if map_stride in fitting else fitting[0] if len(fitting) == 1 else None
    assert one_stride(shape, slide_shape, map_stride) == expected


@pytest.mark.parametrize(("wanted", "expected"), [(16, (1, 16)), (15, (0, 4)), (2, (0, 4)), (100, (1, 16))])
def test_the_coarsest_level_that_is_fine_enough(wanted, expected):
    shapes = [(251, 377), (63, 95)]
    assert choose_level(Path("a.tif"), shapes, SLIDE, 1, wanted) == expected


def test_shapes_that_no_stride_explains_are_refused(tmp_path):
    words = "fits a slide of 1001 x 1507 level-0 pixels at no single whole stride"
    with pytest.raises(InputError, match=words):
        choose_level(tmp_path / "a.tif", [(17, 900), (17, 901)], SLIDE, 1, 16)
    with pytest.raises(InputError, match=words):
        mask_stride(tmp_path / "a.png", (17, 900), SLIDE, 1)
