"""Small maps of nodes, drawn: patients of two nodes, one lesion of a known class in each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

SHAPE = (203, 157)
STRIDE, MPP = 64, 0.25  # 16 µm per map pixel
DIAMETER_PX = {"negative": 0, "itc": 7, "micro": 40, "macro": 135}


def write_node(folder: Path, name: str, kind: str, prob: float = 0.9, seed: int = 0) -> None:
    """A map with one disk of the class, faint noise around it, and its sidecar."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices(SHAPE)
    center = (SHAPE[0] / 2 + rng.uniform(-8, 8), SHAPE[1] / 2 + rng.uniform(-5, 5))
    is_inside = np.hypot(rows - center[0], cols - center[1]) < DIAMETER_PX[kind] / 2
    prob_map = np.where(is_inside, prob, rng.uniform(0, 0.3, SHAPE)).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", prob_map)
    sidecar = {"slide": f"{name}.tif", "shape": [SHAPE[0] * STRIDE, SHAPE[1] * STRIDE], "stride": STRIDE, "mpp": MPP}
    (folder / f"{name}.json").write_text(json.dumps(sidecar), encoding="utf-8")


def write_nodes(folder: Path, kinds: Sequence[str], num_nodes: int = 2) -> Path:
    """Maps of nodes in turn, ``num_nodes`` for each patient, and their labels in the challenge's form."""
    lines = ["patient,stage\n"]
    for index, kind in enumerate(kinds):
        name = f"patient_{index // num_nodes:03d}_node_{index % num_nodes}"
        write_node(folder / "maps", name, kind, 0.6 + 0.03 * (index % 10), index)
        lines.append(f"{name}.tif,{kind}\n")
    (folder / "labels.csv").write_text("".join(lines), encoding="utf-8")
    return folder
