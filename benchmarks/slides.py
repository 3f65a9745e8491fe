"""Slides to measure on: mosaics of real 40x patches, and huge ones that are mostly background.

    python benchmarks/slides.py ../shared/data/camelyon16_40x mosaic.tif
    python benchmarks/slides.py ../shared/data/camelyon16_40x huge.tif --shape 100000 100000 --tissue 0.02

A mosaic, not a slide: its seams are not tissue, and its patches come from many slides and return many times.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from scripts.files import atomic_path  # noqa: E402
from scripts.slides.pyramid import downsample_image  # noqa: E402
from scripts.synthetic.philips import SOFTWARE, TILE, count_levels  # noqa: E402
from scripts.synthetic.philips_xml import describe_levels  # noqa: E402

CELL = 256
"""Side of a patch and of a cell of the layout, in pixels."""

MPP = 0.243
_LEAST_LEVELS = 7  # the last is 64 times as coarse, on which the reference finds the foreground
BACKGROUND = -1
GLASS = 243
"""Gray level of the background."""


class Patches(NamedTuple):
    """Real patches.

    Attributes:
        images: (N, 256, 256, 3) uint8 RGB, 0.243 µm per pixel.
        is_tumor: (N,) bool.
    """

    images: npt.NDArray[np.uint8]
    is_tumor: npt.NDArray[np.bool_]


def read_patches(folder: str | Path, table: str = "labels.csv") -> Patches:
    """Read ``patches.zip`` as listed in a table with the columns file and label; nothing is unpacked."""
    folder = Path(folder)
    with open(folder / table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = np.empty((len(rows), CELL, CELL, 3), dtype=np.uint8)
    with zipfile.ZipFile(folder / "patches.zip") as archive:
        members = {Path(name).name: name for name in archive.namelist()}
        for image, row in zip(images, rows, strict=True):
            with Image.open(io.BytesIO(archive.read(members[Path(row["file"]).name]))) as picture:
                image[:] = np.asarray(picture.convert("RGB"))
    return Patches(images, np.array([row["label"] == "1" for row in rows]))


def blobs(
    allowed: npt.NDArray[np.bool_], count: int, num_blobs: int, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Choose exactly so many cells, gathered around a few centers.

    Args:
        allowed: (rows, cols) bool, cells to choose from.
        count: how many.
        num_blobs: centers, drawn from the allowed cells.
        rng: random generator.

    Returns:
        (rows, cols) bool.

    Raises:
        ValueError: if fewer cells are allowed.
    """
    cells = np.argwhere(allowed)
    if count > len(cells):
        raise ValueError(f"count must be at most the {len(cells)} allowed cells, but got {count}")
    centers = cells[rng.choice(len(cells), num_blobs)] if count else cells[:1]
    stretch = rng.uniform(0.6, 1.6, size=len(centers))
    offsets = (cells[:, None] - centers[None]) * np.stack([stretch, 1 / stretch], axis=-1)
    chosen = cells[np.argsort(np.hypot(offsets[..., 0], offsets[..., 1]).min(axis=1), kind="stable")[:count]]
    found = np.zeros(allowed.shape, dtype=bool)
    found[tuple(chosen.T)] = True
    return found


def make_layout(
    shape: tuple[int, int], is_tumor: npt.NDArray[np.bool_], tissue: float, tumor: float, num_blobs: int, seed: int
) -> npt.NDArray[np.int64]:
    """Lay out patches on a slide that has at least a cell of background all around.

    Args:
        shape: (height, width) of the slide in level-0 pixels.
        is_tumor: (N,) bool, which patches are tumor.
        tissue: share of the slide's whole cells that are tissue.
        tumor: share of the tissue that is tumor.
        num_blobs: pieces of tissue, and lesions.
        seed: of everything random; with less tissue or tumor and the same seed, cells are a subset.

    Returns:
        (ceil(height / 256), ceil(width / 256)) indices of patches, or BACKGROUND.

    Raises:
        ValueError: if there is no room for so much tissue.
    """
    allowed = np.zeros((-(-shape[0] // CELL), -(-shape[1] // CELL)), dtype=bool)
    whole = shape[0] // CELL, shape[1] // CELL
    allowed[1 : whole[0] - 1, 1 : whole[1] - 1] = True
    rng, tumor_rng, patch_rng = (np.random.default_rng([seed, part]) for part in range(3))
    is_tissue = blobs(allowed, round(tissue * whole[0] * whole[1]), num_blobs, rng)
    is_lesion = blobs(is_tissue, round(tumor * is_tissue.sum()), num_blobs, tumor_rng)
    layout = np.full(allowed.shape, BACKGROUND, dtype=np.int64)
    normal, tumorous = np.flatnonzero(~is_tumor), np.flatnonzero(is_tumor)
    layout[is_tissue] = normal[patch_rng.integers(len(normal), size=allowed.shape)][is_tissue]
    if is_lesion.any():
        layout[is_lesion] = tumorous[patch_rng.integers(len(tumorous), size=allowed.shape)][is_lesion]
    return layout


def write_mosaic(
    path: str | Path,
    images: npt.NDArray[np.uint8],
    layout: npt.NDArray[np.int64],
    shape: tuple[int, int],
    quality: int = 90,
) -> None:
    """Write patches as a Philips TIFF, the form of CAMELYON16's slides. Each tile that returns is encoded once.

    Tiles of background are not stored. Levels are means over boxes.

    Args:
        path: the file to write.
        images: (N, 256, 256, 3) uint8 RGB.
        layout: (ceil(height / 256), ceil(width / 256)) indices of patches, or BACKGROUND.
        shape: (height, width) in level-0 pixels; filled up to whole tiles of 512 pixels, at most 131,072.
        quality: JPEG quality.
    """
    grid = [-(-side // TILE) for side in shape]
    num_levels = max(_LEAST_LEVELS, count_levels((grid[0], grid[1])))
    padding = [(0, rows * TILE // CELL - cells) for rows, cells in zip(grid, layout.shape, strict=True)]
    cells = np.pad(layout, padding, constant_values=BACKGROUND)
    with atomic_path(path) as temporary, tifffile.TiffWriter(temporary, bigtiff=True) as writer:
        for number in range(num_levels):
            sides = [rows * TILE >> number for rows in grid]
            writer.write(
                _encoded_tiles(images, cells, 1 << number, quality),
                shape=(*(-(-side // TILE) * TILE for side in sides), 3),
                dtype=np.uint8,
                tile=(TILE, TILE),
                photometric="rgb",
                compression="jpeg",
                subfiletype=int(number > 0),
                description=f"level={number}" if number else describe_levels(MPP, num_levels),
                software=False if number else SOFTWARE,
                metadata=None,
            )


def _encoded_tiles(
    images: npt.NDArray[np.uint8], layout: npt.NDArray[np.int64], downsample: int, quality: int
) -> Iterator[bytes]:
    """JPEG streams of a level's tiles in reading order; empty where there is background alone, which stores no tile."""
    side, across = CELL // downsample, TILE // CELL * downsample
    # The last row is the background's, where BACKGROUND, -1, points.
    reduced = np.full((len(images) + 1, side, side, 3), GLASS, dtype=np.uint8)
    for index, image in enumerate(images):
        reduced[index] = downsample_image(image, downsample)
    known: dict[bytes, bytes] = {}
    for top in range(0, layout.shape[0], across):
        for left in range(0, layout.shape[1], across):
            cells = np.full((across, across), BACKGROUND, dtype=np.int64)
            part = layout[top : top + across, left : left + across]
            cells[: part.shape[0], : part.shape[1]] = part
            if (cells == BACKGROUND).all():
                yield b""
                continue
            key = cells.tobytes()
            if key not in known:
                tile = reduced[cells].transpose(0, 2, 1, 3, 4).reshape(TILE, TILE, 3)
                known[key] = imagecodecs.jpeg8_encode(
                    tile, level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling="420"
                )
            yield known[key]


def main() -> None:
    """Make one slide."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, help="folder with patches.zip and labels.csv (docs/data.md)")
    parser.add_argument("output", type=Path)
    parser.add_argument("--shape", type=int, nargs=2, default=(9728, 11776), help="height and width in pixels")
    parser.add_argument("--tissue", type=float, default=0.8, help="share of the slide")
    parser.add_argument("--tumor", type=float, default=0.05, help="share of the tissue")
    parser.add_argument("--blobs", type=int, default=3, help="pieces of tissue, and lesions")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    patches = read_patches(options.patches)
    shape = tuple(options.shape)
    layout = make_layout(shape, patches.is_tumor, options.tissue, options.tumor, options.blobs, options.seed)
    write_mosaic(options.output, patches.images, layout, shape)
    print(f"{options.output}: {shape[0]} x {shape[1]} px, {(layout != BACKGROUND).sum()} patches of tissue")


if __name__ == "__main__":
    main()
