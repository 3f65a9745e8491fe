"""From a layout to an H&E image: textures in optical density, nuclei on top, then color."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import cKDTree

from .nuclei import Placement, place_nuclei, stamp_nuclei
from .splines import FloatMap, smooth_noise, upsample
from .tissue import PROPERTIES, STEP, TissueLayout

RUIFROK = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
"""Optical density of (hematoxylin, eosin) in (R, G, B): Ruifrok and Johnston, Anal Quant Cytol Histol 2001."""

MACENKO = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
"""The same by Macenko et al., ISBI 2009 (their reference stain matrix); redder eosin, browner hematoxylin."""

_TEXTURE_SEED = 3047
_TEXTURE_SIZE = 1024
_BLOCK = 256


class Textures(NamedTuple):
    """Tileable textures, each (1024, 1024) float32.

    Attributes:
        grain: cytoplasm, about 0.
        gap: pale spaces between cells, 0..1.
        fibre: strands along the columns, 0..1.3.
        noise: the scanner's, of standard deviation 1.
    """

    grain: FloatMap
    gap: FloatMap
    fibre: FloatMap
    noise: FloatMap


class Stain(NamedTuple):
    """How one slide was stained and scanned.

    Attributes:
        vectors: (2, 3) optical density per unit of (hematoxylin, eosin) in (R, G, B).
        white: (3,) the empty glass, 0..255.
        noise: scanner noise, gray levels.
    """

    vectors: npt.NDArray[np.float64]
    white: npt.NDArray[np.float64]
    noise: float


@lru_cache(maxsize=1)
def make_textures() -> Textures:
    """The textures, the same in every run."""
    rng = np.random.default_rng(_TEXTURE_SEED)

    def filtered(*sigmas: float) -> npt.NDArray[np.float64]:
        white = rng.standard_normal((_TEXTURE_SIZE, _TEXTURE_SIZE))
        noise = ndimage.gaussian_filter(white, sigmas if len(sigmas) == 2 else sigmas[0], mode="wrap")
        return np.asarray(noise / noise.std())

    grain = 0.5 * filtered(1.3) + 0.6 * filtered(4) + 0.6 * filtered(14)
    gap = np.clip(0.42 + 0.40 * filtered(5.0) + 0.22 * filtered(2.2) + 0.25 * filtered(18), 0, 1)
    strands = 0.8 * filtered(2.2, 38) + 0.5 * filtered(1.2, 22) + 0.7 * filtered(7, 70)
    fibre = np.clip(0.55 + 0.33 * strands, 0, 1.3)
    noise = rng.standard_normal((_TEXTURE_SIZE, _TEXTURE_SIZE))
    return Textures(*(texture.astype(np.float32) for texture in (grain, gap, fibre, noise)))


def draw_stain(rng: np.random.Generator) -> Stain:
    """A slide's own stain: between the two published pairs, weaker or stronger, on glass of its own white."""
    vectors = RUIFROK + rng.uniform(0.1, 0.9) * (MACENKO - RUIFROK)
    vectors = np.clip(vectors + rng.normal(0, 0.015, vectors.shape), 0.02, None)
    vectors *= rng.uniform([[0.85], [0.85]], [[1.15], [1.2]])
    return Stain(vectors, rng.uniform(237, 246) + rng.uniform(-1.5, 1.5, 3), float(rng.uniform(1.2, 2.4)))


def paint_slide(
    rng: np.random.Generator, layout: TissueLayout, shape: tuple[int, int], stain: Stain, mpp: float
) -> npt.NDArray[np.uint8]:
    """Paint a layout.

    Args:
        rng: random generator.
        layout: the slide's maps.
        shape: (height, width) in level-0 pixels.
        stain: the slide's colors.
        mpp: µm per level-0 pixel.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    slope_rows, slope_cols = np.gradient(layout.across)
    direction = np.arctan2(-slope_cols, slope_rows)  # along the level lines
    placements = place_nuclei(rng, layout, shape, mpp, direction)
    hematoxylin = np.zeros(shape, dtype=np.float32)
    eosin = np.zeros(shape, dtype=np.float32)
    cells = _tumor_cells(rng, layout, placements)
    bend = 90 * smooth_noise(rng, layout.distance.shape, 500 / STEP)
    _paint_matrix(hematoxylin, eosin, layout, bend, cells)
    stamp_nuclei(hematoxylin, eosin, placements, mpp)
    return _to_rgb(rng, hematoxylin, eosin, stain)


def _tumor_cells(rng: np.random.Generator, layout: TissueLayout, placements: list[Placement]) -> FloatMap:
    """Cytoplasm of tumor cells at `STEP`, a factor on eosin: each cell has its own tint and a thin pale border."""
    factor = np.ones(layout.distance.shape, dtype=np.float32)
    centers = next(placement.centers for placement in placements if placement.kind == "tumor")
    where = np.argwhere(layout.properties[PROPERTIES.index("tumor")] > 0.3)
    if len(centers) < 2 or len(where) == 0:
        return factor
    distance, nearest = cKDTree(centers / STEP).query(where, k=2)
    tint = np.exp(rng.normal(0, 0.16, len(centers)))[nearest[:, 0]]
    border = np.clip((distance[:, 1] - distance[:, 0]) / 1.3, 0, 1)
    factor[tuple(where.T)] = tint * (0.45 + 0.55 * border)
    return factor


def _blocks(shape: tuple[int, int]) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    for top in range(0, shape[0], _BLOCK):
        for left in range(0, shape[1], _BLOCK):
            yield (top, min(top + _BLOCK, shape[0])), (left, min(left + _BLOCK, shape[1]))


def _paint_matrix(
    hematoxylin: FloatMap, eosin: FloatMap, layout: TissueLayout, bend: FloatMap, cells: FloatMap
) -> None:
    """Everything but nuclei, block by block, into the stain planes."""
    textures = make_textures()
    base = layout.properties[: PROPERTIES.index("gap") + 1].copy()
    base[PROPERTIES.index("eosin")] *= cells
    maps = np.concatenate([base, layout.lumen[None], layout.distance[None], layout.across[None], bend[None]])
    mask = _TEXTURE_SIZE - 1
    for rows, cols in _blocks(hematoxylin.shape):
        low = tuple(slice(side[0] // STEP, -(-side[1] // STEP)) for side in (rows, cols))
        if layout.distance[low].max() < -STEP:
            continue
        h, e, fibre_amount, gap_amount, lumen, distance, across, shift = upsample(maps, rows, cols, STEP)
        r = np.arange(*rows)[:, None]
        c = np.arange(*cols)[None, :]
        # Bent coordinates keep the tiled textures from repeating visibly.
        shift_rows = shift.astype(np.int64)
        shift_cols = (0.6 * shift).astype(np.int64)
        fibre = textures.fibre[across.astype(np.int64) & mask, (r + c + shift_rows) & mask]
        shifted = (r + shift_rows) & mask, (c + shift_cols) & mask
        grain = textures.grain[shifted]
        gap = textures.gap[shifted]
        present = np.clip(distance / 3, 0, 1) * (1 - lumen)
        open_share = 1 - gap_amount * gap
        hematoxylin[slice(*rows), slice(*cols)] = present * open_share * h * np.clip(1 + 0.35 * grain, 0.2, 2)
        stained = e * np.clip(1 + 0.20 * grain, 0.3, 2) * open_share + fibre_amount * (fibre - 0.3)
        eosin[slice(*rows), slice(*cols)] = present * np.maximum(stained, 0.015)


def _to_rgb(rng: np.random.Generator, hematoxylin: FloatMap, eosin: FloatMap, stain: Stain) -> npt.NDArray[np.uint8]:
    """Beer-Lambert: transmitted light is white * 10 ** -(stains @ vectors); plus shading and scanner noise."""
    shape = hematoxylin.shape
    image = np.empty((*shape, 3), dtype=np.uint8)
    noise = make_textures().noise * np.float32(stain.noise)
    shading = 1.6 * smooth_noise(rng, (-(-shape[0] // 64), -(-shape[1] // 64)), 24)
    vectors = (-np.log(10) * stain.vectors).astype(np.float32)
    for rows, cols in _blocks(shape):
        part = slice(*rows), slice(*cols)
        size = rows[1] - rows[0], cols[1] - cols[0]
        light = upsample(shading, rows, cols, 64)
        for channel in range(3):
            density = hematoxylin[part] * vectors[0, channel] + eosin[part] * vectors[1, channel]
            top, left = rng.integers(_TEXTURE_SIZE - _BLOCK, size=2)
            value = np.exp(density) * (np.float32(stain.white[channel]) + light)
            value += noise[top : top + size[0], left : left + size[1]]
            image[(*part, channel)] = np.clip(value + 0.5, 0, 255)
    return image
