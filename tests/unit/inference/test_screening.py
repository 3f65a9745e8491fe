from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from helpers.networks import fc_network
from scripts import bundle_root
from scripts.errors import InputError
from scripts.inference.screening import choose, coarsen, hold_below, make_screen, prepare_screen, spread

MODELS = Path(bundle_root()) / "models"
SETTINGS: dict[str, Any] = {"mpp": 0.972, "model_mpp": 0.243, "patch_size": 96, "above": 0.25, "margin_um": 62.0}
FOREGROUNDS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=23), elements=st.booleans())
LIMITS = st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0])


def random_screen(foreground: npt.NDArray[np.bool_], factor: int, seed: int) -> npt.NDArray[np.float32]:
    """Few positions are high, some are exactly a limit; 0 where the screen does not look."""
    rng = np.random.default_rng(seed)
    looked = coarsen(foreground, factor)
    values = rng.choice([0.0, 0.1, 0.25, 0.5, 1.0, *rng.random(3)], size=looked.shape) * (
        rng.random(looked.shape) < 0.4
    )
    found: npt.NDArray[np.float32] = (values * looked).astype(np.float32)
    return found


@given(FOREGROUNDS, st.integers(1, 5))
def test_a_position_is_screened_if_any_pixel_under_it_is_foreground(mask: npt.NDArray[np.bool_], factor: int) -> None:
    found = coarsen(mask, factor)
    assert found.shape == tuple(-(-side // factor) for side in mask.shape)
    for row, col in product(*map(range, found.shape)):
        part = mask[factor * row : factor * (row + 1), factor * col : factor * (col + 1)]
        assert found[row, col] == part.any()
    under = spread(found, factor, mask.shape)
    assert under.shape == mask.shape
    assert under[mask].all()


@given(FOREGROUNDS, st.integers(1, 5), LIMITS, st.integers(0, 4), st.integers(0, 99))
def test_the_network_looks_around_what_exceeds_the_limit(
    foreground: npt.NDArray[np.bool_], factor: int, above: float, margin: int, seed: int
) -> None:
    screen = random_screen(foreground, factor, seed)
    chosen = choose(screen, foreground, above, margin, factor)
    for row, col in product(*map(range, foreground.shape)):
        top, left = max(0, row // factor - margin), max(0, col // factor - margin)
        around = screen[top : row // factor + margin + 1, left : col // factor + margin + 1]
        assert chosen[row, col] == (foreground[row, col] and (around > np.float32(above)).any())


@given(FOREGROUNDS, st.integers(1, 5), LIMITS, st.integers(0, 4), st.integers(0, 99))
def test_elsewhere_the_map_holds_the_screen_below_the_limit(
    foreground: npt.NDArray[np.bool_], factor: int, above: float, margin: int, seed: int
) -> None:
    screen = random_screen(foreground, factor, seed)
    left = foreground & ~choose(screen, foreground, above, margin, factor)
    held = hold_below(screen, left, above, factor)
    assert held.dtype == np.float32
    assert not held[~left].any()
    assert (held[left] < above).all() or above == 0
    of_screen = spread(screen, factor, foreground.shape)
    below = left & (of_screen < np.float32(above))
    np.testing.assert_array_equal(held[below], of_screen[below])


@given(FOREGROUNDS, st.integers(1, 5), st.integers(0, 3), st.integers(0, 99))
def test_a_lower_limit_or_a_wider_margin_never_loses_a_position(
    foreground: npt.NDArray[np.bool_], factor: int, margin: int, seed: int
) -> None:
    screen = random_screen(foreground, factor, seed)
    chosen = choose(screen, foreground, 0.25, margin, factor)
    assert (chosen <= choose(screen, foreground, 0.1, margin, factor)).all()
    assert (chosen <= choose(screen, foreground, 0.25, margin + 1, factor)).all()


@pytest.mark.parametrize(
    ("stride", "downsample", "factor"),
    [
        (64, 1.0, 2),
        (128, 1.0, 1),
        (256, 1.0, 1),
        (32, 1.0, 4),
        (37, 1.0, 3),  # 128 is no multiple: patch by patch, and no further apart than 32 pixels of the screen
        (100, 1.0, 1),
        (1000, 1.0, 1),
        (64, 0.243 / 0.5, 1),
        (32, 0.243 / 0.499, 1),
        (16, 0.243 / 0.5, 3),
    ],
)
def test_screened_positions_lie_as_near_as_the_screen_was_trained_to_tell(
    stride: int, downsample: float, factor: int
) -> None:
    found, screen_downsample = make_screen(**SETTINGS).grid(stride, downsample)
    assert (found, screen_downsample) == (factor, pytest.approx(4 * downsample))
    assert factor == 1 or factor * stride / screen_downsample <= 32 + 1e-6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"above": 1.5}, "screen_above must be a probability from 0 to 1, but got 1.5"),
        ({"above": True}, "screen_above must be a probability"),
        ({"above": float("nan")}, "screen_above must be a probability"),
        ({"margin_um": -1}, "screen_margin_um must be µm from 0 to 10000, but got -1"),
        ({"dense": 1}, "screen_dense must be true or false, but got 1"),
        ({"patch_size": 0}, "screen_patch_size must be a whole number of pixels"),
        ({"mpp": "0.972"}, "screen_mpp must be a number of µm per pixel"),
        ({"mpp": 0.243}, "screen_mpp must be at least 2 times mpp, which is 0.243, in mode cascade, but got 0.243"),
        ({"model_mpp": 0.972}, "leave overlays that change mpp, such as screen_10x.json, out"),
        (
            {"weights": MODELS / "model_10x.pt", "model_patch_size": 224},
            "weights .*model_10x.pt: trained at 0.972 µm per pixel on patches of 96 px, but mode cascade takes 0.243 "
            "µm per pixel on patches of 224 px there; give the fine network to --weights and the coarse one to",
        ),
    ],
)
def test_settings_that_are_no_screen_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_screen(**{**SETTINGS, **changes})


def test_weights_of_another_resolution_are_no_screen() -> None:
    message = re.escape("model.pt: trained at 0.243 µm per pixel on patches of 224 px, but mode cascade takes 0.972")
    with pytest.raises(InputError, match=f"^screen_weights .*{message}"):
        prepare_screen(fc_network(), torch.device("cpu"), MODELS / "model.pt", 0.972, 96)
