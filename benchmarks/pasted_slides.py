"""Slides made of real contiguous pieces, from pixels to the FROC score, by the console commands.

    python benchmarks/pasted_slides.py ../shared/data --output pasted --markdown docs/benchmarks.md
    python benchmarks/pasted_slides.py ../shared/data --output pasted --weights runs/model.pt

No slide was ever like these: each holds one to three pieces of 0.12 to 0.5 mm on glass, and this is not CAMELYON16's
FROC. It shows that the way from slides to a score holds together on real tissue. Pieces are those of
`real_tissue.py`; two slides have tumor and three have none.
"""

from __future__ import annotations

import argparse
import csv
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, markdown_table, publish  # noqa: E402
from tissue_pieces import MPP_10X, MPP_40X, Piece, enlarged, read_pieces  # noqa: E402

from scripts.cli.main import main as tumor_detection  # noqa: E402
from scripts.errors import InputError, explain  # noqa: E402
from scripts.files import make_output_dir, read_json  # noqa: E402
from scripts.network.modes import MODES  # noqa: E402
from scripts.slides.pyramid import downsample_image  # noqa: E402
from scripts.synthetic.philips import tissue_tiles, write_philips, write_philips_mask  # noqa: E402

SLIDES = {
    "tumor_001": ("strip",),
    "tumor_002": ("masks_10679", "masks_10683", "masks_10695"),
    "normal_001": ("centre_1",),
    "normal_002": ("centre_4",),
    "normal_003": ("centre_0", "centre_2", "centre_3"),
}
"""Pieces by slide. Trainings may have seen those of normal_003, and none of the others; those of tumor_002 were scanned
at 10x and are enlarged four times."""

GLASS = (222, 222, 227)
"""Mean RGB of the glass in the pieces themselves; it varies by `GLASS_NOISE` from pixel to pixel there."""

GLASS_NOISE = 1.5
BORDER = 32
"""Pixels of 40x over which a piece fades into glass."""

MARGIN, GAP = 1100, 700
PREVIEW = 8


class Way(NamedTuple):
    """A way to compute maps.

    Attributes:
        title: for the table.
        stride: of foreground and maps, in level-0 pixels.
        flags: of `infer`.
    """

    title: str
    stride: int
    flags: tuple[str, ...]


class Placed(NamedTuple):
    """A slide and its truth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        tumor: (H, W) bool.
    """

    image: npt.NDArray[np.uint8]
    tumor: npt.NDArray[np.bool_]


def paste(pieces: Sequence[Piece], seed: int) -> Placed:
    """Lay pieces side by side on glass, each turned by a random multiple of 90 degrees, with soft, uneven borders.

    Args:
        pieces: at 40x, each at least 500 px a side.
        seed: of everything random.
    """
    rng = np.random.default_rng(seed)
    turns = [int(rng.integers(4)) for _ in pieces]
    shapes = [piece.tumor.shape[:: 1 if turn % 2 == 0 else -1] for piece, turn in zip(pieces, turns, strict=True)]
    height = max(shape[0] for shape in shapes) + 2 * MARGIN
    width = sum(shape[1] for shape in shapes) + GAP * (len(pieces) - 1) + 2 * MARGIN
    noise = rng.normal(0, GLASS_NOISE, (height, width, 3)).astype(np.float32)
    image = np.clip(noise + np.array(GLASS, dtype=np.float32), 0, 255)
    tumor, left = np.zeros((height, width), dtype=bool), MARGIN
    for piece, turn, shape in zip(pieces, turns, shapes, strict=True):
        top = int(rng.integers(MARGIN // 2, height - shape[0] - MARGIN // 2))
        part = np.s_[top : top + shape[0], left : left + shape[1]]
        opacity = soft_border(shape, rng)
        image[part] += opacity[..., None] * (np.rot90(piece.image, turn) - image[part])
        tumor[part] = np.rot90(piece.tumor, turn) & (opacity > 0.5)
        left += shape[1] + GAP
    return Placed(np.rint(image).astype(np.uint8), tumor)


def soft_border(shape: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """How much of a piece shows, from 0 at its edges to 1; (height, width). The edge is a wavy line."""
    rows, cols = (np.minimum(np.arange(side), np.arange(side)[::-1]) for side in shape)
    distance = np.minimum.outer(rows, cols).astype(np.float32)
    coarse = gaussian_filter(rng.normal(size=[-(-side // 16) for side in shape]), 3)
    waves = np.kron(coarse / coarse.std(), np.ones((16, 16)))[: shape[0], : shape[1]]
    waves = gaussian_filter(waves.astype(np.float32), 8)
    return np.clip((distance - BORDER / 2 * (1 + np.clip(waves, -1, 1))) / BORDER, 0, 1)


def write_slides(data: Path, root: Path) -> tuple[Path, Path]:
    """Write the slides, their truth masks, and pictures of them, once; return the folders of slides and of truth."""
    slides, truth, pictures = (make_output_dir(root / name) for name in ("slides", "truth", "pictures"))
    known = {piece.name: piece for piece in read_pieces(data)}
    for seed, (name, members) in enumerate(SLIDES.items()):
        if (pictures / f"{name}.jpg").is_file():  # written last
            continue
        pieces = [known[member] for member in members]
        placed = paste([enlarged(piece) if piece.mpp == MPP_10X else piece for piece in pieces], seed)
        stored = tissue_tiles(placed.image)
        write_philips(slides / f"{name}.tif", placed.image, MPP_40X, stored=stored)
        if placed.tumor.any():
            write_philips_mask(truth / f"{name}_mask.tif", placed.tumor.astype(np.uint8), MPP_40X)
        small = downsample_image(placed.image, PREVIEW)
        tumor = np.pad(placed.tumor[::PREVIEW, ::PREVIEW], 2)
        edge = (tumor ^ np.roll(tumor, 2, 0)) | (tumor ^ np.roll(tumor, 2, 1))
        small[edge[2:-2, 2:-2][: small.shape[0], : small.shape[1]]] = (0, 160, 60)
        Image.fromarray(small).save(pictures / f"{name}.jpg", quality=88)
    return slides, truth


def run(*arguments: object) -> None:
    """Run a console command in this process, and show it."""
    words = [str(argument) for argument in arguments]
    print(shlex.join(["tumor-detection", *words]), flush=True)
    tumor_detection(words)


def score(way: Way, slides: Path, truth: Path, root: Path) -> list[str]:
    """Go the whole way for one kind of map; return a row of the table."""
    output = root / way.title.replace(", ", "_").replace(" ", "_")
    masks = root / f"foreground_{way.stride}"
    if not masks.is_dir():
        run("foreground", "--slides", slides, "--output", masks, "--stride", way.stride)
    maps = ("--maps", output / "maps")
    flags = ("--slides", slides, "--foreground_dir", masks, "--output_dir", output / "maps", "--stride", way.stride)
    run("infer", *way.flags, *flags)
    run("froc", *maps, "--truth", truth, "--output", output / "scores", "--num_resamples", 0)
    run("report", *maps, "--truth", truth, "--slides", slides, "--output", output / "report", "--num_resamples", 0)
    return row(way, output / "scores")


def row(way: Way, scores: Path) -> list[str]:
    """Cells for a way: the score, lesions found, false positives by slide and the highest probability of each."""
    found = read_json(scores / "froc.json")
    with open(scores / "slides.csv", newline="", encoding="utf-8") as file:
        by_slide = {Path(line["slide"]).stem: line for line in csv.DictReader(file)}
    hits = sum(int(line["num_lesions_hit"]) for line in by_slide.values())
    per_slide = " / ".join(by_slide[name]["num_false_positives"] for name in SLIDES)
    highest = " / ".join(f"{float(by_slide[name]['score']):.2f}" for name in SLIDES)
    lesions = f"{hits} of {found['num_lesions']}"
    return [way.title, f"{found['froc_score']:.3f}", lesions, per_slide, highest]


def ways(weights: Path | None, weights_10x: Path | None) -> list[Way]:
    """The ways that there are: each file of weights on its own, and both together where there is mode cascade."""
    fine = ("--weights", str(weights)) if weights else ()
    coarse = ("--config_file", "screen_10x.json", *(("--weights", str(weights_10x)) if weights_10x else ()))
    found = [Way("40x, mode auto", 64, fine), Way("10x, mode auto", 128, coarse)]
    if "cascade" in MODES:
        screen = ("--screen_weights", str(weights_10x)) if weights_10x else ()
        found.append(Way("mode cascade", 64, ("--mode", "cascade", *fine, *screen)))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Write slides, go the whole way, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with camelyon17_40x and masks_10x")
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--weights", type=Path, help="at 40x, instead of the shipped")
    parser.add_argument("--weights_10x", type=Path, help="at 10x, instead of the shipped")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'pasted slides'")
    options = parser.parse_args(arguments)
    machine, root = machine_line(), make_output_dir(options.output)
    try:
        slides, truth = write_slides(options.data, root)
        rows = [score(way, slides, truth, root) for way in ways(options.weights, options.weights_10x)]
    except (InputError, OSError, RuntimeError) as error:
        sys.exit(f"error: {explain(error)}")
    order = " / ".join(SLIDES)
    header = ["maps", "FROC score", "lesions found", f"false positives: {order}", "highest probability of each"]
    publish(options.markdown, "pasted slides", machine, markdown_table(header, rows))


if __name__ == "__main__":
    main()
