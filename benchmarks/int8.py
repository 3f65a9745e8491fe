"""Would 8-bit integers pay? The network quantized after training by NNCF, against float32 and bfloat16, on a CPU.

    pip install nncf==3.4.0
    python benchmarks/int8.py ../shared/data/camelyon16_40x --markdown docs/benchmarks.md

All three are the same network in OpenVINO. It is calibrated on 300 patches of the split's training part, and judged on
the part kept back (`split_table.py`): on each patch on its own, and on mosaics of these patches in mode dense.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))
# Python refuses to import a module that is None there; OpenVINO and NNCF then report nothing to their makers.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

from comparison import COMPARED, NMS_RADIUS, STRIDE, compare  # noqa: E402
from reference import shipped_network  # noqa: E402
from report import command_line, machine_line, markdown_table, replace_block  # noqa: E402
from slides import CELL, Patches, read_patches  # noqa: E402
from split_table import split_rows  # noqa: E402

from scripts.scoring.roc import roc_auc  # noqa: E402

PATCH, BATCH, TILE = 224, 64, 2016
NUM_CALIBRATION, NUM_TILES = 300, 8
Pixels = npt.NDArray[np.float32]


def normalized(images: npt.NDArray[np.uint8]) -> Pixels:
    """(N, h, w, 3) uint8 to (N, 3, h, w) float32 from -1 to 1."""
    scaled = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(scaled)


def convert_network() -> Any:
    """The shipped network as an OpenVINO model of any number and size of images."""
    import openvino

    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # torch deprecates the tracing that OpenVINO does
        return openvino.convert_model(shipped_network(), example_input=torch.zeros((2, 3, PATCH, PATCH)))


def make_models(calibration: Pixels) -> dict[str, Any]:
    """Compiled models by name."""
    import nncf
    import openvino

    core = openvino.Core()
    network = convert_network()
    dataset = nncf.Dataset([patch[None] for patch in calibration])
    quantized = nncf.quantize(network, dataset, preset=nncf.QuantizationPreset.MIXED, subset_size=len(calibration))
    options = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    return {
        name: core.compile_model(model, "CPU", {**options, "INFERENCE_PRECISION_HINT": hint})
        for name, model, hint in (
            ("float32", network, "f32"),
            ("bfloat16", network, "bf16"),
            ("int8", quantized, "bf16"),
        )
    }


def patch_logits(model: Any, patches: Pixels) -> npt.NDArray[np.float64]:
    """(N,) logits of patches, in batches."""
    found = [model(patches[start : start + BATCH])[0].ravel() for start in range(0, len(patches), BATCH)]
    return np.concatenate(found).astype(np.float64)


def dense_map(model: Any, tile: Pixels) -> npt.NDArray[np.float64]:
    """(rows, cols) probabilities of a (1, 3, h, w) tile, every 64 pixels; the network gives one every 32."""
    logits = model(tile)[0][0, 0, :: STRIDE // 32, :: STRIDE // 32].astype(np.float64)
    return np.asarray(1 / (1 + np.exp(-logits)))


def mosaic_tiles(images: npt.NDArray[np.uint8], rng: np.random.Generator) -> list[Pixels]:
    """Tiles of (1, 3, 2016, 2016), each a mosaic of whole patches."""
    cells = -(-TILE // CELL)
    tiles = []
    for _ in range(NUM_TILES):
        chosen = images[rng.integers(len(images), size=(cells, cells))]
        image = chosen.transpose(0, 2, 1, 3, 4).reshape(cells * CELL, cells * CELL, 3)
        tiles.append(normalized(image[None, :TILE, :TILE]))
    return tiles


def stack(maps: list[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """One map of several, with NaN between them, too far apart for a detection to suppress another's."""
    gap = ((0, NMS_RADIUS), (0, 0))
    return np.concatenate([np.pad(prob_map, gap, constant_values=np.nan) for prob_map in maps])


def read_split(folder: Path) -> tuple[Patches, npt.NDArray[np.bool_]]:
    """All patches, and which of them were kept back."""
    patches = read_patches(folder)
    with open(folder / "labels.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept_back = {row["file"] for row in split_rows(rows)["valid.csv"]}
    return patches, np.array([row["file"] in kept_back for row in rows])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, help="folder with patches.zip and labels.csv")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="a page with a block 'int8'")
    options = parser.parse_args()
    for name in ("nncf", "openvino"):
        if importlib.util.find_spec(name) is None:
            sys.exit(f"error: {name} is not installed; see the head of {Path(__file__).name}")
    machine = machine_line()
    print(machine)

    patches, is_kept_back = read_split(options.patches)
    rng = np.random.default_rng(0)
    margin = (CELL - PATCH) // 2
    pixels = normalized(patches.images[:, margin : margin + PATCH, margin : margin + PATCH])
    models = make_models(pixels[rng.permutation(np.flatnonzero(~is_kept_back))[:NUM_CALIBRATION]])
    kept_back, labels = pixels[is_kept_back], patches.is_tumor[is_kept_back]
    tiles = mosaic_tiles(patches.images[is_kept_back], rng)
    logits = {name: patch_logits(model, kept_back) for name, model in models.items()}
    maps = {name: stack([dense_map(model, tile) for tile in tiles]) for name, model in models.items()}

    sliding = {name: float("inf") for name in models}
    dense = dict(sliding)
    for _ in range(options.rounds):
        for name, model in models.items():
            started = time.monotonic()
            patch_logits(model, kept_back[: 2 * BATCH])
            sliding[name] = min(sliding[name], time.monotonic() - started)
            started = time.monotonic()
            dense_map(model, tiles[0])
            dense[name] = min(dense[name], time.monotonic() - started)

    num_dense = np.isfinite(maps["float32"]).sum() / NUM_TILES
    speed, agreement = [], []
    for name, found in logits.items():
        rates = 2 * BATCH / sliding[name], num_dense / dense[name]
        plain = 2 * BATCH / sliding["bfloat16"], num_dense / dense["bfloat16"]
        ratios = [f"{rate:.0f} ({rate / other:.2f})" for rate, other in zip(rates, plain, strict=True)]
        speed.append([name, *ratios, f"{roc_auc(found, labels)[0]:.4f}"])
        correlation = np.corrcoef(found, logits["float32"])[0, 1]
        crossings = ((found > 0) != (logits["float32"] > 0)).mean()
        cells = compare(maps[name], maps["float32"], np.isfinite(maps[name]))
        agreement.append([name, f"{correlation:.5f}", f"{100 * crossings:.2f} %", *cells])
    rate_header = "positions/s (over bfloat16)"
    tables = [
        markdown_table(["arithmetic", f"sliding, {rate_header}", f"dense, {rate_header}", "AUC on patches"], speed),
        markdown_table(
            [
                "against float32",
                "patches: correlation of logits",
                "patches: cross 0.5",
                *(f"dense: {it}" for it in COMPARED),
            ],
            agreement,
        ),
    ]
    note = f"{len(labels)} patches kept back, {labels.sum()} tumor; {NUM_TILES} mosaics of {TILE} x {TILE} px of them."
    print("\n" + "\n\n".join([note, *tables]))
    if options.markdown is not None:
        content = "\n\n".join([f"```\n{command_line()}\n```", machine, note, *tables])
        replace_block(options.markdown, "int8", content)


if __name__ == "__main__":
    main()
