"""Cubic B-splines over coarse grids: smooth noise, and coarse maps read at full resolution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatMap = npt.NDArray[np.float32]


def bspline(t: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """Weights of the four grid points -1, 0, 1, 2 at the fraction ``t`` (N,) past point 0: (4, N), summing to 1."""
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return np.asarray(np.stack(pieces) / 6, dtype=np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> FloatMap:
    """Noise that varies over ``scale`` pixels, of mean 0 and standard deviation about 1.

    Args:
        rng: random generator.
        shape: (rows, cols).
        scale: distance of the spline's grid points in pixels.

    Returns:
        ``shape`` float32.
    """
    grid_shape = [int(np.ceil(length / scale)) + 3 for length in shape]
    grid = rng.standard_normal(grid_shape, dtype=np.float32) / 0.48  # what the spline leaves of the variation
    weights = []
    for length, num_points in zip(shape, grid_shape, strict=True):
        position = np.arange(length) / scale
        base = np.floor(position).astype(np.int64)
        matrix = np.zeros((length, num_points), dtype=np.float32)
        for tap, weight in enumerate(bspline(position - base)):
            matrix[np.arange(length), base + tap] = weight
        weights.append(matrix)
    noise: FloatMap = weights[0] @ grid @ weights[1].T
    return noise


def upsample(maps: FloatMap, rows: tuple[int, int], cols: tuple[int, int], step: int) -> FloatMap:
    """Read coarse maps smoothly at a block of pixels; map pixel (i, j) covers ``step`` x ``step`` pixels.

    Args:
        maps: (..., h, w) float32; repeated beyond their ends.
        rows: first row, a multiple of ``step``, and past the last.
        cols: first column, a multiple of ``step``, and past the last.
        step: pixels per map pixel.

    Returns:
        (..., rows, cols) float32.

    Raises:
        ValueError: if a block does not start at a multiple of ``step``.
    """
    if rows[0] % step or cols[0] % step:
        raise ValueError(f"blocks must start at multiples of {step}, but got rows {rows} and cols {cols}")
    ranges = [np.arange(low // step - 2, -(-high // step) + 2) for low, high in (rows, cols)]
    row_index, col_index = (np.clip(r, 0, length - 1) for r, length in zip(ranges, maps.shape[-2:], strict=True))
    part = maps[..., row_index, :][..., col_index]
    by_rows = _upsample_last(np.swapaxes(part, -1, -2), step)[..., : rows[1] - rows[0]]
    return _upsample_last(np.swapaxes(by_rows, -1, -2), step)[..., : cols[1] - cols[0]]


def _upsample_last(part: FloatMap, step: int) -> FloatMap:
    """Upsample the last axis, which has two points more at either end.

    One strided sum per phase: a matrix product would keep every core busy for a small block.
    """
    part = np.ascontiguousarray(part)
    num_points = part.shape[-1] - 4
    phases = np.empty((step, *part.shape[:-1], num_points), dtype=np.float32)
    offset = (np.arange(step) + 0.5) / step - 0.5
    first = np.where(offset < 0, 0, 1)
    for phase, weights in enumerate(bspline(offset % 1.0).T):
        taps = [part[..., start : start + num_points] for start in range(first[phase], first[phase] + 4)]
        np.multiply(taps[0], weights[0], out=phases[phase])
        for tap, weight in zip(taps[1:], weights[1:], strict=True):
            phases[phase] += tap * weight
    return np.ascontiguousarray(np.moveaxis(phases, 0, -1)).reshape(*part.shape[:-1], num_points * step)
