"""Measure training patches, and what a network makes of them, and write it into the sidecar of its weights.

    python benchmarks/describe_weights.py bundle/models/model_10x.pt --folders pcam/train
    python benchmarks/describe_weights.py bundle/models/model.pt --folders pcam/train --tables camelyon16_40x/labels.csv

`infer` and `doctor` warn of slides that look unlike the patches (docs/quality.md). The highest activations are what
`infer` needs to compute in whole numbers of 8 bits. `tumor-detection train` writes both by itself. This command is for
weights that several trainings made, one after the other; it may be given again for the same ones.
Pictures of at most 96 px count as PatchCamelyon's, of 0.972 µm per pixel, and are enlarged as in training.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402

from scripts.errors import InputError  # noqa: E402
from scripts.files import read_json, write_json  # noqa: E402
from scripts.network.activations import measure_tops  # noqa: E402
from scripts.network.hashes import file_sha256  # noqa: E402
from scripts.network.modes import NETWORK_STRIDE  # noqa: E402
from scripts.network.network import load_weights  # noqa: E402
from scripts.network.purpose import read_purpose, sidecar_path  # noqa: E402
from scripts.quality.appearance import MEASURES  # noqa: E402
from scripts.training.looks import measure_pictures  # noqa: E402
from scripts.training.patch_images import PatchImageDataset, patch_datalist  # noqa: E402

_PCAM_MPP = 0.972


_NUM_INPUTS = 256
_BATCH = 32


def describe_weights(
    weights: Path, folders: list[str], tables: list[str], count: int, seed: int = 0
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Measure, and write into the weights' sidecar.

    Returns:
        The ranges, see `quality.appearance.measure_ranges`, and the highest activations, see
        `network.activations.measure_tops`.

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
    tops = measure_tops(_network(weights, min(purpose.patch_size)), _batches(dataset, seed))
    content = purpose._replace(appearance=ranges, activations=tops).content()
    write_json(sidecar_path(weights), {"sha256": file_sha256(weights), **content})
    return ranges, tops


def _network(weights: Path, patch_size: int) -> torch.nn.Module:
    """The network of inference.json, whose pooling fits the patch."""
    definition = read_json(ROOT / "bundle" / "configs" / "inference.json")["network_def"]
    definition["pool"][1]["kernel_size"] = patch_size // NETWORK_STRIDE
    network: torch.nn.Module = ConfigParser({"network": definition}).get_parsed_content("network")
    return load_weights(network, weights)


def _batches(dataset: PatchImageDataset, seed: int) -> Iterator[torch.Tensor]:
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:_NUM_INPUTS]
    for start in range(0, len(chosen), _BATCH):
        part = [torch.as_tensor(dataset[int(index)]["image"]).float() for index in chosen[start : start + _BATCH]]
        yield torch.stack(part) * (2 / 255) - 1


def main() -> None:
    """Measure, write, print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--folders", nargs="*", default=[], help="with subfolders 0 and 1 of patches")
    parser.add_argument("--tables", nargs="*", default=[], help="CSV files with the columns file and label")
    parser.add_argument("--count", type=int, default=2000, help="patches of each kind, enlarged or not")
    options = parser.parse_args()
    ranges, tops = describe_weights(options.weights, options.folders, options.tables, options.count)
    print(f"| {options.weights.name} | from | to |\n|---|---|---|")
    for key, (low, high) in ranges.items():
        print(f"| {MEASURES[key]} | {low:.2f} | {high:.2f} |")
    print("\n| ReLU | highest activation of each use |\n|---|---|")
    for name, values in tops.items():
        print(f"| {name} | {', '.join(f'{value:.2f}' for value in values)} |")


if __name__ == "__main__":
    main()
