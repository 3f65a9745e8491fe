"""Do modes dense and sliding agree better after dense training than after as much training on patches?

    python benchmarks/dense_training.py ../shared/data --weights patches.pt --output out --markdown docs/benchmarks.md

``patches.pt`` are weights that have seen patches only; the model card says how the shipped ones were made of such.
From there trainings go on for the same pictures, steps and rate: by train_patches.json, and by train_dense.json over
it, after the labels or after a teacher, which are the weights that it starts from. Pictures are drawn from
PatchCamelyon's training patches and the 40x patches. Compared are the maps of both modes on real contiguous tissue of
another origin (OpenSlide's CMU-1-Small-Region.svs, 0.499 µm, taken for 0.486 and enlarged twice), on a mosaic of real
40x patches and on a synthetic slide. The AUC is that of PatchCamelyon's validation patches, run on their own as ever.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.bundle import ConfigParser
from scipy.special import logit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import command_line, machine_line, markdown_table, replace_block  # noqa: E402
from slides import make_layout, read_patches, write_mosaic  # noqa: E402

from scripts.files import make_output_dir  # noqa: E402
from scripts.inference.agreement import compare_logits  # noqa: E402
from scripts.slides.pyramid import write_pyramid  # noqa: E402
from scripts.synthetic.cohort import MPP, synthetic_slide  # noqa: E402
from scripts.workflow import run_bundle  # noqa: E402

REAL_TISSUE = "real tissue"
READ = {REAL_TISSUE: {"stride": 32, "assume_mpp": 2 * MPP}}
"""Positions 64 pixels apart that the model sees, as on the other slides; mode dense needs multiples of 32."""

SHIPPED = ROOT / "bundle" / "models" / "model.pt"
FIELD = {"field_size": [352, 352], "picture_size": 384, "mirror": True, "num_alone": 1}
ARMS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "patch training": (["train_patches.json"], {}),
    "dense training": (["train_dense.json", "train_patches.json"], FIELD),
    "dense training, with a teacher": (["train_dense.json", "train_patches.json"], {**FIELD, "teacher": "@weights"}),
}
Map = npt.NDArray[np.floating[Any]]


def unpack(archive: Path, folder: Path, num_each: int) -> Path:
    """Unpack so many patches of either class, drawn at random."""
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(archive) as pictures:
        for label in "01":
            names = sorted(n for n in pictures.namelist() if n.startswith(f"{label}/") and not n.endswith("/"))
            pictures.extractall(folder, [names[index] for index in rng.permutation(len(names))[:num_each]])
    return folder


def unpack_table(folder: Path, output: Path) -> Path:
    """Unpack the 40x patches beside a copy of their table; return that."""
    make_output_dir(output)
    with zipfile.ZipFile(folder / "patches.zip") as pictures:
        for member in pictures.infolist():
            (output / Path(member.filename).name).write_bytes(pictures.read(member))
    return Path(shutil.copy(folder / "labels.csv", output))


def make_slides(data: Path, folder: Path) -> dict[str, Path]:
    """The three slides to compare on, by what they are called in the table."""
    patches = read_patches(data / "camelyon16_40x")
    shape = (3328, 3840)
    layout = make_layout(shape, patches.is_tumor, 0.6, 0.2, num_blobs=2, seed=1)
    write_mosaic(folder / "mosaic.tif", patches.images, layout, shape)
    write_pyramid(folder / "synthetic.tif", synthetic_slide((3001, 3803), num_lesions=2, seed=11).image, MPP)
    return {
        REAL_TISSUE: data / "slides" / "cmu-1-small-region.svs",
        "mosaic": folder / "mosaic.tif",
        "synthetic": folder / "synthetic.tif",
    }


def train(arm: str, pictures: list[Path], validation: Path, output: Path, options: argparse.Namespace) -> Path:
    """Train one arm on a folder and a table; return its weights."""
    overlays, overrides = ARMS[arm]
    settings = {
        "train_folders": [str(pictures[0])],
        "train_tables": [str(pictures[1])],
        "train_limit": options.num_train,
        "validation_folders": [str(validation)],
        "output_dir": str(output),
        "weights": str(options.weights),
        "epochs": 1,
        "batch_size": options.batch_size,
        "learning_rate": 1e-4,
        "ema_decay": 0.97,
        "max_grad_norm": 1.0,
        "num_workers": 1,
        **overrides,
    }
    run_bundle("training", "train.json", settings, overlays)
    return output / "model.pt"


def maps_of(slide: Path, weights: Path, folder: Path, read: dict[str, Any]) -> tuple[Map, Map]:
    """Logits of mode dense and of mode sliding, (N,) each, on the slide's foreground."""
    found = []
    for mode in ("dense", "sliding"):
        output = folder / mode
        settings = {"slides": str(slide), "weights": str(weights), "output_dir": str(output), **read}
        run_bundle("inference", "inference.json", {**settings, "mode": mode, "num_checks": 0})
        found.append(np.load(output / f"{slide.stem}.npy").astype(np.float64))
    inside = (found[0] > 0) & (found[1] > 0)
    dense, sliding = (logit(prob_map[inside].clip(1e-7, 1 - 1e-7)) for prob_map in found)
    return dense, sliding


def validation_auc(weights: Path, folder: Path) -> float:
    """AUC of train_patches.json's own validation."""
    config = ConfigParser()
    config.read_config([str(ROOT / "bundle" / "configs" / name) for name in ("train.json", "train_patches.json")])
    ids = {"weights": str(weights), "validation_folders": [str(folder)], "batch_size": 64, "num_workers": 0}
    config.update({**ids, "validate#handlers": []})
    evaluator = config.get_parsed_content("validate#evaluator")
    evaluator.run()
    return float(evaluator.state.metrics["val_auc"])


def main() -> None:
    """Train, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with pcam_10x, camelyon16_40x and slides")
    parser.add_argument("--weights", type=Path, required=True, help="to start from: trained on patches only")
    parser.add_argument("--output", type=Path, required=True, help="folder for everything")
    parser.add_argument("--num_train", type=int, default=1024, help="pictures to train on")
    parser.add_argument("--num_validation", type=int, default=600, help="pictures for the AUC")
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--markdown", type=Path, help="a page with a block 'dense training'")
    options = parser.parse_args()
    machine, root = machine_line(), make_output_dir(options.output)
    print(machine)
    pictures = [
        unpack(options.data / "pcam_10x" / "train.zip", root / "train", options.num_train // 2),
        unpack_table(options.data / "camelyon16_40x", root / "train_40x"),
    ]
    validation = unpack(options.data / "pcam_10x" / "valid.zip", root / "valid", options.num_validation // 2)
    slides = make_slides(options.data, root)

    weights = {"weights to start from": options.weights}
    for arm in ARMS:
        weights[arm] = train(arm, pictures, validation, root / re.sub(r"\W+", "_", arm), options)
    weights["shipped weights"] = SHIPPED
    rows = []
    for name, path in weights.items():
        auc = validation_auc(path, validation)
        for place, slide in slides.items():
            with tempfile.TemporaryDirectory() as folder:
                dense, sliding = maps_of(slide, path, Path(folder), READ.get(place, {}))
            found = compare_logits(dense, sliding)
            rows.append(
                [
                    name,
                    f"{auc:.3f}",
                    place,
                    str(found["num_checks"]),
                    f"{found['logit_correlation']:.4f}",
                    f"{np.abs(dense - sliding).mean():.2f}",
                    f"{np.mean(dense - sliding):+.2f}",
                    f"{found['largest_difference']:.2f}",
                    f"{100 * found['crossings']:.2f} %",
                ]
            )
            print(rows[-1], flush=True)
    header = ["weights", "AUC", "slide", "positions", "correlation of logits", "mean distance", "mean difference"]
    table = markdown_table([*header, "largest difference of probability", "cross 0.5"], rows)
    print("\n" + table)
    if options.markdown is not None:
        steps = f"{options.num_train // options.batch_size} steps of {options.batch_size} pictures for each training."
        replace_block(
            options.markdown, "dense training", "\n\n".join([f"```\n{command_line()}\n```", machine, steps, table])
        )


if __name__ == "__main__":
    main()
