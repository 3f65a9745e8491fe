"""What computes the network quickest: each runtime and precision of inference.json, without reading or writing.

    python benchmarks/runtimes.py ../shared/data/camelyon16_40x --markdown docs/benchmarks.md
    python benchmarks/runtimes.py ../shared/data/camelyon16_40x --device cuda

The shipped network on uint8 pixels that lie in memory: 64 real patches as one batch, as mode sliding does, and one tile
of 2016 px, a mosaic of them, as mode dense does; where a runtime computes several tiles side by side, it gets as many.
All take turns, round by round; the least time of each counts. On the tile a position is one every 64 px; the network
gives one every 32.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from comparison import STRIDE  # noqa: E402
from reference import shipped_network  # noqa: E402
from report import machine_line, markdown_table, publish  # noqa: E402
from slides import CELL, read_patches  # noqa: E402
from stopwatch import synchronize  # noqa: E402

from scripts.network.exported import OnnxNetwork  # noqa: E402
from scripts.network.forwards import DenseForward  # noqa: E402
from scripts.network.preprocessing import Scaling  # noqa: E402
from scripts.network.runtime import Runtime, make_runtime  # noqa: E402

PATCH, BATCH, TILE = 224, 64, 2016
SCALING = Scaling(2 / 255, -1.0)


def make_runtimes(device: torch.device, folder: Path) -> dict[tuple[str, str], Runtime]:
    """Runtimes by name and precision."""
    network = shipped_network().to(device).eval()
    names = [("torch", "float32"), ("torch", "bfloat16")]
    if device.type == "cpu":
        names += [("openvino", "float32"), ("openvino", "bfloat16"), ("openvino", "int8")]
    runtimes = {(name, precision): make_runtime(network, name, device, precision, SCALING) for name, precision in names}
    if device.type == "cpu":
        axes = {"image": {0: "n", 2: "h", 3: "w"}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch deprecates this exporter; MONAI's onnx_export takes it, too
            torch.onnx.export(
                network,
                (torch.zeros(2, 3, PATCH, PATCH),),
                folder / "model.onnx",
                input_names=["image"],
                dynamic_axes=axes,
                dynamo=False,
            )
        key = "onnxruntime", "float32"
        runtimes[key] = make_runtime(OnnxNetwork(folder / "model.onnx"), key[0], device, key[1], SCALING)
    return runtimes


def seconds_of(compute: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.monotonic()
    compute()
    synchronize()
    return time.monotonic() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, help="folder with patches.zip and labels.csv")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--markdown",
        type=Path,
        help="a page with a block 'runtimes cpu', 'runtimes cpu without AMX' or 'runtimes cuda'",
    )
    options = parser.parse_args()
    device, machine = torch.device(options.device), machine_line()
    print(machine)

    images = read_patches(options.patches).images
    cells = -(-TILE // CELL)
    margin = (CELL - PATCH) // 2
    batch = images[:BATCH, margin : margin + PATCH, margin : margin + PATCH]
    tile = images[: cells * cells].reshape(cells, cells, CELL, CELL, 3).transpose(0, 2, 1, 3, 4)
    tile = tile.reshape(1, cells * CELL, cells * CELL, 3)[:, :TILE, :TILE]
    inputs = [torch.from_numpy(np.ascontiguousarray(part)).permute(0, 3, 1, 2).to(device) for part in (batch, tile)]
    side = (TILE - PATCH) // STRIDE + 1
    counts = BATCH, side * side

    with tempfile.TemporaryDirectory() as folder:
        runtimes = make_runtimes(device, Path(folder))
        logits = {key: runtime(inputs[0]).flatten().float().cpu() for key, runtime in runtimes.items()}
        least = {key: [float("inf"), float("inf")] for key in runtimes}
        for _ in range(options.rounds + 1):  # the first is not told apart: the least counts
            for key, runtime in runtimes.items():
                count = runtime.num_streams
                together = DenseForward(runtime, PATCH).together
                seconds = (
                    seconds_of(lambda r=runtime: r(inputs[0])),  # type: ignore[misc]
                    seconds_of(lambda t=together, n=count: t([inputs[1][0]] * n)) / count,  # type: ignore[misc]
                )
                least[key] = [min(pair) for pair in zip(least[key], seconds, strict=True)]

    first = next(iter(runtimes))
    rows = []
    for key, seconds in least.items():
        rates = [count / value for count, value in zip(counts, seconds, strict=True)]
        ratios = [base / value for base, value in zip(least[first], seconds, strict=True)]
        cells_of_row = [f"{rate:.0f} ({ratio:.2f})" for rate, ratio in zip(rates, ratios, strict=True)]
        difference = float((logits[key] - logits[first]).abs().max())
        rows.append([*key, *cells_of_row, f"{difference:.1e}"])
    header = ["runtime", "precision", "sliding, positions/s (ratio)", "dense, positions/s (ratio)"]
    table = markdown_table([*header, "largest difference of logits"], rows)
    lacks_amx = device.type == "cpu" and not torch.cpu.get_capabilities().get("amx_bf16")
    publish(options.markdown, f"runtimes {device.type}{' without AMX' if lacks_amx else ''}", machine, table)


if __name__ == "__main__":
    main()
