"""Speed of training on patch pictures, by train_patches.json alone (224 px) and with train_10x.json (96 px).

    python benchmarks/training_pictures.py pcam/valid --markdown docs/benchmarks.md

Real patches, kept decoded on the device (``--cache``), as the shipped weights were trained, for one epoch without
validation; its first steps are left out. Each training runs twice: once it waits for the device after each step, which
tells how much of a step goes to data, and once it does not, which gives the rate and the GPU's utilization.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.utils import set_determinism

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, markdown_table, publish  # noqa: E402
from stopwatch import Stopwatch, timed  # noqa: E402

CONFIGS = {
    "train_patches.json, 224 px": ["train_patches.json"],
    "with train_10x.json, 96 px": ["train_patches.json", "train_10x.json"],
}


def make_config(names: list[str], overrides: dict[str, Any]) -> ConfigParser:
    """train.json under overlays, for one epoch without validation."""
    config = ConfigParser()
    config.read_config([str(ROOT / "bundle" / "configs" / name) for name in ("train.json", *names)])
    config.update({"epochs": 1, "validate#evaluator": None, **overrides})
    return config


def measure(names: list[str], skipped: int, overrides: dict[str, Any]) -> tuple[float, float, float | None]:
    """Patches per second, share of a step that is waited for data, and the GPU's mean utilization in per cent."""
    shares, rate, utilization = [], 0.0, None
    overrides = {**overrides, "train#dataset": make_config(names, overrides).get_parsed_content("train#dataset")}
    for waits in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            set_determinism(seed=0)
            trainer = make_config(names, {**overrides, "output_dir": folder}).get_parsed_content("train#trainer")
            watch = Stopwatch(skipped, waits)
            watch.attach(trainer)
            with timed() as result:
                trainer.run()
        steps, seconds, waited = watch.result()
        shares.append(waited / seconds)
        rate, utilization = overrides["batch_size"] * steps / seconds, result["utilization"]
    return rate, shares[0], utilization


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="PatchCamelyon patches, in subfolders 0 and 1")
    parser.add_argument("--repeats", type=int, default=1, help="how often the patches are listed in the epoch")
    parser.add_argument("--limit", type=int, help="a random choice of so many")
    parser.add_argument("--batch_size", type=int, default=256)
    parser.add_argument("--skipped", type=int, default=4, help="first steps that are left out")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'training pictures cpu' or '... cuda'")
    options = parser.parse_args(arguments)
    machine = machine_line()
    print(machine)
    rows = []
    for name, names in CONFIGS.items():
        overrides = {
            "train_folders": [options.folder] * options.repeats,
            "train_limit": options.limit,
            "batch_size": options.batch_size,
            "cache": options.device,
            "device": f"$torch.device({options.device!r})",
        }
        rate, share, utilization = measure(names, options.skipped, overrides)
        told = "" if utilization is None else f"{utilization:.0f} %"
        rows.append([name, f"{rate:,.0f}", f"{100 * share:.1f} %", told])
        print(rows[-1], flush=True)
    table = markdown_table(["training", "patches/s", "waited for data", "GPU"], rows)
    publish(options.markdown, f"training pictures {torch.device(options.device).type}", machine, table)


if __name__ == "__main__":
    main()
