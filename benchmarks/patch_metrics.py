"""Area under the ROC curve and accuracy of weights on labelled patch pictures, with 95% bootstrap intervals.

python benchmarks/patch_metrics.py --folders pcam_10x/valid
python benchmarks/patch_metrics.py --tables camelyon16_40x/valid.csv
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

import torch  # noqa: E402
from monai.bundle import ConfigParser  # noqa: E402
from scipy.stats import rankdata  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from tqdm import tqdm  # noqa: E402

from scripts.network import AutocastInferer, prepare_network  # noqa: E402
from scripts.patch_images import PatchImageDataset, patch_datalist  # noqa: E402


def roc_auc(scores: npt.NDArray[np.float64], labels: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve by ranks; ties count half.

    Args:
        scores: (N,).
        labels: (N,), true for tumor.
    """
    num_tumor = int(labels.sum())
    ranks = rankdata(scores)[labels].sum()
    return float((ranks - num_tumor * (num_tumor + 1) / 2) / (num_tumor * (len(labels) - num_tumor)))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=ROOT / "bundle/models/model.pt")
    parser.add_argument("--folders", nargs="*", default=[], help="folders with the subfolders 0 and 1")
    parser.add_argument("--tables", nargs="*", default=[], help="CSV files with the columns file and label")
    parser.add_argument("--resamples", type=int, default=1000)
    options = parser.parse_args()

    configs = ROOT / "bundle" / "configs"
    config = ConfigParser(ConfigParser.load_config_files([configs / "train.json", configs / "train_patches.json"]))
    network = prepare_network(config.get_parsed_content("network_def"), torch.device("cpu"), options.weights).eval()
    transform = config.get_parsed_content("validate#preprocessing")
    data = PatchImageDataset(patch_datalist(options.folders, options.tables), transform=transform)
    infer, logits, labels = AutocastInferer("float32"), [], []
    with torch.inference_mode():
        for batch in tqdm(DataLoader(data, batch_size=64)):
            logits.append(infer(batch["image"], network).flatten().numpy())
            labels.append(batch["label"].flatten().numpy() > 0.5)
    scores, truth = np.concatenate(logits).astype(np.float64), np.concatenate(labels)

    rng = np.random.default_rng(0)
    choices = [rng.integers(len(truth), size=len(truth)) for _ in range(options.resamples)]
    aucs = [roc_auc(scores[chosen], truth[chosen]) for chosen in choices]
    hits = (scores > 0) == truth
    accuracies = [hits[chosen].mean() for chosen in choices]
    print(f"{len(truth)} patches, {truth.sum()} tumor: {[*options.folders, *options.tables]}")
    for name, value, resampled in (("AUC", roc_auc(scores, truth), aucs), ("accuracy", hits.mean(), accuracies)):
        low, high = np.percentile(resampled, [2.5, 97.5])
        print(f"{name:9} {value:.3f} ({low:.3f} to {high:.3f})")


if __name__ == "__main__":
    main()
