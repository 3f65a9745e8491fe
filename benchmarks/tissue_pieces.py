"""The contiguous pieces of real tissue at hand, as slides that inference reads, and what is tumor there."""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from scripts.slides.pyramid import write_pyramid  # noqa: E402
from scripts.synthetic.specimen import PARTS, strip_path  # noqa: E402

KINDS = ("tiles", "strip", "masks")
MPP_40X, MPP_10X = 0.243, 0.972
FACTOR = 4
TRAINED_CENTRES = (0, 2, 3)
"""Of CAMELYON17; their tiles may be trained on. Those of centres 1 and 4 are held out, as is the strip."""

HELD_OUT_OF = 4
"""Of the pictures with masks, sorted by name, every fourth is held out: the index modulo 4 is 3."""


class Piece(NamedTuple):
    """A contiguous piece of real tissue.

    Attributes:
        name: without spaces, for files.
        kind: one of `KINDS`.
        title: for tables and pictures.
        image: (H, W, 3) uint8 RGB.
        tumor: (H, W) bool.
        mpp: µm per pixel of both.
    """

    name: str
    kind: str
    title: str
    image: npt.NDArray[np.uint8]
    tumor: npt.NDArray[np.bool_]
    mpp: float


def read_pieces(data: Path, kinds: Sequence[str] = KINDS) -> list[Piece]:
    """Read the pieces of some kinds: tiles of normal tissue, the strip, and the held-out pictures with masks.

    Args:
        data: folder with ``camelyon17_40x`` and ``masks_10x``; the strip comes with the bundle.
        kinds: of `KINDS`.
    """
    readers = {"tiles": lambda: _tiles(data), "strip": _strip, "masks": lambda: _masked(data)}
    return [piece for kind in KINDS if kind in kinds for piece in readers[kind]()]


def read_training_pieces(data: Path) -> Iterator[Piece]:
    """Read the pieces that are not held out: tiles of `TRAINED_CENTRES`, and the other pictures with masks.

    Args:
        data: folder with ``camelyon17_40x`` and ``masks_10x``.
    """
    yield from (piece for piece in _tiles(data) if piece.name in {f"centre_{centre}" for centre in TRAINED_CENTRES})
    yield from _masked(data, held_out=False)


def _tiles(data: Path) -> Iterator[Piece]:
    for path in sorted((data / "camelyon17_40x").glob("*.jpeg")):
        centre = int(path.stem.split("_")[1])
        title = f"centre {centre}{'' if centre in TRAINED_CENTRES else ', held out'}"
        image = np.asarray(Image.open(path).convert("RGB"))
        yield Piece(f"centre_{centre}", "tiles", title, image, np.zeros(image.shape[:2], dtype=bool), MPP_40X)


def _strip() -> Iterator[Piece]:
    import tifffile

    image = np.asarray(tifffile.imread(strip_path(), series=0, level=0))
    tumor = np.zeros(image.shape[:2], dtype=bool)
    for name, begin_um, end_um in PARTS:
        tumor[round(begin_um / MPP_40X) : round(end_um / MPP_40X)] = name == "metastasis"
    yield Piece("strip", "strip", "strip, held out", image, tumor, MPP_40X)


def _masked(data: Path, held_out: bool = True) -> Iterator[Piece]:
    with zipfile.ZipFile(data / "masks_10x" / "images.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("images/") and name[-1] != "/")
        chosen = set(names[HELD_OUT_OF - 1 :: HELD_OUT_OF])
        for name in (name for name in names if (name in chosen) == held_out):
            stem = Path(name).stem
            image = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            tumor = np.asarray(Image.open(io.BytesIO(archive.read(f"masks/{stem}.png"))).convert("L")) > 127
            yield Piece(
                f"masks_{stem}", "masks", f"picture {stem}{', held out' if held_out else ''}", image, tumor, MPP_10X
            )


def enlarged(piece: Piece, factor: int = FACTOR) -> Piece:
    """A piece at a finer resolution than it was scanned at: bicubic, so blurred."""
    size = piece.image.shape[1] * factor, piece.image.shape[0] * factor
    image = np.asarray(Image.fromarray(piece.image).resize(size, Image.Resampling.BICUBIC))
    tumor = np.kron(piece.tumor, np.ones((factor, factor), dtype=bool))
    return piece._replace(image=image, tumor=tumor, mpp=piece.mpp / factor)


def write_piece(piece: Piece, folder: Path) -> Path:
    """Write a piece as a pyramidal TIFF without loss, once; return its path."""
    path = folder / f"{piece.name}.tif"
    if not path.is_file():
        write_pyramid(path, piece.image, piece.mpp, compression=None)
    return path
