"""What a temperature does to the calibration error of the shipped weights, and what an offset adds.

    python benchmarks/calibration.py --folders pcam/valid

The numbers are fitted on a random half of the patches and judged on the other half, both ways, so that each patch is
judged once; the table holds the means over many divisions. "Right probabilities" is the error that labels have which
are drawn from the probabilities themselves: the error counts noise in each bin.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import expit

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from report import markdown_table  # noqa: E402

from scripts.errors import InputError, explain  # noqa: E402
from scripts.scoring.calibration import (  # noqa: E402
    calibration_error,
    fit_temperature,
    fit_temperature_and_offset,
)
from scripts.scoring.patch_logits import compute_patch_logits  # noqa: E402

Logits = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]
Fit = Callable[[Logits, Labels], tuple[float, float]]

WEIGHTS: dict[str, list[str]] = {"model_10x.pt": ["train_10x.json"], "model.pt": []}
"""The shipped files, and the overlays with which they run."""


def temperature_alone(logits: Logits, is_tumor: Labels) -> tuple[float, float]:
    """The temperature, and no offset."""
    return fit_temperature(logits, is_tumor), 0.0


def judged_on_the_other_half(fit: Fit, logits: Logits, is_tumor: Labels, rng: np.random.Generator) -> Logits:
    """Logits, (N,), each changed by what was fitted on the half that it is not in."""
    is_first = rng.permutation(len(logits)) % 2 == 0
    changed = np.empty_like(logits)
    for half in (is_first, ~is_first):
        temperature, offset = fit(logits[half], is_tumor[half])
        changed[~half] = logits[~half] / temperature + offset
    return changed


def error_of_right_probabilities(logits: Logits, num_draws: int, rng: np.random.Generator) -> float:
    """The mean calibration error where the labels are drawn from the probabilities."""
    probabilities = expit(logits)
    draws = [calibration_error(probabilities, rng.random(len(logits)) < probabilities)[0] for _ in range(num_draws)]
    return float(np.mean(draws))


def row_of(name: str, logits: Logits, is_tumor: Labels, num_divisions: int) -> list[str]:
    """A row of the table."""
    rng = np.random.default_rng(0)
    errors = [float(calibration_error(expit(logits), is_tumor)[0])]
    for fit in (temperature_alone, fit_temperature_and_offset):
        found = [judged_on_the_other_half(fit, logits, is_tumor, rng) for _ in range(num_divisions)]
        errors.append(float(np.mean([calibration_error(expit(changed), is_tumor)[0] for changed in found])))
    temperature, offset = fit_temperature_and_offset(logits, is_tumor)
    changed = logits / temperature + offset
    errors.append(error_of_right_probabilities(logits / temperature, num_divisions, rng))
    accuracies = [f"{((values > 0) == is_tumor).mean():.3f}" for values in (logits, changed)]
    normal = [f"{expit(values[~is_tumor]).mean():.2f}" for values in (logits, changed)]
    return [
        name,
        *(f"{error:.3f}" for error in errors),
        f"{temperature:.3f}, {offset:+.3f}",
        " and ".join(accuracies),
        " and ".join(normal),
    ]


def main() -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", nargs="+", required=True, help="folders with the subfolders 0 and 1")
    parser.add_argument("--divisions", type=int, default=20, help="of the patches into halves")
    options = parser.parse_args()
    header = ["weights", "as they are", "temperature", "temperature and offset", "right probabilities"]
    header += ["temperature, offset of all", "accuracy before and after", "mean of normal patches before and after"]
    rows = []
    try:
        for name, overlays in WEIGHTS.items():
            found = compute_patch_logits(None, options.folders, [], overlays)
            rows.append(row_of(name, found.logits, found.is_tumor, options.divisions))
    except (InputError, RuntimeError) as error:  # MONAI wraps what a component raises
        sys.exit(f"error: {explain(error)}")
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
