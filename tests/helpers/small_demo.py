"""What ``make demo`` leaves, from fewer and smaller slides, without the strip: ``python -m helpers.small_demo OUT``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from scripts.synthetic import cohort, demo
from scripts.workflow import run_bundle


def _small_cohort(output_dir: Path, seed: int, **_: int) -> cohort.Cohort:
    """Four slides, of which one to score has a lesion that counts."""
    counts = {"num_train": 2, "num_test": 2, "num_train_regions": 2, "num_valid_regions": 2}
    return cohort.write_cohort(output_dir, shape=(2001, 2603), seed=seed, **counts)


def _run_bundle(run_id: str, config: str, settings: dict[str, Any]) -> None:
    """With few positions that mode dense computes again."""
    run_bundle(run_id, config, settings | ({"num_checks": 4} if run_id == "inference" else {}))


if __name__ == "__main__":
    demo.write_cohort = _small_cohort
    demo.run_bundle = _run_bundle
    demo._show_strip = lambda output: None
    demo._TRAINING |= {"batch_size": 2, "num_workers": 0}
    demo.run_demo(sys.argv[1])
