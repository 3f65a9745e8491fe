"""How long a training step's forward and backward pass takes on a CPU, with torch's convolutions and with ours.

    python benchmarks/convolutions.py --markdown docs/benchmarks.md

The network is that of ``train.json`` in bfloat16, random pixels stand for patches (synthetic). Both ways take turns.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bundle"))

from monai.networks.nets import TorchVisionFCModel
from report import machine_line, markdown_table, publish

from scripts.network.network import AutocastInferer, prepare_network
from scripts.training.convolutions import use_matmul

_STRIDE = 32
"""Pixels from one position of the network's last grid to the next."""


def make_network(patch_size: int, is_ours: bool) -> torch.nn.Module:
    """The network of ``train.json``, of random weights."""
    pool = ("avg", {"kernel_size": patch_size // _STRIDE, "stride": 1})
    network = TorchVisionFCModel("resnet18", num_classes=1, use_conv=True, pool=pool, pretrained=False)
    prepare_network(network, torch.device("cpu"))
    if is_ours:
        use_matmul(network)
    return network.train()


def measure(network: torch.nn.Module, pixels: torch.Tensor) -> float:
    """Seconds of one forward and backward pass."""
    network.zero_grad()
    started = time.monotonic()
    AutocastInferer()(pixels, network).square().mean().backward()
    return time.monotonic() - started


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 224], help="sides of a patch in pixels")
    parser.add_argument("--pixels", type=int, default=256 * 96**2, help="pixels of a batch, about")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--markdown", type=Path, help="page whose block is written anew")
    options = parser.parse_args(arguments)
    machine = machine_line()
    rows = []
    for size in options.sizes:
        count = max(8, options.pixels // size**2)
        pixels = torch.randn(count, 3, size, size)
        networks = [make_network(size, is_ours) for is_ours in (False, True)]
        times = np.array([[measure(network, pixels) for network in networks] for _ in range(options.repeats + 1)])[1:]
        torchs, ours = np.median(times, axis=0)
        ratios = times[:, 0] / times[:, 1]
        rows.append(
            [
                f"{size} px",
                str(count),
                f"{count / torchs:.0f}",
                f"{count / ours:.0f}",
                f"{torchs / ours:.2f} ({ratios.min():.2f} to {ratios.max():.2f})",
            ]
        )
        print(", ".join(rows[-1]), flush=True)
    header = ["patches", "in a batch", "torch's, patches/s", "ours, patches/s", "times as fast (single rounds)"]
    publish(options.markdown, "convolutions", machine, markdown_table(header, rows))


if __name__ == "__main__":
    main()
