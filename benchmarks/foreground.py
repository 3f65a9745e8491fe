"""How much of real pieces of tissue the foreground keeps, and what an earlier mask of the same pieces had that it lost.

Usage: python benchmarks/foreground.py DATA [--compare FOLDER] [--save FOLDER]
DATA holds the pieces (docs/data.md). Another version of the package saves its masks, this one compares with them.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from scripts.masks.foreground import foreground_mask  # noqa: E402
from scripts.slides.slide import open_slide  # noqa: E402

STRIDE_UM = 15.552  # stride 64 at 0.243 µm

Overview = npt.NDArray[np.uint8]


def reduced(picture: Image.Image, mpp: float) -> Overview:
    """A picture of ``mpp`` µm per pixel at about `STRIDE_UM` per pixel: (rows, cols, 3) uint8 RGB."""
    return np.asarray(picture.convert("RGB").reduce(max(1, round(STRIDE_UM / mpp))))


def slide_overview(path: Path, stride: int) -> Overview:
    """The overview of a slide at a stride in level-0 pixels: (rows, cols, 3) uint8 RGB."""
    with open_slide(path) as slide:
        return slide.read_overview(stride)


def pieces(data: Path) -> Iterator[tuple[str, str, Overview, float]]:
    """Kind, name, overview and µm per pixel of each real piece."""
    dicom = data / "slides" / "multiframe_camelyon_challenge_image.dcm"
    yield "slide of CAMELYON in DICOM, 28.97 µm", "dicom", slide_overview(dicom, 1), 28.97
    svs = data / "slides" / "cmu-1-small-region.svs"
    yield "CMU-1-Small-Region.svs", "cmu", slide_overview(svs, 32), 32 * 0.499
    strip = Image.open(data / "sample" / "metastasis_strip.png")
    yield "strip of CAMELYON17", "strip", reduced(strip, 0.243), STRIDE_UM
    for path in sorted((data / "camelyon17_40x").glob("*.jpeg")):
        yield "tiles of CAMELYON17 at 40x", path.stem, reduced(Image.open(path), 0.243), STRIDE_UM
    with zipfile.ZipFile(data / "masks_10x" / "images.zip") as archive:
        for name in sorted(name for name in archive.namelist() if name.startswith("images/") and name[-1] != "/"):
            picture = Image.open(io.BytesIO(archive.read(name)))
            yield "pictures of CAMELYON at 10x", Path(name).stem, reduced(picture, 0.972), STRIDE_UM
    for color in ("red", "black"):
        picture = Image.open(data / "pen" / f"pen_{color}.png")
        yield f"slide with {color} pen (HistoQC)", f"pen_{color}", np.asarray(picture.convert("RGB")), STRIDE_UM


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--save", type=Path)
    parser.add_argument("--compare", type=Path)
    flags = parser.parse_args()
    masks: dict[str, list[npt.NDArray[np.bool_]]] = {}
    earlier: dict[str, list[npt.NDArray[np.bool_]]] = {}
    for kind, name, overview, pixel_um in pieces(flags.data):
        mask, _ = foreground_mask(overview, pixel_um)
        masks.setdefault(kind, []).append(mask)
        if flags.save is not None:
            flags.save.mkdir(parents=True, exist_ok=True)
            np.save(flags.save / f"{name}.npy", mask)
        if flags.compare is not None:
            earlier.setdefault(kind, []).append(np.load(flags.compare / f"{name}.npy"))
    print("| piece | number | share found before | share found now | lost |\n|---|---|---|---|---|")
    for kind, found in masks.items():
        now = np.concatenate([mask.ravel() for mask in found])
        before = np.concatenate([mask.ravel() for mask in earlier[kind]]) if earlier else None
        shares = ("", "") if before is None else (f"{before.mean():.1%}", f"{(before & ~now).mean():.2%}")
        print(f"| {kind} | {len(found)} | {shares[0]} | {now.mean():.1%} | {shares[1]} |")


if __name__ == "__main__":
    main()
