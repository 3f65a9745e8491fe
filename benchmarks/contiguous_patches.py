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
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from tissue_pieces import FACTOR, MPP_40X, Piece, read_training_pieces  # noqa: E402

from scripts.errors import InputError, explain  # noqa: E402
from scripts.files import make_output_dir  # noqa: E402

LABEL_SIZE = 32
"""Side in pixels at 10x of the central part that a label describes, as in PatchCamelyon."""

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


def reduced(piece: Piece, factor: int = FACTOR) -> Piece:
    """A piece without tumor at a coarser resolution: the mean of blocks of ``factor`` x ``factor`` pixels."""
    height, width = (side // factor for side in piece.image.shape[:2])
    image = np.asarray(Image.fromarray(piece.image).resize((width, height), Image.Resampling.BOX))
    return piece._replace(image=image, tumor=np.zeros((height, width), dtype=bool), mpp=piece.mpp * factor)


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


def write_pictures(folder: Path, piece: Piece, size: int, step: int, label_size: int) -> None:
    """Cut a piece, see `cut`, and write its pictures as PNG in the subfolders ``0`` and ``1`` of a folder."""
    for place, pixels, label in cut(piece.image, piece.tumor, size, step, label_size):
        Image.fromarray(pixels).save(folder / str(label) / f"{piece.name}_{place}.png", compress_level=1)


def write_all(data: Path, folders: tuple[Path, Path]) -> None:
    """Cut all training pieces into the folders of 10x and of 40x."""
    for folder in folders:
        for label in "01":
            make_output_dir(folder / label)
    coarse_folder, fine_folder = folders
    for piece in read_training_pieces(data):
        is_fine = piece.mpp == MPP_40X
        write_pictures(coarse_folder, reduced(piece) if is_fine else piece, 192, 32, LABEL_SIZE)
        if is_fine:
            write_pictures(fine_folder, piece, 384, 128, LABEL_SIZE * FACTOR)
        else:
            write_pictures(fine_folder, piece, 96, 32, LABEL_SIZE)


def main() -> None:
    """Cut and write all pictures; print how many there are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with masks_10x and camelyon17_40x")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    folders = arguments.output / "10x", arguments.output / "40x"
    try:
        write_all(arguments.data, folders)
    except (InputError, OSError) as error:
        sys.exit(f"error: {explain(error)}")
    for folder in folders:
        num_normal, num_tumor = (len(list((folder / label).iterdir())) for label in "01")
        print(f"{folder}: {num_normal} normal and {num_tumor} tumor pictures")


if __name__ == "__main__":
    main()
