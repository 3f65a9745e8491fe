"""What is lost where the network computes in whole numbers of 8 bits: both shipped files, against float32.

    python benchmarks/whole_numbers.py ../shared/data --folder pcam/valid --markdown docs/benchmarks.md

Patches are those of the folder (PatchCamelyon's, 0.972 µm per pixel), each on its own; for `model.pt` their middle is
enlarged four times. Tissue is contiguous: five tiles of CAMELYON17 and the strip with a metastasis that the bundle
carries, each computed at once, as in mode dense, with a logit every 32 pixels.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from monai.bundle import ConfigParser  # noqa: E402
from report import machine_line, markdown_table, publish  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402
from tissue_pieces import FACTOR, read_pieces  # noqa: E402

from scripts.network.network import prepare_network  # noqa: E402
from scripts.network.preprocessing import Scaling  # noqa: E402
from scripts.network.runtime import Runtime, make_runtime  # noqa: E402
from scripts.training.patch_images import PatchImageDataset, patch_datalist  # noqa: E402

CONFIGS, MODELS = ROOT / "bundle" / "configs", ROOT / "bundle" / "models"
CPU = torch.device("cpu")
BATCH = 32
SCALING = Scaling(2 / 255, -1.0)
FILES = {"model.pt": ["inference.json"], "model_10x.pt": ["inference.json", "screen_10x.json"]}
HEADER = ["weights", "data", "positions", "AUC, float32", "AUC, int8", "logits, mean distance"]
HEADER += ["probabilities, largest distance", "cross 0.5"]


def make_runtimes(name: str) -> tuple[Runtime, Runtime, int]:
    """A shipped file in float32 and in whole numbers, and the side of its patch."""
    config = ConfigParser(ConfigParser.load_config_files([str(CONFIGS / part) for part in FILES[name]]))
    side = int(config["patch_size"])
    network = prepare_network(config.get_parsed_content("network_def"), CPU, MODELS / name, config["mpp"], side).eval()
    exact, quick = (
        make_runtime(network, "openvino", CPU, precision, SCALING, side) for precision in ("float32", "int8")
    )
    return exact, quick, side


def patch_batches(folder: str, side: int) -> Iterator[tuple[torch.Tensor, npt.NDArray[np.bool_]]]:
    """(N, 3, side, side) uint8 and whether each is tumor."""
    dataset = PatchImageDataset(patch_datalist([folder], []), size=side, coarse_factor=FACTOR if side > 96 else 1)
    for start in range(0, len(dataset), BATCH):
        samples = [dataset[index] for index in range(start, min(start + BATCH, len(dataset)))]
        pixels = torch.stack([torch.as_tensor(sample["image"]) for sample in samples]).round().to(torch.uint8)
        yield pixels, np.array([float(sample["label"]) > 0.5 for sample in samples])


def tissue(data: Path, side: int) -> Iterator[torch.Tensor]:
    """(1, 3, h, w) uint8 of each piece, at the resolution of the patches."""
    for piece in read_pieces(data, ["tiles", "strip"]):
        image = Image.fromarray(piece.image)
        yield torch.from_numpy(np.array(image if side > 96 else image.reduce(FACTOR))).permute(2, 0, 1)[None]


def compare(exact: npt.NDArray[np.float32], quick: npt.NDArray[np.float32]) -> list[str]:
    """Cells on how logits differ."""
    probabilities = [1 / (1 + np.exp(-logits)) for logits in (exact, quick)]
    return [
        f"{np.abs(exact - quick).mean():.3f}",
        f"{np.abs(probabilities[0] - probabilities[1]).max():.3f}",
        f"{100 * ((exact > 0) != (quick > 0)).mean():.2f} %",
    ]


def rows_of(name: str, data: Path, folder: str) -> list[list[str]]:
    """The rows of one file of weights."""
    exact, quick, side = make_runtimes(name)
    batches = [(exact(pixels), quick(pixels), labels) for pixels, labels in patch_batches(folder, side)]
    first, second = (torch.cat([batch[index].flatten() for batch in batches]).numpy() for index in (0, 1))
    labels = np.concatenate([batch[2] for batch in batches])
    aucs = [f"{roc_auc_score(labels, logits):.4f}" for logits in (first, second)]
    rows = [[name, "patches", str(len(labels)), *aucs, *compare(first, second)]]
    parts = [(exact(pixels).flatten(), quick(pixels).flatten()) for pixels in tissue(data, side)]
    first, second = (torch.cat([part[index] for part in parts]).numpy() for index in (0, 1))
    return [*rows, [name, "tissue", str(len(first)), "", "", *compare(first, second)]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with camelyon17_40x")
    parser.add_argument("--folder", required=True, help="patches in folders 0 and 1")
    parser.add_argument("--weights", choices=FILES, nargs="+", default=list(FILES))
    parser.add_argument("--markdown", type=Path, help="a page with a block 'whole numbers'")
    options = parser.parse_args(arguments)
    machine = machine_line()
    rows = [row for name in options.weights for row in rows_of(name, options.data, options.folder)]
    publish(options.markdown, "whole numbers", machine, markdown_table(HEADER, rows))


if __name__ == "__main__":
    main()
