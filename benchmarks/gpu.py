"""What bounds inference on a GPU: mode dense end to end, and each part of it alone.

    python benchmarks/gpu.py ../shared/data/camelyon16_40x --markdown docs/benchmarks.md
    python benchmarks/gpu.py ../shared/data/camelyon16_40x --device cpu --shape 1700 1900 --tissue 0.4 --rounds 0

The slide is a mosaic of real patches, a fifth of it tissue. Its tiles are then in memory, so that each part runs on
its own: the readers, the copies to the device, and the network. Rounds end when the time is used up.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from inference import Pipeline  # noqa: E402
from report import machine_line, markdown_table, publish  # noqa: E402
from slides import make_layout, read_patches, write_mosaic  # noqa: E402
from stopwatch import synchronize  # noqa: E402

from scripts.errors import counted  # noqa: E402
from scripts.network.forwards import gather_patches  # noqa: E402

TUMOR, STRIDE, SIDE = 0.05, 64, 224
SLIDE_GPX = 100_000 * 100_000 * 0.2 / 1e9
"""Tissue of a slide of 100,000 x 100,000 pixels, a fifth of which is tissue."""
BATCH_SIZES = (64, 256, 1024)


def seconds_of(run: Callable[[], Any]) -> float:
    """Wall time, until the device is done."""
    synchronize()
    started = time.monotonic()
    run()
    synchronize()
    return time.monotonic() - started


class Parts:
    """Mode dense on a slide, and its parts.

    Args:
        slide: the slide.
        device: where the network runs.
        ids: of inference.json.
    """

    def __init__(self, slide: Path, device: str, ids: dict[str, Any]) -> None:
        self.slide = slide
        self.device = torch.device(device)
        shared = {"device": f"$torch.device({device!r})", "mode": "dense", "stride": STRIDE, "slides": str(slide)}
        self.pipeline = Pipeline({**shared, **ids})
        config = self.pipeline._config({})
        dataset, self.prepare = (
            config.get_parsed_content("dataset"),
            config.get_parsed_content("evaluator").prepare_batch,
        )
        self.num_readers = config.get_parsed_content("num_workers")
        self.samples = [dataset[tile] for tile in config.get_parsed_content("sampler")]
        if self.device.type == "cuda":
            self.samples = [{**sample, "image": sample["image"].pin_memory()} for sample in self.samples]
        self.together = config.get_parsed_content("dataloader").feed.most_together
        self.gpx = sum(sample["image"][0, 0].numel() for sample in self.samples) / 1e9
        self.first = 0.0

    def read(self) -> None:
        """Read all tiles, as a run does, and note when the first came."""
        started, self.first = time.monotonic(), 0.0
        for _ in self.pipeline._config({}).get_parsed_content("dataloader"):
            self.first = self.first or time.monotonic() - started

    def copy(self) -> None:
        """Bring all tiles to the device."""
        for sample in self.samples:
            self.prepare(sample, self.device, non_blocking=True)

    def compute(self) -> None:
        """Run the inferer on tiles that are on the device, as many together as in a run."""
        self._compute(self.together)

    def compute_singly(self) -> None:
        """Run the inferer on one tile after the other."""
        self._compute(1)

    def _compute(self, together: int) -> None:
        tiles = self._prepared()
        for start in range(0, len(tiles), together):
            images, keywords = zip(*tiles[start : start + together], strict=True)
            shared = {**keywords[0], "tile": [one["tile"] for one in keywords]}
            self.pipeline.inferer(list(images), self.pipeline.network, **shared)
        self.pipeline.inferer.report(str(self.slide))

    def _prepared(self) -> list[tuple[torch.Tensor, dict[str, Any]]]:
        if not hasattr(self, "_on_device"):
            found = [self.prepare(sample, self.device) for sample in self.samples]
            self._on_device = [(image, keywords) for image, _, _, keywords in found]
        return self._on_device


def dense_table(parts: Parts, rounds: int, deadline: float) -> str:
    """All parts in turn; medians. The first round, which compiles, is left out if there is another."""
    steps = ["read", "copy", "compute"] + ["compute_singly"] * (parts.together > 1)
    found: dict[str, list[float]] = {name: [] for name in ("first", *steps, "end to end")}
    utilization: list[float] = []
    for number in range(rounds + 1):
        if number > 1 and time.monotonic() > deadline:
            print(f"the time is used up after {number - 1} rounds")
            break
        run = parts.pipeline.run(parts.slide, None)
        times = {name: seconds_of(getattr(parts, name)) for name in steps}
        times |= {"first": parts.first, "end to end": run.seconds}
        print({name: round(value, 3) for name, value in times.items()}, f"utilization {run.utilization}", flush=True)
        if number or not rounds:
            for name, value in times.items():
                found[name].append(value)
            utilization += [] if run.utilization is None else [run.utilization]
    middle = {name: median(values) for name, values in found.items()}
    whole, alone = middle["end to end"], {name: middle[name] for name in ("read", "copy", "compute")}
    longest = max(alone, key=lambda name: alone[name])
    names = {
        "first": f"until the first of {parts.num_readers} readers gave a tile",
        "read": "readers alone",
        "copy": "copies to the device alone",
        "compute": f"the network alone, {counted(parts.together, 'tile')} at a time",
        "compute_singly": "the network alone, one tile at a time",
        "end to end": "dense, end to end",
    }
    rows = []
    for name, value in middle.items():
        rate = "" if name == "first" else f"{parts.gpx / value:.3f}"
        rows.append([names[name], f"{value:.3f}", rate, f"{whole / value:.2f}"])
    once_started = whole - middle["first"]
    facts = [
        ["end to end over the network alone", f"{whole / middle['compute']:.2f}", ""],
        ["the same without the wait for the first tile", f"{once_started / middle['compute']:.2f}", "at most 1.2"],
        ["Gpx/s once started", f"{parts.gpx / once_started:.3f}", "at least 1"],
        ["a slide of 100,000 x 100,000 px, 20% tissue, at that rate, s",
         f"{middle['first'] + once_started * SLIDE_GPX / parts.gpx:.1f}", "below 5"],
        ["utilization of the GPU", f"{median(utilization):.0f} %" if utilization else "no GPU", ""],
        ["takes longest alone", names[longest], ""],
        ["the rest, which nothing of that explains, s", f"{max(0.0, once_started - alone[longest]):.3f}", ""],
    ]  # fmt: skip
    header = [f"{len(parts.samples)} tiles, {parts.gpx:.3f} Gpx", "seconds", "Gpx/s", "end to end over it"]
    return markdown_table(header, rows) + "\n\n" + markdown_table(["what", "found", "wanted"], facts)


def sliding_table(parts: Parts, repeats: int) -> str:
    """Patches per second by batch size, and how long it takes to cut them one by one and at once."""
    image = max((image for image, _ in parts._prepared()), key=lambda image: image.numel())[0]
    image = image[None].contiguous(memory_format=torch.channels_last)[0]
    runtime, patches = parts.pipeline.inferer._dense.runtime, parts.pipeline.inferer._patches
    rows = []
    for count in BATCH_SIZES if parts.device.type == "cuda" else BATCH_SIZES[:1]:
        high = np.array(image.shape[1:]) - SIDE + 1
        corners = np.random.default_rng(0).integers(0, high, (count, 2))
        places = torch.from_numpy(corners).to(image.device)
        batch = gather_patches(image, places, SIDE)

        def singly(corners: Any = corners, batch: torch.Tensor = batch) -> None:
            for patch, (row, col) in zip(batch, corners.tolist(), strict=True):
                patch.copy_(image[:, row : row + SIDE, col : col + SIDE])

        ways = {
            "singly": singly,
            "at once": lambda places=places: gather_patches(image, places, SIDE),
            "network": lambda batch=batch: runtime(batch),
        }
        times = {name: min(seconds_of(run) for _ in range(repeats)) for name, run in ways.items()}
        cut = [f"{1000 * times[name]:.2f}" for name in ("singly", "at once")]
        rows.append([str(count), *cut, f"{1000 * times['network']:.1f}", f"{count / times['network']:.0f}"])
    header = ["patches at a time", "cut singly, ms", "cut at once, ms", "network, ms", "patches/s"]
    chosen = [["`batch_size` that `auto` chose", str(patches.batch_size)]]
    return markdown_table(header, rows) + "\n\n" + markdown_table(["what", "found"], chosen)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, help="folder with patches.zip and labels.csv")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--shape", type=int, nargs=2, default=(50_000, 50_000), help="of the slide, in pixels")
    parser.add_argument("--tissue", type=float, default=0.2, help="share of the slide that is tissue")
    parser.add_argument("--rounds", type=int, default=5, help="after a first one; 0 counts the first")
    parser.add_argument("--repeats", type=int, default=5, help="of the network on patches; the least time counts")
    parser.add_argument("--budget", type=float, default=300.0, help="seconds after which no round begins")
    parser.add_argument("--num_workers", type=int, help="reading processes; as inference.json counts if not given")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'gpu'")
    options = parser.parse_args(arguments)
    machine = machine_line()
    print(machine)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        patches = read_patches(options.patches)
        layout = make_layout(tuple(options.shape), patches.is_tumor, options.tissue, TUMOR, num_blobs=3, seed=0)
        slide = Path(folder) / "mosaic.tif"
        write_mosaic(slide, patches.images, layout, tuple(options.shape))
        print(f"slide written after {time.monotonic() - started:.0f} s", flush=True)
        ids = {} if options.num_workers is None else {"num_workers": options.num_workers}
        parts = Parts(slide, options.device, ids)
        with torch.no_grad():
            dense = dense_table(parts, options.rounds, started + options.budget)
            tables = [dense, sliding_table(parts, options.repeats)]
    publish(options.markdown, "gpu", machine, *tables)


if __name__ == "__main__":
    main()
