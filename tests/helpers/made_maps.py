"""Probability maps and tumor masks of slides that do not exist."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from scripts.geometry import map_shape

SHAPE = (6_000, 9_050)
STRIDE = 32
MPP = 0.25
MAP_SHAPE = map_shape(SHAPE, STRIDE)  # (188, 283)


def write_map(folder, name, points=(), stride=STRIDE, changes=None):
    """A map with single bright pixels at (prob, row, col)."""
    prob_map = np.zeros(map_shape(SHAPE, stride), dtype=np.float32)
    for prob, row, col in points:
        prob_map[row, col] = prob
    write_map_of(folder, name, prob_map, SHAPE, stride, MPP, changes)


def write_map_of(folder, name, prob_map, shape, stride, mpp, changes=None):
    """A map of these values, of a slide of this shape."""
    np.save(folder / f"{name}.npy", prob_map)
    content = {"slide": f"{name}.tif", "shape": list(shape), "stride": stride, "mpp": mpp} | (changes or {})
    (folder / f"{name}.json").write_text(json.dumps(content))


def write_truth_of(folder, name, mask):
    """A tumor mask."""
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}.png")


def write_truth(folder, name, *lesions):
    mask = np.zeros(MAP_SHAPE, dtype=np.uint8)
    for rows, cols in lesions:
        mask[rows, cols] = 255
    Image.fromarray(mask).save(folder / f"{name}.png")
