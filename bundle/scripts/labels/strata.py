"""Where in a slide to sample: strata of a map by distance to the tumor's boundary, and random draws from them.

Arrays in, arrays out; no files. A map pixel yields at most one point, so its strata say how many there are to have.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..geometry import map_to_level0

TUMOR_EDGE, TUMOR_CORE, NORMAL_EDGE, NORMAL_FAR = 1, 2, 3, 4
"""Values of a map of strata; 0 is where nothing is sampled. The edges are tumor and tissue near the boundary."""

_EIGHT = np.ones((3, 3), dtype=np.bool_)


def draw_strata(
    tumor: npt.NDArray[np.bool_], foreground: npt.NDArray[np.bool_], pixel_um: float, boundary_um: float
) -> npt.NDArray[np.uint8]:
    """Tell apart tumor and normal tissue, each near the boundary of tumor and away from it.

    Tumor counts where it is foreground; a lesion (8-connected) without any foreground counts whole. The slide's edge is
    no boundary.

    Args:
        tumor: (rows, cols), true is tumor.
        foreground: (rows, cols), true is tissue.
        pixel_um: side of a map pixel in µm.
        boundary_um: how far from the boundary an edge reaches on either side; the boundary runs between pixels.

    Returns:
        (rows, cols) uint8: `TUMOR_EDGE`, `TUMOR_CORE`, `NORMAL_EDGE`, `NORMAL_FAR` or 0.
    """
    strata = np.where(foreground & ~tumor, np.uint8(NORMAL_FAR), np.uint8(0))
    if not tumor.any():
        return strata
    lesions, _ = ndimage.label(tumor, structure=_EIGHT)
    in_tissue = np.unique(lesions[tumor & foreground])
    strata[tumor & (foreground | ~np.isin(lesions, in_tissue))] = TUMOR_CORE
    reach = boundary_um / pixel_um + 0.5
    strata[(strata == NORMAL_FAR) & (ndimage.distance_transform_edt(~tumor) <= reach)] = NORMAL_EDGE
    if not tumor.all():
        strata[(strata == TUMOR_CORE) & (ndimage.distance_transform_edt(tumor) <= reach)] = TUMOR_EDGE
    return strata


def share_out(capacities: npt.ArrayLike, total: int) -> npt.NDArray[np.int64]:
    """Share a number among slides, equally as far as each has room.

    Args:
        capacities: (S,) how many each can take.
        total: how many there are to share.

    Returns:
        (S,) int64, the smaller of ``total`` and the sum of ``capacities`` in all. No share could grow at the cost of
        one that is greater by more than one; of equals the first get what cannot be divided.
    """
    room = np.asarray(capacities, dtype=np.int64)
    shares = np.zeros_like(room)
    left = min(int(total), int(room.sum()))
    while left:
        open_slides = np.flatnonzero(shares < room)
        step = left // len(open_slides)
        if step == 0:
            shares[open_slides[:left]] += 1
            break
        given = np.minimum(step, room[open_slides] - shares[open_slides])
        shares[open_slides] += given
        left -= int(given.sum())
    return shares


def choose_pixels(
    rng: np.random.Generator,
    strata: npt.NDArray[np.uint8],
    edge: int,
    rest: int,
    count: int,
    boundary_share: float,
    lesions: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.int64]:
    """Draw pixels of one class, a share of them from its edge; where one of the two runs short the other fills up.

    Args:
        rng: random generator.
        strata: (rows, cols) of `draw_strata`.
        edge: the class's value near the boundary.
        rest: its value elsewhere.
        count: how many; must not exceed the class's pixels.
        boundary_share: from 0 to 1, the share from ``edge``.
        lesions: (rows, cols) labels; given, each label gets one pixel before any gets a second.

    Returns:
        (count, 2) int64, (row, col) on the map, all different.
    """
    pixels = rng.permutation(np.flatnonzero((strata == edge) | (strata == rest)))
    if lesions is not None:
        _, first = np.unique(lesions.ravel()[pixels], return_index=True)
        pixels = np.concatenate([pixels[np.sort(first)], np.delete(pixels, first)])
        num_fixed = min(len(first), count)
    else:
        num_fixed = 0
    is_edge = strata.ravel()[pixels] == edge
    free_edge, free_rest = (num_fixed + np.flatnonzero(part[num_fixed:]) for part in (is_edge, ~is_edge))
    left = count - num_fixed
    wanted = round(boundary_share * count) - int(is_edge[:num_fixed].sum())
    num_edge = min(max(wanted, left - len(free_rest), 0), len(free_edge), left)
    chosen = np.concatenate([np.arange(num_fixed), free_edge[:num_edge], free_rest[: left - num_edge]])
    return np.stack(np.unravel_index(pixels[np.sort(chosen)], strata.shape), axis=1).astype(np.int64)


def place_points(
    rng: np.random.Generator,
    pixels: npt.NDArray[np.int64],
    stride: int,
    slide_shape: tuple[int, int],
    is_wanted: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.bool_]],
) -> npt.NDArray[np.int64]:
    """A random level-0 point in each map pixel, or the one that the pixel stands for where that is not of the class.

    Args:
        rng: random generator.
        pixels: (N, 2), (row, col) on the map.
        stride: level-0 pixels per map pixel.
        slide_shape: (height, width) in level-0 pixels.
        is_wanted: which (N, 2) level-0 points are of the class.

    Returns:
        (M, 2) int64, (row, col), level-0 frame, in the same order; M is N unless some pixels' own points are of
        another class too.
    """
    low = pixels * stride
    high = np.minimum(low + stride, np.asarray(slide_shape))
    points = rng.integers(low, high)
    is_off = ~is_wanted(points)
    points[is_off] = map_to_level0(pixels[is_off], stride)
    kept = np.ones(len(points), dtype=np.bool_)
    kept[is_off] = is_wanted(points[is_off])
    return points[kept]
