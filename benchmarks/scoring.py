"""Scoring a cohort of CAMELYON16's size, and non-maximum suppression, beside MONAI's LesionFROC and ProbNMS.

    python benchmarks/scoring.py --markdown docs/benchmarks.md

The cohort is drawn, not predicted: 129 maps of 1400 x 3000 at level 6 and as many tumor masks of that size, 49 with
lesions. Both read the same files. LesionFROC takes minutes, so it scores every third slide, and so does ours by its
rules, in a process of its own like the rest. LesionFROC is told that the masks are level 0, and coarse, since that is
what they are as files.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

SHAPE, STRIDE, MPP = (1400, 3000), 64, 0.243
NUM_SLIDES = 129
NMS_DETECTIONS = 3000


def draw_cohort(folder: Path) -> None:
    """Maps with sidecars in ``maps``, masks of level 6 in ``truth``."""
    import tifffile
    from scipy import ndimage

    for name in ("maps", "truth"):
        (folder / name).mkdir()
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE).astype(np.float32), 4, mode="wrap")
    clutter = 1 / (1 + np.exp(5 - 2 * noise / noise.std()))
    tissue = ndimage.zoom(rng.random((SHAPE[0] // 100, SHAPE[1] // 100)), 100, order=1) > 0.55
    rows, cols = np.ogrid[: SHAPE[0], : SHAPE[1]]
    for index in range(NUM_SLIDES):
        shift = (int(rng.integers(SHAPE[0])), int(rng.integers(SHAPE[1])))
        prob_map = np.where(tissue, np.roll(clutter, shift, (0, 1)), 0).astype(np.float32)
        mask = np.zeros(SHAPE, dtype=np.uint8)
        for _ in range(int(rng.integers(1, 9)) if index % 8 < 3 else 0):
            row, col, radius = (
                int(rng.integers(100, 1300)),
                int(rng.integers(100, 2900)),
                int(rng.choice([4, 15, 40, 90])),
            )
            inside = (rows - row) ** 2 + (cols - col) ** 2 < radius**2
            mask[inside] = 1
            lesion = rng.normal(rng.uniform(0.4, 0.95), 0.02, int(inside.sum()))
            prob_map[inside] = np.clip(lesion, 0.01, 0.9999)
        name = f"{'tumor' if mask.any() else 'normal'}_{index:03}"
        np.save(folder / "maps" / f"{name}.npy", prob_map)
        shape = [SHAPE[0] * STRIDE, SHAPE[1] * STRIDE]
        sidecar = {"slide": f"{name}.tif", "shape": shape, "stride": STRIDE, "mpp": MPP}
        (folder / "maps" / f"{name}.json").write_text(json.dumps(sidecar))
        tifffile.imwrite(folder / "truth" / f"{name}.tif", mask, tile=(256, 256), compression="deflate", metadata=None)


def slide_names(folder: Path, step: int) -> list[str]:
    """Every ``step``-th slide, tumor and normal ones in turn as they were drawn."""
    names = [path.stem for path in (folder / "maps").glob("*.npy")]
    return sorted(names, key=lambda name: name.rsplit("_", 1)[1])[::step]


def ours(folder: Path, num_resamples: int, rules: str, step: int) -> dict[str, Any]:
    """Score every ``step``-th slide of the cohort."""
    from scripts.scoring.evaluation import score_folder
    from scripts.scoring.settings import ScoreSettings

    kept = slide_names(folder, step)
    exclude = [name for name in slide_names(folder, 1) if name not in kept]
    settings = ScoreSettings(num_resamples=num_resamples, rules=rules)
    started = time.monotonic()
    report = score_folder(
        folder / "maps", folder / "truth", folder / f"scores_{rules}", settings=settings, exclude=exclude
    )
    return {
        **{"seconds": time.monotonic() - started, "score": report["froc_score"], "slides": len(kept)},
        **{"interval": report["froc_interval"], "lesions": report["num_lesions"]},
        **{"tumor_slides": report["num_tumor_slides"]},
        "detections": sum(row["num_detections"] for row in report["slides"]),
    }


def monai(folder: Path, step: int) -> dict[str, Any]:
    """Score every ``step``-th slide with LesionFROC."""
    from monai.apps.pathology.metrics import LesionFROC

    class WholeMasks(LesionFROC):
        """Takes masks that are files of their own for what they are: level 0, and coarse."""

        def prepare_ground_truth(self, sample: dict[str, Any]) -> Any:
            return super().prepare_ground_truth({**sample, "level": 0, "pixel_spacing": MPP * STRIDE})

    samples = [
        {"prob_map": str(folder / "maps" / f"{name}.npy"), "tumor_mask": str(folder / "truth" / f"{name}.tif")}
        | {"level": 6, "pixel_spacing": MPP}
        for name in slide_names(folder, step)
    ]
    started = time.monotonic()
    score = WholeMasks(samples, image_reader_name="OpenSlide").evaluate()
    return {"seconds": time.monotonic() - started, "score": float(score), "slides": len(samples)}


def suppression(rounds: int) -> dict[str, Any]:
    """Suppression of one map with about `NMS_DETECTIONS` detections: least seconds of either, and whether equal."""
    from monai.transforms import ProbNMS
    from scipy import ndimage

    from scripts.maps.detections import non_maximum_suppression

    noise = ndimage.gaussian_filter(np.random.default_rng(1).random(SHAPE).astype(np.float32), 4)
    radius = 12
    prob_map = (noise - noise.min()) / (noise.max() - noise.min())
    low, high = 0.0, 1.0
    for _ in range(30):  # the threshold that leaves the number of detections wanted
        threshold = (low + high) / 2
        count = non_maximum_suppression(prob_map, radius, threshold).prob.size
        low, high = (threshold, high) if count > NMS_DETECTIONS else (low, threshold)
    found, seconds = non_maximum_suppression(prob_map, radius, high), {"ours": np.inf, "MONAI": np.inf}
    for _ in range(rounds):
        started = time.monotonic()
        found = non_maximum_suppression(prob_map, radius, high)
        seconds["ours"] = min(seconds["ours"], time.monotonic() - started)
    nms = ProbNMS(box_size=2 * radius, prob_threshold=high)
    copy = prob_map.copy()
    started = time.monotonic()
    theirs = nms(copy)
    seconds["MONAI"] = time.monotonic() - started
    listed = [[prob, row, col] for prob, row, col in zip(*found, strict=True)]
    return {**seconds, "detections": len(listed), "identical": listed == theirs}


def measured(*arguments: str) -> dict[str, Any]:
    """Run one of the above in a process of its own; what it gives, and its peak memory in bytes."""
    command = [sys.executable, __file__, "--part", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def run_part(name: str, arguments: list[str]) -> None:
    """Run a part and print what it gives as a line of JSON."""
    warnings.simplefilter("ignore")
    if name == "suppression":
        found = suppression(int(arguments[0]))
    elif name == "monai":
        found = monai(Path(arguments[0]), int(arguments[1]))
    else:
        found = ours(Path(arguments[0]), int(arguments[1]), arguments[2], int(arguments[3]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**found, "peak": peak}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--reference_step", type=int, default=3, help="by MONAI's rules, one slide of so many")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'scoring'")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        run_part(options.part[0], options.part[1:])
        return

    from report import command_line, machine_line, markdown_table, replace_block

    machine = machine_line()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_cohort(folder)
        nms = measured("suppression", str(options.rounds))
        whole = measured("ours", name, str(options.resamples), "camelyon16", "1")
        by_monai = measured("ours", name, "0", "monai", str(options.reference_step))
        reference = measured("monai", name, str(options.reference_step))
    rows = [
        ["LesionFROC", "0", *_cells(reference), "1"],
        ["ours, `--rules monai`", "0", *_cells(by_monai), _ratio(reference, by_monai)],
        ["ours", str(options.resamples), *_cells(whole), _ratio(reference, whole)],
    ]
    header = ["scorer", "resamples", "slides", "seconds", "peak memory", "FROC score", "times as fast per slide"]
    low, high = whole["interval"]
    suppressed = [
        ["ProbNMS", f"{nms['MONAI']:.2f} s", "1"],
        ["ours", f"{nms['ours'] * 1000:.1f} ms", f"{nms['MONAI'] / nms['ours']:.0f}"],
    ]
    content = "\n\n".join(
        [
            f"```\n{command_line()}\n```",
            machine,
            f"Cohort, synthetic: {NUM_SLIDES} maps of {SHAPE[0]} x {SHAPE[1]}, {whole['tumor_slides']} with tumor, "
            f"{whole['lesions']} lesions, {whole['detections']:,} detections. "
            f"The interval of our score is {low:.4f} to {high:.4f}.",
            markdown_table(header, rows),
            f"Non-maximum suppression, one map of {SHAPE[0]} x {SHAPE[1]}, {nms['detections']:,} detections; "
            f"the lists are {'identical' if nms['identical'] else 'DIFFERENT'}.",
            markdown_table(["suppression", "least time", "times as fast"], suppressed),
        ]
    )
    print(content)
    if options.markdown is not None:
        replace_block(options.markdown, "scoring", content)


def _cells(found: dict[str, Any]) -> list[str]:
    return [
        *(str(found["slides"]), f"{found['seconds']:.1f}"),
        *(f"{found['peak'] / 2**20:,.0f} MB", f"{found['score']:.4f}"),
    ]


def _ratio(reference: dict[str, Any], found: dict[str, Any]) -> str:
    slower, faster = (it["seconds"] / it["slides"] for it in (reference, found))
    return f"{slower / faster:.1f}"


if __name__ == "__main__":
    main()
