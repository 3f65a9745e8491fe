"""False positives on held-out synthetic slides, after training with and without mined hard negatives.

    python benchmarks/hard_negatives.py --output hard_negatives --markdown docs/benchmarks.md
    python benchmarks/hard_negatives.py --output tiny --tiny (shows only that it runs)

Synthetic: every slide is drawn, and so are the nests of large normal nuclei mixed with tumor-like ones, which the tumor
of these slides is easily confused with. They take up little of the tissue, so that chance draws few of them.

A first training starts from given weights, on sampled regions. From what it yields, two more trainings go on for two
epochs of the same number of steps: one with random normal regions added, one with as many hard negatives, mined from
the first one's maps of the training slides. Both are scored on slides that none has seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import command_line, machine_line, markdown_table, replace_block  # noqa: E402

from scripts.annotations.writers import write_asap_xml  # noqa: E402
from scripts.files import make_output_dir, write_json  # noqa: E402
from scripts.folders.search import find_slides  # noqa: E402
from scripts.labels.mining import mine_hard_negatives  # noqa: E402
from scripts.labels.sampling import SampleSettings, sample_regions  # noqa: E402
from scripts.maps.detections import detections_to_level0, non_maximum_suppression  # noqa: E402
from scripts.maps.files import read_map, read_map_infos  # noqa: E402
from scripts.masks.truth import read_truth  # noqa: E402
from scripts.masks.truth_folder import TruthFolder  # noqa: E402
from scripts.scoring.cases import evaluation_stride  # noqa: E402
from scripts.scoring.froc import FrocCurve, froc_curve, froc_score, match_detections  # noqa: E402
from scripts.scoring.settings import NMS_RADIUS_UM  # noqa: E402
from scripts.scoring.slides import find_lesions  # noqa: E402
from scripts.slides.pyramid import write_pyramid  # noqa: E402
from scripts.synthetic.cohort import MPP  # noqa: E402
from scripts.synthetic.staining import draw_stain, paint_slide  # noqa: E402
from scripts.synthetic.tissue import STEP, make_layout, place_nests, polygon_mask, tissue_outline  # noqa: E402
from scripts.workflow import run_bundle  # noqa: E402

MIMIC = (0.12, 0.25, 0.04, 0.12, 0.03, 0.25, 0.0, 0.70)
"""`synthetic.tissue.PROPERTIES` of the confusable nests: the ground of tumor, and two thirds tumor-like nuclei.

With half of them, each training ranked every lesion before every nest, and there was nothing to lower."""

LESION_UM, NEST_UM = (105.0, 122.0), (60.0, 80.0)
"""Least and greatest radius of lesions, larger than isolated tumor cells, and of confusable nests."""

LEAST_CONFIDENCE = 0.02

CONFIDENCES = (0.5, 0.9)
"""At which false positives and sensitivity are told besides the curve."""


def write_slide(folder: Path, name: str, shape: tuple[int, int], num_lesions: int, num_mimics: int, seed: int) -> None:
    """Write a synthetic slide with lesions and confusable nests, and the annotation of the lesions."""
    rng = np.random.default_rng(seed)
    for _ in range(50):
        tissue = tissue_outline(rng, shape)
        tumor = place_nests(rng, tissue, num_lesions, (LESION_UM[0] / MPP, LESION_UM[1] / MPP))
        mimics = place_nests(rng, tissue, num_lesions + num_mimics, (NEST_UM[0] / MPP, NEST_UM[1] / MPP))
        taken = ndimage.binary_dilation(polygon_mask(tumor, tissue.shape, 16), iterations=6)
        free = [nest for nest in mimics if not (polygon_mask([nest], tissue.shape, 16) & taken).any()]
        if len(tumor) == num_lesions and len(free) >= num_mimics:
            break
    else:
        raise ValueError(f"{num_lesions} lesions and {num_mimics} confusable nests must fit into {shape}")
    layout = make_layout(rng, tissue, shape, tumor, [])
    nests = polygon_mask(free[:num_mimics], layout.distance.shape, STEP)
    weight = np.clip((ndimage.gaussian_filter(nests.astype(np.float32), 10 / STEP) - 0.5) * 3 + 0.5, 0, 1)
    properties = layout.properties + weight * (np.array(MIMIC, np.float32)[:, None, None] - layout.properties)
    image = paint_slide(rng, layout._replace(properties=properties), shape, draw_stain(rng), MPP)
    write_pyramid(folder / f"{name}.tif", image, MPP)
    write_asap_xml(make_output_dir(folder / "truth") / f"{name}.xml", tumor, [])


def write_slides(folder: Path, count: int, shape: tuple[int, int], seed: int) -> None:
    """Write slides, every other one normal, with three confusable nests each."""
    make_output_dir(folder)
    for index, state in enumerate(np.random.SeedSequence(seed).generate_state(count)):
        name = f"{'normal' if index % 2 else 'tumor'}_{index:03d}"
        write_slide(folder, name, shape, 0 if index % 2 else 2, 3, int(state))


def train(rows: Path, validation: Path, slides: Path, output: Path, weights: Path, seed: int, epochs: int = 1) -> Path:
    """Train; return the weights after the last step."""
    settings = {
        "dataset_dir": str(slides),
        "training_file": str(rows),
        "validation_file": str(validation),
        "output_dir": str(output),
        "weights": str(weights),
        "seed": seed,
        "epochs": epochs,
        "val_interval": epochs,
        "batch_size": 8,
        "num_workers": 1,
        "resume": False,
    }
    run_bundle("training", "train.json", settings)
    return output / "model.pt"


def infer(slides: Path, weights: Path, output: Path, stride: int) -> Path:
    """Make probability maps; return their folder."""
    paths = [str(path) for path in find_slides(slides)]
    settings = {"slides": paths, "weights": str(weights), "output_dir": str(output), "stride": stride}
    run_bundle("inference", "inference.json", settings)
    return output


def curve_of(maps: Path, truth: Path) -> FrocCurve:
    """FROC curve of maps, by the rules and at the radius of ``froc``, down to a confidence of 0.02."""
    folder, matches = TruthFolder(truth), []
    for info in read_map_infos(maps):
        radius = max(1, round(NMS_RADIUS_UM / (info.stride * info.mpp)))
        on_map = non_maximum_suppression(read_map(info), radius, LEAST_CONFIDENCE)
        detections = detections_to_level0(on_map, info.stride, info.slide_shape)
        stride = evaluation_stride(info.mpp)
        path = folder.find(info.name)
        truth = None if path is None else read_truth(path, info.slide_shape, info.stride, stride)
        lesions = find_lesions(truth, info.mpp)
        if lesions is None:
            matches.append(match_detections(detections, None, [], 1))
        else:
            matches.append(match_detections(detections, lesions.labels, lesions.isolated(info.mpp), lesions.stride))
    lesions = np.concatenate([match.lesions for match in matches])
    return froc_curve(np.concatenate([match.false_positives for match in matches]), lesions, len(matches))


def fps_at(curve: FrocCurve, sensitivity: float) -> float | None:
    """False positives per slide at the strictest threshold of at least this sensitivity, or None if never."""
    reached = np.flatnonzero(curve.sensitivity >= sensitivity - 1e-9)
    return float(curve.fps_per_slide[reached[0]]) if reached.size else None


def at_confidence(curve: FrocCurve, confidence: float) -> tuple[float, float]:
    """False positives per slide and sensitivity of detections of at least this confidence."""
    index = int(np.flatnonzero(curve.threshold >= confidence)[-1])
    return float(curve.fps_per_slide[index]), float(curve.sensitivity[index])


def with_cycled(base: Path, added: Path, count: int, output: Path) -> Path:
    """The lines of a file, and ``count`` lines of another, over and over."""
    lines = added.read_text(encoding="utf-8").splitlines(keepends=True)
    chosen = [lines[index % len(lines)] for index in range(count)]
    output.write_text(base.read_text(encoding="utf-8") + "".join(chosen), encoding="utf-8")
    return output


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--weights", type=Path, default=ROOT / "bundle/models/model.pt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num_train", type=int, default=4, help="slides to train on and to mine")
    parser.add_argument("--num_test", type=int, default=8, help="slides to score")
    parser.add_argument("--num_regions", type=int, default=192, help="regions of each of the three trainings")
    parser.add_argument("--shape", type=int, nargs=2, default=(3601, 4803), help="height and width of the slides")
    parser.add_argument("--stride", type=int, default=160, help="level-0 pixels per map pixel")
    parser.add_argument("--markdown", type=Path, help="a page with a block 'hard negatives'")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, to see that it runs")
    options = parser.parse_args()
    if options.tiny:
        options.num_train, options.num_test, options.num_regions = 2, 2, 8
        options.shape, options.stride = (3001, 4003), 400

    started, root, seed = time.monotonic(), make_output_dir(options.output), options.seed

    def announce(step: str) -> None:
        print(f"\n== {step}  [{time.monotonic() - started:.0f} s]", flush=True)

    announce("synthetic slides")
    shape = (options.shape[0], options.shape[1])
    write_slides(root / "training", options.num_train, shape, 2 * seed)
    write_slides(root / "held_out", options.num_test, shape, 2 * seed + 1)
    slides, truth = root / "training", root / "training" / "truth"
    half = options.num_regions // 2

    def sample(name: str, num_tumor: int, num_normal: int, seed: int) -> Path:
        settings = SampleSettings(num_tumor, num_normal, seed=seed)
        print(f"{name}:", sample_regions(slides, truth, root / name, settings, backend="openslide"))
        return root / name

    first = sample("first.csv", half, half, 3 * seed)
    shared = sample("shared.csv", half, 0, 3 * seed + 1)
    random = sample("random.csv", 0, half, 3 * seed + 1)
    validation = sample("validation.csv", 8, 8, 3 * seed + 2)

    announce("first training")
    weights = train(first, validation, slides, root / "run_first", options.weights, seed)
    announce("maps of the training slides, and their false positives")
    maps = infer(slides, weights, root / "maps_training", options.stride)
    print(mine_hard_negatives(maps, truth, root / "mined.csv", threshold=0.1 if not options.tiny else 0.0))

    curves = {
        "first": curve_of(
            infer(root / "held_out", weights, root / "maps_first", options.stride), root / "held_out/truth"
        )
    }
    for arm, added in (("random", random), ("mined", root / "mined.csv")):
        announce(f"second training, {arm} normal regions added")
        rows = with_cycled(shared, added, half, root / f"training_{arm}.csv")
        trained = train(rows, validation, slides, root / f"run_{arm}", weights, seed, epochs=2)
        maps = infer(root / "held_out", trained, root / f"maps_{arm}", options.stride)
        curves[arm] = curve_of(maps, root / "held_out" / "truth")

    announce("false positives per held-out synthetic slide")
    reached = min(float(curve.sensitivity[-1]) for curve in curves.values())
    sensitivities = sorted({0.5 * reached, 0.75 * reached, reached})
    report = {
        "settings": {key: str(value) for key, value in vars(options).items()},
        "seconds": round(time.monotonic() - started),
        "sensitivities": sensitivities,
        "fps_per_slide": {arm: [fps_at(curve, value) for value in sensitivities] for arm, curve in curves.items()},
        "at_confidence": {arm: [at_confidence(curve, value) for value in CONFIDENCES] for arm, curve in curves.items()},
        "froc_score": {arm: froc_score(curve.fps_per_slide, curve.sensitivity).mean for arm, curve in curves.items()},
    }
    write_json(root / "hard_negatives.json", report)
    header = ["training", *(f"false positives at sensitivity {value:.2f}" for value in sensitivities)]
    for confidence in CONFIDENCES:
        header += [f"false positives at confidence {confidence}", "sensitivity there"]
    header += ["FROC score"]
    rows = []
    for arm, values in report["fps_per_slide"].items():
        cells = ["" if value is None else f"{value:.2f}" for value in values]
        cells += [f"{value:.2f}" for pair in report["at_confidence"][arm] for value in pair]
        rows.append([arm, *cells, f"{report['froc_score'][arm]:.3f}"])
    table = markdown_table(header, rows)
    print(table)
    if options.markdown is not None:
        content = "\n\n".join([f"```\n{command_line()}\n```", machine_line(), table])
        replace_block(options.markdown, "hard negatives", content)
    print(json.dumps({"seconds": report["seconds"]}))


if __name__ == "__main__":
    main()
