"""How a probability map is computed: which modes there are, and where each is possible."""

from __future__ import annotations

import math

from ..errors import InputError

MODES = ("auto", "refined", "dense", "sliding", "cascade")

NETWORK_STRIDE = 32
"""Pixels from one output of the network to the next when it runs over more than a patch: that of a ResNet."""


def check_mode(mode: str) -> str:
    """Return ``mode``.

    Raises:
        InputError: if it is none of `MODES`.
    """
    if mode not in MODES:
        raise InputError(f"mode must be one of {', '.join(MODES)}, but got {mode!r}")
    return mode


def dense_step(stride: int, downsample: float) -> int | None:
    """Outputs of the network from one map position to the next.

    Args:
        stride: level-0 pixels per map pixel.
        downsample: level-0 pixels per pixel that the model sees.

    Returns:
        ``stride / downsample / 32`` where that is whole, else None: the positions lie between outputs.
    """
    exact = stride / downsample / NETWORK_STRIDE
    step = round(exact)
    return step if step >= 1 and math.isclose(exact, step, rel_tol=1e-9) else None


def resolve_mode(mode: str, stride: int, downsample: float) -> str:
    """Choose the mode for one slide.

    Args:
        mode: one of `MODES`.
        stride: level-0 pixels per map pixel.
        downsample: level-0 pixels per pixel that the model sees.

    Returns:
        ``refined``, ``dense`` or ``sliding``; for ``auto`` and ``cascade``, which looks at what its screen passed on as
        ``auto`` does, ``refined`` where the stride permits it.

    Raises:
        InputError: if the mode is unknown or needs another stride.
    """
    if check_mode(mode) == "sliding":
        return mode
    if dense_step(stride, downsample) is not None:
        return "refined" if mode in ("auto", "cascade") else mode
    if mode in ("auto", "cascade"):
        return "sliding"
    raise InputError(
        f"--mode {mode} needs a stride of whole multiples of {NETWORK_STRIDE} pixels that the model sees, but stride "
        f"{stride} is {stride / downsample:.6g} of them (downsample {downsample:.6g}); give --mode sliding or another "
        "--stride"
    )
