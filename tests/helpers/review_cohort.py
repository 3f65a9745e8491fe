"""A small review: slides of an odd shape with their maps and truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from helpers.made_maps import write_map_of, write_truth_of
from scripts.slides.pyramid import write_pyramid

SHAPE = (901, 1302)
STRIDE = 16
MPP = 0.9  # coarser than the model, so that a small slide holds a lesion that counts
HOSTILE = "tumor <img src=x onerror=alert(1)>&\"'"
LONG = "normal_" + "n" * 120


def write_cohort(folder: Path, peaks: dict[str, float], without_pixels: str = "") -> Path:
    """Maps, slides and truth; a slide has a lesion of 20 x 24 map pixels of its peak, and one of 4 x 6 a little lower.

    The truth of names that begin with ``test`` is the first lesion.
    """
    rng = np.random.default_rng(0)
    for name in ("slides", "maps", "truth"):
        (folder / name).mkdir(parents=True)
    for name, peak in peaks.items():
        prob_map = rng.uniform(0.01, 0.1, (57, 82)).astype(np.float32)
        prob_map[20:40, 50:74] = peak
        prob_map[8:12, 10:16] = peak - 0.05
        write_map_of(folder / "maps", name, prob_map, SHAPE, STRIDE, MPP, {"weights_sha256": "0" * 64})
        if name.startswith("test"):
            truth = np.zeros(prob_map.shape, dtype=bool)
            truth[20:40, 50:74] = True
            write_truth_of(folder / "truth", name, truth)
        if name != without_pixels:
            down, right = np.linspace(240, 180, SHAPE[0]), np.linspace(240, 180, SHAPE[1])
            image = np.stack([np.broadcast_to(down[:, None], SHAPE), np.broadcast_to(right, SHAPE)], axis=-1)
            image = np.pad(image, [(0, 0), (0, 0), (0, 1)], constant_values=240).astype(np.uint8)
            image[100:800, 200:1200] = rng.integers(90, 220, (700, 1000, 3), dtype=np.uint8)
            write_pyramid(folder / "slides" / f"{name}.tif", image, MPP)
    return folder
