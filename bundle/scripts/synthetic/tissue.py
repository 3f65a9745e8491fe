"""Where things lie in a synthetic lymph node: outline, capsule, fat, follicles, sinuses, tumor nests. No pixels yet.

Layout maps have one value per `STEP` level-0 pixels; `splines.upsample` reads them at full resolution.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import draw

from ..annotations.polygons import Ring
from .splines import FloatMap, smooth_noise, upsample

_NUM_PLACEMENTS = 20

STEP = 4
"""Level-0 pixels per pixel of a layout map."""

OUTLINE_STEP = 16
"""Level-0 pixels per pixel of the tissue mask."""

PROPERTIES = ("hematoxylin", "eosin", "fibre", "gap", "lymphocyte", "large", "spindle", "tumor")
"""What a tissue class sets: diffuse stain in optical density, strength of the fibre and gap textures, and
the share of lattice sites that hold a nucleus of each kind."""

CLASSES = {
    "cortex": (0.20, 0.21, 0.06, 0.72, 0.90, 0.05, 0.04, 0.0),
    "mantle": (0.22, 0.20, 0.03, 0.50, 0.99, 0.00, 0.00, 0.0),
    "germinal": (0.15, 0.25, 0.03, 0.35, 0.36, 0.75, 0.02, 0.0),
    "sinus": (0.04, 0.09, 0.05, 0.95, 0.20, 0.10, 0.10, 0.0),
    "stroma": (0.03, 0.25, 0.38, 0.25, 0.03, 0.00, 0.42, 0.0),
    "tumor": (0.12, 0.25, 0.04, 0.12, 0.02, 0.00, 0.00, 0.97),
}
"""Values of `PROPERTIES` per tissue class, chosen by eye beside CAMELYON16 patches at 40x."""


class TissueLayout(NamedTuple):
    """Maps of one slide.

    Attributes:
        distance: (h, w) float32, level-0 px to the tissue's outline, positive inside, at `STEP`.
        properties: (len(PROPERTIES), h, w) float32, at `STEP`.
        across: (h, w) float32, level-0 px across the fibres, which follow its level lines, at `STEP`.
        lumen: (h, w) float32 in 0..1, share of empty (white) space such as fat vacuoles, at `STEP`.
        tissue: (H / 16, W / 16, rounded up) bool, the outline at `OUTLINE_STEP`.
    """

    distance: FloatMap
    properties: FloatMap
    across: FloatMap
    lumen: FloatMap
    tissue: npt.NDArray[np.bool_]


def tissue_outline(rng: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """One irregular piece of tissue without holes, at `OUTLINE_STEP`."""
    height, width = (-(-length // OUTLINE_STEP) for length in shape)
    center, radii = rng.uniform(-0.05, 0.05, 2), rng.uniform(0.78, 0.86, 2)
    rows = np.abs(np.linspace(-1, 1, height) - center[0])[:, None] / radii[0]
    cols = np.abs(np.linspace(-1, 1, width) - center[1])[None, :] / radii[1]
    inside = 1 - (rows**2.6 + cols**2.6) ** (1 / 2.6)
    for divisor, amplitude in ((2.5, 0.09), (6, 0.05), (16, 0.018), (40, 0.008)):
        inside = inside + amplitude * smooth_noise(rng, (height, width), min(height, width) / divisor)
    pieces, _ = ndimage.label(inside > 0)
    largest = np.argmax(np.bincount(pieces.ravel())[1:]) + 1
    tissue: npt.NDArray[np.bool_] = ndimage.binary_fill_holes(pieces == largest)
    return tissue


def signed_distance(tissue: npt.NDArray[np.bool_], shape: tuple[int, int]) -> FloatMap:
    """Level-0 pixels to the outline of a mask at `OUTLINE_STEP`, positive inside; read at `STEP`."""
    padded = np.pad(tissue, 1)
    signed = ndimage.distance_transform_edt(padded) - ndimage.distance_transform_edt(~padded)
    coarse = (signed[1:-1, 1:-1] * OUTLINE_STEP).astype(np.float32)
    return upsample(coarse, (0, -(-shape[0] // STEP)), (0, -(-shape[1] // STEP)), OUTLINE_STEP // STEP)


def nest_outline(rng: np.random.Generator, center: npt.NDArray[np.float64], radius: float) -> Ring:
    """An irregular, elongated closed outline around a point.

    Args:
        rng: random generator.
        center: (2,), (row, col), level-0 frame.
        radius: radius of the circle of about the same area, level-0 px.

    Returns:
        (160, 2) float64, (row, col), level-0 frame; simple, all points within 1.7 ``radius`` of the center.
    """
    angle = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    wave = np.zeros_like(angle)
    for order in range(2, 24):
        wave += rng.normal(0, 0.36 / order**1.15) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    length = radius * np.exp(np.clip(wave, -0.6, 0.5))
    length *= np.sqrt(np.pi * radius**2 / (0.5 * np.sum(length * np.roll(length, 1)) * np.sin(angle[1])))
    length = np.minimum(length, 1.7 * radius)
    return np.asarray(center + np.stack([length * np.sin(angle), length * np.cos(angle)], axis=1))


def normal_pocket(rng: np.random.Generator, nest: Ring) -> Ring:
    """Outline of a patch of normal tissue well inside a nest."""
    center = nest.mean(axis=0)
    inner = float(np.min(np.hypot(*(nest - center).T)))
    return nest_outline(rng, center, 0.5 * inner)


def place_nests(
    rng: np.random.Generator, tissue: npt.NDArray[np.bool_], num_lesions: int, radius_range: tuple[float, float]
) -> list[Ring]:
    """Outlines of as many nests as fit, of the ``num_lesions`` wanted: in tissue, apart, off the diagonal.

    Args:
        rng: random generator.
        tissue: the outline at `OUTLINE_STEP`.
        num_lesions: nests wanted.
        radius_range: (smallest, largest) radius in level-0 px.

    Returns:
        At most ``num_lesions`` outlines as by `nest_outline`.
    """
    distance = ndimage.distance_transform_edt(np.pad(tissue, 1))[1:-1, 1:-1] * OUTLINE_STEP
    rows, cols = (index * OUTLINE_STEP for index in np.ogrid[: tissue.shape[0], : tissue.shape[1]])
    # At this distance from the diagonal a nest's mirrored center lies outside the nest.
    off_diagonal = np.abs(rows - cols) * np.sqrt(2) / 1.1
    nests: list[Ring] = []
    for _ in range(_NUM_PLACEMENTS):
        free = np.minimum(distance - 5 * OUTLINE_STEP, off_diagonal)
        nests = []
        for _ in range(num_lesions):
            nest = nest_outline(rng, np.zeros(2), float(rng.uniform(*radius_range)))
            reach = float(np.hypot(*nest.T).max())
            candidates = np.flatnonzero(free > reach)
            if len(candidates) == 0:
                break
            center = np.array(np.unravel_index(rng.choice(candidates), free.shape)) * float(OUTLINE_STEP)
            nests.append(nest + center)
            free = np.minimum(free, np.hypot(rows - center[0], cols - center[1]) - reach - 5 * OUTLINE_STEP)
        if len(nests) == num_lesions:
            break
    return nests


def polygon_mask(polygons: list[Ring], shape: tuple[int, int], step: int) -> npt.NDArray[np.bool_]:
    """Union of level-0 polygons on a map of ``shape``, one pixel per ``step`` level-0 pixels."""
    mask = np.zeros(shape, dtype=np.bool_)
    for polygon in polygons:
        mask[draw.polygon((polygon[:, 0] + 0.5) / step - 0.5, (polygon[:, 1] + 0.5) / step - 0.5, shape)] = True
    return mask


def make_layout(
    rng: np.random.Generator,
    tissue: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    tumor: list[Ring],
    exclusion: list[Ring],
) -> TissueLayout:
    """Lay out the compartments of a lymph node around given tumor nests.

    Args:
        rng: random generator.
        tissue: the outline at `OUTLINE_STEP`.
        shape: (height, width) of the slide in level-0 pixels.
        tumor: (N, 2) outlines of nests, (row, col), level-0 frame.
        exclusion: outlines of normal pockets inside nests.

    Returns:
        The slide's maps.
    """
    distance = signed_distance(tissue, shape)
    map_shape = distance.shape
    unit = min(1.0, min(shape) / 4000)  # small slides get smaller structures

    def noise(scale: float) -> FloatMap:
        return smooth_noise(rng, map_shape, scale / STEP)

    distance = distance + 7 * noise(40) + 3 * noise(14)
    nests = polygon_mask(tumor, map_shape, STEP) & ~polygon_mask(exclusion, map_shape, STEP)
    pad = noise(2200 * unit)
    border = pad[(distance > 0) & (distance < 200 * unit)]
    fat_depth = 750 * unit * np.clip(1.3 * (pad - np.quantile(border, 0.72)), 0, 1)
    fat_depth *= np.clip(ndimage.distance_transform_edt(~nests).astype(np.float32) * STEP / 200, 0, 1)
    depth = distance - fat_depth  # from the node's own border, inside the perinodal fat
    deepest = float(depth.max())
    properties = np.empty((len(PROPERTIES), *map_shape), dtype=np.float32)
    properties[:] = np.asarray(CLASSES["cortex"], dtype=np.float32)[:, None, None]

    def paint(name: str, weight: FloatMap) -> None:
        weight = np.clip(weight, 0, 1)
        for index, value in enumerate(CLASSES[name]):
            properties[index] += weight * (np.float32(value) - properties[index])

    paint("cortex", np.ones(map_shape, np.float32))
    for radius, center in _follicles(rng, depth, unit):
        rows, cols = np.ogrid[: map_shape[0], : map_shape[1]]
        away = np.hypot((rows * STEP - center[0]) * 1.15, cols * STEP - center[1]).astype(np.float32)
        ragged = away + 0.10 * radius * noise(0.5 * radius) + 12 * noise(40)
        paint("mantle", (radius * 1.35 - ragged) / 40)
        paint("germinal", (radius - ragged) / 30)
    medulla = np.clip((depth - 0.3 * deepest) / (0.15 * deepest), 0, 1)
    paint("sinus", medulla * np.clip((0.13 - np.abs(noise(420 * unit))) * 18, 0, 1))
    capsule = (55 + 18 * noise(300)) * max(unit, 0.6)
    paint("sinus", np.clip((capsule + 45 * unit - depth) / 10, 0, 1) * np.clip(noise(250) + 1.2, 0, 1))
    trabecula = noise(1100 * unit)
    paint("stroma", np.clip((0.045 + 0.03 * noise(200) - np.abs(trabecula)) * 60, 0, 1))
    paint("stroma", (capsule - depth) / 8)
    ragged_nests = ndimage.gaussian_filter(nests.astype(np.float32), 10 / STEP)
    paint("tumor", (ragged_nests - 0.5) * 3 + 0.5)
    septum = noise(330)
    paint("stroma", np.clip((0.06 + 0.05 * noise(220) - np.abs(septum)) * 14, 0, 1) * ragged_nests * 0.9)
    across = 600 * unit * trabecula
    across += ndimage.gaussian_filter(ragged_nests, 40 / STEP) * (200 * septum - across)
    across += np.clip((3 * capsule - depth) / capsule, 0, 1) * (depth - across)
    across += 9 * noise(110)
    density = PROPERTIES.index("lymphocyte")
    properties[density] *= np.clip(1.05 + 0.12 * noise(160) + 0.06 * noise(60), 0.2, 1.1)

    lumen = _fat_vacuoles(rng, np.clip(-depth / 12, 0, 1), distance, max(unit, 0.6))
    clefts = np.clip((noise(70) - 1.95) * 3, 0, 1) * np.clip((depth - capsule) / 40, 0, 1)
    vessels = np.clip((noise(260) - 2.35) * 8, 0, 1) * (1 - ragged_nests) * np.clip(depth / 60, 0, 1)
    lumen = np.maximum(lumen, np.maximum(clefts * (1 - 0.6 * ragged_nests), vessels))
    return TissueLayout(distance, properties, across, np.clip(lumen, 0, 1).astype(np.float32), tissue)


def _follicles(rng: np.random.Generator, depth: FloatMap, unit: float) -> list[tuple[float, npt.NDArray[np.float64]]]:
    follicles: list[tuple[float, npt.NDArray[np.float64]]] = []
    for _ in range(40):
        radius = float(rng.uniform(230, 430)) * unit
        candidates = np.argwhere((depth[::16, ::16] > 1.5 * radius) & (depth[::16, ::16] < 2.6 * radius))
        if len(candidates) == 0:
            continue
        center = candidates[rng.integers(len(candidates))] * 16.0 * STEP
        if all(np.hypot(*(center - other)) > 1.6 * (radius + size) for size, other in follicles):
            follicles.append((radius, center))
    return follicles[:7]


def _fat_vacuoles(rng: np.random.Generator, fat: FloatMap, distance: FloatMap, unit: float) -> FloatMap:
    """White adipocytes of 45 to 80 µm with thin walls: cells of a jittered lattice with round corners."""
    where = np.argwhere((fat > 0) & (distance > 0))
    lumen = np.zeros_like(fat)
    if len(where) == 0:
        return lumen
    spacing = 230 * unit / STEP
    grid = np.mgrid[0 : fat.shape[0] + spacing : spacing, 0 : fat.shape[1] + spacing : spacing].reshape(2, -1).T
    centers = grid + rng.uniform(-0.36, 0.36, grid.shape) * spacing
    nearest, _ = cKDTree(centers).query(where, k=2)
    wall = 1.6 + 0.8 * smooth_noise(rng, fat.shape, 60)[tuple(where.T)]
    rounded = np.minimum(nearest[:, 1] - nearest[:, 0] - wall, 0.60 * spacing - nearest[:, 0])
    open_space = np.clip(rounded / 1.2, 0, 1)
    edge = np.clip(distance[tuple(where.T)] / STEP / 1.5 - 1.5, 0, 1)  # the outermost wall
    lumen[tuple(where.T)] = open_space * edge * fat[tuple(where.T)]
    return lumen
