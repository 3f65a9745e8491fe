"""Speed of training data: the published pipeline and ours, on one slide, and what waiting for data costs a training.

    python benchmarks/training.py ../shared/data/camelyon16_40x --markdown docs/benchmarks.md

The first table is of one thread each: read regions of 768 px with nine labels, make augmented patches of them. The
published pipeline is MONAI's PatchWSIDataset with cuCIM and the transforms of the published bundle's train.json; ours
is train.json, whose random changes are made on whole batches. Both go over the same regions in the same order, in
rounds; the least of the rounds counts, in CPU time, which other processes disturb less than wall time. The second table
runs train.json itself on all cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import PatchWSIDataset
from monai.transforms import (
    CastToTyped,
    Compose,
    GridSplitd,
    RandFlipd,
    RandRotate90d,
    RandZoomd,
    ScaleIntensityRanged,
    ToNumpyd,
    TorchVisiond,
    ToTensord,
)
from monai.utils import set_determinism

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import machine_line, markdown_table, publish  # noqa: E402
from slides import BACKGROUND, CELL, make_layout, read_patches, write_mosaic  # noqa: E402
from stopwatch import Stopwatch  # noqa: E402

from scripts.slides.cucim_backend import import_cucim  # noqa: E402

SHAPE, TISSUE, TUMOR = (9728, 11776), 0.7, 0.05
REGION, PATCHES = 768, 9
Rows = list[dict[str, Any]]


def published_transforms(deterministic_only: bool = False) -> Compose:
    """The transforms of the published bundle's train.json (0.6.2), in its order and with its settings."""
    split = GridSplitd(keys=["image", "label"], grid=(3, 3), size={"image": (224, 224), "label": 1})
    scale = ScaleIntensityRanged(keys="image", a_min=0.0, a_max=255.0, b_min=-1.0, b_max=1.0)
    tensors = ToTensord(keys=["image", "label"])
    if deterministic_only:
        return Compose([split, tensors])
    return Compose(
        [
            split,
            ToTensord(keys="image"),
            TorchVisiond(keys="image", name="ColorJitter", brightness=0.25, contrast=0.75, saturation=0.25, hue=0.04),
            ToNumpyd(keys="image"),
            RandFlipd(keys="image", prob=0.5),
            RandRotate90d(keys="image", prob=0.5, max_k=3, spatial_axes=(-2, -1)),
            CastToTyped(keys="image", dtype="float32"),
            RandZoomd(keys="image", prob=0.5, min_zoom=0.9, max_zoom=1.1),
            scale,
            tensors,
        ]
    )


def make_rows(layout: np.ndarray[Any, Any], is_tumor: np.ndarray[Any, Any], slide: Path, count: int) -> Rows:
    """Random regions whose nine cells are tissue: what `labels.loclabel.loclabel_datalist` gives."""
    tissue = layout != BACKGROUND
    whole = np.lib.stride_tricks.sliding_window_view(tissue, (3, 3)).all(axis=(2, 3))
    corners = np.argwhere(whole)
    chosen = corners[np.random.default_rng(0).integers(len(corners), size=count)]
    rows = []
    for row, col in chosen.tolist():
        label = is_tumor[layout[row : row + 3, col : col + 3]].astype(np.float32)[None]
        center = (int((row + 1.5) * CELL), int((col + 1.5) * CELL))
        rows.append({"image": str(slide), "location": center, "label": label})
    return rows


def train_config(rows: Rows, overrides: dict[str, Any]) -> ConfigParser:
    """train.json on the given rows."""
    config = ConfigParser()
    config.read_config(ROOT / "bundle" / "configs" / "train.json")
    config.update({"train#datalist": rows, "validate#datalist": rows[:8], **overrides})
    return config


def published(rows: Rows, deterministic_only: bool) -> Callable[[], int]:
    """Make the published pipeline.

    Returns:
        Goes over all regions and returns the number of patches.
    """
    dataset = PatchWSIDataset(
        data=[dict(row) for row in rows],
        patch_size=(REGION, REGION),
        patch_level=0,
        reader="cuCIM",
        transform=published_transforms(deterministic_only),
    )
    return lambda: sum(len(dataset[index]) for index in range(len(dataset)))


def ours(rows: Rows, augment: str) -> Callable[[], int]:
    """Make train.json's pipeline.

    Args:
        rows: regions.
        augment: ``none`` reads and splits only, ``color`` is train.json's, ``stain`` train_patches.json's changes.

    Returns:
        Goes over all regions and returns the number of patches.
    """
    config = train_config(rows, {"num_workers": 0, "device": "$torch.device('cpu')"})
    if augment == "stain":
        overlay = ConfigParser.load_config_file(ROOT / "bundle" / "configs" / "train_patches.json")
        config.update({"train#augmentation": overlay["train#augmentation"]})
    prepare = config.get_parsed_content("train#prepare_batch") if augment != "none" else None
    loader = config.get_parsed_content("train#dataloader")

    def run() -> int:
        count = 0
        for batch in loader:
            patches = batch["image"] if prepare is None else prepare(batch, torch.device("cpu"))[0]
            count += len(patches)
        return count

    return run


PIPELINES: dict[str, tuple[Callable[[Rows], Callable[[], int]], float | None]] = {
    "published: read and split": (lambda rows: published(rows, True), None),
    "published: with its transforms": (lambda rows: published(rows, False), None),
    "ours: read and split": (lambda rows: ours(rows, "none"), None),
    "ours: with train.json's augmentation": (lambda rows: ours(rows, "color"), 5.0),
    "ours: with train_patches.json's, stains too": (lambda rows: ours(rows, "stain"), None),
}


def pipeline_table(rows: Rows, rounds: int) -> str:
    """Rates of one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {name: [] for name in PIPELINES}
    runs = {name: make(rows) for name, (make, _wanted) in PIPELINES.items()}
    for _ in range(rounds):
        for name, run in runs.items():
            set_determinism(seed=0)
            started = time.process_time()
            count = run()
            seconds[name].append(time.process_time() - started)
            if count != PATCHES * len(rows):
                raise AssertionError(f"{name}: {count} patches of {len(rows)} regions")
            print(f"{name}: {count} patches in {seconds[name][-1]:.2f} s", flush=True)
    torch.set_num_threads(threads)
    reference = min(seconds["published: with its transforms"])
    table = []
    for name, (_make, wanted) in PIPELINES.items():
        least = min(seconds[name])
        table.append(
            [
                name,
                f"{1000 * least / len(rows):.1f}",
                f"{PATCHES * len(rows) / least:.0f}",
                f"{reference / least:.2f}",
                "" if wanted is None else f"at least {wanted:g}",
            ]
        )
    return markdown_table(["one thread", "CPU ms per region", "patches per CPU second", "ratio", "wanted"], table)


def training_table(rows: Rows, device: str, batch_size: int, num_workers: int, skipped: int = 2) -> str:
    """Run train.json for an epoch without validation and tell what it waited for."""
    with tempfile.TemporaryDirectory() as folder:
        overrides = {
            "output_dir": folder,
            "epochs": 1,
            "val_interval": 2,
            "batch_size": batch_size,
            "num_workers": num_workers,
            "device": f"$torch.device({device!r})",
        }
        trainer = train_config(rows, overrides).get_parsed_content("train#trainer")
        watch = Stopwatch(skipped)
        watch.attach(trainer)
        trainer.run()
    steps, seconds, waited = watch.result()
    row = [
        f"train.json on {device}, {num_workers} workers, {batch_size} regions a step",
        str(steps),
        f"{PATCHES * batch_size * steps / seconds:.1f}",
        f"{100 * waited / seconds:.1f} %",
        "below 10 %",
    ]
    return markdown_table(["training", "steps", "patches/s", "waited for data", "wanted"], [row])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, help="folder with patches.zip and labels.csv")
    parser.add_argument("--regions", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=1, help="how often the training takes each region")
    parser.add_argument("--batch_size", type=int, default=8, help="regions a step of the training")
    parser.add_argument("--num_workers", type=int, default=1, help="of the training")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="of the training")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'training cpu' or 'training cuda'")
    options = parser.parse_args(arguments)
    import_cucim()
    machine = machine_line()
    print(machine)
    with tempfile.TemporaryDirectory() as folder:
        patches = read_patches(options.patches)
        layout = make_layout(SHAPE, patches.is_tumor, TISSUE, TUMOR, num_blobs=3, seed=0)
        slide = Path(folder) / "mosaic.tif"
        write_mosaic(slide, patches.images, layout, SHAPE)
        rows = make_rows(layout, patches.is_tumor, slide, options.regions)
        tables = [
            pipeline_table(rows, options.rounds),
            training_table(rows * options.repeats, options.device, options.batch_size, options.num_workers),
        ]
    publish(options.markdown, f"training {torch.device(options.device).type}", machine, *tables)


if __name__ == "__main__":
    main()
