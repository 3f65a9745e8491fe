"""How well weights tell labelled patch pictures apart, with 95% bootstrap intervals over patches.

python benchmarks/patch_metrics.py --folders pcam_10x/valid
python benchmarks/patch_metrics.py --overlay train_10x.json --weights models/model_10x.pt --folders pcam_10x/valid

Several weights with as many tables are a cross-validation: each file of weights is run on the table of its place, and
the logits are pooled.

python benchmarks/patch_metrics.py --weights runs/fold_*/model.pt --tables camelyon16_40x/valid_*.csv
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

import torch  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402
from scipy.special import expit  # noqa: E402
from scipy.stats import rankdata  # noqa: E402
from tqdm import tqdm  # noqa: E402

from scripts.network import AutocastInferer, prepare_network  # noqa: E402


def roc_auc(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks; ties count half.

    Args:
        scores: (N,).
        labels: (N,), true for tumor.
    """
    num_tumor = int(labels.sum())
    ranks = rankdata(scores)[labels].sum()
    return float((ranks - num_tumor * (num_tumor + 1) / 2) / (num_tumor * (len(labels) - num_tumor)))


def expected_calibration_error(
    probabilities: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_], bins: int = 15
) -> float:
    """Mean distance of confidence and frequency over equal bins of probability (Guo et al. 2017).

    Args:
        probabilities: (N,).
        labels: (N,), true for tumor.
        bins: number of bins.
    """
    index = np.minimum((probabilities * bins).astype(np.int64), bins - 1)
    counts = np.bincount(index, minlength=bins)
    gaps = np.abs(np.bincount(index, probabilities, bins) - np.bincount(index, labels.astype(np.float64), bins))
    return float(gaps[counts > 0].sum() / len(labels))


def patch_logits(
    weights: Path, overlays: Sequence[str], folders: Sequence[str], tables: Sequence[str]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Run the network of ``train.json``, with overlays, on labelled patches.

    Returns:
        (N,) logits, in float32 arithmetic, and (N,) labels, true for tumor.
    """
    configs = ROOT / "bundle" / "configs"
    files = [configs / name for name in ("train.json", "train_patches.json", *overlays)]
    config = ConfigParser(ConfigParser.load_config_files(files))
    config["validation_folders"], config["validation_tables"], config["batch_size"] = list(folders), list(tables), 64
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = prepare_network(config.get_parsed_content("network_def"), device, weights).eval()
    prepare = config.get_parsed_content("validate#prepare_batch")
    loader = config.get_parsed_content("validate#dataloader")
    infer, logits, labels = AutocastInferer("float32"), [], []
    with torch.inference_mode():
        for batch in tqdm(loader):
            patches, label = prepare(batch, device)
            logits.append(infer(patches, network).flatten().cpu().numpy())
            labels.append(label.flatten().cpu().numpy() > 0.5)
    return np.concatenate(logits).astype(np.float64), np.concatenate(labels)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, nargs="+", default=[ROOT / "bundle/models/model.pt"])
    parser.add_argument("--overlay", nargs="*", default=[], help="overlays in bundle/configs, as train_10x.json")
    parser.add_argument("--folders", nargs="*", default=[], help="folders with the subfolders 0 and 1")
    parser.add_argument("--tables", nargs="*", default=[], help="CSV files with the columns file and label")
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()

    if len(options.weights) == 1:
        runs = [(options.weights[0], options.folders, options.tables)]
    elif len(options.weights) == len(options.tables) and not options.folders:
        runs = [(weights, [], [table]) for weights, table in zip(options.weights, options.tables, strict=True)]
    else:
        parser.error(f"{len(options.weights)} weights need as many tables and no folders")
    found = [patch_logits(weights, options.overlay, folders, tables) for weights, folders, tables in runs]
    scores, truth = (np.concatenate(parts) for parts in zip(*found, strict=True))
    probabilities = expit(scores)
    metrics = {
        "AUC": lambda chosen: roc_auc(scores[chosen], truth[chosen]),
        "accuracy": lambda chosen: float(np.mean((scores[chosen] > 0) == truth[chosen])),
        "Brier score": lambda chosen: float(np.mean((probabilities[chosen] - truth[chosen]) ** 2)),
        "calibration error": lambda chosen: expected_calibration_error(probabilities[chosen], truth[chosen]),
    }
    rng = np.random.default_rng(0)
    choices = [rng.integers(len(truth), size=len(truth)) for _ in range(options.resamples)]
    print(f"{len(truth)} patches, {truth.sum()} tumor: {[*options.folders, *options.tables]}")
    for name, metric in metrics.items():
        low, high = np.percentile([metric(chosen) for chosen in choices], [2.5, 97.5])
        print(f"{name:17} {metric(slice(None)):.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
