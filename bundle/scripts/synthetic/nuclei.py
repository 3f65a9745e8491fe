"""Nuclei of synthetic slides: a library of irregular, textured stamps, and where to put them."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from .splines import FloatMap
from .tissue import PROPERTIES, STEP, TissueLayout

NUM_ANGLES = 16
"""Directions, over half a turn, in which spindle nuclei are kept."""

_LIBRARY_SEED = 1606
_ORIENTATIONS = 8


class Kind(NamedTuple):
    """How the nuclei of one kind look; lengths in µm, stains in optical density.

    Attributes:
        length_um: mean diameter along the long axis.
        spread: relative standard deviation of the diameter.
        roundness: mean ratio of the short to the long axis.
        ragged: amplitude of the outline's irregularity.
        hematoxylin: stain inside.
        rim: stain added at the nuclear membrane.
        clumps: relative amplitude of the chromatin texture.
        nucleoli: mean number of nucleoli.
        halo: opacity of the pale or pink shell around it, 3 px wide.
        num_stamps: stamps in the library, per direction for spindles.
    """

    length_um: float
    spread: float
    roundness: float
    ragged: float
    hematoxylin: float
    rim: float
    clumps: float
    nucleoli: float
    halo: float
    num_stamps: int


KINDS = {
    "lymphocyte": Kind(6.2, 0.09, 0.90, 0.05, 0.84, 0.14, 0.36, 0.0, 0.50, 160),
    "large": Kind(8.6, 0.14, 0.78, 0.06, 0.50, 0.22, 0.40, 0.8, 0.15, 80),
    "spindle": Kind(14.0, 0.22, 0.26, 0.08, 0.72, 0.12, 0.25, 0.0, 0.15, 8),
    "tumor": Kind(12.8, 0.15, 0.80, 0.06, 0.36, 0.30, 0.62, 1.3, 0.10, 140),
}
"""The kinds by name. Lymphocyte nuclei of 6 to 7 µm and carcinoma nuclei of 11 to 16 µm are textbook sizes."""

SPACING_UM = {"lymphocyte": 6.5, "large": 10.0, "spindle": 15.0, "tumor": 14.8}
"""Distance between lattice sites per kind, before vacancies."""


class Stamp(NamedTuple):
    """One nucleus to lay over the stain planes: ``plane = plane * keep + stain``.

    Attributes:
        keep: (n, n) float32, what remains of what lies below.
        hematoxylin: (n, n) float32, optical density added, already times opacity.
        eosin: as hematoxylin.
    """

    keep: FloatMap
    hematoxylin: FloatMap
    eosin: FloatMap


class Placement(NamedTuple):
    """Nuclei of one kind.

    Attributes:
        kind: name in `KINDS`.
        centers: (N, 2) int64, (row, col), level-0 frame.
        stamps: (N,) int64, indices into the kind's library.
    """

    kind: str
    centers: npt.NDArray[np.int64]
    stamps: npt.NDArray[np.int64]


@lru_cache(maxsize=2)
def stamp_library(mpp: float) -> dict[str, list[Stamp]]:
    """Stamps of every kind, the same in every run; those of spindles are ordered by direction.

    Args:
        mpp: µm per level-0 pixel.

    Returns:
        Lists of stamps by kind, each stamp in 8 orientations (views), but spindles one.
    """
    rng = np.random.default_rng(_LIBRARY_SEED)
    library: dict[str, list[Stamp]] = {}
    for name, kind in KINDS.items():
        if name == "spindle":
            angles = np.arange(NUM_ANGLES) * np.pi / NUM_ANGLES
            library[name] = [_draw_stamp(rng, kind, mpp, angle) for angle in angles for _ in range(kind.num_stamps)]
            continue
        drawn = [_draw_stamp(rng, kind, mpp, float(rng.uniform(0, np.pi))) for _ in range(kind.num_stamps)]
        library[name] = [_orient(stamp, orientation) for stamp in drawn for orientation in range(_ORIENTATIONS)]
    return library


def _orient(stamp: Stamp, orientation: int) -> Stamp:
    turned = (np.rot90(plane, orientation % 4) for plane in stamp)
    return Stamp(*(np.fliplr(plane) if orientation >= 4 else plane for plane in turned))


def _draw_stamp(rng: np.random.Generator, kind: Kind, mpp: float, angle: float) -> Stamp:
    half_length = 0.5 * kind.length_um / mpp * float(np.exp(rng.normal(0, kind.spread)))
    half_width = half_length * float(np.clip(rng.normal(kind.roundness, 0.07), 0.18, 1.0))
    size = 2 * int(np.ceil(half_length * 1.25 + 5)) + 1
    rows, cols = np.mgrid[:size, :size].astype(np.float32) - size // 2
    along = cols * np.cos(angle) + rows * np.sin(angle)
    across = -cols * np.sin(angle) + rows * np.cos(angle)
    across += 0.004 * rng.normal() * along**2 if kind.roundness < 0.5 else 0  # bent spindles
    theta = np.arctan2(across / half_width, along / half_length)
    outline = np.ones_like(theta)
    for order in range(2, 7):
        outline += rng.normal(0, kind.ragged / order**0.5) * np.cos(order * theta + rng.uniform(0, 2 * np.pi))
    relative = np.hypot(along / half_length, across / half_width) / outline
    inside = (1 - relative) * half_width  # about px to the outline
    blur = rng.choice([1.0, 1.4, 2.6], p=[0.45, 0.35, 0.2])  # nuclei lie in and out of focus
    body = np.clip(inside / (2 * blur) + 0.5, 0, 1)

    texture = sum(
        weight * _unit_noise(rng, size, sigma) for weight, sigma in ((0.5, 1.1), (0.8, 0.055 * half_length + 1.2))
    )
    stain = kind.hematoxylin * float(np.exp(rng.normal(0, 0.13)))
    hematoxylin = stain * (1 + kind.clumps * 0.6 * texture)
    hematoxylin += kind.rim * np.exp(-((np.maximum(inside, 0) / (1.2 + 0.6 * blur)) ** 2))
    eosin = np.full_like(hematoxylin, 0.16)
    for _ in range(rng.poisson(kind.nucleoli)):
        at = rng.uniform(-0.45, 0.45, 2)
        away = np.hypot(along - at[0] * half_length, across - at[1] * half_width)
        nucleolus = np.clip((rng.uniform(0.09, 0.17) * half_width - away) / blur + 1, 0, 1)
        hematoxylin += 0.38 * nucleolus
        eosin += 0.22 * nucleolus
    hematoxylin = np.clip(ndimage.gaussian_filter(hematoxylin, 0.5 * blur), 0.05, 1.7)

    shell = np.clip(1 - np.abs(inside + 2.5) / 3.5, 0, 1) * (inside < 1) * kind.halo
    opacity = 0.93 * body + (1 - body) * shell
    return Stamp(
        (1 - opacity).astype(np.float32),
        (0.93 * body * hematoxylin + (1 - body) * shell * 0.05).astype(np.float32),
        (0.93 * body * eosin + (1 - body) * shell * 0.10).astype(np.float32),
    )


def _unit_noise(rng: np.random.Generator, size: int, sigma: float) -> npt.NDArray[np.float64]:
    noise = ndimage.gaussian_filter(rng.standard_normal((size, size)), sigma, mode="wrap")
    return np.asarray(noise / noise.std())


def place_nuclei(
    rng: np.random.Generator, layout: TissueLayout, shape: tuple[int, int], mpp: float, direction: FloatMap
) -> list[Placement]:
    """Choose sites and stamps; kinds in the order in which they are to be drawn, none on top of a larger one.

    Args:
        rng: random generator.
        layout: the slide's maps.
        shape: (height, width) in level-0 pixels.
        mpp: µm per level-0 pixel.
        direction: (h, w) angle of the fibres in radians at `STEP`; 0 runs along the columns.

    Returns:
        One placement per kind.
    """
    placements: list[Placement] = []
    taken = np.empty((0, 2))
    reach = np.empty(0)
    for name in ("tumor", "large", "spindle", "lymphocyte"):
        sites = _lattice(rng, shape, SPACING_UM[name] / mpp)
        at = tuple((sites // STEP).astype(np.int64).T)
        chance = (
            layout.properties[PROPERTIES.index(name)][at]
            * (layout.distance[at] > 0.25 * KINDS[name].length_um / mpp)
            * (layout.lumen[at] < 0.35)
        )
        sites = sites[rng.random(len(sites)) < chance]
        own_reach = 0.40 * KINDS[name].length_um / mpp
        if len(taken) and len(sites):
            distance, nearest = cKDTree(taken).query(sites)
            sites = sites[distance > 0.85 * (reach[nearest] + own_reach)]
        taken = np.concatenate([taken, sites])
        reach = np.concatenate([reach, np.full(len(sites), own_reach)])
        if name == "spindle":
            angles = direction[tuple((sites // STEP).astype(np.int64).T)] + rng.normal(0, 0.2, len(sites))
            bins = np.round(angles / np.pi * NUM_ANGLES).astype(np.int64) % NUM_ANGLES
            stamps = bins * KINDS[name].num_stamps + rng.integers(KINDS[name].num_stamps, size=len(sites))
        else:
            stamps = rng.integers(KINDS[name].num_stamps * _ORIENTATIONS, size=len(sites))
        placements.append(Placement(name, np.round(sites).astype(np.int64), stamps))
    return placements


def _lattice(rng: np.random.Generator, shape: tuple[int, int], spacing: float) -> npt.NDArray[np.float64]:
    """Jittered hexagonal sites, (N, 2) (row, col) inside ``shape``: evenly spread, without visible rows."""
    row_step = spacing * 0.866
    rows, cols = np.mgrid[0 : shape[0] + row_step : row_step, 0 : shape[1] + spacing : spacing]
    cols[1::2] += spacing / 2
    sites = np.stack([rows.ravel(), cols.ravel()], axis=1)
    sites += rng.normal(0, 0.20 * spacing, sites.shape)
    inside = np.all((sites >= 0) & (sites <= np.asarray(shape) - 1), axis=1)
    return np.asarray(sites[inside])


def stamp_nuclei(hematoxylin: FloatMap, eosin: FloatMap, placements: list[Placement], mpp: float) -> None:
    """Draw nuclei into the stain planes, in place; those at the slide's edge are cut.

    Args:
        hematoxylin: (H, W) float32, optical density, level 0.
        eosin: as hematoxylin.
        placements: what to draw, in order.
        mpp: µm per level-0 pixel.
    """
    library = stamp_library(mpp)
    height, width = hematoxylin.shape
    for kind, centers, stamps in placements:
        for (row, col), index in zip(centers.tolist(), stamps.tolist(), strict=True):
            stamp = library[kind][index]
            half = stamp.keep.shape[0] // 2
            top, left = row - half, col - half
            part = slice(max(top, 0), min(row + half + 1, height)), slice(max(left, 0), min(col + half + 1, width))
            if top < 0 or left < 0 or row + half >= height or col + half >= width:
                cut = tuple(
                    slice(side.start - start, side.stop - start) for side, start in zip(part, (top, left), strict=True)
                )
                stamp = Stamp(*(plane[cut] for plane in stamp))
            for plane, stain in ((hematoxylin, stamp.hematoxylin), (eosin, stamp.eosin)):
                view = plane[part]
                view *= stamp.keep
                view += stain
