"""What ``make demo`` leaves, from fewer and smaller slides, without the strip: ``python -m helpers.small_demo OUT``."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.synthetic import cohort, demo


def _small_cohort(output_dir: Path, seed: int, **_: int) -> cohort.Cohort:
    """Four slides, of which one to score has a lesion that counts."""
    counts = {"num_train": 2, "num_test": 2, "num_train_regions": 2, "num_valid_regions": 2}
    return cohort.write_cohort(output_dir, shape=(2001, 2603), seed=seed, **counts)


if __name__ == "__main__":
    demo.write_cohort = _small_cohort
    demo._show_strip = lambda output: None
    demo._TRAINING |= {"batch_size": 2, "num_workers": 0}
    demo.run_demo(sys.argv[1])
