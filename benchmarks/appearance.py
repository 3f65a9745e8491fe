"""Measure what training patches look like, and write it into the sidecar of the weights that were trained on them.

    python benchmarks/appearance.py bundle/models/model_10x.pt --folders pcam/train
    python benchmarks/appearance.py bundle/models/model.pt --folders pcam/train --tables camelyon16_40x/labels.csv

`infer` and `doctor` warn of slides that are far outside (docs/quality.md). `tumor-detection train` writes it by itself.
This command is for weights that several trainings made, one after the other; it may be given again for the same ones.
Pictures of at most 96 px count as PatchCamelyon's, of 0.972 µm per pixel, and are enlarged as in training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from scripts.errors import InputError  # noqa: E402
from scripts.files import write_json  # noqa: E402
from scripts.network.purpose import file_sha256, read_purpose, sidecar_path  # noqa: E402
from scripts.quality.appearance import MEASURES  # noqa: E402
from scripts.training.looks import measure_pictures  # noqa: E402
from scripts.training.patch_images import PatchImageDataset, patch_datalist  # noqa: E402

_PCAM_MPP = 0.972


def add_appearance(
    weights: Path, folders: list[str], tables: list[str], count: int, seed: int = 0
) -> dict[str, list[float]]:
    """Measure, and write into the weights' sidecar.

    Returns:
        The ranges, see `quality.appearance.measure_ranges`.

    Raises:
        InputError: if nothing says what the weights are for, or a picture cannot be read, or too few show tissue.
    """
    purpose = read_purpose(weights)
    if purpose is None:
        raise InputError(f"{weights}: no sidecar {sidecar_path(weights).name}, where this belongs; train writes it")
    factor = max(1, round(_PCAM_MPP / purpose.mpp))
    data = patch_datalist(folders, tables)
    dataset = PatchImageDataset(data, size=min(purpose.patch_size), coarse_factor=factor)
    ranges = measure_pictures(dataset, count, seed)
    if not ranges:
        raise InputError(f"{data[0]['image']}: this and {len(data) - 1} others show too little tissue; give more")
    content = purpose._replace(appearance=ranges).content()
    write_json(sidecar_path(weights), {"sha256": file_sha256(weights), **content})
    return ranges


def main() -> None:
    """Measure, write, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--folders", nargs="*", default=[], help="with subfolders 0 and 1 of patches")
    parser.add_argument("--tables", nargs="*", default=[], help="CSV files with the columns file and label")
    parser.add_argument("--count", type=int, default=2000, help="patches of each kind, enlarged or not")
    options = parser.parse_args()
    ranges = add_appearance(options.weights, options.folders, options.tables, options.count)
    print(f"| {options.weights.name} | from | to |\n|---|---|---|")
    for key, (low, high) in ranges.items():
        print(f"| {MEASURES[key]} | {low:.2f} | {high:.2f} |")


if __name__ == "__main__":
    main()
