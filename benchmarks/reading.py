"""How fast each reader decodes each form of slide: regions here and there, and the tiles of inference, in one thread.

    python benchmarks/reading.py ../shared/data/camelyon16_40x --markdown docs/benchmarks.md

One mosaic of real patches is written in every form. The readers take turns, each with the file opened anew.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, markdown_table, publish  # noqa: E402
from slides import BACKGROUND, CELL, GLASS, MPP, make_layout, read_patches  # noqa: E402

from scripts.inference.tiles import TileDataset  # noqa: E402
from scripts.slides.slide import open_slide  # noqa: E402
from scripts.synthetic.forms import FORMS, write_slide  # noqa: E402

BACKENDS = ("cucim", "openslide")
REGION, BLOCK = 1024, 1536
WANTED = {"philips": 4.0}


class Rate(NamedTuple):
    """Megapixels that were read, and the seconds of the processor that it took."""

    megapixels: float
    seconds: float


def paint(images: npt.NDArray[np.uint8], layout: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The mosaic as one image, (H, W, 3) uint8."""
    tiles = np.concatenate([images, np.full_like(images[:1], GLASS)])[layout]  # BACKGROUND is -1, the last one
    height, width = (CELL * cells for cells in layout.shape)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(height, width, 3)


def read_regions(path: Path, backend: str, num_regions: int) -> Rate:
    """Regions of 1024 x 1024 pixels that share no tile, as those of a whole slide: OpenSlide keeps decoded tiles."""
    rng = np.random.default_rng(0)
    with open_slide(path, backend, MPP) as slide:
        assert slide.backend == backend
        blocks = rng.permutation(np.argwhere(np.ones(np.floor_divide(slide.shape, BLOCK))))[:num_regions]
        places = blocks * BLOCK + rng.integers(BLOCK - REGION, size=blocks.shape)
        started = time.process_time()
        for row, col in places:
            slide.read_level((int(row), int(col)), (REGION, REGION), 0)
        return Rate(len(places) * REGION**2 / 1e6, time.process_time() - started)


def read_tiles(path: Path, backend: str, num_regions: int) -> Rate:
    """The tiles of the foreground as inference takes them: each compressed tile is decoded once."""
    dataset = TileDataset([{"image": str(path)}], backend=backend, assume_mpp=MPP)
    tiles = dataset.plan(str(path), None, 0)
    started = time.process_time()
    num_pixels = sum(dataset.read(tile)[..., 0].size for tile in tiles)
    return Rate(num_pixels / 1e6, time.process_time() - started)


def measure(
    read: Callable[[Path, str, int], Rate], path: Path, num_regions: int, num_rounds: int
) -> tuple[dict[str, float], float]:
    """The best rate of each reader, and the median ratio of cuCIM to OpenSlide over rounds in which both read."""
    rates: dict[str, list[float]] = {backend: [] for backend in BACKENDS}
    for round_number in range(num_rounds):
        for backend in BACKENDS[:: 1 if round_number % 2 else -1]:
            found = read(path, backend, num_regions)
            rates[backend].append(found.megapixels / found.seconds)
    ratios = np.divide(rates["cucim"], rates["openslide"])
    return {backend: max(found) for backend, found in rates.items()}, float(np.median(ratios))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, help="folder with patches.zip and labels.csv (docs/data.md)")
    parser.add_argument("--shape", type=int, nargs=2, default=(7168, 9216), help="of the slide, in pixels")
    parser.add_argument("--regions", type=int, default=24, help="regions in a round, at most")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="a page with a block 'reading'")
    options = parser.parse_args()
    torch.set_num_threads(1)
    machine = machine_line()
    print(machine)
    patches, shape = read_patches(options.patches), (options.shape[0], options.shape[1])
    layout = make_layout(shape, patches.is_tumor, tissue=0.7, tumor=0.05, num_blobs=2, seed=0)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        for form in FORMS:
            path = Path(name) / f"{form}{'.svs' if form == 'aperio' else '.tif'}"
            write_slide(path, paint(patches.images, layout), MPP, form)
            for what, read in (("regions", read_regions), ("tiles of inference", read_tiles)):
                rates, ratio = measure(read, path, options.regions, options.rounds)
                wanted = f"at least {WANTED[form]:g}" if form in WANTED else ""
                rows.append([form, what, *(f"{rates[backend]:.0f}" for backend in BACKENDS), f"{ratio:.2f}", wanted])
                print(" ".join(rows[-1]), flush=True)
    header = ["form", "what is read", "cuCIM, Mpx/s", "OpenSlide, Mpx/s", "ratio", "wanted"]
    publish(options.markdown, "reading", machine, markdown_table(header, rows))
    print(f"{(layout != BACKGROUND).sum()} patches of tissue")


if __name__ == "__main__":
    main()
