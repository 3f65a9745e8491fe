"""Speed and agreement of inference against the reference, on one mosaic of real patches and the shipped weights.

    python benchmarks/inference.py ../shared/data/camelyon16_40x --markdown docs/benchmarks.md
    python benchmarks/inference.py ../shared/data/camelyon16_40x --tissue ../shared/data --markdown docs/benchmarks.md
    python benchmarks/inference.py --slide slide.tif

With --tissue the slide is laid out with contiguous pieces of normal tissue, and one square of it with tumor patches.
Everything is measured in one run, in rounds of one run each; the least of the rounds counts. The first round has, of
our modes, the time to compile the network in it, and is told apart. The reference and mode sliding run on a part of the
slide (the same positions), the quick modes on all of it; rates are positions per second of wall time, from the start
of the loader's processes to the map on disk. Last, mode dense is timed in turn with the network alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from monai.bundle import ConfigParser
from scipy.ndimage import uniform_filter

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from comparison import COMPARED, STRIDE, compare  # noqa: E402
from large_slide import cut, lay_out  # noqa: E402
from reference import Reference, shipped_network  # noqa: E402
from report import machine_line, markdown_table, publish  # noqa: E402
from slides import BACKGROUND, CELL, MPP, Patches, make_layout, read_patches, write_mosaic  # noqa: E402
from stopwatch import synchronize, timed  # noqa: E402
from tissue_pieces import read_pieces  # noqa: E402

from scripts.masks.files import write_mask  # noqa: E402
from scripts.slides.slide import open_slide  # noqa: E402

TISSUE, TUMOR = 0.7, 0.05
REFERENCE = "reference: MONAI, float32"
HALF = "dense, half the tissue"


class Variant(NamedTuple):
    """A way to run inference.json.

    Attributes:
        overrides: of its ids.
        on_part: whether it runs on the positions of the reference only.
        least: how many times the reference's rate it shall reach, on each of `KINDS` of machine, or None.
    """

    overrides: dict[str, Any]
    on_part: bool
    least: tuple[float | None, float | None, float | None]


VARIANTS = {
    "sliding, float32": Variant({"mode": "sliding", "precision": "float32"}, True, (2.2, 2.2, 2.2)),
    "sliding": Variant({"mode": "sliding"}, True, (None, 4.2, 4.2)),
    "dense": Variant({"mode": "dense"}, False, (22, 80, 40)),
    "refined": Variant({"mode": "refined"}, False, (8, 20, 20)),
    "cascade": Variant({"mode": "cascade"}, False, (100, 300, None)),
}
KINDS = ("cpu without AMX", "cpu", "cuda", "cpu with AVX2")
HIDES = "ONEDNN_MAX_CPU_ISA"
"""With AVX2 this environment variable hides newer parts of a processor from PyTorch and OpenVINO alike."""


class Run(NamedTuple):
    """What came of one run.

    Attributes:
        seconds: wall time.
        num_positions: map pixels computed.
        prob_map: (rows, cols) floating.
        sidecar: what stands beside the map; empty for the reference.
        utilization: mean per cent of the GPU, or None.
    """

    seconds: float
    num_positions: int
    prob_map: npt.NDArray[np.floating[Any]]
    sidecar: dict[str, Any]
    utilization: float | None


class Pipeline:
    """inference.json with overrides; the network stays compiled from one run to the next.

    Args:
        overrides: ids and their values.
    """

    def __init__(self, overrides: dict[str, Any]) -> None:
        self.overrides = overrides
        config = self._config({})
        self.network = config.get_parsed_content("network").eval()
        self.inferer = config.get_parsed_content("inferer")

    def run(self, slide: Path, foreground_dir: Path | None) -> Run:
        """Run on one slide, as ``tumor-detection infer`` does."""
        with tempfile.TemporaryDirectory() as folder:
            config = self._config(_slide_ids(slide, foreground_dir) | {"output_dir": folder})
            evaluator = config.get_parsed_content("evaluator")
            evaluator.network, evaluator.inferer = self.network, self.inferer
            config.get_parsed_content("probability_maps").inferer = self.inferer  # which notes what it did
            with timed() as result:
                evaluator.run()
                synchronize()
            config.get_parsed_content("probability_maps").finish()
            sidecar = json.loads((Path(folder) / f"{slide.stem}.json").read_text(encoding="utf-8"))
            prob_map = np.load(Path(folder) / f"{slide.stem}.npy")
        return Run(result["seconds"], sidecar["num_positions"], prob_map, sidecar, result["utilization"])

    def network_seconds(self, slide: Path, foreground_dir: Path | None) -> float:
        """Time the inferer alone, on the tiles of a slide, which lie in memory normalized."""
        config = self._config(_slide_ids(slide, foreground_dir))
        prepare = config.get_parsed_content("evaluator").prepare_batch
        samples = list(config.get_parsed_content("dataloader"))
        device = next(self.network.parameters()).device
        seconds = 0.0
        with torch.no_grad():
            for sample in samples:
                image, _, _, keywords = prepare(sample, device)
                synchronize()
                started = time.monotonic()
                self.inferer(image, self.network, **keywords)
                synchronize()
                seconds += time.monotonic() - started
        self.inferer.report(str(slide))  # what it noted of the slide; the next run starts anew
        return seconds

    def _config(self, overrides: dict[str, Any]) -> ConfigParser:
        config = ConfigParser()
        config.read_config(ROOT / "bundle" / "configs" / "inference.json")
        config.update(self.overrides | overrides)
        return config


def _slide_ids(slide: Path, foreground_dir: Path | None) -> dict[str, Any]:
    return {"slides": str(slide), "foreground_dir": None if foreground_dir is None else str(foreground_dir)}


def make_slides(patches: Patches, shape: tuple[int, int], folder: Path) -> tuple[Path, Path, tuple[float, float]]:
    """Write ``mosaic.tif`` and ``half.tif``, of which half as much is tissue.

    Returns:
        Both, and where most tumor is on the mosaic, (row, col) on the map.
    """
    for name, share in (("half.tif", 0.5), ("mosaic.tif", 1.0)):
        layout = make_layout(shape, patches.is_tumor, share * TISSUE, TUMOR, num_blobs=3, seed=0)
        write_mosaic(folder / name, patches.images, layout, shape)
        print(f"{name}: {shape[0]} x {shape[1]} px, {(layout != BACKGROUND).sum()} patches of tissue")
    is_tumor = np.append(patches.is_tumor, False)[layout]  # BACKGROUND, -1, is none
    row, col = np.unravel_index(uniform_filter(is_tumor.astype(np.float64), 5).argmax(), layout.shape)
    center = ((float(row) + 0.5) * CELL / STRIDE, (float(col) + 0.5) * CELL / STRIDE)
    return folder / "mosaic.tif", folder / "half.tif", center


def make_tissue(data: Path, patches: Patches, shape: tuple[int, int], folder: Path) -> Path:
    """Write ``tissue.tif``: contiguous pieces of normal tissue, and one square of tumor patches."""
    pieces = [cut(piece.image) for piece in read_pieces(data, ["tiles"])]
    images = np.concatenate([*pieces, patches.images[patches.is_tumor]])
    tumor = np.arange(len(images) - int(patches.is_tumor.sum()), len(images))
    write_mosaic(folder / "tissue.tif", images, lay_out(shape, len(pieces), tumor, TISSUE, seed=0), shape)
    return folder / "tissue.tif"


def kind_of_machine(device: str) -> str:
    """One of `KINDS`."""
    kind = torch.device(device).type
    if kind == "cpu" and os.environ.get(HIDES) == "AVX2":
        return "cpu with AVX2"
    lacks_amx = kind == "cpu" and not torch.cpu.get_capabilities().get("amx_bf16")
    return "cpu without AMX" if lacks_amx else kind


class Measured:
    """The rounds of all variants.

    Args:
        options: see `main`.
        folder: for slides and masks.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.half: Path | None = None
        self.kind = kind_of_machine(options.device)
        center = None
        if options.slide is not None:
            self.slide = options.slide
        elif options.tissue is not None:
            self.slide = make_tissue(options.tissue, read_patches(options.patches), tuple(options.shape), folder)
        else:
            self.slide, self.half, center = make_slides(read_patches(options.patches), tuple(options.shape), folder)
        shared = {"device": f"$torch.device({options.device!r})", "stride": STRIDE, **options.set}
        if options.device == "cpu" and importlib.util.find_spec("openvino") is None:
            print("OpenVINO is not installed: runtime torch")
            shared["runtime"] = "torch"
        self.pipelines = {name: Pipeline(variant.overrides | shared) for name, variant in VARIANTS.items()}
        with open_slide(self.slide) as slide:
            mask_level = slide.downsamples.index(STRIDE)
        network = shipped_network().to(options.device)
        self.reference = Reference(self.slide, mask_level, network, folder / "maps", options.positions, center)
        self.parts = folder / "parts"
        self.parts.mkdir()
        write_mask(self.parts / f"{self.slide.stem}.png", self.reference.mask)
        self.runs: dict[str, list[Run]] = {name: [] for name in (REFERENCE, *VARIANTS, HALF)}
        self.overheads: list[float] = []

    def measure_round(self) -> None:
        """Run everything once."""
        with timed() as result:
            prob_map = self.reference.run()
        count = int(self.reference.mask.sum())
        self._add(REFERENCE, Run(result["seconds"], count, prob_map, {}, result["utilization"]))
        for name, variant in VARIANTS.items():
            self._add(name, self.pipelines[name].run(self.slide, self.parts if variant.on_part else None))
        if self.half is not None:
            self._add(HALF, self.pipelines["dense"].run(self.half, None))

    def measure_overheads(self, count: int) -> None:
        """Time mode dense in turn with the network alone: a shared machine's speed changes within seconds."""
        pipeline = self.pipelines["dense"]
        before = pipeline.network_seconds(self.slide, None)
        for _ in range(count):
            run = pipeline.run(self.slide, None)
            after = pipeline.network_seconds(self.slide, None)
            self.overheads.append(run.seconds / ((before + after) / 2))
            print(f"dense: {run.seconds:.2f} s, the network alone: {before:.2f} and {after:.2f} s", flush=True)
            before = after

    def _add(self, name: str, run: Run) -> None:
        self.runs[name].append(run)
        print(f"{name}: {run.num_positions} positions in {run.seconds:.2f} s", flush=True)

    def best(self, name: str) -> Run:
        """The quickest run."""
        return min(self.runs[name], key=lambda run: run.seconds)

    def speed_table(self) -> str:
        """Rates and their ratios."""
        header = ["what", "precision", "positions", "first, s", "least, s", "positions/s", "mm²/s", "ratio"]
        header += ["wanted", "GPU"]
        rows = []
        reference = self.best(REFERENCE)
        for name in (REFERENCE, *VARIANTS):
            run = self.best(name)
            rate = run.num_positions / run.seconds
            ratio = rate * reference.seconds / reference.num_positions
            kind = KINDS[0] if self.kind == "cpu with AVX2" else self.kind  # they have the same goals
            least = VARIANTS[name].least[KINDS.index(kind)] if name in VARIANTS else None
            rows.append(
                [
                    name,
                    run.sidecar.get("precision", "float32"),
                    str(run.num_positions),
                    f"{self.runs[name][0].seconds:.2f}",
                    f"{run.seconds:.2f}",
                    f"{rate:.1f}",
                    f"{rate * (STRIDE * MPP / 1000) ** 2:.3f}",
                    f"{ratio:.2f}",
                    "" if least is None else f"at least {least:g}",
                    "" if run.utilization is None else f"{run.utilization:.0f} %",
                ]
            )
        return markdown_table(header, rows)

    def agreement_table(self) -> str:
        """Agreement on the reference's positions."""
        pairs = [("sliding, float32", REFERENCE)]
        pairs += [(name, "sliding, float32") for name in ("sliding", "dense", "refined", "cascade")]
        pairs += [("refined", "sliding")]
        rows = []
        for name, other in pairs:
            first, second = self.runs[name][-1].prob_map, self.runs[other][-1].prob_map
            rows.append([name, other, *compare(first, second, self.reference.mask)])
        return markdown_table(["mode", "against", *COMPARED], rows)

    def other_table(self) -> str:
        """End to end over network only, doubling, and the share that is refined."""
        whole, refined = self.best("dense"), self.best("refined")
        overhead = f"{np.median(self.overheads):.3f} ({min(self.overheads):.2f} to {max(self.overheads):.2f})"
        what = f"dense: end to end over the network alone, median of {len(self.overheads)} (all)"
        rows = [[what, overhead, "at most 1.2"]]
        if self.half is not None:
            half = self.best(HALF)
            area, ratio = whole.num_positions / half.num_positions, whole.seconds / half.seconds
            rows.append(
                [
                    f"dense: time over time, for {area:.3f} times the tissue",
                    f"{ratio:.3f}, {100 * (ratio / area - 1):+.1f} % of that",
                    "within 15 %",
                ]
            )
        looked_at = self.best("cascade").sidecar["looked_at"]
        rows.append(["cascade: share of positions that the network looked at", f"{100 * looked_at:.1f} %", ""])
        if "refined_positions" in refined.sidecar:
            share = refined.sidecar["refined_positions"] / refined.num_positions
            rows.append(["refined: share of positions that were refined", f"{100 * share:.1f} %", ""])
        return markdown_table(["what", "found", "wanted"], rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patches", type=Path, nargs="?", help="folder with patches.zip and labels.csv")
    parser.add_argument(
        "--tissue", type=Path, help="folder with camelyon17_40x: a slide of contiguous pieces, no mosaic"
    )
    parser.add_argument("--slide", type=Path, help="a slide of 0.243 µm with a level 64 times as coarse, not a mosaic")
    parser.add_argument("--shape", type=int, nargs=2, default=(9728, 11776), help="of the slide, in pixels")
    parser.add_argument("--positions", type=int, default=1200, help="of the part that the reference runs on")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--overheads", type=int, default=7, help="runs of mode dense and of the network alone, in turn")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--set", type=json.loads, default={}, help="ids of inference.json as JSON, for all modes")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'inference cpu', say")
    options = parser.parse_args()
    if (options.patches is None) == (options.slide is None):
        parser.error("give either the folder of patches or --slide")
    machine = machine_line() + (f"; {HIDES}={os.environ[HIDES]}" if HIDES in os.environ else "")
    print(machine)
    with tempfile.TemporaryDirectory() as folder:
        measured = Measured(options, Path(folder))
        for _ in range(options.rounds):
            measured.measure_round()
        measured.measure_overheads(options.overheads)
    tables = [measured.speed_table(), measured.agreement_table(), measured.other_table()]
    block = f"inference {measured.kind}{'' if options.tissue is None else ', tissue'}"
    publish(options.markdown, block, machine, *tables)


if __name__ == "__main__":
    main()
