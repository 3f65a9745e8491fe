"""How much a slide must be enlarged for a model that was trained at a finer resolution."""

from __future__ import annotations

import math
from pathlib import Path

from ..errors import InputError

NOTED_FROM = 1.5
"""From this enlargement on people are told: a slide of 0.5 µm is enlarged 2.1 times for a model of 0.243 µm."""


def enlargement_notes(mpp: float, model_mpp: float) -> list[str]:
    """What to say of a slide that is coarser than the model.

    Args:
        mpp: µm per level-0 pixel of the slide.
        model_mpp: µm per pixel that the model was trained at.

    Returns:
        A sentence, or none below `NOTED_FROM`.
    """
    times = mpp / model_mpp
    if times < NOTED_FROM:
        return []
    return [
        f"enlarged {times:.3g} times, from {mpp:g} to the model's {model_mpp:g} µm per pixel, which adds no detail: "
        "expect worse probabilities"
    ]


def check_enlargement(path: str | Path, mpp: float, model_mpp: float, max_enlargement: float) -> None:
    """Refuse a slide that is so coarse that a map of it would be made up.

    Args:
        path: the slide.
        mpp: µm per level-0 pixel of it.
        model_mpp: µm per pixel that the model was trained at.
        max_enlargement: how many times coarser than the model it may be.

    Raises:
        InputError: if it is coarser.
    """
    times = mpp / model_mpp
    if times > max_enlargement:
        raise InputError(
            f"{path}: expected at most {max_enlargement * model_mpp:.3g} µm per level-0 pixel, {max_enlargement:g} "
            f"times the model's {model_mpp:g}, found {mpp:g}; give a finer scan, a model for coarser slides "
            "(screen_10x.json), or the true resolution with --assume_mpp, or force it with --max_enlargement "
            f"{math.ceil(times)}"
        )


def check_limit(max_enlargement: float) -> float:
    """The limit of `check_enlargement` as it is.

    Raises:
        InputError: if it is no number of at least 1.
    """
    if isinstance(max_enlargement, bool) or not isinstance(max_enlargement, (int, float)) or not max_enlargement >= 1:
        raise InputError(f"max_enlargement must be a number of at least 1, but got {max_enlargement!r}")
    return max_enlargement
