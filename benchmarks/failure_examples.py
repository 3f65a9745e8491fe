r"""A picture of what weights get most wrong, and of a few that they get right, for the model card.

    python benchmarks/failure_examples.py --folder valid --output docs/images/failures.jpg
    python benchmarks/failure_examples.py --overlay train_10x.json --weights bundle/models/model_10x.pt \
        --folder valid --output docs/images/failures_10x.jpg

Of the normal patches those of the highest, of the tumor patches those of the lowest probability; near-duplicates of a
patch already shown are passed over. The square is the part of PatchCamelyon's patch that its label describes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

import matplotlib  # noqa: E402

matplotlib.use("Agg")
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402
from scipy.special import expit  # noqa: E402

from scripts.scoring.patch_logits import compute_patch_logits  # noqa: E402

NUM_SHOWN = 8
LABELLED_PX = 32


def most_wrong(
    probabilities: npt.NDArray[np.float64],
    labels: npt.NDArray[np.bool_],
    pictures: list[npt.NDArray[np.uint8]],
    is_tumor: bool,
    is_wrong: bool,
) -> list[int]:
    """Indices of `NUM_SHOWN` patches of one class, those first that are most wrong, or most right."""
    confidence = np.where(labels, probabilities, 1 - probabilities)
    order = np.argsort(confidence if is_wrong else -confidence, kind="stable")
    chosen: list[int] = []
    for index in order[labels[order] == is_tumor].tolist():
        means = [float(np.abs(pictures[index].astype(int) - pictures[other]).mean()) for other in chosen]
        if all(mean > 12 for mean in means):
            chosen.append(index)
        if len(chosen) == NUM_SHOWN:
            break
    return chosen


def draw(rows: list[tuple[str, list[int]]], pictures: list[npt.NDArray[np.uint8]], probabilities: Any) -> Figure:
    """One row of patches for each title."""
    figure = Figure(figsize=(1.25 * NUM_SHOWN, 1.62 * len(rows)), dpi=110)
    grid = figure.subplots(len(rows), NUM_SHOWN, squeeze=False)
    for axes, (title, chosen) in zip(grid, rows, strict=True):
        for axis in axes:
            axis.set_axis_off()
        axes[0].text(0, 1.2, title, transform=axes[0].transAxes, fontsize=10, fontweight="bold", va="bottom")
        for axis, index in zip(axes, chosen, strict=False):
            picture = pictures[index]
            axis.imshow(picture)
            corner = (len(picture) - LABELLED_PX) / 2 - 0.5
            axis.add_patch(Rectangle((corner, corner), LABELLED_PX, LABELLED_PX, fill=False, color="white", lw=0.9))
            axis.set_title(f"{probabilities[index]:.3f}", fontsize=8, pad=2)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.9, bottom=0.01, wspace=0.06, hspace=0.42)
    return figure


def main() -> None:
    """Run, choose and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "bundle/models/model.pt")
    parser.add_argument("--overlay", nargs="*", default=[], help="overlays in bundle/configs, as train_10x.json")
    parser.add_argument("--folder", required=True, help="folder with the subfolders 0 and 1, PatchCamelyon's patches")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    found = compute_patch_logits(options.weights, folders=[options.folder], overlays=options.overlay)
    probabilities, labels, paths = expit(found.logits), found.is_tumor, found.files
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    rows = [
        (title, most_wrong(probabilities, labels, pictures, is_tumor, is_wrong))
        for title, is_tumor, is_wrong in (
            ("Normal, taken for tumor", False, True),
            ("Tumor, taken for normal", True, True),
            ("Normal, recognized", False, False),
            ("Tumor, recognized", True, False),
        )
    ]
    draw(rows, pictures, probabilities).savefig(options.output, pil_kwargs={"quality": 85})
    for title, chosen in rows:
        print(f"{title}: " + ", ".join(f"{Path(paths[index]).name} {probabilities[index]:.4f}" for index in chosen))


if __name__ == "__main__":
    main()
