"""How well weights tell labelled patch pictures apart, with 95% bootstrap intervals over patches.

python benchmarks/patch_metrics.py --folders pcam_10x/valid
python benchmarks/patch_metrics.py --overlay train_10x.json --weights models/model_10x.pt --folders pcam_10x/valid

Several weights with folders are a mean of networks: their logits are averaged, also with those of weights for 40x.

python benchmarks/patch_metrics.py --overlay train_10x.json --weights runs/seed_*/model.pt --folders pcam_10x/valid
python benchmarks/patch_metrics.py --overlay train_10x.json --weights a.pt --weights_40x b.pt --folders pcam_10x/valid

With --eightfold the logits of a patch's eight orientations are averaged.

Several weights with as many tables are a cross-validation: each file of weights is run on the table of its place, and
the logits are pooled. One file of weights is what `tumor-detection metrics` does, too.

python benchmarks/patch_metrics.py --weights runs/fold_*/model.pt --tables camelyon16_40x/valid_*.csv
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from scripts.errors import InputError, explain  # noqa: E402
from scripts.scoring.patch_logits import compute_patch_logits  # noqa: E402
from scripts.scoring.patches import patch_report, summary  # noqa: E402


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, nargs="+", default=[ROOT / "bundle/models/model.pt"])
    parser.add_argument("--overlay", nargs="*", default=[], help="overlays in bundle/configs, as train_10x.json")
    parser.add_argument("--weights_40x", type=Path, nargs="*", default=[], help="more weights, run without overlays")
    parser.add_argument("--eightfold", action="store_true", help="the mean over a patch's eight orientations")
    parser.add_argument("--folders", nargs="*", default=[], help="folders with the subfolders 0 and 1")
    parser.add_argument("--tables", nargs="*", default=[], help="CSV files with the columns file and label")
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()

    is_mean = bool(options.folders) or len(options.weights) == 1
    if is_mean:
        runs = [(weights, options.folders, options.tables, options.overlay) for weights in options.weights]
        runs += [(weights, options.folders, options.tables, []) for weights in options.weights_40x]
    elif len(options.weights) == len(options.tables) and not options.folders:
        pairs = zip(options.weights, options.tables, strict=True)
        runs = [(weights, [], [table], options.overlay) for weights, table in pairs]
    else:
        parser.error(f"{len(options.weights)} weights need folders, or as many tables")
    try:
        found = [compute_patch_logits(*run, eightfold=options.eightfold) for run in runs]
    except (InputError, RuntimeError) as error:  # MONAI wraps what a component raises
        sys.exit(f"error: {explain(error)}")
    if is_mean:
        logits, is_tumor = np.mean([it.logits for it in found], axis=0), found[0].is_tumor
    else:
        logits = np.concatenate([it.logits for it in found])
        is_tumor = np.concatenate([it.is_tumor for it in found])
    print(", ".join([*options.folders, *options.tables]))
    print(summary(patch_report(logits, is_tumor, options.resamples)))


if __name__ == "__main__":
    main()
