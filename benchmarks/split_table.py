"""Split a table of labelled patches into train.csv and valid.csv beside it, a quarter of each class for validation.

    python benchmarks/split_table.py camelyon16_40x/labels.csv

The table names no slides, so patches of one slide may stand on both sides.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path


def split_rows(rows: list[dict[str, str]], seed: int = 0) -> dict[str, list[dict[str, str]]]:
    """Rows of ``train.csv`` and ``valid.csv``, tumor first."""
    rows = rows.copy()
    random.Random(seed).shuffle(rows)
    splits: dict[str, list[dict[str, str]]] = {"train.csv": [], "valid.csv": []}
    for label in "10":
        same = [row for row in rows if row["label"] == label]
        cut = len(same) * 3 // 4
        splits["train.csv"] += same[:cut]
        splits["valid.csv"] += same[cut:]
    return splits


def main() -> None:
    """Split and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, help="CSV with the columns file and label")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with open(options.table, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for name, chosen in split_rows(rows, options.seed).items():
        with open(options.table.with_name(name), "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["file", "label"])
            writer.writeheader()
            writer.writerows(chosen)
        print(f"{options.table.with_name(name)}: {len(chosen)} patches")


if __name__ == "__main__":
    main()
