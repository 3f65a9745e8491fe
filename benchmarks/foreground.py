"""How much of real tissue the foreground keeps, how much pen is found, and how other methods do.

Usage: python benchmarks/foreground.py DATA [--compare FOLDER] [--save FOLDER]
DATA holds the pieces (docs/data.md). Another version of the package saves its masks, this one compares with them.
Further tables tell what other methods lose of the same pieces, what is found of real pen, and of pen that is drawn
over real tissue.
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
from scipy import ndimage
from skimage.color import rgb2gray, rgb2hsv
from skimage.filters import threshold_otsu

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bundle"), str(ROOT / "tests")]

from helpers.drawn_artifacts import INKS, add_ink, stroke  # noqa: E402
from scripts.masks.foreground import foreground_mask  # noqa: E402
from scripts.quality.classes import Artifact  # noqa: E402
from scripts.quality.examination import find_artifacts  # noqa: E402
from scripts.slides.slide import open_slide  # noqa: E402

STRIDE_UM = 15.552  # stride 64 at 0.243 µm

Overview = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

NUCLEAR_RED, NUCLEAR_SHARE = 150, 0.1
"""Of 255: a pixel of about 1 µm whose red is less shows a nucleus, since hematoxylin alone takes red light away. A
pixel of the overview holds nuclei if so much of it does."""


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


def on_glass(picture: Overview, seed: int = 0) -> tuple[Overview, Mask]:
    """A piece in the middle of glass of three times its area, and where it lies."""
    rng = np.random.default_rng(seed)
    rows, cols = picture.shape[:2]
    canvas = np.clip(rng.normal(242, 1.5, (2 * rows, 2 * cols, 3)), 0, 255).astype(np.uint8)
    inside = np.zeros(canvas.shape[:2], dtype=bool)
    inside[rows // 2 : rows // 2 + rows, cols // 2 : cols // 2 + cols] = True
    canvas[inside] = picture.reshape(-1, 3)
    return canvas, inside


def faded(picture: Overview) -> Overview:
    """The picture with half of the stain: half of the optical density beside glass, which is most of it."""
    glass = np.median(picture, axis=(0, 1))
    return np.rint(glass * np.sqrt(np.minimum(picture / glass, 1))).astype(np.uint8)


def ours(picture: Overview, pixel_um: float) -> Mask:
    """The foreground of this package."""
    return foreground_mask(picture, pixel_um)[0]


def otsu_of_luminosity(picture: Overview, pixel_um: float) -> Mask:
    """As TIAToolbox's OtsuTissueMasker: what is darker than Otsu's threshold of the gray picture."""
    gray = rgb2gray(picture)
    dark: Mask = gray < threshold_otsu(gray)
    return dark


def blurred_saturation(picture: Overview, pixel_um: float) -> Mask:
    """As CLAM's segmentTissue with its defaults: saturation, median of 7 pixels, above 8 of 255, closed by 4 pixels."""
    saturation = np.rint(rgb2hsv(picture)[..., 1] * 255).astype(np.uint8)
    closed: Mask = ndimage.binary_closing(ndimage.median_filter(saturation, 7) > 8, np.ones((4, 4), dtype=bool))
    return closed


METHODS = {
    "this package": ours,
    "Otsu of luminosity (TIAToolbox)": otsu_of_luminosity,
    "median-blurred saturation (CLAM)": blurred_saturation,
}


def fine_pieces(data: Path) -> Iterator[tuple[Overview, Mask]]:
    """Real pieces at about `STRIDE_UM` µm per pixel and which of their pixels hold nuclei."""

    def piece(picture: Image.Image, mpp: float) -> tuple[Overview, Mask]:
        fine = picture.convert("RGB").reduce(max(1, round(0.972 / mpp)))
        factor = round(STRIDE_UM / 0.972)
        rows, cols = (side // factor for side in (fine.height, fine.width))
        red = np.asarray(fine)[: rows * factor, : cols * factor, 0]
        share = (red < NUCLEAR_RED).reshape(rows, factor, cols, factor).mean(axis=(1, 3))
        return np.asarray(fine.reduce(factor))[:rows, :cols], share >= NUCLEAR_SHARE

    yield piece(Image.open(data / "sample" / "metastasis_strip.png"), 0.243)
    for path in sorted((data / "camelyon17_40x").glob("*.jpeg")):
        yield piece(Image.open(path), 0.243)
    with zipfile.ZipFile(data / "masks_10x" / "images.zip") as archive:
        for name in sorted(name for name in archive.namelist() if name.startswith("images/") and name[-1] != "/"):
            yield piece(Image.open(io.BytesIO(archive.read(name))), 0.972)


def print_methods(data: Path) -> None:
    """Print what each method loses of pixels with nuclei, as stained and faded, and what it takes of glass."""
    found = list(fine_pieces(data))
    print(f"| method, {len(found)} real pieces on glass | nuclei lost | nuclei lost, faded | glass taken |")
    print("|---|---|---|---|")
    for name, method in METHODS.items():
        lost, lost_faded, taken = [], [], []
        for picture, has_nuclei in found:
            canvas, inside = on_glass(picture)
            mask = method(canvas, STRIDE_UM)
            lost.append(~mask[inside][has_nuclei.ravel()])
            lost_faded.append(~method(faded(canvas), STRIDE_UM)[inside][has_nuclei.ravel()])
            taken.append(mask[~ndimage.binary_dilation(inside, iterations=5)])
        shares = [f"{np.concatenate(values).mean():.2%}" for values in (lost, lost_faded, taken)]
        print(f"| {name} | {' | '.join(shares)} |")


def print_fading(data: Path) -> None:
    """Print how much of the tissue of real slides each method loses when the stain fades to half."""
    slides = {
        "slide of CAMELYON in DICOM": (
            slide_overview(data / "slides" / "multiframe_camelyon_challenge_image.dcm", 1),
            28.97,
        ),
        "CMU-1-Small-Region.svs": (slide_overview(data / "slides" / "cmu-1-small-region.svs", 32), 32 * 0.499),
    }
    print(f"| method | {' | '.join(f'{name}: tissue lost, faded' for name in slides)} |\n|---|{'---|' * len(slides)}")
    for name, method in METHODS.items():
        shares = []
        for picture, pixel_um in slides.values():
            before, after = method(picture, pixel_um), method(faded(picture), pixel_um)
            shares.append(f"{(before & ~after).sum() / before.sum():.2%}")
        print(f"| {name} | {' | '.join(shares)} |")


def print_pen(data: Path) -> None:
    """Print how much real pen is found, and how much of the tissue beside it is taken for pen."""
    print(
        "| picture (HistoQC) | pen found | tissue lost | tissue lost, 8 px and more from the pen |\n|---|---|---|---|"
    )
    for color in ("red", "black"):
        picture = np.asarray(Image.open(data / "pen" / f"pen_{color}.png").convert("RGB"))
        truth = np.asarray(Image.open(data / "pen" / f"pen_{color}_mask.png").convert("L")) > 0
        tissue, _ = foreground_mask(picture, STRIDE_UM)
        pen = find_artifacts(picture, tissue, STRIDE_UM) == Artifact.PEN
        tissue &= ~truth
        away = tissue & ~ndimage.binary_dilation(truth, iterations=8)
        # what the foreground takes on the picture of black pen is the rim of the stroke
        lost = (
            ("no tissue", "no tissue") if color == "black" else [f"{pen[where].mean():.2%}" for where in (tissue, away)]
        )
        print(f"| {color} pen | {pen[truth].mean():.1%} | {lost[0]} | {lost[1]} |")


def print_drawn_pen(data: Path) -> None:
    """Print how much drawn pen is found on a real slide and on real tiles, by color, and what is taken beside it."""
    slide = slide_overview(data / "slides" / "multiframe_camelyon_challenge_image.dcm", 1)
    pictures = [(slide, 28.97)]
    for path in sorted((data / "camelyon17_40x").glob("*.jpeg")):
        piece = reduced(Image.open(path), 0.243)
        whole = np.concatenate([np.concatenate([piece, piece[:, ::-1]], axis=1)] * 2)
        pictures.append((on_glass(whole)[0], STRIDE_UM))
    print("| ink, drawn over a slide and five tiles | found, strong | found, half | tissue lost, strong | half |")
    print("|---|---|---|---|---|")
    for name, ink in INKS.items():
        found, lost = {0.9: [], 0.45: []}, {0.9: [], 0.45: []}
        for picture, pixel_um in pictures:
            rows, cols = picture.shape[:2]
            ends = (rows // 6, cols // 3), (rows - rows // 6, cols - cols // 3)
            where, near = (stroke((rows, cols), *ends, width=width / pixel_um) for width in (400, 480))
            tissue, _ = foreground_mask(picture, pixel_um)
            for amount in found:
                pen = find_artifacts(add_ink(picture, where, ink, amount), tissue, pixel_um) == Artifact.PEN
                found[amount].append(pen[where].mean())
                lost[amount].append(pen[tissue & ~near].mean())
        means = [f"{np.mean(shares):.1%}" for shares in (*found.values(), *lost.values())]
        print(f"| {name} | {' | '.join(means)} |")


def main() -> None:
    """Print the tables."""
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
    for table in (print_methods, print_fading, print_pen, print_drawn_pen):
        print()
        table(flags.data)


if __name__ == "__main__":
    main()
