"""Which limit the screen of mode cascade needs, what it passes on, and whether detections hold.

    python benchmarks/cascade.py ../shared/data --markdown docs/benchmarks.md
    python benchmarks/cascade.py ../shared/data --screen_weights runs/model_10x.pt
    python benchmarks/cascade.py ../shared/data --detections --markdown docs/benchmarks.md

The limit is the largest that loses at most 1 of 100 tumor patches of PatchCamelyon's validation patches. The screen
runs dense and patch by patch. A patch on its own has no surroundings, so dense runs over the patch among its mirror
images. Pictures with masks and tiles of normal tissue are contiguous, so there the network also looks around what
exceeds the limit: three figures are of no margin, and of one and two positions of the screen. The pictures with masks
are those that training held out.

With --detections, inference runs on real tissue and on a mosaic in modes sliding, auto and cascade, with the config's
limit or --above, and detections are compared.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from comparison import NMS_RADIUS, STRIDE, detected_points  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402
from PIL import Image  # noqa: E402
from report import machine_line, markdown_table, publish  # noqa: E402
from slides import make_layout, read_patches, write_mosaic  # noqa: E402
from tissue_pieces import enlarged, read_pieces, write_piece  # noqa: E402

from scripts.inference.screening import choose  # noqa: E402
from scripts.network.forwards import DenseForward, PatchForward  # noqa: E402
from scripts.network.network import resolve_precision  # noqa: E402
from scripts.network.preprocessing import find_scaling  # noqa: E402
from scripts.network.runtime import make_runtime  # noqa: E402
from scripts.slides.pyramid import downsample_image  # noqa: E402
from scripts.workflow import run_bundle  # noqa: E402

STEP, PATCH = 32, 96
MARGINS = (0, 1, 2)
WAYS = ("dense", "patch by patch")
MODES = ("sliding", "auto", "cascade")
MOSAIC = (2816, 3840)
Pictures = npt.NDArray[np.uint8]
Map = npt.NDArray[np.float32]


class Screen:
    """The screen's network, as inference runs it.

    Args:
        weights: of the network.
    """

    def __init__(self, weights: Path) -> None:
        config = ConfigParser()
        config.read_config(ROOT / "bundle" / "configs" / "inference.json")
        config.update({"mode": "cascade", "screen_weights": str(weights)})
        self.settings = config.get_parsed_content("screen")
        device = config.get_parsed_content("device")
        network = config.get_parsed_content("screen_network").eval()
        precision = str(resolve_precision("auto", device)).removeprefix("torch.")
        scaling = find_scaling(config.get_parsed_content("preprocessing"))
        runtime = make_runtime(network, "auto", device, precision, scaling)
        self._device = device
        self._dense, self._patches = DenseForward(runtime, PATCH), PatchForward(runtime, PATCH, 64)

    def __call__(self, picture: Pictures, way: str) -> Map:
        """Probabilities of the patches of a picture, 32 px apart: (rows, cols)."""
        pixels = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1))).to(self._device)
        rows, cols = ((side - PATCH) // STEP + 1 for side in picture.shape[:2])
        if way == "dense":
            logits = self._dense(pixels)
        else:
            corners = np.argwhere(np.ones((rows, cols), dtype=bool)) * STEP
            logits = self._patches(pixels, corners.astype(np.int64)).reshape(rows, cols)
        found: Map = logits.sigmoid().cpu().numpy()
        return found

    def of_patch(self, patch: Pictures, way: str) -> float:
        """Probability of a single patch."""
        if way == "dense":
            middle = PATCH // STEP  # of the patch among its mirror images
            return float(
                self(np.pad(patch, ((PATCH, PATCH), (PATCH, PATCH), (0, 0)), mode="symmetric"), way)[middle, middle]
            )
        return float(self(patch, way)[0, 0])


def read_zip(path: Path, prefix: str, num: int | None = None) -> list[tuple[str, Pictures]]:
    """Pictures of an archive whose folder begins so, sorted by name; of many, so many spread over them."""
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name[-1] != "/" and prefix in f"/{name}")
        if num is not None and num < len(names):
            names = [names[index] for index in np.linspace(0, len(names) - 1, num).astype(int)]
        return [
            (Path(name).stem, np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))) for name in names
        ]


def limit_for(tumor: npt.NDArray[np.floating[Any]], lost: float) -> float:
    """The largest limit of three digits that at most so large a share of probabilities does not exceed."""
    allowed = math.floor(lost * len(tumor))
    exact = float(np.sort(tumor)[allowed])  # so many lie below; a limit just under it keeps the rest
    digits = 2 - math.floor(math.log10(max(exact, 1e-6)))
    return math.floor(exact * 10**digits - 1e-9) / 10**digits


class Contiguous(NamedTuple):
    """What a screen says of contiguous pictures.

    Attributes:
        maps: of each picture.
        tumor: where the middle 32 x 32 px hold tumor; of the same shapes.
    """

    maps: list[Map]
    tumor: list[npt.NDArray[np.bool_]]

    def passed(self, above: float, margin: int, is_tumor: bool) -> float:
        """Share of the tumor's positions, or the others, that the network would look at."""
        found = [
            choose(values, np.ones(values.shape, dtype=bool), above, margin, 1)[tumor == is_tumor]
            for values, tumor in zip(self.maps, self.tumor, strict=True)
        ]
        together = np.concatenate(found)
        return float(together.mean()) if len(together) else math.nan


def middle_tumor(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Which patches of a picture, 32 px apart, have tumor in their middle 32 x 32 px."""
    rows, cols = ((side - PATCH) // STEP + 1 for side in mask.shape)
    inner = mask[STEP : STEP * (rows + 1), STEP : STEP * (cols + 1)]
    return np.asarray(inner.reshape(rows, STEP, cols, STEP).any(axis=(1, 3)))


def choose_limits(screen: Screen, data: Path, options: argparse.Namespace) -> str:
    """The table of limits."""
    valid = {label: read_zip(data / "pcam_10x" / "valid.zip", f"/{label}/", options.patches) for label in "01"}
    pictures = read_pieces(data, ["masks"])
    tiles = [downsample_image(piece.image, 4) for piece in read_pieces(data, ["tiles"])]
    rows = []
    for way in WAYS:
        normal, tumor = (np.array([screen.of_patch(image, way) for _, image in valid[label]]) for label in "01")
        masked = Contiguous(
            [screen(piece.image, way) for piece in pictures],
            [middle_tumor(piece.tumor) for piece in pictures],
        )
        plain = [screen(tile, way) for tile in tiles]
        tissue = Contiguous(plain, [np.zeros(values.shape, dtype=bool) for values in plain])
        found = limit_for(tumor, options.lost)
        for above in sorted({found, *options.above}):
            rows.append(
                [
                    way,
                    f"{above:g}{' (chosen)' if above == found else ''}",
                    f"{100 * np.mean(tumor <= above):.2f} %",
                    f"{100 * np.mean(normal > above):.1f} %",
                    " / ".join(f"{100 - 100 * masked.passed(above, margin, True):.2f}" for margin in MARGINS) + " %",
                    " / ".join(f"{100 * masked.passed(above, margin, False):.1f}" for margin in MARGINS) + " %",
                    " / ".join(f"{100 * tissue.passed(above, margin, False):.1f}" for margin in MARGINS) + " %",
                ]
            )
            print(rows[-1], flush=True)
    header = ["screen", "limit", "tumor patches lost", "normal patches passed", "pictures, held out: tumor lost"]
    return markdown_table([*header, "pictures: normal passed", "tiles: passed"], rows)


def compare_detections(data: Path, options: argparse.Namespace) -> str:
    """The table of detections."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        slides = {}
        for piece in read_pieces(data, options.pieces):
            slides[piece.title] = write_piece(enlarged(piece) if piece.kind == "masks" else piece, folder)
        if not options.no_mosaic:
            patches = read_patches(data / "camelyon16_40x")
            layout = make_layout(MOSAIC, patches.is_tumor, 0.7, 0.1, num_blobs=3, seed=0)
            write_mosaic(folder / "mosaic.tif", patches.images, layout, MOSAIC)
            slides["mosaic"] = folder / "mosaic.tif"
        settings: dict[str, Any] = {
            "slides": [str(path) for path in slides.values()],
            "stride": STRIDE,
            "num_workers": 1,
        }
        if options.screen_weights is not None:
            settings["screen_weights"] = str(options.screen_weights)
        if options.above:
            settings["screen_above"] = options.above[0]
        seconds = {}
        for mode in MODES:
            started = time.monotonic()
            run_bundle("inference", "inference.json", settings | {"mode": mode, "output_dir": str(folder / mode)})
            seconds[mode] = time.monotonic() - started
        print({mode: f"{value:.0f} s with the start" for mode, value in seconds.items()}, flush=True)
        for title, path in slides.items():
            maps = {mode: np.load(folder / mode / f"{path.stem}.npy") for mode in MODES}
            about = read_sidecar(folder / "cascade", path.stem)
            points = {mode: detected_points(values) for mode, values in maps.items()}
            high = maps["sliding"] > 0.5
            rows.append(
                [
                    title,
                    str(about["num_positions"]),
                    f"{100 * about['looked_at']:.1f} %",
                    *(str(len(points[mode])) for mode in MODES),
                    str(num_lost(points["sliding"], points["cascade"])),
                    str(num_lost(points["auto"], points["cascade"])),
                    f"{int(high.sum())}, {int((high & (maps['cascade'] <= 0.5)).sum())}",
                ]
            )
    header = ["slide", "positions", "looked at", *(f"detections, {mode}" for mode in MODES)]
    header += ["of sliding lost", "of auto lost", "positions above 0.5 in sliding, lost"]
    return markdown_table(header, rows)


def read_sidecar(folder: Path, name: str) -> dict[str, Any]:
    """The sidecar of a map."""
    from scripts.files import read_json

    content: dict[str, Any] = read_json(folder / f"{name}.json")
    return content


def num_lost(points: set[tuple[int, int]], others: set[tuple[int, int]]) -> int:
    """How many points have none of the others within the radius of suppression."""
    return sum(not any(max(abs(row - r), abs(col - c)) <= NMS_RADIUS for r, c in others) for row, col in points)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with pcam_10x, masks_10x, camelyon17_40x and camelyon16_40x")
    parser.add_argument("--screen_weights", type=Path, help="of the screen; the config's if not given")
    parser.add_argument("--lost", type=float, default=0.01, help="share of tumor patches that may be lost")
    parser.add_argument(
        "--above", type=float, nargs="*", default=[], help="more limits to report, or that of detections"
    )
    parser.add_argument("--patches", type=int, help="of each class of PatchCamelyon; all if not given")
    parser.add_argument("--detections", action="store_true", help="compare detections in place of choosing a limit")
    parser.add_argument("--pieces", nargs="+", default=["tiles", "strip", "masks"], help="of tissue_pieces.KINDS")
    parser.add_argument("--no_mosaic", action="store_true")
    parser.add_argument("--markdown", type=Path, help="a page with the blocks 'cascade limit' and 'cascade detections'")
    options = parser.parse_args(arguments)
    machine = machine_line()
    if options.detections:
        publish(options.markdown, "cascade detections", machine, compare_detections(options.data, options))
        return
    weights = options.screen_weights or ROOT / "bundle" / "models" / "model_10x.pt"
    publish(options.markdown, "cascade limit", machine, choose_limits(Screen(weights), options.data, options))


if __name__ == "__main__":
    main()
