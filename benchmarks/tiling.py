"""How many pixels tiles read for each position that is wanted: by a plain grid, and by tiles that hug the tissue.

    python benchmarks/tiling.py --markdown docs/benchmarks.md

In mode dense the time of a tile is that of its pixels. A position takes at least its distance squared; what is above
that lies around the tissue, or is read again by the next tile. Masks are those of the mosaics on which inference.py
measures, and of a large slide of six pieces. Nothing is timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from comparison import STRIDE  # noqa: E402
from report import machine_line, markdown_table, publish  # noqa: E402
from slides import BACKGROUND, CELL, make_layout  # noqa: E402

from scripts.geometry import PATCH_SIZE  # noqa: E402
from scripts.inference.tile_plan import tile_blocks  # noqa: E402

SLIDES = {
    "mosaic, 42 % tissue": ((6144, 8192), 0.42, 3),
    "mosaic, 35 % tissue": ((9728, 11776), 0.35, 3),
    "mosaic, 70 % tissue": ((9728, 11776), 0.7, 3),
    "large slide, 20 % tissue": ((100_000, 100_000), 0.2, 6),
}
SIDES = (2048, 3072, 4096)


def grid_blocks(mask: npt.NDArray[np.bool_], block: int) -> list[tuple[int, ...]]:
    """Shapes of the blocks of a grid, each trimmed to the foreground in it."""
    parts = [
        mask[row : row + block, col : col + block]
        for row in range(0, mask.shape[0], block)
        for col in range(0, mask.shape[1], block)
    ]
    return [tuple(np.ptp(np.argwhere(part), axis=0) + 1) for part in parts if part.any()]


def cells_of(shapes: Sequence[tuple[int, ...]], num_wanted: int) -> list[str]:
    """Tiles; positions and pixels for each that is wanted, the latter in squares of the stride."""
    found = np.array(shapes)
    positions = found.prod(axis=1).sum() / num_wanted
    pixels = (((found - 1) * STRIDE + PATCH_SIZE) / STRIDE).prod(axis=1).sum() / num_wanted
    return [str(len(found)), f"{positions:.3f}", f"{pixels:.3f}"]


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", type=Path, help="a page with a block 'tiling'")
    options = parser.parse_args()
    rows = []
    for name, (shape, tissue, num_blobs) in SLIDES.items():
        layout = make_layout(shape, np.arange(20) < 1, tissue, 0.05, num_blobs, seed=0)
        mask = np.kron(layout != BACKGROUND, np.ones((CELL // STRIDE,) * 2, dtype=bool))
        for side in SIDES:
            block = (side - PATCH_SIZE) // STRIDE + 1
            hugging = [part.shape for _, part in tile_blocks(mask, block, PATCH_SIZE / STRIDE)]
            for kind, shapes in (("a grid", grid_blocks(mask, block)), ("hugging", hugging)):
                rows.append([name, str(side), kind, *cells_of(shapes, int(mask.sum()))])
    header = ["mask", "`tile_size`", "tiles are", "tiles", "positions for each wanted", "pixels for each wanted / 64²"]
    publish(options.markdown, "tiling", machine_line(), markdown_table(header, rows))


if __name__ == "__main__":
    main()
