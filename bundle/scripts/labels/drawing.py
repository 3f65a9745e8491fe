"""Regions of one slide, drawn from its strata."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .regions import Regions, is_normal, is_tumor, label_regions, read_slide_truth
from .strata import NORMAL_EDGE, NORMAL_FAR, TUMOR_CORE, TUMOR_EDGE, choose_pixels, place_points
from .survey import Survey


def draw_regions(
    rng: np.random.Generator,
    survey: Survey,
    num_tumor: int,
    num_normal: int,
    stride: int,
    boundary_share: float,
    tumor_value: int | None = None,
) -> Regions:
    """Draw a slide's share of the regions, tumor first.

    Args:
        rng: random generator.
        survey: what the slide has.
        num_tumor: regions with a tumor center, at most as many as the slide has room for.
        num_normal: the same of regions with a normal center.
        stride: level-0 pixels per pixel of the survey's strata.
        boundary_share: share of each that lies near the boundary of tumor, where the slide has one.
        tumor_value: see `masks.truth.read_truth`.

    Returns:
        The regions with their labels.

    Raises:
        InputError: if the slide's truth can no longer be read.
    """
    if not num_tumor + num_normal:
        return Regions(survey.name, np.empty((0, 2), np.int64), np.empty((0, 3, 3), np.uint8))
    truth = survey.outlines
    if truth is None:
        truth = read_slide_truth(survey.truth_path, survey.shape, stride, stride, tumor_value, bounds=survey.bounds)
    strata = survey.strata(stride)
    tiny = rng.permutation(survey.tiny)[:num_tumor]
    lesions, _ = ndimage.label((strata == TUMOR_EDGE) | (strata == TUMOR_CORE), structure=np.ones((3, 3)))
    in_tumor = choose_pixels(rng, strata, TUMOR_EDGE, TUMOR_CORE, num_tumor - len(tiny), boundary_share, lesions)
    in_normal = choose_pixels(rng, strata, NORMAL_EDGE, NORMAL_FAR, num_normal, boundary_share)
    tumor = place_points(rng, in_tumor, stride, survey.shape, lambda points: is_tumor(truth, points))
    normal = place_points(rng, in_normal, stride, survey.shape, lambda points: is_normal(truth, points))
    centers = np.concatenate([tiny, tumor, normal])
    return Regions(survey.name, centers, label_regions(truth, centers, survey.model_downsample))
