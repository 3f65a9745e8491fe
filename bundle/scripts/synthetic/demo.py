"""A metastasis in real tissue, then the whole way on a small synthetic cohort: every step as a user would run it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PIL import Image

from .. import bundle_root
from ..errors import InputError
from ..files import make_output_dir, read_npy
from ..labels.loclabel import generate_loclabels
from ..masks.foreground_folder import write_foregrounds
from ..masks.groundtruth import write_groundtruth
from ..report.pictures import slide_picture
from ..report.report import PAGE, ReportSettings, write_report
from ..scoring.evaluation import score_folder
from ..scoring.summary import summary
from ..slides.slide import open_slide
from ..workflow import run_bundle
from . import specimen
from .cohort import write_cohort

STRIDE = 128
"""Level-0 pixels per map pixel: coarser than the usual 64, to be quick."""

_TRAINING = {"epochs": 1, "batch_size": 8, "num_workers": 1, "resume": False}


def run_demo(output: str | Path, seed: int = 0) -> None:
    """Find the metastasis in a strip of real tissue; then draw a cohort, train on some of it, and score the rest.

    Args:
        output: folder for everything; earlier results in it are replaced.
        seed: of the cohort and the training.

    Raises:
        InputError: if the seed is negative or a step fails.
    """
    if seed < 0:
        raise InputError(f"--seed must not be negative, but got {seed}")
    root = make_output_dir(output)
    started = time.monotonic()

    def announce(step: str) -> None:
        print(f"\n== {step}  [{time.monotonic() - started:.0f} s]", flush=True)

    announce("real tissue: a strip of a lymph node with a metastasis, and the shipped weights")
    _show_strip(root / "real_tissue")

    announce("synthetic cohort: from here on all slides are drawn, not tissue of anyone")
    cohort = write_cohort(root / "cohort", seed=seed, num_train_regions=160, num_valid_regions=48)
    slides_dir, annotations = root / "cohort" / "training", cohort.annotations_dir

    announce("1 loclabel: labels from coordinates and annotations")
    for coords, name in ((cohort.train_coords, "training.csv"), (cohort.valid_coords, "validation.csv")):
        print(generate_loclabels(coords, annotations, root / name))

    announce("2 foreground masks of the test slides")
    write_foregrounds(cohort.testing, root / "foreground", STRIDE)

    announce("3 training: from the shipped weights, on 160 regions, for one epoch")
    settings = {
        "dataset_dir": str(slides_dir),
        "training_file": str(root / "training.csv"),
        "validation_file": str(root / "validation.csv"),
        "output_dir": str(root / "training"),
        "weights": str(Path(bundle_root()) / "models" / "model.pt"),
        "seed": seed,
        **_TRAINING,
    }
    run_bundle("training", "train.json", settings)

    announce("4 inference: probability maps of the test slides")
    settings = {
        "slides": [str(path) for path in cohort.testing],
        "foreground_dir": str(root / "foreground"),
        "weights": str(root / "training" / "model.pt"),
        "output_dir": str(root / "maps"),
        "stride": STRIDE,
    }
    run_bundle("inference", "inference.json", settings)

    announce("5 ground truth masks from annotations")
    write_groundtruth(annotations, cohort.testing, root / "truth", STRIDE)

    announce("6 FROC score of the maps")
    print(summary(score_folder(root / "maps", root / "truth", root / "scores")))

    announce("7 report: one page to look at")
    settings_of_page = ReportSettings(title="Demo", note="Synthetic: drawn slides, nobody's tissue.")
    print(write_report(root / "maps", root / "report", root / "truth", cohort.testing, settings=settings_of_page))

    announce("pictures")
    pictures = make_output_dir(root / "pictures")
    for path in cohort.testing:
        with open_slide(path) as slide:
            overview = slide.read_overview(16)
        truth = np.asarray(Image.open(root / "truth" / f"{path.stem}.png")) > 0
        prob_map = read_npy(root / "maps" / f"{path.stem}.npy")
        slide_picture(pictures / f"{path.stem}.png", overview, prob_map, truth, f"{path.stem} (synthetic)")
        print(pictures / f"{path.stem}.png")
    announce("done")
    print(
        f"Look at {root / 'report' / PAGE} in a browser, at {pictures} and {root / 'scores' / 'froc.png'}.\n"
        "The score is of drawn slides that are easier than tissue: it shows that the steps work, nothing else."
    )


def _show_strip(output: Path) -> None:
    """Run inference on the real strip and print what it finds; a bundle without the strip goes on with drawn slides."""
    path = specimen.strip_path()
    if not path.is_file():
        print(f"{path}: no such file, the model zoo's package leaves it out; the demo goes on with drawn slides")
        return
    found = specimen.find_metastasis(path, output / "maps")
    print(f"\n{specimen.summary(found)}", flush=True)
    picture, page = specimen.write_views(path, found, output)
    print(f"Look at {picture}, and at {page} in a browser.")
    print("This tissue is real: a strip of a CAMELYON17 slide. All slides that follow are drawn (synthetic).")
