"""Cut training pictures larger than a patch from real contiguous tissue, for dense training at both resolutions.

    python benchmarks/contiguous_patches.py ../shared/data --output contiguous

writes ``10x/0``, ``10x/1``, ``40x/0`` and ``40x/1``, folders of normal and of tumor pictures as ``train_patches.json``
takes them. Sources are the tiles of CAMELYON17 and the pictures with tumor masks that docs/data.md describes.

At 10x a picture has 192 px, so that each side of a 96 px patch has 48 px of tissue around it. At 40x a picture of a
tile has 384 px; a picture with a mask, which exists at 10x only, has 96 px, and training enlarges it four times. As in
PatchCamelyon, a picture is tumor if its central 32 x 32 px at 10x hold any. Pictures overlap: they stand 32 px (10x)
and 128 px (40x) apart.

Held out, and so never cut: the tiles of centers 1 and 4, and every fourth picture with a mask.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from scripts.files import make_output_dir  # noqa: E402

HELD_OUT_CENTERS = (1, 4)
HELD_OUT_EVERY = 4
"""Of the pictures with a mask, in the order of their names, the last of every so many is held out."""

LABEL_SIZE = 32
"""Side in pixels at 10x of the central part that a label describes, as in PatchCamelyon."""

FINER = 4
"""Pixels of 40x per pixel of 10x."""

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def read_masked_pictures(archive: Path) -> Iterator[tuple[str, Pixels, Mask, bool]]:
    """Pictures with tumor masks at 10x.

    Args:
        archive: ``masks_10x/images.zip``, with folders ``images`` and ``masks``.

    Yields:
        Name, (rows, cols, 3) uint8 RGB, (rows, cols) bool tumor mask, and whether the picture is held out.
    """
    with zipfile.ZipFile(archive) as files:
        members = {name: _picture(files.read(name)) for name in files.namelist() if not name.endswith("/")}
    masks = {Path(name).stem: picture for name, picture in members.items() if Path(name).parent.name == "masks"}
    pictures = {Path(name).stem: picture for name, picture in members.items() if Path(name).parent.name == "images"}
    for index, name in enumerate(sorted(pictures)):
        mask = np.asarray(masks[name].convert("L")) > 127
        held_out = index % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        yield name, np.asarray(pictures[name].convert("RGB")), mask, held_out


def read_tiles(folder: Path) -> Iterator[tuple[str, Pixels, bool]]:
    """Contiguous tiles of normal tissue at 40x.

    Args:
        folder: ``camelyon17_40x``.

    Yields:
        Name, (rows, cols, 3) uint8 RGB, and whether the tile is held out.
    """
    for path in sorted(folder.glob("centre_*.jpeg")):
        center = int(path.name.split("_")[1])
        with Image.open(path) as picture:
            yield path.stem, np.asarray(picture.convert("RGB")), center in HELD_OUT_CENTERS


def reduce(pixels: Pixels, factor: int = FINER) -> Pixels:
    """Make a picture coarser by the mean of blocks of ``factor`` x ``factor`` pixels."""
    height, width = (side // factor for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def cut(pixels: Pixels, mask: Mask, size: int, step: int, label_size: int) -> Iterator[tuple[str, Pixels, int]]:
    """Cut overlapping pictures.

    Args:
        pixels: (rows, cols, 3) uint8 RGB.
        mask: (rows, cols) bool tumor mask.
        size: side of a picture in pixels.
        step: pixels from one picture to the next.
        label_size: side in pixels of the central part that the label describes.

    Yields:
        Place as ``row_col``, (size, size, 3) uint8 RGB, and 1 if the central part holds tumor, else 0.
    """
    margin = (size - label_size) // 2
    for row in range(0, pixels.shape[0] - size + 1, step):
        for col in range(0, pixels.shape[1] - size + 1, step):
            central = mask[row + margin : row + margin + label_size, col + margin : col + margin + label_size]
            yield f"{row}_{col}", pixels[row : row + size, col : col + size], int(central.any())


def write_pictures(folder: Path, name: str, pictures: Iterator[tuple[str, Pixels, int]]) -> list[int]:
    """Write pictures as PNG; return how many were normal and how many tumor."""
    counts = [0, 0]
    for place, pixels, label in pictures:
        Image.fromarray(pixels).save(folder / str(label) / f"{name}_{place}.png", compress_level=1)
        counts[label] += 1
    return counts


def _picture(content: bytes) -> Image.Image:
    picture: Image.Image = Image.open(io.BytesIO(content))
    picture.load()
    return picture


def main() -> None:
    """Cut and write all pictures; print how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with masks_10x and camelyon17_40x")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    folders = {scale: arguments.output / scale for scale in ("10x", "40x")}
    for folder in folders.values():
        for label in "01":
            make_output_dir(folder / label)
    counts: dict[str, Any] = {scale: np.zeros(2, np.int64) for scale in folders}
    for name, pixels, mask, held_out in read_masked_pictures(arguments.data / "masks_10x" / "images.zip"):
        if held_out:
            continue
        counts["10x"] += write_pictures(folders["10x"], name, cut(pixels, mask, 192, 32, LABEL_SIZE))
        counts["40x"] += write_pictures(folders["40x"], name, cut(pixels, mask, 96, 32, LABEL_SIZE))
    for name, pixels, held_out in read_tiles(arguments.data / "camelyon17_40x"):
        if held_out:
            continue
        coarse = reduce(pixels)
        normal = (np.zeros(coarse.shape[:2], np.bool_), np.zeros(pixels.shape[:2], np.bool_))
        counts["10x"] += write_pictures(folders["10x"], name, cut(coarse, normal[0], 192, 32, LABEL_SIZE))
        tiles = cut(pixels, normal[1], 384, 128, LABEL_SIZE * FINER)
        counts["40x"] += write_pictures(folders["40x"], name, tiles)
    for scale, (num_normal, num_tumor) in counts.items():
        print(f"{folders[scale]}: {num_normal} normal and {num_tumor} tumor pictures")


if __name__ == "__main__":
    main()
