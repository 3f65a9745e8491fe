"""Synthetic probability maps of nodes with lesions of many sizes, and their labels: no slide, no network, no pixels.

Tissue and nests are drawn as those of the synthetic slides. What a network would say of them is drawn, too: sure or
unsure from node to node, blurred at the edges, with speckle and false spots as three real maps of CAMELYON17 have them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.distance import pdist
from scipy.special import expit
from tqdm import tqdm

from ..annotations.polygons import Ring
from ..files import atomic_path, make_output_dir, write_json, write_npy
from .splines import smooth_noise
from .tissue import OUTLINE_STEP, place_nests, polygon_mask, tissue_outline

STRIDE, MPP = 64, 0.243
"""Of the maps: infer's default on a slide of CAMELYON16."""

NODES_OF_A_PATIENT = 5  # as in CAMELYON17

_SHAPE = (501, 613)  # map pixels: 7.8 x 9.5 mm
_GRAVEST = {"negative": 0.24, "itc": 0.12, "micro": 0.20, "macro": 0.44}  # of CAMELYON17's patients, by their stages
_NEGATIVE = 0.6  # share of the further nodes
_RADII_UM = {"itc": (25.0, 85.0), "micro": (120.0, 800.0), "macro": (1050.0, 1900.0)}
_LIMITS_UM = (("macro", 2000.0), ("micro", 200.0))


class DrawnNode(NamedTuple):
    """A map and the truth.

    Attributes:
        prob_map: (rows, cols) float32 in [0, 1].
        kind: the class by the longest diameter of its nests: negative, itc, micro or macro.
    """

    prob_map: npt.NDArray[np.float32]
    kind: str


def draw_node(rng: np.random.Generator, kind: str) -> DrawnNode:
    """Draw the map of a node.

    Args:
        rng: random generator.
        kind: what the largest lesion is meant to be; the truth is measured on what was drawn.

    Returns:
        The map and the truth.
    """
    frame = (_SHAPE[0] * OUTLINE_STEP, _SHAPE[1] * OUTLINE_STEP)  # of which a map pixel is `OUTLINE_STEP` wide
    tissue = tissue_outline(rng, frame)
    nests: list[Ring] = []
    kinds = list(_RADII_UM)
    for smaller in kinds[: kinds.index(kind) + 1] if kind in kinds else []:
        count = 1 + int(rng.integers(3)) * (smaller == "itc") if smaller == kind else int(rng.integers(2))
        low, high = (radius / (STRIDE * MPP) * OUTLINE_STEP for radius in _RADII_UM[smaller])
        nests += place_nests(rng, tissue, count, (low, high))
    tumor = polygon_mask(nests, tissue.shape, OUTLINE_STEP)
    return DrawnNode(_as_seen(rng, tissue, tumor), _truth(nests))


def _truth(nests: list[Ring]) -> str:
    """The class by the longest distance between two points of a nest's outline."""
    longest = max((float(pdist(nest).max()) for nest in nests), default=None)
    if longest is None:
        return "negative"
    size_um = longest / OUTLINE_STEP * STRIDE * MPP
    return next((kind for kind, limit_um in _LIMITS_UM if size_um > limit_um), "itc")


def _as_seen(
    rng: np.random.Generator, tissue: npt.NDArray[np.bool_], tumor: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """What a network would say, as logits: its own sureness, patches of doubt, speckle, false spots."""
    shape = (int(tumor.shape[0]), int(tumor.shape[1]))
    sureness = rng.uniform(1.0, 5.0)
    inside = ndimage.gaussian_filter(tumor.astype(np.float32), rng.uniform(0.5, 1.2))
    logits = -5.5 + (5.5 + sureness) * inside + 0.8 * smooth_noise(rng, shape, 4) + rng.normal(0, 0.6, shape)
    logits -= rng.uniform(0, 3) * inside * np.maximum(smooth_noise(rng, shape, 12), 0)
    zone = smooth_noise(rng, shape, 60) > rng.uniform(0.8, 2.0)  # as sinuses, where networks err
    speckle = (rng.random(shape) < 0.02) & zone
    logits += speckle * rng.uniform(3, 9, shape)
    for _ in range(rng.poisson(1.5)):
        row, col = rng.integers(shape)
        rows, cols = np.ogrid[: shape[0], : shape[1]]
        spot = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * rng.uniform(0.8, 3.0) ** 2))
        logits += spot * rng.uniform(4, 8)
    return np.where(tissue, expit(logits), 0).astype(np.float32)


def write_nodes(output_dir: str | Path, num_patients: int = 40, seed: int = 0) -> tuple[Path, Path]:
    """Draw patients of five nodes each.

    Args:
        output_dir: gets ``maps/`` and ``labels.csv`` in the form of CAMELYON17.
        num_patients: patients.
        seed: of everything random; the same seed draws the same patients first, however many there are.

    Returns:
        The folder of maps, and the labels.

    Raises:
        InputError: if the folder cannot be written.
    """
    root = make_output_dir(output_dir)
    maps, labels = make_output_dir(root / "maps"), root / "labels.csv"
    lines = ["patient,stage\n"]
    for patient in tqdm(range(num_patients), desc="synthetic nodes", unit="patient"):
        rng = np.random.default_rng([seed, patient])
        kinds = list(_GRAVEST)
        gravest = str(rng.choice(kinds, p=list(_GRAVEST.values())))
        for number in range(NODES_OF_A_PATIENT):
            kind = gravest
            if number:
                kind = "negative" if rng.random() < _NEGATIVE else str(rng.choice(kinds[: kinds.index(gravest) + 1]))
            node = draw_node(rng, kind)
            name = f"patient_{patient:03d}_node_{number}"
            shape = [side * STRIDE for side in node.prob_map.shape]
            write_npy(maps / f"{name}.npy", node.prob_map)
            sidecar = {"slide": f"{name}.tif", "shape": shape, "stride": STRIDE, "mpp": MPP, "notes": ["synthetic"]}
            write_json(maps / f"{name}.json", sidecar)
            lines.append(f"{name}.tif,{node.kind}\n")
    with atomic_path(labels) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return maps, labels
