"""What other scanners and laboratories may do to a patch, and what that does to weights.

    python benchmarks/robustness.py --folder pcam/valid --table camelyon16_40x/labels.csv --markdown docs/benchmarks.md
    python benchmarks/robustness.py --folder pcam/valid --overlay train_10x.json --weights runs/*/model.pt

The patches of the folder (PatchCamelyon's, 0.972 µm per pixel), each changed in one way; pixels are those of the patch.
The table's patches at 40x are reduced four times for weights at 10x, and mirrored to 96 px.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, markdown_table, publish  # noqa: E402

from scripts.errors import InputError, explain  # noqa: E402
from scripts.scoring.patch_logits import compute_patch_logits  # noqa: E402
from scripts.scoring.patches import patch_report  # noqa: E402
from scripts.training.jitter import StainJitter  # noqa: E402
from scripts.training.patch_images import open_patch, patch_datalist  # noqa: E402

OVERLAY_10X = "train_10x.json"
PATCH_10X = 96
FACTOR = 4
MODELS = ROOT / "bundle" / "models"
Change = Callable[[Image.Image], Image.Image]


def compressed(quality: int) -> Change:
    """Written as JPEG and read again."""

    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def magnified(image: Image.Image) -> Image.Image:
    """Ten per cent larger: what `infer` takes as it is, where a level's resolution is so far from the model's."""
    margin = image.width * (1 - 1 / 1.1) / 2
    box = (margin, margin, image.width - margin, image.height - margin)
    return image.resize(image.size, Image.Resampling.BICUBIC, box)


def stained(image: Image.Image) -> Image.Image:
    """Other strengths of the stains, random for each patch."""
    patch = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    changed = StainJitter(0.4)(patch).clamp(0, 255).round().to(torch.uint8)
    return Image.fromarray(changed[0].permute(1, 2, 0).numpy())


def blurred(sigma: float) -> Change:
    """By a Gaussian."""
    return lambda image: image.filter(ImageFilter.GaussianBlur(sigma))


CHANGES: dict[str, Change] = {
    "as they are": lambda image: image,
    "blurred by a Gaussian of 0.5 px": blurred(0.5),
    "blurred by a Gaussian of 1 px": blurred(1.0),
    "sharpened (unsharp mask, 1 px, 100 %)": lambda image: image.filter(ImageFilter.UnsharpMask(1, 100, 0)),
    "JPEG of quality 30": compressed(30),
    "stains jittered by 0.4": stained,
    "10 % larger": magnified,
}


def reduced(image: Image.Image) -> Image.Image:
    """A patch of 256 px at 40x for weights at 10x."""
    small = np.asarray(image.reduce(FACTOR))
    above, left = (PATCH_10X - small.shape[0]) // 2, (PATCH_10X - small.shape[1]) // 2
    margins = ((above, PATCH_10X - small.shape[0] - above), (left, PATCH_10X - small.shape[1] - left), (0, 0))
    return Image.fromarray(np.pad(small, margins, mode="symmetric"))


def write_changed(change: Change, files: Sequence[tuple[Path, int]], folder: Path) -> Path:
    """Write changed copies of labelled pictures, without loss, and the table that lists them."""
    torch.manual_seed(0)
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["file", "label"])
        for index, (file, label) in enumerate(files):
            change(open_patch(file)).save(folder / f"{index}.png", compress_level=1)
            writer.writerow([f"{index}.png", label])
    return table


Run = tuple[Path, Sequence[str]]  # weights and their overlays


def measure(files: Sequence[tuple[Path, int]], change: Change, runs: Sequence[Run]) -> list[str]:
    """What each of the weights reaches on changed patches."""
    with tempfile.TemporaryDirectory() as folder:
        table = write_changed(change, files, Path(folder))
        return [score(table, *run) for run in runs]


def score(table: Path, weights: Path, overlays: Sequence[str]) -> str:
    """AUC and accuracy, with 95% intervals over patches."""
    found = compute_patch_logits(weights, tables=[table], overlays=overlays)
    report = patch_report(found.logits, found.is_tumor)
    cells = []
    for name in ("auc", "accuracy"):
        low, high = report[name]["interval"]
        cells.append(f"{report[name]['value']:.3f} ({low:.3f} to {high:.3f})")
    return ", ".join(cells)


def listed(folders: Sequence[str], tables: Sequence[str]) -> list[tuple[Path, int]]:
    """Pictures and their labels."""
    return [(Path(sample["image"]), int(sample["label"])) for sample in patch_datalist(folders, tables)]


def table_rows(folder: str, table: str | None, runs: Sequence[Run]) -> list[list[str]]:
    """A row for each change, and one for the table's patches."""
    files = listed([folder], [])
    fine = listed([], [table]) if table else []
    rows = []
    for name, change in CHANGES.items():
        rows.append([name, *measure(files, change, runs)])
        print(rows[-1], flush=True)
    if fine:
        cells = iter(measure(fine, reduced, [run for run in runs if OVERLAY_10X in run[1]]))
        row = [next(cells) if OVERLAY_10X in run[1] else "" for run in runs]
        rows.append([f"{len(fine)} patches at 40x, reduced four times", *row])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, help="patches of 96 px at 10x, in subfolders 0 and 1")
    parser.add_argument("--table", help="CSV file with the columns file and label, of patches at 40x")
    parser.add_argument("--weights", type=Path, nargs="+", help="instead of both shipped files")
    parser.add_argument("--overlay", nargs="*", default=[], help="of these weights, as train_10x.json")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'robustness'")
    options = parser.parse_args(arguments)
    runs = [(weights, options.overlay) for weights in options.weights or []]
    runs = runs or [(MODELS / "model.pt", []), (MODELS / "model_10x.pt", [OVERLAY_10X])]
    machine = machine_line()
    print(machine)
    try:
        rows = table_rows(options.folder, options.table, runs)
        names = [str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path) for path, _ in runs]
        publish(options.markdown, "robustness", machine, markdown_table(["patches", *names], rows))
    except (InputError, OSError, RuntimeError) as error:  # MONAI wraps what a component raises
        sys.exit(f"error: {explain(error)}")


if __name__ == "__main__":
    main()
