"""What a slide has to sample from."""

from __future__ import annotations

import numpy as np
from PIL import Image

from helpers.flat_slide import FLAT_SHAPE, write_flat_slide
from scripts.labels.survey import survey_slide


def test_pixels_that_stand_for_points_beyond_the_slide_yield_nothing(tmp_path):
    slide = write_flat_slide(tmp_path / "normal_1.tif")
    assert FLAT_SHAPE == (1500, 2300)
    Image.fromarray(np.full((24, 36), 255, np.uint8)).save(tmp_path / "normal_1.png")
    survey = survey_slide(np.random.default_rng(0), slide, None, 64, 250.0, tmp_path)
    strata = survey.strata(64)
    assert (strata[:23] > 0).all()
    assert not strata[23].any()  # stands for row 1504; the last column for 2272
    assert (survey.num_tumor, survey.num_normal) == (0, 23 * 36)
    assert survey.thumbnail.shape == (187, 280, 3)
