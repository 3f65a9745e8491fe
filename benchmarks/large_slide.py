"""Seconds for a whole slide: 100,000 x 100,000 px with 20 % tissue, in mode cascade and others.

    python benchmarks/large_slide.py ../shared/data --markdown docs/benchmarks.md
    python benchmarks/large_slide.py ../shared/data --modes cascade dense --shape 20000 30000

The tissue is real and contiguous: five tiles of 2048 x 2048 px at 0.243 µm, one of each centre of CAMELYON17, which
repeat. They are normal. Each lies beside its mirror images, so there are no seams but between centres. One square of
2048 px is laid out with tumor patches of CAMELYON16, whose seams are not tissue.
The file takes some hundred MB in a temporary folder. Times are of whole runs, from the start of the loader's processes,
with the networks compiled, to the map on disk; the start of Python is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, markdown_table, publish  # noqa: E402
from slides import BACKGROUND, CELL, blobs, read_patches, write_mosaic  # noqa: E402
from tissue_pieces import read_pieces  # noqa: E402

from scripts.network.modes import MODES  # noqa: E402
from scripts.workflow import run_bundle  # noqa: E402

SIDE = 8
"""Patches of 256 px along a side of a square of tissue."""


def cut(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A picture of 2048 x 2048 px as the (256, 256, 256, 3) patches of it and of its mirror images, row by row.

    Its mirror images are at index 1 left to right, at 2 upside down, at 3 both.
    """
    images = np.stack([image, image[:, ::-1], image[::-1], image[::-1, ::-1]])
    parts = images.reshape(4, SIDE, CELL, SIDE, CELL, 3).swapaxes(2, 3)
    return np.ascontiguousarray(parts.reshape(4 * SIDE * SIDE, CELL, CELL, 3))


def lay_out(
    shape: tuple[int, int], num_tiles: int, tumor: npt.NDArray[np.int64], tissue: float, seed: int
) -> npt.NDArray[np.int64]:
    """Lay out squares of tissue in three pieces. Each picture has a band of them, in which its mirror images alternate.

    Args:
        shape: (height, width) of the slide in pixels.
        num_tiles: pictures of 256 patches each, which come first, see `cut`.
        tumor: indices of patches that one square holds.
        tissue: share of the slide.
        seed: of everything random.

    Returns:
        (ceil(height / 256), ceil(width / 256)) indices of patches, or BACKGROUND.
    """
    rng = np.random.default_rng(seed)
    squares = [side // (SIDE * CELL) for side in shape]
    is_tissue = blobs(np.ones(squares, dtype=bool), round(tissue * squares[0] * squares[1]), 3, rng)
    layout = np.full([-(-side // CELL) for side in shape], BACKGROUND, dtype=np.int64)
    places = np.argwhere(is_tissue)
    with_tumor = int(rng.integers(len(places)))
    for index, (row, col) in enumerate(places.tolist()):
        image = 4 * (index * num_tiles // len(places)) + 2 * (row % 2) + col % 2
        square = SIDE * SIDE * image + np.arange(SIDE * SIDE)
        if index == with_tumor:
            square = rng.choice(tumor, SIDE * SIDE)
        part = layout[SIDE * row : SIDE * (row + 1), SIDE * col : SIDE * (col + 1)]
        part[:] = square.reshape(SIDE, SIDE)
    return layout


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with camelyon17_40x and camelyon16_40x")
    parser.add_argument("--shape", type=int, nargs=2, default=(100_000, 100_000), help="of the slide, in pixels")
    parser.add_argument("--tissue", type=float, default=0.2, help="share of the slide")
    parser.add_argument("--modes", choices=MODES, nargs="+", default=["cascade"])
    parser.add_argument("--set", type=json.loads, default={}, help="ids of inference.json as JSON")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'large slide'")
    options = parser.parse_args(arguments)
    machine, shape = machine_line(), (options.shape[0], options.shape[1])
    tiles = [piece.image for piece in read_pieces(options.data, ["tiles"])]
    patches = read_patches(options.data / "camelyon16_40x")
    images = np.concatenate([*(cut(tile) for tile in tiles), patches.images[patches.is_tumor]])
    tumor = np.arange(4 * SIDE * SIDE * len(tiles), len(images))
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout = lay_out(shape, len(tiles), tumor, options.tissue, seed=0)
        write_mosaic(folder / "large.tif", images, layout, shape, quality=70)
        print(f"large.tif: {(folder / 'large.tif').stat().st_size / 1e6:.0f} MB", flush=True)
        for mode in options.modes:
            settings: dict[str, Any] = {"slides": str(folder / "large.tif"), "output_dir": str(folder / mode)}
            run_bundle("inference", "inference.json", settings | {"mode": mode} | options.set)
            run, sidecar = (json.loads((folder / mode / file).read_text()) for file in ("run.json", "large.json"))
            looked = f"{100 * sidecar['looked_at']:.1f} %" if "looked_at" in sidecar else "100 %"
            times = ", ".join(f"{what} {seconds:.0f}" for what, seconds in run["seconds_in"].items())
            found = [mode, f"{run['tissue_mm2']:.0f}", str(sidecar["num_positions"]), looked]
            rows.append([*found, f"{run['seconds']:.0f}", times, f"{run['tissue_mm2'] / run['seconds']:.2f}"])
            print(rows[-1], flush=True)
    header = ["mode", "tissue, mm²", "positions", "looked at at 40x", "seconds", "of them", "mm²/s"]
    title = f"A slide of {shape[0]:,} x {shape[1]:,} px, {100 * options.tissue:g} % of it tissue."
    publish(options.markdown, "large slide", machine, title, markdown_table(header, rows))


if __name__ == "__main__":
    main()
