"""The screen of mode cascade: a coarse network that looks at all foreground and says where the fine one looks again.

The screen's positions lie on a grid of their own, each over ``factor`` x ``factor`` pixels of the map.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy
import torch

from ..errors import InputError
from ..geometry import MAX_PATCH_SIZE, check_mpp
from ..network.modes import NETWORK_STRIDE, dense_step
from ..network.network import prepare_network
from ..network.purpose import Purpose, make_purpose, read_purpose

LEAST_RATIO = 2.0
"""How many times coarser than the network the screen must be at least, to be worth its time."""


_MOST_MARGIN_UM = 10_000.0


class ScreenSettings(NamedTuple):
    """How slides are screened. Use `make_screen`.

    Attributes:
        mpp: µm per pixel that the screen sees.
        ratio: pixels of the network per pixel of the screen, along a side.
        patch_size: side of the patch that the screen sees, in its pixels.
        above: probability from which on, exclusive, the network looks again.
        margin_um: it looks around, too, up to this distance in µm.
        is_dense: whether the screen runs over whole tiles, where the stride permits it.
    """

    mpp: float
    ratio: float
    patch_size: int
    above: float
    margin_um: float
    is_dense: bool

    def grid(self, stride: int, downsample: float) -> tuple[int, float]:
        """Where the screen looks on a slide.

        In mode dense its outputs lie 32 of its pixels apart, and in patch mode they shall not lie further apart: it was
        trained to tell of the middle 32 x 32 pixels of a patch.

        Args:
            stride: level-0 pixels per map pixel.
            downsample: level-0 pixels per pixel that the network sees.

        Returns:
            ``factor``: map pixels per position, along a side, at least 1; level-0 pixels per pixel of the screen.
        """
        screen_downsample = downsample * self.ratio
        if dense_step(stride, screen_downsample) is not None:
            return 1, screen_downsample
        exact = NETWORK_STRIDE * screen_downsample / stride
        return max(1, math.floor(exact + 1e-9)), screen_downsample


def make_screen(
    mpp: float,
    model_mpp: float,
    patch_size: int,
    above: float,
    margin_um: float,
    dense: bool = True,
    weights: str | Path | None = None,
    model_patch_size: Any = None,
) -> ScreenSettings:
    """Check the settings of a screen.

    Args:
        mpp: µm per pixel of the screen.
        model_mpp: µm per pixel of the network that decides.
        patch_size: of the screen, see `ScreenSettings`, as all that follow.
        above: a probability.
        margin_um: at least 0.
        dense: whether it runs over whole tiles.
        weights: of the network that decides; None leaves them unchecked.
        model_patch_size: side of its patch.

    Raises:
        InputError: if a setting is not as described, the screen is not coarser than the network, or ``weights`` are
            those of a screen.
    """
    for name, value in (("screen_mpp", mpp), ("mpp", model_mpp)):
        check_mpp(name, value)
    if type(patch_size) is not int or not 0 < patch_size <= MAX_PATCH_SIZE:
        raise InputError(
            f"screen_patch_size must be a whole number of pixels up to {MAX_PATCH_SIZE}, but got {patch_size!r:.40}"
        )
    if not _is_number(above) or not 0 <= above <= 1:
        raise InputError(f"screen_above must be a probability from 0 to 1, but got {above!r:.40}")
    if not _is_number(margin_um) or not 0 <= margin_um <= _MOST_MARGIN_UM:
        raise InputError(f"screen_margin_um must be µm from 0 to {_MOST_MARGIN_UM:g}, but got {margin_um!r:.40}")
    if not isinstance(dense, bool):
        raise InputError(f"screen_dense must be true or false, but got {dense!r:.40}")
    if mpp < LEAST_RATIO * model_mpp:
        raise InputError(
            f"screen_mpp must be at least {LEAST_RATIO:g} times mpp, which is {model_mpp:g}, in mode cascade, but got "
            f"{mpp:g}; leave overlays that change mpp, such as screen_10x.json, out, or give another --mode"
        )
    if weights is not None:
        _check_weights("weights", weights, make_purpose(model_mpp, model_patch_size))
    return ScreenSettings(float(mpp), mpp / model_mpp, patch_size, float(above), float(margin_um), dense)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def prepare_screen(
    network: torch.nn.Module,
    device: torch.device,
    weights: str | Path | None = None,
    mpp: float | None = None,
    patch_size: Any = None,
) -> torch.nn.Module:
    """The screen's network, see `network.network.prepare_network`.

    Raises:
        InputError: if the weights are no screen's.
    """
    if weights is not None:
        _check_weights("screen_weights", weights, make_purpose(mpp, patch_size))
    return prepare_network(network, device, weights, mpp, patch_size)


def _check_weights(name: str, weights: str | Path, asked: Purpose) -> None:
    """Refuse weights of another resolution in words of the cascade, which needs two files of them."""
    purpose = read_purpose(weights)
    if purpose is not None and purpose.knows_tumor and not purpose.fits(asked):
        raise InputError(
            f"{name} {weights}: trained at {purpose}, but mode cascade takes {asked} there; give the fine network to "
            "--weights and the coarse one to --screen_weights, or leave both for the shipped ones"
        )


def coarsen(mask: npt.NDArray[np.bool_], factor: int) -> npt.NDArray[np.bool_]:
    """Positions of the screen over a mask: those over any of its true pixels.

    Args:
        mask: (rows, cols) bool.
        factor: pixels per position, along a side.

    Returns:
        (ceil(rows / factor), ceil(cols / factor)) bool.
    """
    padded = np.pad(mask, [(0, -side % factor) for side in mask.shape])
    rows, cols = (side // factor for side in padded.shape)
    return np.asarray(padded.reshape(rows, factor, cols, factor).any(axis=(1, 3)))


def spread(values: npt.NDArray[Any], factor: int, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Values of the screen's positions for the map pixels under each.

    Args:
        values: (R, C).
        factor: map pixels per position, along a side.
        shape: (rows, cols) of the map.

    Returns:
        (rows, cols), of the values' dtype.
    """
    return values.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]


def choose(
    probabilities: npt.NDArray[np.float32], foreground: npt.NDArray[np.bool_], above: float, margin: int, factor: int
) -> npt.NDArray[np.bool_]:
    """Where the fine network looks.

    Args:
        probabilities: (R, C) of the screen, 0 where it did not look.
        foreground: (rows, cols) bool of the map.
        above: the limit that a probability must exceed.
        margin: positions of the screen around one that exceeds it, in rows, columns and diagonals.
        factor: map pixels per position, along a side.

    Returns:
        (rows, cols) bool, within the foreground.
    """
    passed = np.asarray(probabilities > np.float32(above))
    if margin:
        passed = np.asarray(scipy.ndimage.binary_dilation(passed, np.ones((2 * margin + 1,) * 2, dtype=bool)))
    return spread(passed, factor, (foreground.shape[0], foreground.shape[1])) & foreground


def hold_below(
    probabilities: npt.NDArray[np.float32], left: npt.NDArray[np.bool_], above: float, factor: int
) -> npt.NDArray[np.float32]:
    """A map of what the screen says where the fine network does not look.

    Args:
        probabilities: (R, C) of the screen.
        left: (rows, cols) bool, foreground where the fine network does not look.
        above: see `choose`.
        factor: map pixels per position, along a side.

    Returns:
        (rows, cols) float32, below ``above``, 0 elsewhere.
    """
    held = np.minimum(probabilities, np.nextafter(np.float32(above), np.float32(0)))
    found: npt.NDArray[np.float32] = np.where(left, spread(held, factor, (left.shape[0], left.shape[1])), 0)
    return found.astype(np.float32)
